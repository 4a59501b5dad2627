"""From noise to pictures: one seed is one picture, the VAE reads what it gave, and what is no picture is an error."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, LCMScheduler
from support import build_tiny_sd, build_tiny_sdxl

from age_core import AgeError, Eraser, encode_text, generate, load_pipeline
from age_core.measure.pairs import same_seed_pairs
from age_core.models import sampling
from age_core.models.decoding import decoded
from age_core.models.sampling import decode, sample_latents
from age_core.models.solver import solver_for

CPU = torch.device("cpu")
TABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("words"), "epsilon")


@pytest.fixture
def pipe(plain):
    return copy.deepcopy(plain)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}),
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "solver_order": 3}),
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True, "thresholding": True}),
        ("DPMSolverSinglestepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("EulerAncestralDiscreteScheduler", {}),
        ("KDPM2AncestralDiscreteScheduler", {}),
        ("DDPMScheduler", {"variance_type": "learned_range"}),
        ("LCMScheduler", {}),
        ("UniPCMultistepScheduler", {"use_exponential_sigmas": True}),
        ("PNDMScheduler", {"skip_prk_steps": True}),
    ],
)
def test_one_seed_is_one_picture_whatever_the_scheduler(pipe, name, settings):
    """Schedulers differ in how they draw; ours is the same for all, on the noise levels that they name."""
    pipe.scheduler = getattr(diffusers, name)(**TABLE, **settings)
    (pair,) = same_seed_pairs(pipe, Eraser({}), None, ["a dog"], [0])
    assert pair.original.tobytes() == pair.edited.tobytes()
    alone, among = generate(pipe, ["a dog"], [0], 4)[0], generate(pipe, ["a fox", "a dog"], [7, 0], 4)[1]
    assert np.abs(np.asarray(alone, int) - np.asarray(among, int)).max() <= 1  # rounding of batched arithmetic
    solver = solver_for(pipe.scheduler)
    assert solver.config.algorithm_type == "dpmsolver++" and solver.config.solver_order == 2
    assert torch.equal(solver.alphas_cumprod, pipe.scheduler.alphas_cumprod)


def test_a_scheduler_that_names_no_levels_is_drawn_by_those_of_its_class():
    """Their defaults differ: LCM's are Stable Diffusion's, the solver's own are not."""
    scheduler = LCMScheduler.from_config({"num_train_timesteps": 1000})
    assert torch.equal(solver_for(scheduler).alphas_cumprod, scheduler.alphas_cumprod)


def test_the_bundled_model_is_drawn_by_the_solver_that_diffusers_makes_of_its_settings(emoji_pipe):
    ours, theirs = (
        solver_for(emoji_pipe.scheduler),
        DPMSolverMultistepScheduler.from_config(emoji_pipe.scheduler.config),
    )
    settings = {name: value for name, value in ours.config.items() if not name.startswith("_")}
    assert settings == {name: theirs.config[name] for name in settings}
    assert torch.equal(ours.alphas_cumprod, theirs.alphas_cumprod)


@pytest.mark.parametrize(
    ("settings", "scaled"),
    [
        ({"latents_mean": [-1.6, 0.9, 0.7, -1.0], "latents_std": [8.4, 5.9, 5.2, 4.2], "scaling_factor": 0.5}, "both"),
        ({"shift_factor": 0.1, "scaling_factor": 0.4}, "shift"),
        ({"latents_mean": None, "latents_std": None, "shift_factor": None, "scaling_factor": 0.4}, "neither"),
    ],
)
def test_latents_are_unscaled_as_the_vae_says(pipe, settings, scaled):
    pipe.vae.register_to_config(**settings)
    z = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    unscaled = {"neither": z / 0.4, "shift": z / 0.4 + 0.1}
    if scaled == "both":
        mean, std = (torch.tensor(settings[f"latents_{name}"]).view(1, 4, 1, 1) for name in ("mean", "std"))
        unscaled["both"] = z * std / 0.5 + mean
    with torch.no_grad():
        pixels = pipe.vae.decode(unscaled[scaled]).sample
    wanted = pipe.image_processor.postprocess(pixels, output_type="np")
    ours = np.stack([np.asarray(picture) for picture in decode(pipe, z)])
    assert np.abs(ours - 255 * wanted).max() <= 0.51


