"""What people set in the environment for the page, looked at before Gradio is imported: it believes all of it.

What it cannot read it would answer by a traceback, some of it while it is imported.
"""

import os
import re
import socket

PORTS, COUNTS = range(1, 65536), range(1, 1_000_000)
NUMBERS = {
    "GRADIO_SERVER_PORT": PORTS,
    "GRADIO_NUM_PORTS": PORTS,  # that are tried, from that one on
    "GRADIO_NODE_NUM_PORTS": PORTS,
    "GRADIO_DEBUG": range(2),
    "GRADIO_NUM_WORKERS": range(1000),
    "GRADIO_DEFAULT_CONCURRENCY_LIMIT": COUNTS,
    "GRADIO_ANALYTICS_MAX_EVENTS": COUNTS,
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": COUNTS,
    "HF_HUB_ETAG_TIMEOUT": COUNTS,
    "HF_HUB_DOWNLOAD_TIMEOUT": COUNTS,
}
NO_NUMBERS = {"GRADIO_DEFAULT_CONCURRENCY_LIMIT": "none"}  # what else they may be
USUAL_PORT, USUAL_TRIES = 7860, 100
ROOT_PATH = re.compile(r"(https?:/)?(/[^\s/?#]+)+/?|/")


def check() -> None:
    """Raise SystemExit, with one sentence, where a variable is not what it has to be. A blank one counts as not set."""
    for name in (*NUMBERS, "GRADIO_SERVER_NAME", "GRADIO_ROOT_PATH"):
        if not os.environ.get(name, "set").strip():
            del os.environ[name]
    for name, allowed in NUMBERS.items():
        text = os.environ.get(name, str(allowed[0])).strip()
        number = int(text) if re.fullmatch("[0-9]{1,9}", text) else None
        if number not in allowed and text.lower() != NO_NUMBERS.get(name):
            _refuse(name, f"a whole number from {allowed[0]} to {allowed[-1]}")
    first = int(os.environ.get("GRADIO_SERVER_PORT", USUAL_PORT))
    tries = int(os.environ.get("GRADIO_NUM_PORTS", USUAL_TRIES))
    os.environ["GRADIO_NUM_PORTS"] = str(min(tries, PORTS.stop - first))  # there are no ports beyond the last
    if not ROOT_PATH.fullmatch(os.environ.get("GRADIO_ROOT_PATH", "/")):
        _refuse("GRADIO_ROOT_PATH", "a path such as '/explorer', or a whole address such as 'https://example.org/it'")
    try:
        with socket.socket() as probe:
            probe.bind((os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), 0))
    except (OSError, UnicodeError):
        _refuse("GRADIO_SERVER_NAME", "an address of this machine, such as 127.0.0.1 or, for others to see it, 0.0.0.0")


def _refuse(name: str, rule: str) -> None:
    raise SystemExit(f"AGE Explorer cannot run. {name} must be {rule}, not {os.environ.get(name, '')[:60]!r}.")


check()
