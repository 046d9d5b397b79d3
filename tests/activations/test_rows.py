"""Pieces of a folder are its states, whatever the shards and whatever is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.stored_states import representations, stored

from vitrail.activations.rows import ShardRows
from vitrail.errors import ArtifactError, UsageError
from vitrail.learners import ArrayRows, here, sample
from vitrail.learners import rows as rows_module


@pytest.mark.parametrize("lengths", [(700,), (100,) * 7, (1, 299, 256, 144), (33, 667)])
@pytest.mark.parametrize("size", [1000, 100, 64])
def test_pieces_of_a_folder_are_its_states_whatever_the_shards(tmp_path, lengths, size):
    Z = representations()
    rows = ShardRows(stored(tmp_path, Z, lengths), 4, rows=size)
    pieces = [rows[i] for i in range(len(rows.lengths))]
    assert [len(p) for p in pieces] == list(rows.lengths)
    assert max(rows.lengths) <= size
    assert rows.n_features == 24
    assert {p.dtype for p in pieces} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.concatenate(pieces), Z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_that_are_not_kept_are_passed_over(tmp_path, dtype):
    Z = representations()
    kept = np.random.default_rng(0).random(700) < 0.6
    kept[100:300] = False  # a whole shard
    rows = ShardRows(stored(tmp_path, Z, (100, 200, 400), dtype), 4, kept, rows=64)
    expected = torch.tensor(Z).to(dtype).float().numpy()[kept]
    np.testing.assert_array_equal(np.concatenate([rows[i] for i in range(len(rows.lengths))]), expected)


def test_a_layer_that_is_not_there_and_a_shard_that_is_damaged_are_refused(tmp_path):
    activations = stored(tmp_path, representations(), (300, 400))
    with pytest.raises(UsageError, match="Layer 3 was not extracted"):
        ShardRows(activations, 3)
    rows = ShardRows(activations, 4)
    path = tmp_path / "part-00001.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ArtifactError, match=r"part-00001\.safetensors is damaged"):
        rows[0]


def test_a_sample_is_of_the_rows_themselves_and_the_same_from_memory_and_from_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "_SAMPLE", 24 * 200)
    Z = representations()
    drawn = sample(ArrayRows(Z), np.random.RandomState(3), here)
    again = sample(ShardRows(stored(tmp_path, Z, (300, 400)), 4, rows=64), np.random.RandomState(3), here)
    np.testing.assert_array_equal(drawn, again)
    assert len(drawn) == 200
    assert len(np.unique(drawn, axis=0)) == 200
    assert {*map(bytes, drawn)} <= {*map(bytes, Z)}
