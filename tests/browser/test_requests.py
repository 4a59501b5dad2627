"""The requests that programs send to a running explorer: by the documented lines and by MCP."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from app_page import ROOT
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

pytest_plugins = ["app_fixtures"]
pytestmark = pytest.mark.browser  # they ask the same server

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
REQUESTS = re.findall(r"^\| `/(\w+)`", PAGE, re.M)


def test_the_documented_lines_erase_a_concept_from_another_process(address: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    lines = "print('The eraser', eraser, 'of', len(names), 'concepts and', len(trained), 'methods')"
    script.write_text("\n".join([*re.findall(r"```python\n(.*?)```", PAGE, re.S), lines]))
    environment = {**os.environ, "EXPLORER": address, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    first, *pairs = done.stdout.splitlines()
    assert re.fullmatch(r"Erasing dog by ESD moved [\w ]+ by 0\.\d\d\.", first)
    assert [line.split(" /")[0] for line in pairs[:3]] == [
        "an emoji of a dog",
        "an emoji of a wolf",
        "two dogs and a cat",
    ]
    assert all(Path(path).stat().st_size > 500 for line in pairs[:3] for path in re.findall(r"/\S+png", line))
    measured = [line.rsplit(" ", 2) for line in pairs[3:11]]
    assert measured[0][0] == "dog" and measured[0][2] == "False" and float(measured[0][1]) > 0.3
    assert sum(row[2] == "True" for row in measured) >= 5
    assert pairs[11].endswith("of 450 concepts and 22 methods")


def test_only_the_documented_requests_are_public(address: str) -> None:
    known = Client(address, verbose=False).view_api(return_format="dict", print_info=False)
    assert [name.removeprefix("/") for name in known["named_endpoints"]] == REQUESTS
    assert not known["unnamed_endpoints"]
    for name, endpoint in known["named_endpoints"].items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
        told = re.findall(r"`([^`]*)`", row.split("|")[1])[1:]
        parts = re.split(r", ", told[0]) if told else []
        assert [part["parameter_name"] for part in endpoint["parameters"]] == [part.split("=")[0] for part in parts]


@pytest.mark.parametrize(
    ("request_name", "values", "words"),
    [
        ("victims", ["dgo"], "did you mean"),
        ("victims", ["dog", "nope"], "recorded are esd, age"),
        ("victims", [5], "does not take"),
        ("start", ["dog", "nope"], "There is no method 'nope'"),
        ("start", ["dog", "uce", "balanced", "", -1], "whole number from 0"),
        ("start", ["dog", "uce", "balanced", "", 0, "mine"], "no token"),
        ("poll", ["dog-age", "mine"], "no token"),
        ("poll", ["../dog-age", "a" * 32], "There is no run"),
        ("pairs", ["dog-age", "a" * 32, []], "name 1 to 8"),
        ("pairs", ["dog-age", "a" * 32, ["dog"], 0, 99], "from 0 to 10"),
        ("measure", ["dog-age", "a" * 32, 0], "ask for 1 to 64"),
        ("file", ["dog-age", "a" * 32, "exe"], "choose one of bundle"),
    ],
)
def test_what_is_wrong_is_one_sentence(address: str, request_name: str, values: list[Any], words: str) -> None:
    with pytest.raises(Exception, match=words) as caught:
        Client(address, verbose=False).predict(*values, api_name=f"/{request_name}")
    assert "Traceback" not in str(caught.value) and str(ROOT) not in str(caught.value)


def test_the_same_requests_are_tools_of_a_language_model(address: str) -> None:
    async def talk() -> tuple[list[Any], Any, Any]:
        async with (
            streamablehttp_client(f"{address}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            right = await session.call_tool("victims", {"concept": "dog", "most": 2})
            return tools, right, await session.call_tool("victims", {"concept": "dgo"})

    tools, right, wrong = asyncio.run(talk())
    assert [tool.name for tool in tools] == REQUESTS and all(tool.description for tool in tools)
    start = next(tool for tool in tools if tool.name == "start").inputSchema
    assert start["required"] == ["concept"] and start["properties"]["seed"]["type"] == "integer"
    assert all(part.get("description") for part in start["properties"].values())
    assert right.content[0].text.count("'distance'") == 2 and not right.isError
    assert wrong.isError and "did you mean" in wrong.content[0].text
