"""Layouts of the map: what an alignment undoes, what a file keeps, and how distances become places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from viz.atlas import layout

ROOT = Path(__file__).parents[3]
NAMES = ["dog", "NA", "<b>van</b>", 'say "hi", twice', *(f"concept {row}" for row in range(26))]


def table(points: np.ndarray, names: list[str] = NAMES) -> pd.DataFrame:
    return pd.DataFrame({"name": names, "x": points[:, 0], "y": points[:, 1]})


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (len(NAMES), 2))


def moved(points: np.ndarray, mirrored: bool) -> np.ndarray:
    """Turned by two radians, mirrored or not, 3.5 times as large, and elsewhere."""
    turn = np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]]) @ np.diag([1, -1 if mirrored else 1])
    return 3.5 * points @ turn + [4, -7]


@pytest.mark.parametrize("mirrored", [False, True])
def test_alignment_undoes_turning_mirroring_scaling_and_moving(points, mirrored):
    order = np.random.default_rng(1).permutation(len(NAMES))
    other = table(moved(points, mirrored)).iloc[order]
    found = layout.aligned(other, table(points))
    assert list(found["name"]) == [NAMES[row] for row in order] and list(found.columns) == ["name", "x", "y"]
    assert np.allclose(found[["x", "y"]], points[order], atol=1e-12)


def test_alignment_is_fitted_on_its_anchors_alone(points):
    other = moved(points, True)
    other[5:] = np.random.default_rng(2).normal(0, 50, (len(NAMES) - 5, 2))
    found = layout.aligned(table(other), table(points), NAMES[:5])[["x", "y"]].to_numpy()
    assert np.allclose(found[:5], points[:5], atol=1e-12)
    assert not np.allclose(layout.aligned(table(other), table(points))[["x", "y"]].to_numpy()[:5], points[:5], atol=0.1)


def test_alignment_takes_what_both_have_and_does_not_shrink_a_layout_that_disagrees(points):
    other = np.random.default_rng(3).uniform(-1, 1, points.shape)
    found = layout.aligned(table(other), table(points).head(20))
    spread = found.head(20)[["x", "y"]].std(ddof=0).pow(2).sum() / table(points).head(20)[["x", "y"]].var(ddof=0).sum()
    assert spread == pytest.approx(1) and len(found) == len(NAMES)
    best = layout.aligned(table(other), table(points))[["x", "y"]].to_numpy()
    for angle in np.linspace(0, 2 * np.pi, 50):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = best.mean(axis=0)
        for flip in (1, -1):
            turned = (best - middle) @ turn @ np.diag([1, flip]) + middle
            assert np.square(best - points).sum() <= np.square(turned - points).sum() + 1e-9


@pytest.mark.parametrize("anchors", [[], ["dog"], ["dog", "dog"]])
def test_one_anchor_says_nothing_about_a_turn(points, anchors):
    with pytest.raises(ValueError, match="two anchors"):
        layout.aligned(table(points), table(points), anchors)


def test_a_file_keeps_several_layouts_and_odd_names(points, tmp_path):
    path = tmp_path / "new" / "layouts.csv"
    kept = {"meaning": table(points.round(4)), "effects": table(moved(points, True).round(4))}
    layout.write_layouts(path, kept)
    assert path.read_text(encoding="utf-8").splitlines()[0] == "name,layout,x,y"
    found = layout.read_layouts(path, NAMES[::-1])
    assert list(found) == ["meaning", "effects"]
    for name, expected in kept.items():
        pd.testing.assert_frame_equal(found[name], expected[::-1].reset_index(drop=True))
    pd.testing.assert_frame_equal(layout.read_layout(path, NAMES), kept["meaning"])
    pd.testing.assert_frame_equal(layout.write_layout(path, NAMES, points), layout.read_layout(path, NAMES))


def test_the_old_format_is_read_as_the_layout_by_meaning(points, tmp_path):
    path = tmp_path / "layout.csv"
    table(points.round(4)).to_csv(path, index=False)
    assert path.read_text(encoding="utf-8").startswith("name,x,y\n")
    assert list(layout.read_layouts(path, NAMES)) == ["meaning"]
    pd.testing.assert_frame_equal(layout.read_layout(path, NAMES), table(points.round(4)))


def test_what_is_missing_or_damaged_is_left_out(points, tmp_path):
    path = tmp_path / "layouts.csv"
    assert layout.read_layouts(path, NAMES) == {} and layout.read_layout(path, NAMES) is None
    twice = pd.concat([table(points), table(points).head(1)])
    holes = table(points).assign(x=[np.inf, *points[1:, 0]])
    layout.write_layouts(
        path, {"meaning": table(points).head(9), "twice": twice, "holes": holes, "good": table(points)}
    )
    assert list(layout.read_layouts(path, NAMES)) == ["good"]
    for text in ("", "name,x,y\ndog,left,0\n", "name,layout,x\ndog,meaning,1\n", "a,b\n1,2\n", "\x00\x01"):
        path.write_text(text, encoding="utf-8")
        assert layout.read_layouts(path, ["dog"]) == {}, text


def test_a_place_that_cannot_be_written_is_no_failure(points, tmp_path):
    (tmp_path / "file").write_text("")
    layout.write_layouts(tmp_path / "file" / "layouts.csv", {"meaning": table(points)})


def test_what_is_no_table_of_distances_is_refused():
    distances = 1 - np.eye(30)
    for wrong in (distances[:, :5], distances + np.triu(np.ones((30, 30)))):
        with pytest.raises(ValueError, match="square and symmetric"):
            layout.umap_layout(wrong, metric="precomputed")


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "precomputed"])
def test_a_handful_is_placed_at_once_with_the_near_together(metric, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)  # whose compiling a handful need not wait for
    angles = np.radians([0, 6, 80, 87, 160])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    given = np.linalg.norm(vectors[:, None] - vectors, axis=-1) if metric == "precomputed" else vectors
    found = layout.umap_layout(given, metric=metric)
    between = np.linalg.norm(found[:, None] - found, axis=-1)
    assert np.abs(found).max() <= layout.EDGE and between[0, 1] < between[0, 2:].min()
    assert between[2, 3] < min(between[2, [0, 1, 4]])


def plain_scaling(distances: np.ndarray) -> np.ndarray:
    """Classical scaling as the textbook has it: the two main axes of the doubly centred squares."""
    centred = np.eye(len(distances)) - 1 / len(distances)
    values, axes = np.linalg.eigh(-centred @ np.square(distances) @ centred / 2)
    return (axes * np.sqrt(np.maximum(values, 0)))[:, [-1, -2]]


def plain_turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The orthogonal matrix that brings a nearest to b."""
    left, _, right = np.linalg.svd(a.T @ b)
    return left @ right


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "precomputed"])
def test_principal_coordinates_are_those_of_classical_scaling(metric, seed):
    vectors = np.random.default_rng(seed).normal(size=(12, 5))
    plain = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if metric == "cosine" else vectors
    distances = np.linalg.norm(plain[:, None] - plain, axis=-1)
    places = layout._principal(distances if metric == "precomputed" else vectors, metric)
    expected = plain_scaling(distances)
    assert places.shape == (12, 2)
    for axis in range(2):  # which way an axis points means nothing
        difference = min(np.abs(places[:, axis] - sign * expected[:, axis]).max() for sign in (1, -1))
        assert difference < 1e-6


