"""What keeps a pipeline from being edited truly and wholly is said in a sentence, whoever opened it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from diffusers import ConsistencyDecoderVAE, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, CustomDiffusionAttnProcessor
from peft import LoraConfig
from support import WORLD, build_tiny_sd, build_tiny_sdxl
from torch import nn

from age_core import AgeError, Concept, Eraser, encode_text, erase_by, generate
from age_core.models.families import editable, embed_concepts

METHODS = ("uce", "age", "esd-x", "speed", "adavd", "dve")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return build_tiny_sd(tmp_path_factory.mktemp("words"), "epsilon")


@pytest.fixture
def pipe(plain):
    """A pipeline of its own, to be changed."""
    return copy.deepcopy(plain)


@pytest.fixture
def sdxl(tmp_path):
    return build_tiny_sdxl(tmp_path)


def with_lora(pipe):
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_k", "to_v"], init_lora_weights=False))


def with_ip_adapter(pipe):
    layers = {"to_k_ip": 32, "to_v_ip": 64}
    names = [name for name, _ in pipe.unet.named_modules() if name.endswith(".attn2")]
    pipe.unet.get_submodule(names[0]).processor = nn.ModuleDict({k: nn.Linear(8, n) for k, n in layers.items()})


def with_own_processor(pipe):
    pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.processor = CustomDiffusionAttnProcessor(
        hidden_size=64, cross_attention_dim=32
    )


class Packed(nn.Module):
    """A layer without float weights, as quantizers put them in."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().to(torch.int8))


def with_packed(pipe):
    block = pipe.unet.mid_block.attentions[0].transformer_blocks[0]
    block.ff.net[2] = Packed(block.ff.net[2])


def with_integers(pipe):
    layer = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k
    layer.weight = nn.Parameter(layer.weight.detach().to(torch.int8), requires_grad=False)


def with_hook(pipe):
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


def compiled(pipe):
    pipe.unet = torch.compile(pipe.unet, backend="eager")


def compiled_in_place(pipe):
    pipe.unet.mid_block.compile(backend="eager")


def fused(pipe):
    pipe.fuse_qkv_projections(vae=False)


def fused_and_not(pipe):
    pipe.fuse_qkv_projections(vae=False)
    pipe.unfuse_qkv_projections(vae=False)


def with_text_lora(pipe):
    pipe.text_encoder.add_adapter(LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))


CHANGES = {
    with_lora: "LoRA layers are in place: fuse them first",
    with_text_lora: "text encoder cannot be edited as it is: LoRA layers are in place: fuse them first",
    with_ip_adapter: "an IP-Adapter is in place",
    with_own_processor: "attention processors have weights of their own",
    with_packed: "ff.net.2.weight' is not as its configuration describes it",
    with_integers: "its weights are quantized",
    with_hook: "hooks of accelerate or diffusers are in place",
    compiled: "it is compiled: hand in the UNet that was compiled",
    compiled_in_place: "it is compiled, and need not see an edit",
    fused: "projections are fused",
    fused_and_not: "projections are fused",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_stands_between_an_edit_and_the_weights_is_said(pipe, change):
    change(pipe)
    with pytest.raises(AgeError, match=CHANGES[change]):
        editable(pipe)


def test_every_method_and_every_eraser_says_so_before_any_work(plain, pipe):
    with_lora(pipe)
    before = {name: value.clone() for name, value in pipe.unet.state_dict().items()}
    for method in METHODS:
        with pytest.raises(AgeError, match="fuse them first"):
            erase_by(pipe, method, "dog", WORLD)
    with pytest.raises(AgeError, match="fuse them first"), Eraser({}).applied_to(pipe):
        pass
    assert all(torch.equal(value, before[name]) for name, value in pipe.unet.state_dict().items())


def test_a_model_with_fused_lora_layers_is_edited_as_any_other(plain, pipe):
    with_lora(pipe)
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    *_, last = erase_by(pipe, "uce", "dog", WORLD)
    assert set(last.eraser.delta) <= set(dict(plain.unet.named_parameters()))
    key = next(iter(last.eraser.delta))
    assert not torch.equal(pipe.unet.get_parameter(key), plain.unet.get_parameter(key))


def test_what_does_not_touch_the_weights_is_let_pass(pipe):
    pipe.unet.set_attn_processor(AttnProcessor())
    pipe.enable_attention_slicing()
    pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
    pipe.unet.enable_gradient_checkpointing()
    pipe.unet.to(torch.bfloat16)
    editable(pipe)


def test_added_words_are_read_with_all_their_pieces(pipe):
    width = pipe.text_encoder.config.hidden_size
    vectors = torch.randn(2, width, generator=torch.Generator().manual_seed(0))
    pipe.load_textual_inversion({"<toy>": vectors}, token="<toy>")
    both, first = encode_text(pipe, ["<toy>", "<toy>_1"])
    assert not torch.equal(both, first)
    ours = embed_concepts(pipe, ["<toy>"])[0]
    states = both[:4].mean(0)  # start, the two pieces, end
    assert torch.allclose(torch.from_numpy(ours), states / states.norm(), atol=1e-5)
    toys = replace(WORLD, concepts=(*WORLD.concepts, Concept("<toy>", "thing", "thing")))
    *_, last = erase_by(pipe, "uce", "<toy>", toys, target="cat")
    assert last.eraser.delta


def test_words_that_only_the_tokenizer_knows_are_refused(pipe):
    pipe.tokenizer = copy.deepcopy(pipe.tokenizer)
    pipe.tokenizer.add_tokens(["<toy>"])
    with pytest.raises(AgeError, match=r"knows 55 word pieces, its text encoder 54"):
        editable(pipe)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_pipeline_without_a_part_says_which(pipe, part):
    setattr(pipe, part, None)
    with pytest.raises(AgeError, match=f"has no {part}: erasing needs"):
        editable(pipe)


def settings_of(part):
    return {name: value for name, value in part.config.items() if not name.startswith("_")}


def rebuilt(pipe, **changes):
    """The pipeline with a UNet of other settings."""
    pipe.unet = UNet2DConditionModel.from_config(settings_of(pipe.unet) | changes)
    return pipe


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"in_channels": 9}, "takes 9 channels and gives 4: models for inpainting"),
        ({"in_channels": 8}, "takes 8 channels and gives 4"),
        ({"out_channels": 8}, "takes 4 channels and gives 8"),
        ({"num_class_embeds": 10}, "its num_class_embeds is 10"),
        ({"class_embed_type": "timestep"}, "its class_embed_type is 'timestep'"),
        ({"encoder_hid_dim": 24}, "its encoder_hid_dim_type is 'text_proj'"),
        ({"time_cond_proj_dim": 16}, "its time_cond_proj_dim is 16"),
        ({"addition_embed_type": "text"}, "its addition_embed_type is 'text'"),
        ({"cross_attention_dim": 48}, "UNet reads texts of width 48, its text encoders give 32"),
        ({"only_cross_attention": True}, r"also reads texts in '.*attn1'"),
        ({"in_channels": 6, "out_channels": 6}, "draws latents of 6 channels, its VAE reads 4"),
    ],
)
def test_a_unet_that_wants_more_than_text_and_noise_is_refused(pipe, changes, said):
    with pytest.raises(AgeError, match=said):
        editable(rebuilt(pipe, **changes))


