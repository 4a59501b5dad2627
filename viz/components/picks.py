"""A component of pictures to choose among, each of them a button: a mouse, a finger and the keyboard choose alike."""

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import gradio as gr

from viz.components.html_parts import Markup, join
from viz.gradio_tuning import plain_config

Pick = tuple[str, str, Markup]  # a name, what stands below the picture, and the picture, if there is one


def pick_buttons(
    picks: Iterable[Pick], right: Collection[str] = (), chosen: Collection[str] = (), told: bool = False
) -> Markup:
    """The buttons as HTML; where the answer was `told` they mark who is right and can no longer be chosen."""

    def button(name: str, text: str, picture: Markup) -> Markup:
        kind = "" if not told else "right" if name in right else "wrong" if name in chosen else "other"
        verdict = {"right": "✓ ", "wrong": "✗ "}.get(kind, "")
        return Markup(
            '<button type="button" class="pick {}" data-name="{}" aria-pressed="false" {}>{}<span>{}{}</span></button>'
        ).format(kind, name, Markup("disabled") if told else "", picture, verdict, text)

    return join(button(*pick) for pick in picks)


def toggled(chosen: Sequence[str], name: str, most: int) -> list[str]:
    """The names that are chosen once `name` was pressed; the oldest goes where they become too many. As picks.js."""
    rest = [other for other in chosen if other != name]
    return rest if name in chosen else [*rest, name][-most:]


class Picks(gr.HTML):
    """Its value are the chosen names as JSON, `most` of them at most, and `select` fires at each press.

    `body` is what `pick_buttons` makes. `gr.update` replays this constructor, so it must stay free of side effects.
    """

    def __init__(self, value: str = "[]", body: str = "", most: int = 1, **kwargs: object) -> None:
        super().__init__(
            value=value,
            body=body,
            most=most,
            html_template="<div class='picks' role='group'></div>",
            js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **kwargs,
        )

    def get_config(self) -> dict[str, object]:  # type: ignore[override]
        return plain_config(super().get_config())

    def api_info(self) -> dict[str, str]:
        return {"type": "string"}

    @staticmethod
    def names(value: str | None) -> list[str]:
        """The chosen names of a value, which a browser sent: anything but a list of texts is none."""
        try:
            names = json.loads(value or "[]")
        except ValueError:
            return []
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
