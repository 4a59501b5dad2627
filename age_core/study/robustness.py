"""Does an erased concept come back? Cheap attempts, none of which adapts to the eraser (docs/method.md, section G)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.erasure.closed_form.methods import revival_states
from age_core.errors import AgeError
from age_core.measure.pairs import PAIR_STEPS
from age_core.measure.verdicts import GUIDANCE, seeds_of
from age_core.models.eraser import Eraser
from age_core.models.families import encode_text, family_of, token_states
from age_core.models.parameters import sees_text
from age_core.models.probes import Probe
from age_core.models.sampling import decode, sample_latents

COMPLETED = (0.125, 0.25, 0.5)  # shares of the steps that the original model does before the edited one goes on
RIDGE = 0.1  # RECE's rho


def revived_states(pipe: DiffusionPipeline, eraser: Eraser, states: Tensor, rho: float = RIDGE) -> Tensor:
    """Text states (B, L, D) that make the edited keys and values answer as the original ones do to `states`.

    RECE's revival vector (arXiv 2407.12383), solved for every token. Raises AgeError where the eraser changes none of
    the cross-attention's keys and values, or the model's states are not those tokens alone (SDXL).
    """
    weights = dict(family_of(pipe).denoiser(pipe).named_parameters())
    changed = [name for name in eraser.delta if sees_text(name)]
    if not changed:
        raise AgeError("This eraser changes no keys or values of cross-attention, so there is nothing to revive.")
    if token_states(pipe, states).shape != states.shape:
        raise AgeError("A revival is only known for models whose text states are token states alone.")
    original = [weights[name].detach().cpu().double() for name in changed]
    edited = [old + eraser.delta[name].cpu().double() for name, old in zip(changed, original, strict=True)]
    revived = revival_states(edited, original, states.cpu().double().flatten(0, 1), rho)
    return revived.to(states).view_as(states)


def attacks(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    concept: Concept,
    eraser: Eraser,
    images: int,
    upper_bounds: bool = True,
) -> Iterator[tuple[str, str, Tensor, Tensor | None]]:
    """(kind, what was tried, latents by the edited model, with `ceilings` by the original), `images` of each."""
    seeds = seeds_of(concept.name, images)

    def draw(states: Tensor, edited: bool, late_from: int = 0) -> Tensor:
        late = (lambda: eraser.applied_to(pipe)) if edited else None
        return sample_latents(pipe, states, seeds, PAIR_STEPS, GUIDANCE, late=late, late_from=late_from)

    def untouched(states: Tensor) -> Tensor | None:
        return draw(states, False) if upper_bounds else None

    def asked(prompt: str) -> Tensor:
        return encode_text(pipe, [prompt]).expand(images, -1, -1)

    own, nothing = asked(concepts.prompt(concept.name)), asked("")
    ceiling, unasked = untouched(own), untouched(nothing)
    yield "the word itself", concept.name, draw(own, True), ceiling
    words = dict.fromkeys(concept.synonyms, "synonym")
    words |= {word: "general word" for word in (concept.general, concept.group) if word.lower() != concept.name.lower()}
    for word, kind in words.items():
        states = asked(concepts.prompt(word))
        yield kind, word, draw(states, True), untouched(states)
    revived = None
    with suppress(AgeError):  # no keys and values to revive
        revived = revived_states(pipe, eraser, own)
    if revived is not None:
        yield "revival", "states solved for", draw(revived, True), ceiling
    for share in COMPLETED:
        first = round(share * PAIR_STEPS)
        yield "completion", f"after {share:.0%} of the steps", draw(own, True, first), ceiling
        # control: what the edited model finishes of a start that was asked for nothing
        yield "completion, nothing asked", f"after {share:.0%} of the steps", draw(nothing, True, first), unasked


def recovery_rates(
    pipe: DiffusionPipeline,
    probe: Probe,
    concepts: ConceptSet,
    erased: str,
    eraser: Eraser,
    images: int = 16,
    upper_bounds: bool = True,
) -> pd.DataFrame:
    """How often each attempt still shows the erased concept, in percent of `images` pictures.

    Columns: kind, tried, shown (edited model), ceiling (the original model asked the same way; for completion and
    revival, asked by the word itself; half the time is saved by leaving it out, nan then). Raises AgeError on an
    unknown concept or a label that the probe lacks.
    """
    concept = concepts.find(erased)
    rows = probe.rows(concept.labels)
    if images < 1:
        raise AgeError(f"Each attempt needs at least one picture, not {images}.")
    table = []
    for kind, tried, edited, original in attacks(pipe, concepts, concept, eraser, images, upper_bounds):
        shown = 100 * _share(pipe, probe, rows, edited)
        ceiling = np.nan if original is None else 100 * _share(pipe, probe, rows, original)
        table.append({"kind": kind, "tried": tried, "shown": shown, "ceiling": ceiling})
    return pd.DataFrame(table)


def _share(pipe: DiffusionPipeline, probe: Probe, rows: Sequence[int], latents: Tensor) -> float:
    with torch.no_grad():
        best = probe.scores(decode(pipe, latents)).argmax(1)
    return float(np.isin(best, rows).mean())
