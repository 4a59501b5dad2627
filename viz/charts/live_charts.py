"""Small figures as HTML: live ones are redrawn several times a second, which would stall a Plotly figure."""

import html
import math
from collections.abc import Sequence

import pandas as pd

from viz.charts.effects import decimals

Bar = tuple[str, float]


def bars(rows: Sequence[str], kind: str = "") -> str:
    return f'<ol class="bars {kind}">{"".join(rows)}</ol>'


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
            f'<span class="number {kind}">{row["delta"]:+.{decimals(row["delta"])}f}</span></li>'
        )
    return bars(rows)


SHOWN = 15  # candidates, the heaviest


def target_bars(
    names: Sequence[str],
    probabilities: Sequence[float],
    sampled: Sequence[float],
    title: str,
    logits: Sequence[float] = (),
) -> str:
    """Live target weights: the bar is a word's weight, the dot how much of it this step really used.

    The heaviest SHOWN, in the order of the candidates, which never changes, so that the eye can follow one word. The
    first number is its logit above the mean of all.
    """
    probabilities = list(probabilities) or [1.0] * (len(names) == 1)
    if not names or len(probabilities) != len(names):
        return f'<div class="age"><h3>{html.escape(title)}</h3><p class="soft">No target weights yet.</p></div>'
    drawn: list[float | None] = list(sampled) if len(sampled) == len(names) else [None] * len(names)
    finite = [value for value in logits if math.isfinite(value)]
    centre = sum(finite) / len(finite) if len(logits) == len(names) and finite else math.nan
    heaviest = sorted(range(len(names)), key=lambda row: -probabilities[row])
    top = [(names[row], probabilities[row]) for row in heaviest[:5]]
    spoken = ", ".join(f"{n} {s:.0%}" for n, s in top)
    largest = max([*probabilities, *(u for u in drawn if u is not None)])
    scale = next(s for s in (0.1, 0.25, 0.5, 1.0) if largest <= s or s == 1)  # few stages, so that bars seldom jump
    rows = []
    for row in sorted(heaviest[:SHOWN]):
        name, share, now = names[row], probabilities[row], drawn[row]
        label = html.escape(name) or "(empty prompt)"
        dot = "" if now is None else f'<span class="dot" style="left:{100 * now / scale:.1f}%"></span>'
        above = logits[row] - centre if math.isfinite(centre) else math.nan
        score = f"{above:+.1f}" if math.isfinite(above) else ""
        rows.append(
            f'<li data-share="{share:.4f}"><span class="name" title="{label}">{label}</span><span class="track">'
            f'<span class="fill" style="width:{100 * share / scale:.1f}%"></span>{dot}</span>'
            f'<span class="number">{share:.1%} <i>{score}</i></span></li>'
        )
    more = f" The other {len(names) - SHOWN} are lighter." if len(names) > SHOWN else ""
    return (
        f'<div class="age"><h3>{html.escape(title)}</h3><p class="soft">Bar: share of the word, the softmax of the '
        "scores. Small number: its score (the logit pi, above their mean), which training moves. Dot: how much of it "
        f"this step really used, after chance. The full width is {scale:.0%}.{more}</p>"
        f'<div role="img" aria-label="Largest shares: {html.escape(spoken)}">{bars(rows, "targets")}</div></div>'
    )


def share_history(names: Sequence[str], history: Sequence[Sequence[float]], steps: int) -> str:
    """Shares over the run, a line each for the five words that ever weighed most; and how many words are in play."""
    if len(names) < 2 or not history:
        return ""
    most = sorted(range(len(names)), key=lambda row: -max(probabilities[row] for probabilities in history))[:5]
    width, height, left, right, top, bottom = 480, 150, 34, 96, 8, 22

    def x(step: float) -> float:
        return left + (width - left - right) * (step - 1) / max(steps - 1, 1)

    def y(share: float) -> float:
        return top + (height - top - bottom) * (1 - share)

    lines, labels = [], []
    for place, row in enumerate(most):
        points = " ".join(f"{x(step):.1f},{y(probabilities[row]):.1f}" for step, probabilities in enumerate(history, 1))
        lines.append(f'<polyline class="s{place}" points="{points}"/>')
        if history[-1][row] >= 0.03:  # the others lie on the axis, one upon the other
            labels.append((y(history[-1][row]), html.escape(names[row]) or "(empty)", place))
    placed, above = [], height - bottom + 16.0
    for at, name, place in sorted(labels, reverse=True):
        above = min(at + 4, above - 12)
        placed.append(f'<text x="{x(len(history)) + 5:.1f}" y="{above:.1f}" class="s{place}">{name}</text>')
    entropy = -sum(share * math.log(share) for share in history[-1] if share > 0)
    ticks = "".join(
        f'<line class="axis" x1="{left}" x2="{width - right}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{left - 5}" y="{y(v) + 4:.1f}" text-anchor="end">{v:.0%}</text>'
        for v in (0, 0.5, 1)
    )
    return (
        '<div class="age history"><h3>Shares over time</h3>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Shares over {len(history)} of {steps} steps">'
        f'{ticks}{"".join(lines)}{"".join(placed)}<text x="{left}" y="{height - 4}">step 1</text>'
        f'<text x="{width - right}" y="{height - 4}" text-anchor="end">step {steps}</text></svg>'
        f'<p class="soft">Effectively {math.exp(entropy):.1f} words are in play (the exponential of the entropy, '
        f"{entropy:.2f}).</p></div>"
    )


def loss_curve(erase: Sequence[float], preserve: Sequence[float], steps: int) -> str:
    """Both losses over the whole run, on a logarithmic axis because they differ by orders of magnitude."""
    values = [v for v in (*erase, *preserve) if math.isfinite(v) and v > 0]
    if not values:
        return '<div class="age loss"><h3>Loss</h3><p class="soft">No step finished yet.</p></div>'
    low, high = math.log10(min(values)), math.log10(max(values))
    low, high = low - 0.1, max(high, low + 0.2) + 0.1
    width, height, left, right, top, bottom = 480, 190, 58, 10, 10, 24

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
