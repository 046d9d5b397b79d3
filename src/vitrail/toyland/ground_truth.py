"""What is known of the scenes of a data set, read from files beside its images: their factors, and what is where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool
from PIL import Image, UnidentifiedImageError

from vitrail.artifacts import read_json
from vitrail.artifacts.parquet import check_parquet
from vitrail.errors import ArtifactError

FILE = "factors.parquet"
MASKS = "masks.json"


def load_factors(folder: str | Path) -> dict[str, dict[str, str | int | None]] | None:
    """Sample id → factor → value, from `factors.parquet` in the folder of a data set; None if there is no such file.

    Any data set may have such a table, with a column `sample_id` and one column per factor.

    Raises:
        ArtifactError: the table cannot be read, or has no column `sample_id`.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        check_parquet(path)
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException, ValueError) as error:  # a ValueError of text that is not UTF-8
        raise ArtifactError(f"{path} is damaged ({error}). Make the data set again, or remove the file.") from error
    if rows and "sample_id" not in rows[0]:
        raise ArtifactError(f"{path} has no column sample_id; it has {', '.join(rows[0])}.")
    return {str(row.pop("sample_id")): row for row in rows}


@dataclass(frozen=True)
class MasksOf:
    """What the numbers in the masks of a data set mean.

    Args:
        parts: part of a picture → its numbers.
        factors: factor → the part that shows it.
    """

    parts: dict[str, list[int]]
    factors: dict[str, str]


@dataclass(frozen=True)
class Masks:
    """The masks of a data set: which part of each picture stands where.

    Args:
        folder: of the data set; any may have `masks.json`, and `masks/ID.png` for each sample, in one channel.
        known: what the numbers mean.
    """

    folder: Path
    known: MasksOf

    @property
    def path(self) -> Path:
        """The file that says what the numbers mean."""
        return self.folder / MASKS

    def part_of(self, factor: str) -> str | None:
        """The part that shows a factor; None where none does."""
        return self.known.factors.get(factor)

    def of(self, sample_id: str, part: str) -> Bool[np.ndarray, "height width"]:
        """Where a part stands in the picture of a sample.

        Raises:
            ArtifactError: the sample has no mask, or it cannot be read.
        """
        path = mask_path(self.folder, sample_id)
        try:
            with Image.open(path) as labels:
                return np.isin(np.array(labels), self.known.parts[part])
        except (OSError, UnidentifiedImageError) as error:
            raise ArtifactError(f"{path} cannot be read ({error}). Make the data set again.") from error


def load_masks(folder: str | Path) -> Masks | None:
    """The masks in the folder of a data set; None where it has none.

    Raises:
        ArtifactError: the file that describes them cannot be read.
    """
    path = Path(folder) / MASKS
    return Masks(path.parent, read_json(path, MasksOf, "make the data set again")) if path.is_file() else None


def mask_path(folder: Path, sample_id: str) -> Path:
    """The file with the mask of a sample."""
    return folder / "masks" / f"{sample_id}.png"
