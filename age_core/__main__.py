"""`python -m age_core`: the command line over the same functions as the notebook API."""

from __future__ import annotations

import sys

from age_core.cli.main import main, quiet

if __name__ == "__main__":
    quiet()
    sys.exit(main())
