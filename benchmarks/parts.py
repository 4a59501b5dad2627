"""One of several processes that share a list of things to do: `--part 0/2` and, beside it, `--part 1/2`."""

from __future__ import annotations

import argparse


def add_part(parser: argparse.ArgumentParser) -> None:
    """`args.part` is then the slice of a list that this process does."""
    told = "which of how many processes this is, such as 0/2"
    parser.add_argument("--part", type=part, default="0/1", help=told)


def part(text: str) -> slice:
    """0/2 is every second, from the first; 1/2 the others. Raises argparse's error on anything else."""
    turn, _, processes = text.partition("/")
    numbers = turn.isdecimal() and processes.isdecimal()
    if not (numbers and int(turn) < int(processes)):
        raise argparse.ArgumentTypeError(f"{text!r} is none of so many parts: of two there are 0/2 and 1/2")
    return slice(int(turn), None, int(processes))
