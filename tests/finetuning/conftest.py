"""What several tests of fine-tuning need: examples, and a finished fine-tune."""

from __future__ import annotations

import pytest

from vitrail.finetuning import FineTuneOptions, finetune
from vitrail.samples.examples import captions_of
from vitrail.toyland.dataset import styled_captions


@pytest.fixture(scope="session")
def quick() -> FineTuneOptions:
    """A fine-tune that takes seconds."""
    return FineTuneOptions(steps=4, batch_size=2, rank=2, checkpoints=2, measure_every=2)


@pytest.fixture(scope="session")
def examples(samples, world):
    return captions_of(samples[:24], styled_captions(world, "place", n=1))


@pytest.fixture(scope="session")
def tuned(lmm, examples, quick, tmp_path_factory):
    """A finished fine-tune. Not to be written to."""
    pytest.importorskip("peft")
    return finetune(lmm, examples, quick, out=tmp_path_factory.mktemp("tuned") / "place")
