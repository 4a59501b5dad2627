"""What the benchmarks conclude from their rows, against cases whose answer is plain."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pandas as pd
import psutil
import pytest

from benchmarks.evidence import ablation, judging, matched
from benchmarks.parts import add_part
from benchmarks.speed import busy


def test_processes_that_share_a_list_do_all_of_it_once():
    parser = argparse.ArgumentParser()
    add_part(parser)
    things = list(range(11))
    shares = [things[parser.parse_args(["--part", f"{turn}/3"]).part] for turn in range(3)]
    assert sorted(thing for share in shares for thing in share) == things and {len(share) for share in shares} == {3, 4}
    assert things[parser.parse_args([]).part] == things


@pytest.mark.parametrize("text", ["2/2", "1", "0/0", "-1/2", "a/b", "1/2/3", ""])
def test_a_part_of_nothing_is_refused(text, capsys):
    parser = argparse.ArgumentParser()
    add_part(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([f"--part={text}"])
    assert "of two there are 0/2 and 1/2" in capsys.readouterr().err


def sweep(*points):
    return pd.DataFrame(points, columns=["strength", "esr1", "distance_near", "psr1_near"])


def test_matched_erasure_lies_between_the_strengths_tried():
    at_erasure = matched.at_erasure
    rising = sweep((1.0, 80.0, 20.0, 98.0), (0.0, 0.0, 0.0, 100.0), (2.0, 100.0, 60.0, 90.0))
    assert at_erasure(rising, 95) == pytest.approx({"strength": 1.75, "distance_near": 50.0, "psr1_near": 92.0})
    assert at_erasure(rising, 80) == pytest.approx({"strength": 1.0, "distance_near": 20.0, "psr1_near": 98.0})
    assert at_erasure(sweep((0.0, 0.0, 0.0, 100.0), (1.0, 90.0, 9.0, 99.0)), 95) is None


def test_methods_are_compared_where_both_erase():
    before = pd.DataFrame({"concept": ["dog", "cat"], "esr1": 0.0, "psr1_near": 100.0}).set_index("concept")

    def row(method, concept, esr1, distance):
        point = {"strength": 1.0, "esr1": esr1, "esr5": 0.0, "psr1_near": 90.0, "distance_near": distance}
        return {"method": method, "concept": concept, "seed": 0, "sweep": [point]}

    rows = [row("age", "dog", 100, 10), row("age", "cat", 100, 20), row("empty", "dog", 100, 40)]
    table = matched.compare(matched.sweeps([*rows, row("empty", "cat", 50, 1)], before), 100, "age")
    age, empty = table.iloc[0], table.iloc[1]
    assert (age["erasers"], age["reached"], age["distance_near"]) == (2, 2, 15)
    assert (empty["reached"], empty["distance_near"], empty["distance_near_gap"]) == (1, 40, -30)


def test_the_ablation_pairs_methods_by_concept_and_seed():
    rows = pd.DataFrame(
        [
            {"method": m, "preset": "balanced", "concept": c, "seed": s, "psr1_near": base + shift}
            for c, base in (("dog", 90.0), ("cat", 60.0))
            for s in (0, 1)
            for m, shift in (("age", 5.0), ("random", 0.0))
        ]
    )
    table = ablation.summarise(rows, "age").set_index("method")
    assert table.loc["random", "psr1_near"] == 75 and table.loc["age", "psr1_near"] == 80
    gap = table.loc["random", ["psr1_near_gap", "psr1_near_gap_low", "psr1_near_gap_high"]]
    assert (gap == 5).all()  # concepts differ by 30 points, pairs by 5 always
    assert pd.isna(table.loc["age", "psr1_near_gap"])
    text = ablation.as_markdown(table.reset_index(), ["psr1_near", "back_completion"])
    assert text.splitlines()[2] == "| age | 4 | 80.0 (0.0 to 100.0) |  |", "two concepts say nearly nothing"


def test_one_concept_gives_no_interval_and_seeds_of_a_concept_count_once():
    columns = judging.columns
    index = pd.MultiIndex.from_tuples([("dog", 0), ("dog", 1), ("cat", 0)], names=["concept", "seed"])
    values = pd.Series([1.0, 3.0, 8.0], index)
    found = columns("esr1", values, values + 1)
    # of the means 2 and 8 by Student's t with one degree of freedom, within what a share can be
    assert (
        found["esr1"] == 5 and found["esr1_low"] == 0 and found["esr1_high"] == pytest.approx(5 + 12.7062 * 3, abs=0.01)
    )
    assert found["esr1_gap"] == 1
    assert pd.isna(columns("esr1", values.loc[["dog"]])["esr1_low"])
    assert columns("esr1", values * float("nan")) == {}


def test_a_busy_machine_is_measured_in_the_program_s_own_environment():
    inherited = {"PATH": "/bin", "GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "1"}
    assert busy.environment({}, inherited) == {"PATH": "/bin"}
    assert busy.environment({"OMP_WAIT_POLICY": "passive"}, inherited) == {"PATH": "/bin", "OMP_WAIT_POLICY": "passive"}
    rows = [("one thread", 0, 8.0), ("one thread", 1, 8.0), (busy.OWN, 0, 4.0), (busy.OWN, 1, 6.0), (busy.OWN, 1, 6.0)]
    table = busy.summary(pd.DataFrame(rows, columns=["environment", "busy", "seconds"]))
    assert table.loc[busy.OWN, "busy over idle"] == 1.5 and table.loc["one thread", "idle over own"] == 2
    assert table.loc["one thread", "busy over own"] == pytest.approx(4 / 3)


def test_what_keeps_a_core_busy_ends_with_whoever_started_it():
    starts = "from benchmarks.speed import busy; import os\nwith busy.busy(1): os._exit(0)"  # without a farewell
    subprocess.run([sys.executable, "-c", starts], check=True, stdout=subprocess.PIPE, timeout=60)  # held by both
    others = set(psutil.Process().children())  # a worker of pytest's may have some
    with busy.busy(2):
        mine = list(set(psutil.Process().children()) - others)
        assert len(mine) == 2 and all(one.is_running() for one in mine)
    assert not psutil.wait_procs(mine, timeout=20)[1]
