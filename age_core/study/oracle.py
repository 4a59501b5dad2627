"""The oracle: every candidate target measured on pictures, and what each selector gives away to the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from diffusers import DiffusionPipeline

from age_core.assets import ASSETS
from age_core.concepts.candidates import Candidates
from age_core.concepts.concept_set import ConceptSet
from age_core.erasure.closed_form.methods import uce
from age_core.erasure.closed_form.problem import ErasureProblem
from age_core.errors import AgeError
from age_core.measure.verdicts import hits
from age_core.models.probes import Probe

MEASURED = ("candidate", "esr1", "psr1", "balance")


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


def recorded_oracle(path: Path = ASSETS / "oracle.parquet") -> pd.DataFrame:
    """What the oracle found of concepts of the bundled world: concept, then the columns of `oracle`, the nearest first.

    Raises AgeError where the file cannot be read.
    """
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise AgeError(f"The oracle's table {path.name!r} cannot be read: {error}.") from error
    if list(table.columns) != ["concept", *MEASURED]:
        raise AgeError(
            f"{path.name!r} is no table of an oracle: it has the columns {', '.join(map(str, table.columns))}."
        )
    return table


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
