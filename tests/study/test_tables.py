"""Tables of side effects as asked: seeds pooled once, what is clear of the noise floor, methods by key and label."""

from __future__ import annotations

from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from age_core import AgeError, ConceptSet
from age_core.assets import ASSETS
from age_core.concepts.concept_set import Concept
from age_core.erasure.methods import METHODS, method_label
from age_core.study.build import side_effect_rows
from age_core.study.floor import UNEDITED, Floor, visible_floor
from age_core.study.labels import label_of, method_of
from age_core.study.tables import COLUMNS, Recorded, SideEffects, gather, read_table

OLD = Path(__file__).parents[1] / "runs" / "e28eaab"
NAMES = [f"c{row}" for row in range(60)]


def table(rows, metric="DS-1", method="age", target="adaptive", model="tiny", identity=""):
    """Of rows (erased, affected, seed, delta, low, high)."""
    made = pd.DataFrame(rows, columns=["erased", "affected", "seed", "delta", "low", "high"])
    about = {"metric": metric, "method": method, "target": target, "model": model, "identity": identity}
    return made.assign(before=1.0, after=1 - made["delta"], **about)[list(COLUMNS)]


def floor_rows(*deltas, metric="DS-1"):
    rows = [("", f"c{row}", 0, delta, delta - 0.1, delta + 0.1) for row, delta in enumerate(deltas)]
    return table(rows, metric, UNEDITED, "")


# --- seeds ---------------------------------------------------------------------------------------------------------


def test_one_seed_keeps_its_interval_and_several_widen_by_what_they_differ():
    def pair(*rows):
        (row,) = SideEffects(table(rows)).pairs(("age", "DS-1")).to_dict("records")
        return row

    once = pair(("dog", "wolf", 0, 0.2, 0.1, 0.3), ("dog", "dog", 0, 1.0, 1.0, 1.0))
    expected = {"erased": "dog", "affected": "wolf", "delta": 0.2, "low": 0.1, "high": 0.3, "runs": 1, "clear": True}
    assert once == expected
    same = pair(*(("dog", "wolf", seed, 0.2, 0.1, 0.3) for seed in range(3)))
    assert same["low"] == pytest.approx(0.1) and same["runs"] == 3  # the same pictures: nothing is gained
    apart = pair(*(("dog", "wolf", seed, d, d - 0.1, d + 0.1) for seed, d in enumerate((0.0, 0.4))))
    assert apart["delta"] == pytest.approx(0.2)
    assert apart["high"] == pytest.approx(0.2 + 1.96 * np.sqrt((0.1 / 1.96) ** 2 + 0.08 / 2))
    unsure = pair(*(("dog", "wolf", seed, d, np.nan, np.nan) for seed, d in enumerate((0.0, 0.4))))  # of one picture
    assert unsure["high"] == pytest.approx(0.2 + 1.96 * np.sqrt(0.08 / 2))
    with pytest.raises(AgeError, match="holds no DS-5 by AGE, protected; it holds DS-1 by AGE, protected"):
        SideEffects(table([("dog", "wolf", 0, 0.2, 0.1, 0.3)])).pairs(("age", "DS-5"))


def test_tables_of_two_models_are_not_averaged():
    row = [("dog", "wolf", 0, 0.2, 0.1, 0.3)]
    with pytest.raises(AgeError, match="several models, alice, bob: read one"):
        SideEffects(pd.concat([table(row, model="alice"), table(row, model="bob")]))
    with pytest.raises(AgeError, match=r"models, alice \(1\), alice \(2\): read one"):  # new weights in one folder
        SideEffects(pd.concat([table(row, model="alice", identity=identity) for identity in "12"]))


def test_tables_of_one_model_go_together_wherever_it_lay():
    row = [("dog", "wolf", 0, 0.2, 0.1, 0.3)]
    places = [table(row, model=name, identity="1") for name in ("alice", "models/alice/")]
    assert SideEffects(pd.concat(places)).model == ("models/alice/", "1")
    old = table(row, model="alice").drop(columns="identity")  # of an earlier version, which did not say
    assert SideEffects(pd.concat([old, places[0]])).model == ("alice", "1")
    assert SideEffects(old).model == ("alice", "") and SideEffects(old.iloc[:0]).model == ("", "")


