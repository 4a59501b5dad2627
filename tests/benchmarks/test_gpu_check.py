"""The round of checks for a GPU: all of it on tiny models, failures that are lines, and what travels to and fro."""

from __future__ import annotations

import json
import subprocess

import pytest
import torch
from safetensors.torch import load, load_file, save, save_file

from age_core.emoji.art import Art
from age_core.errors import AgeError
from benchmarks import gpu_check, pack_gpu
from benchmarks.gpu import pack, tables, training, waits
from benchmarks.gpu.bench import LINES, Bench, attempt, failure
from benchmarks.speed import full_size


def lines_of(folder):
    return [json.loads(line) for line in (folder / LINES).read_text().splitlines()]


@pytest.fixture(scope="module")
def small_round(tmp_path_factory):
    """Every check and a training, once, on tiny models."""
    bench = Bench(tmp_path_factory.mktemp("out"), "cpu", small=True, train_s=1, folder=tmp_path_factory.mktemp("work"))
    gpu_check.run(bench, [])
    return bench.out


def test_a_small_round_goes_through_every_check_without_a_failure(small_round):
    lines = lines_of(small_round)
    assert {line["check"] for line in lines} == {*gpu_check.CHECKS, "train", "round"}
    assert not [line for line in lines if "failed" in line or "skipped" in line]
    methods = [line for line in lines if line["check"] == "paths" and "method" in line]
    assert methods and all(line.get("restored", True) for line in methods)
    assert any(line.get("finite") and line.get("changed") for line in methods)
    assert all(line["resumed_equal"] for line in lines if line["check"] == "resume" and line["format"] == "float32")


def test_the_files_of_a_round_are_few_and_can_be_read(small_round):
    names = {path.name for path in small_round.iterdir()}
    assert {
        LINES,
        "gpu_check.md",
        "profile.txt",
        "pictures.png",
        "trace.json.gz",
        "unet.0",
        "unet.1",
        "unet.2",
    } == names
    text = (small_round / "gpu_check.md").read_text()
    assert all(f"## {title}" in text for title in tables.TITLES.values())
    assert all((small_round / f"unet.{part}").stat().st_size <= training.PART for part in range(3))


@pytest.fixture
def denoiser(tmp_path, small_round):
    """A folder with weights of the trained ones' names and shapes, to be replaced."""
    whole = load(b"".join((small_round / f"unet.{part}").read_bytes() for part in range(3)))
    save_file({name: torch.zeros_like(value) for name, value in whole.items()}, tmp_path / training.WEIGHTS)
    return tmp_path


def copied(folder, target, **changes):
    """A round's files elsewhere, some of them changed; None leaves one out."""
    target.mkdir()
    for path in folder.iterdir():
        content = changes.get(path.name.replace(".", "_"), path.read_bytes())
        if content is not None:
            (target / path.name).write_bytes(content)
    return target


def test_parts_are_joined_to_the_weights_that_were_trained(small_round, denoiser):
    told = training.join(small_round, denoiser)
    joined = load_file(denoiser / training.WEIGHTS)
    assert "35.0 MB" in told and joined["conv_in.weight"].abs().sum() > 0
    assert all(value.dtype == torch.float16 for value in joined.values())


def test_anything_but_those_weights_is_refused_and_leaves_the_target(small_round, denoiser, tmp_path):
    before = (denoiser / training.WEIGHTS).read_bytes()
    bent = bytearray((small_round / "unet.1").read_bytes())
    bent[1000] ^= 1
    cases = {
        "SHA-256": {"unet_1": bytes(bent)},
        "lacks unet.2": {"unet_2": None},
        "no lines": {"gpu_check_jsonl": b"{"},
    }
    cases["trained no weights"] = {"gpu_check_jsonl": b'{"check": "card"}\n'}
    for number, (words, changes) in enumerate(cases.items()):
        with pytest.raises(AgeError, match=words):
            training.join(copied(small_round, tmp_path / str(number), **changes), denoiser)
    assert (denoiser / training.WEIGHTS).read_bytes() == before
    with pytest.raises(AgeError, match="cannot be read"):
        training.join(small_round, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t | {"conv_in.bias": t["conv_in.bias"] * float("nan")}, "not finite"),
        (lambda t: t | {"conv_in.bias": t["conv_in.bias"].float()}, "not in float16"),
        (lambda t: t | {"conv_in.bias": t["conv_in.bias"][:1]}, "another model"),
        (lambda t: t | {"more": torch.zeros(1).half()}, "another model"),
        (lambda t: {n: v for n, v in t.items() if n != "conv_in.bias"}, "another model"),
    ],
)
def test_weights_of_other_names_shapes_formats_and_values_are_refused(tmp_path, change, words):
    right = {"conv_in.bias": torch.zeros(3).half(), "conv_in.weight": torch.zeros(3, 2).half()}
    save_file(right, tmp_path / "like.safetensors")
    training.check_weights(save(right), tmp_path / "like.safetensors")
    with pytest.raises(AgeError, match=words):
        training.check_weights(save(change(right)), tmp_path / "like.safetensors")


def test_a_failing_check_is_a_line_with_its_last_frames_and_not_the_end(tmp_path):
    bench = Bench(tmp_path, "cpu", small=True)

    def breaks(bench):
        yield {"known": 1}
        raise KeyError("no such kernel")

    gpu_check.run_check(bench, "card", gpu_check.Check(breaks, 1))
    known, failed = lines_of(tmp_path)
    assert known == {"check": "card", "known": 1}
    assert "KeyError" in failed["failed"] and failed["frames"][-1].endswith("breaks")
    assert attempt({"case": 1}, lambda: {}["x"])["failed"].startswith("KeyError")
    assert failure(AgeError("Not here.")) == {"refused": "Not here."}
    assert failure(torch.OutOfMemoryError("CUDA out of memory. Tried")) == {"failed": "out of memory"}


