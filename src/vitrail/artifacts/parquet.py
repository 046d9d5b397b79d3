"""Parquet files that somebody else wrote: what their footer claims is checked before memory is taken for it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq


def check_parquet(path: Path) -> None:
    """Compares the counts of rows in the footer of a Parquet file with each other.

    A reader takes memory by these numbers: four changed bytes made one ask for 128 GiB. What the footer says of columns
    is left to the reader: asked for by itself, a damaged part ends the process inside pyarrow 26.

    Raises:
        ValueError: they contradict each other.
        pyarrow.ArrowException: the footer cannot be read.
        OSError: nor can the file.
    """
    footer = pq.read_metadata(path)
    rows = [footer.row_group(g).num_rows for g in range(footer.num_row_groups)]
    if sum(rows) != footer.num_rows or min(rows, default=0) < 0:
        raise ValueError(f"its groups claim {sum(rows):,} rows, and the whole {footer.num_rows:,}")
