"""Predicting damage on the bundled model, and the nulls that it has to beat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from age_core import ConceptSet
from age_core.erasure.closed_form.methods import uce
from age_core.erasure.closed_form.problem import ClosedFormOptions, ErasureProblem, read_prompts
from age_core.measure.noise_shift import noise_reference, noise_shift
from age_core.study.predict import look_ahead_damage, output_distance, text_distance, text_overlap
from age_core.study.statistics import rank_correlation, same_group

NAMES = ("dog", "wolf", "cat", "guitar", "violin", "piano", "car", "taxi")


@pytest.fixture(scope="module")
def few():
    concepts = ConceptSet.load("emoji")
    return replace(concepts, concepts=tuple(concepts[name] for name in NAMES))


def test_neighbours_are_near_in_words_and_in_looks(emoji_pipe, emoji_probe, few):
    words = text_distance(emoji_pipe, few, ["dog", "guitar"])
    looks = output_distance(emoji_pipe, emoji_probe, few, ["dog", "guitar"], 2)
    for table in (words, looks):
        assert table.shape == (2, 8) and np.isnan(table.loc["dog", "dog"])
        inside = same_group(few, table)
        assert table.where(inside).mean().mean() < table.where(~inside).mean().mean()


def test_the_overlap_of_encodings_is_how_far_a_plain_edit_reaches(emoji_pipe, few):
    overlap = text_overlap(emoji_pipe, few, ["dog"])
    problem = ErasureProblem.of(emoji_pipe, ("dog",), (), ClosedFormOptions(tokens="last"))
    # With a target whose outputs differ from the concept's by orthonormal vectors, the edit moves W x by exactly that.
    name, W = next(iter(problem.weights.items()))
    wanted = problem.C @ W.T + torch.eye(len(problem.C), W.shape[0], dtype=W.dtype)
    change = (wanted - problem.C @ W.T).T @ problem.factor
    x = read_prompts(emoji_pipe, ["wolf"], (few.template,)).states[0]
    moved = (x @ change.T).square().sum(-1).mean()
    assert len(problem.C) <= W.shape[0], name
    assert overlap.loc["dog", "wolf"] == pytest.approx(float(moved))
    assert overlap.loc["dog", "wolf"] > overlap.loc["dog", "piano"]


def test_the_look_ahead_predicts_what_the_same_edit_does(emoji_pipe, few):
    reference = noise_reference(emoji_pipe, few, 1)
    predicted = look_ahead_damage(emoji_pipe, few, ["dog", "guitar"], reference, {"guitar": "violin"})
    eraser = uce(ErasureProblem.of(emoji_pipe, ("guitar",)), {"guitar": "violin"})
    shift = noise_shift(emoji_pipe, reference, eraser).set_index("concept")["shift"]
    assert predicted.loc["guitar", "piano"] == pytest.approx(shift["piano"])
    assert np.isnan(predicted.loc["guitar", "guitar"])
    assert rank_correlation(predicted, predicted)[0] == pytest.approx(1)
    assert (predicted.loc["dog", ["wolf", "cat"]].mean()) > predicted.loc["dog", ["piano", "car"]].mean()
