"""info: what a name, a file or a folder is."""

from __future__ import annotations

import argparse
from typing import Any

from age_core.cli.common import DEFAULT, Answer, Commands, add_command, place_of
from age_core.files import plain
from age_core.runs.info import describe
from age_core.validation import as_source


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "info", run_info, "describe a model, an eraser, a run or an export")
    parser.add_argument("what", nargs="?", type=as_source, help="a name, file, folder or Hub id (the model)")


def run_info(args: argparse.Namespace) -> Answer:
    facts = plain(describe(args.what or args.model or DEFAULT, *place_of(args)))
    return facts, "\n".join(_lines(facts))


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        else:
            text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
            lines.append(f"{indent}{name}: {text}")
    return lines
