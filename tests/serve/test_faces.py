"""The atlas's pictures: as anybody draws them, original and edited, each drawn once, in turns with other work."""

from __future__ import annotations

import json
import math
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from age_core import AgeError, ConceptSet, Eraser, erase_by, generate
from age_core.measure.pictures import pair_distance
from age_core.measure.verdicts import GUIDANCE, STEPS, hits, seeds_of
from age_core.models.identity import weights_hash
from age_core.serve import faces
from age_core.serve.explorer import Explorer
from age_core.serve.faces import edited_faces, erase_now, nearest_first, original_faces
from age_core.serve.library import Library
from age_core.serve.queue import RunQueue

EMOJI = ConceptSet.load("emoji")
NAMES = ("dog", "poodle", "wolf", "cat", "hot dog", "pizza", "owl", "car", "guitar", "rose", "castle")
FEW = replace(EMOJI, concepts=tuple(EMOJI[name] for name in NAMES))


@pytest.fixture(scope="module")
def queue():
    queue = RunQueue()
    yield queue
    queue.close()


@pytest.fixture
def fresh(queue, emoji_pipe, emoji_probe, tmp_path) -> Explorer:
    """One that has drawn nothing yet."""
    return Explorer(emoji_pipe, emoji_probe, FEW, queue, Library(tmp_path))


@pytest.fixture(scope="module")
def originals(queue, emoji_pipe, emoji_probe, tmp_path_factory):
    """A place where the original model's pictures are kept."""
    root = tmp_path_factory.mktemp("originals")
    list(original_faces(Explorer(emoji_pipe, emoji_probe, FEW, queue, Library(root)), "dog"))
    return root


