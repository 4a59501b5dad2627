"""All commands together: arguments in, a document or a text and an exit code out."""

from __future__ import annotations

import argparse
import io
import json
import sys

from age_core.cli import erase, evaluate, graph, info, runs
from age_core.cli.common import CODES, Parser, add_common
from age_core.errors import AgeError, RunFailed

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
ABOUT = "Erase concepts from text-to-image diffusion models, and measure what else was lost."


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m age_core", description=ABOUT, epilog=CODES)
    add_common(parser, top=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (erase, evaluate, runs, info, graph):
        module.add_commands(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code (`CODES`)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without letters of a name must not end the work
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    try:
        args = make_parser().parse_args(arguments)
        as_json = args.json
        document, text = args.run_command(args)
    except (AgeError, KeyboardInterrupt) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        code = INTERRUPTED if interrupted else FAILED if isinstance(error, RunFailed) else BAD_INPUT
        document, text = {"error": str(error) or "Interrupted."}, ""
        print(document["error"], file=sys.stderr)
    else:
        code = OK
    if as_json:
        plain_letters = (sys.stdout.encoding or "").lower().startswith("utf")
        print(json.dumps(document, ensure_ascii=not plain_letters, allow_nan=False, default=str))
    elif text:
        print(text)
    return code


def quiet() -> None:
    """The libraries' bars and remarks would run through ours."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()
