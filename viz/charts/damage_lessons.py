"""Lessons 1 to 3: what erasing is, whom it hurts, and that harm can go one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import plotly.graph_objects as go

from viz.charts import plots
from viz.charts.harm import ARROW, LISTED, Harm
from viz.charts.lesson import Act, Drawing, Lesson, Option, Scene
from viz.components.html_parts import Markup, heading, join, soft
from viz.components.theme import LIGHT

LOG_TICKS = [digit * 10.0**power for power in range(-6, 3) for digit in (1, 2, 5)]
GUESSES = 3  # of who breaks
OFFERED = 4  # pictures of each kind to guess among: who breaks, the erased one's kin, others
SURE = 0.5  # of the probe's first guess
EMPTY = Markup('<span class="tile big" role="img" aria-label="an empty picture"></span>')
NOISE = Markup('<span class="tile big noise" role="img" aria-label="noise"></span>')


@dataclass(frozen=True)
class Redrawn:
    """The erased concept itself, before and after: its pictures, and the probe's first guess with its share."""

    name: str
    by: str
    before: Markup
    after: Markup
    label: str
    share: float
    scene: Scene


@dataclass(frozen=True)
class Training:
    """A recorded run: the loss of redirecting the word at every step, where the word went, and steps with pictures."""

    name: str
    losses: Sequence[float]
    heaviest: str
    stages: Sequence[int] = ()


def erasing(redrawn: Redrawn | None, training: Training | None, film: Callable[[], str] | None = None) -> Lesson | None:
    """Lesson 1, of a recorded erasure in pictures or, without one, of a recorded run, which can be scrubbed through.

    film: the run's stages as HTML.
    """
    if redrawn is None and training is None:
        return None
    name = redrawn.name if redrawn else training.name if training else ""
    by = f" by {redrawn.by}" if redrawn else ""
    other = f"another thing, such as a {training.heaviest}" if training and not redrawn else "something else"
    options = (
        Option("empty", "an empty picture", EMPTY if redrawn else Markup()),
        Option("other", other, redrawn.after if redrawn else Markup()),
        Option("noise", "noise", NOISE if redrawn else Markup()),
        Option("same", f"the {name} as before", redrawn.before if redrawn else Markup()),
    )
    return Lesson(
        title="What is erasing?",
        short="Erasing",
        question=f"A model was taught to forget “{name}”{by}. What does it draw now, asked for “{name}” with the same "
        "seed?",
        options=options,
        right=("other",),
        reveal=lambda _: _redirected(redrawn, training),
        caveat="The knowledge may still be in the model: see the sixth lesson.",
        ask=Scene(picked=name),
        tell=redrawn.scene if redrawn else Scene(picked=name),
        draw=partial(_loss_figure, training) if training else None,
        film=film,
        act="Scrub through the training",
        acts=_stages(training) if training else (),
        ordered=True,
    )


def _redirected(redrawn: Redrawn | None, training: Training | None) -> Markup:
    """What became of the word."""
    parts: list[Markup] = []
    if redrawn:
        sure = "sees" if redrawn.share >= SURE else "is sure of nothing; its first guess is"
        sides = Markup('<p class="sides">{}{}{}</p>').format(redrawn.before, ARROW, redrawn.after)
        parts += [
            sides,
            soft(
                f"The word is redirected, not deleted. The probe {sure} “{redrawn.label}” "
                f"({100 * redrawn.share:.0f} %)."
            ),
        ]
    if training:
        goal = f"what it draws for “{training.heaviest}”" if training.heaviest else "what it draws for no words at all"
        parts.append(
            soft(
                f"In a recorded run by AGE the model learnt over {len(training.losses)} steps to draw for "
                f"“{training.name}” {goal}: below, one seed at each stage."
            )
        )
    return join(parts)


def _stages(training: Training) -> tuple[Act, ...]:
    """The steps of a run that has pictures of them."""
    count = len(training.losses)
    return tuple(
        Act(
            f"step {step}",
            f"Step {step} of {count}: the loss is {training.losses[step - 1]:.3f}.",
            partial(_loss_figure, training, step),
        )
        for step in training.stages
        if 0 < step <= count
    )


def _loss_figure(training: Training, step: int = 0) -> go.Figure:
    """The loss at every step, with a dot at `step`, if it is not 0."""
    losses = training.losses
    steps = list(range(1, len(losses) + 1))
    figure = go.Figure(go.Scatter(x=steps, y=list(losses), mode="lines", line={"color": LIGHT["damage"]}))
    if step:
        figure.add_scatter(x=[step], y=[losses[step - 1]], mode="markers", marker={"size": 12, "color": LIGHT["gain"]})
    title = f"How far “{training.name}” is from drawing “{training.heaviest}”"
    plots.styled(figure, title, "step", "loss of erasing", 260)
    figure.update_layout(showlegend=False)
    return figure.update_yaxes(type="log", tickvals=LOG_TICKS, ticktext=[f"{tick:g}" for tick in LOG_TICKS])


