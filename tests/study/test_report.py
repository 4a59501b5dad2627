"""Reading a graph of known shape on the bundled model's own distances, and the floor of its metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from age_core.__main__ import main
from age_core.assets import ASSETS
from age_core.measure import noise_shift, verdicts
from age_core.models.sampling import generate
from age_core.study import report
from age_core.study.build import Source, Task
from age_core.study.predict import output_distance, text_distance
from age_core.study.report import noise_floor, predictions, side_effect_report, stabilities
from age_core.study.statistics import shuffled
from age_core.study.tables import COLUMNS, SideEffects


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> str:
    """Three of the NetFive set's five groups, as a file: what each concept looks like is drawn."""
    header, *rows = (ASSETS / "concepts" / "emoji-netfive.csv").read_text().splitlines()
    path = tmp_path_factory.mktemp("concepts") / "some.csv"
    path.write_text("\n".join([header, *rows[:15]]))
    return str(path)


@pytest.fixture(scope="module")
def setup(watched):
    return Source(watched=watched).open()


@pytest.fixture(autouse=True)
def rough_pictures(monkeypatch):
    """Nothing here rests on looks, and drawing takes longest: one picture tells them, and two steps draw it."""
    monkeypatch.setattr(report, "output_distance", partial(output_distance, images=1))
    monkeypatch.setattr(noise_shift, "STEPS", 2)
    monkeypatch.setattr(
        verdicts, "generate", lambda pipe, prompts, seeds, steps, *how: generate(pipe, prompts, seeds, 2, *how)
    )


def table_of(concepts, damage, method, seeds=(0,)):
    """Every concept erased, with the damage that `damage(a, b, rng)` says."""
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for a in concepts.names:
            for b in concepts.names:
                delta = damage(a, b, rng)
                rows.append(
                    ("emoji", "", method, "", a, b, seed, "DS-1", 1.0, 1 - delta, delta, delta - 0.05, delta + 0.05)
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_a_local_graph_beats_its_nulls_and_a_graph_of_chance_does_not(setup):
    concepts = setup.watched
    near = text_distance(setup.pipe, concepts, concepts.names)
    local = table_of(
        concepts, lambda a, b, rng: 0 if a == b else 0.5 - near.loc[a, b] / 2 + 0.05 * rng.random(), "local", (0, 1)
    )
    chance = table_of(concepts, lambda a, b, rng: rng.random(), "chance", (0, 1))
    both = SideEffects(pd.concat([local, chance]))
    parts = side_effect_report(setup, both, "DS-1", ["local", "chance"])
    found, null = (parts[method]["statistics"].set_index("statistic") for method in ("local", "chance"))
    for name in ("excess in the same group", "rank correlation with nearness in words"):
        assert found.loc[name, "low"] > found.loc[name, "shuffled_high"]
        assert null.loc[name, "shuffled_low"] <= null.loc[name, "value"] <= null.loc[name, "shuffled_high"]
        assert found.loc[name, "overlap"] > 0.2  # words that are near overlap, too
    assert found.loc["one-way share", "value"] < 0.2 < null.loc["one-way share", "value"]
    own, other = stabilities(both, ("local", "DS-1"))["correlation"]
    assert own > 0.8 and abs(other) < 0.2
    assert stabilities(both, ("chance", "DS-1"))["correlation"].abs().max() < 0.2
    floor, graph = parts["local"]["floor"].iloc[0], parts["local"]["graph"].iloc[0]
    assert floor["effects"] == 15 * 14 and floor["clear"] == graph["edges"] > 35 and "table" in floor["how"]
    assert graph["adjusted_rand"] > 0.3 and graph["reciprocity"] > 0.9
    assert set(parts["local"]["harm most"].columns) == {"concept", "harms", "harm", "hurt_by", "hurt"}


def test_a_predictor_is_judged_by_its_order_and_against_the_favourite():
    names = list("abcdefgh")
    rng = np.random.default_rng(0)
    damage = pd.DataFrame(rng.random((4, 8)), names[:4], names)
    noisy = damage + rng.normal(0, 0.3, damage.shape)
    table = predictions(damage, {"exact": damage**3, "noisy": noisy, "chance": damage * 0 + rng.random(damage.shape)})
    exact, noisy_row, chance = (row for _, row in table.iterrows())
    assert exact["correlation"] == pytest.approx(1) and np.isnan(exact["ahead"])
    assert 0.3 < noisy_row["low"] <= noisy_row["correlation"] <= noisy_row["high"] < 1
    assert chance["ahead"] == pytest.approx(1 - chance["correlation"]) and chance["ahead_low"] > 0


def test_without_an_edit_nothing_moves_and_other_seeds_do(setup, tmp_path):
    few = replace(setup, watched=replace(setup.watched, concepts=setup.watched.concepts[::4]))
    floor = noise_floor(few, Task.of("uce", images=2), tmp_path)
    same, others = (floor[floor["method"] == method] for method in ("no edit", "no edit, other seeds"))
    assert (same["delta"].abs() < 1e-4).all() and set(same["metric"]) == {"DS-1", "DS-5", "distance", "noise-shift"}
    assert set(others["metric"]) == {"DS-1", "DS-5"} and len(others) == 2 * len(few.watched)
    assert list(floor.columns) == list(COLUMNS)


def test_the_command_line_reads_tables_and_refuses_others(setup, watched, tmp_path, capsys, monkeypatch):
    # what chance makes is judged above
    monkeypatch.setattr(report, "shuffled", lambda damage, statistic, rounds: shuffled(damage, statistic, 20))
    near = text_distance(setup.pipe, setup.watched, setup.watched.names)
    path = tmp_path / "table.parquet"
    table = table_of(setup.watched, lambda a, b, rng: 0 if a == b else 1 - near.loc[a, b], "mine")
    table[table["erased"].isin(setup.watched.names[::4])].to_parquet(path)  # each erased one costs a look-ahead
    graph = tmp_path / "graph.graphml"
    asked = ["--json", "--concepts", watched, "statistics", str(path), "--metric", "DS-1", "--watched", watched]
    assert main([*asked, "--predict", "--graphml", str(graph)]) == 0
    found = json.loads(capsys.readouterr().out)["methods"]["mine"]
    assert {row["statistic"] for row in found["statistics"]} >= {"one-way share", "excess in the same group"}
    told = {row["predictor"]: row for row in found["prediction"]}
    assert list(told) == ["look-ahead", "nearness in words", "nearness in looks", "text overlap"]
    assert told["nearness in words"]["correlation"] == pytest.approx(1) and told["look-ahead"]["high"] < 1
    assert len(found["abnormal"]) == 10 and found["stability"][0]["erasers"] == 1
    assert found["floor"][0]["clear"] > 0 and found["graph"][0]["communities"] > 1
    assert main([*asked, "--methods", "other"]) == 2
    assert "it holds DS-1 by mine" in capsys.readouterr().err
    edges = nx.read_graphml(graph).edges(data=True)
    assert len(edges) == found["floor"][0]["clear"] and all(edge["relation"] for *_, edge in edges)
    assert main([*asked, "--methods", "mine", "age", "--graphml", str(graph)]) == 2
    assert "the graph of one method" in capsys.readouterr().err
    for broken in (b"nothing", b""):
        path.write_bytes(broken)
        assert main(asked) == 2 and "cannot be read" in capsys.readouterr().err
    pd.DataFrame({"a": [1]}).to_parquet(path)
    assert main(asked) == 2 and "lacks the columns" in capsys.readouterr().err
