"""Measuring the side effects that nobody has measured yet of the model that is open."""

import time
from collections.abc import Generator
from types import SimpleNamespace

import gradio as gr

from age_core import AgeError
from age_core.serve.registry import Choice
from viz.charts import panels
from viz.charts.live_view import duration
from viz.components.blocks import live_block, note
from viz.tabs.events import Updates, settle
from viz.tabs.map_data import MapCache, MapData


def lay_out(ui: SimpleNamespace, data: MapData) -> None:
    with gr.Group(visible=needs_measuring(data), elem_id="build-graph") as ui.build_offer:
        ui.build_status = live_block("build-status", note(offer(data)))
        ui.build = gr.Button("Measure the side effects", elem_id="build-button")


def needs_measuring(data: MapData) -> bool:
    """Whether the page offers to measure what erasing each concept does to others."""
    return bool(data.unmeasured) and data.world is None


def offer(data: MapData) -> str:
    """What is missing on the map, and what it takes."""
    return (
        f"What erasing does to others was not measured for {data.unmeasured} of the {len(data.concepts)} concepts. "
        "Each would be erased by UCE, a closed form without training, and the noise shift of all others measured. What "
        "is finished stays, if you leave too."
    )


def offered(data: MapData, ui: SimpleNamespace) -> Updates:
    """The offer, for another model or for one of which more is known."""
    return {
        ui.build_offer: gr.update(visible=needs_measuring(data)),
        ui.build_status: note(offer(data)),
        ui.build: gr.update(interactive=True),
    }


def measure(maps: MapCache, ui: SimpleNamespace, choice: Choice) -> Generator[Updates, None, MapData]:
    """Measure the side effects of erasing every concept; whoever closes the page loses one concept at most.

    Answers the map with them. Raises AgeError where somebody else has them measured.
    """
    if choice in maps.measuring:
        raise AgeError("These side effects are being measured for somebody else: come back in a while.")
    data = maps.of(choice)
    maps.measuring.add(choice)
    try:
        total, began, measured_before = len(data.concepts), time.monotonic(), len(data.concepts) - data.unmeasured
        yield {ui.build: gr.update(interactive=False), ui.messages: ""}
        yield {ui.build_status: panels.status("Drawing the latents to measure on …")}
        for done, job in enumerate(data.explorer.side_effects(), 1):
            each = (time.monotonic() - began) / max(done - measured_before, 1)
            remaining = duration(each * (total - done))
            text = f"{done} of {total}: {job.erased} was erased and measured; about {remaining} left."
            yield {ui.build_status: panels.status(text, done, total)}
        return maps.reread(choice)
    except Exception:
        yield offered(data, ui)
        settle()
        raise
    finally:
        maps.measuring.discard(choice)
