"""What requirements.txt brings and what else is installed here: a Space, and `make run`, have the first alone."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def named() -> list[Requirement]:
    """What requirements.txt names."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def needed() -> set[str]:
    """The distributions that pip installs for it, on this machine."""
    found: set[str] = set()
    waiting = [(requirement, "") for requirement in named()]
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # only on other systems
            continue
        if name not in found:
            found.add(name)
            waiting += [(Requirement(need), one) for need in needs for one in requirement.extras or {""}]
    return found


def not_brought() -> list[str]:
    """The modules that can be imported here and could not be where only requirements.txt was installed."""
    allowed = needed() | {"age-explorer"}
    brings = {
        module: {canonicalize_name(one) for one in by} for module, by in metadata.packages_distributions().items()
    }
    missing = [module for module, by in brings.items() if not by & allowed]
    assert {"pytest", "playwright", "mcp"} <= set(missing)
    assert {"torch", "gradio", "diffusers", "umap", "sklearn"} <= brings.keys() - set(missing)
    return missing
