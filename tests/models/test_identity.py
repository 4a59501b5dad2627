"""What tells models apart, and what does not: their identity, and how two are compared."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from support import build_tiny_sd, build_tiny_sdxl, tiny_tokenizer

from age_core import load_pipeline
from age_core.models.identity import model_identity
from age_core.models.same_model import distinct, first_part, same_model


@pytest.fixture
def pipe(tmp_path):
    return build_tiny_sd(tmp_path, "epsilon")


def other_scaling(pipe, folder):
    pipe.vae.register_to_config(scaling_factor=0.5)


def other_shift(pipe, folder):
    pipe.vae.register_to_config(shift_factor=0.1)


def other_means(pipe, folder):
    pipe.vae.register_to_config(latents_mean=[0.1] * 4, latents_std=[2.0] * 4)


def other_groups(pipe, folder):
    pipe.vae.register_to_config(norm_num_groups=2)


def other_activation(pipe, folder):
    pipe.text_encoder.config.hidden_act = "gelu"


def other_heads(pipe, folder):
    pipe.text_encoder.config.num_attention_heads = 2


def other_padding(pipe, folder):
    pipe.tokenizer.pad_token = "a"


def shorter_texts(pipe, folder):
    pipe.tokenizer.model_max_length = 8


def one_more_word(pipe, folder):
    pipe.tokenizer.add_tokens("dogo")


def other_splitting(pipe, folder):
    """The same word pieces, two of which are no longer put together."""
    place = folder / "other"
    place.mkdir()
    pipe.tokenizer = tiny_tokenizer(place)
    pipe.tokenizer.backend_tokenizer.normalizer = None


def other_sampling(pipe, folder):
    pipe.scheduler.register_to_config(beta_end=0.02)


CHANGES = [value for name, value in dict(globals()).items() if name.split("_")[0] in ("other", "shorter", "one")]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_changes_what_a_model_draws_makes_another(pipe, change, tmp_path):
    before = model_identity(pipe)
    change(pipe, tmp_path)
    assert not same_model(model_identity(pipe), before)


def test_what_is_no_matter_of_drawing_makes_none(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "one")
    pipe = load_pipeline(tmp_path / "one")
    before = model_identity(pipe)
    pipe.encode_prompt(["a dog"], "cpu", 1, False)
    pipe.vae.register_to_config(_name_or_path="/else/where")
    pipe.text_encoder.config.use_cache = False
    pipe.text_encoder.config.dtype = torch.float16
    pipe.save_pretrained(tmp_path / "two")
    assert model_identity(pipe) == model_identity(load_pipeline(tmp_path / "two")) == before


def test_sdxl_whose_empty_prompt_is_zeros_is_another(tmp_path):
    pipe = build_tiny_sdxl(tmp_path)
    before = model_identity(pipe)
    pipe.register_to_config(force_zeros_for_empty_prompt=not pipe.config.force_zeros_for_empty_prompt)
    assert not same_model(model_identity(pipe), before)


def test_identities_of_earlier_versions_are_compared_by_what_they_tell():
    early, one, other = "0123456789abcdef", "0123456789abcdef-00000001", "0123456789abcdef-00000002"
    assert first_part(one) == first_part(early) == early
    assert same_model(early, one) and same_model(other, early) and not same_model(one, other)
    assert distinct([early, one, early]) == [one] and distinct([one, early, other]) == [one, other]
    strangers = (early, "f" * 16, "", "alice", "alice-2", f"{'f' * 15}0-00000001")
    assert not any(same_model(*pair) for pair in combinations(strangers, 2))
    assert all(same_model(name, name) for name in strangers)
