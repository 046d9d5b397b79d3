"""Dogs that nothing was learned from."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def new_dogs(world):
    """Samples with a dog of a split that nothing was learned from."""
    from vitrail.samples import load_samples
    from vitrail.words import Word

    found = [s for split in ("val", "test") for s in load_samples(world, split=split)]
    return [s for s in found if any(map(Word("dog").find, s.references))]
