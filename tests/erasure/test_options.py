"""Options are read by one model: what cannot work is refused in a sentence as soon as it is set."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support import QUICK, WORLD, build_tiny_sd

from age_core import AgeError, EraseOptions, erase_by
from age_core.erasure.by_method import carry_out, plan
from age_core.erasure.methods import METHODS, method_options
from age_core.erasure.options import NAMES, PRESETS, RENAMED, parse_option


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "The option 'steps' must be at least 1, not 0."),
        ({"preview_every": -1}, "The option 'preview_every' must be 0 or more, not -1."),
        ({"lr": -0.5}, "The option 'lr' must be above 0, not -0.5."),
        ({"preserve_weight": -1}, "The option 'preserve_weight' must be 0 or more, not -1."),
        ({"pi_lr": float("nan")}, "The option 'pi_lr' must be finite, not nan."),
        ({"negative_guidance": float("inf")}, "The option 'negative_guidance' must be finite, not inf."),
        ({"target": "dog"}, "Unknown target 'dog'; choose one of adaptive, fixed, random."),
        ({"lr_schedule": ""}, "Unknown lr schedule ''; choose one of constant, linear."),
        ({"batch": 2.0}, "The option 'batch' cannot be '2.0'."),
        ({"batch": True}, "The option 'batch' cannot be 'True'."),
        ({"normalise_terms": 1}, "The option 'normalise_terms' cannot be '1'."),
        ({"templates": "a {noun}"}, "The option 'templates' cannot be 'a {noun}'."),
        ({"templates": ()}, "Every template must hold {noun} or {a_noun} and no other brace: 'a picture of {a_noun}'."),
        ({"seed": -1}, "The option 'seed' must be 0 or more, not -1."),
        ({"seed": 2**63}, f"The option 'seed' must be below {2**63}, not {2**63}."),
        ({"speed": 3}, "There is no option 'speed'."),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(changes, sentence):
    for make in (lambda: EraseOptions(**changes), lambda: replace(EraseOptions(), **changes)):
        with pytest.raises(AgeError) as caught:
            make()
        assert str(caught.value) == sentence
    with pytest.raises(AgeError):
        plan("age", "dog", WORLD, **changes)


def test_options_are_frozen_and_survive_json():
    options = EraseOptions(lr=1, templates=["a {noun}"], seed=2**63 - 1)
    assert type(options.lr) is float and options.templates == ("a {noun}",)
    assert EraseOptions(**json.loads(json.dumps(asdict(options)))) == options
    assert replace(options, steps=3).steps == 3 and options.lr_at(1) == 1.0 and len({options, replace(options)}) == 1
    with pytest.raises(AttributeError):
        options.steps = 4
    with pytest.raises(AgeError, match="by its name"):
        EraseOptions("adaptive")
    options.check()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("steps", "12", 12),
        ("lr", "1", 1.0),
        ("lr", "1e-3", 1e-3),
        ("normalise_terms", "true", True),
        ("balance", "false", False),  # as it was called before
        ("templates", '["{noun}"]', ("{noun}",)),
        ("train", "lora", "lora"),
        ("precision", "bfloat16", "bfloat16"),
    ],
)
def test_typed_options(name, text, value):
    parsed = parse_option(name, text)
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("steps", "many", "The option 'steps' takes a value such as 60, not 'many'."),
        ("steps", "1.5", "The option 'steps' takes a value such as 60, not '1.5'."),
        ("steps", "-3", "The option 'steps' must be at least 1, not -3."),
        ("lr", "NaN", "The option 'lr' must be finite, not nan."),
        ("target", "dog", "Unknown target 'dog'; choose one of adaptive, fixed, random."),
        ("templates", "[3]", """takes a value such as ["{noun}", "a picture of {a_noun}"], not '[3]'."""),
        ("name", "x", "There is no option 'name'; the options are target, fixed_target,"),
    ],
)
def test_typed_options_that_are_none(name, text, sentence):
    with pytest.raises(AgeError) as caught:
        parse_option(name, text)
    assert sentence in str(caught.value)


def test_a_method_stays_what_it_is_under_every_preset():
    for preset in PRESETS:
        for name, method in METHODS.items():
            options = method_options(name, preset)
            assert {field: getattr(options, field) for field in method.changes} == method.changes
    paper = method_options("age-paper", "paper-object")
    assert (paper.relaxation, paper.pi_temperature, paper.inner_objective) == ("soft", 0.5, "both")
    assert (paper.steps, paper.batch, paper.lr, paper.pi_lr) == (1000, 1, 1e-5, 1e-2)  # the effort is the preset's
    assert method_options("age-paper", "paper-object", relaxation="top-k").relaxation == "top-k"
    assert method_options("ca").candidate_samples == 16 and method_options("ca", "fast").candidate_samples == 1


def test_old_names_are_read_as_those_of_today():
    assert set(RENAMED.values()) <= set(NAMES) and not set(RENAMED) & set(NAMES)
    assert method_options("age", pi_rows=2, gain="both") == method_options("age", pi_batch=2, inner_objective="both")


def test_a_request_is_planned_once_and_carried_out_as_it_stands(tmp_path):
    pipe = build_tiny_sd(tmp_path, "epsilon")
    request = plan("random", ["hound"], WORLD, pool=3, templates=None, **QUICK)
    assert [concept.name for concept in request.concepts] == ["dog"] and request.pool == 3
    assert request.arguments == {"preset": "balanced", "target": None, "pool": 3, **QUICK}
    assert plan("random", ["dog"], WORLD, **request.arguments) == request
    *_, one = carry_out(pipe, request, WORLD)
    *_, other = erase_by(pipe, "random", "dog", WORLD, pool=3, **QUICK)
    assert one.eraser.info == other.eraser.info and len(one.candidates) == 3
    assert all((delta == other.eraser.delta[name]).all() for name, delta in one.eraser.delta.items())


@pytest.mark.parametrize("seed", [156680208700286, 1094785838562435, 2**63 - 1])
def test_seeds_of_every_size(tmp_path, seed):
    *_, last = erase_by(build_tiny_sd(tmp_path, "epsilon"), "random", "dog", WORLD, **QUICK, seed=seed)
    assert last.eraser.info["seed"] == seed and last.eraser.delta


def test_options_are_read_without_torch():
    code = "import sys, age_core.erasure.options; print(*{'torch', 'diffusers', 'gradio'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_in_what_a_run_adds_the_learning_rate_falls_anew():
    options = EraseOptions(steps=5, lr=1.0)
    assert [options.end_after(step) for step in (0, 4, 5, 6, 7, 9)] == [5, 5, 7, 7, 9, 11]
    assert [round(options.lr_at(step), 3) for step in range(1, 10)] == [1.0, 0.8, 0.6, 0.4, 0.2, 1.0, 0.5, 1.0, 0.5]
    assert EraseOptions(steps=5, lr=1.0, lr_schedule="constant").lr_at(7) == 1.0


def test_a_look_that_nobody_asked_for_gives_way_to_steps_by_hand_and_where_no_pictures_are_cached():
    assert method_options("age", "balanced").most_left > 0
    assert method_options("age", "balanced", latents="student").most_left == 0
    assert method_options("age", "balanced", steps=16).most_left == 0
    assert method_options("age", "balanced", steps=16, most_left=0.1).most_left == 0.1
    with pytest.raises(AgeError, match="cached pictures"):
        method_options("age", "balanced", latents="student", most_left=0.1)
