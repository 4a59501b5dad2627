"""The measured numbers as tables: every file of this folder and of assets/ by its name, and some that follow from them.

Pandas alone: no model is opened, so that the page of results is made in a second or two.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd

from benchmarks.faults.slopes import slopes

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "benchmarks" / "results", ROOT / "assets")


@cache
def frame(name: str) -> pd.DataFrame:
    """The table of that name. Raises KeyError listing the names there are."""
    if name in DERIVED:
        return DERIVED[name]()
    for folder in FOLDERS:
        if (folder / f"{name}.csv").exists():
            return pd.read_csv(folder / f"{name}.csv")
    files = sorted(path.stem for folder in FOLDERS for path in folder.glob("*.csv"))
    raise KeyError(f"There is no table {name!r}; there are {', '.join([*DERIVED, *files])}.")


def _lines(name: str) -> pd.DataFrame:
    """An erasure a row (`ablation.py`), with the share of pictures that still show the concept and the first target."""
    rows = pd.read_json(FOLDERS[0] / f"{name}.jsonl", lines=True, dtype=False)
    first = [targets[0][0] if isinstance(targets, list) and targets else "" for targets in rows["targets"]]
    return rows.assign(shown=100 - rows["esr1"], target=first)


def _card() -> pd.DataFrame:
    """The card and the versions on which `gpu_check.py` ran, as name and value."""
    about = frame("gpu_check").query("check == 'card'").iloc[0].dropna()
    return pd.DataFrame({"name": about.index, "value": about.astype(str).to_numpy()})


def _report() -> pd.DataFrame:
    """The bundled model's report as name and value, names of inner entries with a point: styles.both."""
    report = json.loads((ROOT / "assets" / "emoji-sd" / "report.json").read_text(encoding="utf-8"))
    flat = pd.json_normalize(report)
    flat["general_words"] = pd.Series(report["beyond_training"]["general_words"]).mean()
    unseen = pd.Series(report["probe_leave_one_style_out_top1"])
    flat["unseen_style_low"], flat["unseen_style_high"] = unseen.min(), unseen.max()
    return pd.DataFrame({"name": flat.columns, "value": flat.iloc[0].to_numpy()})


def _erasures() -> pd.DataFrame:
    """ESR-1 and PSR-1 of the six erasures that came with the map, and the original model's PSR-1; percent."""
    table = pd.read_parquet(ROOT / "assets" / "graphs" / "emoji.parquet")
    table = table[table["metric"] == "DS-1"]
    own = table["affected"] == table["erased"]
    kept = table[~own].groupby("erased")
    columns = {"esr1": 1 - table[own].set_index("erased")["after"], "psr1": kept["after"].mean()}
    rows = 100 * pd.DataFrame(columns | {"original": kept["before"].mean()})
    rows.loc["mean"] = rows.mean()
    return rows.rename_axis("erased").reset_index()


def _regret() -> pd.DataFrame:
    """Balance and regret of each selector, mean over the concepts."""
    rows = frame("regret")
    return rows.groupby("selector", as_index=False, sort=False)[["balance", "regret"]].mean()


def _gold() -> pd.DataFrame:
    """A row a model: what it draws for the erased word itself, and the mean distance of near and far concepts."""
    rows = frame("gold-squirrel")
    own = rows[rows["word"] == "squirrel"].set_index("model")
    sides = rows.groupby(["model", "side"])["distance"].mean().unstack("side")
    return own.assign(near=sides["near"], far=sides["far"]).reset_index()


def _kills() -> pd.DataFrame:
    """How many runs were killed, and how many ended in the same bits."""
    rows = frame("faults-kills")
    return pd.DataFrame({"of": ["all"], "kills": [len(rows)], "same": [int(rows["same"].sum())]})


def _inputs() -> pd.DataFrame:
    """The sums over all kinds of input."""
    rows = frame("faults-inputs")
    return pd.DataFrame(
        {"of": ["all"], **{name: [int(rows[name].sum())] for name in ("inputs", "tracebacks", "leaks")}}
    )


def _reopened() -> pd.DataFrame:
    """How much memory the process had when as much was open as ever would be, and after the last opening; MB."""
    rows = frame("faults-reopen")
    first, last = rows.iloc[2], rows.iloc[-1]
    ends = {"first": [first["rss_mb"]], "last": [last["rss_mb"]], "alive": [last["alive"]]}
    return pd.DataFrame({"of": ["all"], "openings": [len(rows)], **ends})


def _protected(name: str) -> pd.DataFrame:
    """The same by names without options, which hold signs that a place on the page cannot: "-before", "-plain"…"""
    rows = frame(name)

    def suffix(text: str) -> str:
        options = json.loads(text)
        before = "-before" if "protect_in" in options else ""
        if "most_left" not in options:
            return before
        return "-done" if options["most_left"] else "-plain"

    return rows.assign(method=rows["named"] + rows["options"].map(suffix))


def _steps() -> pd.DataFrame:
    """Of the default's erasures: how many there are, how many of them went on, and the steps that they took."""
    steps = _lines("protection").query("method == 'age'")["steps"]
    return pd.DataFrame({"of": ["all"], "count": [len(steps)], "on": [(steps > 60).sum()], "mean": [steps.mean()]})


DERIVED: dict[str, Callable[[], pd.DataFrame]] = {
    "protected": lambda: _protected("protection"),
    "protected-done": lambda: _protected("protection-done"),
    "ablation-rows": lambda: _lines("ablation"),
    "protection-rows": lambda: _lines("protection"),
    "when-done-rows": lambda: _lines("when-done"),
    "protection-steps": _steps,
    "variants-rows": lambda: _lines("ablation-variants"),
    "report": _report,
    "erasures": _erasures,
    "regret-means": _regret,
    "gold-means": _gold,
    "gpu_check": lambda: pd.read_json(FOLDERS[0] / "gpu_check.jsonl", lines=True, precise_float=True),
    "gpu-card": _card,
    "gpu-costs": lambda: frame("gpu_check").query("check == 'costs'"),
    "faults-kills-all": _kills,
    "faults-inputs-all": _inputs,
    "faults-reopen-all": _reopened,
    "faults-soak-all": lambda: pd.DataFrame({"of": ["all"], "minutes": [frame("faults-soak")["minute"].max()]}),
    "faults-heap-all": lambda: pd.DataFrame({"of": ["all"], "rounds": [frame("faults-heap")["rounds"].iloc[0]]}),
    "faults-slopes": lambda: slopes(frame("faults-soak")),
    "graph-world-abnormal-count": lambda: pd.DataFrame(
        {"set": ["world"], "count": [len(frame("graph-world-abnormal"))]}
    ),
}
