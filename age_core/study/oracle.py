"""The oracle: every candidate target measured on pictures."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts.candidates import Candidates
from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.closed_form.methods import uce
from age_core.erasure.closed_form.problem import ErasureProblem
from age_core.measure.verdicts import hits
from age_core.models.probes import Probe


def oracle(
    pipe: DiffusionPipeline,
    probe: Probe,
    concepts: ConceptSet,
    concept: str,
    candidates: Candidates,
    others: Sequence[str],
    images: int = 2,
    erased_images: int = 8,
) -> pd.DataFrame:
    """Every candidate tried by a UCE edit and measured on pictures: candidate, esr1, psr1 (percent), balance.

    balance is their mean, by which the best target in hindsight is called. (docs/method.md, section G: with closed-form
    edits every candidate can be tried.)
    """
    others = [name for name in dict.fromkeys(others) if name != concept]
    problem = ErasureProblem.of(pipe, (concept,), ())
    rows = []
    for name in candidates.names:
        eraser = uce(problem, {concept: name})
        of_concept = hits(pipe, probe, concepts, [concept], erased_images, eraser)["top1"].mean()
        of_others = hits(pipe, probe, concepts, others, images, eraser)["top1"].mean()
        rows.append({"candidate": name, "esr1": 100 * (1 - of_concept), "psr1": 100 * of_others})
    table = pd.DataFrame(rows)
    return table.assign(balance=(table["esr1"] + table["psr1"]) / 2)
