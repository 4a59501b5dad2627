from .concepts.candidates import Candidates, Vocabulary
from .concepts.concept_set import Concept, ConceptSet
from .erasure.by_method import erase_by
from .erasure.events import EraseEvent, TrainingState
from .erasure.loop import erase
from .erasure.methods import METHODS
from .erasure.options import PRESETS, EraseOptions
from .errors import AgeError, RunFailed
from .measure.evaluation import evaluate
from .measure.pairs import Pair, compare_pairs, same_seed_pairs
from .measure.strength import scaled_until
from .models.eraser import Eraser
from .models.families import embed_concepts, encode_text
from .models.pipelines import load_pipeline
from .models.probes import Probe, load_probe
from .models.sampling import generate
from .runs.bundle import export_bundle, import_bundle
from .runs.export import export_eraser
from .runs.record import resume_run, start_run
from .runs.run import Run, list_runs, load_eraser

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
    "compare_pairs",
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
    "scaled_until",
    "start_run",
]
