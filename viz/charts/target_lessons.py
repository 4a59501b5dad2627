"""Lessons 4 and 5, of the target: of its ablation (see `targets`), and of one concept that was erased twice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pandas as pd

from viz.charts.harm import ARROW, Harm, line, lines
from viz.charts.lesson import Act, Lesson, Option, Scene
from viz.charts.targets import TARGETS, five, guarded_alike, guarded_rankings, plane, range_of, rankings
from viz.components.html_parts import Markup, heading, join, soft

TRAP = ("synonym", "in-class", "unrelated", "empty")  # the targets of lesson 4
GONE = 90  # percent of pictures: fewer, and the concept is hardly erased
EFFECT_OF_EIGHT = "Means over eight concepts of the bundled model; brackets hold 95 % intervals."
NOTHING = Markup('<span class="word">“”</span>')
Example = Mapping[str, tuple[str, Markup]]  # by kind of target: the word for one concept, and its picture if any


def word_card(word: str) -> Markup:
    """A word in the place of a picture."""
    return Markup('<span class="word">“{}”</span>').format(word)


def synonym_trap(summary: pd.DataFrame, name: str = "", example: Example | None = None) -> Lesson | None:
    """Lesson 4: which target hardly erases. `example`: the targets of the concept `name`, to be shown as pictures."""
    rows = summary[summary.index.isin(TARGETS)]
    kinds = [kind for kind in TRAP if kind in rows.index]
    if not {"synonym", "unrelated", "in-class"} <= set(rows.index):
        return None
    least = rows.loc[kinds, "esr1"].min()
    example = example or {}
    words = {kind: example[kind][0] for kind in kinds if kind in example}
    options = tuple(
        Option(kind, f"{TARGETS[kind]}: {words[kind]}" if words.get(kind) else TARGETS[kind], _pictured(example, kind))
        for kind in kinds
    )
    of = f" of “{name}”" if name else ""
    return Lesson(
        title="The synonym trap",
        short="Synonyms",
        question=f"Erasing teaches the model to draw another word's pictures instead{of}. With which of these words "
        "does the concept stay?",
        options=options,
        right=tuple(kind for kind in kinds if rows.loc[kind, "esr1"] == least),
        reveal=lambda _: _trap(rows, example),
        caveat=EFFECT_OF_EIGHT,
        ask=Scene(picked=name),
        tell=Scene(picked=name),
        draw=partial(plane, rows),
        act="Slide the target from near to far",
        acts=tuple(
            Act(
                TARGETS[kind],
                f"Onto {TARGETS[kind]}: gone from {rows.loc[kind, 'esr1']:.0f} % of its pictures; near neighbours "
                f"moved by {rows.loc[kind, 'distance_near']:.0f}.",
                partial(plane, rows, kind),
            )
            for kind in TARGETS
            if kind in rows.index and kind != "age-unprotected"  # which has no distance of its own
        ),
        ordered=True,
    )


def _pictured(example: Example, kind: str) -> Markup:
    """What a target looks like: its picture, else its word."""
    if kind == "empty":
        return NOTHING
    word, picture = example.get(kind, ("", Markup()))
    return picture or (word_card(word) if word else Markup())


def _trap(rows: pd.DataFrame, example: Example) -> Markup:
    """Every target from the one that erases least, with what it does to the neighbours."""
    near, far = rows.loc["synonym"], rows.loc["unrelated"]
    hardly = near["esr1"] < GONE
    dearer = "more" if far["distance_near"] > near["distance_near"] else "no more"
    said = (
        f"{'A target that is too near keeps the concept' if hardly else 'Here the trap does not close'}: onto a "
        f"synonym it is gone from {range_of(near, 'esr1')} % of pictures, onto an unrelated word from "
        f"{range_of(far, 'esr1')} %. The far target harms the neighbours {dearer}."
    )
    kinds = rows.loc[[kind for kind in TRAP if kind in rows.index]].sort_values("esr1", kind="stable").index
    told = (
        line(
            _pictured(example, str(kind)),
            TARGETS[str(kind)],
            f"near concepts moved by {range_of(rows.loc[kind], 'distance_near')}",
            f"gone {range_of(rows.loc[kind], 'esr1')} %",
        )
        for kind in kinds
    )
    return join([soft(said), lines(told)])


def esd_or_age(
    esd: Harm, age: Harm, names: list[str], ranks: tuple[Act, ...] = (), guarded: pd.DataFrame | None = None
) -> Lesson:
    """Lesson 5: the same concept erased twice; `names` are the concepts that are shown after either.

    ranks: of the targets without protection; guarded: of targets that all guard the same words, a row each.
    """
    alike = guarded_alike(guarded) if guarded is not None else ""
    ranks = (*(guarded_rankings(guarded) if guarded is not None else ()), *ranks)
    name = esd.erased
    order = (esd, age) if len(name) % 2 else (age, esd)  # which comes first must not tell which it is
    options = tuple(
        Option(harm.method, f"picture {letter}", _mosaic(harm, names)) for letter, harm in zip("AB", order, strict=True)
    )
    return Lesson(
        title="Why the target matters",
        short="Targets",
        question=f"“{name}” was erased twice: by {esd.by}, which aims at the empty prompt, and by {age.by}, which "
        f"picks a target and guards the neighbours. Here they are afterwards. Which is {age.by}?",
        options=options,
        right=(age.method,),
        reveal=lambda _: join([_both_methods(esd, age, names), soft(alike) if alike else ""]),
        caveat="One concept, one seed. The two also differ in how long they train and in whom they preserve.",
        ask=Scene(picked=name),
        tell=Scene(name, age.method, name),
        act="See either on the map, or rank five targets",
        acts=(
            *(Act(f"{one.by} on the map", _counted(one), scene=Scene(name, one.method, name)) for one in (esd, age)),
            *ranks,
        ),
    )


def _mosaic(harm: Harm, names: list[str]) -> Markup:
    """Some concepts after an erasure, small and side by side."""
    return Markup('<span class="mosaic">{}</span>').format(join(harm.after(name, 40) for name in names))


def _counted(harm: Harm) -> str:
    """What an erasure did, counted."""
    are = "is" if len(harm.lost) == 1 else "are"
    return (
        f"{harm.by} visibly changed {len(harm.moved)} of {len(harm.table)} other concepts; {len(harm.lost)} {are} no "
        "longer recognised."
    )


def _both_methods(esd: Harm, age: Harm, names: list[str]) -> Markup:
    """The same concepts before, after the one and after the other."""
    gentler = min(esd, age, key=lambda harm: (len(harm.lost), len(harm.moved)))
    verdict = "They do the same harm" if len(esd.lost) == len(age.lost) else f"{gentler.by} kept more"
    told = (
        line(
            join([esd.before(name, 44), ARROW, esd.after(name, 44), age.after(name, 44)]),
            name,
            "",
            f"{esd.number(name)} · {age.number(name)}",
        )
        for name in names[:6]
    )
    said = soft(f"{verdict}. {_counted(esd)} {_counted(age)}")
    return join([said, heading(f"Before, by ESD and by AGE; {esd.measure}"), lines(told)])


def why_targets_matter(summary: pd.DataFrame) -> Lesson | None:
    """Lesson 5 where no concept was recorded twice: the ablation of the target."""
    rows = five(summary)
    if not {"empty", "random", "age-unprotected"} <= set(rows.index):
        return None
    best = str(rows["distance_near"].idxmin())
    kinds = [kind for kind in TARGETS if kind in rows.index]
    moved = {kind: range_of(rows.loc[kind], "distance_near") for kind in (best, "age-unprotected", "empty")}
    said = (
        f"{TARGETS[best].capitalize()} ({moved[best]}; the adaptive target {moved['age-unprotected']}, the empty "
        f"prompt {moved['empty']}). Each trades erasure for damage, and the adaptive one need not win."
        f"{_completion(rows)}"
    )
    return Lesson(
        title="Why the target matters",
        short="Targets",
        question="Which target moved the neighbours of the erased concept least?",
        options=tuple(Option(kind, TARGETS[kind]) for kind in kinds),
        right=(best,),
        reveal=lambda _: soft(said),
        caveat=f"All keep nearly every neighbour recognisable; distance is the finer measure. {EFFECT_OF_EIGHT}",
        draw=partial(plane, rows),
        act="Rank them by something else",
        acts=rankings(summary),
    )


def _completion(rows: pd.DataFrame) -> str:
    """After which target a picture that the original began comes back least, as a further sentence, where known."""
    column = "back_completion"
    if column not in rows or rows[column].isna().all():
        return ""
    robust = str(rows[column].idxmin())
    return (
        f" Asked to finish a picture that the original model began, the concept comes back least after "
        f"{TARGETS[robust]}: in {rows.loc[robust, column]:.0f} % of pictures; after the empty prompt in "
        f"{rows.loc['empty', column]:.0f} %."
    )