def test_sdxl_is_asked_for_its_own_conditions(sdxl):
    editable(sdxl)
    sdxl.tokenizer_2 = copy.deepcopy(sdxl.tokenizer_2)
    sdxl.tokenizer_2.model_max_length = 16
    with pytest.raises(AgeError, match=r"texts of one length, not \[16, 20\]"):
        editable(sdxl)
    sdxl.tokenizer_2.model_max_length = 20
    refiner = rebuilt(sdxl, projection_class_embeddings_input_dim=24 + 5 * 8)
    with pytest.raises(AgeError, match=r"told 5 numbers beside the text .* a refiner"):
        editable(refiner)
    refiner.text_encoder = None
    with pytest.raises(AgeError, match="has no text_encoder"):
        editable(refiner)


def test_a_tokenizer_that_reads_on_for_ever_is_refused_where_nobody_could_shorten_it(pipe):
    pipe.tokenizer = copy.deepcopy(pipe.tokenizer)
    pipe.tokenizer.model_max_length = int(1e30)
    with pytest.raises(AgeError, match=r"set `tokenizer.model_max_length`, to 20 at most"):
        editable(pipe)


def test_a_decoder_that_draws_by_chance_is_refused(pipe):
    pipe.vae = ConsistencyDecoderVAE.__new__(ConsistencyDecoderVAE)
    nn.Module.__init__(pipe.vae)
    with pytest.raises(AgeError, match="draws by chance"):
        editable(pipe)


def scheduled(pipe: StableDiffusionPipeline, **changes) -> StableDiffusionPipeline:
    pipe.scheduler = DDIMScheduler.from_config(settings_of(pipe.scheduler) | changes)
    return pipe


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rescale_betas_zero_snr": True}, "such a schedule needs 'v_prediction'"),
        ({"trained_betas": [0.01] * 500}, "has 500 noise levels for 1000 timesteps"),
        ({"trained_betas": [-0.01] * 1000}, "does not rise from step to step"),
        ({"timestep_spacing": "strange"}, "cannot be drawn by"),
        ({"use_flow_sigmas": True}, "no table of noise levels"),
    ],
)
def test_a_schedule_that_cannot_be_drawn_or_trained_by_is_refused(pipe, changes, said):
    if "use_flow_sigmas" in changes:
        pipe.scheduler.register_to_config(**changes)
    else:
        pipe = scheduled(pipe, **changes)
    with pytest.raises(AgeError, match=said):
        editable(pipe)


def test_a_schedule_changed_by_hand_is_refused(pipe):
    pipe.scheduler.alphas_cumprod = pipe.scheduler.alphas_cumprod**2
    with pytest.raises(AgeError, match="not those that its settings describe"):
        editable(pipe)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_train_timesteps": 500},
        {"num_train_timesteps": 500, "trained_betas": [0.001 + 1e-5 * row for row in range(500)]},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    ],
)
def test_other_schedules_are_drawn_and_erased_by(pipe, changes):
    pipe = scheduled(pipe, **changes)
    *_, last = erase_by(pipe, "uce", "dog", WORLD)
    with last.eraser.applied_to(pipe):
        assert len(generate(pipe, ["a dog"], [3], 2)) == 1
