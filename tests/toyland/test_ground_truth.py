"""Known factors, read from a table."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitrail.errors import ArtifactError
from vitrail.toyland.ground_truth import load_factors


def test_the_truth_is_read_by_sample_id(tmp_path):
    assert load_factors(tmp_path) is None
    rows = [{"sample_id": "0", "kind": "dog", "action": None, "count": 2}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "factors.parquet")
    assert load_factors(tmp_path) == {"0": {"kind": "dog", "action": None, "count": 2}}
    pq.write_table(pa.table({"kind": ["dog"]}), tmp_path / "factors.parquet")
    with pytest.raises(ArtifactError, match="no column sample_id; it has kind"):
        load_factors(tmp_path)
    (tmp_path / "factors.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match="is damaged"):
        load_factors(tmp_path)
