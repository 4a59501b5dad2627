"""What a closed-form erasure is given: its options, the rows of token states that mean a word, and what to preserve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from age_core.concepts.captions import article_of, prompts_of
from age_core.concepts.concept_set import fill
from age_core.erasure.closed_form.algebra import uce_factor
from age_core.errors import AgeError
from age_core.models.eraser import Eraser
from age_core.models.families import device_of, editable, encode_text, family_of, token_states
from age_core.models.parameters import sees_text

Tokens = Literal["last", "onward", "all"]
TOKENS: tuple[Tokens, ...] = ("last", "onward", "all")
Technique = Literal["replace", "tensor"]
TECHNIQUES: tuple[Technique, ...] = ("replace", "tensor")
# The empty prompt has no subject; in its place stands the end token. (The published UCE takes the first row, 0, whose
# state in a bidirectional encoder means something: in the emoji world SPEED then erases dogs to 50 % instead of 100 %.)
EMPTY_ROW = 1
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class ClosedFormOptions:
    """Strengths of all closed forms: the papers' or their code's, but for OCE's unit, AdaVD's sigmoid and DP's rank.

    The bare word is enough as a template: in the emoji world UCE then erases "an emoji of a cat" in 16 of 16 pictures,
    as it does with "an emoji of {a_noun}" added, which harms others more where nothing is preserved (83 % of pictures
    right instead of 96 %, with the empty prompt as target). OCE's published a = 1 is in units of Stable Diffusion's
    weights and does nothing here; hence a is taken relative to what it has to outweigh.
    """

    templates: tuple[str, ...] = ("{noun}",)
    tokens: Tokens = "onward"  # UCE and RECE; the others take the last subject token, as published
    technique: Technique = "replace"  # UCE, RECE: v* = W c*, or "tensor": without its share along W c
    lam: float = 0.5  # lambda of UCE and RECE: holds the weights
    erase: float = 1.0  # a of UCE and RECE
    preserve: float | None = None  # p of UCE and RECE; None: max(0.1, 1 / number of preserved prompts)
    rounds: int = 3  # RECE: revivals erased after UCE
    rho: float = 0.1  # RECE: holds a revival small
    null_threshold: float = 0.1  # SPEED: eigenvalues of the preserved states' second moment that count as unused
    filter_preserved: bool = True  # SPEED: preserve only what an unconstrained edit would move more than the mean
    oce_erase: float = 2.0  # a
    oce_relative: bool = True  # a in units of what preservation holds; False: as published, where a = 1
    oce_keep: float = 0.3  # b
    oce_world: float = 0.5  # g
    oce_lam: float = 1.5  # l
    sharpness: float = 20.0  # AdaVD, as are the next two
    threshold: float = 0.7
    strength: float = 2.0
    dp_rank: int = 100  # Double Projections: directions of what is preserved that stay as they are
    dp_safe: int = 0  # and preserved words that span the safe space besides the target
    cure_alpha: float = 2.0  # CURE's alpha, published for objects and artists
    steer_pairs: int = 8  # CASteer: pairs of pictures, as is the next
    steer_strength: float = 2.0  # beta
    dve_strength: float = 2.0  # DVE: times the share that is taken out of a prediction

    def check(self) -> None:
        """Raise AgeError on values that cannot work."""
        if self.tokens not in TOKENS:
            raise AgeError(f"Unknown token rows {self.tokens!r}; choose one of {', '.join(TOKENS)}.")
        if self.technique not in TECHNIQUES:
            raise AgeError(f"Unknown technique {self.technique!r}; choose one of {', '.join(TECHNIQUES)}.")
        if not self.templates or any("noun}" not in template for template in self.templates):
            raise AgeError("Each template must hold {noun} or {a_noun}, and at least one is needed.")
        for field, least in (("rounds", 0), ("dp_rank", 1), ("dp_safe", 0), ("steer_pairs", 1)):
            if getattr(self, field) < least:
                raise AgeError(f"The option {field!r} must be at least {least}, not {getattr(self, field)}.")
        positive = ("lam", "erase", "rho", "null_threshold", "sharpness", "strength", "oce_lam", "cure_alpha")
        for field in (*positive, "steer_strength", "dve_strength"):
            if not getattr(self, field) > 0:
                raise AgeError(f"The option {field!r} must be above 0, not {getattr(self, field)}.")
        for field in ("preserve", "oce_erase", "oce_keep", "oce_world"):
            value = getattr(self, field)
            if value is not None and not value >= 0:
                raise AgeError(f"The option {field!r} must not be negative, not {value}.")


@dataclass(frozen=True)
class Prompts:
    """What cross-attention sees of some prompts, and where each one's subject ends."""

    states: Tensor  # (B, L, D) float64
    last: tuple[int, ...]  # row of the last subject token; of the empty prompt EMPTY_ROW

    def only_last(self) -> Tensor:
        """The last subject token's state of each prompt; (B, D)."""
        return self.states[range(len(self.last)), self.last]


