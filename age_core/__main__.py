"""`python -m age_core`: the command line over the same functions as the notebook API."""

from __future__ import annotations

import os
import sys

# read as soon as anything imports transformers, which otherwise remarks on packages that nothing here needs
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from age_core.cli.main import main, quiet

if __name__ == "__main__":
    quiet()
    sys.exit(main())
