"""The page: a header, the atlas at the left, the tabs beside it, and what happens when somebody arrives."""

import math
import uuid
from types import SimpleNamespace

import gradio as gr

from age_core.serve import stored
from age_core.serve.registry import Choice, devices
from viz.components.chart import PLOTLY_JS
from viz.gradio_tuning import show_progress_on
from viz.tabs import api, atlas_column, compare, concept, duel, erase, learn, model, repaint, runs
from viz.tabs.events import QUIET, STREAMED, Link, Stream, Tab, Updates, answers, unchanged, where
from viz.tabs.live import follow, on_repaint
from viz.tabs.map_data import MapCache, MapData
from viz.tabs.session import Session

NOW = "uce"  # what an address calls the erasure by the closed form
TABS: tuple[Tab, ...] = (concept.TAB, erase.TAB, compare.TAB, learn.TAB, duel.TAB, runs.TAB)
# Regions that a screen reader announces when they change.
ANNOUNCED = ["selection", "messages", "live-status", "compare-status", "runs-status", "model-status", "build-status"]
# Run once the page stands. Concept, eraser, face, strength, run and tab live in the address, so that a page can be
# shared and found again: they are read off the page whenever it shows others. A person's own erasure has a key that
# nobody else knows: one by the closed form is written as such, since anybody can have it done again.
ARRIVED_JS = """() => {
  for (const id of ANNOUNCED) document.getElementById(id)?.setAttribute('aria-live', 'polite');
  const map = '#concept-map .cg';
  let wanted = ['original', 'edited'].find(face => face === new URLSearchParams(location.search).get('face'));
  for (const event of ['pointerdown', 'keydown']) addEventListener(event, () => { wanted = null; }, {once: true});
  const eraser = () => {
    const radio = document.querySelector('#by input:checked');
    if (!radio || !/^[0-9a-f]{32}$/.test(radio.value)) return radio?.value;
    return radio.closest('label').textContent.trim().startsWith('UCE') ? 'uce' : '';
  };
  const strength = () => {
    const field = document.querySelector('#strength input[type=number]');
    return field?.offsetParent && Number(field.value) !== 1 ? field.value : '';
  };
  const write = () => {
    const where = document.querySelector('#where .where'), query = new URLSearchParams(location.search);
    const tab = document.querySelector('#tabs [role=tab][aria-selected=true]')?.textContent.trim().toLowerCase();
    document.body.dataset.view = tab || '';  // Runs has the page to itself
    const face = document.querySelector(map)?.dataset.face;
    const told = document.querySelector(`${map} .shows`)?.textContent ?? '';
    if (wanted && face === 'changed' && told.startsWith(where?.dataset.concept)) {  // the pictures are there by now
      document.querySelector(`${map} button[data-face=${wanted}]`)?.click();
    }
    const shown = {concept: where?.dataset.concept, by: eraser(), face: wanted || (face === 'changed' ? '' : face),
      strength: strength(), run: where?.dataset.run, tab};
    for (const [key, value] of Object.entries(shown)) value ? query.set(key, value) : query.delete(key);
    history.replaceState(null, '', '?' + query);
  };
  let soon = 0;  // the whole page is watched, since its parts are put in anew; often, while a run is drawn
  new MutationObserver(() => { soon ||= setTimeout(() => { soon = 0; write(); }, 120); }).observe(document.body,
    {subtree: true, childList: true, attributeFilter: ['aria-selected', 'data-concept', 'data-run', 'data-face']});
}""".replace("ANNOUNCED", str(ANNOUNCED))
# In a frame of another site the address is not to be seen.
COPY_LINK_JS = """async () => {
  const button = document.getElementById('link-button'), text = button.textContent;
  try { await navigator.clipboard.writeText(location.href); button.textContent = 'Copied'; }
  catch { window.prompt('The address of what you see', location.href); }
  setTimeout(() => { button.textContent = text; }, 1500);
}"""

# The token of this browser's person. Gradio's BrowserState raises where storage is blocked, as in a frame of another
# site, and the page then never comes up; without storage the runs are remembered for as long as the page is open.
READ_OWNER_JS = "() => { try { return localStorage.getItem('age-token') ?? ''; } catch { return ''; } }"
KEEP_OWNER_JS = "owner => { try { if (owner) localStorage.setItem('age-token', owner); } catch {} }"

# Gradio gives a group's name to two elements, one in the other.
TOGGLE_MODEL_JS = (
    "() => { for (const part of document.querySelectorAll('#model-picker')) part.classList.toggle('open'); }"
)


def build(maps: MapCache) -> gr.Blocks:
    """The whole page, opening with the bundled model, which need not be open yet."""
    data = maps.of(Choice())
    tabs = [tab for tab in TABS if tab.offered(data)]
    gr.set_static_paths([PLOTLY_JS, *stored.recorded_pictures()])
    with gr.Blocks(title="AGE Explorer", analytics_enabled=False, delete_cache=(600, 3600), fill_width=True) as page:
        link = Link(page, lay_out(data, tabs), maps)
        page.load(js=ARRIVED_JS)
        model.connect(link, tabs)
        atlas_column.connect(link)
        for tab in tabs:
            tab.connect(link)
        connect(link, data)
        api.offer(maps)
    show_progress_on(page, link.ui.messages)
    return page


