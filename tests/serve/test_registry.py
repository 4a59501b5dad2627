"""Opening other models than the bundled one: folders, one's own concepts, no probe; what is refused, how soon."""

from __future__ import annotations

import math
import shutil
import threading
import time
import weakref
from contextlib import nullcontext
from dataclasses import replace

import pandas as pd
import pytest
from support import build_tiny_sd

from age_core import AgeError, Eraser, export_bundle, import_bundle, load_pipeline, start_run
from age_core.serve import registry
from age_core.serve.comparison import draw_pairs, own_rows, scores
from age_core.serve.registry import MOST_MODELS, Choice, OpenModels, quick_format
from age_core.study.tables import gather

NAMES = ("dog", "wolf", "fox", "cat", "pizza")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("model")
    build_tiny_sd(tmp_path_factory.mktemp("tokenizer"), "epsilon").save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def concepts(tmp_path_factory):
    rows = [{"name": name, "group": "thing", "general": "thing", "synonyms": ""} for name in NAMES]
    path = tmp_path_factory.mktemp("concepts") / "mine.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def choice(folder, concepts):
    return Choice(str(folder), str(concepts), "", "cpu")


def test_a_folder_opens_once_and_says_what_it_does_meanwhile(choice, tmp_path):
    models = OpenModels(tmp_path)
    steps = list(models.opening(choice))
    assert [text.split()[0] for text in steps] == ["Reading", "Loading"] and str(choice.model) in steps[-1]
    explorer = models.explorer(choice)
    assert models.explorer(choice) is explorer and not list(models.opening(choice))
    assert explorer.concepts.names == NAMES and explorer.probe is None and explorer.library.shipped is None
    assert len(explorer.pictures("dog")) == 4


def test_concepts_that_were_read_stay_although_their_file_is_swept_away(choice, concepts, tmp_path, monkeypatch):
    upload = tmp_path / "gone.csv"
    upload.write_bytes(concepts.read_bytes())
    models, mine = OpenModels(tmp_path / "runs"), replace(choice, concepts=str(upload))
    first = models.explorer(mine).concepts
    upload.unlink()
    models._open.clear()  # as where others were opened
    assert models.explorer(mine).concepts == first
    upload.write_text("name,group,general,synonyms\n" + "".join(f"{name},a,b,\n" for name in "wxyz"))
    models._open.clear()
    assert models.explorer(mine).concepts.names == tuple("wxyz")  # it is there again: as it is now


def test_a_run_opens_wherever_the_weights_lie_that_it_edited(choice, folder, tmp_path):
    elsewhere = shutil.copytree(folder, tmp_path / "elsewhere")
    explorer = OpenModels(tmp_path / "runs").explorer(replace(choice, model=f" '{elsewhere}/' "))
    run, events = start_run(load_pipeline(folder), tmp_path / "hers", "uce", "dog", explorer.concepts, str(folder))
    list(events)
    mine = import_bundle(export_bundle(run, tmp_path / "run.zip"), explorer.library.folder("a" * 32))
    assert explorer.fitting(mine) is mine and mine.config.model == str(folder) != explorer.model == str(elsewhere)


def test_without_a_probe_pairs_go_unjudged_and_scores_are_refused(choice, tmp_path):
    explorer = OpenModels(tmp_path).explorer(choice)
    ((pair,),) = draw_pairs(explorer, own_rows(explorer, "a dog"), {"none": Eraser({})}, 0, 1).values()
    assert pair.edited_verdict[0] == "" and pair.distance != pair.distance
    assert pair.original.tobytes() == pair.edited.tobytes()
    with pytest.raises(AgeError, match="without one"):
        scores(explorer, ["dog"], {"none": Eraser({})})


