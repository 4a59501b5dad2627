"""Concept erasure in text-to-image diffusion models with adaptive targets.

The names are those of `__init__.pyi`. Each is imported when it is first asked for: Torch, Diffusers and Transformers
take seconds, and whoever reads a table or a set of concepts needs none of them.
"""

import lazy_loader

from age_core.environment import prepare

prepare()  # before anything imports Torch
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
