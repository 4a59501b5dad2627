"""Small pieces that every tab is built of."""

import gradio as gr

from viz.components.html_parts import Markup, region, soft


def text_block(title: str, text: str, level: int = 2) -> gr.HTML:
    """A heading and a sentence of explanation."""
    title_line = Markup("<h{level}>{title}</h{level}>").format(level=level, title=title)
    return gr.HTML(region(title_line, soft(text)), apply_default_css=False)


def live_block(elem_id: str, value: str = "") -> gr.HTML:
    """A region that is filled later; the style sheet hides it while it is empty."""
    return gr.HTML(value, elem_id=elem_id, elem_classes="live", apply_default_css=False)


def note(text: str) -> Markup:
    """One sentence of explanation, as a block of its own."""
    return region(soft(text))
