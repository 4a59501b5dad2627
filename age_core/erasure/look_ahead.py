"""Look-ahead: try every candidate target in closed form first; and the oracle, which measures each on pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from diffusers import DiffusionPipeline

from age_core.concepts.candidates import Candidates
from age_core.concepts.concept_set import Concept, ConceptSet
from age_core.erasure.closed_form.methods import uce
from age_core.erasure.closed_form.problem import ErasureProblem
from age_core.errors import AgeError
from age_core.measure.noise_shift import noise_reference, noise_shift
from age_core.measure.verdicts import hits
from age_core.models.probes import Probe

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
    candidates (evaluation.noise_shift: 0 is untouched, 1 as far as without words); utility = log(erased / damage),
    lowered by the log of how far `erased` is below ENOUGH of the best. Nothing is trained and nothing is sampled after
    the reference pictures: `images` of each watched concept, `own_images` of the erased one, on which every utility
    rests.
    """
    judged = Concept(concept, concept, concept) if concept not in concepts.names else concepts[concept]
    wanted = watched or candidates.names[:WATCHED]
    others = [concepts[name] for name in dict.fromkeys(wanted) if name != concept]
    if not others:
        raise AgeError("Looking ahead needs at least one other concept to watch for damage.")
    own = noise_reference(pipe, replace(concepts, concepts=(judged,)), own_images)
    both = own.followed_by(noise_reference(pipe, replace(concepts, concepts=tuple(others)), images))
    problem = ErasureProblem.of(pipe, (concept,), ())  # what does not depend on the target, once for all candidates
    rows = []
    for tried, name in enumerate(candidates.names):
        yield tried
        eraser = uce(problem, {concept: name})
        shift = noise_shift(pipe, both, eraser)["shift"]
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

    balance is their mean, by which the best target in hindsight is called. (method.md, section G: with closed-form
    edits every candidate can be tried.)
    """
    others = [name for name in dict.fromkeys(others) if name != concept]
    problem = ErasureProblem.of(pipe, (concept,), ())
    rows = []
    for name in candidates.names:
        eraser = uce(problem, {concept: name})
        gone = hits(pipe, probe, concepts, [concept], erased_images, eraser)["top1"].mean()
        kept = hits(pipe, probe, concepts, others, images, eraser)["top1"].mean()
        rows.append({"candidate": name, "esr1": 100 * (1 - gone), "psr1": 100 * kept})
    table = pd.DataFrame(rows)
    return table.assign(balance=(table["esr1"] + table["psr1"]) / 2)


def regrets(table: pd.DataFrame, choices: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """How much balance each selector gives away to the oracle; one row a selector.

    choices: for each selector the share of each candidate it uses (a fixed choice: {word: 1}); the expected balance
    is weighed by it. Raises AgeError on a candidate that the oracle did not try.
    """
    balance = table.set_index("candidate")["balance"]
    best = balance.idxmax()
    rows = [{"selector": "oracle", "target": best, "balance": balance[best], "regret": 0.0}]
    for selector, shares in choices.items():
        unknown = [word for word in shares if word not in balance.index]
        if unknown:
            raise AgeError(f"The oracle did not try {unknown[0]!r}; it tried {', '.join(balance.index)}.")
        expected = sum(share * balance[word] for word, share in shares.items()) / sum(shares.values())
        top = max(shares, key=lambda word: shares[word])
        rows.append({"selector": selector, "target": top, "balance": expected, "regret": balance[best] - expected})
    return pd.DataFrame(rows)
