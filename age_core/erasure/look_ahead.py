"""Look-ahead: try every candidate target in closed form before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts.candidates import Candidates
from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.erasure.closed_form.methods import uce_changes
from age_core.erasure.closed_form.problem import ErasureProblem, algebra_device
from age_core.errors import AgeError
from age_core.measure.noise_shift import noise_reference, noise_shift
from age_core.models.eraser import Eraser

WATCHED = 12  # nearest candidates whose damage is looked at: damage is local
ENOUGH = 0.5  # of the best candidate's erasure: a target that erases less is gentle only because it does little


def look_ahead(
    pipe: DiffusionPipeline,
    concept: str,
    candidates: Candidates,
    concepts: ConceptSet,
    watched: Sequence[str] = (),
    images: int = 1,
    own_images: int = 4,
) -> Iterator[int | pd.DataFrame]:
    """Yield how many candidates were tried, then the table of what a UCE edit of `concept` to each would do, in order.

    erased: noise shift of the concept itself; damage: mean noise shift of `watched`, by default the WATCHED nearest
    candidates (`noise_shift`: 0 is untouched, 1 as far as without words); utility = log(erased / damage),
    lowered by the log of how far `erased` is below ENOUGH of the best. Nothing is trained and nothing is sampled after
    the reference pictures: `images` of each watched concept, `own_images` of the erased one, on which every utility
    rests.
    """
    judged = Concept(concept, concept, concept) if concept not in concepts.names else concepts[concept]
    others = [concepts[name] for name in dict.fromkeys(watched or candidates.names[:WATCHED]) if name != concept]
    if not others:
        raise AgeError("Looking ahead needs at least one other concept to watch for damage.")
    reference = noise_reference(pipe, replace(concepts, concepts=(judged,)), own_images)
    reference = reference.followed_by(noise_reference(pipe, replace(concepts, concepts=tuple(others)), images))
    # what does not depend on the target, once for all candidates
    problem = ErasureProblem.of(pipe, (concept,), device=algebra_device(pipe))
    rows = []
    for tried, name in enumerate(candidates.names):
        yield tried
        eraser = Eraser({n: change.float() for n, change in uce_changes(problem, {concept: name}).items()})
        shift = noise_shift(pipe, reference, eraser)["shift"]
        rows.append({"candidate": name, "erased": shift[:own_images].mean(), "damage": shift[own_images:].mean()})
    table = pd.DataFrame(rows)
    enough = ENOUGH * table["erased"].max()
    floor = 1e-9
    table["utility"] = np.log((table["erased"] + floor) / (table["damage"] + floor))
    table["utility"] += np.log((table["erased"] + floor) / (enough + floor)).clip(upper=0)
    yield table


def best_target(table: pd.DataFrame) -> str:
    """The candidate of the highest utility."""
    return str(table.loc[table["utility"].idxmax(), "candidate"])


def with_prior(candidates: Candidates, table: pd.DataFrame, strength: float) -> Candidates:
    """The candidates with first logits pi: standardised utilities times `strength`, so softmax(pi) starts from them."""
    spread = float(table["utility"].std()) or 1.0
    prior = strength * (table["utility"] - table["utility"].mean()) / spread
    return replace(candidates, prior=tuple(float(value) for value in prior))
