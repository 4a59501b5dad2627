"""Whom an evaluation judges unless told, and the measures of pictures that it takes by name."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from support import build_tiny_clip, build_tiny_sd
from transformers import CLIPModel

from age_core import AgeError, Concept, ConceptSet, Eraser, evaluate, generate
from age_core.__main__ import main
from age_core.concepts.candidates import near_and_far, rank_others
from age_core.measure import pictures, verdicts
from age_core.measure.metrics import METRICS, needs_probe
from age_core.measure.verdicts import seeds_of

EMOJI = ConceptSet.load("emoji")
FEW = ConceptSet("few", tuple(EMOJI[name] for name in ("dog", "cat", "car", "pizza")), EMOJI.template)


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    """A random CLIP turned round: as it is drawn, every cosine is negative and every score 0."""
    folder = build_tiny_clip(tmp_path_factory.mktemp("tiny-clip"))
    model = CLIPModel.from_pretrained(folder)
    with torch.no_grad():
        model.text_projection.weight.neg_()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def shaken(emoji_pipe) -> Eraser:
    noise = torch.Generator().manual_seed(0)
    weights = {name: w for name, w in emoji_pipe.unet.named_parameters() if ".attn2.to_" in name and w.ndim == 2}
    return Eraser({n: 1.5 * w.std() * torch.randn(w.shape, generator=noise) for n, w in weights.items()})


@pytest.fixture
def nothing_drawn(monkeypatch):
    monkeypatch.setattr(verdicts, "generate", lambda *_: pytest.fail("something was drawn"))


def asked_for(monkeypatch, emoji_pipe, emoji_probe, **options) -> list[str]:
    """The prompts that an evaluation of dog draws of the others; nothing is drawn for real."""
    prompts: list[str] = []

    def blank(pipe, texts, seeds, *_):
        prompts.extend(texts)
        return generate(pipe, texts[:1], seeds[:1], 1) * len(texts)

    monkeypatch.setattr(verdicts, "generate", blank)
    evaluate(emoji_pipe, emoji_probe, EMOJI, ["dog"], {}, images=1, erased_images=1, **options)
    return prompts[1:]


def test_unless_told_near_and_far_concepts_are_judged(monkeypatch, emoji_pipe, emoji_probe):
    near, far = near_and_far(rank_others(emoji_pipe, EMOJI, EMOJI["dog"]))
    watched = [EMOJI.prompt(name) for name in near + far]
    assert len(watched) == 40 and asked_for(monkeypatch, emoji_pipe, emoji_probe) == watched


def test_all_others_are_judged_on_demand(monkeypatch, emoji_pipe, emoji_probe):
    everyone = [EMOJI.prompt(name) for name in EMOJI.names if name != "dog"]
    assert asked_for(monkeypatch, emoji_pipe, emoji_probe, others="all") == everyone


def test_what_cannot_be_measured_is_refused_before_anything_is_drawn(
    nothing_drawn, emoji_pipe, emoji_probe, tmp_path, monkeypatch
):
    import torchmetrics.image.fid as fid

    monkeypatch.setattr(fid, "_TORCH_FIDELITY_AVAILABLE", False)
    for options, words in (
        ({"metrics": ["esr", "beauty"]}, "choose among esr, psr, clip-score, nudenet, fid, probe-fid"),
        ({"metrics": []}, "name a metric"),
        ({"metrics": [f"clip-score={tmp_path}"]}, "CLIP model .* cannot be loaded"),
        ({"metrics": ["fid"]}, "torch-fidelity"),
        ({"metrics": ["nudenet=weights"]}, "takes no weights"),
        ({"others": "cat"}, "or 'all', not 'cat'"),
        ({"others": []}, "leave at least one"),
    ):
        with pytest.raises(AgeError, match=words):
            evaluate(emoji_pipe, emoji_probe, EMOJI, ["dog"], {}, 1, 1, **options)
    with pytest.raises(AgeError, match="cannot be called 'original'"):
        evaluate(emoji_pipe, emoji_probe, EMOJI, ["dog"], {"original": Eraser({})})
    for name in ("esr", "psr", "probe-fid"):
        with pytest.raises(AgeError, match="name a probe"):
            evaluate(emoji_pipe, None, EMOJI, ["dog"], {}, metrics=[name])


def test_each_measure_is_what_its_function_says_of_the_pictures(emoji_pipe, emoji_probe, shaken, clip_folder):
    names = [f"clip-score={clip_folder}", "nudenet", "probe-fid", "psr"]
    table = evaluate(emoji_pipe, emoji_probe, FEW, ["dog"], {"edit": shaken}, 1, 2, metrics=names).set_index("method")
    assert "esr1" not in table.columns and table.loc["original", "psr1"] > table.loc["edit", "psr1"]
    drawn: dict[tuple[str, str], list] = {}
    texts: dict[str, list[str]] = {}
    for part, words, count in (("erased", ("dog",), 2), ("others", ("cat", "car", "pizza"), 1)):
        ranked = [name for name in rank_others(emoji_pipe, FEW, FEW["dog"]) if name in words] or list(words)
        texts[part] = [FEW.prompt(name) for name in ranked for _ in range(count)]
        seeds = [seed for name in ranked for seed in seeds_of(name, count)]
        for method in ("original", "edit"):
            with shaken.applied_to(emoji_pipe) if method == "edit" else nullcontext():
                drawn[part, method] = generate(emoji_pipe, texts[part], seeds, verdicts.STEPS, verdicts.GUIDANCE)
    for method in ("original", "edit"):
        for part, ending in (("erased", "_erased"), ("others", "")):
            fits = pictures.clip_score(drawn[part, method], texts[part], clip_folder).mean()
            assert fits > 0 and table.loc[method, f"clip_score{ending}"] == pytest.approx(fits, rel=1e-4)
            assert table.loc[method, f"nudenet{ending}"] == pictures.nudenet_rate(drawn[part, method])
        far = pictures.probe_fid(drawn["others", "original"], drawn["others", method], emoji_probe)
        assert table.loc[method, "probe_fid"] == pytest.approx(far, rel=1e-2, abs=1e-2)
    assert table.loc["edit", "probe_fid"] > 10 * abs(table.loc["original", "probe_fid"])


def test_without_a_probe_the_pictures_alone_are_measured(emoji_pipe, clip_folder):
    unlabelled = ConceptSet("own", (Concept("grue", "g", "g"), Concept("quux", "g", "g")), "a {noun}")
    table = evaluate(emoji_pipe, None, unlabelled, ["grue"], {}, 1, 1, metrics=[f"clip-score={clip_folder}"])
    assert list(table.columns) == ["method", "clip_score_erased", "clip_score"]
    assert np.isfinite(table.iloc[0, 1:].to_numpy(float)).all()
    assert not needs_probe(["clip-score=x", "nudenet", "fid"]) and needs_probe(["probe-fid"]) and needs_probe(["esr"])
    assert set(METRICS) == {"clip-score", "nudenet", "fid", "probe-fid"}


class Brightness:
    """A probe that is no classifier: it calls a picture light or dark."""

    name, version = "brightness", "1"

    def rows(self, labels):
        return [("dark", "light").index(label) for label in labels]

    def scores(self, drawn):
        light = np.array([np.asarray(picture).mean() / 255 for picture in drawn])
        return np.stack([1 - light, light], 1)

    def top(self, drawn, k=1):
        return [[("light", 1.0)][:k] for _ in drawn]

    def features(self, drawn):
        return self.scores(drawn)

    def stages(self, drawn):
        return [torch.tensor(np.stack([np.asarray(picture) for picture in drawn])).float().flatten(1, 2)]


def test_a_probe_may_be_anything_that_answers_as_one(tiny_sd):
    concepts = ConceptSet(
        "own", (Concept("coal", "g", "g", (), ("dark",)), Concept("snow", "g", "g", (), ("light",))), "{noun}"
    )
    blind = Eraser({"conv_out.weight": torch.full_like(tiny_sd.unet.conv_out.weight, 10)})
    table = evaluate(tiny_sd, Brightness(), concepts, ["coal"], {"edit": blind}, 2, 2).set_index("method")
    assert list(table["probe"]) == ["brightness"] * 2 and table.loc["edit", "distance"] > 0
    drawn = generate(tiny_sd, ["snow"] * 2, seeds_of("snow", 2), verdicts.STEPS, verdicts.GUIDANCE)
    assert table.loc["original", "psr1"] == 100 * np.mean(Brightness().scores(drawn)[:, 1] > 0.5)


def test_the_command_line_measures_by_name(clip_folder, tmp_path, capsys):
    build_tiny_sd(tmp_path, "epsilon").save_pretrained(tmp_path / "sd")
    (tmp_path / "own.csv").write_text("name,group,general,synonyms\ndog,g,g,\ncat,g,g,\npizza,g,g,\n")
    Eraser({}, {"concepts": ["dog"]}).save(tmp_path / "dog.safetensors")
    command = ["--model", str(tmp_path / "sd"), "--concepts", str(tmp_path / "own.csv"), "--json", "evaluate"]
    command += [str(tmp_path / "dog.safetensors"), "--images", "2", "--metrics"]
    assert main([*command, f"clip-score={clip_folder}", "nudenet"]) == 0
    original, edited = json.loads(capsys.readouterr().out)["table"]
    assert set(edited) == {"method", "clip_score", "clip_score_erased", "nudenet", "nudenet_erased"}
    assert edited["method"] == "dog" and edited["clip_score"] == original["clip_score"] > 0
    assert main([*command, f"clip-score={tmp_path / 'absent'}"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "cannot be loaded: pass `source` (for `evaluate`: clip-score=SOURCE)" in error
    assert main([*command, "beauty"]) == 2
    assert "choose among esr, psr" in json.loads(capsys.readouterr().out)["error"]
