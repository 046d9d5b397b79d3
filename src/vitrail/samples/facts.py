"""What is known of samples beside their captions: the factors of a drawn world, the words for them, and masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vitrail import toyland
from vitrail.progress import Progress, silent
from vitrail.scores import KnownFactors
from vitrail.toyland.dataset import MARK
from vitrail.toyland.ground_truth import Masks, load_factors, load_masks
from vitrail.toyland.language import LEXICON


@dataclass(frozen=True)
class KnownFacts:
    """What is known of the samples of a data set.

    Args:
        factors: sample id → factor → value; None where no factors are known.
        lexicon: factor → value → the words for it; None where the data are not a Toyland.
        masks: which part of each picture stands where; None where that is not known.
    """

    factors: KnownFactors | None = None
    lexicon: Mapping[str, Mapping[str, tuple[str, ...]]] | None = None
    masks: Masks | None = None


def known_facts(source: str | Path, progress: Progress = silent) -> KnownFacts:
    """The factors in `factors.parquet` and the masks in `masks.json` beside the data, and the words for the factors if
    the data are a Toyland.

    Raises:
        ArtifactError: the table of factors, or what describes the masks, cannot be read.
    """
    folder = data_folder(source, progress)
    return KnownFacts(load_factors(folder), LEXICON if (folder / MARK).is_file() else None, load_masks(folder))


def data_folder(source: str | Path, progress: Progress = silent) -> Path:
    """The folder where the data lie; "toyland" is drawn the first time."""
    if str(source) == "toyland":
        return toyland.dataset_path(progress=progress)
    path = Path(source)
    return path if path.is_dir() else path.parent
