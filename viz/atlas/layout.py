"""Where each concept sits on the map, and the colour and shape of its group.

scikit-learn, scipy and UMAP are imported where a layout is computed, since most starts read a stored one.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from viz.components.theme import GROUP_COLOURS, GROUP_SHAPES

FEW = 15  # concepts among which UMAP finds no neighbourhoods to keep
EDGE = 1.05  # the furthest from the middle that a dot may stand
ASPECT = 1.2  # how much wider the map is than high
FILL = 0.8  # the share of the map that pictures take
WIDEST_GAP = 0.25  # between two pictures, in half heights of the map
TITLES = 0.1  # the share of the map's width in which the rows of the groups are named
MEANING = "meaning"  # the layout by what the words mean: the one that every map has
ROWS = "rows"  # the layout in rows, a group after the other


def umap_layout(vectors: np.ndarray, seed: int = 0, metric: str = "cosine") -> np.ndarray:
    """(n, d) vectors to (n, 2) positions in [-1, 1]. UMAP keeps neighbourhoods; gaps between clusters mean little.

    With the metric "precomputed", `vectors` holds the (n, n) distances instead. Fewer than FEW are placed by their two
    principal coordinates, which needs no compiling either. Raises ValueError for a table that holds no distances.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    if metric == "precomputed" and (vectors.shape != vectors.T.shape or not np.allclose(vectors, vectors.T, atol=1e-5)):
        raise ValueError("distances must be a square and symmetric table")
    if len(vectors) < FEW:
        return spread_apart(_fitted(_principal(vectors, metric)))
    points = _umap_class()(
        n_neighbors=min(12, len(vectors) - 1), min_dist=0.35, spread=1.4, metric=metric, random_state=seed, n_jobs=1
    ).fit_transform(vectors)
    return spread_apart(_fitted(points))


def _fitted(points: np.ndarray) -> np.ndarray:
    """Scaled to [-1, 1] both ways."""
    low, high = points.min(axis=0), points.max(axis=0)
    return 2 * (points - low) / np.maximum(high - low, 1e-9) - 1


