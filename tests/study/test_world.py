"""The recorded world: packed from what erasing left, read back by name, and refused where anything is not its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import save_file
from support import WORLD

from age_core import AgeError
from age_core.concepts.concept_set import Concept, vocabulary_hash
from age_core.files import write_json
from age_core.measure.intervals import mean_interval, share_change_interval
from age_core.study.tables import COLUMNS, SideEffects
from age_core.study.world import RecordedWorld
from age_core.study.world_files import digest, tiles_file
from benchmarks.evidence.pack_world import pack, sheet

# a name whose file needs more than its letters, in an order that is no alphabet's
CONCEPTS = replace(WORLD, concepts=(*WORLD.concepts, Concept("Old Café", "building", "place")))
NAMES = CONCEPTS.names
BEFORE = (0, 40)  # brightness of what the original drew of the first concept; the next are by so much brighter
FAR = {("dog", "wolf"): 0.9, ("dog", "cat"): 0.5, ("dog", "dog"): 1.1, ("cat", "Old Café"): 0.7}
LOST = {("dog", "wolf"), ("dog", "dog"), ("dog", "car"), ("cat", "cat")}
FLOOR = 0.3  # what the made-up seeds give


def colour(name: str, erased: str = "") -> tuple[int, int, int]:
    """Tells a picture's concept by its red, and whose erasure it was drawn after by its blue."""
    return 30 * NAMES.index(name) + 20, 128, 30 * (NAMES.index(erased) + 1) if erased else 0


def rows_of(names, pictures, erased="", part="all"):
    rows = []
    for name in names:
        for picture in pictures:
            hit = (erased, name) not in LOST and name != "church"  # which is never recognised
            far = FAR.get((erased, name), 0.01) + 0.01 * picture if part != "erased" else np.nan
            row = {"concept": name, "picture": picture, "top1": hit, "top5": True, "label1": name if hit else "pizza"}
            rows.append(row | {"share1": 0.8, "own": 0.8 if hit else 0.1, "distance": far, "part": part})
    return pd.DataFrame(rows)


def pictures_of(erased=""):
    return sheet([Image.new("RGB", (64, 64), colour(name, erased)) for name in NAMES])


def add_raw(folder, method, erased):
    """What `benchmarks.evidence.world` leaves of one erasure."""
    key = f"{NAMES.index(erased):03d}"
    (folder / method).mkdir(parents=True, exist_ok=True)
    more = [name for name in NAMES if (erased, name) in FAR and name != erased]
    parts = [rows_of(NAMES, [0], erased), rows_of(more, [1, 2, 3], erased, "more")]
    parts.append(rows_of([erased], range(6), erased, "erased"))
    pd.concat(parts, ignore_index=True).to_parquet(folder / method / f"{key}.parquet")
    pictures_of(erased).save(folder / method / f"{key}.webp", lossless=True)
    shift = np.linspace(0.1, 0.7, len(NAMES)).astype("float32")
    save_file({"noise_shift": shift}, folder / method / f"{key}-features.safetensors")
    how = {"esd": ("naive", "fast", ""), "age": ("age", "balanced", "adaptive")}[method]
    about = {"erased": erased, **dict(zip(("method", "preset", "target"), how, strict=True))}
    write_json(folder / method / f"{key}.json", about | {"options": {"pi_rows": 4, "steps": 30}})


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    (folder / "original").mkdir(parents=True)
    about = {"model": "tiny", "identity": "0" * 16, "probe": "p", "vocabulary": vocabulary_hash(CONCEPTS)}
    about |= {"prompt": CONCEPTS.template, "seeds": "any", "sampler": {"steps": 4.0, "guidance": 3.0}}
    write_json(folder / "original" / "about.json", about)
    pictures_of().save(folder / "original" / "sheet-0.webp", lossless=True)
    rows_of(NAMES, range(4)).to_parquet(folder / "original" / "verdicts.parquet")
    pd.DataFrame({"concept": "dog", "distance": np.full(200, FLOOR)}).to_parquet(folder / "original" / "seeds.parquet")
    for erased in ("cat", "dog"):
        add_raw(folder, "esd", erased)
    return folder


@pytest.fixture
def packed(raw, tmp_path):
    pack(raw, tmp_path / "world", CONCEPTS)
    return tmp_path / "world"


@pytest.fixture
def world(packed):
    return RecordedWorld.open(packed, CONCEPTS)


def shows(picture, name, erased=""):
    """Whether a tile is of that concept after that erasure, by its pixels; WebP leaves a few levels of doubt."""
    inside = np.asarray(picture, int)[8:-8, 8:-8]  # at its edge a tile takes a little of its neighbour's colour
    return np.abs(inside - colour(name, erased)).max() < 12 and picture.size == (64, 64)


# --- what is read back -----------------------------------------------------------------------------------------------


