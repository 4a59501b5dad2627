"""Colours and style of the app, in one place so that the map, the bars and the pictures agree in light and dark."""

from collections.abc import Mapping
from pathlib import Path

import gradio as gr

# Hues alone stop being told apart beyond about six groups, so a group is a hue and a shape: 4 x 5 = 20.
GROUP_COLOURS = {
    "light": ("#184998", "#738F6D", "#79371E", "#382B4D"),
    "dark": ("#577AB5", "#EDD963", "#BD5833", "#39F3FC"),
}
GROUP_SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down")

# Each colour by name: the style sheet calls them --damage, --gain and so on. Figures, which cannot read it, use LIGHT.
LIGHT = {
    "damage": "#C2410C",
    "gain": "#0072B2",
    "ink": "#1f2937",
    "soft": "#5b6472",
    "line": "#d5dae1",
    "panel": "#ffffff",
    "lit": "#009E73",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
}
DARK = {
    "damage": "#FF9E4A",
    "gain": "#6CB6FF",
    "ink": "#eef1f5",
    "soft": "#b3bbc7",
    "line": "#3b4453",
    "panel": "#18202c",
    "lit": "#2DD4A7",
    "pink": "#F0A6CD",
    "sky": "#9ADBFF",
}
DARK_OF = {LIGHT[name]: DARK[name] for name in LIGHT}
HALO = {"light": "#ffffff", "dark": "#0b0f19"}  # the page's own ground, around the labels of the map
INK, SOFT = LIGHT["ink"], LIGHT["soft"]
# Lines of a figure: told apart by colour-blind eyes in this order (Okabe and Ito 2008, without their yellow).
SERIES_NAMES = ("gain", "damage", "lit", "pink", "sky", "soft")
SERIES = [LIGHT[name] for name in SERIES_NAMES]

# The rules, the page's first: what only one part needs lies in its folder.
VIZ = Path(__file__).parents[1]
SHEETS = (Path(__file__).with_name("style.css"), VIZ / "atlas" / "atlas.css", VIZ / "charts" / "lessons.css")


def _variables(selector: str, colours: Mapping[str, str], halo: str) -> str:
    """A rule of the style sheet that names the colours; --s0, --s1 and so on are those of SERIES."""
    series = {f"s{row}": colours[name] for row, name in enumerate(SERIES_NAMES)}
    named = {**colours, **series, "pick": colours["damage"], "halo": halo}
    return f"{selector} {{ {' '.join(f'--{name}: {colour};' for name, colour in named.items())} }}"


CSS = "\n".join(
    (
        _variables(":root", LIGHT, HALO["light"]),
        _variables(".dark", DARK, HALO["dark"]),
        *(path.read_text(encoding="utf-8") for path in SHEETS),
    )
)


HEAD = "<style>" + Path(__file__).with_name("frame.css").read_text(encoding="utf-8") + "</style>"
ACCENT = "#2563EB"  # of actions: 5.2 to 1 under white text, and 4.9 as text on the page


def theme() -> gr.themes.Base:
    """Only system fonts: a web font would be the page's one request to another host."""
    soft = gr.themes.Soft(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    return soft.set(
        button_primary_background_fill=ACCENT,
        button_primary_background_fill_hover=ACCENT,
        checkbox_label_background_fill_selected=ACCENT,
        checkbox_background_color_selected=ACCENT,
        color_accent=ACCENT,
        slider_color=ACCENT,
    )