def _umap_class() -> Any:
    """UMAP's class; compiled for this start alone where numba may write beside no package and in no home."""
    try:
        from umap import UMAP
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        import numba

        folder = tempfile.mkdtemp(prefix="numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["NUMBA_CACHE_DIR"] = folder
        numba.config.reload_config()
        from umap import UMAP
    return UMAP


def _principal(vectors: np.ndarray, metric: str) -> np.ndarray:
    """Classical scaling: the plane in which the distances are kept best; (n, 2).

    cosine: the straight distances of the vectors at length 1.
    """
    from sklearn.manifold import ClassicalMDS
    from sklearn.preprocessing import normalize

    vectors = vectors.astype(np.float64)
    if metric == "precomputed":
        scaling, vectors = ClassicalMDS(2, metric="precomputed"), (vectors + vectors.T) / 2
    else:
        scaling, vectors = ClassicalMDS(2), normalize(vectors) if metric == "cosine" else vectors
    with np.errstate(invalid="ignore"):  # distances that no plane can hold leave an axis without a length
        return np.nan_to_num(scaling.fit_transform(vectors))


def spread_apart(points: np.ndarray, gap: float | None = None, rounds: int = 400) -> np.ndarray:
    """Push (n, 2) places apart until none of the pictures there covers another: nobody goes further than that takes.

    Pictures are squares, so two of them are apart where `gap` lies between them, in heights of the map, sideways or up.
    By default it is what leaves room for all on a map that is ASPECT times as wide as it is high.
    """
    from scipy.spatial import KDTree

    wall = np.array([ASPECT, 1]) * EDGE
    if gap is None:
        gap = min(np.sqrt(FILL * 4 * wall.prod() / max(len(points), 1)), WIDEST_GAP)
    places = np.asarray(points, dtype=float) * [ASPECT, 1]
    places = places + np.random.default_rng(0).normal(0, 1e-6, places.shape)  # what lies on one spot must part
    for turn in range(rounds):
        want = gap * min(1, 0.5 + turn / rounds)  # pushed at once, a crowd breaks up
        pairs = KDTree(places).query_pairs(want, p=np.inf, output_type="ndarray")
        a, b = pairs.T
        offset = places[a] - places[b]
        distance = np.abs(offset).max(axis=1, initial=0)
        overlap = np.maximum(want - distance, 0)
        if want == gap and overlap.max(initial=0) < 0.02 * gap:
            break
        push = 0.45 * offset * (overlap / np.maximum(distance, 1e-9))[:, None]
        np.add.at(places, a, push)
        np.add.at(places, b, -push)
        places = places.clip(-wall, wall)
    return places / [ASPECT, 1]


def in_rows(names: Sequence[str], groups: Sequence[str]) -> pd.DataFrame:
    """Columns name, x, y: row by row from the top left, each group together and in a row of its own, in their order.

    As many columns as leave the most room for a picture; at the left, TITLES of the width stays free.
    """
    sizes = pd.Series(1, index=range(len(names))).groupby(list(groups), sort=False).sum()
    width, height = 2 * EDGE * ASPECT * (1 - TITLES), 2 * EDGE

    def cell(columns: int) -> tuple[float, float]:
        return width / columns, height / int(np.ceil(sizes / columns).sum())

    columns = max(range(1, int(sizes.max()) + 1), key=lambda count: min(cell(count)))
    across, down = (min(size, WIDEST_GAP) for size in cell(columns))
    first_rows = np.ceil(sizes / columns).cumsum().shift(fill_value=0)
    turn = pd.Series(list(groups)).groupby(list(groups)).cumcount().to_numpy()  # of each concept in its group
    row = first_rows.loc[list(groups)].to_numpy() + turn // columns
    x = -EDGE * ASPECT + TITLES * 2 * EDGE * ASPECT + (turn % columns + 0.5) * across
    return pd.DataFrame({"name": list(names), "x": x / ASPECT, "y": EDGE - (row + 0.5) * down})


def row_titles(rows: pd.DataFrame, groups: Sequence[str]) -> list[tuple[str, float, float]]:
    """(group, x, y): the name of each group at the left end of its first row."""
    tops = rows["y"].groupby(list(groups), sort=False).max()
    return [(str(group), -EDGE - 0.05, round(float(y), 4)) for group, y in tops.items()]


def aligned(layout: pd.DataFrame, to: pd.DataFrame, anchors: Sequence[str] | None = None) -> pd.DataFrame:
    """`layout` turned, mirrored, scaled and moved onto `to` (both: columns name, x, y), so that a switch spins nothing.

    Fitted on `anchors` (by default every name that both have) by least squares (Procrustes). Only the scale is set by
    how far the anchors spread: least squares would shrink a layout the more, the less it agrees with the other.
    """
    from scipy.linalg import orthogonal_procrustes

    first, second = to.set_index("name")[["x", "y"]], layout.set_index("name")[["x", "y"]]
    names = list(second.index.intersection(first.index) if anchors is None else dict.fromkeys(anchors))
    a, b = second.loc[names].to_numpy(float), first.loc[names].to_numpy(float)
    if len(np.unique(a, axis=0)) < 2 or len(np.unique(b, axis=0)) < 2:
        raise ValueError("two layouts can only be aligned on two anchors or more that stand apart")
    centre_a, centre_b = a.mean(axis=0), b.mean(axis=0)
    turn, _ = orthogonal_procrustes(a - centre_a, b - centre_b)
    turn *= np.linalg.norm(b - centre_b) / np.linalg.norm(a - centre_a)
    points = (second.to_numpy(float) - centre_a) @ turn + centre_b
    return pd.DataFrame({"name": second.index, "x": points[:, 0], "y": points[:, 1]})


def read_layouts(path: Path, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The stored layouts (columns name, x, y) by name, in the order of `names`; an incomplete one is left out.

    A file without a column layout holds one, by meaning.
    """
    try:
        table = pd.read_csv(path, dtype={"name": str, "layout": str}, keep_default_na=False)
        stored = dict(list(table.groupby("layout", sort=False))) if "layout" in table else {MEANING: table}
    except (OSError, ValueError):
        return {}
    complete = {}
    for layout, rows in stored.items():
        try:
            part = rows.set_index("name").loc[list(names), ["x", "y"]].astype(float)
        except (KeyError, ValueError):
            continue
        if len(part) == len(names) and np.isfinite(part).all(axis=None):  # a name that stands twice gives two rows
            complete[str(layout)] = part.reset_index()
    return complete


def write_layouts(path: Path, layouts: Mapping[str, pd.DataFrame]) -> None:
    """Store layouts so that the map looks the same at every start; a read-only folder is no reason to fail."""
    tables = [table.assign(layout=layout)[["name", "layout", "x", "y"]] for layout, table in layouts.items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.concat(tables).round({"x": 4, "y": 4}).to_csv(path, index=False)
    except OSError:
        pass


def read_layout(path: Path, names: Sequence[str]) -> pd.DataFrame | None:
    """The stored layout by meaning; None when missing, damaged or incomplete."""
    return read_layouts(path, names).get(MEANING)


def write_layout(path: Path, names: Sequence[str], points: np.ndarray) -> pd.DataFrame:
    """Store these positions as the layout by meaning, the only one of its file."""
    table = pd.DataFrame({"name": list(names), "x": points[:, 0].round(4), "y": points[:, 1].round(4)})
    write_layouts(path, {MEANING: table})
    return table


def group_styles(groups: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Group to (index of its colour, shape): both change from one group to the next, and 20 groups stay distinct."""
    n = len(GROUP_COLOURS["light"])
    ordered = list(dict.fromkeys(groups))
    return {g: (i % n, GROUP_SHAPES[(i % n + i // n) % len(GROUP_SHAPES)]) for i, g in enumerate(ordered)}
