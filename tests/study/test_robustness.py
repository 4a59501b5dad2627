"""What brings an erased concept back: each attempt against what it must do by construction."""

from __future__ import annotations

import pytest
import torch

from age_core import AgeError, Concept, ConceptSet, Eraser, encode_text
from age_core.models.probes import Probe
from age_core.models.sampling import sample_latents
from age_core.study.robustness import recovery_rates, revived_states

WORLD = ConceptSet(
    "small", (Concept("dog", "mammal", "animal", ("puppy",)), Concept("cat", "mammal", "animal")), "{noun}"
)


class SeesDogs(Probe):
    """A probe that names every picture a dog."""

    def __init__(self):
        super().__init__(None, ("dog", "cat"))

    def scores(self, pictures, batch_size=128):
        return torch.tensor([[0.9, 0.1]]).repeat(len(pictures), 1).numpy()


def turned(pipe) -> Eraser:
    """An edit that a revival can undo whole: every key and value projection reads its states turned, W' = W Q."""
    width = pipe.unet.config.cross_attention_dim
    turn = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(0)))[0]
    weights = {
        n: w for n, w in pipe.unet.named_parameters() if n.endswith((".attn2.to_k.weight", ".attn2.to_v.weight"))
    }
    return Eraser({name: (w @ turn - w).detach() for name, w in weights.items()})


def test_a_revival_undoes_an_edit_that_can_be_undone(tiny_sd):
    eraser, states = turned(tiny_sd), encode_text(tiny_sd, ["dog"])
    seeds = [1]
    original = sample_latents(tiny_sd, states, seeds, 3)
    with eraser.applied_to(tiny_sd):
        edited = sample_latents(tiny_sd, states, seeds, 3)
    # guidance compares with the empty prompt, which the edit turns as well: ask without it
    revived = revived_states(tiny_sd, eraser, states, rho=1e-9)
    unguided = sample_latents(tiny_sd, states, seeds, 3, guidance=1.0)
    with eraser.applied_to(tiny_sd):
        back = sample_latents(tiny_sd, revived, seeds, 3, guidance=1.0)
    assert not torch.allclose(edited, original, atol=1e-3)
    assert torch.allclose(back, unguided, atol=1e-3)


def test_a_model_that_takes_over_late_changes_only_what_comes_after(tiny_sd):
    eraser, states = turned(tiny_sd), encode_text(tiny_sd, ["dog"] * 3)

    def drawn(late_from):
        return sample_latents(
            tiny_sd, states, [1, 2, 3], 3, batch_size=2, late=lambda: eraser.applied_to(tiny_sd), late_from=late_from
        )

    original = sample_latents(tiny_sd, states, [1, 2, 3], 3, batch_size=2)
    with eraser.applied_to(tiny_sd):
        edited = sample_latents(tiny_sd, states, [1, 2, 3], 3, batch_size=2)
    assert torch.equal(drawn(0), edited) and torch.equal(drawn(3), original)
    assert not torch.equal(drawn(1), edited) and not torch.equal(drawn(1), original)


def test_every_attempt_is_reported_beside_its_ceiling(tiny_epsilon):
    probe = SeesDogs()
    table = recovery_rates(tiny_epsilon, probe, WORLD, "puppy", turned(tiny_epsilon), images=2)
    assert (table[["shown", "ceiling"]] == 100).all().all()
    kinds = table["kind"].value_counts().to_dict()
    assert kinds == {
        "the word itself": 1,
        "synonym": 1,
        "general word": 2,
        "revival": 1,
        "completion": 3,
        "completion, nothing asked": 3,
    }
    assert set(table.loc[table["kind"] == "general word", "tried"]) == {"animal", "mammal"}
    other = recovery_rates(tiny_epsilon, probe, WORLD, "cat", turned(tiny_epsilon), images=2, upper_bounds=False)
    assert (other["shown"] == 0).all() and other["ceiling"].isna().all() and len(other) == 10


def test_what_cannot_be_revived_is_left_out_or_refused(tiny_epsilon):
    name = next(n for n, _ in tiny_epsilon.unet.named_parameters() if ".attn1.to_k." in n)
    eraser = Eraser({name: torch.zeros_like(dict(tiny_epsilon.unet.named_parameters())[name])})
    with pytest.raises(AgeError, match="no keys or values"):
        revived_states(tiny_epsilon, eraser, encode_text(tiny_epsilon, ["dog"]))

    table = recovery_rates(tiny_epsilon, SeesDogs(), WORLD, "dog", eraser, images=1)
    assert "revival" not in set(table["kind"]) and len(table) == 10
    with pytest.raises(AgeError, match="at least one picture"):
        recovery_rates(tiny_epsilon, SeesDogs(), WORLD, "dog", eraser, images=0)
