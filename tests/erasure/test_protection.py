"""Quiet directions: what preserved words see of a change, and that nothing else of the loop is another."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support import SMALL, WORDS

from age_core import AgeError, Candidates, ConceptSet, EraseOptions, Vocabulary, encode_text, erase
from age_core.concepts.concept_set import fill
from age_core.erasure import protection
from age_core.erasure.by_method import plan
from age_core.erasure.latents import prepare
from age_core.erasure.methods import METHODS, method_options
from age_core.erasure.protection import nearest_words, protection_of, quiet_projection, second_moment
from age_core.models.families import token_states

OTHERS = [word for word in WORDS if word != "dog"]
QUIET = replace(SMALL, train="kv", protect="all", softness=0.01, preview_every=0)


def run(pipe, options, **named):
    return list(erase(pipe, "dog", Vocabulary(WORDS).near(pipe, "dog", 4), options, protected=OTHERS, **named))


def seen(pipe, delta, word):
    """How much of a change the token states of a prompt see, as a share of what states of that length could."""
    states = token_states(pipe, encode_text(pipe, [word]))[0]
    shares = [(states @ d.T).norm() / (states.norm() * d.norm()) for d in delta.values()]
    return float(torch.stack(shares).mean())


def test_the_second_moment_is_the_mean_over_all_states_of_all_prompts_and_the_empty_one(tiny_sd):
    templates = ("{noun}", "a picture of {a_noun}")
    prompts = ["", *(fill(template, word) for word in ("cat", "fox") for template in templates)]
    states = torch.cat([token_states(tiny_sd, encode_text(tiny_sd, [prompt]))[0] for prompt in prompts]).double()
    expected = sum(torch.outer(x, x) for x in states) / len(states)
    moment = second_moment(tiny_sd, ["cat", "fox", "cat", " "], templates)
    assert torch.allclose(moment, expected, atol=1e-9)
    with pytest.raises(AgeError, match="at least one word"):
        second_moment(tiny_sd, [" "], templates)


def test_words_are_read_once_for_a_model_and_anew_where_it_reads_otherwise(tiny_sd, monkeypatch):
    read: list[str] = []

    def encode(pipe, prompts):
        read.extend(prompts)
        return encode_text(pipe, prompts)

    monkeypatch.setattr(protection, "encode_text", encode)
    monkeypatch.setattr(protection, "_latest", None)
    words = [f"word {number}" for number in range(40)]
    first = second_moment(tiny_sd, words, ["{noun}"])
    assert len(read) == 41  # and the empty prompt
    assert torch.equal(second_moment(tiny_sd, words, ["{noun}"]), first) and len(read) == 41
    without = second_moment(tiny_sd, words[1:], ["{noun}"])
    assert len(read) == 41, "read already"
    monkeypatch.setattr(protection, "_latest", None)
    assert torch.equal(second_moment(tiny_sd, words[1:], ["{noun}"]), without), "the same bits as read anew"
    weight = next(tiny_sd.text_encoder.parameters())
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight += 1
        assert not torch.equal(second_moment(tiny_sd, words[1:], ["{noun}"]), without), "the encoder has changed"
    finally:
        with torch.no_grad():
            weight.copy_(before)
    monkeypatch.setattr(protection, "KEPT_BYTES", 0)
    monkeypatch.setattr(protection, "_latest", None)
    read.clear()
    assert torch.equal(second_moment(tiny_sd, words, ["{noun}"]), first)
    assert torch.equal(second_moment(tiny_sd, words, ["{noun}"]), first) and len(read) == 82, "too much to be kept"


def test_a_projection_lets_through_what_is_not_used_and_holds_back_what_is():
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, dtype=torch.double)).Q
    used = torch.tensor([4.0, 2.0, 0.5, 0.01, 0.0, 0.0], dtype=torch.double)
    P = quiet_projection(basis @ torch.diag(used) @ basis.T, 0.1)
    expected = 0.1 / (used / used.mean() + 0.1)  # of each direction; 1 where nobody looks
    assert torch.allclose((basis.T @ P @ basis).diagonal(), expected)
    assert torch.equal(P, P.T) and expected[-1] == 1 and expected[0] < 0.04
    assert torch.allclose(quiet_projection(7 * (basis @ torch.diag(used) @ basis.T), 0.1), P), "in C's own units"


@pytest.mark.parametrize("softness", [0.3, 0.003])
@pytest.mark.parametrize("protect", ["all", "near"])
def test_the_erased_concept_is_reached_as_far_whatever_the_softness(emoji_pipe, protect, softness):
    options = EraseOptions(train="kv", protect=protect, softness=softness)
    P = protection_of(emoji_pipe, ["bus"], ["truck", "taxi", "dog"], options)
    own = token_states(emoji_pipe, encode_text(emoji_pipe, ["bus", "a picture of a bus"])).flatten(0, 1)
    assert (own @ P).abs().sum() / own.abs().sum() == pytest.approx(options.reach, rel=1e-3)


def test_the_nearest_words_are_spared_more_when_they_weigh_more(emoji_pipe):
    near = ["poodle", "cat", "hot dog", "horse"]
    words = near + [word for word in ConceptSet.load("emoji").names[::3] if word not in (*near, "dog")]
    nearest = nearest_words(emoji_pipe, ["dog"], words)
    assert set(near) < set(nearest) and len(nearest) == 20
    options = EraseOptions(train="kv", protect="all")
    spared_alike, spared_more = (
        protection_of(emoji_pipe, ["dog"], words, replace(options, protect=protect)) for protect in ("all", "near")
    )
    own, *others = (token_states(emoji_pipe, encode_text(emoji_pipe, [text])) for text in ("dog", *near[1:]))
    for states in others:
        passed = [(states @ P).norm() / (own @ P).norm() for P in (spared_alike, spared_more)]
        assert passed[1] < 0.85 * passed[0]


@pytest.mark.parametrize("tiny_sd", ["epsilon"], indirect=True)
def test_synonyms_are_erased_with_the_concept_where_they_are_asked_for(tiny_sd):
    pool = Vocabulary(WORDS).near(tiny_sd, "dog", 4)
    also = {"dog": ("puppy", "hound")}
    options = replace(QUIET, synonyms=True)
    *_, with_synonyms = prepare(tiny_sd, "dog", pool.names, options, also["dog"])
    *_, without = prepare(tiny_sd, "dog", pool.names, options)
    assert torch.allclose(with_synonyms.erased[: len(options.templates)], without.erased, atol=1e-6)
    prompts = [fill(template, word) for word in ("dog", "puppy", "hound") for template in options.templates]
    assert torch.allclose(with_synonyms.erased, encode_text(tiny_sd, prompts).float(), atol=1e-6)
    assert torch.allclose(with_synonyms.z_erased, without.z_erased, atol=1e-2), "on the concept's own pictures"

    def delta(synonyms, also):
        events = erase(tiny_sd, "dog", pool, replace(options, synonyms=synonyms), protected=OTHERS, synonyms=also)
        return torch.cat([change.flatten() for change in list(events)[-1].eraser.delta.values()])

    plain = delta(True, {})
    assert torch.equal(delta(False, also), plain) and not torch.allclose(delta(True, also), plain, rtol=0.1)


@pytest.mark.parametrize("tiny_sd", ["epsilon"], indirect=True)
def test_preserved_words_see_less_of_the_change_than_without_protection(tiny_sd):
    plain = run(tiny_sd, replace(QUIET, protect="none"))[-1].eraser.delta
    quiet = run(tiny_sd, QUIET)[-1].eraser.delta
    assert quiet.keys() == plain.keys() and all(".attn2.to_" in name for name in quiet)
    for word in ("cat", "pizza"):
        assert seen(tiny_sd, quiet, word) < 0.5 * seen(tiny_sd, plain, word)


@pytest.mark.parametrize("tiny_sd", ["epsilon"], indirect=True)
def test_the_change_is_what_was_trained_times_p(tiny_sd):
    P = protection_of(tiny_sd, ["dog"], OTHERS, QUIET)
    events = run(tiny_sd, replace(QUIET, checkpoint_every=4))
    leaves = {n.removeprefix("student/"): v for n, v in events[-1].state.tensors.items() if n.startswith("student/")}
    for name, delta in events[-1].eraser.delta.items():
        assert torch.allclose(delta, leaves[name] @ P, atol=1e-7) and delta.abs().max() > 0
    first = next(event for event in events if event.step == 1)
    assert first.loss_preserve < 1e-10, "the student begins as the teacher"


@pytest.mark.parametrize("tiny_sd", ["epsilon"], indirect=True)
@pytest.mark.parametrize("train", ["kv", "lora"])
def test_a_resumed_run_ends_in_the_same_bits(tiny_sd, train):
    options = replace(QUIET, train=train, checkpoint_every=2)
    whole = run(tiny_sd, options)
    state = next(event.state for event in whole if event.state)
    again = run(tiny_sd, options, resume=state)
    assert all(torch.equal(again[-1].eraser.delta[n], d) for n, d in whole[-1].eraser.delta.items())


@pytest.mark.parametrize("tiny_sd", ["epsilon"], indirect=True)
def test_low_rank_factors_hold_p_and_are_of_keys_and_values_alone(tiny_sd):
    eraser = run(tiny_sd, replace(QUIET, train="lora", lora_rank=2))[-1].eraser
    assert all(name.endswith(("to_k.weight", "to_v.weight")) for name in eraser.delta)
    for name, delta in eraser.delta.items():
        stem = name.removesuffix("weight")
        product = eraser.lora[f"{stem}lora_B.weight"] @ eraser.lora[f"{stem}lora_A.weight"]
        assert torch.allclose(product, delta) and torch.linalg.matrix_rank(delta) <= 2


@pytest.mark.parametrize("tiny_sd", ["epsilon"], indirect=True)
def test_without_words_of_the_callers_own_the_candidates_are_protected(tiny_sd):
    pool = Candidates(("cat", "fox"), (0.1, 0.2))
    by_pool, by_words = (
        list(erase(tiny_sd, "dog", pool, QUIET, protected=words))[-1].eraser.delta for words in ((), ("cat", "fox"))
    )
    assert all(torch.equal(by_pool[name], delta) for name, delta in by_words.items())


def test_protection_goes_with_what_sees_text():
    with pytest.raises(AgeError, match="train one of kv, lora, not 'xattn'"):
        EraseOptions(train="xattn", protect="all")
    with pytest.raises(AgeError, match="softness"):
        EraseOptions(train="kv", protect="all", softness=0.0)


def test_the_default_protects_what_trains_on_text_alone():
    quiet = method_options("age")
    assert (quiet.train, quiet.protect, quiet.synonyms) == ("kv", "near", True)
    assert method_options("age", train="lora").protect == "near"
    for train in ("xattn", "noxattn", "full"):
        assert method_options("age", train=train).protect == "none"
    assert method_options("age", "paper-attribute").train == "noxattn"
    with pytest.raises(AgeError, match="train one of kv, lora"):
        method_options("age", train="xattn", protect="near")
    others = [name for name in METHODS if METHODS[name].kind == "gradient" and name != "age"]
    assert {method_options(name).protect for name in others} == {"none"}, "what others published stays as it was"


def test_a_word_is_spared_in_the_prompts_in_which_it_is_asked(emoji_pipe):
    """On the bundled model: what a change may act on in a prompt of another form is little once that form counts."""
    asked = token_states(emoji_pipe, encode_text(emoji_pipe, ["an emoji of a canoe"])).flatten(0, 1).double()
    plain = EraseOptions(train="kv", protect="near")
    words = ["truck", "taxi", "canoe", "dog"]
    acted_on = {}
    for forms in ((), ("an emoji of {a_noun}",)):
        P = protection_of(emoji_pipe, ["bus"], words, replace(plain, protect_in=forms)).double()
        acted_on[forms] = float((asked @ P).norm())
    assert acted_on["an emoji of {a_noun}",] < 0.3 * acted_on[()], acted_on


def test_by_default_these_are_the_concept_sets_own():
    emoji = ConceptSet.load("emoji")
    assert plan("age", "dog", emoji).options.protect_in == (emoji.template,)
    assert plan("age-unprotected", "dog", emoji).options.protect_in == ()  # where nobody is protected there are none
    assert plan("age", "dog", emoji, protect_in=()).options.protect_in == ()  # as a run of an earlier version began


@pytest.mark.parametrize("form", ["an emoji", "{noun.__class__} {noun}", "{noun:>9999}"])
def test_a_prompt_to_spare_words_in_holds_the_word_and_nothing_else_to_fill_in(form):
    with pytest.raises(AgeError, match="no other brace"):
        EraseOptions(train="kv", protect="near", protect_in=(form,))
