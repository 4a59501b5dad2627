"""Side effects in words."""

METRICS = {
    "DS-1": "the share of pictures in which the probe no longer recognises the concept (DS-1)",
    "DS-5": "the share of pictures in which the concept is no longer among the probe's five guesses (DS-5)",
    "distance": "how differently the probe sees the pictures of the same seeds before and after; 0 is the same picture "
    "(probe-feature distance)",
    "noise-shift": "how far the edit moved the model's noise prediction for the concept; 1 would be as far as deleting "
    "the word (noise shift)",
}


def decimals(delta: float) -> int:
    """Decimals needed to show a damage: a noise shift of 0.04 and one of 0.01 are not the same."""
    return 2 if abs(delta) >= 0.1 else 3


def describe(source: tuple[str, str]) -> str:
    """By which method the arrows were computed, in one sentence."""
    method, metric = source
    what = METRICS.get(metric, metric)
    return f"Arrows were measured by really erasing each concept with {method}. Size: {what}."
