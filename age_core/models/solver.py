"""The solver that draws: DPM-Solver++ (2M), on a model's own noise levels and without chance in its steps."""

from __future__ import annotations

from typing import Any

from diffusers import DPMSolverMultistepScheduler

# What a scheduler's settings say of the model. All else in them is its solver's own (noise added in each step, order,
# sigmas, thresholds): ours is the same for every model, so that one seed is one picture in whatever batch.
LEVELS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
SPACING = ("timestep_spacing", "steps_offset", "lambda_min_clipped")  # where they are named: classes differ in defaults


def solver_for(scheduler: Any) -> DPMSolverMultistepScheduler:
    """A fresh solver; its state serves one batch. Raises what diffusers raises on settings that it does not know."""
    settings, defaults = scheduler.config, scheduler.config.get("_use_default_values", ())
    named = {name: settings[name] for name in SPACING if name in settings and name not in defaults}
    return DPMSolverMultistepScheduler(**{name: settings[name] for name in LEVELS if name in settings}, **named)
