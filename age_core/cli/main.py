"""All commands together: arguments in, a document or a text and an exit code out."""

from __future__ import annotations

import argparse
import json
import sys

from age_core.cli import erase, evaluate, graph, info, runs
from age_core.cli.common import CODES, add_common
from age_core.errors import AgeError, RunFailed

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
ABOUT = "Erase concepts from text-to-image diffusion models, and measure what else was lost."


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m age_core", description=ABOUT, epilog=CODES)
    add_common(parser, top=True)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (erase, evaluate, runs, info, graph):
        module.add_commands(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code (`CODES`)."""
    args = make_parser().parse_args(arguments)
    try:
        document, text = args.run_command(args)
    except (AgeError, KeyboardInterrupt) as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        code = INTERRUPTED if interrupted else FAILED if isinstance(error, RunFailed) else BAD_INPUT
        document, text = {"error": str(error) or "Interrupted."}, ""
        print(document["error"], file=sys.stderr)
    else:
        code = OK
    if args.json:
        print(json.dumps(document, ensure_ascii=False, allow_nan=False, default=str))
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
