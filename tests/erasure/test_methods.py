"""Named methods on a tiny Stable Diffusion and the emoji world: each erases, each is what the table says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from support import QUICK, SMALL, WORLD

from age_core import AgeError, Candidates, ConceptSet, EraseOptions, RunFailed, Vocabulary, encode_text, erase
from age_core.erasure.by_method import candidates_for, erase_by, plan
from age_core.erasure.latents import prepare
from age_core.erasure.look_ahead import look_ahead, with_prior
from age_core.erasure.methods import CONTEXTS, METHODS, find_method, method_options
from age_core.erasure.outcome import finished, last_eraser
from age_core.erasure.target_words import banned, fixed_word, resolve
from age_core.models.eraser import KINDS


@pytest.mark.parametrize("method", METHODS)
def test_every_method_of_the_table_returns_an_eraser_that_fits(tiny_sd, method):
    before = {name: value.clone() for name, value in tiny_sd.unet.named_parameters()}
    events = list(erase_by(tiny_sd, method, "dog", WORLD, pool=3, **QUICK))
    eraser = events[-1].eraser
    assert eraser is not None and (eraser.delta or eraser.directions or eraser.prompts)
    assert all(torch.equal(value, before[name]) for name, value in tiny_sd.unet.named_parameters())
    with eraser.applied_to(tiny_sd):
        pass
    if METHODS[method].kind == "gradient":
        assert [event.step for event in events if event.step] == [1, 2]
        assert all(math.isfinite(event.loss_erase) for event in events if event.step)


def test_an_unknown_method_or_option_lists_the_valid_ones(tiny_epsilon):
    with pytest.raises(AgeError, match="age, age-unprotected, age-even, age-diverse, age-paper, age-paper-code"):
        find_method("agee")
    with pytest.raises(AgeError, match="negative_guidance"):
        method_options("age", speed="high")
    with pytest.raises(AgeError, match="goes with look-ahead, lacu, synonym"):
        erase_by(tiny_epsilon, "age", "dog", WORLD, target="cat")


def test_presets_carry_the_papers_hyper_parameters():
    """docs/method.md, section B, the table of shipped values."""
    for preset, lr, temperature, relaxation, train, pool in (
        ("paper-object", 1e-2, 0.1, "straight-through", "xattn", 100),
        ("paper-style", 1e-3, 2.0, "top-k", "xattn", 1000),
        ("paper-attribute", 1e-2, 2.0, "straight-through", "noxattn", 100),
    ):
        request = plan("age-paper-code", "dog", WORLD, preset)
        assert request.pool == request.arguments["pool"] == pool
        assert plan("age-paper-code", "dog", WORLD, preset, pool=7).pool == 7
        options = method_options("age-paper-code", preset)
        assert (options.steps, options.batch, options.lr, options.pi_every) == (1000, 1, 1e-5, 1)
        assert (options.pi_lr, options.pi_temperature, options.relaxation, options.train) == (
            lr,
            temperature,
            relaxation,
            train,
        )
        assert (options.negative_guidance, options.weighting, options.inner_objective, options.legacy_offset) == (
            1.0,
            "x0",
            "student",
            True,
        )
        assert (options.sample_guidance, options.grid, options.preserve_weight) == (3.0, 50, 1.0)


@pytest.mark.parametrize("method", ["uce", "empty", "esd-x"])
def test_a_concept_is_not_erased_to_itself_nor_to_a_word_that_means_it(tiny_epsilon, method):
    for word in ("dog", " Dog ", "hound"):
        with pytest.raises(AgeError, match=f"'{word.strip()}' is 'dog' itself and cannot be its own target: choose"):
            erase_by(tiny_epsilon, method, ["cat", "dog"], WORLD, target=word)
    assert plan(method, "dog", WORLD, target="").concepts == (WORLD["dog"],)  # the empty prompt is nobody
    with pytest.raises(AgeError, match="its own target"):
        plan("synonym", "dog", WORLD, target="dog")
    assert plan("synonym", "dog", WORLD, target="hound").options.target == "fixed"  # as the method itself would choose


def test_a_concept_named_twice_is_erased_once(tiny_epsilon):
    for method, changes in (("uce", {}), ("random", QUICK)):
        eraser = last_eraser(erase_by(tiny_epsilon, method, ["dog", "Dog", "hound"], WORLD, **changes))
        assert eraser.info["concepts"] == ["dog"]


def test_events_that_end_without_an_eraser_say_so(tiny_epsilon):
    last, eraser = finished(erase_by(tiny_epsilon, "random", "dog", WORLD, **QUICK))
    assert last.step == 2 and last.eraser is eraser
    with pytest.raises(RunFailed, match="ended at step 1, before there was an eraser"):
        last_eraser(event for event in erase_by(tiny_epsilon, "random", "dog", WORLD, **QUICK) if event.step < 2)
    with pytest.raises(RunFailed, match="step 0"):
        finished([])


@pytest.mark.parametrize("method", ["age", "uce", "rece", "adavd", "dve", "age-paper"])
def test_a_method_makes_the_same_eraser_in_a_mode_without_gradients(tiny_epsilon, method):
    plain = last_eraser(erase_by(tiny_epsilon, method, "dog", WORLD, **QUICK))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            eraser = last_eraser(erase_by(tiny_epsilon, method, "dog", WORLD, **QUICK))
        for before, after in ((getattr(plain, kind), getattr(eraser, kind)) for kind in KINDS):
            assert before.keys() == after.keys()
            assert all(torch.equal(after[name], value) for name, value in before.items())
            assert not any(value.is_inference() for value in after.values())


def test_fixed_words_are_what_they_are_called(tiny_epsilon):
    dog = WORLD["dog"]
    pool = candidates_for(tiny_epsilon, "age", [dog], WORLD, 5)["dog"]

    def word(kind, concept=dog, seed=0):
        return fixed_word(tiny_epsilon, kind, concept, WORLD, 5, seed=seed)

    assert word("synonym") == "hound" and word("general") == "animal" and word("empty") == ""
    assert word("nearest") == pool.names[0]
    assert word("in-class") in {"wolf", "cat"}
    assert WORLD[word("unrelated")].group != "mammal"
    assert {word("random-word", seed=seed) for seed in range(40)} == set(WORLD.names) - {"dog"}
    with pytest.raises(AgeError, match="no synonym"):
        word("synonym", WORLD["cat"])
    with pytest.raises(AgeError, match="alone in its group"):
        word("in-class", WORLD["pizza"])


def test_a_general_word_bans_its_members_as_targets(tiny_epsilon):
    animal = resolve(WORLD, "animal")
    assert set(animal.labels) == {"dog", "wolf", "cat"}
    assert {"dog", "wolf", "cat"} <= set(banned([animal]))
    pool = candidates_for(tiny_epsilon, "age", [animal], WORLD)["animal"]
    assert set(pool.names) == {"pizza", "church", "car"}
    events = list(erase_by(tiny_epsilon, "age", "animal", WORLD, **QUICK))
    assert events[-1].eraser.info["concepts"] == ["animal"]
    with pytest.raises(AgeError, match="no concept 'quark'"):
        resolve(WORLD, "quark")


def test_diversified_is_the_unprotected_one_with_the_target_in_the_same_contexts(tiny_epsilon):
    """Each step compares [context, concept] with [context, target]; a set of styles keeps its own contents."""
    options = plan("age-diverse", "dog", WORLD).options
    assert replace(options, templates=EraseOptions().templates) == plan("age-unprotected", "dog", WORLD).options
    assert len(set(options.templates)) == len(options.templates) == 10
    *_, cache = prepare(tiny_epsilon, "dog", ("wolf", "cat"), replace(SMALL, templates=options.templates))
    for template, erased, candidates in zip(CONTEXTS, cache.erased, cache.candidate_embeds, strict=True):
        prompts = [template.format(noun=word, a_noun=f"a {word}") for word in ("dog", "wolf", "cat")]
        assert torch.allclose(torch.cat([erased[None], candidates]), encode_text(tiny_epsilon, prompts), atol=1e-5)
    styles = ConceptSet.load("emoji-styles")
    assert plan("age-diverse", styles.names[0], styles).options.templates == styles.erase_templates


def test_several_concepts_are_no_targets_of_each_other(tiny_epsilon):
    events = list(erase_by(tiny_epsilon, "random", ["dog", "cat"], WORLD, **{**QUICK, "steps": 8}))
    assert {event.concept for event in events if event.step} == {"dog", "cat"}
    assert not {"dog", "cat"} & {name for event in events for name in event.candidates}
    closed = list(erase_by(tiny_epsilon, "uce", ["dog", "cat"], WORLD))[-1].eraser
    one = list(erase_by(tiny_epsilon, "uce", ["dog"], WORLD))[-1].eraser
    assert any(not torch.allclose(closed.delta[name], one.delta[name]) for name in one.delta)


def test_published_candidates_keep_the_concept_and_rank_by_flat_distance(tiny_epsilon):
    vocabulary = Vocabulary((*WORLD.names, "two words"))
    pool = vocabulary.near_as_published(tiny_epsilon, "dog", 4)
    assert pool.names[0] == "dog" and pool.distances[0] == pytest.approx(0, abs=1e-4)
    assert list(pool.distances) == sorted(pool.distances)
    assert "two words" not in vocabulary.near_as_published(tiny_epsilon, "dog", 9, letters_only=True).names
    centred = vocabulary.near_as_published(tiny_epsilon, "dog", 7, centres=3)
    assert len(centred) <= 3 and set(centred.names) <= set(vocabulary.words)


def test_a_look_ahead_tells_erasing_from_damage(tiny_sd):
    pool = Candidates(("wolf", "cat", "pizza"), (0.1, 0.2, 0.9))
    *_, table = look_ahead(tiny_sd, "dog", pool, WORLD, ["cat", "church"])
    assert list(table["candidate"]) == list(pool.names)
    assert (table["erased"] > 0).all() and (table["damage"] > 0).all()
    prior = with_prior(pool, table, 2.0).prior
    assert prior.index(max(prior)) == table["utility"].argmax()
    assert sum(prior) == pytest.approx(0, abs=1e-5)
    with pytest.raises(AgeError, match="at least one other"):
        next(look_ahead(tiny_sd, "dog", pool, WORLD, ["dog"]))


def test_a_look_ahead_on_the_emoji_world_erases_more_than_it_damages(emoji_pipe):
    """And a target that is the concept's own synonym does least of all."""
    concepts = ConceptSet.load("emoji")
    pool = Candidates(("tiger", "pizza", "kitty", ""), (0.1, 0.9, 0.05, 1.0))
    *_, table = look_ahead(emoji_pipe, "cat", pool, concepts, concepts.names[::40], images=1)
    table = table.set_index("candidate")
    assert (table["erased"] > 3 * table["damage"]).all()
    assert table["erased"].idxmin() == "kitty"


def test_a_prior_is_where_the_logits_start(tiny_epsilon):

    pool = Candidates(("wolf", "cat", "pizza"), (0.1, 0.2, 0.9), prior=(3.0, 0.0, -3.0))
    first = next(e for e in erase(tiny_epsilon, "dog", pool, replace(SMALL, pi_every=100)) if e.step)
    assert first.logits == (3.0, 0.0, -3.0)