# --- what the map asks -----------------------------------------------------------------------------------------------

MAP = SideEffects(
    pd.concat(
        [
            table(
                [
                    ("dog", "wolf", 0, 0.5, 0.4, 0.6),
                    ("dog", "cat", 0, 0.3, 0.2, 0.4),
                    ("dog", "car", 0, 0.1, -0.1, 0.3),
                    ("car", "dog", 0, -0.4, -0.5, -0.3),
                    ("car", "wolf", 0, 0.2, 0.1, 0.3),
                    ("car", "cat", 0, 0.0, 0.0, 0.0),
                ]
            ),
            floor_rows(0.0, 0.05, -0.05),
            table([("dog", "wolf", 0, 0.01, 0.0, 0.1)], "noise-shift", "uce", ""),
        ]
    )
)
DS = ("age", "DS-1")


def test_the_strongest_effects_are_those_of_the_direction_that_is_asked_for():
    assert list(MAP.strongest(DS, "dog", "hurts")["affected"]) == ["wolf", "cat"]
    assert list(MAP.strongest(DS, "dog", "hurts", k=1)["affected"]) == ["wolf"]
    assert list(MAP.strongest(DS, "dog", "hurt by")["erased"]) == ["car"]
    assert list(MAP.strongest(DS, "dog", "both")["delta"]) == [0.5, -0.4, 0.3]
    assert list(MAP.strongest(DS, "dog", "hurts", clear=False)["affected"]) == ["car"]
    assert MAP.unclear(DS, "dog", "hurts") == 1 == MAP.unclear(DS, "dog", "both")


def test_what_else_the_map_asks():
    assert MAP.sources == [("uce", "noise-shift"), DS] and MAP.methods == ["age", "uce"]
    assert MAP.damage(DS).loc["car", "dog"] == -0.4 and np.isnan(MAP.damage(DS).loc["dog"]["dog"])
    assert MAP.damage(("AGE, protected", "DS-1"), "high").loc["dog", "wolf"] == 0.6
    assert MAP.mean_damage_received(DS)["wolf"] == pytest.approx(0.35)
    assert MAP.most_damaging(DS) == "dog"
    concepts = ConceptSet("few", tuple(Concept(name, "g", "thing") for name in ("dog", "cat", "car")), "{noun}")
    assert MAP.missing(concepts) == ["cat"]


def test_what_is_recorded_is_read_when_it_is_asked_for_and_comes_first_where_people_see_it():
    read = []

    def rows(metric):
        read.append(metric)
        return table([("cat", "dog", 0, 0.3, 0.2, 0.4), ("cat", "car", 0, 0.1, np.nan, np.nan)], metric, "naive", "")

    seen = Recorded(("cat",), partial(rows, "distance"), Floor(0.2, "measured: seeds"))
    recorded = {("naive", "noise-shift"): Recorded(("cat",), partial(rows, "noise-shift")), ("naive", "distance"): seen}
    effects = SideEffects(MAP.table, recorded)
    assert effects.sources == [("naive", "distance"), ("uce", "noise-shift"), ("naive", "noise-shift"), DS]
    assert effects.methods == ["age", "uce", "naive"] and read == []
    concepts = ConceptSet("few", tuple(Concept(name, "g", "thing") for name in ("dog", "cat", "wolf")), "{noun}")
    assert effects.missing(concepts) == ["wolf"] and read == []
    first = effects.sources[0]
    assert list(effects.strongest(first, "cat", "hurts")["affected"]) == ["dog"] and effects.floor(first) == seen.floor
    assert not effects.measured(first, "dog", "hurts") and effects.measured(first, "dog", "hurt by")
    assert read == ["distance"]  # once
    assert effects.pairs(DS).equals(MAP.pairs(DS))


