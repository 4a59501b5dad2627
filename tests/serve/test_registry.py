"""Opening other models than the bundled one: folders, one's own concepts, no probe; what is refused, how soon."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pandas as pd
import pytest
from support import build_tiny_sd

from age_core import AgeError, Eraser, load_pipeline
from age_core.serve.registry import MOST_MODELS, Choice, Models
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
    models = Models(tmp_path)
    told = list(models.opening(choice))
    assert [text.split()[0] for text in told] == ["Reading", "Loading"] and str(choice.model) in told[-1]
    studio = models.studio(choice)
    assert models.studio(choice) is studio and not list(models.opening(choice))
    assert studio.world.names == NAMES and studio.probe is None and studio.shipped is None
    assert len(studio.pictures("dog")) == 4


def test_without_a_probe_pairs_go_unjudged_and_scores_are_refused(choice, tmp_path):
    studio = Models(tmp_path).studio(choice)
    (pair,) = studio.pairs(studio.own_rows("a dog"), Eraser({}), 0, 1)
    assert pair.edited_verdict[0] == "" and pair.distance != pair.distance
    assert pair.original.tobytes() == pair.edited.tobytes()
    with pytest.raises(AgeError, match="without one"):
        studio.scores(["dog"], Eraser({}))


def test_side_effects_are_measured_without_a_probe_and_a_restart_redoes_none(choice, tmp_path, monkeypatch):
    studio = Models(tmp_path).studio(choice)
    begun = studio.side_effects()
    assert next(begun).erased == "dog"
    begun.close()
    kept = (studio.measured / "dog-0.parquet").stat().st_mtime_ns
    again = Models(tmp_path).studio(choice)
    assert again.measured == studio.measured  # by weights and concepts, not by name or path
    assert [job.erased for job in again.side_effects()] == list(NAMES)
    assert (studio.measured / "dog-0.parquet").stat().st_mtime_ns == kept
    table = gather(studio.measured)
    assert set(table["metric"]) == {"noise-shift"} and len(table) == len(NAMES) ** 2
    others = table[table["erased"] != table["affected"]]
    assert (table[table["erased"] == table["affected"]]["delta"].mean()) > others["delta"].mean()


def test_all_models_of_a_device_share_its_line_and_its_thread(choice, tmp_path):
    models = Models(tmp_path)
    one, two = models.studio(choice), models.studio(Choice(choice.model, "sd-imagenette", "", "cpu"))
    assert one.bench.line is two.bench.line and one is not two


def test_the_model_longest_not_asked_for_makes_room_unless_it_trains(choice, tmp_path):
    models = Models(tmp_path)
    sets = ("sd-imagenette", "sd-netfive", "sd-artists")
    first = models.studio(choice)
    quick = {"steps": 100_000, "samples": 2, "candidate_samples": 1, "sample_steps": 2, "exclude_alike": 0.0}
    ticket = first.bench.start(tmp_path / "runs", "empty", "dog", keep=True, **quick)
    others = [models.studio(Choice(choice.model, name, "", "cpu")) for name in sets]
    assert models.studio(choice) is first  # it trains
    first.bench.line.stop(ticket)
    *_, last = first.bench.line.watch(ticket)
    assert last.state == "stopped"
    assert models.studio(Choice(choice.model, sets[0], "", "cpu")) is not others[0]
    assert len(models._open) <= MOST_MODELS + 1


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
        Models(tmp_path).studio(Choice(**(fields | changes)))
    assert time.monotonic() - began < 20  # not after five retries, however slow the machine


def test_a_shared_explorer_opens_nothing_of_a_strangers(choice, tmp_path):
    models = Models(tmp_path, others=False)
    for wanted in (choice, Choice(concepts=choice.concepts), Choice(probe="/etc"), Choice(model="a/b")):
        with pytest.raises(AgeError, match="machine of your own"):
            models.studio(wanted)


def test_an_unknown_pipeline_is_refused_before_any_retry(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr("age_core.models.pipelines.HfApi.model_info", unreachable)
    with pytest.raises(AgeError, match="give the folder of a copy"):
        load_pipeline("someone/some-model")


def test_one_thread_of_a_device_computes_whoever_asks(choice, tmp_path):
    """More teams of OpenMP's than cores make a training a third slower (see `ModelThread`)."""
    models, seen = Models(tmp_path), set()
    studios = [models.studio(choice), models.studio(Choice(choice.model, "sd-netfive", "", "cpu"))]
    for studio in studios:
        for part in (studio.pipe.unet, studio.pipe.text_encoder):
            part.register_forward_pre_hook(lambda *_: seen.add(threading.current_thread()))
    studio = studios[0]
    ticket = studio.ask("a" * 32, ["dog"], "uce", True)
    *_, last = studio.bench.line.watch(ticket)
    eraser = ticket.run.eraser()
    (
        studios[1].pictures("cassette player", 1),
        studio.ranked("dog"),
        studio.predict("dog"),
        studio.measure("dog", eraser),
    )
    studio.pairs(studio.own_rows("a grue"), eraser, 0, 1), next(studio.side_effects())
    fresh = replace(studio, world=studios[1].world)  # whose names nobody has read yet
    assert fresh.bench.run(lambda: fresh.vectors).shape[0] == len(studios[1].world)
    assert last.state == "finished" and len(seen) == 1 and threading.current_thread() not in seen
