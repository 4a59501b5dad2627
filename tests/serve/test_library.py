"""Whose runs are whose, and which fit the model that is open. On a tiny random model."""

from __future__ import annotations

import pytest
from support import WORLD

from age_core import AgeError, start_run
from age_core.serve.library import Library

ANN, BEN = "a" * 32, "b" * 32


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path, model="tiny")


@pytest.fixture
def run(library, tiny_sd):
    """A finished run of Ann's."""
    run, events = start_run(tiny_sd, library.folder(ANN), "uce", "dog", WORLD, "tiny")
    for _ in events:
        pass
    return run


def test_nobody_sees_or_changes_the_runs_of_another(library, run):
    name = run.path.name
    assert [run.path.name for run in library.runs_of(ANN)] == [name] and library.runs_of(BEN) == []
    assert library.own_run(ANN, name).status == "finished"
    with pytest.raises(AgeError, match="no run"):
        library.run(BEN, name)
    with pytest.raises(AgeError, match="Choose a run first"):
        library.run(ANN, "")
    everybody = Library(library.root, library.folder(ANN))
    assert everybody.run(BEN, name).path == run.path and not everybody.owns(BEN, run)
    with pytest.raises(AgeError, match="came with the explorer"):
        everybody.own_run(BEN, name)


@pytest.mark.parametrize("token", ["", "..", "../x", "A" * 32, ANN + "/", "a" * 31])
def test_a_token_that_the_app_did_not_give_out_names_no_folder(library, token):
    with pytest.raises(AgeError, match="reload"):
        library.folder(token)


def test_a_run_of_another_model_does_not_fit(library, run):
    assert library.fitting(run) is run
    with pytest.raises(AgeError, match="edited the model 'tiny': open that model first"):
        Library(library.root, model="emoji").fitting(run)
