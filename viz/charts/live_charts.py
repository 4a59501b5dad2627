"""Small charts as HTML: live ones are redrawn several times a second, which would stall a Plotly figure."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from viz.charts.effects import decimals
from viz.components.html_parts import Markup, heading, join, region, soft

LARGEST_COUNT = 15  # candidates drawn as bars: the heaviest
SCALES = (0.1, 0.25, 0.5, 1.0)  # what the full width of the bars can stand for: few, so that bars seldom jump


def bars(rows: Iterable[Markup], kind: str = "") -> Markup:
    return Markup('<ol class="bars {}">{}</ol>').format(kind, join(rows))


def damage_bars(effects: pd.DataFrame, other: str) -> Markup:
    """One bar for each effect, named by its column `other`; the thin line is the interval."""
    reach = max(effects[["delta", "low", "high"]].abs().max().max(), 1e-9)
    return bars(
        Markup(
            '<li><span class="name" title="{name}">{name}</span><span class="track">'
            '<span class="fill {kind}" style="width:{width:.1f}%"></span>{whisker}</span>'
            '<span class="number {kind}">{number}</span></li>'
        ).format(
            name=str(row[other]),
            kind="damage" if row["delta"] > 0 else "gain",
            width=100 * abs(row["delta"]) / reach,
            whisker=_whisker(row["delta"], row["low"], row["high"], reach),
            number=f"{row['delta']:+.{decimals(row['delta'])}f}",
        )
        for row in effects.to_dict("records")
    )


def _whisker(delta: float, low: float, high: float, reach: float) -> Markup:
    """The interval over a bar whose full width is `reach`; nothing where it is not known."""
    if math.isnan(low) or math.isnan(high):
        return Markup()
    sign = 1 if delta > 0 else -1
    start, end = sorted(100 * min(max(sign * value / reach, 0), 1) for value in (low, high))
    return Markup('<span class="whisker" style="left:{:.1f}%;width:{:.1f}%"></span>').format(start, end - start)


def target_bars(
    names: Sequence[str],
    probabilities: Sequence[float],
    sampled: Sequence[float],
    title: str,
    logits: Sequence[float] = (),
    picture: Callable[[str], Markup | None] = lambda _: None,
) -> Markup:
    """Live target weights: the bar is a word's weight, the dot how much of it this step really used.

    The heaviest LARGEST_COUNT, in the order of the candidates, which never changes, so that the eye can follow one
    word. The small number is its logit above the mean of all. `picture`: what the original model draws of a word.
    """
    probabilities = list(probabilities) or [1.0] * (len(names) == 1)
    if not names or len(probabilities) != len(names):
        return region(heading(title), soft("No target weights yet."))
    dots: list[float | None] = list(sampled) if len(sampled) == len(names) else [None] * len(names)
    finite = [value for value in logits if math.isfinite(value)]
    mean = sum(finite) / len(finite) if len(logits) == len(names) and finite else math.nan
    above = [value - mean for value in logits] if math.isfinite(mean) else [math.nan] * len(names)
    largest = max([*probabilities, *(dot for dot in dots if dot is not None)])
    scale = next(scale for scale in SCALES if largest <= scale or scale == SCALES[-1])
    heaviest = sorted(range(len(names)), key=lambda row: -probabilities[row])
    rows = [
        _target_bar(names[row], probabilities[row], dots[row], above[row], scale, picture(names[row]))
        for row in sorted(heaviest[:LARGEST_COUNT])
    ]
    others = len(names) - LARGEST_COUNT
    explanation = (
        "Bar: the word's share of the target, the softmax of the scores. Small number: its score (the logit pi, above "
        "the mean of all), which training moves. Dot: how much of the word this step really used, after chance. The "
        f"full width is {scale:.0%}." + (f" The other {others} are lighter." if others > 0 else "")
    )
    spoken = ", ".join(f"{names[row]} {probabilities[row]:.0%}" for row in heaviest[:5])
    chart = Markup('<div role="img" aria-label="Largest shares: {}">{}</div>').format(spoken, bars(rows, "targets"))
    return region(heading(title), soft(explanation), chart)


def _target_bar(
    name: str, share: float, sampled: float | None, above: float, scale: float, picture: Markup | None
) -> Markup:
    dot = Markup('<span class="dot" style="left:{:.1f}%"></span>')
    return Markup(
        '<li data-share="{share:.4f}">{picture}<span class="name" title="{name}">{name}</span><span class="track">'
        '<span class="fill" style="width:{width:.1f}%"></span>{dot}</span>'
        '<span class="number">{share:.1%} <i>{score}</i></span></li>'
    ).format(
        name=name or "(empty prompt)",
        share=share,
        picture=Markup('<span class="tile none"></span>') if picture is None else picture,
        width=100 * share / scale,
        dot="" if sampled is None else dot.format(100 * sampled / scale),
        score=f"{above:+.1f}" if math.isfinite(above) else "",
    )


@dataclass(frozen=True)
class Plane:
    """Where the steps of a run and their values lie in a drawing; everything in pixels of its own."""

    height: int
    left: int
    right: int
    top: int
    bottom: int
    steps: int
    low: float
    high: float
    width: int = 480

    def x(self, step: float) -> float:
        """Step 1 lies at the left edge, the last one at the right edge."""
        return self.left + (self.width - self.left - self.right) * (step - 1) / max(self.steps - 1, 1)

    def y(self, value: float) -> float:
        share = (self.high - value) / (self.high - self.low)
        return self.top + (self.height - self.top - self.bottom) * share

    def line(self, kind: str, points: Iterable[tuple[float, float]]) -> Markup:
        """A line through (step, value) points."""
        text = " ".join(f"{self.x(step):.1f},{self.y(value):.1f}" for step, value in points)
        return Markup('<polyline class="{}" points="{}"/>').format(kind, text)

    def ticks(self, labels: Iterable[tuple[float, str]]) -> Markup:
        """Level lines at some values, each with its label on the left."""
        return join(
            Markup(
                '<line class="axis" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                '<text x="{text_x}" y="{text_y:.1f}" text-anchor="end">{label}</text>'
            ).format(
                left=self.left,
                right=self.width - self.right,
                y=self.y(value),
                text_x=self.left - 5,
                text_y=self.y(value) + 4,
                label=label,
            )
            for value, label in labels
        )

    def drawing(self, label: str, body: Markup, gap: int) -> Markup:
        """The whole drawing over its axis of steps, whose words stand `gap` pixels above the lower edge."""
        return Markup(
            '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{body}'
            '<text x="{left}" y="{y}">step 1</text>'
            '<text x="{right}" y="{y}" text-anchor="end">step {steps}</text></svg>'
        ).format(
            width=self.width,
            height=self.height,
            label=label,
            body=body,
            left=self.left,
            right=self.width - self.right,
            y=self.height - gap,
            steps=self.steps,
        )


def share_history(names: Sequence[str], history: Sequence[Sequence[float]], steps: int) -> Markup:
    """Shares over the run, a line each for the five words that ever weighed most; and how many words are in play."""
    if len(names) < 2 or not history:
        return Markup()
    most = sorted(range(len(names)), key=lambda row: -max(probabilities[row] for probabilities in history))[:5]
    plane = Plane(height=150, left=42, right=96, top=8, bottom=22, steps=steps, low=0, high=1)
    lines, labels = [], []
    for place, row in enumerate(most):
        lines.append(plane.line(f"s{place}", enumerate((shares[row] for shares in history), 1)))
        if history[-1][row] >= 0.03:  # the others lie on the axis, one upon the other
            labels.append((plane.y(history[-1][row]), names[row] or "(empty)", place))
    texts, above = [], plane.height - plane.bottom + 16.0
    for y, name, place in sorted(labels, reverse=True):
        above = min(y + 4, above - 12)
        text = Markup('<text x="{:.1f}" y="{:.1f}" class="s{}">{}</text>')
        texts.append(text.format(plane.x(len(history)) + 5, above, place, name))
    entropy = -sum(share * math.log(share) for share in history[-1] if share > 0)
    ticks = plane.ticks((share, f"{share:.0%}") for share in (0, 0.5, 1))
    return region(
        heading("Shares over time"),
        plane.drawing(f"Shares over {len(history)} of {steps} steps", join([ticks, *lines, *texts]), gap=4),
        soft(f"Effectively {math.exp(entropy):.1f} words are in play (the exponential of the entropy, {entropy:.2f})."),
        kind="history",
    )


def loss_curve(erase: Sequence[float], preserve: Sequence[float], steps: int) -> Markup:
    """Both losses over the whole run, on a logarithmic axis because they differ by orders of magnitude."""
    values = [value for value in (*erase, *preserve) if math.isfinite(value) and value > 0]
    if not values:
        return region(heading("Loss"), soft("No step has finished yet."), kind="loss")
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = low - 0.1, max(high, low + 0.2) + 0.1
    plane = Plane(height=190, left=58, right=10, top=10, bottom=24, steps=steps, low=low, high=high)

    def line(series: Sequence[float], kind: str) -> Markup:
        points = ((step, value) for step, value in enumerate(series, 1) if math.isfinite(value) and value > 0)
        return plane.line(kind, ((step, math.log10(value)) for step, value in points))

    ticks = plane.ticks((math.log10(value), f"{value:.2g}") for value in (min(values), max(values)))
    explanation = Markup(
        '<p class="soft"><span class="damage">Solid: erase</span> (is the word redirected?) {} · '
        '<span class="gain">dashed: preserve</span> (are the neighbours kept?) {}. Lower is better.</p>'
    ).format(_last(erase), _last(preserve))
    body = join([ticks, line(erase, "erase"), line(preserve, "keep")])
    label = f"Loss over {len(erase)} of {steps} steps"
    return region(heading("Loss"), plane.drawing(label, body, gap=6), explanation, kind="loss")


def _last(series: Sequence[float]) -> str:
    return f"{series[-1]:.3g}" if series and math.isfinite(series[-1]) else "–"
