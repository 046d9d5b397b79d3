"""States in the hands of other libraries: torch's loaders, pandas, datasets, DuckDB."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.stored_states import representations, stored
from torch.utils.data import DataLoader

from vitrail.errors import UsageError

LENGTHS = (5, 0, 7, 3)


@pytest.fixture
def states(tmp_path):
    return stored(tmp_path / "a", representations(15), LENGTHS)


def test_a_loader_gives_every_state_with_its_sample_in_order(states):
    batches = list(DataLoader(states.to_torch(), batch_size=4))
    np.testing.assert_array_equal(torch.cat([batch for batch, _ in batches]).numpy(), states.states(4))
    assert [i for _, ids in batches for i in ids] == states.sample_ids()
    assert [len(ids) for _, ids in batches] == [4, 4, 4, 3]
    assert len(states.to_torch(4)) == 15


def test_several_workers_give_every_state_once(states):
    rows = dict(zip(states.sample_ids(), states.states(4), strict=True))
    loader = DataLoader(states.to_torch(), batch_size=2, num_workers=2)
    found = [pair for batch, ids in loader for pair in zip(ids, batch, strict=True)]
    assert sorted(i for i, _ in found) == sorted(rows)
    assert all(np.array_equal(s.numpy(), rows[i]) for i, s in found)


def test_a_layer_that_is_not_there_is_refused(states):
    with pytest.raises(UsageError, match="Layer 3 was not extracted"):
        states.to_torch(3)


def test_several_layers_must_be_told_apart(activations):
    with pytest.raises(UsageError, match="Several layers were extracted"):
        activations.to_torch()


def test_the_tables_open_in_pandas_and_in_datasets(activations, tmp_path):
    datasets, pandas = pytest.importorskip("datasets"), pytest.importorskip("pandas")
    tables = sorted(map(str, activations.folder.glob("*.parquet")))
    frame = pandas.concat([pandas.read_parquet(path) for path in tables])
    assert list(frame["sample_id"]) == activations.sample_ids()
    assert set(frame["word"]) == {"dog"}
    found = datasets.load_dataset("parquet", data_files=tables, split="train", cache_dir=str(tmp_path))
    assert found["text"][:] == [row.text for row in activations.rows]


def test_the_tables_open_in_duckdb(activations):
    duckdb = pytest.importorskip("duckdb")
    tables = str(activations.folder / "*.parquet")
    shards = f"read_parquet('{tables}', filename = true, file_row_number = true)"
    found = duckdb.sql(
        f"SELECT sample_id, text, len(token_ids), thumbnail FROM {shards} ORDER BY filename, file_row_number"
    )
    assert found.fetchall() == [(r.sample_id, r.text, len(r.token_ids), r.thumbnail) for r in activations.rows]
    ((n,),) = duckdb.sql(f"SELECT count(*) FROM '{tables}' WHERE lower(form) = 'dog'").fetchall()
    assert n == len(activations)
