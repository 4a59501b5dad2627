"""What travels to a machine that takes little: the art as lossless WebP, a text encoder of the words that are used."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer

from age_core.assets import ASSETS, MODELS
from age_core.concepts.concept_set import ERASED_IN, JUDGED_IN, TEMPLATES, ConceptSet
from age_core.emoji.art import STYLES, Art
from age_core.emoji.captions import KINDS, NO_NOUN, PLAIN_TEMPLATES, STYLE_TEMPLATE
from age_core.erasure.options import EraseOptions
from age_core.errors import AgeError

PACK = Path(__file__).parents[2] / "build" / "gpu-pack"
ART, TEXT = "art.safetensors", "text_encoder.safetensors"
ENCODER = MODELS["emoji"] / "text_encoder" / "model.safetensors"
WORDS = "embeddings.word_embeddings.weight"  # (word pieces, width), half of the encoder
ROWS = "word_pieces"  # which of them are kept


def pack_art(art: Art, path: Path, px: int) -> None:
    """Every picture at `px` pixels as lossless WebP, in one file."""
    parts = []
    for picture in art.pictures:
        image, written = Image.fromarray(picture.permute(1, 2, 0).numpy()), io.BytesIO()
        if image.width != px:
            image = image.resize((px, px), Image.Resampling.LANCZOS)
        image.save(written, "WEBP", lossless=True, quality=100, method=4)
        parts.append(written.getvalue())
    tensors = {
        "webp": torch.frombuffer(bytearray(b"".join(parts)), dtype=torch.uint8),
        "lengths": torch.tensor([len(part) for part in parts]),
        "concept": art.concept,
        "style": art.style,
    }
    save_file(tensors, path, metadata={"concepts": json.dumps(art.concepts)})


def read_art(path: Path) -> Art:
    """What `pack_art` wrote. Raises AgeError where there is none."""
    if not path.exists():
        raise AgeError(f"{path.name!r} is not in {path.parent.name!r}: pack the art first (benchmarks.pack_gpu --art).")
    with safe_open(path, "pt") as file:
        concepts = tuple(json.loads(file.metadata()["concepts"]))
    tensors = load_file(path)
    webp, start, pictures = tensors["webp"].numpy().tobytes(), 0, []
    for length in tensors["lengths"].tolist():
        with Image.open(io.BytesIO(webp[start : start + length])) as image:
            pictures.append(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1))
        start += length
    return Art(torch.stack(pictures), tensors["concept"], tensors["style"], concepts)


def used_texts() -> list[str]:
    """Every word that the checks, the concept sets and the captions of a training can ask for."""
    texts: list[str] = [NO_NOUN, "a a an an photo of image picture painting kind", *(style.name for style in STYLES)]
    for name in TEMPLATES:
        for concept in ConceptSet.load(name):
            texts += [concept.name, concept.group, concept.general, *concept.synonyms, *concept.labels]
            texts += concept.targets.values()
    with (ASSETS / "concepts" / "emoji.csv").open(encoding="utf-8") as file:
        texts.append(file.read().replace("|", " ").replace(",", " "))  # the words kept from the captions too
    texts += [word for words in KINDS.values() for word in words]
    templates = [*PLAIN_TEMPLATES, STYLE_TEMPLATE, *TEMPLATES.values(), *EraseOptions().templates]
    templates += [template for group in (*ERASED_IN.values(), *JUDGED_IN.values()) for template in group]
    return texts + [template.format(noun="", a_noun="", style="") for template in templates]


def used_pieces(tokenizer) -> Tensor:
    """The word pieces of `used_texts`, the special ones, and all of one letter: ascending."""
    pieces = {row for text in used_texts() for row in tokenizer(text, truncation=False).input_ids}
    pieces |= set(tokenizer.all_special_ids)
    pieces |= {row for piece, row in tokenizer.get_vocab().items() if len(piece.removeprefix("##")) == 1}
    return torch.tensor(sorted(pieces))


def pack_text(path: Path) -> int:
    """The bundled text encoder with the used word pieces alone; how many those are."""
    tensors = load_file(ENCODER)
    rows = used_pieces(AutoTokenizer.from_pretrained(MODELS["emoji"] / "tokenizer"))
    tensors |= {WORDS: tensors[WORDS][rows].clone(), ROWS: rows, "pieces": torch.tensor([len(tensors[WORDS])])}
    save_file(tensors, path, metadata={"format": "pt"})
    return len(rows)


def unpack_text(path: Path, target: Path = ENCODER) -> None:
    """Write the encoder in its full shape; a piece that was left out is not a number, so that using it shows."""
    tensors = load_file(path)
    rows, (pieces,) = tensors.pop(ROWS), tensors.pop("pieces").tolist()
    full = torch.full((pieces, tensors[WORDS].shape[1]), float("nan"), dtype=tensors[WORDS].dtype)
    full[rows] = tensors[WORDS]
    save_file(tensors | {WORDS: full}, target, metadata={"format": "pt"})
