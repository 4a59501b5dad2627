"""Which lessons what was measured allows, each filled in from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache, partial

from age_core import AgeError, ConceptSet
from age_core.serve import stored
from viz.charts import lessons, plots
from viz.charts.attack_lesson import ATTACKS
from viz.charts.damage_lessons import GUESSES, BothWays, Redrawn, Training
from viz.charts.lesson import Lesson, Scene
from viz.charts.target_lessons import Example, word_card
from viz.charts.targets import rankings
from viz.components.html_parts import Markup
from viz.components.tiles import file_url, tile
from viz.tabs.lesson_harms import AGE, ESD, before, both_ways, candidates, harm_of, recorded
from viz.tabs.live import recording_of
from viz.tabs.map_data import MapData
from viz.tabs.map_view import locality

TRIED = 60  # erasures or pairs that are looked at for one that a lesson can tell of
MOST_DOTS = 300  # of the figure of pairs: more hide each other
SHOWN = 12  # concepts after either erasure in lesson 5
BIG = 96  # pixels


class Book:
    """The lessons by their titles."""

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        self.lessons = {lesson.title: lesson for lesson in lessons}

    @property
    def first(self) -> str:
        return next(iter(self.lessons), "")

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Short names with a number, and titles, as the choices of a radio."""
        return [(f"{number} {lesson.short}", title) for number, (title, lesson) in enumerate(self.lessons.items(), 1)]

    def after(self, title: str) -> str:
        """The lesson that follows; "" after the last."""
        titles = list(self.lessons)
        return titles[titles.index(title) + 1] if title in titles[:-1] else ""


def offered(data: MapData) -> bool:
    """Whether there is anything to ask about, told without opening a model."""
    return data.effects is not None or data.world is not None or stored.ablation() is not None


@lru_cache(maxsize=4)
def book_of(data: MapData) -> Book:
    """Every lesson that what was measured allows. It takes the model, which may have come with a recorded run."""
    made: list[Lesson | None] = []
    damage = (erasing_lesson, locality_lesson, one_way_lesson)
    for make in (*damage, trap_lesson, target_lesson, attack_lesson, gold_lesson):
        with suppress(AgeError, OSError):  # what is recorded is damaged
            made.append(make(data))
    return Book([lesson for lesson in made if lesson is not None])


def erasing_lesson(data: MapData) -> Lesson | None:
    """Lesson 1: the erased concept before and after, and the run that came with the model."""
    runs = data.explorer.library.shipped_runs
    training = film = None
    if runs:
        recording = recording_of(runs[0])
        top, losses = recording.events[-1].top_targets(1), [event.loss_erase for event in recording.events]
        training = Training(recording.name, losses, top[0][0] if top else "", list(recording.stages))
        film = recording.film
    return lessons.erasing(redrawn(data), training, film)


def redrawn(data: MapData) -> Redrawn | None:
    """A concept before and after it was erased, by AGE if that was recorded; None where it stayed recognisable."""
    world = data.world
    for method in (AGE, ESD) if world is not None else ():
        for name in candidates(data, method)[:TRIED]:
            erasure = world.erasure(method, name) if world is not None else None
            if world is None or erasure is None or erasure.sheet is None or name not in erasure.sheet.places:
                continue
            own = erasure.table.loc[name]
            if own["moved"] and own["before"] and not own["recognised"]:
                scene = Scene(name, method, name, only=(name,))
                drawn = tile(erasure.sheet, file_url(erasure.sheet.path), name, "something else", BIG)
                pictures = before(world, name, BIG), drawn
                return Redrawn(name, erasure.title, *pictures, str(own["label"]), float(own["share"]), scene)
    return None


def locality_lesson(data: MapData) -> Lesson | None:
    """Lesson 2: an erasure that broke enough others to guess among."""
    kinds = {concept.name: concept.general for concept in data.concepts}
    for name in candidates(data)[:TRIED]:
        harm = harm_of(data, name)
        if harm is not None and len(harm.broken) >= GUESSES:
            return lessons.locality(harm, kinds, partial(locality, data, name, 0) if data.effects is not None else None)
    return None


