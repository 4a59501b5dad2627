"""Training on a graphics card that is lent for one call, as ZeroGPU Spaces lend theirs.

There a decorated function runs in a process that is forked for it, with the card, until it returns. What it changes in
memory is lost, so nothing goes in but a folder's name and nothing comes out but plain events: whatever else a run is
made of lies in its folder, from which it also goes on. All that is not trained is computed by the app's own process,
which has no card.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from age_core.errors import AgeError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from age_core.erasure.events import EraseEvent
    from age_core.runs.run import Run

Trainer = Callable[["Run"], Generator["EraseEvent", None, None]]
LENDS = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")  # as `spaces` reads it
STARTING_S, A_STEP_S, LONGEST_S = 40, 1.0, 300  # for how long a card is asked for; a visitor has minutes a day


def seconds_wanted(folder: str) -> int:
    """For how long the run in `folder` asks for a card: what runs over is cut off, what is left over is given back."""
    from age_core.runs.run import Run

    steps = int(Run.open(folder).config.options["steps"])
    return round(min(STARTING_S + A_STEP_S * steps, LONGEST_S))  # a run that is not done goes on, to twice the steps


def train(folder: str) -> Generator[tuple[EraseEvent | None, str], None, None]:
    """The events of the run in `folder`, from its start or its last checkpoint, each with "", "done" or what failed.

    Without what is in the run's files anyway. Of an exception only its kind would come through, so its words are told.
    """
    from age_core.concepts.concept_set import ConceptSet
    from age_core.runs.record import moved, resume_run
    from age_core.runs.run import Run

    try:
        run = Run.open(folder)
        pipe = _opened(run.config.model)
        events = resume_run(pipe, moved(run, pipe), ConceptSet.load(run.config.world))
        with closing(events):
            for event in events:
                plain = replace(event, state=None, eraser=None)
                yield plain, "done" if event.eraser is not None else ""
    except AgeError as error:
        yield None, str(error)
    except Exception as error:
        yield None, f"{type(error).__name__}: {error}"


@cache
def _opened(model: str) -> DiffusionPipeline:
    """The model on the card; a process may be asked again."""
    import torch

    from age_core.models.pipelines import load_pipeline

    return load_pipeline(model, "cuda" if torch.cuda.is_available() else "cpu")


def trainer() -> Trainer:
    """What gives the events of a run that is trained on a lent card.

    To be called before the page is served, when a Space wants to know what will need a card, and before Torch is
    imported, which is not to look for one here.
    """
    import spaces

    return partial(events_of, spaces.GPU(train, duration=seconds_wanted))


def events_of(
    train: Callable[[str], Generator[tuple[EraseEvent | None, str], None, None]], run: Run
) -> Generator[EraseEvent, None, None]:
    """What `train` tells of a run. Raises AgeError where it fails, or no card is lent.

    The last event has the eraser, read from the run's folder. Closing it stops the run after its present step.
    """
    with closing(train(str(Path(run.path).resolve()))) as told:
        while True:
            try:
                event, said = next(told, (None, "The run ended without an eraser."))
            except Exception as error:  # such as a visitor's time on cards being used up: its text is for people
                raise AgeError(f"This Space lent no graphics card for the run, or took it back: {error}") from error
            if event is None:
                raise AgeError(said)
            yield replace(event, eraser=run.eraser()) if said else event
            if said:
                return
