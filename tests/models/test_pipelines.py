"""Loading and drawing: one code path for every model, clear errors for what cannot be opened."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from support import build_tiny_sd

from age_core import AgeError, ConceptSet, Vocabulary, encode_text, generate, load_pipeline
from age_core.erasure.target_words import outside
from age_core.models import pipelines
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


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A folder with weights of the variant "fp16" alone, the UNet's in several files."""
    folder = tmp_path_factory.mktemp("half")
    pipe = build_tiny_sd(folder, "epsilon")
    pipe.save_pretrained(folder / "sd", variant="fp16")
    shutil.rmtree(folder / "sd" / "unet")
    pipe.unet.save_pretrained(folder / "sd" / "unet", variant="fp16", max_shard_size="500KB")
    return pipe, folder / "sd"


def copied(folder, place):
    shutil.copytree(folder, place)
    return place


def test_weights_of_a_variant_are_read_where_there_are_no_others(half, tmp_path):
    pipe, folder = half
    assert len(list((folder / "unet").glob("*.fp16-*.safetensors"))) > 1
    wanted = generate(pipe, ["a dog"], [5], 2)[0].tobytes()
    assert generate(load_pipeline(folder), ["a dog"], [5], 2)[0].tobytes() == wanted
    partly = copied(folder, tmp_path / "partly")  # as of the text encoder and nothing else
    for part in ("vae", "unet"):
        shutil.rmtree(partly / part)
        getattr(pipe, part).save_pretrained(partly / part)
    assert generate(load_pipeline(partly), ["a dog"], [5], 2)[0].tobytes() == wanted
    (partly / "text_encoder" / "model.fp16.safetensors").rename(partly / "text_encoder" / "model.bf16.safetensors")
    assert generate(load_pipeline(partly), ["a dog"], [5], 2)[0].tobytes() == wanted


def test_plain_weights_come_before_those_of_a_variant(half, tmp_path):
    pipe, folder = half
    both = copied(folder, tmp_path / "both")
    pipe.save_pretrained(both)
    for file in both.rglob("*.fp16*.safetensors"):
        file.write_bytes(b"nobody reads this")
    assert load_pipeline(both).unet.dtype == torch.float32


def test_variants_that_differ_between_parts_are_refused(half, tmp_path):
    _, folder = half
    mixed = copied(folder, tmp_path / "mixed")
    (mixed / "text_encoder" / "model.fp16.safetensors").rename(mixed / "text_encoder" / "model.bf16.safetensors")
    with pytest.raises(AgeError, match=r"of different variants \(bf16, fp16\)"):
        load_pipeline(mixed)


def test_pickled_weights_are_refused_in_a_sentence_that_says_so(half, tmp_path):
    _, folder = half
    pickled = copied(folder, tmp_path / "pickled")
    (pickled / "text_encoder" / "model.fp16.safetensors").rename(pickled / "text_encoder" / "pytorch_model.bin")
    with pytest.raises(AgeError, match=r"weights of text_encoder are there as \.bin files only"):
        load_pipeline(pickled)


def test_a_variant_on_the_hub_is_found_in_what_is_kept_of_it_or_in_its_list(half, monkeypatch):
    _, folder = half
    asked = {}
    opened = StableDiffusionPipeline.from_pretrained

    def from_pretrained(source, **options):
        asked[source] = options["variant"]
        return opened(folder, **options)

    monkeypatch.setattr(StableDiffusionPipeline, "from_pretrained", from_pretrained)
    config = DiffusionPipeline.load_config(folder)
    monkeypatch.setattr(DiffusionPipeline, "load_config", lambda *_, **__: dict(config))
    kept = {"some/kept": str(folder / "model_index.json")}
    monkeypatch.setattr(pipelines, "try_to_load_from_cache", lambda name, _: kept.get(name))
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*.*")]
    listed = SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])
    monkeypatch.setattr(pipelines.HfApi, "model_info", lambda *_, **__: listed)
    load_pipeline("some/kept")
    load_pipeline("some/listed")
    assert asked == {"some/kept": "fp16", "some/listed": "fp16"}


@pytest.mark.parametrize("part", ["text_encoder", "vae"])
def test_other_parts_that_are_broken_are_explained_too(half, tmp_path, part):
    _, folder = half
    broken = copied(folder, tmp_path / "broken")
    weights = next((broken / part).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AgeError, match="cannot be loaded"):
        load_pipeline(broken)


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
