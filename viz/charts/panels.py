"""The texts and pictures around the map, as escaped HTML."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from PIL import Image

from viz.charts.effects import Direction, strongest, unclear
from viz.charts.live_charts import damage_bars

Kind = Literal["erased", "synonym", "general", "near", "far", "own"]


def message(text: str) -> str:
    """An empty text clears the region; it stays in the page, so that a screen reader hears the next one."""
    return f'<div class="age"><p class="message" role="alert">{html.escape(text)}</p></div>' if text else ""


def selection(name: str, group: str, synonyms: Sequence[str], pairs: pd.DataFrame | None) -> str:
    """The picked concept: whom erasing it hurts, and by whose erasure it is hurt."""
    also = f" · also called {html.escape(', '.join(synonyms))}" if synonyms else ""
    head = f'<h2>{html.escape(name)}</h2><p class="soft">{html.escape(group)}{also}</p>'
    if pairs is None:
        return f'<div class="age">{head}<p class="soft">No measured side effects are stored for this model.</p></div>'
    columns = _side(name, pairs, "hurts", "affected") + _side(name, pairs, "hurt by", "erased")
    return f'<div class="age">{head}<div class="two">{columns}</div></div>'


def _side(name: str, pairs: pd.DataFrame, direction: Direction, other: str) -> str:
    title = f"Erasing {name} hurts" if direction == "hurts" else f"{name} is hurt by erasing"
    measured = (pairs["erased" if direction == "hurts" else "affected"] == name).any()
    found, vague = strongest(pairs, name, direction, k=10), unclear(pairs, name, direction)
    body = damage_bars(found, other) if len(found) else ""
    if not measured:
        body = '<p class="soft">Not measured.</p>'
    elif not len(found):
        body = '<p class="soft">Nothing we can tell from zero.</p>'
    note = f'<p class="soft">{vague} more unclear: the interval crosses zero.</p>' if vague else ""
    return f"<div><h3>{html.escape(title)}</h3>{body}{note}</div>"


def status(text: str, step: int = 0, steps: int = 0) -> str:
    """The state of the run in words, with a bar once its length is known."""
    bar = f'<progress max="{steps}" value="{step}" aria-label="Progress"></progress>' if steps else ""
    return f'<div class="age"><p>{html.escape(text)}</p>{bar}</div>'


def picture(image: Image.Image, alt: str, caption: str, under: Image.Image | None = None) -> str:
    """A picture with its caption (trusted HTML) under it; embedded, so that no temporary file is left behind.

    `under` takes its place for as long as it is held.
    """
    shown = f'<img src="{_embedded(image)}" alt="{html.escape(alt)}">'
    if under is not None:
        shown = (
            f'<button type="button" class="hold">{shown}<img class="under" src="{_embedded(under)}" alt=""></button>'
        )
    words = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{shown}{words}</figure>"


def _embedded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    if max(image.size) > 256:
        image = image.copy()
        image.thumbnail((256, 256))
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def previews(images: Sequence[Image.Image], prompts: Sequence[str], step: int) -> str:
    cells = "".join(picture(i, f"{p}, at step {step}", html.escape(p)) for i, p in zip(images, prompts, strict=True))
    return f'<div class="age"><h3>What the model draws at step {step}</h3><div class="pictures">{cells}</div></div>'


Verdict = tuple[str, float]  # what the probe saw: its best label and how sure it is; "" where there is no probe


@dataclass(frozen=True)
class Drawn:
    """One edited picture beside the original of the same seed: what the probe saw, and how far apart they are."""

    by: str  # the edited model
    image: Image.Image
    seen: Verdict
    distance: float


@dataclass(frozen=True)
class Card:
    """One prompt and seed by the original and by each edited model. `expected`: labels; none for a person's own."""

    kind: Kind
    title: str
    note: str
    prompt: str
    seed: int
    expected: tuple[str, ...]
    original: Image.Image
    seen: Verdict
    edited: tuple[Drawn, ...]


def judge(card: Card, drawn: Drawn) -> tuple[str, str]:
    """A class for the border and a sentence: success on the erased concept must not look like damage."""
    if not drawn.seen[0]:
        return "", "No probe judged this pair: look for yourself."
    if not card.expected:
        same = card.seen[0] == drawn.seen[0]
        return "", "The probe sees the same thing in both." if same else "The probe sees something else now."
    if card.seen[0] not in card.expected:
        return "", "The probe did not recognise the original either, so this pair tells little."
    kept = drawn.seen[0] in card.expected
    if card.kind in ("erased", "synonym"):
        return ("", "Still recognised: not erased here.") if kept else ("erased", "Erased: no longer recognised.")
    return ("", "Kept: still recognised.") if kept else ("damaged", "Damaged: no longer recognised.")


