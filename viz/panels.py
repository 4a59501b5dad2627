"""The texts and pictures around the map, as escaped HTML."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from PIL import Image

from viz.effects import Direction, strongest, unclear
from viz.figures import damage_bars

Kind = Literal["erased", "near", "far", "own"]


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
    found, vague = strongest(pairs, name, direction, k=6), unclear(pairs, name, direction)
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


def picture(image: Image.Image, alt: str, caption: str) -> str:
    """A picture with its caption (trusted HTML) under it; embedded, so that no temporary file is left behind."""
    buffer = io.BytesIO()
    if max(image.size) > 256:
        image = image.copy()
        image.thumbnail((256, 256))
    image.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    image_tag = f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}">'
    return f"<figure>{image_tag}<figcaption>{caption}</figcaption></figure>"


def previews(images: Sequence[Image.Image], prompts: Sequence[str], step: int) -> str:
    cells = "".join(picture(i, f"{p}, at step {step}", html.escape(p)) for i, p in zip(images, prompts, strict=True))
    return f'<div class="age"><h3>What the model draws at step {step}</h3><div class="pictures">{cells}</div></div>'


Verdict = tuple[str, float]  # what the probe saw: its best label and how sure it is


@dataclass(frozen=True)
class Pair:
    """One prompt drawn by both models from the same seed. `expected` is None for a prompt of the person's own."""

    kind: Kind
    title: str
    prompt: str
    expected: str | None
    original: Image.Image
    edited: Image.Image
    seen_original: Verdict
    seen_edited: Verdict


def judge(pair: Pair) -> tuple[str, str]:
    """A class for the border and a sentence: success on the erased concept must not look like damage."""
    if pair.expected is None:
        same = pair.seen_original[0] == pair.seen_edited[0]
        return "", "The probe sees the same thing in both." if same else "The probe sees something else now."
    before, after = (v[0] == pair.expected for v in (pair.seen_original, pair.seen_edited))
    if not before:
        return "", "The probe did not recognise the original either, so this pair tells little."
    if pair.kind == "erased":
        return ("", "Still recognised: not erased here.") if after else ("erased", "Erased: no longer recognised.")
    return ("", "Kept: still recognised.") if after else ("damaged", "Damaged: no longer recognised.")


def compare_grid(pairs: Sequence[Pair], heading: str, note: str = "") -> str:
    cards = "".join(map(_card, pairs))
    below = f'<p class="hint">{html.escape(note)}</p>' if note else ""
    return f'<div class="age"><h3>{html.escape(heading)}</h3>{below}<div class="pairs">{cards}</div></div>'


def _card(pair: Pair) -> str:
    kind, sentence = judge(pair)
    views = (("original", pair.original, pair.seen_original), ("edited", pair.edited, pair.seen_edited))
    sides = "".join(
        picture(image, f"{side}: {pair.prompt}", f"{side}<br><b>{_seen(verdict, pair.expected)}</b>")
        for side, image, verdict in views
    )
    return (
        f'<section class="pair {kind}" data-kind="{pair.kind}"><h3>{html.escape(pair.title)}</h3>'
        f'<div class="sides">{sides}</div><p class="soft">{html.escape(sentence)}</p></section>'
    )


def _seen(verdict: Verdict, expected: str | None) -> str:
    label, probability = verdict
    mark = "" if expected is None else "✓ " if label == expected else "✗ "
    return f"{mark}{html.escape(label)} {probability:.0%}"
