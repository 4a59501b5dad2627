"""Trainings that take a device: none is assumed to be the CPU; and the training in large batches for a card."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from age_core.concepts.concept_set import ConceptSet
from age_core.emoji import large_batch
from age_core.emoji.art import STYLES, read_concept_table
from age_core.emoji.autoencoder import autoencoder_loss, new_autoencoder
from age_core.emoji.captions import KINDS, VARIANTS, CaptionBank, CaptionTable
from age_core.emoji.denoiser import denoising_loss, new_scheduler, new_unet
from age_core.emoji.probe_training import distort
from age_core.emoji.training import augment, fast_arithmetic, has_bfloat16, step_generator

ROOT = Path(__file__).parents[2]
TABLE = [
    {"name": "owl", "synonyms": "hooter", "group": "bird", "general": "animal"},
    {"name": "bee", "synonyms": "", "group": "insect", "general": "animal"},
]


class Numbers:
    """A text encoder that answers each text with its number of letters, and a tokenizer for it."""

    device = "cpu"

    def __call__(self, ids, attention_mask=None, **_):
        if isinstance(ids, list):
            lengths = torch.tensor([[float(len(text))] for text in ids]).expand(-1, 16)
            return type("Tokens", (), {"input_ids": lengths, "attention_mask": torch.ones(len(ids), 16)})
        return [ids[..., None].expand(-1, -1, 384)]


def bank(variant: str = "A") -> CaptionBank:
    return CaptionBank(TABLE, Numbers(), Numbers(), VARIANTS[variant])


def test_the_trainings_import_where_nothing_can_render():
    """resvg_py is for whoever renders: no file imports it before that, so a machine with torch alone trains."""
    for path in (ROOT / "age_core" / "emoji").glob("*.py"):
        at_once = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not any("resvg_py" in ast.unparse(node) for node in at_once), path


def test_bfloat16_is_asked_of_the_device_and_weights_in_half_precision_are_left_alone():
    assert not has_bfloat16("meta")  # a device that says nothing of it
    assert not torch.is_autocast_enabled("cpu")
    with fast_arithmetic("cpu", torch.bfloat16):
        assert not torch.is_autocast_enabled("cpu")
    with fast_arithmetic("cpu"):
        assert torch.is_autocast_enabled("cpu") == has_bfloat16("cpu")


@pytest.mark.parametrize("make", [augment, distort])
def test_pictures_and_generator_may_be_on_two_devices(make):
    """Numbers of a CPU generator turn pictures that are elsewhere; the meta device refuses what mixes devices."""
    pictures = torch.zeros(2, 3, 64, 64, dtype=torch.uint8, device="meta")
    assert make(pictures if make is augment else pictures.float(), step_generator(0, 0)).device.type == "meta"


def test_the_losses_take_their_numbers_to_the_pictures():
    """With a generator of the CPU beside models elsewhere; a meta tensor has no value, and says so at the very end."""
    latents, states = torch.zeros(2, 16, 8, 8, device="meta"), torch.zeros(2, 16, 384, device="meta")
    loss = denoising_loss(new_unet().to("meta"), new_scheduler(), latents, states, step_generator(0, 0))
    assert loss.device.type == "meta" and loss.requires_grad
    with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta"):
        autoencoder_loss(new_autoencoder().to("meta"), torch.zeros(1, 3, 64, 64, device="meta"), step_generator(0, 0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_table_of_captions_says_how_often_each_is_drawn(variant):
    captions, concept, style = bank(variant), 0, 2
    shares = captions.shares(concept, style)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[""] == pytest.approx(0.1)
    drawn = [captions.draw(concept, style, u) for u in torch.rand(6000, 5, generator=step_generator(0, 0))]
    assert set(drawn) <= set(shares)
    for text, share in shares.items():
        assert drawn.count(text) / len(drawn) == pytest.approx(share, abs=0.025), text


def test_a_table_draws_by_its_shares_without_python_between():
    captions = bank()
    table, count = CaptionTable(captions, "cpu"), 8000
    concept, style = torch.ones(count, dtype=torch.long), torch.full((count,), 3)
    states = table.batch(concept, style, step_generator(1, 1))
    assert states.shape == (count, 16, 384)
    lengths = states[:, 0, 0].tolist()
    expected: dict[float, float] = {}
    for text, share in captions.shares(1, 3).items():
        expected[float(len(text))] = expected.get(float(len(text)), 0) + share
    assert set(lengths) <= set(expected)
    for length, share in expected.items():
        assert lengths.count(length) / count == pytest.approx(share, abs=0.02)


def test_variants_change_what_they_are_for():
    plain, styled, general = (bank(name).shares(0, 2) for name in "ABC")

    def share(shares, *words):
        return sum(value for text, value in shares.items() if any(word in text for word in words))

    assert share(styled, "twemoji style") > share(plain, "twemoji style") + 0.1
    kinds = ("bird", "animal", "beast", "living creature")
    assert share(general, *kinds) > share(plain, *kinds) + 0.1
    assert share(general, "beast") > 0 == share(plain, "beast")


def test_other_words_for_kinds_name_no_concept_and_no_other_kind():
    concepts = ConceptSet.load("emoji")
    table = read_concept_table(ROOT / "assets" / "concepts" / "emoji.csv")
    taken = {word for c in concepts for word in (c.name, *c.synonyms, c.group, c.general)}
    taken |= {row["unseen_synonym"] for row in table}
    words = [word for others in KINDS.values() for word in others]
    assert not taken & set(words) and len(words) == len(set(words))
    assert set(KINDS) <= {word for c in concepts for word in (c.group, c.general)}


def test_even_weights_draw_every_concept_and_every_style_equally_often():
    concept, style = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 1, 2, 0, 1, 2])
    weights = large_batch.even_weights(concept, style)
    of_concept = torch.zeros(3).index_add_(0, concept, weights)
    of_style = torch.zeros(len(STYLES)).index_add_(0, style, weights)[:3]
    assert torch.allclose(of_style, of_style.mean().expand(3), atol=1e-3)
    assert torch.allclose(of_concept, of_concept.mean().expand(3), rtol=0.05)


def test_large_batches_teach_and_fill_the_average(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(large_batch, "WARMUP", 1)
    material = large_batch.Material(
        torch.randn(2, 2, 16, 8, 8), torch.tensor([0, 1]), torch.tensor([0, 2]), CaptionTable(bank(), "cpu")
    )
    average, start = new_unet(), new_unet()
    lines = list(large_batch.train(material, VARIANTS["B"], 4, 4, start=start, average=average, report_every=2))
    assert [step for step, _, _ in lines] == [1, 3]
    assert lines[1][2]["loss"] < lines[0][2]["loss"]
    moved = [(a - b).abs().max() for a, b in zip(average.parameters(), start.parameters(), strict=True)]
    assert all(torch.isfinite(change) for change in moved) and max(moved) > 0
    assert average.dtype == torch.float32
