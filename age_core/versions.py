"""The versions of the libraries that compute, as they are written beside results: others may end in other last bits."""

from __future__ import annotations

from importlib.metadata import version

LIBRARIES = ("torch", "diffusers", "transformers", "safetensors", "numpy")


def library_versions() -> dict[str, str]:
    """The version of each, such as {"torch": "2.9.1"}."""
    return {name: version(name) for name in LIBRARIES}
