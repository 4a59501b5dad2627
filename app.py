"""The AGE Explorer in the browser: pick a concept on the map, erase it while you watch, compare the models, keep runs.

`python app.py` serves the page (`viz.tabs`), then opens the model (`age_core.serve`).
"""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

if __name__ == "__main__":
    gc.disable()  # until the model is open: a quarter of the imports is looking for garbage that they do not make

from age_core import AgeError
from age_core.serve import stored
from age_core.serve.registry import Choice, OpenModels
from viz import environment, gradio_tuning  # noqa: F401  # in this order, before anything that imports Gradio
from viz.components import theme
from viz.tabs import page
from viz.tabs.map_data import MapCache

RUNS = Path(os.path.expanduser(os.environ.get("AGE_RUNS") or Path(__file__).parent / "runs" / "app"))
QUEUE_LOOK_S = 0.02
HEAD_START_S = 3.0  # of a browser that opens the page at once; importing Torch would keep the server from answering it
LARGEST_UPLOAD = "200mb"


def main() -> None:
    """Serve the page, then open the model that it shows, if no visitor has asked for that yet."""
    if reason := stored.why_not_writable(RUNS):
        print(f"Runs cannot be kept in {RUNS}: {reason}. All else works; set AGE_RUNS to another folder for them.")
    models = OpenModels(RUNS, stored.shipped_runs(), others="SPACE_ID" not in os.environ)
    try:
        demo = page.build(MapCache(models)).queue(max_size=64)
        gradio_tuning.look_for_work_every(demo, QUEUE_LOOK_S)
        gradio_tuning.refuse_what_no_field_takes(demo)
        address = gradio_tuning.launch(
            demo,
            theme=theme.theme(),
            css=theme.CSS,
            head=theme.HEAD,
            ssr_mode=False,
            run_history=False,
            footer_links=[],
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=LARGEST_UPLOAD,
        )
        print(f"AGE Explorer is open at {address}", flush=True)
        time.sleep(HEAD_START_S)
        explorer = models.explorer(Choice())
        gc.freeze()  # never looked over again, which would hold every answer up for a quarter of a second
        gc.enable()
        explorer.queue.worker.begin(lambda: explorer.preserved)  # else the first "Erase it now" waits for it
    except (AgeError, OSError) as error:  # such as missing weights or a port that is taken: one sentence says it all
        raise SystemExit(f"AGE Explorer cannot run. {error}") from None
    demo.block_thread()


if __name__ == "__main__":
    main()
