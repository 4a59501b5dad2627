"""The tables of docs/results.md as Markdown, one function each."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from benchmarks.results.frames import frame

# What the files call a method, and what the page does; in the order of the page.
LABELS = {
    "original": "original model",
    "age-unprotected": "**AGE**, unprotected",
    "random": "random neighbour",
    "empty": "empty prompt",
    "in-class": "in-class word",
    'age-paper-code:latents="cached"': "AGE, as coded",
    "uce": "UCE to the empty prompt",
    "look-ahead": "the look-ahead's word",
    'age-paper:latents="cached"': "AGE, as published",
    "ap": "AP",
    "nearest": "nearest word",
    "synonym": "synonym",
    "general": "general word",
    "unrelated": "unrelated word",
    "random-word": "random word",
    'esd-x:latents="cached"': "ESD-x",
    "rece": "RECE",
    "speed": "SPEED",
    "oce": "OCE",
    "adavd": "AdaVD",
}
GRAPH_METHODS = {"naive": "ESD", "age-unprotected": "AGE", "in-class": "in-class word", "random": "random neighbour"}
GROUP, WORDS = "excess in the same group", "rank correlation with nearness in words"


def number(value: float, digits: int = 1) -> str:
    """As the page writes numbers: a true minus sign, no minus zero, nothing where there is none."""
    if pd.isna(value):
        return ""
    text = f"{value:,.{digits}f}"
    return text.replace("-", "") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def bounds(row: pd.Series, column: str, digits: int = 1, times: float = 1.0) -> str:
    """'7.1 to 21.1': the interval of a column, whose bounds the row holds under its name, or under low and high."""
    prefix = f"{column}_" if f"{column}_low" in row else ""
    ends = sorted((times * row[f"{prefix}low"], times * row[f"{prefix}high"]))
    return " to ".join(number(end, digits) for end in ends)


def with_bounds(row: pd.Series, column: str, digits: int = 1, interval_digits: int = 0, times: float = 1.0) -> str:
    """'13.5 (7 to 21)'."""
    if pd.isna(row[column]):
        return ""
    return f"{number(times * row[column], digits)} ({bounds(row, column, interval_digits, times)})"


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ablation() -> str:
    summary = frame("ablation").set_index("method")
    header = ["", "erasures", "ESR-1", "ESR-5", "PSR-1 near", "distance near", "far"]
    header += ["comes back: synonym", "completion", "s"]
    rows = []
    for method, label in LABELS.items():
        row = summary.loc[method]
        moved = number(0, 0) if method == "original" else with_bounds(row, "distance_near")
        cells = [with_bounds(row, "esr1"), number(row["esr5"]), number(row["psr1_near"]), moved]
        cells += [number(row["distance_far"], 0 if method == "original" else 1), number(row["back_synonym"])]
        cells += [with_bounds(row, "back_completion"), number(row["seconds"])]
        rows.append([label, str(row["erasures"]), *cells])
    return markdown(header, rows)


QUIET = 'protect="near",train="kv",synonyms=true'
BEFORE = "protect_in=[],reach=0.4"  # the default until words were spared in the set's own prompt, too
PLAIN = "settle=1.0,most_left=0.0"  # the default until its target settled and it looked whether it is done
PROTECTION = {
    "age": "**AGE, the default**",
    f"age:{PLAIN}": "AGE, as many steps as the targets below",
    f"random:{QUIET}": "random neighbour, the same",
    f"in-class:{QUIET}": "in-class word, the same",
    f"empty:{QUIET}": "empty prompt, the same",
    f"in-class:{QUIET},most_left=0.2": "in-class word, ended as the default is",
    f"age:{BEFORE}": "AGE, protected in two prompts",
    "age-unprotected": "AGE, unprotected",
}


def protection() -> str:
    """The default beside other targets under the same protection; gaps are how much higher AGE in as many steps is."""
    summary = frame("protection").set_index("method")
    header = ["", "erasures", "ESR-1", "least", "PSR-1 near", "distance near", "AGE's less this"]
    header += ["in another prompt", "far", "comes back: synonym", "completion", "AGE's less this", "revival"]
    rows = []
    for method, label in PROTECTION.items():
        row = summary.loc[method]
        cells = [
            number(row["esr1"]),
            number(row["esr1_least"]),
            number(row["psr1_near"]),
            with_bounds(row, "distance_near"),
        ]
        cells += [with_bounds(row, "distance_near_gap"), number(row["distance_elsewhere"]), number(row["distance_far"])]
        cells += [number(row["back_synonym"])]
        cells += [with_bounds(row, "back_completion"), with_bounds(row, "back_completion_gap")]
        rows.append([label, str(row["erasures"]), *cells, number(row["back_revival"], 0)])
    return markdown(header, rows)


OTHERS = {
    "uce": "UCE to the empty prompt",
    "dp": "Double Projections",
    "cure": "CURE",
    "casteer": "CASteer",
    "dve": "DVE",
    "lacu": "LACU's word, a fixed target",
    "receler": "Receler",
    "age-diverse": "AGE, erased in ten contexts",
}


def others() -> str:
    """Methods of other toolkits by the judge of the default, which stands first."""
    default = frame("protection").query("method == 'age'").set_index("method")
    summary = pd.concat([default, frame("more-methods").set_index("method")])
    header = ["", "erasures", "ESR-1", "least", "PSR-1 near", "distance near", "in another prompt"]
    header += ["comes back: synonym", "completion", "revival", "s"]
    rows = []
    for method, label in ({"age": "**AGE, the default**"} | OTHERS).items():
        row = summary.loc[method]
        cells = [number(row["esr1"]), number(row["esr1_least"], 0), number(row["psr1_near"])]
        cells += [with_bounds(row, "distance_near"), number(row["distance_elsewhere"]), number(row["back_synonym"])]
        cells += [with_bounds(row, "back_completion"), number(row["back_revival"], 0), number(row["seconds"], 0)]
        rows.append([label, str(row["erasures"]), *cells])
    return markdown(header, rows)


def when_done() -> str:
    """Erasures that had left something of the concept: ended after their steps, and as the default ends them."""
    rows = pd.concat([frame("when-done-rows"), frame("protection-rows")])
    both = {name: rows[rows["method"] == method] for name, method in (("plain", f"age:{PLAIN}"), ("now", "age"))}
    merged = both["plain"].merge(both["now"], on=["concept", "seed"], suffixes=("", "_now"))
    merged = merged[merged["esr1"] < 100].sort_values("esr1", kind="stable")
    columns = {"esr1": 1, "esr1_now": 1, "steps_now": 0, "distance_near": 1, "distance_near_now": 1}
    cells = [
        [row["concept"], str(row["seed"]), *(number(row[column], digits) for column, digits in columns.items())]
        for _, row in merged.iterrows()
    ]
    header = ["", "seed", "ESR-1 after 60 steps", "the default's", "its steps", "near after 60 steps", "the default's"]
    return markdown(header, cells)


def matched() -> str:
    summary = frame("matched").set_index("method")
    header = ["", "erasers", "reach it", "strength", "distance near", "AGE's less this", "PSR-1 near"]
    rows = []
    for method, row in summary.iterrows():
        gap = with_bounds(row, "distance_near_gap", 1, 1)
        cells = [number(row["strength"], 2), with_bounds(row, "distance_near", 1, 1), gap, number(row["psr1_near"])]
        counts = [number(row[column], 0) for column in ("erasers", "reached")]
        rows.append([LABELS[str(method)], *counts, *cells])
    return markdown(header, rows)


def regret() -> str:
    rows = frame("regret").pivot(index="selector", columns="concept", values=["target", "regret"])
    concepts = list(frame("regret")["concept"].unique())
    means = frame("regret-means").set_index("selector")
    cells = []
    for selector, mean in means.iterrows():
        found = [f"{rows.loc[selector, ('target', c)]} ({rows.loc[selector, ('regret', c)]})" for c in concepts]
        cells.append([str(selector), *found, number(mean["balance"]), number(mean["regret"])])
    return markdown(["selector", *(f"{c}: target (regret)" for c in concepts), "mean balance", "mean regret"], cells)


def gold() -> str:
    names = LABELS | {"age": "AGE, the default of then"}
    header = ["", "named squirrel", "most often named", "distance of “squirrel”", "near", "far"]
    rows = []
    for _, row in frame("gold-means").iterrows():
        model = str(row["model"])
        most = f"{row['named']} ({number(row['share'], 0)} %)"
        cells = [f"{number(row['right'], 0)} %", most, number(row["distance"])]
        rows.append([names.get(model, model), *cells, number(row["near"], 2), number(row["far"], 2)])
    return markdown(header, rows)


def choosing() -> str:
    header = ["erased", "method", "π climbs", "preserved", "first logits", "lr of π", "ESR-1", "ESR-5"]
    header += ["PSR-1 near", "distance near", "far", "s", "likeliest targets"]
    rows = []
    for _, row in frame("choosing-the-default").sort_values("concept", kind="stable").iterrows():
        how = ["" if pd.isna(row[c]) else str(row[c]) for c in ("gain", "preserve", "first_logits", "pi_lr")]
        measured = [number(row[c]) for c in ("esr1", "esr5", "psr1_near", "distance_near", "distance_far", "seconds")]
        targets = "" if pd.isna(row["targets"]) else str(row["targets"])
        rows.append([str(row["concept"]), str(row["method"]), *how, *measured, targets])
    return markdown(header, rows)


def erasures() -> str:
    rows = frame("erasures")
    return markdown(
        ["erased", "ESR-1", "PSR-1", "the original's PSR-1"],
        [[str(r["erased"]), *(number(r[c]) for c in ("esr1", "psr1", "original"))] for _, r in rows.iterrows()],
    )


def _statistic(name: str, method: str, statistic: str) -> pd.Series:
    rows = frame(name)
    return rows[(rows["method"] == method) & (rows["statistic"] == statistic)].iloc[0]


def graph() -> str:
    header = ["", "mean damage: distance", "noise shift", "DS-1, %", "excess in the same group (distance)", "shuffled"]
    header += ["rank correlation with nearness in words (noise shift)", "one-way share (noise shift)", "shuffled"]
    rows = []
    for method, label in GRAPH_METHODS.items():
        far, shift, named = (
            frame(f"graph-netfive-{metric}-damage").set_index("method").loc[method]
            for metric in ("distance", "noise-shift", "DS-1")
        )
        group = _statistic("graph-netfive-distance-statistics", method, GROUP)
        cells = [with_bounds(far, "damage", times=1000), number(shift["damage"], 3)]
        cells += [with_bounds(named, "damage", 1, 1, 100), with_bounds(group, "value", 1, 1)]
        rows.append([label, *cells, bounds(group, "shuffled"), *_words_and_one_way("netfive-noise-shift", method)])
    shift = frame("graph-world-damage").iloc[0]
    group = _statistic("graph-world-statistics", "uce", GROUP)
    cells = ["", number(shift["damage"], 4), "", f"{with_bounds(group, 'value', 1, 1)}, noise shift"]
    rows.append(["UCE, all concepts", *cells, bounds(group, "shuffled", 2), *_words_and_one_way("world", "uce")])
    return markdown(header, rows)


def _words_and_one_way(part: str, method: str) -> list[str]:
    words = _statistic(f"graph-{part}-statistics", method, WORDS)
    one_way = _statistic(f"graph-{part}-statistics", method, "one-way share")
    return [
        with_bounds(words, "value", 2, 2),
        f"{number(100 * one_way['value'], 0)} %",
        f"{bounds(one_way, 'shuffled', 0, 100)} %",
    ]


def anchors() -> str:
    """Damage in the anchor's own subset, and ESR-1, by method."""
    rows = frame("graph-netfive-distance-anchors")
    names = list(rows["anchor"].unique())
    table = rows.set_index(["method", "anchor"])
    cells = []
    for method in rows["method"].unique():
        found = [table.loc[(method, anchor)] for anchor in names]
        label = (LABELS | GRAPH_METHODS)[str(method)]
        cells.append([label, *(f"{number(1000 * row['inside'], 0)} ({number(row['esr1'], 0)})" for row in found)])
    return markdown(["target", *(f"{name}: distance (ESR-1)" for name in names)], cells)