def test_every_tile_is_the_concepts_own(world):
    assert all(shows(world.original.tile(name), name) for name in NAMES)
    dog = world.erasure("esd", "dog")
    # those that moved, whose verdict changed (the car, in its place) and the erased one itself
    assert set(dog.sheet.places) == {"dog", "wolf", "cat", "car"}
    assert all(shows(dog.sheet.tile(name), name, "dog") for name in dog.sheet.places)
    assert set(world.erasure("esd", "cat").sheet.places) == {"cat", "Old Café"}
    with pytest.raises(AgeError, match="holds no picture of 'pizza'"):
        dog.sheet.tile("pizza")


def test_the_numbers_of_an_erasure_come_back(world):
    assert world.methods == ("esd",) and world.erased("esd") == ("dog", "cat") and world.erased("age") == ()
    assert world.erasure("esd", "pizza") is None and world.erasure("age", "dog") is None
    assert world.floor.value == pytest.approx(FLOOR) and "seed" in world.floor.how
    dog = world.erasure("esd", "dog")
    assert (dog.title, dog.name, list(dog.table.index)) == ("ESD", "dog", list(NAMES))
    wolf = dog.table.loc["wolf"]
    far = np.array([0.9, 0.91, 0.92, 0.93])
    assert (wolf["low"], wolf["high"]) == pytest.approx(mean_interval(far), abs=1e-3)
    assert wolf["distance"] == pytest.approx(far.mean(), abs=1e-4) and wolf["pictures"] == 4
    assert wolf["before"] and not wolf["recognised"] and wolf["moved"] and wolf["label"] == "pizza"
    assert wolf["noise_shift"] == pytest.approx(0.2) and dog.table.loc["dog", "noise_shift"] == pytest.approx(0.1)
    pizza = dog.table.loc["pizza"]
    assert pizza["pictures"] == 1 and np.isnan(pizza["low"]) and pizza["recognised"] and not pizza["moved"]
    assert dog.lost() == ["wolf", "car"]  # no church, which was not recognised before either, and not the dog itself
    assert list(dog.moved().index) == ["wolf", "cat"]


def test_side_effects_of_the_world_are_what_the_pictures_say(world):
    table = world.effects()
    assert list(table.columns) == list(COLUMNS) and len(table) == 2 * 4 * len(NAMES)
    assert set(table["model"]) == {"tiny"} and set(table["method"]) == {"naive"} and set(table["target"]) == {""}
    effects = SideEffects(table.head(0), world.sources)
    assert effects.sources[0] == ("naive", "distance") and effects.floor(("naive", "distance")) == world.floor
    far = effects.pairs(("naive", "distance")).set_index(["erased", "affected"])
    assert far.loc[("dog", "wolf"), "delta"] == pytest.approx(0.915, abs=1e-4)
    assert (far["low"].dropna() >= 0).all() and np.isnan(far.loc[("dog", "car"), "low"])
    shares = table[table["metric"] == "DS-1"].set_index(["erased", "affected"])
    lost = shares.loc[("dog", "wolf")]
    assert (lost["before"], lost["after"], lost["delta"]) == (1, 0, 1)
    assert (lost["low"], lost["high"]) == share_change_interval(np.ones(4), np.zeros(4))
    own = shares.loc[("dog", "dog")]  # against the original's four pictures, though six were drawn
    assert (own["low"], own["high"]) == (lost["low"], lost["high"])
    assert shares.loc[("dog", "church"), "delta"] == 0 and shares.loc[("dog", "car"), "low"] <= 0
    assert (table.loc[table["metric"] == "DS-5", "delta"] == 0).all()
    shift = effects.pairs(("naive", "noise-shift")).set_index(["erased", "affected"])
    assert shift.loc[("dog", "Old Café"), "delta"] == pytest.approx(0.7)


