"""Where each concept sits on the map, and the colour and shape of its group."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from viz.theme import GROUP_COLOURS, GROUP_SHAPES


def umap_layout(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n, d) vectors to (n, 2) positions in [-1, 1]. UMAP keeps neighbourhoods; gaps between clusters mean little."""
    from umap import UMAP  # imported here: compiling it takes seconds, and a stored layout makes it unnecessary

    points = UMAP(
        n_neighbors=min(12, len(vectors) - 1), min_dist=0.35, spread=1.4, metric="cosine", random_state=seed, n_jobs=1
    ).fit_transform(np.asarray(vectors, dtype=np.float32))
    low, high = points.min(axis=0), points.max(axis=0)
    return spread_apart(2 * (points - low) / np.maximum(high - low, 1e-9) - 1)


def spread_apart(points: np.ndarray, gap: float = 0.06, rounds: int = 200) -> np.ndarray:
    """Push dots that overlap just far enough apart to be told apart and clicked: at least `gap`, where it fits."""
    points = np.asarray(points, dtype=float) + np.random.default_rng(0).normal(0, 1e-4, np.shape(points))
    for _ in range(rounds):
        offset = points[:, None] - points[None]  # (n, n, 2)
        distance = np.linalg.norm(offset, axis=-1) + np.eye(len(points)) * gap
        push = np.maximum(gap - distance, 0) / np.maximum(distance, 1e-9)
        if push.max() < 0.02:
            break
        points = points + 0.45 * (offset * push[..., None]).sum(axis=1)
    return points.clip(-1.05, 1.05)


def read_layout(path: Path, names: Sequence[str]) -> pd.DataFrame | None:
    """The stored layout (columns name, x, y) in the order of `names`; None when missing, damaged or incomplete."""
    try:
        table = pd.read_csv(path, dtype={"name": str}, keep_default_na=False).set_index("name")
        return table.loc[list(names), ["x", "y"]].astype(float).reset_index()
    except (OSError, KeyError, ValueError):
        return None


def write_layout(path: Path, names: Sequence[str], points: np.ndarray) -> pd.DataFrame:
    """Store the layout so that the map looks the same at every start; a read-only folder is no reason to fail."""
    table = pd.DataFrame({"name": list(names), "x": points[:, 0].round(4), "y": points[:, 1].round(4)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, index=False)
    except OSError:
        pass
    return table


def group_styles(groups: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Group to (index of its colour, shape): both change from one group to the next, and 20 groups stay distinct."""
    n = len(GROUP_COLOURS["light"])
    ordered = list(dict.fromkeys(groups))
    return {g: (i % n, GROUP_SHAPES[(i % n + i // n) % len(GROUP_SHAPES)]) for i, g in enumerate(ordered)}
