"""The texts and pictures around the map, as HTML in which every text is escaped."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from PIL import Image

from viz.charts.live_charts import damage_bars
from viz.components.html_parts import Markup, heading, join, region, soft

Kind = Literal["erased", "synonym", "general", "near", "far", "own"]
LARGEST_PICTURE = 256  # pixels on its longer side: the page shows none larger


def message(text: str) -> Markup:
    """An empty text clears the region; it stays in the page, so that a screen reader hears the next one."""
    return region(Markup('<p class="message" role="alert">{}</p>').format(text)) if text else Markup()


@dataclass(frozen=True)
class Side:
    """What is known of a concept in one direction: its strongest clear effects, and how many are not clear."""

    direction: Literal["hurts", "hurt by"]
    strongest: pd.DataFrame  # erased, affected, delta, low, high
    unclear: int
    measured: bool


def concept(name: str, group: str, synonyms: Sequence[str], lists: Sequence[Markup]) -> Markup:
    """The picked concept with its lists of pictures: whom erasing it hurts, and whose erasure hurts it."""
    return region(_heading_of(name, group, synonyms), Markup('<div class="two">{}</div>').format(join(lists)))


def _heading_of(name: str, group: str, synonyms: Sequence[str]) -> Markup:
    also = f" · also called {', '.join(synonyms)}" if synonyms else ""
    return Markup("<h2>{}</h2>{}").format(name, soft(group + also))


def selection(name: str, group: str, synonyms: Sequence[str], sides: Sequence[Side]) -> Markup:
    """The picked concept: which concepts erasing it hurts, and which erasures hurt it; no sides where none is known."""
    head = _heading_of(name, group, synonyms)
    if not sides:
        return region(head, soft("No measured side effects are stored for this model."))
    return region(head, Markup('<div class="two">{}</div>').format(join(_side(name, side) for side in sides)))


def _side(name: str, side: Side) -> Markup:
    hurts = side.direction == "hurts"
    title = f"Erasing {name} hurts" if hurts else f"{name} is hurt by erasing"
    if not side.measured:
        body = soft("Not measured.")
    elif side.strongest.empty:
        body = soft("No effect beyond the noise floor.")
    else:
        body = damage_bars(side.strongest, "affected" if hurts else "erased")
    more = soft(f"{side.unclear} more unclear: within the noise floor, or the interval includes zero.")
    return Markup("<div>{}{}{}</div>").format(heading(title), body, more if side.unclear else "")


def graph_facts(facts: dict[str, float], strengths: pd.DataFrame, measured_with: str) -> Markup:
    """The whole graph in numbers (`facts`, as graph_statistics names them) and who harms and is hurt most."""
    if not facts["damages"]:
        return region(heading("The whole graph"), soft(f"{measured_with}: no damage is beyond the noise floor."))
    harmful = strengths.nlargest(5, "harm")[["concept", "harm", "harms"]]
    hurt = strengths.nlargest(5, "hurt")[["concept", "hurt", "hurt_by"]]
    sentences = [
        f"{measured_with}: {facts['damages']:.0f} clear damages.",
        f"{facts['reciprocity']:.0%} of them go both ways (reciprocity), and {facts['weighted_reciprocity']:.0%} of "
        "all damage is paid back in kind.",
        f"Who damages whom falls into {facts['communities']:.0f} communities; they agree with the groups of the "
        f"concept set to {facts['adjusted_rand']:.2f} (adjusted Rand index: 1 exactly, 0 as by chance).",
    ]
    lines = [
        _ranking("Erasing these harms most", harmful, "{} others"),
        _ranking("These are hurt most", hurt, "by {} erasures"),
    ]
    return region(heading("The whole graph"), soft(" ".join(sentences)), *lines)


def _ranking(title: str, rows: pd.DataFrame, count: str) -> Markup:
    words = [f"{name} ({total:.2f}, {count.format(number)})" for name, total, number in rows.itertuples(index=False)]
    return soft(f"{title}: {', '.join(words)}.")


def status(text: str, step: int = 0, steps: int = 0) -> Markup:
    """The state of the run in words, with a bar once its length is known."""
    bar = Markup('<progress max="{}" value="{}" aria-label="Progress"></progress>').format(steps, step)
    return region(Markup("<p>{}</p>").format(text), bar if steps else "")


def picture(image: Image.Image, alt: str, caption: str, under: Image.Image | None = None) -> Markup:
    """A picture with its caption, a text or Markup; embedded, so that no temporary file is left behind.

    `under` takes its place for as long as it is held.
    """
    body = Markup('<img src="{}" alt="{}">').format(_embedded(image), alt)
    if under is not None:
        body = Markup('<button type="button" class="hold">{}<img class="under" src="{}" alt=""></button>').format(
            body, _embedded(under)
        )
    words = Markup("<figcaption>{}</figcaption>").format(caption) if caption else ""
    return Markup("<figure>{}{}</figure>").format(body, words)


def _embedded(image: Image.Image) -> str:
    """The picture as an address that holds it."""
    buffer = io.BytesIO()
    if max(image.size) > LARGEST_PICTURE:
        image = image.copy()
        image.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _row(pictures: Sequence[Markup], kind: str = "") -> Markup:
    return Markup('<div class="{}">{}</div>').format(f"pictures {kind}".rstrip(), join(pictures))


def previews(images: Sequence[Image.Image], prompts: Sequence[str], step: int) -> Markup:
    """What the model in training draws of each prompt."""
    cells = [picture(i, f"{prompt}, at step {step}", prompt) for i, prompt in zip(images, prompts, strict=True)]
    return region(heading(f"What the model draws at step {step}"), _row(cells))


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
    """One prompt and seed by the original and by each edited model.

    `expected`: the labels that count as recognised; none for a person's own prompt.
    """

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
        return "", "The probe did not recognise the original either, so this pair says little."
    recognised = drawn.seen[0] in card.expected
    if card.kind in ("erased", "synonym"):
        return ("", "Still recognised: not erased here.") if recognised else ("erased", "Erased: no longer recognised.")
    return ("", "Kept: still recognised.") if recognised else ("damaged", "Damaged: no longer recognised.")


def compare_grid(cards: Sequence[Card], heading_text: str) -> Markup:
    """A card for each prompt and seed. Holding an edited picture (or its key) shows the original in its place."""
    own = {card.prompt: card for card in cards if card.kind == "own" and card.note}
    notes = join(Markup('<p class="hint">{}: {}</p>').format(card.title, card.note) for card in own.values())
    hint = soft("Hold an edited picture to see the original in its place.")
    body = Markup('<div class="pairs">{}</div>').format(join(map(_card, cards)))
    return region(heading(heading_text), notes, hint, body)


def _card(card: Card) -> Markup:
    note = f" ({card.note})" if card.note and card.kind != "own" else ""
    before = Markup("original<br><b>{}</b>").format(_seen(card.seen, card.expected))
    sides, sentences, worst = [picture(card.original, f"original: {card.prompt}", before)], [], ""
    for drawn in card.edited:
        kind, sentence = judge(card, drawn)
        worst = "damaged" if "damaged" in (kind, worst) else kind or worst
        caption = Markup("{}<br><b>{}</b>").format(drawn.by, _seen(drawn.seen, card.expected))
        if drawn.seen[0]:
            caption += Markup("<br>distance {:.2f}").format(drawn.distance)
        sides.append(picture(drawn.image, f"{drawn.by}: {card.prompt}", caption, under=card.original))
        sentences.append(sentence if len(card.edited) == 1 else f"{drawn.by}: {sentence}")
    return Markup(
        '<section class="pair {}" data-kind="{}">{}<div class="sides">{}</div><p class="soft">{}</p></section>'
    ).format(worst, card.kind, heading(card.title + note), join(sides), Markup("<br>").join(sentences))


def _seen(verdict: Verdict, expected: Sequence[str]) -> str:
    label, probability = verdict
    if not label:
        return "not judged"
    mark = "✓ " if label in expected else "✗ " if expected else ""
    return f"{mark}{label} {probability:.0%}"


def scores(tables: Sequence[tuple[str, dict[str, float]]]) -> Markup:
    """ESR and PSR with intervals: a row a model, each a mapping with esr1, esr1_low and so on."""

    def cell(row: dict[str, float], name: str) -> Markup:
        return Markup("<td><b>{:.0f}</b> <span>({:.0f} to {:.0f})</span></td>").format(
            row[name], row[f"{name}_low"], row[f"{name}_high"]
        )

    columns = {"esr1": "ESR-1", "esr5": "ESR-5", "psr1": "PSR-1", "psr5": "PSR-5"}
    heads = join(Markup('<th scope="col">{}</th>').format(title) for title in (*columns.values(), "distance"))
    rows = join(
        Markup('<tr><th scope="row">{}</th>{}<td>{:.3f}</td></tr>').format(
            name, join(cell(row, column) for column in columns), row["distance"]
        )
        for name, row in tables
    )
    table = Markup(
        '<table class="scores"><thead><tr><th></th>{}</tr></thead><tbody>{}</tbody></table>',
    ).format(heads, rows)
    explanation = soft(
        "Percent, with 95 % intervals. ESR-k: pictures of the erased concept in which the probe no longer has it among "
        "its first k guesses. PSR-k: pictures of 40 other concepts in which it still has them. Distance: how far those "
        "pictures moved."
    )
    return region(heading("How much was erased, how much was kept"), table, explanation)


def runs(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """Recorded runs, a line each; None is an empty cell. A sentence where there are none."""
    lines = [join(Markup("<td>{}</td>").format("" if cell is None else cell) for cell in row) for row in rows]
    if not lines:
        return region(soft("No run yet: whatever you erase is kept here."))
    return region(
        Markup('<table class="scores"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>').format(
            join(Markup('<th scope="col">{}</th>').format(title) for title in columns),
            join(Markup("<tr>{}</tr>").format(line) for line in lines),
        )
    )


def predicted(summary: str, effects: pd.DataFrame) -> Markup:
    """Bars of a prediction, hollow: they carry no interval."""
    rows = effects.assign(low=float("nan"), high=float("nan"))
    return region(soft(summary), damage_bars(rows, "affected"), kind="hollow")


def film(stages: Sequence[tuple[int, Image.Image]], name: str) -> Markup:
    """One seed of the edited model at several steps."""
    cells = [picture(image, f"{name} at step {step}", f"step {step}") for step, image in stages]
    return region(heading(f"“{name}”, the same seed, as the model learns"), _row(cells, "small"))


def gallery(images: Sequence[Image.Image], name: str) -> Markup:
    """What the original model draws of a concept."""
    cells = [picture(image, f"{name}, picture {number}", "") for number, image in enumerate(images, 1)]
    return region(heading(f"What the model draws of {name}"), _row(cells, "small"))
