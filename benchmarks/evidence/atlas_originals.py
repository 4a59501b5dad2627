"""What the bundled model draws of each concept for the atlas, lossless, so that nobody has to wait for it.

    python -m benchmarks.evidence.atlas_originals          # a minute on two CPU cores; writes assets/atlas

The recorded world holds the same pictures, smaller: those are to be looked at, these to measure distances from.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from age_core.assets import ASSETS
from age_core.serve.faces import original_faces
from age_core.serve.originals import Originals
from age_core.serve.registry import Choice, OpenModels

SHIPPED = ASSETS / "atlas"


def main() -> None:
    shutil.rmtree(SHIPPED, ignore_errors=True)  # else what is there would not be drawn
    with tempfile.TemporaryDirectory() as runs:
        explorer = OpenModels(Path(runs)).explorer(Choice())
        names = explorer.concepts.names
        looks = {look.name: look for batch in original_faces(explorer, names[0]) for look in batch}
        shipped = Originals(SHIPPED, explorer.originals.maker)
    shipped.add([looks[name] for name in names])
    shipped.write()
    print(f"{len(looks)} pictures, {sum(path.stat().st_size for path in SHIPPED.glob('*')) / 1e6:.1f} MB in {SHIPPED}")


if __name__ == "__main__":
    main()
