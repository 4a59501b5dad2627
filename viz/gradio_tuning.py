"""Imports Gradio in half the time: without the type stub that it derives anew from the source of each component class.

Import it before anything else that imports Gradio. No stubs appear beside our own components either.
"""

import inspect
from typing import Any


def _no_source(*_: Any) -> str:
    raise OSError("not needed")


_getfile = inspect.getfile
inspect.getfile = _no_source  # type: ignore[assignment]  # Gradio writes no stub for a class without a source file
try:
    from gradio import component_meta
finally:
    inspect.getfile = _getfile
component_meta.create_or_modify_pyi = lambda *_: None