@pytest.fixture
def explorer(fresh, originals, tmp_path) -> Explorer:
    """One that finds the original model's pictures on the disk."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    return fresh


@pytest.fixture(scope="module")
def dog_erased(queue, emoji_pipe, emoji_probe, tmp_path_factory) -> Eraser:
    return erase_now(Explorer(emoji_pipe, emoji_probe, FEW, queue, Library(tmp_path_factory.mktemp("runs"))), "dog")


@pytest.fixture
def drawn(monkeypatch):
    """Who was drawn how often, by the original (False) and by an edited model (True)."""
    asked = []

    def draw(pipe, concepts, chosen, images, eraser=None):
        asked.extend((concept.name, eraser is not None) for concept in chosen)
        return real(pipe, concepts, chosen, images, eraser)

    real = faces.draw
    monkeypatch.setattr(faces, "draw", draw)
    return asked


def plain(pipe, name):
    return generate(pipe, [EMOJI.prompt(name)], seeds_of(name, 1), STEPS, GUIDANCE)[0]


def apart(one: Image.Image, other: Image.Image) -> int:
    """Levels of 255 by which two pictures differ at most."""
    return int(np.abs(np.asarray(one).astype(int) - np.asarray(other)).max())


def test_the_nearest_come_first_and_the_erased_one_before_all(explorer):
    batches = list(original_faces(explorer, "puppy"))
    assert [len(batch) for batch in batches] == [8, 3]
    names = [look.name for batch in batches for look in batch]
    assert names == nearest_first(explorer, "dog") == ["dog", *explorer.ranked("dog")] and set(names) == set(NAMES)
    assert nearest_first(explorer, "mammal")[:4] == [
        "cat",
        "dog",
        "poodle",
        "wolf",
    ]  # what the word means vanishes along
    with pytest.raises(AgeError, match="no concept 'grue'"):
        original_faces(explorer, "grue")


def test_pictures_are_what_anybody_draws_of_that_prompt_and_seed(explorer, emoji_pipe, emoji_probe, dog_erased):
    before = {look.name: look for batch in original_faces(explorer, "dog") for look in batch}
    after = {look.name: look for batch in edited_faces(explorer, dog_erased, "dog") for look in batch}
    for name in ("dog", "wolf", "pizza", "castle"):
        original = plain(emoji_pipe, name)
        with dog_erased.applied_to(emoji_pipe):
            edited = plain(emoji_pipe, name)
        assert apart(before[name].image, original) <= 2 and apart(after[name].image, edited) <= 2
        assert after[name].distance == pytest.approx(pair_distance(emoji_probe, [original], [edited])[0], abs=0.01)
        assert before[name].distance == 0 and before[name].recognised is before[name].before is after[name].before
    seen = hits(emoji_pipe, emoji_probe, FEW, list(NAMES), 1, dog_erased).set_index("concept")["top1"]
    assert {name: look.recognised for name, look in after.items()} == seen.to_dict()
    assert before["dog"].recognised and not after["dog"].recognised
    assert after["dog"].distance > 0.3 > after["castle"].distance


def test_strength_scales_the_damage_and_the_nearest_are_enough(fresh, dog_erased):
    def distances(strength):
        batches = list(edited_faces(fresh, dog_erased, "dog", 3, strength))
        assert [look.name for (batch,) in [batches] for look in batch] == nearest_first(fresh, "dog")[:3]
        return [look.distance for look in batches[0]]

    none, half, whole = (distances(strength) for strength in (0.0, 0.5, 1.0))
    assert max(none) == 0 < half[0] < whole[0]
    assert list(edited_faces(fresh, dog_erased, "dog", 0)) == []


def test_the_model_stays_as_it_was_to_the_last_bit(explorer, emoji_pipe, dog_erased):
    before = weights_hash(emoji_pipe.unet)
    batches = edited_faces(explorer, dog_erased, "dog")
    next(batches)
    assert weights_hash(emoji_pipe.unet) == before  # also between two batches
    list(batches)
    with pytest.raises(AgeError, match="another model"):
        next(edited_faces(explorer, Eraser({"nobody.weight": next(iter(dog_erased.delta.values()))}), "dog"))
    assert weights_hash(emoji_pipe.unet) == before


def test_each_picture_is_drawn_once_and_closing_stops_after_the_batch(fresh, dog_erased, drawn):
    batches = edited_faces(fresh, dog_erased, "dog")
    first = [look.name for look in next(batches)]
    batches.close()
    assert drawn == [(name, edited) for edited in (False, True) for name in first]
    drawn.clear()
    list(original_faces(fresh, "guitar"))
    assert sorted(drawn) == sorted((name, False) for name in NAMES if name not in first)
    drawn.clear()
    list(original_faces(fresh, "rose"))
    list(edited_faces(fresh, dog_erased, "dog", 5))
    assert [edited for _, edited in drawn] == [True] * 5


def test_originals_are_there_after_a_restart_bit_for_bit_and_do_not_wait_for_the_device(fresh, drawn):
    before = [look for batch in original_faces(fresh, "dog") for look in batch]
    drawn.clear()
    again, free = replace(fresh), threading.Event()  # it knows what is on the disk
    batches = original_faces(again, "dog")
    busy = again.queue.worker.begin(lambda: free.wait(10))
    after = [look for batch in batches for look in batch]
    assert not busy.done() and not drawn
    free.set()
    for one, other in zip(before, after, strict=True):
        assert (one.name, one.recognised, one.image.tobytes()) == (other.name, other.recognised, other.image.tobytes())


def four_of(explorer: Explorer) -> Explorer:
    """Another one of the same model, of four concepts, which knows only what is on the disk."""
    return replace(explorer, concepts=replace(FEW, concepts=FEW.concepts[:4]))


def cut_short(sheet, record):
    sheet.write_bytes(sheet.read_bytes()[:-20])


def other_pictures(sheet, record):
    with Image.open(sheet) as picture:
        Image.new("RGB", picture.size, "red").save(sheet, "WEBP", lossless=True)


def another_model(sheet, record):
    record.write_text(json.dumps(json.loads(record.read_text()) | {"model": "0" * 16}))


def another_judge(sheet, record):
    record.write_text(json.dumps(json.loads(record.read_text()) | {"probe": "another"}))


def names_too_many(sheet, record):
    written = json.loads(record.read_text())
    more = {"names": written["names"] * 3, "recognised": written["recognised"] * 3}
    record.write_text(json.dumps(written | more))


def verdicts_too_few(sheet, record):
    record.write_text(json.dumps(json.loads(record.read_text()) | {"recognised": [True]}))


def no_json(sheet, record):
    record.write_text("{")


def gone(sheet, record):
    sheet.unlink()


@pytest.fixture(scope="module")
def four_drawn(queue, emoji_pipe, emoji_probe, tmp_path_factory):
    """A place where the pictures of four concepts are kept, and what they are."""
    root = tmp_path_factory.mktemp("four")
    (batch,) = list(original_faces(four_of(Explorer(emoji_pipe, emoji_probe, FEW, queue, Library(root))), "dog"))
    return root, batch


@pytest.mark.parametrize(
    "harm", [cut_short, other_pictures, another_model, another_judge, names_too_many, verdicts_too_few, no_json, gone]
)
def test_what_is_damaged_or_foreign_on_the_disk_is_drawn_anew_and_mended(fresh, four_drawn, drawn, harm, tmp_path):
    root, batch = four_drawn
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    (record,) = (four_of(fresh).measured / "atlas").glob("*.json")
    harm(record.with_suffix(".webp"), record)
    (again,) = list(original_faces(four_of(fresh), "dog"))
    assert [name for name, _ in drawn] == [look.name for look in batch]
    assert all(apart(one.image, other.image) == 0 for one, other in zip(batch, again, strict=True))
    drawn.clear()
    list(original_faces(four_of(fresh), "dog"))
    assert not drawn


def test_without_a_place_on_the_disk_pictures_stay_in_memory(fresh, drawn, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("age_core.serve.originals.replacing", full)
    list(original_faces(fresh, "dog"))
    drawn.clear()
    assert len([look for batch in original_faces(fresh, "dog") for look in batch]) == len(NAMES) and not drawn


def test_two_people_take_turns(explorer, dog_erased):
    order = []
    batches = {"ann": edited_faces(explorer, dog_erased, "dog"), "bob": edited_faces(explorer, dog_erased, "guitar", 8)}

    def watch(name):
        for _ in batches[name]:
            order.append(name)

    people = [threading.Thread(target=watch, args=(name,)) for name in batches]
    hold = threading.Event()
    explorer.queue.worker.begin(hold.wait)  # both ask while the device is busy
    for person in people:
        person.start()
    hold.set()
    for person in people:
        person.join()
    assert sorted(order) == ["ann", "ann", "bob"] and order[2] == "ann"


def test_without_a_probe_there_are_pictures_and_no_numbers(explorer, dog_erased):
    blind = four_of(replace(explorer, probe=None))
    (batch,) = list(edited_faces(blind, dog_erased, "dog"))
    assert all(math.isnan(look.distance) and look.recognised is look.before is None for look in batch)
    assert apart(batch[0].image, blind.originals.get("dog").image) > 50


def test_what_cannot_be_erased_now_is_refused_in_a_sentence(explorer):
    with pytest.raises(AgeError, match="no concept 'grue'"):
        erase_now(explorer, "grue")


@pytest.mark.parametrize("names", ["puppy", ["dog", "cat"], "mammal"])
def test_to_erase_now_is_to_erase_by_uce(explorer, emoji_pipe, names):
    *_, last = erase_by(emoji_pipe, "uce", names, FEW)
    now = erase_now(explorer, names)
    assert {**now.info, "preserve": None} == {**last.eraser.info, "preserve": None}
    assert list(now.info["preserve"]) == list(last.eraser.info["preserve"]) and set(now.delta) == set(last.eraser.delta)
    for name, delta in last.eraser.delta.items():
        assert (now.delta[name] - delta).norm() < 1e-4 * delta.norm()
