"""Concept erasure in text-to-image diffusion models with adaptive targets."""

from age_core.bundles import export_bundle, import_bundle
from age_core.concepts import Concept, ConceptSet
from age_core.erasure import erase
from age_core.errors import AgeError, RunFailed
from age_core.evaluation import Pair, evaluate, same_seed_pairs
from age_core.events import EraseEvent, TrainingState
from age_core.export import export_eraser
from age_core.methods import METHODS, erase_by
from age_core.options import PRESETS, EraseOptions
from age_core.pipeline import embed_concepts, encode_text, generate, load_pipeline
from age_core.probes import Probe, load_probe
from age_core.runner import resume_run, start_run
from age_core.runs import Run, list_runs, load_eraser
from age_core.vocabulary import Candidates, Vocabulary
from age_core.weights import Eraser

__all__ = [
    "METHODS",
    "PRESETS",
    "AgeError",
    "Candidates",
    "Concept",
    "ConceptSet",
    "EraseEvent",
    "EraseOptions",
    "Eraser",
    "Pair",
    "Probe",
    "Run",
    "RunFailed",
    "TrainingState",
    "Vocabulary",
    "embed_concepts",
    "encode_text",
    "erase",
    "erase_by",
    "evaluate",
    "export_bundle",
    "export_eraser",
    "generate",
    "import_bundle",
    "list_runs",
    "load_eraser",
    "load_pipeline",
    "load_probe",
    "resume_run",
    "same_seed_pairs",
    "start_run",
]