def curve() -> str:
    rows = frame("graph-world-curve")
    ends = zip(rows["first"], rows["last"], strict=True)
    ranks = [str(first) if first == last else f"{first} to {last}" for first, last in ends]
    shifts = [with_bounds(row, "damage", 3, 3) for _, row in rows.iterrows()]
    return markdown(["rank by nearness in words", "noise shift"], zip(ranks, shifts, strict=True))


def prediction() -> str:
    """Rank correlation of the damage with what tells it beforehand, by metric and method."""
    rows = []
    for metric in ("noise-shift", "distance", "DS-1"):
        table = frame(f"graph-netfive-{metric}-prediction").set_index(["method", "predictor"])
        predictors = list(dict.fromkeys(table.index.get_level_values("predictor")))
        for method, label in GRAPH_METHODS.items():
            cells = [with_bounds(table.loc[(method, p)], "correlation", 2, 2) for p in predictors]
            rows.append([metric, label, *cells])
    return markdown(["metric", "", *predictors], rows)


TABLES: dict[str, Callable[[], str]] = {
    "ablation": ablation,
    "protection": protection,
    "when-done": when_done,
    "others": others,
    "matched": matched,
    "regret": regret,
    "gold": gold,
    "choosing": choosing,
    "erasures": erasures,
    "graph": graph,
    "anchors": anchors,
    "curve": curve,
    "prediction": prediction,
}
