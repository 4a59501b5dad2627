"""Same-seed pairs: what each carries, and that the original is drawn once for any number of erasers."""

from __future__ import annotations

import math

import pytest
import torch

from age_core import ConceptSet, Eraser, compare_pairs, same_seed_pairs
from age_core.measure import pairs as pairs_module
from age_core.measure.pictures import pair_distance

EMOJI = ConceptSet.load("emoji")
PROMPTS, SEEDS = ["an emoji of a dog", "an emoji of a car"], [3, 4]


def shaken(pipe, seed: int) -> Eraser:
    """A random edit of cross-attention that spoils pictures."""
    noise = torch.Generator().manual_seed(seed)
    weights = {name: w for name, w in pipe.unet.named_parameters() if ".attn2.to_" in name and w.ndim == 2}
    return Eraser({n: 1.5 * w.std() * torch.randn(w.shape, generator=noise) for n, w in weights.items()})


def nothing(pipe) -> Eraser:
    return Eraser({"conv_in.bias": torch.zeros_like(pipe.unet.conv_in.bias)})


def test_pairs_carry_both_verdicts_and_their_distance(emoji_pipe, emoji_probe):
    pairs = same_seed_pairs(emoji_pipe, shaken(emoji_pipe, 0), emoji_probe, PROMPTS, SEEDS)
    for pair, prompt, seed in zip(pairs, PROMPTS, SEEDS, strict=True):
        assert (pair.prompt, pair.seed) == (prompt, seed)
        label, share = emoji_probe.top([pair.original])[0][0]
        assert pair.original_verdict == (label, pytest.approx(share, rel=1e-4))
        label, share = emoji_probe.top([pair.edited])[0][0]
        assert pair.edited_verdict == (label, pytest.approx(share, rel=1e-4))
        assert pair.distance == pytest.approx(pair_distance(emoji_probe, [pair.original], [pair.edited])[0], rel=1e-4)
    assert all(pair.distance > 0 for pair in pairs)
    same = same_seed_pairs(emoji_pipe, nothing(emoji_pipe), emoji_probe, PROMPTS, SEEDS)
    assert [pair.distance for pair in same] == [0, 0]


def test_the_original_draws_once_for_all_erasers(tiny_sd, monkeypatch):
    counts = []
    real = pairs_module.generate

    def counted(pipe, prompts, *rest):
        counts.append(len(prompts))
        return real(pipe, prompts, *rest)

    monkeypatch.setattr(pairs_module, "generate", counted)
    erasers = {"a": shaken(tiny_sd, 1), "b": shaken(tiny_sd, 2), "none": nothing(tiny_sd)}
    together = compare_pairs(tiny_sd, erasers, None, PROMPTS, SEEDS)
    assert sum(counts) == 4 * len(PROMPTS)  # three erasers and one original; pair by pair it took six
    assert list(together) == list(erasers)
    for name, eraser in erasers.items():
        alone = same_seed_pairs(tiny_sd, eraser, None, PROMPTS, SEEDS)
        for one, other in zip(together[name], alone, strict=True):
            assert one.original.tobytes() == other.original.tobytes()
            assert one.edited.tobytes() == other.edited.tobytes()
            assert one.edited_verdict[0] == "" and math.isnan(one.distance)
    assert [pair.edited.tobytes() for pair in together["a"]] != [pair.edited.tobytes() for pair in together["b"]]
    assert all(pair.original.tobytes() == pair.edited.tobytes() for pair in together["none"])
