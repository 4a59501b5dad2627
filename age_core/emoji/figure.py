"""The figure of the model card: the training curve, accuracy by group and style, outputs beside what they resemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

BLUE, ORANGE = "#0072B2", "#C2410C"


def draw_figure(
    curves: Sequence[Sequence[Mapping[str, float]]],
    by_concept: pd.DataFrame,
    by_style: Mapping[str, float],
    beside: Sequence[tuple[Image.Image, Image.Image]],
    path: Path,
) -> None:
    """Write a PNG.

    curves: of each training that went on from the one before, pictures seen, top1 and top5; by_concept: columns group
    and top1, all shares; beside: (output, nearest training picture), of one size.
    """
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    axes = figure.subplot_mosaic(
        [["curve", "group"], ["style", "group"], ["beside", "beside"]], height_ratios=[3, 2, 2]
    )
    _curve(axes["curve"], curves)
    groups = by_concept.groupby("group")["top1"].mean().sort_values()
    _bars(axes["group"], groups, "Named right by the probe, by group")
    _bars(axes["style"], pd.Series(dict(by_style)).sort_values(), "Style right when asked for")
    _beside(axes["beside"], beside)
    figure.savefig(path, dpi=100)


def _curve(axis: Axes, curves: Sequence[Sequence[Mapping[str, float]]]) -> None:
    axis.set_title("Training curve; dotted: the learning rate starts anew", loc="left")
    seen = 0.0
    for part, lines in enumerate(curves):
        pictures = [seen + line["pictures"] for line in lines]
        for key, name, colour in (("top5", "among the first five", ORANGE), ("top1", "named first", BLUE)):
            share = [100 * line[key] for line in lines]
            axis.plot(pictures, share, marker=".", label="" if part else name, color=colour)
        if part:
            axis.axvline(seen, color="gray", linestyle=":")
        seen = pictures[-1]
    axis.set(xlabel="pictures seen", ylabel="% of 150 concepts", ylim=(0, 102))
    axis.legend(frameon=False, loc="lower right")


def _bars(axis: Axes, shares: pd.Series, title: str) -> None:
    axis.set_title(title, loc="left")
    axis.barh(shares.index, 100 * shares.to_numpy(), color=BLUE)
    for row, share in enumerate(shares):
        axis.text(100 * share, row, f" {share:.0%}", va="center", fontsize=8)
    axis.set(xlim=(0, 112), xlabel="%")
    axis.tick_params(axis="y", labelsize=8)


def _beside(axis: Axes, beside: Sequence[tuple[Image.Image, Image.Image]]) -> None:
    axis.set_title("Above: drawn by the model, fixed seeds, uncurated. Below: the nearest training picture", loc="left")
    columns = [np.concatenate([np.asarray(picture.convert("RGB")) for picture in pair]) for pair in beside]
    axis.imshow(np.concatenate(columns, axis=1))
    axis.set_axis_off()