def test_a_dot_is_as_large_as_its_concept_is_abnormal():
    counts = MAP.abnormal(DS, rounds=50).set_index("concept")
    assert counts.index[0] == "wolf" and counts.loc["wolf", "hurt_by"] == 2
    sizes = dict(zip(("wolf", "cat", "dog", "moon"), MAP.abnormality(DS, ["wolf", "cat", "dog", "moon"]), strict=True))
    above = (counts["hurt_by"] - counts["expected"]).clip(lower=0)
    assert sizes["wolf"] == 1 and sizes["dog"] == 0 and np.isnan(sizes["moon"])
    assert sizes["cat"] == pytest.approx(above["cat"] / above.max())


# --- what is clear ---------------------------------------------------------------------------------------------------


def test_shares_are_clear_beyond_what_other_seeds_change():
    rows = [("dog", "wolf", 0, 0.2, 0.1, 0.3), ("dog", "cat", 0, 0.4, 0.3, 0.5), ("dog", "car", 0, 0.5, -0.1, 0.9)]
    without = SideEffects(table(rows))
    assert without.pairs(DS)["clear"].tolist() == [True, True, False]
    measured = SideEffects(pd.concat([table(rows), floor_rows(*[0.0] * 18, -0.25, 0.3)]))
    floor = measured.floor(DS)
    assert floor.value == 0.3 and "measured" in floor.how and "20 shares" in floor.how
    assert measured.pairs(DS)["clear"].tolist() == [False, True, False]
    assert len(measured.pairs(DS)) == 3 and measured.sources == [DS]  # the floor is no side effect


def shares(rng, images, before, damage):
    """DS-1 of an erasure of every concept that takes `damage(a, b)` of what was right, and flips as much by chance."""
    tables = []
    for erased in NAMES[:12]:
        first = rng.random((len(NAMES), images)) < before
        flipped = np.where(rng.random(first.shape) < 0.1, rng.random(first.shape) < before, first)
        lost = rng.random(first.shape) < np.array([[damage(erased, other)] for other in NAMES])
        columns = {"concept": np.repeat(NAMES, images), "top1": first.ravel().astype(float)}
        after = columns | {"top1": (flipped & ~lost).ravel().astype(float)}
        about = {"model": "tiny", "method": "age", "target": "adaptive", "erased": erased, "seed": 0}
        tables.append(side_effect_rows(pd.DataFrame(columns), pd.DataFrame(after), "DS-1", "top1", **about))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize("measured", [True, False])
def test_what_chance_does_to_a_share_is_not_clear_and_damage_is(measured):
    rng = np.random.default_rng(0)
    rows = shares(rng, 16, 0.8, lambda a, b: 0.9 * (b == NAMES[int(a[1:]) + 20]))
    if measured:
        rows = pd.concat([rows, floor_rows(*(rng.binomial(16, 0.8, (2, 60)) / 16 * [[1], [-1]]).sum(axis=0))])
    pairs = SideEffects(rows).pairs(DS)
    hit = pairs["affected"] == [NAMES[int(name[1:]) + 20] for name in pairs["erased"]]
    assert pairs.loc[hit, "clear"].mean() >= 0.9 and pairs.loc[~hit, "clear"].mean() <= 0.05


@pytest.mark.parametrize("metric", ["distance", "noise-shift"])
@pytest.mark.parametrize("seeds", [1, 3])
def test_what_every_erasure_does_is_not_clear_where_a_measure_cannot_be_negative(metric, seeds):
    """A tenth of all pairs is really hurt; the rest moves as everything does, more or less."""
    rng = np.random.default_rng(0)
    real = {pair for pair in permutations(NAMES, 2) if rng.random() < 0.1}
    rows = []
    for erased, affected in permutations(NAMES, 2):
        level = 0.01 * np.exp(0.6 * rng.normal())
        for seed in range(seeds):
            delta = level * np.exp(0.3 * rng.normal()) + 0.15 * ((erased, affected) in real)
            rows.append((erased, affected, seed, delta, 0.8 * delta, 1.2 * delta))
    effects = SideEffects(table(rows, metric))
    pairs = effects.pairs(("age", metric))
    hit = np.array([pair in real for pair in zip(pairs["erased"], pairs["affected"], strict=True)])
    assert (pairs["low"] > 0).mean() > 0.9  # what was called clear before: nearly everything
    assert pairs.loc[hit, "clear"].mean() >= 0.95 and pairs.loc[~hit, "clear"].mean() <= 0.05
    assert 0.02 < effects.floor(("age", metric)).value < 0.1 and "from the table" in effects.floor(("age", metric)).how


