"""Training states as one safetensors file, replaced as a whole."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from age_core.erasure.events import TrainingState
from age_core.errors import AgeError
from age_core.files import replacing

FORMAT = "age-checkpoint-1"


def save_state(state: TrainingState, path: Path) -> None:
    """Replace the checkpoint at `path`, which stays as it was when this fails.

    Raises AgeError on weights that are not finite: the last good state must not give way to them.
    """
    weights = [value for key, value in state.tensors.items() if key.startswith("student/")]
    if not all(torch.isfinite(value).all() for value in weights):  # the loop itself would notice a step later
        raise AgeError(f"The training diverged at step {state.step}: lower the learning rate.")
    tensors = {key: value.contiguous() for key, value in state.tensors.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"format": FORMAT, "step": str(state.step)})


def load_state(path: Path) -> TrainingState | None:
    """Read what `save_state` wrote; None where there is no file. Raises AgeError when it is damaged."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"it lacks the mark {FORMAT!r}")
            return TrainingState(int(metadata["step"]), {key: file.get_tensor(key) for key in file.keys()})
    except Exception as error:  # safetensors raises its own error type for each kind of damage
        raise AgeError(f"The checkpoint {path.name!r} in {path.parent.name!r} is damaged: {error}.") from error
