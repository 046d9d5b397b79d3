"""Observations in files: one JSON object a line, or Parquet files of limited size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitrail.artifacts import (
    append_lines,
    check_covered,
    check_lines,
    check_target,
    read_lines,
    typed,
    write_covering,
    write_whole,
)
from vitrail.errors import ArtifactError
from vitrail.monitoring.observation import Observation

ROWS = 10_000

#: The columns of a Parquet file of observations.
COLUMNS = pa.schema(
    [
        ("word", pa.string()),
        ("layer", pa.string()),
        ("form", pa.string()),
        ("time", pa.float64()),
        ("activations", pa.list_(pa.float32())),
        ("strengths", pa.list_(pa.float32())),
        ("error", pa.float64()),
        ("ordinary", pa.bool_()),
        ("caption", pa.string()),
        ("sample", pa.string()),
        ("thumbnail", pa.binary()),
        ("tags", pa.map_(pa.string(), pa.string())),
        ("evidence", pa.float64()),
    ]
)


class ToJsonl:
    """Appends observations to a file, one JSON object a line, with digests; see `artifacts.lines`."""

    def __init__(self, address: str) -> None:
        self.path = Path(address)
        check_target(self.path, folder=False)
        check_lines(self.path)

    def write(self, observations: Sequence[Observation]) -> None:
        """Appends them."""
        append_lines(self.path, [o.as_dict() for o in observations])

    def flush(self) -> None:
        """Holds nothing back."""

    def close(self) -> None:
        """Has nothing to end."""


class ToParquet:
    """Writes observations into a folder, `part-000000.parquet` and on: a new file after every 10,000 rows or flush.

    Files that are there stay; each is written whole under another name and renamed.
    """

    def __init__(self, address: str, rows: int = ROWS) -> None:
        self.folder, self.rows = Path(address), rows
        check_target(self.folder)
        self._held: list[Observation] = []

    def write(self, observations: Sequence[Observation]) -> None:
        """Holds them until there are enough for a file."""
        self._held += observations
        while len(self._held) >= self.rows:
            self._write(self._held[: self.rows])

    def flush(self) -> None:
        """Writes what is held."""
        if self._held:
            self._write(self._held)

    def close(self) -> None:
        """Has nothing to end."""

    def _write(self, part: Sequence[Observation]) -> None:
        there = [int(p.stem.partition("-")[2]) for p in self.folder.glob("part-*.parquet")]
        path = self.folder / f"part-{max(there, default=-1) + 1:06d}.parquet"
        table = pa.Table.from_pylist([_row(o) for o in part], COLUMNS)
        write_whole(path, lambda partial: pq.write_table(table, partial))
        write_covering(path.with_suffix(".json"), {"observations": len(part)})
        self._held = self._held[len(part) :]


def _row(observation: Observation) -> dict[str, Any]:
    return {**vars(observation), "layer": str(observation.layer), "tags": list(observation.tags.items())}


def read_observations(path: str | Path) -> list[Observation]:
    """The observations in a JSONL file, a Parquet file, or a folder of Parquet files, in their order.

    Raises:
        ArtifactError: it is missing or damaged, or holds no observations.
    """
    path = Path(path)
    if not path.exists():
        raise ArtifactError(f"There are no observations at {path}.")
    try:
        if path.suffix == ".jsonl":
            return typed(read_lines(path), list[Observation])
        files = sorted({p.with_suffix(".parquet") for p in path.glob("part-*.*")}) if path.is_dir() else [path]
        for file in files:
            check_covered(file, "observe")
        return [_observation(row) for file in files for row in pq.read_table(file, schema=COLUMNS).to_pylist()]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} is damaged, or holds no observations ({error}).") from error


def _observation(row: dict[str, Any]) -> Observation:
    layer = row["layer"]
    lists = {name: tuple(row[name]) for name in ("activations", "strengths")}
    return Observation(
        **{**row, **lists, "layer": layer if layer == "final" else int(layer), "tags": dict(row["tags"])}
    )
