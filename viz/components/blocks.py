"""Small pieces that every tab is built of."""

import html

import gradio as gr


def text_block(title: str, text: str, level: int = 2) -> gr.HTML:
    """A heading and a sentence of explanation."""
    return gr.HTML(
        f'<div class="age"><h{level}>{html.escape(title)}</h{level}><p class="soft">{html.escape(text)}</p></div>',
        apply_default_css=False,
    )


def live_block(elem_id: str, value: str = "") -> gr.HTML:
    """A region that is filled later; the style sheet hides it while it is empty."""
    return gr.HTML(value, elem_id=elem_id, elem_classes="live", apply_default_css=False)


def note(text: str) -> str:
    return f'<div class="age"><p class="soft">{html.escape(text)}</p></div>'