def algebra_device(pipe: DiffusionPipeline) -> torch.device:
    """Where edits are solved for: on CUDA, if the text encoders are there too and not left in main memory for room.

    Elsewhere on the CPU: mps has no float64.
    """
    parts = family_of(pipe).text_parts(pipe)
    places = {device_of(pipe), *(encoder.device for _, encoder in parts)}
    return places.pop() if len(places) == 1 and device_of(pipe).type == "cuda" else CPU


def read_prompts(
    pipe: DiffusionPipeline, words: Sequence[str], templates: Sequence[str], device: torch.device = CPU
) -> Prompts:
    """Every word in every template, word by word; the empty word is the empty prompt, without any template."""
    prompts = prompts_of(pipe, words, templates)
    unique = list(dict.fromkeys(prompts))
    states = token_states(pipe, encode_text(pipe, unique)).to(device).double()
    last = tuple(_last_subject_token(pipe, word, template) for word in words for template in templates)
    return Prompts(states[[unique.index(prompt) for prompt in prompts]], last)


def _last_subject_token(pipe: DiffusionPipeline, word: str, template: str) -> int:
    """Row of the word's last token: a prompt cut off after the word ends with it and one end token."""
    if not word:
        return EMPTY_ROW
    head = template[: template.index("noun}") + len("noun}")]
    length = len(pipe.tokenizer(fill(head, word, article_of(pipe))).input_ids)
    return min(length, pipe.tokenizer.model_max_length) - 2


def _pairs(i: int, j: int, length: int, tokens: Tokens) -> tuple[list[int], list[int]]:
    """Rows of a concept's prompt, and the rows of the target's prompt that they become; i, j: last subject tokens."""
    count = 1 if tokens == "last" else length - i
    before = list(range(i)) if tokens == "all" else []
    rows = [*before, *range(i, i + count)]
    # a target may end its subject before or after the concept does: rows beyond its own repeat the nearest one
    return rows, [min(row, j) for row in before] + [min(j + step, length - 1) for step in range(count)]


def concept_rows(concepts: Prompts, tokens: Tokens) -> Tensor:
    """C (n, D): the rows that mean the concepts. They do not depend on the target.

    "last": the last subject token alone. "onward": from there to the end, end and padding tokens included (as the
    published UCE). "all": the rows before it too, which a bidirectional text encoder fills with the concept as well.
    """
    length = concepts.states.shape[1]
    return torch.cat([s[_pairs(i, i, length, tokens)[0]] for s, i in zip(concepts.states, concepts.last, strict=True)])


def target_rows(concepts: Prompts, targets: Prompts, tokens: Tokens) -> Tensor:
    """C* (n, D): for each of `concept_rows`, the target's row at the same distance from its last subject token."""
    length = concepts.states.shape[1]
    pairs = zip(targets.states, concepts.last, targets.last, strict=True)
    return torch.cat([s[_pairs(i, j, length, tokens)[1]] for s, i, j in pairs])


def preserving_weight(options: ClosedFormOptions, length: int, rows: int) -> float:
    """p of UCE and RECE for so many rows of preserved prompts, each of `length`, the empty one among them."""
    return max(0.1, length / rows) if options.preserve is None else options.preserve