def test_of_nothing_that_moved_nothing_is_clear():
    still = SideEffects(table([("dog", "wolf", 0, 0.0, 0.0, 0.0)], "distance"))
    assert still.floor(("age", "distance")).value == 0 and not still.pairs(("age", "distance"))["clear"].any()
    assert still.most_damaging(("age", "distance")) is None


def test_a_picture_visibly_moved_where_it_changed_more_than_another_seed_does_three_times_in_four():
    floor = visible_floor(pd.Series(np.linspace(0, 0.4, 101)))
    assert floor.value == 0.3 and "101 pairs" in floor.how and floor.how.startswith("measured")


def test_few_of_the_shipped_arrows_are_clear_and_every_source_has_some():
    effects = SideEffects(read_table(ASSETS / "graphs" / "emoji-uce.parquet"))
    clear = effects.pairs(("uce", "noise-shift"))["clear"]
    assert len(clear) == 450 * 449 and 0.01 < clear.mean() < 0.05
    assert effects.hurt(("uce", "noise-shift")).any(axis=1).mean() > 0.9  # nearly every erasure hurts somebody


# --- methods by key --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", METHODS)
def test_a_method_is_known_by_its_key_and_by_its_label(key):
    assert method_of(key) == method_of(METHODS[key].label) == key and label_of(key) == METHODS[key].label
    assert method_of(f"{key} to wolf") == f"{key} to wolf" and label_of(f"{key} to wolf") == method_label(key, "wolf")


@pytest.mark.parametrize(
    ("label", "target", "key", "method"),
    [
        ("AGE", "adaptive", "age-unprotected", "age-unprotected"),
        ("fixed target: wolf", "wolf", "empty", "empty to wolf"),
        ("fixed target: empty", "", "empty", "empty"),
        ("fixed target: in-class", "wolf", "in-class", "in-class"),
        ("ESD with a target to wolf", "wolf", "naive", "naive to wolf"),
        ("ESD with a target", "", "naive", "naive"),
        ("UCE to empty", "", "uce", "uce"),
        ("somebody's own", "", "somebody's own", "somebody's own"),
    ],
)
def test_tables_that_hold_labels_are_read_by_key(tmp_path, label, target, key, method):
    path = tmp_path / "dog-0.parquet"
    table([("dog", "wolf", 0, 0.2, 0.1, 0.3)], method=label, target=target).to_parquet(path)
    for read in (read_table(path), gather(tmp_path)):
        assert set(read["method"]) == {key} and set(read["target"]) == {target}
        assert SideEffects(read).methods == [method]
        assert len(SideEffects(read).pairs((label, "DS-1"))) == 1


def test_a_named_word_keeps_its_erasures_apart():
    row = [("dog", "wolf", 0, 0.2, 0.1, 0.3)]
    effects = SideEffects(pd.concat([table(row, method="uce", target=target) for target in ("", "fox", "cat")]))
    assert (
        effects.methods == ["uce", "uce to fox", "uce to cat"] and (effects.pairs(("uce", "DS-1"))["runs"] == 1).all()
    )


def test_shipped_tables_and_old_files_hold_keys_when_read():
    shipped = read_table(ASSETS / "graphs" / "emoji-netfive.parquet")
    assert set(shipped["method"]) <= set(METHODS) and {"age-unprotected", "naive", "in-class"} < set(shipped["method"])
    assert set(read_table(OLD / "graph.parquet")["method"]) == set(gather(OLD / "parts")["method"]) == {"uce"}
