"""What several commands share: their arguments, and what these name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from diffusers import DiffusionPipeline
from tqdm import tqdm

from age_core.assets import PROBES
from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.methods import METHODS
from age_core.erasure.options import PRESETS, RENAMED, TARGET_KINDS, parse_option
from age_core.erasure.target_words import POOL
from age_core.errors import AgeError
from age_core.models.eraser import STRONGEST
from age_core.models.identity import model_identity
from age_core.models.pipelines import DTYPES, load_pipeline
from age_core.models.precision import default_dtype
from age_core.models.probes import Probe, load_probe
from age_core.models.same_model import distinct
from age_core.runs.config import RunConfig
from age_core.runs.run import Run
from age_core.validation import as_source, as_word, number_between, whole_number

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Answer = tuple[dict[str, Any], str]  # a document for --json, a text for people
DEFAULT = "emoji"
OF_TARGET = {"adaptive": "age", "fixed": "empty", "random": "random"}  # --target's words as methods
FLAGS = {"target": "--method or --target", "fixed_target": "--word", "pool": "--pool", "preset": "--preset"}
CODES = "exit codes: 0 done, 1 the work failed (divergence, full disk), 2 bad input, 130 interrupted"


class Parser(argparse.ArgumentParser):
    """One that says what is wrong with its arguments as everything else does, in one sentence."""

    def error(self, message: str) -> NoReturn:
        raise AgeError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


def whole(text: str) -> int:
    """An argument that is a whole number."""
    try:
        return whole_number(text)
    except AgeError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None


def between(least: float, most: float, what: str) -> Callable[[str], float]:
    """What reads an argument that is a number in a range."""

    def read(text: str) -> float:
        try:
            return number_between(text, least, most, what)
        except AgeError as error:
            raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None

    return read


def path(text: str) -> Path:
    """An argument that is a file or folder."""
    if not as_source(text):
        raise argparse.ArgumentTypeError("the name of a file or folder is empty")
    return Path(as_source(text))


def check_place(place: Path | None, folder: bool = False) -> None:
    """Raise AgeError where no file, or no folder, can be written at `place`, before the work that fills it."""
    if place is None:
        return
    taken = place.exists() and place.is_dir() != folder
    if taken or any(parent.exists() and not parent.is_dir() for parent in place.parents):
        raise AgeError(f"{str(place)!r} cannot be written as a {'folder' if folder else 'file'}: it is something else.")


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], Answer], about: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about, epilog=CODES)
    add_common(parser)
    parser.set_defaults(run_command=run)
    return parser


def add_common(parser: argparse.ArgumentParser, top: bool = False) -> None:
    """What every command takes, before its name or after."""

    def add(name: str, default: object, **settings: object) -> None:
        parser.add_argument(name, default=default if top else argparse.SUPPRESS, **settings)  # type: ignore[arg-type]

    add("--model", None, type=as_source, help="a bundled model, a diffusers folder or a Hub id (emoji)")
    add("--concepts", None, type=as_source, help="a bundled concept set, or a CSV file (emoji)")
    add("--device", None, help="where to compute, such as cuda (cpu; with --resume where the run was begun)")
    about = "number format of the weights (float32; bfloat16 on cards that compute in it; with --resume the run's own)"
    add("--dtype", None, choices=DTYPES, help=about)
    add("--low-memory", False, action="store_true", help="slower, with less memory on the device")
    add("--json", False, action="store_true", help="print one JSON document instead of text")


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=METHODS, help="a named method (age; --target chooses among three)")
    parser.add_argument("--preset", choices=PRESETS, default="balanced")
    parser.add_argument("--target", choices=TARGET_KINDS, default="adaptive")
    parser.add_argument("--word", help='the word for --target fixed; "" is the empty prompt')
    about = f"candidates for the target: so many of the nearest words ({POOL}; the paper's presets bring its own)"
    parser.add_argument("--pool", type=whole, help=about)
    parser.add_argument("--seed", type=whole, default=0)
    parser.add_argument("--steps", type=whole, help="updates (the preset's own when left out)")
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="any other option")


def add_probe_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--probe", type=as_source, help="an image classifier that judges (the model's own)")


def add_strength_argument(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """--strength; where it may be `several`, the argument is a list."""
    about = f"how many times as strong as it was saved, from 0, the original model, to {STRONGEST:g} (1)"
    how: dict[str, Any] = {"action": "append", "default": []} if several else {"default": 1.0}
    about += "; may be repeated, for a row each" if several else ""
    parser.add_argument("--strength", type=between(0, STRONGEST, "strength"), help=about, **how)


def method_of(args: argparse.Namespace) -> tuple[str, str | None]:
    """--method, or --target's word for one, and the target word."""
    return args.method or OF_TARGET[args.target], None if args.word is None else as_word(args.word)