def test_it_takes_neither_torch_nor_scipy(packed):
    told = """
import sys
from age_core.concepts.concept_set import ConceptSet
from age_core.study import world
print(*({"torch", "scipy", "diffusers", "transformers"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- packing ---------------------------------------------------------------------------------------------------------


def test_packing_again_adds_and_touches_nothing_else(raw, packed):
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in packed.rglob("*.webp")}
    add_raw(raw, "esd", "wolf")
    add_raw(raw, "age", "dog")
    pack(raw, packed, CONCEPTS)
    assert all((path.read_bytes(), path.stat().st_mtime_ns) == kept for path, kept in before.items())
    world = RecordedWorld.open(packed, CONCEPTS)
    assert world.methods == ("esd", "age") and world.erased("esd") == ("dog", "wolf", "cat")
    assert world.manifest.methods["age"].options["pi_batch"] == 4  # by its name of today
    assert set(world.effects()["method"]) == {"naive", "age"}


def test_what_another_machine_erased_is_added(raw, packed):
    for path in (raw / "esd").iterdir():
        path.unlink()
    add_raw(raw, "esd", "pizza")
    pack(raw, packed, CONCEPTS)
    world = RecordedWorld.open(packed, CONCEPTS)
    assert world.erased("esd") == ("dog", "cat", "pizza")
    assert shows(world.erasure("esd", "dog").sheet.tile("wolf"), "wolf", "dog")
    assert world.erasure("esd", "dog").lost() == ["wolf", "car"]


def test_erasures_of_other_options_concepts_or_models_are_not_mixed(raw, packed):
    with pytest.raises(AgeError, match="of other concepts than 'tiny'"):
        pack(raw, packed, WORLD)
    path = raw / "esd" / "002.json"
    path.write_text(path.read_text().replace('"fast"', '"thorough"'))
    with pytest.raises(AgeError, match="'cat' by ESD was erased with other options"):
        pack(raw, packed, CONCEPTS)
    about = raw / "original" / "about.json"
    about.write_text(about.read_text().replace("0" * 16, "1" * 16))
    with pytest.raises(AgeError, match="of another model"):
        pack(raw, packed, CONCEPTS)


def test_names_of_files_are_safe_and_one_for_each_concept():
    assert tiles_file("esd", "dog") == "esd/dog.webp"
    names = ["dog", "Dog", "hot dog", "hot-dog", "Old Café", "旗", "../dog", "", "x" * 300]
    paths = [tiles_file("esd", name).lower() for name in names]
    assert len(set(paths)) == len(names)
    assert all(path.count("/") == 1 and path.isascii() and ".." not in path and len(path) < 90 for path in paths)


# --- what is not its own ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["world.json", "original.webp", "original.parquet", "esd.parquet"])
@pytest.mark.parametrize("how", ["missing", "cut short", "changed"])
def test_a_world_that_is_not_whole_is_refused(packed, name, how):
    path = packed / name
    content = path.read_bytes()
    changed = content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]
    if name == "world.json":
        changed = content.replace(b"age-world-1", b"age-world-0")
    path.unlink() if how == "missing" else path.write_bytes(content[:-40] if how == "cut short" else changed)
    with pytest.raises(AgeError) as error:
        RecordedWorld.open(packed, CONCEPTS)
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("how", ["twice", "not at all"])
def test_numbers_that_tell_of_a_pair_twice_or_not_at_all_are_refused(packed, how):
    path, manifest = packed / "esd.parquet", packed / "world.json"
    rows = pd.read_parquet(path)
    pair = rows[(rows["erased"] == "dog") & (rows["affected"] == "cat") & (rows["picture"] == 0)]
    (pd.concat([rows, pair]) if how == "twice" else rows.drop(index=pair.index)).to_parquet(path)
    document = json.loads(manifest.read_text())
    document["files"]["esd.parquet"] = digest(path.read_bytes())
    manifest.write_text(json.dumps(document))
    with pytest.raises(AgeError, match=r"'esd.parquet' of the recorded world tells of other concepts"):
        RecordedWorld.open(packed, CONCEPTS).erasure("esd", "dog")


def test_another_set_or_model_is_refused(packed):
    with pytest.raises(AgeError, match="is of other concepts than 'tiny'"):
        RecordedWorld.open(packed, WORLD)
    assert RecordedWorld.open(packed, CONCEPTS, "0" * 16).methods
    with pytest.raises(AgeError, match="is of another model"):
        RecordedWorld.open(packed, CONCEPTS, "1" * 16)


@pytest.mark.parametrize(
    ("field", "value"),
    [("floor", "far"), ("methods", {"../x": {}}), ("columns", 0), ("original", None), ("new", 1)],
)
def test_a_manifest_with_other_fields_is_refused_in_one_sentence(packed, field, value):
    document = json.loads((packed / "world.json").read_text())
    (packed / "world.json").write_text(json.dumps(document | {field: value}))
    with pytest.raises(AgeError, match=r"'world.json' in 'world' cannot be used: "):
        RecordedWorld.open(packed, CONCEPTS)


@pytest.mark.parametrize("how", ["missing", "cut short", "another's", "no picture"])
def test_a_damaged_sheet_of_one_erasure_leaves_its_numbers(packed, world, how, caplog):
    path = packed / tiles_file("esd", "dog")
    content = path.read_bytes()
    spoiled = {"cut short": content[:-9], "another's": (packed / tiles_file("esd", "cat")).read_bytes()}
    path.unlink() if how == "missing" else path.write_bytes(spoiled.get(how, b"<svg/>"))
    dog = RecordedWorld.open(packed, CONCEPTS).erasure("esd", "dog")
    assert dog.sheet is None and dog.lost() == ["wolf", "car"]
    assert "dog.webp" in caplog.text and "Traceback" not in caplog.text
    assert world.erasure("esd", "cat").sheet is not None


def test_a_sheet_that_was_cut_after_it_was_opened_raises_one_sentence(packed, world):
    dog = world.erasure("esd", "dog")
    dog.sheet.path.write_bytes(dog.sheet.path.read_bytes()[:100])
    with pytest.raises(AgeError, match=r"The pictures 'dog.webp' cannot be read"):
        dog.sheet.tile("wolf")
    with pytest.raises(AgeError, match=r"'dog.webp' is cut short: the picture of 'wolf'"):
        Image.new("RGB", (64, 64)).save(dog.sheet.path)
        replace(dog.sheet, path=dog.sheet.path).tile("wolf")
