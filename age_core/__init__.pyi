from .bundles import export_bundle, import_bundle
from .by_name import erase_by
from .concepts import Concept, ConceptSet
from .erasure import erase
from .errors import AgeError, RunFailed
from .evaluation import Pair, evaluate, same_seed_pairs
from .events import EraseEvent, TrainingState
from .export import export_eraser
from .methods import METHODS
from .options import PRESETS, EraseOptions
from .pipeline import embed_concepts, encode_text, generate, load_pipeline
from .probes import Probe, load_probe
from .runner import resume_run, start_run
from .runs import Run, list_runs, load_eraser
from .vocabulary import Candidates, Vocabulary
from .weights import Eraser

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