@dataclass(frozen=True)
class ErasureProblem:
    """All that an edit needs besides its targets, read once: encodings, original weights, UCE's factorisation."""

    pipe: DiffusionPipeline
    options: ClosedFormOptions
    concepts: tuple[str, ...]
    preserve: tuple[str, ...]
    weights: Mapping[str, Tensor]  # attn2.to_k and attn2.to_v by parameter name; (out, D) float64
    words: Prompts  # of the concepts, in every template
    empty: Tensor  # (L, D) the empty prompt
    kept: Tensor  # (m, D) last subject token of every preserved prompt
    R: Tensor  # every row of every preserved prompt and of the empty one
    p: float  # UCE's weight of R
    C: Tensor  # (n, D) rows that mean the concepts
    factor: Tensor  # (n, D) UCE's
    device: torch.device = CPU  # of every tensor

    @staticmethod
    def of(
        pipe: DiffusionPipeline,
        concepts: Sequence[str],
        preserve: Sequence[str] = (),
        options: ClosedFormOptions | None = None,
        device: torch.device = CPU,
    ) -> ErasureProblem:
        """Read the concepts and what to preserve, onto `device`. Raises AgeError on bad input before any work."""
        options = options or ClosedFormOptions()
        options.check()
        concepts, preserve = tuple(concepts), tuple(dict.fromkeys(word for word in preserve if word.strip()))
        if not concepts or any(not concept.strip() for concept in concepts):
            raise AgeError("The concept to erase is empty: name one.")
        both = [word for word in preserve if word in concepts]
        if both:
            raise AgeError(f"{both[0]!r} cannot be erased and preserved at once: leave it out of one of them.")
        weights = {
            name: weight.detach().to(device).double()
            for name, weight in editable(pipe).denoiser(pipe).named_parameters()
            if sees_text(name)
        }
        if not weights:
            raise AgeError("This model has no cross-attention keys and values to edit.")
        words = read_prompts(pipe, concepts, options.templates, device)
        empty = read_prompts(pipe, [""], ("{noun}",), device).states[0]
        kept, R = empty[:0], empty
        if preserve:
            prompts = read_prompts(pipe, preserve, options.templates, device)
            kept, R = prompts.only_last(), torch.cat([empty, prompts.states.flatten(0, 1)])
        p = preserving_weight(options, len(empty), len(R))
        C = concept_rows(words, options.tokens)
        factor = uce_factor(C, R, options.lam, options.erase, p)
        return ErasureProblem(pipe, options, concepts, preserve, weights, words, empty, kept, R, p, C, factor, device)

    def read_targets(self, targets: Mapping[str, str]) -> Prompts:
        """The target words' prompts, in the order of the concepts' own. Raises AgeError where a concept lacks one."""
        missing = [concept for concept in self.concepts if concept not in targets]
        if missing:
            raise AgeError(f"The concept {missing[0]!r} has no target word; give '' for the empty prompt.")
        words = [targets[concept].strip() for concept in self.concepts]
        return read_prompts(self.pipe, words, self.options.templates, self.device)

    def values(self) -> dict[str, Tensor]:
        """The value projections among the weights."""
        return {name: weight for name, weight in self.weights.items() if ".to_v." in name}

    def eraser(
        self,
        method: str,
        targets: Mapping[str, str | None],
        delta: Mapping[str, Tensor],
        *,
        directions: Mapping[str, Tensor] | None = None,
        prompts: Mapping[str, Tensor] | None = None,
        **facts: Any,
    ) -> Eraser:
        """What a method made of this problem, and where it came from."""
        concepts = list(self.concepts)
        info = {
            "method": method,
            "concept": concepts[0],
            "concepts": concepts,
            "target": targets[concepts[0]],
            "targets": {concept: targets[concept] for concept in concepts},
            "preserve": list(self.preserve),
            "options": asdict(self.options) | {"templates": list(self.options.templates)},
            **facts,
        }
        changes = {n: change.float().cpu() for n, change in delta.items()}
        return Eraser(changes, info, directions=directions or {}, prompts=prompts or {})
