"""LACU's rule: the target is the candidate whose predictions are least unlike the concept's."""

from __future__ import annotations

import pytest
import torch
from support import QUICK, WORLD

from age_core import encode_text
from age_core.erasure import noise_distance
from age_core.erasure.by_method import erase_by
from age_core.erasure.noise_distance import noise_distances
from age_core.erasure.outcome import last_eraser
from age_core.erasure.target_words import fixed_word, neighbours
from age_core.models.families import predict


def test_distances_are_mean_squared_differences_of_predictions(tiny_sd, monkeypatch):
    monkeypatch.setattr(noise_distance, "DRAWS", 3)
    found = noise_distances(tiny_sd, "dog", ["cat", "dog", ""], seed=3)
    generator = torch.Generator().manual_seed(3)
    t = torch.randint(tiny_sd.scheduler.config.num_train_timesteps, (3,), generator=generator)
    z = torch.randn(3, 4, 8, 8, generator=generator)
    for word, distance in zip(("cat", "dog", ""), found, strict=True):
        errors = []
        for row in range(3):
            with torch.no_grad():
                dog, other = (
                    predict(tiny_sd, z[row : row + 1], t[row : row + 1], encode_text(tiny_sd, [w]))
                    for w in ("dog", word)
                )
            errors.append(float(((dog - other) ** 2).mean()))
        assert float(distance) == pytest.approx(sum(errors) / 3, rel=1e-4, abs=1e-9)
    assert found[1] == 0 < found[0]


def test_the_method_erases_to_the_nearest_and_never_to_a_synonym(tiny_sd):
    dog = WORLD["dog"]
    names = neighbours(tiny_sd, dog, WORLD, 5).names
    distances = noise_distances(tiny_sd, "dog", names, seed=0)
    nearest = names[int(distances.argmin())]
    assert fixed_word(tiny_sd, "lacu", dog, WORLD, 5) == nearest and nearest not in ("dog", "hound")
    eraser = last_eraser(erase_by(tiny_sd, "lacu", "dog", WORLD, pool=5, **QUICK))
    assert eraser.info["target"] == nearest
    own = last_eraser(erase_by(tiny_sd, "lacu", "dog", WORLD, target="pizza", **QUICK))
    assert own.info["target"] == "pizza"