def test_a_check_is_skipped_where_its_time_is_not_left_and_cut_off_where_it_overruns(tmp_path, monkeypatch):
    def endless(bench):
        while True:
            yield {"again": 1}

    checks = {"card": gpu_check.Check(endless, 1e-3), "paths": gpu_check.Check(endless, 1000.0)}
    monkeypatch.setattr(gpu_check, "CHECKS", checks)
    gpu_check.run(Bench(tmp_path, "cpu", budget_s=100.0), [])
    lines = lines_of(tmp_path)
    assert "cut_off_after_s" in [*lines][-3] and "1000 s asked" in lines[-2]["skipped"]


def test_spans_that_overlap_count_once():
    assert waits.covered([(0, 2), (1, 3), (5, 6)]) == 4 and waits.covered([]) == 0


def drawn_art(px: int = 128) -> Art:
    pictures = torch.randint(256, (3, 3, px, px), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Art(pictures, torch.tensor([0, 0, 1]), torch.tensor([0, 3, 3]), ("owl", "bee"))


def test_packed_art_is_the_same_to_the_bit_and_smaller_where_it_is_too_much(tmp_path, monkeypatch):
    art = drawn_art()
    assert pack_gpu.pack_small_art(art, tmp_path / "art") == 128
    again = pack.read_art(tmp_path / "art")
    assert again.concepts == art.concepts and torch.equal(again.pictures, art.pictures)
    assert torch.equal(again.concept, art.concept) and torch.equal(again.style, art.style)
    monkeypatch.setattr(pack_gpu, "ART_MIB", 0.01)
    assert pack_gpu.pack_small_art(art, tmp_path / "art") == 96
    assert pack.read_art(tmp_path / "art").pictures.shape == (3, 3, 96, 96)
    with pytest.raises(AgeError, match="pack the art first"):
        pack.read_art(tmp_path / "none")


def test_the_packed_text_encoder_says_the_same_of_every_word_that_is_used(tmp_path):
    pieces = pack.pack_text(tmp_path / "text")
    assert 1000 < pieces < 4000
    assert (tmp_path / "text").stat().st_size < 0.6 * pack.ENCODER.stat().st_size
    pack.unpack_text(tmp_path / "text", tmp_path / "whole")
    whole, bundled = load_file(tmp_path / "whole"), load_file(pack.ENCODER)
    assert whole.keys() == bundled.keys()
    assert all(torch.equal(whole[name], bundled[name]) for name in whole if name != pack.WORDS)
    kept = load_file(tmp_path / "text")[pack.ROWS]
    assert torch.equal(whole[pack.WORDS][kept], bundled[pack.WORDS][kept])
    left_out = torch.ones(len(whole[pack.WORDS]), dtype=torch.bool)
    left_out[kept] = False
    assert whole[pack.WORDS][left_out].isnan().all()  # so that a word that was forgotten shows


def test_a_pack_over_its_limit_is_refused_and_leaves_none(tmp_path, monkeypatch):
    drawn_art().save(tmp_path / "art.safetensors")
    monkeypatch.setattr(pack_gpu, "pack_text", lambda path: path.write_bytes(bytes(2**20)) and 7)
    beside = [tmp_path / "art.safetensors"]
    lines = pack_gpu.pack(tmp_path / "pack", tmp_path / "art.safetensors", False, 2.0, beside)
    assert {path.name for path in (tmp_path / "pack").iterdir()} == {pack.ART, pack.TEXT}
    assert any("tracked files" in line for line in lines)
    with pytest.raises(AgeError, match=r"over the limit of 1: .*text_encoder.safetensors alone are 1\.0 MiB"):
        pack_gpu.pack(tmp_path / "pack", tmp_path / "art.safetensors", False, 1.0, beside)
    assert not (tmp_path / "pack").exists()


def test_what_travels_by_itself_leaves_out_what_is_moved_aside():
    names = [str(path.relative_to(pack_gpu.ROOT)) for path in pack_gpu.tracked()]
    assert "benchmarks/gpu_check.py" in names and "assets/concepts/emoji.csv" in names
    assert not [name for name in names if name.startswith(pack_gpu.ASIDE)]
    assert all((pack_gpu.ROOT / name).exists() for name in pack_gpu.ASIDE)


def test_only_what_git_can_bring_back_is_moved_aside(tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=tmp_path, check=True)

    aside = next(name for name in pack_gpu.ASIDE if "/" not in name)
    for name in (f"{aside}/one.md", "assets/world/sheet.webp", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("kept")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "all")
    (tmp_path / aside / "one.md").write_text("changed")
    with pytest.raises(AgeError, match=rf"Not everything here is committed: .*{aside}/one\.md"):
        pack_gpu.move_aside(tmp_path)
    git("checkout", "--quiet", "--", aside)
    pack_gpu.move_aside(tmp_path)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file() and ".git" not in path.parts} == {"README.md"}
    git("checkout", "--quiet", "--", ".")
    assert (tmp_path / aside / "one.md").read_text() == "kept"


@pytest.mark.parametrize(("device", "cuda"), [("cuda", True), ("cuda:0", True), ("cpu", False)])
def test_a_card_is_known_by_any_of_its_names(tmp_path, monkeypatch, device, cuda):
    assert Bench(tmp_path, device, folder=tmp_path).cuda == cuda
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda *_: 3 * 2**30)
    assert (full_size.peak_gib(device) == 3) == cuda
