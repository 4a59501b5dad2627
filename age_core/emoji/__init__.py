"""How the bundled emoji model was made: art, captions, training. `python -m age_core.emoji --help`."""
