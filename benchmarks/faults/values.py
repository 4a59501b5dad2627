"""Values that nobody types into a field, and requests that no browser sends: what `fuzz` draws from."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

TEXTS = (
    "",
    " ",
    "\x00",
    "\x1b[2J\r\n\t",
    "\u202e\u0000\ufffe",
    "\ud800",
    "\U0001f600" * 300,
    "a" * 100_000,
    "NaN",
    "-1",
    "1e999",
    "9" * 5000,
    "0x10",
    "٣",
    "<script>alert(1)</script>",
    "{noun} %s {0.__class__} {{7*7}}",
    "'; DROP TABLE runs; --",
    "../../../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "C:\\Windows\\system.ini",
    "con",
    ".",
    "dog\ncat",
    "[]",
    '["dog", "cat"]',
    '{"a": 1}',
    "null",
    "dog",
)
NUMBERS = (0, -1, 1, 3, 10**6, -(10**18), 2**63, 10**400, 0.5, -0.0, 1e308, -1e308, float("nan"), float("inf"))
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    [None],
    [[]],
    [["a", 1], {}],
    {},
    {"value": 1},
    {"__type__": "update", "value": "x", "visible": False},
    {"__type__": "update", "choices": None},
    {"is_file": True, "path": "x"},
    ["dog"] * 3000,
)


def deep(levels: int) -> Any:
    value: Any = "dog"
    for _ in range(levels):
        value = [value]
    return value


def file_like(path: str) -> dict[str, Any]:
    """A file as a browser names one that it has uploaded."""
    meta = {"_type": "gradio.FileData"}
    return {"path": path, "orig_name": path.rpartition("/")[2] or "x", "size": 1, "meta": meta}


def nasty(chance: random.Random, secrets: Sequence[str]) -> Any:
    """One value of any type; `secrets`: paths, addresses, tokens and names that are nobody's to use."""
    kind = chance.randrange(7)
    if kind < 2:
        return chance.choice(TEXTS)
    if kind == 2:
        return chance.choice(NUMBERS)
    if kind == 3:
        return chance.choice(ODD)
    if kind == 4:
        return deep(chance.choice((3, 60, 500)))
    secret = chance.choice(secrets)
    if kind == 5:
        return chance.choice((secret, [secret], {"path": secret}, json.dumps([secret, secret])))
    url = {"url": secret} if secret.startswith("http") else {}
    return chance.choice((file_like(secret), [file_like(secret)], file_like(secret) | url | {"path": secret}))


def likely(chance: random.Random, props: dict[str, Any]) -> Any:
    """What the page itself might send for a component, by its configuration."""
    choices = [choice[1] if isinstance(choice, (list, tuple)) else choice for choice in props.get("choices") or []]
    if choices and chance.random() < 0.5:
        value = chance.choice(choices)
        return [value] if props.get("multiselect") or isinstance(props.get("value"), list) else value
    return props.get("value")


@dataclass(frozen=True)
class Request:
    """A request as it goes out, with a short name of its kind."""

    kind: str
    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


FILE_ROUTES = [
    "gradio_api/file=",
    "gradio_api/file/",
    "file=",
    "static/",
    "assets/",
    "svelte/",
    "gradio_api/proxy=",
    "custom_component/",
]
FILE_ROUTES += ["gradio_api/custom_component/x/server/component/", "gradio_api/stream/x/y/z/"]


def file_request(chance: random.Random, secrets: Sequence[str]) -> Request:
    """A file that is not to be served, asked for in one of many spellings."""
    path = chance.choice(secrets)
    up = "../" * chance.randrange(1, 12)
    spelled = chance.choice((path, up + path.lstrip("/"), "/" + path, path.replace("/", "//"), path + "\x00.webp"))
    spelled = chance.choice((spelled, quote(spelled, safe=""), quote(quote(spelled, safe=""), safe="")))
    return Request("file", "GET", chance.choice(FILE_ROUTES) + quote(spelled, safe="/%=:"))


def upload_request(chance: random.Random, secrets: Sequence[str]) -> Request:
    """An upload with a name, a type and a body that do not fit."""
    name = chance.choice((*TEXTS[:13], *TEXTS[17:23], *secrets)).replace("\r", "").replace("\n", "")[:3000]
    name = name.encode(errors="replace").decode()
    body = chance.choice((b"", b"PK\x03\x04", b"\x00" * 1000, b"name,group\n\xff\xfe", b"a" * 100_000))
    edge = chance.choice(("edge", "edge", ""))
    content = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="'
    content += name.encode() + b'"\r\nContent-Type: text/html\r\n\r\n' + body + b"\r\n"
    content += chance.choice((b"--edge--\r\n", b""))
    headers = {"content-type": f"multipart/form-data; boundary={edge}"}
    query = chance.choice(("", "?upload_id=x", f"?upload_id={quote(name)[:500]}"))
    return Request("upload", "POST", f"gradio_api/upload{query}", content, headers)


BROKEN = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"\xff\xfe",
    b'{"data": NaN}',
    b"[" * 3000,
    b'{"a":' * 3000,
    b"1" * 6000,
    b'"\\ud800"',
)
POSTS = [
    "run/predict",
    "api/predict",
    "queue/join",
    "call/predict",
    "call/v2/predict",
    "cancel",
    "reset",
    "component_server",
    "stream/x",
]
POSTS += ["stream/x/close", "process_recording", "login", "vibe-edit"]
GETS = [
    "queue/status",
    "info",
    "info?serialize=x",
    "openapi.json",
    "token",
    "user",
    "app_id",
    "startup-events",
    "theme.css",
    "dev/reload",
]
GETS += ["call/predict/x", "stream/a/1/2/playlist.m3u8", "upload_progress?upload_id=x", "heartbeat/x", "queue/data"]
GETS += ["queue/data?session_hash=gone", "run-history/records"]
PLACES = [
    "config",
    "?__theme=x",
    "monitoring",
    "monitoring/x",
    "manifest.json",
    "pwa_icon/999999",
    "robots.txt",
    "nowhere",
    "gradio_api",
]
PLACES += ["", "%00", "gradio_api/deep_link?session_hash=x"]


def odd_request(chance: random.Random, events: Sequence[int], secrets: Sequence[str]) -> Request:
    """A request to any other endpoint: broken bodies, ids of the past, fields that are missing or of another type."""
    if chance.random() < 0.35:
        return Request("get", "GET", chance.choice((*(f"gradio_api/{path}" for path in GETS), *PLACES)))
    path = f"gradio_api/{chance.choice(POSTS)}"
    if chance.random() < 0.3:
        return Request("broken body", "POST", path, chance.choice(BROKEN))
    body = {
        "data": chance.choice(([], None, {}, "dog", [1, 2], deep(100))),
        "fn_index": chance.choice((*events, *NUMBERS, "0", None)),
        "session_hash": chance.choice(("gone", "", None, 7, *secrets)),
        "event_id": chance.choice(("gone", None, *secrets)),
        "event_data": chance.choice((None, {}, [], {"index": [1, 2], "value": {}}, "dog")),
        "trigger_id": chance.choice((None, 0, -1, "x", 10**9)),
        "component_id": chance.choice((None, 0, 10**9, "x")),
        "fn_name": chance.choice((None, "__init__", "preprocess", "get_config")),
    }
    for key in chance.sample(sorted(body), chance.randrange(4)):
        del body[key]
    return Request("odd request", "POST", path, json.dumps(body).encode())
