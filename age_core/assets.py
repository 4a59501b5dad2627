"""What comes with the package, and where it lies."""

from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"
MODELS = {"emoji": ASSETS / "emoji-sd"}
PROBES = {"emoji": ASSETS / "emoji-probe", "emoji-styles": ASSETS / "emoji-style-probe"}