def changes_of(args: argparse.Namespace) -> dict[str, Any]:
    """--pool, --seed, --steps and every --set, as arguments of `erase_by`. Raises AgeError on bad ones."""
    changes: dict[str, Any] = {"pool": args.pool, "seed": args.seed, "steps": args.steps}
    for text in args.set:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise AgeError(f"--set takes an option and its value, such as lr=0.001, not {text!r}.")
        if name in FLAGS:
            raise AgeError(f"The {name.replace('_', ' ')} is not chosen by --set: use {FLAGS[name]}.")
        changes[RENAMED.get(name, name)] = parse_option(name, value)
    return {name: value for name, value in changes.items() if value is not None}


def place_of(args: argparse.Namespace, default: str = "cpu") -> tuple[str, str]:
    """--device, and --dtype or what the device computes well in."""
    device = args.device or default
    return device, args.dtype or default_dtype(device)


def open_pipeline(args: argparse.Namespace, model: str = DEFAULT) -> DiffusionPipeline:
    """--model, or else `model`."""
    save = args.low_memory
    return load_pipeline(args.model or model, *place_of(args), gradient_checkpointing=save, offload=save)


def concepts_of(args: argparse.Namespace, name: str = DEFAULT) -> ConceptSet:
    return ConceptSet.load(args.concepts or name)


def edited_model(paths: Sequence[Path]) -> str:
    """The model that was edited, as far as run folders among `paths` say. Raises AgeError where they say several."""
    runs: list[RunConfig] = [Run.open(path).config for path in paths if path.is_dir()]
    if len(distinct(run.model_identity for run in runs)) > 1:
        raise AgeError("These runs edited models of different weights: look at them one model at a time.")
    return next((run.model for run in runs if run.model), DEFAULT)


def open_edited(args: argparse.Namespace, paths: Sequence[Path]) -> DiffusionPipeline:
    """--model, whatever that is; else the one that the run folders among `paths` edited, if its weights are the same.

    Raises AgeError where they are not.
    """
    model = edited_model([] if args.model else paths)
    pipe = open_pipeline(args, model)
    runs = [] if args.model else [Run.open(path).config for path in paths if path.is_dir()]
    if any(not run.edited(model, model_identity(pipe), place_of(args)[1]) for run in runs):
        raise AgeError(f"The weights in {model!r} are not those that the run edited: name its model by --model.")
    return pipe


def probe_name(args: argparse.Namespace, model: str = DEFAULT) -> str:
    """--probe, or the one that belongs to the concepts or to --model or else `model`; "" where none does."""
    own = (name for name in (args.concepts, args.model or model) if name in PROBES)
    return args.probe or next(own, "")


def open_probe(args: argparse.Namespace, model: str = DEFAULT) -> Probe:
    """Raises AgeError where there is none."""
    name = probe_name(args, model)
    if not name:
        raise AgeError(f"No probe came with {args.model or model!r}: name one that judges its pictures by --probe.")
    return load_probe(name, device=place_of(args)[0])


def distinct_names(paths: list[Path], taken: str = "") -> list[str]:
    """A name for each file or folder: its own, and as many folders before it as tell it from the others and `taken`.

    Raises AgeError where the same one is given twice.
    """
    parts = [(path.with_suffix("") if path.suffix == ".safetensors" else path).resolve().parts for path in paths]
    twice = next((path for row, path in enumerate(paths) if parts[row] in parts[:row]), None)
    if twice is not None:
        raise AgeError(f"{str(twice)!r} is given twice: name each eraser once.")

    def name(whole: tuple[str, ...]) -> str:
        ends = (whole[-length:] for length in range(1, len(whole) + 1))
        alone = (end for end in ends if end != (taken,) and sum(other[-len(end) :] == end for other in parts) == 1)
        return "/".join(next(alone))

    return [name(whole) for whole in parts]


def progress_bar(args: argparse.Namespace, **settings: Any) -> Any:
    """A progress bar on stderr: none where nobody watches."""
    return tqdm(disable=args.json or not sys.stderr.isatty(), file=sys.stderr, leave=False, **settings)
