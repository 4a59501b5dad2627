"""The page: a header that stays, and five tabs. What the components do is wired in `app.py`."""

import html
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr

from viz.tabs import compare as page_compare
from viz.tabs import erase as page_erase
from viz.tabs import learn as page_learn
from viz.tabs import map as page_map
from viz.tabs import model as page_model
from viz.tabs import runs as page_runs

TABS = ("map", "erase", "compare", "learn", "runs")
# Regions that a screen reader announces when they change.
ANNOUNCED = ["selection", "messages", "live-status", "compare-status", "runs-status", "model-status", "build-status"]
# Run once the page stands. Concept, run and tab live in the address, so that a page can be shared and found again: they
# are read off the page whenever it shows others.
ARRIVED_JS = """() => {
  for (const id of ANNOUNCED) document.getElementById(id)?.setAttribute('aria-live', 'polite');
  const write = () => {
    const where = document.querySelector('#where .where'), query = new URLSearchParams(location.search);
    const tab = document.querySelector('#tabs [role=tab][aria-selected=true]')?.textContent.trim().toLowerCase();
    for (const [key, value] of Object.entries({concept: where?.dataset.concept, run: where?.dataset.run, tab}))
      value ? query.set(key, value) : query.delete(key);
    history.replaceState(null, '', '?' + query);
  };
  let soon = 0;  // the whole page is watched, since its parts are put in anew; often, while a run is drawn
  new MutationObserver(() => { soon ||= setTimeout(() => { soon = 0; write(); }, 120); }).observe(document.body,
    {subtree: true, childList: true, attributeFilter: ['aria-selected', 'data-concept', 'data-run']});
}""".replace("ANNOUNCED", str(ANNOUNCED))


def lay_out(
    start: Mapping[str, Any], catalogue: Mapping[str, Any], book: Callable[[], page_learn.Book]
) -> SimpleNamespace:
    """Every component, inside the caller's `gr.Blocks`.

    `start`: the first view (see `page_map.lay_out`). `catalogue`: what may be chosen: names, groups, sources, methods
    (key to label), about (of the first method), layouts, lessons (whether there are any), choice (what is open, for the
    handlers), and what `page_model.lay_out` needs. `book`: the lessons, which may take a while to make.
    """
    ui = SimpleNamespace()
    ui.session, ui.choice = gr.State(None), gr.State(catalogue["choice"])
    ui.owner = gr.BrowserState("", storage_key="age-owner", secret="age-explorer")
    gr.HTML(
        '<div class="age"><h1>AGE Explorer</h1><p class="soft">Erase a concept from a text-to-image model and see what '
        "else breaks. Damage is local, so it matters what the erased word is mapped to.</p></div>",
        apply_default_css=False,
        elem_id="header",
    )
    ui.messages = gr.HTML("", elem_id="messages", elem_classes="live", apply_default_css=False)
    ui.where = gr.HTML(where(start["name"]), elem_id="where", elem_classes="live", apply_default_css=False)
    page_model.lay_out(ui, catalogue)
    with gr.Tabs(selected="map", elem_id="tabs") as ui.tabs:
        with gr.Tab("Map", id="map"):
            page_map.lay_out(ui, start, catalogue)
        with gr.Tab("Erase", id="erase") as ui.tab_erase:
            page_erase.lay_out(ui, start["name"], catalogue)
        with gr.Tab("Compare", id="compare"):
            page_compare.lay_out(ui)
        if catalogue["lessons"]:
            with gr.Tab("Learn", id="learn"):
                page_learn.lay_out(ui, book)
        with gr.Tab("Runs", id="runs") as ui.tab_runs:
            page_runs.lay_out(ui)
    return ui


def where(concept: str, run: str = "") -> str:
    """The line below the header that says what everything on the page is about."""
    of_run = f" · Run <b>{html.escape(run)}</b>" if run else ""
    data = f'data-concept="{html.escape(concept)}" data-run="{html.escape(run)}"'
    return f'<div class="age where" {data}><span>Concept <b>{html.escape(concept)}</b>{of_run}</span></div>'


def parts(ui: SimpleNamespace, *names: str) -> list[Any]:
    """Several components by name, as the outputs of an event."""
    return [getattr(ui, name) for name in names]
