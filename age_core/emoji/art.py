"""Emoji art: render openly licensed SVG icon sets to one array of pictures.

The sets are npm packages of the Iconify project (JSON files of SVG bodies keyed by Unicode name).
Only sets whose licence allows reuse without share-alike are listed; see `assets/emoji-sd/README.md`.
"""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from age_core.concepts.csv_file import read_rows

PICTURE_PX = 128  # stored size; training reduces to 64 while augmenting
_RENDER_PX = 256  # rendered larger, then reduced, for clean edges


@dataclass(frozen=True)
class Style:
    """One design team's set. `name` is the word that captions use."""

    name: str
    package: str
    version: str
    licence: str
    attribution: str


STYLES = (
    Style("noto", "@iconify-json/noto", "1.2.9", "Apache-2.0", "Noto Emoji, Google LLC"),
    Style("blob", "@iconify-json/noto-v1", "1.2.5", "Apache-2.0", "Noto Emoji v1 (blobs), Google LLC"),
    Style("twemoji", "@iconify-json/twemoji", "1.2.5", "CC BY 4.0", "Twemoji, Twitter Inc. and contributors"),
    Style("flat", "@iconify-json/fluent-emoji-flat", "1.2.6", "MIT", "Fluent Emoji, Microsoft Corporation"),
    Style("glossy", "@iconify-json/fluent-emoji", "1.2.7", "MIT", "Fluent Emoji, Microsoft Corporation"),
    Style("emojione", "@iconify-json/emojione", "1.2.3", "CC BY 4.0", "EmojiOne 2, Ranks.com Inc."),
    Style("firefox", "@iconify-json/fxemoji", "1.2.2", "Apache-2.0", "FxEmojis, Mozilla Foundation"),
)


@dataclass(frozen=True)
class Art:
    """Pictures of concepts in styles. Row i of `pictures` shows concept `concept[i]` in style `style[i]`."""

    pictures: torch.Tensor  # (N, 3, PICTURE_PX, PICTURE_PX) uint8
    concept: torch.Tensor  # (N,) int64, index into `concepts`
    style: torch.Tensor  # (N,) int64, index into STYLES
    concepts: tuple[str, ...]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"pictures": self.pictures, "concept": self.concept, "style": self.style}
        save_file(tensors, path, metadata={"concepts": json.dumps(self.concepts)})

    @staticmethod
    def load(path: Path) -> Art:
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: run `python -m age_core.emoji art` first.")
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            concepts = tuple(json.loads(file.metadata()["concepts"]))
        return Art(**load_file(path), concepts=concepts)


def held_out(art: Art, table: list[dict[str, str]]) -> torch.Tensor:
    """Which pictures (N,) the denoiser never sees: those of a concept's `unseen_style`."""
    names = [style.name for style in STYLES]
    unseen = torch.tensor([names.index(row["unseen_style"]) if row.get("unseen_style") else -1 for row in table])
    return unseen[art.concept] == art.style


def fetch_icons(folder: Path) -> None:
    """Install the icon packages, at the versions of STYLES, into `folder`/node_modules."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    packages = [f"{style.package}@{style.version}" for style in STYLES]
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *packages], cwd=folder, check=True
    )


def read_concept_table(path: Path) -> list[dict[str, str]]:
    """Rows of the concept CSV: name, unicode (label of the art), group, general, synonyms (by '|').

    `unseen_style` and `unseen_synonym`, where a row has them, are kept from the denoiser, to see what it generalises.
    """
    return read_rows(path)


class IconSet:
    """SVG bodies of one package, looked up by Unicode name without regard to hyphens or case."""

    def __init__(self, folder: Path, style: Style):
        data = json.loads((folder / "node_modules" / style.package / "icons.json").read_text(encoding="utf-8"))
        self._icons = data["icons"]
        self._size = (data.get("width", 16), data.get("height", 16))
        aliases = {name: alias["parent"] for name, alias in data.get("aliases", {}).items() if not alias.get("hFlip")}
        self._names = {_key(name): parent for name, parent in aliases.items()}
        self._names |= {_key(name): name for name in self._icons}

    def svg(self, label: str) -> str | None:
        name = self._names.get(_key(label))
        while name is not None and name not in self._icons:  # an alias of an alias
            name = self._names.get(_key(name))
        if name is None:
            return None
        icon = self._icons[name]
        left, top = icon.get("left", 0), icon.get("top", 0)
        width, height = icon.get("width", self._size[0]), icon.get("height", self._size[1])
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
        )


def render(svg: str, size_px: int = PICTURE_PX) -> np.ndarray:
    """An SVG on white, centred with a margin of 6 %, as (size_px, size_px, 3) uint8."""
    import resvg_py  # only whoever renders needs it: trainings run where nothing but torch is

    png = resvg_py.svg_to_bytes(svg_string=svg, width=_RENDER_PX)
    icon = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    inner = round(size_px * 0.88)
    icon.thumbnail((inner, inner), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (size_px, size_px), "white")
    canvas.alpha_composite(icon, ((size_px - icon.width) // 2, (size_px - icon.height) // 2))
    return np.asarray(canvas.convert("RGB"))


def render_all(folder: Path, table: list[dict[str, str]], size_px: int = PICTURE_PX) -> Art:
    """Render every concept of `table` in every style that has it.

    Raises ValueError naming the concepts that fewer than six styles draw.
    """
    sets = [IconSet(folder, style) for style in STYLES]
    pictures, concept, style_of = [], [], []
    rare = []
    for row, entry in enumerate(table):
        drawings = [(s, svg) for s, icons in enumerate(sets) if (svg := icons.svg(entry["unicode"]))]
        if len(drawings) < 6:
            rare.append(f"{entry['name']} ({len(drawings)})")
        for s, svg in drawings:
            pictures.append(torch.from_numpy(render(svg, size_px).copy()).permute(2, 0, 1))
            concept.append(row)
            style_of.append(s)
    if rare:
        raise ValueError(f"These concepts are drawn in fewer than six styles: {', '.join(rare)}.")
    names = tuple(entry["name"] for entry in table)
    return Art(torch.stack(pictures).contiguous(), torch.tensor(concept), torch.tensor(style_of), names)


def _key(name: str) -> str:
    return "".join(ch for ch in name.lower() if ch.isalnum())