def test_side_effects_are_measured_without_a_probe_and_a_restart_redoes_none(choice, tmp_path, monkeypatch):
    explorer = OpenModels(tmp_path).explorer(choice)
    begun = explorer.side_effects()
    assert next(begun).erased == "dog"
    begun.close()
    kept = (explorer.measured / "dog-0.parquet").stat().st_mtime_ns
    again = OpenModels(tmp_path).explorer(choice)
    assert again.measured == explorer.measured  # by weights and concepts, not by name or path
    assert [job.erased for job in again.side_effects()] == list(NAMES)
    assert (explorer.measured / "dog-0.parquet").stat().st_mtime_ns == kept
    table = gather(explorer.measured)
    assert set(table["metric"]) == {"noise-shift"} and len(table) == len(NAMES) ** 2
    others = table[table["erased"] != table["affected"]]
    assert (table[table["erased"] == table["affected"]]["delta"].mean()) > others["delta"].mean()


def test_all_models_of_a_device_share_its_line_and_its_thread(choice, tmp_path):
    models = OpenModels(tmp_path)
    one, two = models.explorer(choice), models.explorer(Choice(choice.model, "sd-imagenette", "", "cpu"))
    assert one.queue is two.queue and one is not two


def test_the_model_longest_not_asked_for_makes_room_unless_it_trains(choice, tmp_path):
    models = OpenModels(tmp_path)
    sets = ("sd-imagenette", "sd-netfive", "sd-artists")
    first = models.explorer(choice)
    quick = {"steps": 100_000, "samples": 2, "candidate_samples": 1, "sample_steps": 2, "min_candidate_distance": 0.0}
    queued = first.start("a" * 32, "dog", "empty", keep=True, **quick)
    others = [models.explorer(Choice(choice.model, name, "", "cpu")) for name in sets]
    assert models.explorer(choice) is first  # it trains
    first.queue.stop(queued)
    *_, last = first.queue.watch(queued)
    assert last.state == "stopped"
    assert models.explorer(Choice(choice.model, sets[0], "", "cpu")) is not others[0]
    assert len(models._open) <= MOST_MODELS + 1


def test_concepts_whose_file_was_swept_away_are_those_that_were_read(folder, tmp_path):
    rows = [{"name": name, "group": "thing", "general": "thing", "synonyms": ""} for name in NAMES]
    pd.DataFrame(rows).to_csv(tmp_path / "gone.csv", index=False)
    models, choice = OpenModels(tmp_path / "runs"), Choice(str(folder), str(tmp_path / "gone.csv"), "", "cpu")
    first = models.explorer(choice)
    (tmp_path / "gone.csv").unlink()
    del models._open[choice]  # as when other models needed its room
    again = models.explorer(choice)
    assert again is not first and again.concepts == first.concepts
    with pytest.raises(AgeError, match=r"never\.csv"):
        models.explorer(replace(choice, concepts=str(tmp_path / "never.csv")))


