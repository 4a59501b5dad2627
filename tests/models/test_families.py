"""The seam to model families: what is asked of a row, and what is refused when a pipeline is opened."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch
from support import build_tiny_sd, build_tiny_sdxl

from age_core import AgeError, encode_text, generate, load_pipeline
from age_core.models.families import CLASSES, FAMILIES, family_of
from age_core.runs.info import describe_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sd")
    (path / "words").mkdir()
    build_tiny_sd(path / "words", "epsilon").save_pretrained(path / "pipe")
    return path / "pipe"


@pytest.fixture
def changed(folder, tmp_path):
    """A copy of the pipeline's folder in which one JSON file is changed; None leaves an entry out."""

    def change(file: str, **entries: object) -> Path:
        copy = tmp_path / "copy"
        for path in folder.rglob("*"):
            if path.is_file():
                (copy / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
                (copy / path.relative_to(folder)).write_bytes(path.read_bytes())
        content = json.loads((copy / file).read_text()) | entries
        (copy / file).write_text(json.dumps({name: value for name, value in content.items() if value != "absent"}))
        return copy

    return change


def schedule(copy: Path, name: str) -> Path:
    """The same with another scheduler."""
    index = json.loads((copy / "model_index.json").read_text()) | {"scheduler": ["diffusers", name]}
    (copy / "model_index.json").write_text(json.dumps(index))
    return copy


def test_each_row_answers_for_its_own_class(folder, tmp_path):
    (tmp_path / "words").mkdir()
    pipes = [load_pipeline(folder), build_tiny_sdxl(tmp_path / "words")]
    assert [family_of(pipe) for pipe in pipes] == list(FAMILIES)
    for pipe, width in zip(pipes, (20, 21), strict=True):
        family = family_of(pipe)
        assert family.latent_shape(pipe) == (4, 8, 8) and family.prediction_type(pipe) == "epsilon"
        embeds = encode_text(pipe, ["a dog", "", "a cat"])
        assert embeds.shape[:2] == (3, width) and family.tokens(embeds).shape[1] == 20
        z, t = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([900, 500, 100])
        assert family.predict(pipe, z, t, embeds).shape == z.shape
        assert set(family.trained(pipe, "xattn")) < set(family.trained(pipe, "full"))


def test_a_pipeline_of_no_family_is_refused_and_told_the_families():
    with pytest.raises(AgeError, match="StableDiffusionPipeline and StableDiffusionXLPipeline"):
        family_of(object())
    assert list(CLASSES) == ["StableDiffusionPipeline", "StableDiffusionXLPipeline"]


def test_nobody_else_looks_inside_a_pipeline():
    """What only a family knows is asked nowhere else, so that another family is a row and not a hunt."""
    inside = {"sample_size", "in_channels", "addition_embed_type", "prediction_type", "text_encoder_2", "tokenizer_2"}
    for path in (ROOT / "age_core").rglob("*.py"):
        # the families' own checks; the bundled model is made of those parts
        if path.name in ("families.py", "checks.py") or "emoji" in path.parts:
            continue
        asked = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
        }
        # a family's own method of that name is what they should ask
        assert not asked & (inside - {"prediction_type"}), path
        assert ".config.prediction_type" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("size", [[8, 8], 8])
def test_latents_may_be_given_as_a_pair_of_equal_sides(folder, changed, size):
    pipe = load_pipeline(changed("unet/config.json", sample_size=size))
    assert describe_model(pipe)["latent_shape"] == [4, 8, 8]
    again = generate(load_pipeline(folder), ["a dog"], [5], 2)[0]
    assert generate(pipe, ["a dog"], [5], 2)[0].tobytes() == again.tobytes()


def test_latents_of_an_odd_side_are_drawn(changed):
    pipe = load_pipeline(changed("unet/config.json", sample_size=7))
    assert generate(pipe, ["a dog"], [5], 2)[0].size == (14, 14)


@pytest.mark.parametrize("size", [[8, 16], None, [], 0, 8.0, "8", [8.0, 8.0]])
def test_latents_that_are_not_square_are_refused_when_the_pipeline_is_opened(changed, size):
    with pytest.raises(AgeError, match="must be square"):
        load_pipeline(changed("unet/config.json", sample_size=size))


@pytest.mark.parametrize("kind", ["sample", "flow_prediction"])
def test_a_prediction_type_that_is_unknown_is_refused_when_the_pipeline_is_opened(changed, kind):
    with pytest.raises(AgeError, match="must be 'epsilon' or 'v_prediction'"):
        load_pipeline(changed("scheduler/scheduler_config.json", prediction_type=kind))


@pytest.mark.parametrize(
    "name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler"]
)
def test_a_scheduler_without_noise_levels_is_refused_when_the_pipeline_is_opened(changed, name):
    copy = schedule(changed("scheduler/scheduler_config.json", _class_name=name), name)
    with pytest.raises(AgeError, match=f"{name}, has no table of noise levels"):
        load_pipeline(copy)


def test_a_safety_checker_is_not_asked_for(folder, changed):
    """It looks at photographs, and blackens what it takes for nudity; its weights are often left away."""
    copy = changed("model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    pipe = load_pipeline(copy)
    assert pipe.safety_checker is None
    assert (
        generate(pipe, ["a dog"], [5], 2)[0].tobytes()
        == generate(load_pipeline(folder), ["a dog"], [5], 2)[0].tobytes()
    )


def test_a_scheduler_whose_package_is_missing_says_which(changed):
    name = "DPMSolverSDEScheduler"
    copy = schedule(changed("scheduler/scheduler_config.json", _class_name=name), name)
    with pytest.raises(AgeError, match=f"{name} requires the torchsde library"):
        load_pipeline(copy)


def test_a_tokenizer_that_names_no_length_reads_as_much_as_its_text_encoder(folder, changed):
    pipe = load_pipeline(changed("tokenizer/tokenizer_config.json", model_max_length="absent"))
    assert describe_model(pipe)["text_length"] == 20
    assert torch.equal(encode_text(pipe, ["a dog"]), encode_text(load_pipeline(folder), ["a dog"]))
