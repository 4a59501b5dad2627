"""What an erasure will damage, before anything is trained; and how alike concepts are, the plain baseline.

Each function gives a DataFrame with a row an erased concept and a column a concept, nan for the erased one itself, like
damage matrices; `statistics.rank_correlation` says how well they agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.closed_form.methods import uce
from age_core.erasure.closed_form.problem import ClosedFormOptions, ErasureProblem, read_prompts
from age_core.measure.noise_shift import Reference, noise_shift
from age_core.measure.verdicts import draw_and_judge
from age_core.models.families import embed_concepts
from age_core.models.probes import Probe


def text_distance(pipe: DiffusionPipeline, concepts: ConceptSet, erased: Sequence[str]) -> pd.DataFrame:
    """One minus the cosine of two names' mean token states: what is near in words."""
    vectors = embed_concepts(pipe, concepts.names)
    return _between(concepts, erased, lambda row: 1 - vectors @ vectors[row])


def output_distance(
    pipe: DiffusionPipeline, probe: Probe, concepts: ConceptSet, erased: Sequence[str], images: int = 4
) -> pd.DataFrame:
    """Distance of the mean probe features of what the model draws: what is near in looks. `images` of each concept."""
    _, pictures = draw_and_judge(pipe, probe, concepts, list(concepts), images)
    means = probe.features(pictures).reshape(len(concepts), images, -1).mean(axis=1)
    return _between(concepts, erased, lambda row: np.linalg.norm(means - means[row], axis=1))


def text_overlap(pipe: DiffusionPipeline, concepts: ConceptSet, erased: Sequence[str]) -> pd.DataFrame:
    """The null that knows no pictures: how far UCE's edit reaches into each word, by encodings alone.

    UCE changes W by sum (v* - W c) (a c^T A^-1): another word's token state x is moved as far as |C A^-1 x| says, and
    the target only turns and scales that (docs/method.md, section G). C is the concept's last subject token; the mean
    of the square over the tokens of each judged prompt. (With end and padding tokens in C, which all words share,
    nothing of the words is left: on emoji-netfive its rank correlation with nearness in words is -0.2, so 0.7.)
    """
    last = ClosedFormOptions(tokens="last")
    states = read_prompts(pipe, concepts.names, (concepts.template,)).states  # (n, L, D)

    def reach(row: int) -> np.ndarray:
        factor = ErasureProblem.of(pipe, (concepts.names[row],), (), last).factor
        return (states @ factor.T).square().sum(-1).mean(-1).numpy()

    return _between(concepts, erased, reach)


def look_ahead_damage(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    erased: Sequence[str],
    reference: Reference,
    targets: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Mean noise shift of every concept under a UCE edit of each erased one: a fifth of a second each, no training.

    `reference`: `verdicts.noise_reference` of the concepts. `targets`: a word for each erased concept, else "".
    """

    def shift(row: int) -> np.ndarray:
        name = concepts.names[row]
        eraser = uce(ErasureProblem.of(pipe, (name,)), {name: (targets or {}).get(name, "")})
        moved = noise_shift(pipe, reference, eraser)
        return moved.groupby("concept", sort=False)["shift"].mean().reindex(concepts.names).to_numpy()

    return _between(concepts, erased, shift)


def _between(concepts: ConceptSet, erased: Sequence[str], row_of: Callable[[int], np.ndarray]) -> pd.DataFrame:
    names = list(concepts.names)
    rows = [names.index(concepts.find(name).name) for name in erased]
    table = pd.DataFrame([row_of(row) for row in rows], [names[row] for row in rows], names, dtype=float)
    return table.mask(np.equal.outer(table.index.to_numpy(), table.columns.to_numpy()))
