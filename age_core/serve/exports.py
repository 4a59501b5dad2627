"""A run as one file to take elsewhere, whichever kind was asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

from age_core.errors import AgeError
from age_core.runs.bundle import export_bundle
from age_core.runs.export import FOLDERS, KINDS, SAFETENSORS, export_eraser, loss
from age_core.runs.run import Run
from age_core.serve.explorer import Explorer

BUNDLE = "bundle"


def export_file(explorer: Explorer, run: Run, kind: str, folder: Path) -> tuple[Path, str]:
    """Write a run into a new folder as "bundle" or one of `export.KINDS`; answers the file and what is lost in it, if
    anything is.

    What is a folder is packed as a zip file. Raises AgeError where the run edited another model, or has no such file.
    """
    if kind not in (BUNDLE, *KINDS):
        raise AgeError(f"Unknown kind of file {kind!r}; choose one of {', '.join((BUNDLE, *KINDS))}.")
    name = run.path.name
    folder.mkdir(parents=True)
    if kind == BUNDLE:
        return export_bundle(run, folder / f"{name}.zip"), ""
    eraser = run.eraser()
    if kind == "delta":
        return eraser.save(folder / f"{name}{SAFETENSORS}"), ""
    explorer.fitting(run)
    place = folder / (name if kind in FOLDERS else f"{name}{SAFETENSORS}")
    done = explorer.compute(lambda: export_eraser(explorer.pipe, eraser, place, kind))
    if kind in FOLDERS:
        place = Path(shutil.make_archive(str(folder / f"{name}-{kind}"), "zip", folder, name))
        shutil.rmtree(done.path)
    return place, loss(done)
