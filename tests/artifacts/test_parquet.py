from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrail.artifacts.parquet import check_parquet


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "damaged").glob("*.parquet")), ids=lambda p: p.stem)
def test_rows_that_a_file_only_claims_are_refused_before_memory_is_taken(path):
    """Files that fuzzing found. Reading one asks for 128 GiB."""
    with pytest.raises(ValueError, match="its groups claim 34,481,305,215 rows, and the whole 1"):
        check_parquet(path)


@pytest.mark.parametrize("rows", [0, 1, 2500])
def test_a_good_file_passes(rows, tmp_path):
    pq.write_table(pa.table({"id": range(rows)}), tmp_path / "d.parquet", row_group_size=1000)
    check_parquet(tmp_path / "d.parquet")
