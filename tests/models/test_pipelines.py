"""Loading and drawing: one code path for every model, clear errors for what cannot be opened."""

from __future__ import annotations

import pytest
import torch

from age_core import AgeError, ConceptSet, Vocabulary, encode_text, generate, load_pipeline
from age_core.erasure.target_words import outside
from age_core.models.families import predict

WORDS = ("dog", "wolf", "fox", "cat", "pizza", "church", "dog house")


def test_a_saved_pipeline_opens_and_draws_the_same(tiny_sd, tmp_path):
    tiny_sd.save_pretrained(tmp_path / "sd")
    again = load_pipeline(tmp_path / "sd")
    assert generate(again, ["a dog"], [5], 3)[0].tobytes() == generate(tiny_sd, ["a dog"], [5], 3)[0].tobytes()


def test_a_picture_does_not_depend_on_its_batch(tiny_sd):
    alone = generate(tiny_sd, ["dog"], [7], 3)[0]
    among = generate(tiny_sd, ["cat", "dog", "fox"], [1, 7, 2], 3)[1]
    difference = torch.tensor(list(alone.tobytes())).int() - torch.tensor(list(among.tobytes())).int()
    assert difference.abs().max() <= 1  # rounding of batched arithmetic


def test_a_folder_that_lacks_parts_names_them(tiny_sd, tmp_path):
    tiny_sd.save_pretrained(tmp_path / "sd")
    for file in (tmp_path / "sd" / "unet").iterdir():
        file.unlink()
    (tmp_path / "sd" / "unet").rmdir()
    with pytest.raises(AgeError, match="lacks unet"):
        load_pipeline(tmp_path / "sd")


def test_broken_weights_are_explained(tiny_sd, tmp_path):
    tiny_sd.save_pretrained(tmp_path / "sd")
    weights = next((tmp_path / "sd" / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AgeError, match="cannot be loaded"):
        load_pipeline(tmp_path / "sd")


def test_offloading_leaves_all_but_the_unet_in_main_memory(tiny_sd, tmp_path):
    """On torch's device without numbers: mixing devices there is an error, as it is on a GPU."""
    tiny_sd.save_pretrained(tmp_path / "sd")
    pipe = load_pipeline(tmp_path / "sd", device="meta", offload=True)
    assert {pipe.text_encoder.device.type, pipe.vae.device.type} == {"cpu"} and pipe.unet.device.type == "meta"
    states = encode_text(pipe, ["a dog", "a cat"])
    assert states.device.type == "meta"
    z, t = torch.zeros(2, 4, 8, 8, device="meta"), torch.zeros(2, device="meta")
    assert predict(pipe, z, t, states).device.type == "meta"
    here = load_pipeline(tmp_path / "sd", offload=True)
    assert generate(here, ["a dog"], [5], 3)[0].tobytes() == generate(tiny_sd, ["a dog"], [5], 3)[0].tobytes()


@pytest.mark.parametrize("source", ["nothing", "/does/not/exist", ""])
def test_sources_that_are_no_pipeline(source):
    with pytest.raises(AgeError, match=r"pipeline"):
        load_pipeline(source)


@pytest.mark.parametrize(
    ("prompts", "seeds", "steps", "words"),
    [([], [], 3, "no prompt"), (["dog"], [0, 1], 3, "seeds"), (["dog"], [0], 0, "at least 1")],
)
def test_bad_requests(tiny_sd, prompts, seeds, steps, words):
    with pytest.raises(AgeError, match=words):
        generate(tiny_sd, prompts, seeds, steps)


def test_the_empty_prompt_can_be_drawn_too(tiny_sd):
    nothing, dog = generate(tiny_sd, ["", "dog"], [0, 0], steps=2)
    assert nothing.size == dog.size and nothing.tobytes() != dog.tobytes()


def test_prompts_that_leave_the_world_are_told_apart(emoji_pipe):
    concepts = ConceptSet.load("emoji")
    for prompt in ("a dog in the noto style", "two puppies and some fruit"):
        assert outside(emoji_pipe, prompt, concepts) == ""
    assert "asked for nothing" in outside(emoji_pipe, " ", concepts)
    said = outside(emoji_pipe, "a cello", concepts)
    assert said.startswith("Outside this model's world") and "violin" in said  # the nearest in meaning
    assert "first 16 word pieces" in outside(emoji_pipe, "dog " * 20, concepts)


def test_states_are_the_pipelines_own(tiny_sd):
    tokens = tiny_sd.tokenizer(["a dog"], padding="max_length", max_length=20, return_tensors="pt").input_ids
    assert torch.allclose(encode_text(tiny_sd, ["a dog"]), tiny_sd.text_encoder(tokens)[0], atol=1e-6)


def test_neighbours_leave_out_the_concept_and_what_names_it(tiny_sd):
    near = Vocabulary(WORDS).near(tiny_sd, "dog", 10, exclude=("wolf",))
    assert set(near.names) == {"fox", "cat", "pizza", "church"}
    assert list(near.distances) == sorted(near.distances)


def test_bad_vocabularies(tiny_sd):
    with pytest.raises(AgeError, match="two"):
        Vocabulary(["dog", "dog "])
    with pytest.raises(AgeError, match="at least 1"):
        Vocabulary(WORDS).near(tiny_sd, "dog", 0)
    with pytest.raises(AgeError, match="No word"):
        Vocabulary(["dog", "dog house"]).near(tiny_sd, "dog", 3)
