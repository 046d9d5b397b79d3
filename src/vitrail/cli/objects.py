"""What commands need that take no groups of options yet (`choices.py`): single options to what the library takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vitrail.cli.choices import DataChoice, DataSource, ModelChoice, StudyModel
from vitrail.cli.parsing import to_layer, to_numbers

if TYPE_CHECKING:
    from vitrail.activations import Activations
    from vitrail.cli.options import DType
    from vitrail.lmm import LMM
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.samples.examples import Example
    from vitrail.scores import KnownFactors

__all__ = ["load_again", "to_examples", "to_factors", "to_layer", "to_model", "to_numbers", "to_samples"]


def to_samples(
    data: str,
    split: str | None,
    limit: int | None,
    images: Path | None,
    progress: Progress,
    having: str | None = None,
    ids: Path | None = None,
) -> list[Sample]:
    chosen = DataChoice(data=data, split=split, limit=limit, images=images, having=having, ids=ids)
    return chosen.load(progress)


def to_examples(samples: list[Sample], data: str, style: str | None, words: str | None) -> list[Example]:
    from vitrail.samples.examples import captions_for

    return captions_for(samples, data, style=style, words=words)


def to_factors(data: str) -> KnownFactors | None:
    return DataSource(data=data).facts().factors


def to_model(
    model: str,
    revision: str | None,
    adapter: str | None,
    dtype: DType,
    device: str | None,
    prompt: str | None,
    progress: Progress,
    trust_remote_code: bool = False,
) -> LMM:
    chosen = ModelChoice(
        model=model,
        revision=revision,
        adapter=adapter,
        dtype=dtype.value,
        device=device,
        prompt=prompt,
        trust_remote_code=trust_remote_code,
    )
    return chosen.load(progress)


def load_again(activations: Activations, model: str | None, device: str | None, trust_remote_code: bool = False) -> LMM:
    return StudyModel(model=model, device=device, trust_remote_code=trust_remote_code).load(activations)