def locality(harm: Harm, kinds: Mapping[str, str], curve: Drawing | None = None) -> Lesson | None:
    """Lesson 2: whom an erasure hurts. `kinds`: what each concept is a kind of; curve: damage by nearness in words."""
    broken, kind = harm.broken, kinds[harm.erased]
    if len(broken) < GUESSES:
        return None
    names = list(harm.table.index)
    safe = [name for name in names if name not in broken]
    kin, others = ([name for name in safe if (kinds[name] == kind) == same] for same in (True, False))
    choices = sorted([*broken[:OFFERED], *_spread(kin), *_spread(others)])
    shared = [name for name in broken if harm.erased in name.split()]
    sharing = f": “{shared[0]}” shares but the word" if shared else ""
    will = "stop being recognisable" if harm.method else "be hurt most"
    return Lesson(
        title="Damage stays local",
        short="Neighbours",
        question=f"“{harm.erased}” will be erased by {harm.by}. Click the {GUESSES} pictures that you think will "
        f"{will}: on the map, or here.",
        options=tuple(Option(name, name, harm.before(name, 60)) for name in choices),
        right=tuple(broken),
        reveal=lambda guesses: _who_broke(harm, kinds, guesses),
        caveat=f"Near in words is not always near in looks{sharing}. Whether a picture is recognised is one verdict on "
        "one picture; of several there is an interval.",
        count=GUESSES,
        on_atlas=names,
        picture_of=lambda name: harm.before(name, 60),
        ask=Scene(picked=harm.erased),
        tell=Scene(harm.erased, harm.method, harm.erased, arrows=None if harm.method else harm.arrows(broken[:LISTED])),
        draw=curve,
    )


def _spread(names: Sequence[str]) -> list[str]:
    """A few of many, from the first to the last."""
    return list(names[:: max(len(names) // OFFERED, 1)][:OFFERED])


def _who_broke(harm: Harm, kinds: Mapping[str, str], guesses: Sequence[str]) -> Markup:
    """How many broke, how many of them are of the erased one's kind, and the worst of them in order."""
    broken, kind = harm.broken, kinds[harm.erased]
    share, of_all = (sum(kinds[n] == kind for n in names) / len(names) for names in (broken, harm.table.index))
    exceptions = [name for name in broken if kinds[name] != kind]
    what = "are no longer recognised" if harm.method else "are hurt beyond the noise floor"
    local = "Damage is local" if share > of_all else "Here damage is not local"
    but = f" Exceptions: {', '.join(exceptions[:LISTED])}{' …' if len(exceptions) > LISTED else ''}."
    also = f" ({len(harm.moved)} visibly changed)" if harm.method else ""
    told = soft(
        f"{len(broken)} of {len(harm.table)} others {what}{also}. {local}: {100 * share:.0f} % of those are of its "
        f"kind, {kind}; of all others {100 * of_all:.0f} %.{but if exceptions else ''}"
    )
    worst = list(broken[:LISTED])
    missing = [name for name in guesses if name in harm.table.index and name not in worst]
    more = [heading("Your other guesses"), harm.rows(missing, guesses)] if missing else []
    return join([told, heading(f"Hit hardest, by {harm.measure}"), harm.rows(worst, guesses), *more])


@dataclass(frozen=True)
class BothWays:
    """How many pairs were erased both ways, in how many only one way did harm, and all of them as a figure, if any."""

    pairs: int
    one_way: int
    draw: Drawing | None = None


def one_way(there: Harm, back: Harm, both: BothWays) -> Lesson:
    """Lesson 3: erasing `there.erased` hurts `back.erased`, and the other way round does not."""
    harms, hurt = there.erased, back.erased
    broken = "is no longer recognised" if there.method else "is hurt"
    arrows = pd.concat([there.arrows([hurt]), back.arrows([harms])], ignore_index=True)
    first, second = sorted([(harms, there.before), (hurt, back.before)], key=lambda pair: pair[0])
    return Lesson(
        title="One-way streets",
        short="One way",
        question=f"Each of these two was erased by {there.by} in a run of its own. One of them {broken} when the other "
        "is erased; the other way round does no such harm. Click the one that breaks.",
        options=tuple(Option(name, name, draw(name, 96)) for name, draw in (first, second)),
        right=(hurt,),
        reveal=lambda _: _two_ways(there, back, both),
        caveat="Two words are equally alike in both directions; harm need not be equal. Each direction is an "
        "experiment of its own.",
        on_atlas=(harms, hurt),
        ask=Scene(lit=(harms, hurt)),
        tell=Scene(harms, there.method, there.erased, arrows=arrows),
        draw=both.draw,
        act="Turn the arrow round",
        acts=tuple(
            Act(
                f"{harm.erased} erased",
                f"Erasing {harm.erased} moves {other} by {harm.number(other)}.",
                scene=Scene(harm.erased, harm.method, harm.erased, arrows=harm.arrows([other])),
            )
            for harm, other in ((there, hurt), (back, harms))
        ),
    )


def _two_ways(there: Harm, back: Harm, both: BothWays) -> Markup:
    """The two experiments, one below the other, and how common that is."""
    lines = [
        join([heading(f"{harm.erased} erased: {harm.measure}"), harm.rows([other])])
        for harm, other in ((there, back.erased), (back, there.erased))
    ]
    return join([*lines, soft(f"Of {both.pairs} pairs erased both ways, in {both.one_way} only one way did harm.")])
