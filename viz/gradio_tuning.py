"""Every grip on what Gradio does not promise to keep, each with its reason; `tests/viz/test_gradio_tuning.py` notices
when a release changes one.

Import this before anything else that imports Gradio: it does so in half the time.
"""

import atexit
import inspect
import logging
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from starlette.responses import JSONResponse

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported


def _usable(folder: Path, owned: bool) -> bool:
    """Whether files can be written to a folder, which is made if need be; `owned`: and it is nobody else's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        return not owned or not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def temporary_folder() -> Path:
    """Where Gradio keeps uploads and what it serves: its usual folder, or a new one where that is somebody else's.

    On a shared machine all have the same, and the first person's locks everybody else out. Raises SystemExit where
    nothing can be written anywhere.
    """
    named = os.environ.get("GRADIO_TEMP_DIR")
    try:
        folder = Path(named or Path(tempfile.gettempdir()) / "gradio")
        if not _usable(folder, owned=not named):
            folder = Path(tempfile.mkdtemp(prefix="gradio-"))
            os.environ["GRADIO_TEMP_DIR"] = str(folder)
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    except OSError as error:
        raise SystemExit(f"There is no folder for temporary files: {error}. Set TMPDIR to one.") from None
    return folder


@contextmanager
def without_network() -> Iterator[None]:
    """No proxy is asked and no certificate read while the block is open.

    Gradio makes clients for the web as it is imported, and asks its own address for a page as that is launched. A
    desktop's proxy that is of an unknown kind, or does not run, would end both; so would a certificate that is gone.
    Afterwards the variables are there again, for whatever is downloaded.
    """
    names = ("no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        os.environ.update(before)


def _without_stubs() -> Any:
    """Import Gradio without the type stub that it derives anew from the source of each component class.

    No stubs appear beside our own components either.
    """

    def no_source(*_: Any) -> str:
        raise OSError("not needed")

    getfile = inspect.getfile
    inspect.getfile = no_source  # type: ignore[assignment]  # Gradio writes no stub for a class without a source file
    try:
        from gradio import component_meta
    finally:
        inspect.getfile = getfile
    component_meta.create_or_modify_pyi = lambda *_: None
    import gradio

    return gradio


def _keep_ids_of_what_is_updated() -> None:
    """A component that an update made anew stays, in its session, under the number that it had.

    Gradio gives it another, and keeps it under that too as soon as an event reads it: with every pick a session held
    one more atlas and one more list of all names, and the server grew by 10 MB a minute of use.
    """
    from gradio.blocks import Block
    from gradio.state_holder import SessionState

    keep = SessionState.__setitem__

    def keep_as_itself(state: SessionState, key: int, value: Any) -> None:
        if isinstance(value, Block):
            value._id = key
        keep(state, key, value)

    SessionState.__setitem__ = keep_as_itself  # type: ignore[method-assign]


temporary_folder()
with without_network():
    gr = _without_stubs()
_keep_ids_of_what_is_updated()


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a component of our own without what cannot be sent to a browser.

    Gradio takes every quoted word of a component's script for an event, and so would put its handler here for a
    property of that name. It copies the page's configuration at each visit, with all that a handler leads to: the
    models.
    """
    return {name: value for name, value in config.items() if not callable(value)}


def show_progress_on(demo: Any, component: Any) -> None:
    """Name one small component as the place of the progress of every event; none is shown there either.

    Otherwise the browser copies, at each message of a run, every component that progress could be shown on.
    """
    for event in demo.fns.values():
        event.show_progress_on = [component]


KINDS: Mapping[str, Any] = {"string": str, "boolean": bool, "number": (int, float), "integer": (int, float)}


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value is of the type that a component says it takes (`api_info`).

    Numbers must be finite, and texts without halves of characters, which cannot be stored.
    """
    if value in schema.get("enum", ()):
        return True
    if schema.get("type") == "array":
        return isinstance(value, list) and all(fits(item, schema.get("items", {})) for item in value)
    kind = KINDS.get(str(schema.get("type")), object)
    if isinstance(value, str) and re.search("[\\ud800-\\udfff]", value):
        return False
    return isinstance(value, kind) and (not isinstance(value, float) or math.isfinite(value))


def can_be_emptied(component: Any) -> bool:
    """Whether a browser may send no value of a component: not of a choice that was made when the page was opened."""
    chosen = isinstance(component, gr.Dropdown) and (component.multiselect or not component.allow_custom_value)
    full = chosen or isinstance(component, (gr.HTML, gr.Slider, gr.Checkbox, gr.CheckboxGroup))
    return component.value is None or not full


def refuse_what_no_field_takes(demo: Any) -> None:
    """Have a value of a type, a choice or a file that its component does not take answered by one sentence.

    No browser sends any. Gradio looks at few of them, so that handlers would get what is no text; and for those it
    refuses it would write a traceback into the log, in which one of our own is not seen.
    """
    preprocess = demo.preprocess_data

    async def checked(event: Any, inputs: list[Any], *args: Any, **named: Any) -> Any:
        try:
            for component, value in zip(event.inputs, inputs, strict=False):
                empty = value is None and can_be_emptied(component)
                if not (component.stateful or empty or fits(value, component.api_info() or {})):
                    name = component.get_block_name()
                    raise TypeError(f"A value of type {type(value).__name__} is none of a {name}.")
            return await preprocess(event, inputs, *args, **named)
        except Exception as error:
            text = "The page sent a value that its field does not take: reload it, and choose again."
            raise gr.Error(text, print_exception=False) from error

    demo.preprocess_data = checked


class Unanswered:
    """Middleware around Gradio's own addresses, whose failures are told in one line.

    Of an id that nobody has, or a body that fits nothing, some of them fail with an error instead of refusing it. What
    goes wrong in a handler of the page does not come here.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        begun = False

        async def sending(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            if scope["type"] != "http":
                raise
            path = scope["path"][:100].encode("ascii", "backslashreplace").decode()
            logging.getLogger(__name__).warning("%s was not answered: %s.", repr(path), type(error).__name__)
            if begun:
                await send({"type": "http.response.body"})  # its end
            else:
                await JSONResponse({"detail": "This request fits nothing here."}, 400)(scope, receive, send)


def look_for_work_every(demo: Any, seconds: float) -> None:
    """How often the queue of a page looks for work: a thousand times a second, otherwise, beside a training."""
    demo._queue.sleep_when_free = demo._queue.progress_update_sleep_when_free = seconds


# Whenever an event begins, goes on or ends, Gradio's page copies all that a component holds, of every component that
# any event ever changed: each text by `structuredClone`, which takes far longer than to take it as it is, and each
# function by an exception. A click comes to twenty thousand texts here: lists of names are copied again and again.
TEXTS_AS_THEY_ARE_JS = """<script>{
  const clone = window.structuredClone;
  window.structuredClone = (value, options) => typeof value === 'object' ? clone(value, options) : value;
}</script>"""


def launch(demo: Any, **settings: Any) -> str:
    """Launch a page and answer its address, without Gradio's own look at the page.

    That look gives up after three seconds, which is too soon on a slow machine, and ends the program then.
    """
    settings["head"] = settings.get("head", "") + TEXTS_AS_THEY_ARE_JS
    with without_network():
        middleware = [Middleware(Unanswered)]
        _, address, _ = demo.launch(**settings, app_kwargs={"middleware": middleware}, _frontend=False)
    return str(address)