def test_sdxl_decodes_as_its_own_pipeline_does(tmp_path):
    sdxl = build_tiny_sdxl(tmp_path)
    sdxl.set_progress_bar_config(disable=True)
    sdxl.vae.register_to_config(latents_mean=[-1.6, 0.9, 0.7, -1.0], latents_std=[8.4, 5.9, 5.2, 4.2])
    asked = {"prompt": "a dog", "num_inference_steps": 1, "height": 16, "width": 16}
    latents = sdxl(**asked, output_type="latent", generator=torch.Generator().manual_seed(3)).images
    (theirs,) = sdxl(**asked, generator=torch.Generator().manual_seed(3)).images
    (ours,) = decode(sdxl, latents)
    assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """An SDXL whose VAE is finite in float16, while what it computes on the way is not."""
    folder = tmp_path_factory.mktemp("overflowing")
    sdxl = build_tiny_sdxl(folder)
    with torch.no_grad():
        sdxl.vae.decoder.conv_in.weight.mul_(2.5e5)
        sdxl.vae.decoder.conv_in.bias.mul_(0)
        sdxl.vae.post_quant_conv.weight.mul_(3)
    sdxl.vae.register_to_config(force_upcast=True)
    sdxl.save_pretrained(folder / "pipe")
    return folder / "pipe"


def test_a_vae_that_overflows_in_float16_is_decoded_in_float32(overflowing):
    pipe = load_pipeline(overflowing, dtype="float16")
    z = sample_latents(pipe, encode_text(pipe, ["a dog"]), [0], 2)
    pictures = [np.asarray(decode(one, z)[0], int) for one in (pipe, load_pipeline(overflowing))]
    assert pipe.vae.dtype == torch.float16  # as it was
    assert pictures[1].std() > 10 and np.abs(pictures[0] - pictures[1]).mean() < 3


def test_a_picture_that_is_no_picture_is_an_error(overflowing):
    pipe = load_pipeline(overflowing, dtype="float16")
    pipe.vae.register_to_config(force_upcast=False)
    with pytest.raises(AgeError, match="values that are no numbers: open it in bfloat16 or float32"):
        generate(pipe, ["a dog"], [0], 2)
    pipe = load_pipeline(overflowing)
    with torch.no_grad():
        pipe.unet.conv_out.weight.mul_(torch.nan)
    with pytest.raises(AgeError, match="values that are no numbers"):
        generate(pipe, ["a dog", "a cat"], [0, 1], 2)
    assert not pipe.vae.training and pipe.vae.dtype == torch.float32


@dataclass
class Recording:
    """Stands for a VAE: notes how many pictures are decoded at once and where it is moved."""

    config: dict = field(default_factory=lambda: {"scaling_factor": 1.0})
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    rows: list = field(default_factory=list)
    moves: list = field(default_factory=list)

    def to(self, device, dtype):
        self.moves.append((device.type, dtype))

    def decode(self, z):
        self.rows.append(len(z))
        return type("Decoded", (), {"sample": torch.zeros(len(z), 3, 2, 2)})


SIZES = [(8, 100, [64, 36]), (64, 20, [8, 8, 4]), (128, 3, [2, 1]), (512, 2, [1, 1])]


@pytest.mark.parametrize(("side", "count", "rows"), SIZES)
def test_as_many_pictures_are_decoded_at_once_as_fit_a_card(side, count, rows):
    vae = Recording()
    list(decoded(vae, torch.zeros(count, 1, side, side), CPU, 8))
    assert vae.rows == rows


def test_an_offloaded_vae_comes_to_the_device_and_goes_back():
    vae = Recording(device=torch.device("meta"))
    list(decoded(vae, torch.zeros(3, 1, 8, 8), CPU, 8))
    assert vae.rows == [1, 1, 1] and vae.moves == [("cpu", torch.float32), ("meta", torch.float32)]


def test_where_kernels_differ_by_size_every_batch_is_of_one_size(pipe, monkeypatch):
    prompts, seeds = ["dog", "cat", "fox", "wolf", "car"], [1, 2, 3, 4, 5]
    wanted = sample_latents(pipe, encode_text(pipe, prompts), seeds, 2, batch_size=2)
    sizes, real = [], sampling.predict
    monkeypatch.setattr(sampling, "predict", lambda pipe, z, *rest: sizes.append(len(z)) or real(pipe, z, *rest))
    monkeypatch.setattr(sampling, "rounds_by_size", lambda _: True)
    ours = sample_latents(pipe, encode_text(pipe, prompts), seeds, 2, batch_size=2)
    assert set(sizes) == {4} and torch.allclose(ours, wanted, atol=1e-5) and ours.shape == wanted.shape
    sizes.clear()
    sample_latents(pipe, encode_text(pipe, prompts), seeds, 2, batch_size=64)  # one batch is no larger than need be
    assert set(sizes) == {10}
