"""The factors of the scenes of a data set, read from the table beside its images."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitrail.errors import ArtifactError

FILE = "factors.parquet"


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
        rows = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException, ValueError) as error:  # a ValueError of text that is not UTF-8
        raise ArtifactError(f"{path} is damaged ({error}). Make the data set again, or remove the file.") from error
    if rows and "sample_id" not in rows[0]:
        raise ArtifactError(f"{path} has no column sample_id; it has {', '.join(rows[0])}.")
    return {str(row.pop("sample_id")): row for row in rows}
