"""A visitor of the app without a browser: calls the page's functions over HTTP, as Gradio's own script does."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx

from benchmarks.faults.values import Request

PATIENCE_S = 2.0  # with one input; what streams for longer is left, as by a visitor who closes the page
Outcome = tuple[str, str]  # "answered", "refused" or "cut", and the text of the answer


class Visitor:
    """A session of its own; a context manager."""

    def __init__(self, address: str) -> None:
        self.patience = PATIENCE_S
        self.session = uuid.uuid4().hex[:12]
        self._client = httpx.Client(base_url=f"{address}/", timeout=30)
        config = self._client.get("config").json()
        self._components = {item["id"]: item for item in config["components"]}
        self.events = {event["id"]: event for event in config["dependencies"] if event["backend_fn"]}

    def __enter__(self) -> Visitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._client.close()

    def fields(self, event: int) -> list[dict[str, Any]]:
        """The configuration of each field whose value an event sends."""
        return [self._components[part]["props"] for part in self.events[event]["inputs"]]

    def find(self, element: str, action: str) -> int:
        """The event of an element of the page."""
        for number, event in self.events.items():
            for part, name in event["targets"]:
                if name == action and part and self._components[part]["props"].get("elem_id") == element:
                    return number
        raise LookupError(f"Nothing happens on {action!r} of {element!r}.")

    def arrive(self, token: str = "") -> str:
        """Open the page, as the person of a token: what the page does by itself then."""
        (load,) = (n for n, event in self.events.items() if any(name == "load" for _, name in event["targets"]))
        outcome, text = self.call(load, [token])
        if outcome != "answered":
            raise RuntimeError(f"A visitor who arrives is {outcome}: {text[:300]}")
        return text

    def usual(self, event: int, typed: Mapping[str, Any]) -> str:
        """What is sent in answer to an event with the page's own values, but for those of some elements.

        Nothing where it is refused; of what streams for long only the beginning.
        """
        data = [typed.get(props.get("elem_id", ""), props.get("value")) for props in self.fields(event)]
        outcome, text = self.call(event, data)
        return "" if outcome == "refused" else text

    def call(self, event: int, data: list[Any], query: str = "") -> Outcome:
        """Call one function of the page."""
        body = {"fn_index": event, "data": data, "session_hash": self.session, "trigger_id": None, "event_data": None}
        content = json.dumps(body).encode()  # ASCII, with NaN as Python writes it
        if not self.events[event]["queue"]:
            return self.send(Request("field", "POST", f"gradio_api/run/predict{query}", content))
        outcome, text = self.send(Request("field", "POST", f"gradio_api/queue/join{query}", content))
        return self._follow() if outcome == "answered" else (outcome, text)

    def send(self, request: Request) -> Outcome:
        """Send any request; of an answer that never ends only the beginning is read."""
        until, parts = time.monotonic() + self.patience, []
        with self._client.stream(
            request.method, request.path, content=request.content, headers=request.headers
        ) as answer:
            streams = "event-stream" in answer.headers.get("content-type", "")
            for part in answer.iter_text():
                parts.append(part)
                if streams and time.monotonic() > until - self.patience / 2:
                    break
        return ("answered" if answer.is_success else "refused"), "".join(parts)

    def _follow(self) -> Outcome:
        """Read the messages of this session until its function has ended, or patience has."""
        until, text = time.monotonic() + self.patience, ""
        limit = httpx.Timeout(30, read=self.patience)
        try:
            with self._client.stream(
                "GET", "gradio_api/queue/data", params={"session_hash": self.session}, timeout=limit
            ) as answer:
                for line in answer.iter_lines():
                    text += line
                    message = json.loads(line[5:]) if line.startswith("data:") else {}
                    if message.get("msg") == "process_completed":
                        return ("answered" if message["success"] else "refused"), text
                    if time.monotonic() > until:
                        break
        except httpx.ReadTimeout:
            pass
        return "cut", text