def test_names_that_could_not_be_read_once_are_read_anew(choice, tmp_path, monkeypatch):
    explorer = OpenModels(tmp_path).explorer(choice)
    explorer.read_names.exception()
    del explorer.__dict__["read_names"]
    with monkeypatch.context() as patch:
        patch.setattr("age_core.serve.explorer.Vocabulary.vectors", lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            _ = explorer.vectors
    assert explorer.vectors.shape[0] == len(NAMES)


def test_a_model_that_was_closed_leaves_memory_although_its_runs_are_remembered(choice, tmp_path):
    models = OpenModels(tmp_path)
    explorer = models.explorer(choice)
    queued = explorer.ask("a" * 32, ["dog"], "uce", True)
    *_, last = explorer.queue.watch(queued)
    explorer.predict("dog")
    pipe = weakref.ref(explorer.pipe)
    del explorer
    for name in ("sd-imagenette", "sd-netfive", "sd-artists")[:MOST_MODELS]:
        models.explorer(Choice(choice.model, name, "", "cpu"))
    assert last.state == "finished" and not models.has(choice) and pipe() is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "CompVis/stable-diffusion-v1-4"}, "cannot be reached: connect to the internet"),
        ({"model": "not a/model"}, "is no pipeline"),
        ({"model": "/nowhere"}, "is no pipeline"),
        ({"concepts": "grue"}, "no concept set named 'grue'"),
        ({"concepts": "/nowhere/mine.csv"}, "no concept file 'mine.csv'"),
        ({"probe": "emoji"}, "has no label"),
        ({"device": "cuda:99"}, "no device 'cuda:99' here; choose one of"),
    ],
)
def test_what_cannot_be_opened_is_said_at_once(choice, tmp_path, changes, said, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if changes.get("probe"):
        changes = changes | {"concepts": "sd-artists"}
    fields = {"model": choice.model, "concepts": choice.concepts, "probe": "", "device": "cpu"}
    began = time.monotonic()
    with pytest.raises(AgeError, match=said):
        OpenModels(tmp_path).explorer(Choice(**(fields | changes)))
    assert time.monotonic() - began < 20  # not after five retries, however slow the machine


def test_a_shared_explorer_opens_nothing_of_a_strangers(choice, tmp_path):
    models = OpenModels(tmp_path, others=False)
    for other in (choice, Choice(concepts=choice.concepts), Choice(probe="/etc"), Choice(model="a/b")):
        with pytest.raises(AgeError, match="machine of your own"):
            models.explorer(other)


def test_where_strangers_wait_a_run_trains_a_quarter_of_an_hour(choice, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "MODELS", [choice.model])
    monkeypatch.setattr(registry, "TEMPLATES", [choice.concepts])
    times = [OpenModels(tmp_path, others=others).explorer(choice).queue.longest_s for others in (False, True)]
    assert times == [900, math.inf]


@pytest.mark.parametrize(("device", "native", "said"), [("cuda:1", True, "bfloat16"), ("cuda:0", False, "float32")])
def test_a_card_computes_in_bfloat16_only_where_it_is_not_emulated(monkeypatch, device, native, said):
    asked = []

    def supported(including_emulation):
        asked.append(including_emulation)
        return native

    monkeypatch.setattr("torch.cuda.device", nullcontext)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", supported)
    assert quick_format(device) == said and asked == [False]
    assert quick_format("cpu") == quick_format("mps") == "float32"


def test_an_unknown_pipeline_is_refused_before_any_retry(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr("age_core.models.pipelines.HfApi.model_info", unreachable)
    with pytest.raises(AgeError, match="give the folder of a copy"):
        load_pipeline("someone/some-model")


def test_one_thread_of_a_device_computes_whoever_asks(choice, tmp_path):
    """More teams of OpenMP's than cores make a training a third slower (see `DeviceWorker`)."""
    models, seen = OpenModels(tmp_path), set()
    explorers = [models.explorer(choice), models.explorer(Choice(choice.model, "sd-netfive", "", "cpu"))]
    for explorer in explorers:
        for part in (explorer.pipe.unet, explorer.pipe.text_encoder):
            part.register_forward_pre_hook(lambda *_: seen.add(threading.current_thread()))
    explorer = explorers[0]
    queued = explorer.ask("a" * 32, ["dog"], "uce", True)
    *_, last = explorer.queue.watch(queued)
    eraser = queued.run.eraser()
    (
        explorers[1].pictures("cassette player", 1),
        explorer.ranked("dog"),
        explorer.predict("dog"),
        explorer.measure("dog", eraser),
    )
    draw_pairs(explorer, own_rows(explorer, "a grue"), {"dog": eraser}, 0, 1), next(explorer.side_effects())
    fresh = replace(explorer, concepts=explorers[1].concepts)  # whose names nobody has read yet
    assert fresh.compute(lambda: fresh.vectors).shape[0] == len(explorers[1].concepts)
    assert last.state == "finished" and len(seen) == 1 and threading.current_thread() not in seen
