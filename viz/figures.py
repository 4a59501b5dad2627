"""Small figures as HTML: live ones are redrawn several times a second, which would stall a Plotly figure."""

import html
import math
from collections.abc import Sequence

import pandas as pd

Bar = tuple[str, float]


def bars(rows: Sequence[str]) -> str:
    return f'<ol class="bars">{"".join(rows)}</ol>'


def damage_bars(effects: pd.DataFrame, other: str) -> str:
    """One bar for each effect, named by its column `other`; the thin line is the interval."""
    reach = max(effects[["delta", "low", "high"]].abs().max().max(), 1e-9)
    rows = []
    for row in effects.to_dict("records"):
        width = 100 * abs(row["delta"]) / reach
        whisker = ""
        if not (math.isnan(row["low"]) or math.isnan(row["high"])):
            sign = 1 if row["delta"] > 0 else -1
            ends = sorted(100 * min(max(sign * v / reach, 0), 1) for v in (row["low"], row["high"]))
            whisker = f'<span class="whisker" style="left:{ends[0]:.1f}%;width:{ends[1] - ends[0]:.1f}%"></span>'
        kind = "damage" if row["delta"] > 0 else "gain"
        name = html.escape(str(row[other]))
        rows.append(
            f'<li><span class="name" title="{name}">{name}</span><span class="track">'
            f'<span class="fill {kind}" style="width:{width:.1f}%"></span>{whisker}</span>'
            f'<span class="number {kind}">{row["delta"]:+.2f}</span></li>'
        )
    return bars(rows)


def target_bars(names: Sequence[str], shares: Sequence[float], used: Sequence[float], title: str) -> str:
    """Live target weights: the bar is a word's weight, the dot how much of it this step really used.

    The order of the rows never changes during a run, so that the eye can follow one word.
    """
    shares = list(shares) or [1.0] * (len(names) == 1)
    if not names or len(shares) != len(names):
        return f'<div class="age"><h3>{html.escape(title)}</h3><p class="soft">No target weights yet.</p></div>'
    drawn: list[float | None] = list(used) if len(used) == len(names) else [None] * len(names)
    top = sorted(zip(names, shares, strict=True), key=lambda pair: -pair[1])[:5]
    spoken = ", ".join(f"{n} {s:.0%}" for n, s in top)
    largest = max([*shares, *(u for u in drawn if u is not None)])
    scale = next(s for s in (0.1, 0.25, 0.5, 1.0) if largest <= s or s == 1)  # few stages, so that bars seldom jump
    rows = []
    for name, share, now in zip(names, shares, drawn, strict=True):
        label = html.escape(name) or "(empty prompt)"
        dot = "" if now is None else f'<span class="dot" style="left:{100 * now / scale:.1f}%"></span>'
        rows.append(
            f'<li data-share="{share:.4f}"><span class="name" title="{label}">{label}</span><span class="track">'
            f'<span class="fill" style="width:{100 * share / scale:.1f}%"></span>{dot}</span>'
            f'<span class="number">{share:.1%}</span></li>'
        )
    return (
        f'<div class="age"><h3>{html.escape(title)}</h3><p class="soft">Bar: weight of the word. Dot: how much '
        f"of it this step really used. The full width is {scale:.0%}.</p>"
        f'<div role="img" aria-label="Largest shares: {html.escape(spoken)}">{bars(rows)}</div></div>'
    )


def loss_curve(erase: Sequence[float], preserve: Sequence[float], steps: int) -> str:
    """Both losses over the whole run, on a logarithmic axis because they differ by orders of magnitude."""
    values = [v for v in (*erase, *preserve) if math.isfinite(v) and v > 0]
    if not values:
        return '<div class="age loss"><h3>Loss</h3><p class="soft">No step finished yet.</p></div>'
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = low - 0.1, max(high, low + 0.2) + 0.1
    width, height, left, right, top, bottom = 480, 190, 48, 10, 10, 24

    def x(step: float) -> float:
        return left + (width - left - right) * (step - 1) / max(steps - 1, 1)

    def y(value: float) -> float:
        return top + (height - top - bottom) * (high - math.log10(value)) / (high - low)

    def line(series: Sequence[float], kind: str) -> str:
        points = [f"{x(i):.1f},{y(v):.1f}" for i, v in enumerate(series, 1) if math.isfinite(v) and v > 0]
        return f'<polyline class="{kind}" points="{" ".join(points)}"/>'

    ticks = "".join(
        f'<line class="axis" x1="{left}" x2="{width - right}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{left - 5}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2g}</text>'
        for v in (min(values), max(values))
    )
    return (
        '<div class="age loss"><h3>Loss</h3>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Loss over {len(erase)} of {steps} steps">{ticks}'
        f'<text x="{left}" y="{height - 6}">step 1</text>'
        f'<text x="{width - right}" y="{height - 6}" text-anchor="end">step {steps}</text>'
        f"{line(erase, 'erase')}{line(preserve, 'keep')}</svg>"
        f'<p class="soft"><span class="damage">Solid: erase</span> (is the word redirected?) {_last(erase)} · '
        f'<span class="gain">dashed: preserve</span> (are the neighbours kept?) {_last(preserve)}. Lower is better.</p>'
        "</div>"
    )


def _last(series: Sequence[float]) -> str:
    return f"{series[-1]:.3g}" if series and math.isfinite(series[-1]) else "–"
