"""Concept erasure in text-to-image diffusion models with adaptive targets."""

from age_core.concepts import Concept, ConceptSet
from age_core.erasure import EraseEvent, TrainingState, erase
from age_core.errors import AgeError
from age_core.evaluation import Pair, evaluate, same_seed_pairs
from age_core.options import EraseOptions
from age_core.pipeline import embed_concepts, encode_text, generate, load_pipeline
from age_core.probes import Probe, load_probe
from age_core.vocabulary import Candidates, Vocabulary
from age_core.weights import Eraser

__all__ = [
    "AgeError",
    "Candidates",
    "Concept",
    "ConceptSet",
    "EraseEvent",
    "EraseOptions",
    "Eraser",
    "Pair",
    "Probe",
    "TrainingState",
    "Vocabulary",
    "embed_concepts",
    "encode_text",
    "erase",
    "evaluate",
    "generate",
    "load_pipeline",
    "load_probe",
    "same_seed_pairs",
]