def compare_grid(cards: Sequence[Card], heading: str) -> str:
    """A card a prompt and seed. Holding an edited picture (or its key) shows the original in its place."""
    notes = "".join(
        f'<p class="hint">{html.escape(card.title)}: {html.escape(card.note)}</p>'
        for card in {card.prompt: card for card in cards if card.kind == "own" and card.note}.values()
    )
    hint = '<p class="soft">Hold an edited picture to see the original in its place.</p>'
    body = "".join(map(_card, cards))
    return f'<div class="age"><h3>{html.escape(heading)}</h3>{notes}{hint}<div class="pairs">{body}</div></div>'


def _card(card: Card) -> str:
    note = f" ({card.note})" if card.note and card.kind != "own" else ""
    before = picture(card.original, f"original: {card.prompt}", f"original<br><b>{_seen(card.seen, card.expected)}</b>")
    sides, sentences, worst = [before], [], ""
    for drawn in card.edited:
        kind, sentence = judge(card, drawn)
        worst = "damaged" if "damaged" in (kind, worst) else kind or worst
        caption = f"{html.escape(drawn.by)}<br><b>{_seen(drawn.seen, card.expected)}</b>"
        if drawn.seen[0]:
            caption += f"<br>distance {drawn.distance:.2f}"
        sides.append(picture(drawn.image, f"{drawn.by}: {card.prompt}", caption, under=card.original))
        sentences.append(sentence if len(card.edited) == 1 else f"{drawn.by}: {sentence}")
    said = "<br>".join(html.escape(sentence) for sentence in sentences)
    return (
        f'<section class="pair {worst}" data-kind="{card.kind}"><h3>{html.escape(card.title + note)}</h3>'
        f'<div class="sides">{"".join(sides)}</div><p class="soft">{said}</p></section>'
    )


def _seen(verdict: Verdict, expected: Sequence[str]) -> str:
    label, probability = verdict
    if not label:
        return "not judged"
    mark = "✓ " if label in expected else "✗ " if expected else ""
    return f"{mark}{html.escape(label)} {probability:.0%}"


def scores(tables: Sequence[tuple[str, dict[str, float]]]) -> str:
    """ESR and PSR with intervals: a row a model, each a mapping with esr1, esr1_low and so on."""

    def cell(row: dict[str, float], name: str) -> str:
        return f"<td><b>{row[name]:.0f}</b> <span>({row[f'{name}_low']:.0f} to {row[f'{name}_high']:.0f})</span></td>"

    columns = {"esr1": "ESR-1", "esr5": "ESR-5", "psr1": "PSR-1", "psr5": "PSR-5"}
    heads = "".join(f'<th scope="col">{title}</th>' for title in columns.values())
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>{"".join(cell(row, column) for column in columns)}'
        f"<td>{row['distance']:.3f}</td></tr>"
        for name, row in tables
    )
    return (
        f'<div class="age"><h3>How much was erased, how much was kept</h3><table class="scores"><thead><tr><th></th>'
        f'{heads}<th scope="col">distance</th></tr></thead><tbody>{rows}</tbody></table><p class="soft">Percent, with '
        "95 % intervals. ESR-k: pictures of the erased concept that the probe no longer has among its first k guesses. "
        "PSR-k: pictures of 40 other concepts that it still has. Distance: how far those pictures moved.</p></div>"
    )


def predicted(said: str, effects: pd.DataFrame) -> str:
    """Bars of a prediction, hollow: they carry no interval."""
    rows = effects.assign(low=float("nan"), high=float("nan"))
    return f'<div class="age hollow"><p class="soft">{html.escape(said)}</p>{damage_bars(rows, "affected")}</div>'


def film(stages: Sequence[tuple[int, Image.Image]], name: str) -> str:
    """One seed of the edited model at several steps."""
    cells = "".join(picture(image, f"{name} at step {step}", f"step {step}") for step, image in stages)
    return (
        f'<div class="age"><h3>“{html.escape(name)}”, the same seed, as the model learns</h3>'
        f'<div class="pictures small">{cells}</div></div>'
    )


def gallery(images: Sequence[Image.Image], name: str) -> str:
    """What the original model draws of a concept."""
    cells = "".join(picture(i, f"{name}, picture {n}", "") for n, i in enumerate(images, 1))
    return (
        f'<div class="age"><h3>What the model draws of {html.escape(name)}</h3>'
        f'<div class="pictures small">{cells}</div></div>'
    )
