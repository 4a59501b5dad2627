"""The loop on a tiny random Stable Diffusion (CLIP text encoder, epsilon and v-prediction)."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from support import SMALL, WORDS, build_tiny_sd

from age_core import AgeError, Candidates, Vocabulary, encode_text, erase, generate
from age_core.models.parameters import trained_parameters


def weights_of(pipe):
    return {name: value.detach().clone() for name, value in pipe.unet.named_parameters()}


def run(pipe, **changes):
    candidates = Vocabulary(WORDS).near(pipe, "dog", 4)
    return list(erase(pipe, "dog", candidates, replace(SMALL, **{"preview_every": 0} | changes)))


@pytest.fixture(scope="module")
def events(tiny_sd):
    """Of one run with all that it may bring: previews, and a state halfway."""
    return run(tiny_sd, preview_every=2, checkpoint_every=2)


def test_events_tell_the_whole_run(events):
    steps = [event.step for event in events if event.step]
    assert steps == [1, 2, 3, 4]
    assert events[0].step == 0 and events[0].note and events[0].top_targets(3) == []
    for event in events[-4:]:
        assert math.isfinite(event.loss_erase) and event.loss_preserve >= 0
        assert sum(event.probabilities) == pytest.approx(1, abs=1e-5) and sum(event.sampled) == pytest.approx(
            1, abs=1e-5
        )
        assert 0 <= event.entropy <= math.log(len(event.candidates)) + 1e-5
    assert events[-2].eraser is None and events[-1].eraser is not None
    assert len(events[-1].previews) == len(events[-1].preview_prompts) > 0
    assert events[-1].top_targets(2)[0][1] == max(events[-1].probabilities)


def test_student_equals_teacher_before_the_first_step(events):
    """So the preservation loss of the first step is zero, and the erasing loss is not."""
    first = next(event for event in events if event.step == 1)
    assert first.loss_preserve < 1e-10
    assert first.loss_erase > 1e-8


def test_the_pipeline_never_changes_and_only_the_selection_moves(tiny_sd):
    before = weights_of(tiny_sd)
    eraser = run(tiny_sd)[-1].eraser
    after = weights_of(tiny_sd)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert set(eraser.delta) == {name for name in before if ".attn2." in name}
    assert any(delta.abs().max() > 0 for delta in eraser.delta.values())


def test_same_seed_same_eraser_other_seed_another(tiny_sd):
    first, again, other = (run(tiny_sd, seed=seed, steps=2)[-1].eraser.delta for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_closing_the_generator_stops_and_leaves_the_pipeline(tiny_sd):
    before = weights_of(tiny_sd)
    stream = erase(tiny_sd, "dog", Vocabulary(WORDS).near(tiny_sd, "dog", 4), SMALL)
    for event in stream:
        if event.step == 2:
            stream.close()
    assert all(torch.equal(value, dict(tiny_sd.unet.named_parameters())[name]) for name, value in before.items())


@pytest.mark.parametrize("schedule", ["constant", "linear"])
def test_a_resumed_run_ends_in_the_same_bits(tiny_sd, schedule):
    whole = run(tiny_sd, checkpoint_every=2, lr_schedule=schedule)
    state = next(event.state for event in whole if event.state)
    assert state.step == 2
    options = replace(SMALL, lr_schedule=schedule)
    again = list(erase(tiny_sd, "dog", Vocabulary(WORDS).near(tiny_sd, "dog", 4), options, resume=state))
    assert [event.step for event in again] == [3, 4]
    assert all(torch.equal(again[-1].eraser.delta[n], d) for n, d in whole[-1].eraser.delta.items())
    assert again[-1].logits == whole[-1].logits


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_trains_within_a_mode_without_gradients_and_leaves_the_mode_alone(tiny_sd, events, mode):
    pool = Vocabulary(WORDS).near(tiny_sd, "dog", 4)
    with mode():
        inside = []
        for event in erase(tiny_sd, "dog", pool, replace(SMALL, checkpoint_every=2)):
            assert not torch.is_grad_enabled() and torch.is_inference_mode_enabled() is (mode is torch.inference_mode)
            inside.append(event)
        read = next(event.state for event in inside if event.state)
        read = replace(read, tensors={name: value.clone() for name, value in read.tensors.items()})
        resumed = list(erase(tiny_sd, "dog", pool, SMALL, resume=read))
    for told in (inside, resumed):
        delta = told[-1].eraser.delta
        assert all(torch.equal(delta[name], value) for name, value in events[-1].eraser.delta.items())
        assert not any(value.is_inference() for value in delta.values())


def test_a_linear_schedule_takes_ever_smaller_steps(tiny_sd):
    options = replace(SMALL, lr_schedule="linear")
    assert [options.lr_at(step) / options.lr for step in (1, 2, 3, 4)] == [1, 0.75, 0.5, 0.25]
    # Adam's first step moves every weight that has a gradient by the learning rate, whatever the gradient
    states = [e.state for e in run(tiny_sd, lr_schedule="linear", checkpoint_every=1) if e.state]
    moved = [
        max(float((b.tensors[n] - a.tensors[n]).abs().max()) for n in a.tensors if n.startswith("student/"))
        for a, b in itertools.pairwise(states)
    ]
    assert moved[-1] < 0.6 * moved[0]


def test_a_fixed_target_can_preserve_the_neighbours_too(tiny_sd):
    options = replace(SMALL, target="fixed", fixed_target="pizza", preserve="neighbours")
    *_, last = erase(tiny_sd, "dog", Vocabulary(WORDS).near(tiny_sd, "dog", 3), options)
    assert last.candidates[0] == "pizza" and len(last.candidates) > 1
    assert last.probabilities[0] == 1 and last.sampled[0] == 1
    with pytest.raises(AgeError, match="candidates of its own"):
        erase(tiny_sd, "dog", {}, options)


def test_several_concepts_each_have_their_own_target(tiny_sd):
    vocabulary = Vocabulary(WORDS)
    pools = {name: vocabulary.near(tiny_sd, name, 3, exclude=("dog", "cat")) for name in ("dog", "cat")}
    events = list(erase(tiny_sd, ["dog", "cat"], pools, replace(SMALL, steps=12, pi_every=1, preview_every=0)))
    by_concept = {name: [e for e in events if e.step and e.concept == name] for name in pools}
    assert all(len(found) > 2 for found in by_concept.values())
    for name, found in by_concept.items():
        assert found[-1].candidates == pools[name].names
        assert found[-1].logits != found[0].logits
    assert events[-1].eraser.info["concepts"] == ["dog", "cat"]
    with pytest.raises(AgeError, match="'cat' has none"):
        erase(tiny_sd, ["dog", "cat"], {"dog": pools["dog"]}, SMALL)


def test_low_rank_factors_are_the_whole_change(tiny_sd, tmp_path):
    eraser = run(tiny_sd, train="lora", lora_rank=3)[-1].eraser
    assert set(eraser.delta) == {n for n in weights_of(tiny_sd) if ".attn2.to_" in n and n.endswith("weight")}
    for name, delta in eraser.delta.items():
        stem = name.removesuffix("weight")
        assert torch.equal(delta, eraser.lora[f"{stem}lora_B.weight"] @ eraser.lora[f"{stem}lora_A.weight"])
        assert torch.linalg.matrix_rank(delta) <= 3
    assert max(delta.abs().max() for delta in eraser.delta.values()) > 0


@pytest.mark.parametrize("train", ["xattn", "noxattn", "selfattn", "xattn-qkv", "full"])
def test_no_parameter_outside_the_selection_moves(tiny_sd, train):
    eraser = run(tiny_sd, train=train, steps=2)[-1].eraser
    assert set(eraser.delta) == set(trained_parameters(tiny_sd.unet, train))
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in tiny_sd.unet.parameters())


def test_half_precision_weights_are_sampled_from_at_each_step(tmp_path):
    pipe = build_tiny_sd(tmp_path, "epsilon").to(torch.bfloat16)
    eraser = run(pipe, latents="student", grid=5, min_candidate_distance=0.0, steps=2)[-1].eraser
    assert all(delta.dtype == torch.float32 and delta.isfinite().all() for delta in eraser.delta.values())
    assert max(float(delta.abs().max()) for delta in eraser.delta.values()) > 0


@pytest.mark.parametrize("latents", ["student", "teacher"])
def test_partial_samplings_train_as_well(tiny_sd, latents):
    eraser = run(tiny_sd, latents=latents, grid=5, legacy_offset=latents == "student", min_candidate_distance=0.0)[
        -1
    ].eraser
    assert all(torch.isfinite(delta).all() for delta in eraser.delta.values())


def test_candidates_that_draw_the_same_are_left_out(tiny_sd):
    """'a dog' in capitals is another word to the vocabulary but the same text to this tokenizer."""
    pool = Candidates(("DOG", "cat", "pizza"), (0.0, 0.5, 0.9))
    events = list(erase(tiny_sd, "dog", pool, replace(SMALL, steps=1, preview_every=0, min_candidate_distance=1e-6)))
    assert events[-1].candidates == ("cat", "pizza")
    with pytest.raises(AgeError, match="draws the same"):
        list(erase(tiny_sd, "dog", Candidates(("DOG", "Dog"), (0.0, 0.0)), replace(SMALL, min_candidate_distance=1e-6)))


def test_memory_that_runs_out_becomes_advice(tiny_sd, monkeypatch):
    def starve(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("age_core.erasure.objective.predict", starve)
    with pytest.raises(AgeError, match="gradient_checkpointing"):
        run(tiny_sd)


def test_half_precision_arithmetic_keeps_float32_masters(tiny_sd):
    eraser = run(tiny_sd, precision="bfloat16", lr=1e-5)[-1].eraser
    assert all(delta.dtype == torch.float32 for delta in eraser.delta.values())
    moved = torch.cat([delta.flatten().abs() for delta in eraser.delta.values()])
    weight = torch.cat([p.flatten().abs() for n, p in tiny_sd.unet.named_parameters() if n in eraser.delta])
    assert 0 < moved.max() < 1e-4
    assert ((moved < weight * 2**-9) & (moved > 0)).any()  # smaller than a bfloat16 weight could hold


def test_erasing_moves_the_prediction_to_the_target(tiny_sd):
    """On noise that training never saw, the edited model's "dog" is nearer the original's "pizza"."""
    options = {"target": "fixed", "fixed_target": "pizza", "steps": 30, "lr": 2e-3, "batch": 8}
    eraser = run(tiny_sd, **options)[-1].eraser
    z = torch.randn(16, 4, 8, 8, generator=torch.Generator().manual_seed(99))
    t = torch.linspace(100, 900, 16).long()
    dog, pizza = (encode_text(tiny_sd, [word]).expand(16, -1, -1) for word in ("dog", "pizza"))
    with torch.no_grad():
        wanted, before = tiny_sd.unet(z, t, pizza).sample, tiny_sd.unet(z, t, dog).sample
        with eraser.applied_to(tiny_sd):
            after = tiny_sd.unet(z, t, dog).sample
    assert (after - wanted).square().mean() < 0.5 * (before - wanted).square().mean()


def test_a_run_looks_whether_it_is_done_and_goes_on_where_it_is_not(tiny_sd, events):
    """It looks by draws of its own: to the last step that it would have had, the run is the one that never looks."""
    plain, done = events[-4:], run(tiny_sd, most_left=10.0)[-4:]
    on = [event for event in run(tiny_sd, most_left=1e-9) if event.step]
    assert [event.loss_erase for event in done] == [event.loss_erase for event in plain]
    assert all(torch.equal(done[-1].eraser.delta[name], plain[-1].eraser.delta[name]) for name in done[-1].eraser.delta)
    assert [event.loss_erase for event in on[:4]] == [event.loss_erase for event in plain]
    assert [event.steps for event in on] == [4, 4, 4, 5, 6, 7, 8, 8] and on[-1].eraser.info["steps"] == 8
    assert [event.step for event in on if event.note] == [4, 5, 6, 7] and "is left" in on[3].note
    assert not any(event.eraser for event in on[:-1]) and not on[-1].note


def test_a_target_settles_and_one_that_would_have_stayed_gives_the_same_bits(tiny_sd):
    """pi stands still after half of the steps; what it would have drawn is drawn all the same."""
    options = replace(SMALL, preview_every=0, argmax_target=True, pi_lr=0.5)
    sure = Candidates(("wolf", "cat", "fox"), (0.1, 0.2, 0.3), prior=(50.0, 0.0, 0.0))
    told = {share: list(erase(tiny_sd, "dog", sure, replace(options, settle=share)))[-4:] for share in (0.5, 1.0)}
    for settled, free in zip(told[0.5], told[1.0], strict=True):
        assert settled.loss_erase == free.loss_erase
        assert (settled.logits == free.logits) == (settled.step <= 2)
        assert settled.logits == told[0.5][min(settled.step, 2) - 1].logits
    for name, delta in told[0.5][-1].eraser.delta.items():
        assert torch.equal(delta, told[1.0][-1].eraser.delta[name])


def test_a_run_that_goes_on_erases_in_the_prompts_in_which_words_are_spared_too(tiny_sd):
    """There something may be left that no template asks for: the set's own prompt is looked at, then trained in."""
    spared = {"protect": "all", "protect_in": ("an icon of {a_noun}",), "train": "kv", "checkpoint_every": 1}
    on = [event for event in run(tiny_sd, most_left=1e-9, **spared) if event.step]
    plain = [event for event in run(tiny_sd, **spared) if event.step]
    assert [event.loss_erase for event in on[:4]] == [event.loss_erase for event in plain]
    states = [event.state.tensors["scene0/erased"] for event in on]
    assert [len(erased) for erased in states] == [2, 2, 2, 3, 3, 3, 3, 3]
    assert torch.equal(states[3][:2], states[0])
    assert torch.allclose(states[3][2], encode_text(tiny_sd, ["an icon of a dog"])[0], atol=1e-5)


