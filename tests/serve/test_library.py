"""Whose runs are whose, and which fit the model that is open. On a tiny random model."""

from __future__ import annotations

import pytest
from support import WORLD

from age_core import AgeError, start_run
from age_core.models.identity import model_identity
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


def test_a_run_fits_the_same_weights_wherever_they_lie_and_no_others(library, run, tiny_sd):
    elsewhere, identity = Library(library.root, model="/else/where/"), model_identity(tiny_sd)
    assert library.fitting(run, identity, "float32") is elsewhere.fitting(run, identity, "float32") is run
    with pytest.raises(AgeError, match="edited the model 'tiny': open that model first"):
        elsewhere.fitting(run, "other", "float32")
    with pytest.raises(AgeError, match="edited the model 'tiny', which had other weights then: open"):
        library.fitting(run, "other", "float32")
    # in another number format the same weights have other bits: there the name has to do
    assert Library(library.root, model="tiny/").fitting(run, "other", "bfloat16") is run
    with pytest.raises(AgeError, match="open that model first"):
        elsewhere.fitting(run, "other", "bfloat16")