def lay_out(data: MapData, tabs: list[Tab]) -> SimpleNamespace:
    """Every component by its name, inside the caller's `gr.Blocks`."""
    ui = SimpleNamespace()
    ui.session, ui.choice = gr.State(None), gr.State(data.choice)
    ui.owner = gr.Textbox("", visible=False, elem_id="owner")
    lay_out_header(ui, data)
    ui.messages = gr.HTML("", elem_id="messages", elem_classes="live", apply_default_css=False)
    with gr.Row(elem_id="stage"):
        with gr.Column(scale=3, min_width=320, elem_id="atlas-column"):
            atlas_column.lay_out(ui, data)
        with gr.Column(scale=2, min_width=320, elem_id="side"), gr.Tabs(selected="concept", elem_id="tabs") as ui.tabs:
            for tab in tabs:
                with gr.Tab(tab.title, id=tab.name) as item:
                    tab.lay_out(ui, data)
                setattr(ui, f"tab_{tab.name}", item)
    return ui


def lay_out_header(ui: SimpleNamespace, data: MapData) -> None:
    """One line: the name, what everything is about, the search, the model, light or dark."""
    with gr.Row(elem_id="header", equal_height=True):
        gr.HTML('<div class="age"><h1>AGE Explorer</h1></div>', apply_default_css=False, elem_id="title")
        ui.where = gr.HTML(where(data.first), elem_id="where", elem_classes="live", apply_default_css=False)
        ui.search = gr.Dropdown(
            data.names_to_type,
            value=data.first,
            label="Find a concept",
            show_label=False,
            allow_custom_value=True,
            elem_id="concept-search",
            scale=1,
            min_width=160,
        )
        ui.chip = gr.Button(model.chip_title(data), elem_id="model-chip", size="sm", scale=0, min_width=90)
        ui.link = gr.Button("Copy link", elem_id="link-button", size="sm", scale=0, min_width=80)
        ui.theme = gr.Button("◐", elem_id="theme-button", size="sm", scale=0, min_width=40)
    model.lay_out(ui, data)


@answers()
def on_arrive(data: MapData, ui: SimpleNamespace, owner: str, query: dict[str, str]) -> Updates:
    """A page was opened: give it a token, and show the concept and the tab that the `query` of its address names."""
    owner = owner if stored.is_owner(owner) else uuid.uuid4().hex
    session = Session(owner, run_in_address=query.get("run", ""), strength_in_address=strength_in(query))
    updates: Updates = {ui.session: session, ui.owner: owner}
    if query.get("concept"):
        picked = atlas_column.on_pick(data, ui, session, query["concept"], gr.skip(), query.get("by"))
        updates |= picked
        if ui.graph in picked:
            updates |= atlas_column.on_named(data, ui, session, "", picked[ui.graph]["value"])
    if query.get("tab") in [tab.name for tab in TABS]:
        updates[ui.tabs] = gr.Tabs(selected=query["tab"])
    return updates


def strength_in(query: dict[str, str]) -> float | None:
    """How strongly an address has its concept erased by the closed form; None where it asks for no such thing."""
    if query.get("by") != NOW:
        return None
    try:
        strength = float(query.get("strength", 1))
    except ValueError:
        return 1.0
    return min(max(strength, 0.0), repaint.STRONGEST) if math.isfinite(strength) else 1.0


@answers()
def on_ready(data: MapData, ui: SimpleNamespace, session: Session) -> Stream:
    """As soon as the model is open: the person's runs, the one of its address, and one that went on or ended alone."""
    if session is None:  # nobody has arrived
        yield unchanged(ui)
        return
    updates: Updates = {}
    if data.instead:
        updates = atlas_column.map_updates(data, ui, session)
        for tab in TABS:
            updates |= tab.reset(data, ui, session.owner) if hasattr(ui, f"tab_{tab.name}") else {}
    updates |= {**runs.list_runs(data, ui, session.owner), ui.device: gr.update(choices=devices())}
    shipped = data.explorer.library.shipped_runs
    if session.run_in_address:
        updates |= runs.on_open(data, ui, session, session.run_in_address, turn=False)
    elif shipped:  # what the page opens with is no choice of the person's
        recording = runs.on_open(data, ui, session, shipped[0].path.name, turn=False)
        chosen = (ui.where, ui.erased, ui.messages, ui.runs_status)
        updates |= {region: value for region, value in recording.items() if region not in chosen}
    queued = data.explorer.to_watch(session.owner)
    if queued:
        updates[ui.tabs] = gr.Tabs(selected="erase")
    yield updates
    if queued:
        yield from follow(data, ui, session, queued)
    yield from atlas_column.draw_originals(data, ui, session.picked or data.first)
    if session.strength_in_address is not None and session.view and not queued:
        yield from concept.erase_again(data, ui, session, session.view.name, session.strength_in_address)


def connect(link: Link, data: MapData) -> None:
    """What happens when a page is opened, which shows `data` then."""
    ui, everything = link.ui, link.everything

    def arrive(owner: str, request: gr.Request) -> Updates:  # Gradio does not see a partial's request
        return on_arrive(link.maps.of(data.choice), ui, owner, dict(request.query_params) if request else {})

    def opened(choice: Choice) -> MapData:
        link.maps.models.explorer(choice)  # waits for it
        return link.maps.of(choice)

    arrived = link.page.load(arrive, ui.owner, link.parts(*everything), **QUIET, queue=False, js=READ_OWNER_JS)
    arrived.then(js=KEEP_OWNER_JS, inputs=ui.owner, **QUIET)
    ready = link.on(arrived.then, on_ready, ["session"], everything, STREAMED, opened)
    link.on(ready.then, on_repaint, ["session"], repaint.PAINTED, STREAMED)
    concept.after_pick(link, arrived, STREAMED)
    ui.link.click(js=COPY_LINK_JS, **QUIET)
    ui.theme.click(js="() => document.body.classList.toggle('dark')", **QUIET)
    ui.chip.click(js=TOGGLE_MODEL_JS, **QUIET)