@pytest.mark.parametrize("kept", [4, 5])
def test_a_run_that_went_on_is_resumed_to_the_same_bits(tiny_sd, kept):
    """Also from the state of the very step at which it saw that it was not done."""
    options = replace(SMALL, preview_every=0, checkpoint_every=1, most_left=1e-9)
    pool = Vocabulary(WORDS).near(tiny_sd, "dog", 4)
    whole = list(erase(tiny_sd, "dog", pool, options))
    state = next(event.state for event in whole if event.step == kept)
    again = list(erase(tiny_sd, "dog", pool, options, resume=state))
    assert [event.step for event in again] == list(range(kept + 1, 9))
    for name, delta in whole[-1].eraser.delta.items():
        assert torch.equal(again[-1].eraser.delta[name], delta)
    ended = run(tiny_sd, most_left=10.0, checkpoint_every=1)[-1].state
    assert list(erase(tiny_sd, "dog", pool, replace(options, most_left=10.0), resume=ended)) == []


def test_an_eraser_changes_pictures_only_while_applied(tiny_sd):
    eraser = run(tiny_sd, lr=1e-2)[-1].eraser
    first = generate(tiny_sd, ["dog"], [1], steps=3)[0].tobytes()
    with eraser.applied_to(tiny_sd):
        edited = generate(tiny_sd, ["dog"], [1], steps=3)[0].tobytes()
    assert edited != first
    assert generate(tiny_sd, ["dog"], [1], steps=3)[0].tobytes() == first


@pytest.mark.parametrize(
    ("concept", "changes", "words"),
    [
        ("dog", {"steps": -1}, "at least 1"),
        ("dog", {"target": "clever"}, "adaptive, fixed, random"),
        ("dog", {"target": "fixed", "fixed_target": " Dog "}, "own target"),
        ("  ", {}, "empty"),
        ("dog", {"train": "everything"}, "xattn"),
        ("dog", {"most_left": 0.2, "latents": "student"}, "cached pictures"),
        ("dog", {"lr": 0.0}, "above 0"),
        ("dog", {"templates": ("a dog",)}, "must hold"),
        ("dog", {"templates": ("{noun.__class__}",)}, "must hold"),
        ("dog", {"templates": ("{noun:>999999999}",)}, "must hold"),
    ],
)
def test_bad_input_is_one_clear_sentence_before_any_work(tiny_sd, concept, changes, words):
    candidates = Vocabulary(WORDS).near(tiny_sd, "dog", 4)
    with pytest.raises(AgeError, match=words):
        erase(tiny_sd, concept, candidates, replace(SMALL, **changes))
