"""Dogs that nothing was learned from, observations without a model, and a reference of them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vitrail.monitoring import Observation, Reference, ReferenceOptions, reference_of


@pytest.fixture(scope="session")
def new_dogs(world):
    """Samples with a dog of a split that nothing was learned from."""
    from vitrail.samples import load_samples
    from vitrail.words import Word

    found = [s for split in ("val", "test") for s in load_samples(world, split=split)]
    return [s for s in found if any(map(Word("dog").find, s.references))]


def picture(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (grey, grey, grey)).save(buffer, "JPEG")
    return buffer.getvalue()


PICTURES = [picture(grey) for grey in range(0, 250, 10)]


def observations(n: int, seed: int = 0, *, snow: float = 0.15, start: float = 1000.0, K: int = 6) -> list[Observation]:
    """Observations as a model at work makes them; of the share `snow` concept 2 is active, and most captions say so."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        strengths = np.maximum(rng.normal(size=K) - 0.7, 0)
        white = rng.random() < snow
        strengths[2] = white * (1 + rng.random())
        place = "snow" if white and rng.random() < 0.9 else ["street", "grass", "forest"][rng.integers(3)]
        found.append(
            Observation(
                word="dog",
                layer=8,
                form="dog",
                time=start + i,
                activations=tuple((2 * strengths).tolist()),
                strengths=tuple(strengths.tolist()),
                error=float(rng.gamma(4, 0.05)),
                caption=f"a {['brown', 'black'][rng.integers(2)]} dog on the {place}",
                sample=f"{seed}-{i}",
                thumbnail=PICTURES[rng.integers(len(PICTURES))],
                tags={"version": "1"},
            )
        )
    return found


@pytest.fixture(scope="session")
def reference(dog_study, tmp_path_factory) -> Reference:
    """Five hundred observations. Read only."""
    out = tmp_path_factory.mktemp("reference") / "dog"
    return reference_of(dog_study, observations(500, 1), out=out, options=ReferenceOptions(n_words=6))


@pytest.fixture
def outlier() -> Observation:
    """An observation of an attention sink."""
    return replace(observations(1)[0], ordinary=False)