def one_way_lesson(data: MapData) -> Lesson | None:
    """Lesson 3: the pair in which most harm went one way only."""
    both = both_ways(data)
    streets = both[both["hurt"] & ~both["hurt_back"]]
    gap = (streets["delta"] - streets["delta_back"]).sort_values(ascending=False, kind="stable")
    for harms, hurt in streets.loc[gap.index[:TRIED], ["erased", "affected"]].itertuples(index=False):
        there, back = harm_of(data, harms), harm_of(data, hurt)
        if there and back and hurt in there.broken and harms in back.table.index and harms not in back.broken:
            once = both[both["erased"] < both["affected"]].rename(columns={"erased": "a", "affected": "b"})
            once = once.rename(columns={"delta": "there", "delta_back": "back"})
            once["one_way"] = once["hurt"] != once["hurt_back"]
            dots = once.loc[once[["there", "back"]].max(axis=1).nlargest(MOST_DOTS).index]
            draw = partial(plots.one_way_figure, dots, "The same pair, erased both ways", there.measure)
            return lessons.one_way(there, back, BothWays(len(once), int(once["one_way"].sum()), draw))
    return None


def trap_lesson(data: MapData) -> Lesson | None:
    """Lesson 4: the ablation's near and far targets, as pictures of one concept's."""
    summary = stored.ablation()
    return lessons.synonym_trap(summary, *targets_of(data)) if summary is not None else None


def target_lesson(data: MapData) -> Lesson | None:
    """Lesson 5: a concept that was recorded by both methods or, without one, the ablation."""
    world, summary = data.world, stored.ablation()
    for name in candidates(data, AGE)[:TRIED] if world is not None else ():
        esd, age = (recorded(world, method, name) if world is not None else None for method in (ESD, AGE))
        if esd and age and (esd.moved or age.moved):
            largest = esd.table["size"].add(age.table["size"]).nlargest(SHOWN)
            ranks = rankings(summary) if summary is not None else ()
            return lessons.esd_or_age(esd, age, list(largest.index), ranks, stored.protection())
    return lessons.why_targets_matter(summary) if summary is not None else None


def attack_lesson(data: MapData) -> Lesson | None:
    """Lesson 6: what brings a concept back, and a recorded erasure to judge by eye."""
    summary, names = stored.ablation(), candidates(data)
    seen = recorded(data.world, ESD, names[0]) if data.world is not None and names else None
    name, _ = targets_of(data)
    return lessons.what_can_go_wrong(summary, attacks_on(data, name), seen) if summary is not None else None


def targets_of(data: MapData) -> tuple[str, Example]:
    """A concept of the ablation, and its targets by kind: the word, and what the original draws for it if it is known.

    ("", {}) where the open set has no such concept.
    """
    for concept in ConceptSet.load("emoji-netfive"):
        if concept.targets and concept.name in data.concepts.names:
            return concept.name, {kind: (word, picture_of(data, word)) for kind, word in concept.targets.items()}
    return "", {}


def picture_of(data: MapData, word: str) -> Markup:
    """What the original draws for a concept or a synonym; Markup() where that is not recorded."""
    try:
        return before(data.world, data.concepts.find(word).name) if data.world is not None else Markup()
    except AgeError:
        return Markup()


def attacks_on(data: MapData, name: str) -> dict[str, Markup]:
    """The ways to bring a concept back, by column of the ablation: their words and pictures."""
    if not name:
        return {}
    concept = data.concepts[name]
    words = {"back_the_word_itself": name, "back_synonym": (*concept.synonyms, "")[0]}
    words["back_general_word"] = concept.general
    cards = {column: word_card(word) for column, word in words.items() if word}
    cards["back_revival"] = Markup('<span class="word">[…]</span>')
    begun = Markup('<span class="begun">{}</span>').format(picture_of(data, name))
    return {column: card for column, card in (cards | {"back_completion": begun}).items() if column in ATTACKS}


def gold_lesson(_data: MapData) -> Lesson | None:
    """Lesson 7: a model that never saw the concept."""
    reference = stored.gold_reference()
    if reference is None:
        return None
    table, sheet = reference
    url = file_url(sheet.path) if sheet is not None else ""

    def drawn(model: str, number: int, size: int) -> Markup:
        key = stored.gold_tile(model, number)
        if sheet is None or key not in sheet.places:
            return Markup()
        return tile(sheet, url, key, f"picture {number + 1}", size)

    return lessons.gold(table, drawn)
