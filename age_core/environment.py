"""What must be set before a library is imported that reads it then; whatever a person has set stays as it is.

`age_core` does it before all else, and so does every process that begins by importing it: the app, the command line,
the workers of a graph, the tests, the benchmarks.
"""

import os

# How often a thread of GNU's OpenMP looks whether the others have come to the same place, before it sleeps. By default
# it looks for some hundred milliseconds; where another program has one of the cores, most of a training is then spent
# in looking: drawing 16 emoji took 3.4 s there, 2.0 with a thousand looks, 0.9 and 1.25 s on two idle cores. So an idle
# machine pays a third of the time of small pictures for never waiting twice as long as it must.
LOOKS = "1000"


def prepare() -> None:
    """Set what nobody has set. Once Torch is imported this changes nothing any more."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", LOOKS)
    # transformers otherwise remarks on packages that nothing here needs
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
