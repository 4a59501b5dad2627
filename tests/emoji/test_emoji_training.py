"""How the world was made, on a handful of made-up pictures: rendering, captions, training that resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file

from age_core.concepts.concept_set import ConceptSet
from age_core.emoji import denoiser
from age_core.emoji.art import Art, IconSet, Style, held_out, render
from age_core.emoji.autoencoder import encode_art, load_autoencoder, new_autoencoder, train_autoencoder
from age_core.emoji.captions import STYLE_TEMPLATE, VARIANTS, CaptionBank, caption
from age_core.emoji.card import earlier_trainings, model_card
from age_core.emoji.curve import watched
from age_core.emoji.denoiser import denoising_loss, load_unet, new_scheduler, new_unet, train_unet
from age_core.emoji.generalisation import confusions, nearest_training_pictures, pairs_seen_and_unseen
from age_core.emoji.probe_training import load_trained_probe, new_probe, train_probe, with_reconstructions
from age_core.emoji.training import augment, linear_decay, step_generator

CIRCLE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><circle cx="5" cy="5" r="5" fill="red"/></svg>'


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class OneWordEach:
    """Captions that are one number, and a record of what was asked for."""

    def __init__(self):
        self.asked = []

    def batch(self, concept, style, generator):
        self.asked += concept.tolist()
        return torch.nn.functional.one_hot(concept, 384).float()[:, None].expand(-1, 16, -1)


def few_pictures() -> Art:
    colours = torch.tensor([[255, 0, 0], [0, 160, 0], [0, 0, 255], [20, 20, 20]], dtype=torch.uint8)
    pictures = torch.full((4, 3, 128, 128), 255, dtype=torch.uint8)
    pictures[:, :, 30:100, 20:110] = colours[:, :, None, None]
    return Art(pictures, torch.arange(4), torch.zeros(4, dtype=torch.long), ("red", "green", "blue", "black"))


def test_svg_is_drawn_on_white_with_a_margin():
    picture = render(CIRCLE, 64)
    assert picture.shape == (64, 64, 3)
    assert (picture[0, 0] == 255).all() and (picture[32, 1] == 255).all()
    assert picture[32, 32, 0] > 250 and picture[32, 32, 1] < 5


def test_icons_are_found_by_label_and_alias(tmp_path):
    folder = tmp_path / "node_modules" / "set"
    folder.mkdir(parents=True)
    icons = {"width": 10, "icons": {"red-apple": {"body": "<g/>"}}, "aliases": {"apple": {"parent": "red-apple"}}}
    (folder / "icons.json").write_text(json.dumps(icons))
    found = IconSet(tmp_path, Style("s", "set", "1", "MIT", "nobody"))
    assert found.svg("Red Apple") == found.svg("apple") != None  # noqa: E711
    assert found.svg("pear") is None


def test_augmenting_nothing_only_halves_the_size():
    art = few_pictures()
    same = augment(art.pictures, step_generator(0, 0), (1.0, 1.0), 0.0, 0.0)
    halved = torch.nn.functional.avg_pool2d(art.pictures.float(), 2) / 127.5 - 1
    assert torch.allclose(same, halved, atol=1e-3)


def test_art_round_trip_and_missing_file(tmp_path):
    few_pictures().save(tmp_path / "art.safetensors")
    again = Art.load(tmp_path / "art.safetensors")
    assert again.concepts == few_pictures().concepts and torch.equal(again.pictures, few_pictures().pictures)
    with pytest.raises(FileNotFoundError, match="emoji art"):
        Art.load(tmp_path / "none.safetensors")


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path):
    art = few_pictures()
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    list(train_probe(art, whole, 6, batch=4, save_every=3))
    stream = train_probe(art, parts, 6, batch=4, save_every=3)
    for step, _, _ in stream:
        if step == 4:  # killed after the checkpoint of step 3, with step 4 and 5 lost
            stream.close()
    list(train_probe(art, parts, 6, batch=4, save_every=3))
    first, second = load_file(whole), load_file(parts)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_autoencoder_and_unet_learn_a_handful_of_pictures(tmp_path):
    art = few_pictures()
    losses = [loss["mse"] for _, _, loss in train_autoencoder(art, tmp_path / "vae.safetensors", 60, 4, 4e-3)]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    latents, factor = encode_art(load_autoencoder(tmp_path / "vae.safetensors"), art, 2)
    assert latents.shape == (2, 4, 16, 8, 8) and factor > 0
    assert latents.std() == pytest.approx(1, abs=1e-3)

    stream = train_unet(latents, art.concept, art.style, OneWordEach(), tmp_path / "unet.safetensors", 16, 4, 2.4e-3)
    losses = [loss["loss"] for _, _, loss in stream]
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def small_unet() -> UNet2DConditionModel:
    """The same kind of blocks, a sixteenth of the weights."""
    return UNet2DConditionModel.from_config(new_unet().config | {"block_out_channels": (32, 64)})


def test_the_gold_reference_never_sees_its_concept_and_all_else_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(denoiser, "new_unet", small_unet)
    latents, concept, style = torch.randn(2, 4, 16, 8, 8), torch.arange(4), torch.zeros(4, dtype=torch.long)

    def train(name, rows, without):
        captions = OneWordEach()
        list(train_unet(latents[:, rows], concept[rows], style[rows], captions, tmp_path / name, 2, 8, without=without))
        return captions.asked, load_file(tmp_path / name)

    everyone, _ = train("all", [0, 1, 2, 3], None)
    others, _ = train("gold", [0, 1, 2, 3], 2)
    assert 2 in everyone and others == [row for row in everyone if row != 2]
    _, absent = train("absent", [0, 1, 3], 2)
    _, plain = train("plain", [0, 1, 3], None)
    assert all(torch.equal(absent[key], plain[key]) for key in plain)


def test_a_training_can_start_from_given_weights(tmp_path):
    art, path = few_pictures(), tmp_path / "start.safetensors"
    vae = new_autoencoder()
    list(train_autoencoder(art, path, 1, batch=2, lr=0.0, start=vae))
    assert torch.equal(load_autoencoder(path).decoder.conv_out.weight, vae.decoder.conv_out.weight)
    path.unlink()
    probe = new_probe(art.concepts)
    list(train_probe(art, path, 1, batch=2, lr=0.0, start=probe))
    assert torch.equal(load_trained_probe(path, art.concepts).classifier[1].weight, probe.classifier[1].weight)
    path.unlink()
    unet = new_unet()
    list(train_unet(torch.randn(1, 4, 16, 8, 8), art.concept, art.style, OneWordEach(), path, 1, 2, 0.0, start=unet))
    assert torch.equal(load_unet(path).conv_in.weight, unet.conv_in.weight)


def test_captions_name_the_concept_its_synonyms_and_its_kind():
    bank = CaptionBank.__new__(CaptionBank)
    bank.recipe = VARIANTS["A"]
    bank.nouns, bank.general, bank.general_share = [["owl", "hooter"]], [["bird", "animal"]], [0.3]
    half = torch.tensor([0.5, 0.9, 0.5, 0.9, 0.5])
    assert bank.draw(0, 2, half) == "an emoji of an owl"
    assert bank.draw(0, 2, torch.tensor([0.05, 0.9, 0.5, 0.9, 0.5])) == ""
    assert bank.draw(0, 2, torch.tensor([0.5, 0.4, 0.5, 0.1, 0.5])) == "a hooter in the twemoji style"
    assert bank.draw(0, 2, torch.tensor([0.5, 0.01, 0.1, 0.6, 0.5])) == "an emoji of a bird"
    assert bank.draw(0, 2, torch.tensor([0.5, 0.01, 0.9, 0.4, 0.5])) == "an animal in the twemoji style"
    assert bank.draw(0, 2, torch.tensor([0.5, 0.32, 0.1, 0.99, 0.5])) == "an emoji in the twemoji style"
    assert caption("apple", STYLE_TEMPLATE, "noto") == "an apple in the noto style"


def test_words_of_small_kinds_are_drawn_for_a_larger_share_of_their_pictures(emoji_pipe):
    kinds = [("cat", "mammal")] * 8 + [("hand", "body part")]
    table = [{"name": name, "synonyms": "", "group": kind, "general": "thing"} for name, kind in kinds]
    bank = CaptionBank(table, emoji_pipe.tokenizer, emoji_pipe.text_encoder)
    assert bank.general_share[0] < 0.3 < bank.general_share[-1] <= 0.5

    drawn = [bank.draw(8, 0, u) for u in torch.rand(4000, 5, generator=step_generator(0, 0))]
    wide = sum("body part" in text or "thing" in text for text in drawn) / len(drawn)
    assert abs(wide - 0.9 * bank.general_share[-1]) < 0.03  # of the nine tenths that say anything


def test_what_is_held_out_is_kept_from_pictures_and_captions():
    table = [
        {
            "name": "owl",
            "synonyms": "hooter|barn owl",
            "group": "bird",
            "general": "animal",
            "unseen_style": "blob",
            "unseen_synonym": "barn owl",
        },
        {"name": "bee", "synonyms": "", "group": "insect", "general": "animal"},
    ]
    pictures = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    art = Art(pictures, torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]), ("owl", "bee"))
    assert held_out(art, table).tolist() == [False, True, False, False]
    seen, unseen = pairs_seen_and_unseen(art, table)
    assert seen == [("owl", "noto"), ("bee", "blob")] and unseen == [("owl", "blob")]

    class Words:
        def __call__(self, texts, **_):
            self.texts = texts
            return SimpleNamespace(input_ids=torch.zeros(len(texts), 16), attention_mask=torch.ones(len(texts), 16))

    class Numbers:
        device = "cpu"

        def __call__(self, ids, attention_mask):
            return [torch.zeros(len(ids), 16, 4)]

    tokenizer = Words()
    bank = CaptionBank(table, tokenizer, Numbers())
    assert bank.nouns == [["owl", "hooter"], ["bee"]]
    assert not any("barn owl" in text for text in tokenizer.texts)


def test_the_nearest_training_picture_of_a_rendering_is_itself():
    art = few_pictures()
    small = augment(art.pictures, step_generator(0, 0), (1.0, 1.0), 0.0, 0.0)
    shown = [Image.fromarray(((p.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()) for p in small]
    distances, rows = nearest_training_pictures(art, shown)
    assert distances.max() < 1 and rows.tolist() == list(range(len(shown)))
    white = Image.new("RGB", (64, 64), "white")
    assert nearest_training_pictures(art, [white])[0][0] > 20


def test_confusions_are_counted_commonest_first():
    asked, seen = ["bus", "bus", "cat", "dog", "dog"], ["car", "car", "dog", "cat", "dog"]
    assert confusions(asked, seen) == [["bus", "car", 2], ["cat", "dog", 1], ["dog", "cat", 1]]
    assert confusions(asked, seen, k=1) == [["bus", "car", 2]]


def test_the_curve_is_judged_on_the_way_and_at_the_end(emoji_pipe, emoji_probe, tmp_path):
    concepts = ConceptSet.load("emoji")
    few = replace(concepts, concepts=concepts.concepts[:3])
    steps = ((step, 3, {"loss": 0.0}) for step in range(3))
    passed = list(watched(steps, emoji_pipe, emoji_probe, few, 64, 2, tmp_path / "curve.jsonl"))
    assert [step for step, _, _ in passed] == [0, 1, 2]
    lines = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [line["pictures"] for line in lines] == [128, 192]
    assert all(0 <= line["top1"] <= line["top5"] <= 1 for line in lines)


def test_reconstructions_keep_the_labels_and_look_like_the_art():
    art = few_pictures()
    vae = new_autoencoder().eval()
    both = with_reconstructions(art, vae, copies=2)
    assert both.pictures.shape == (12, 3, 128, 128) and both.pictures.dtype == torch.uint8
    assert both.concept.tolist() == art.concept.tolist() * 3 and both.style.tolist() == [0] * 12
    assert torch.equal(both.pictures[:4], art.pictures)


def test_learning_rate_rises_then_falls_to_zero():
    assert linear_decay(0, 1000, 10) < linear_decay(9, 1000, 10) > linear_decay(500, 1000, 10) > 0
    assert linear_decay(1000, 1000, 10) == 0


def test_scheduler_ends_in_pure_noise_and_does_not_clip():
    scheduler = new_scheduler()
    assert scheduler.alphas_cumprod[-1] < 1e-6 and not scheduler.config.clip_sample


class PredictsNothing(torch.nn.Linear):
    def __init__(self):
        super().__init__(1, 1)

    def forward(self, z, t, states):
        return SimpleNamespace(sample=0 * z)


def test_heavy_noise_counts_fully_and_slight_noise_less():
    scheduler, latents, states = new_scheduler(), torch.randn(500, 2, 4, 4), torch.zeros(500, 1, 1)
    loss = denoising_loss(PredictsNothing(), scheduler, latents, states, generator(0))
    again = generator(0)
    noise = torch.randn(latents.shape, generator=again)
    steps = torch.randint(1000, (500,), generator=again)
    error = scheduler.get_velocity(latents, noise, steps).square().mean((1, 2, 3))  # of predicting nothing
    signal = scheduler.alphas_cumprod[steps]
    weight = torch.where(signal < 0.8, 1.0, 5 * (1 - signal))  # SNR 4 is a signal of 0.8; SNR + 1 = 1 / (1 - signal)
    assert loss.item() == pytest.approx((weight * error).mean().item(), rel=1e-4)
    assert (weight[steps > 900] == 1).all()


def test_model_card_states_the_measured_numbers():
    report = {
        "concepts": 4,
        "styles": 1,
        "pictures": 4,
        "picture_px": 64,
        "model_top1": 0.512,
        "model_top5": 0.9,
        "sampler": {"steps": 6, "guidance": 3.0, "images_per_concept": 8},
        "weakest_concepts": {"dog": 0.1},
        "top1_by_group": {"mammal": 0.25},
        "hardware": "2 CPU cores",
        "style_probe_unseen_top1": 0.9,
        "probe_unseen_top1": 0.97,
        "probe_unseen_top5": 0.99,
        "probe_calibration_error": 0.02,
        "autoencoder_psnr_db": 26.0,
        "training": {"vae": {"updates": 10, "minutes": 1.0}},
    }
    card = model_card(report)
    assert "From nothing, with" in card and "| 4 | vae | 10 | 1.0 | 2 CPU cores |" in card and "mammal 25%" in card
    before = {"concepts": 3, "training": {"unet": {"updates": 4000, "minutes": 9.5}}}
    went_on = report | {"earlier": earlier_trainings(before)}
    assert [stage["concepts"] for stage in earlier_trainings(went_on)] == [3, 4]
    assert "In 2 stages" in model_card(went_on) and "| 3 | unet | 4,000 | 9.5 |" in model_card(went_on)
    assert "51.2%" in card and "CC BY 4.0" in card and "dog 10%" in card and "not measured yet" in card