def test_distances_that_no_plane_holds_still_give_places():
    distances = np.array([[0, 1, 1, 9.0], [1, 0, 1, 1], [1, 1, 0, 1], [9, 1, 1, 0]])  # against the triangle rule
    expected = plain_scaling(distances)
    places = layout._principal(distances, "precomputed")
    assert np.isfinite(places).all() and np.abs(np.abs(places[:, 0]) - np.abs(expected[:, 0])).max() < 1e-6
    assert np.isfinite(layout.umap_layout(np.zeros((3, 3)), metric="precomputed")).all()


@pytest.mark.parametrize("seed", range(3))
def test_alignment_is_procrustes_with_a_scale_of_the_spread(points, seed):
    other = np.random.default_rng(seed).uniform(-1, 1, points.shape)
    a, b = other - other.mean(axis=0), points - points.mean(axis=0)
    expected = a @ plain_turn(a, b) * np.linalg.norm(b) / np.linalg.norm(a) + points.mean(axis=0)
    places = layout.aligned(table(other), table(points))[["x", "y"]].to_numpy()
    assert np.abs(places - expected).max() < 1e-6


def in_a_fresh_python(code: str, **variables: str) -> list[str]:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


def test_a_start_that_reads_a_stored_layout_imports_no_library_for_computing_one():
    code = "import sys, viz.atlas.layout; print(*{'scipy', 'sklearn', 'umap', 'numba'} & set(sys.modules))"
    assert in_a_fresh_python(code) == []


GROUPED = np.arange(30) % 3  # the group of each of thirty, near to its own and far from the others


@pytest.fixture(scope="module")
def without_a_cache(tmp_path_factory):
    """(Temporary folder, numba's folder, layout of GROUPED) of a start where no place of numba's own is left.

    As for a user without a home and beside packages that nobody may write to. All is compiled there, half a minute, so
    one process serves the tests of what comes out, and compiles without optimising.
    """
    code = """
import json, os, numpy as np
from viz.atlas.layout import umap_layout
groups = np.arange(30) % 3
distances = np.where(groups[:, None] == groups, 0.1, 1.0) * (1 - np.eye(30))
places = umap_layout(distances, metric="precomputed").tolist()
print(json.dumps([os.environ["NUMBA_CACHE_DIR"], places]).replace(" ", ""))
"""
    temporary = tmp_path_factory.mktemp("temporary")
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "TMPDIR": str(temporary)}
    quick = {"NUMBA_OPT": "0", "NUMBA_LOOP_VECTORIZE": "0"}
    (told,) = in_a_fresh_python(code, **nowhere, **quick)
    folder, places = json.loads(told)
    return temporary, Path(folder), np.array(places)


def test_distances_become_places_that_keep_neighbours(without_a_cache):
    *_, places = without_a_cache
    assert places.shape == (30, 2) and np.abs(places).max() <= layout.EDGE
    far = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(far, np.inf)
    assert (GROUPED[far.argmin(axis=1)] == GROUPED).mean() > 0.9


def test_a_layout_comes_out_where_numba_finds_no_place_for_its_cache(without_a_cache):
    temporary, folder, places = without_a_cache
    assert np.isfinite(places).all()
    assert folder.parent == temporary and not folder.exists(), "left behind"
