"""Learning from pieces: from memory, from a folder, or on other processes, the concepts are the same."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from vitrail.activations import Activations, Counts, Store
from vitrail.activations.rows import ShardRows
from vitrail.concepts import learn
from vitrail.concepts.over_ray import over_ray
from vitrail.errors import ArtifactError, UsageError
from vitrail.learners import ArrayRows, SemiNMF, here, sample
from vitrail.learners import rows as rows_module
from vitrail.learners.codes import nonnegative_lasso, objective, settled_codes
from vitrail.learners.descent import Sums

ROW = {"image": "x.jpg", "references": ["a dog"], "request": "?", "text": "a dog", "form": "dog", "start": 2, "end": 5}
ROW |= {"token_ids": [1, 2], "token": 1, "position": 9, "thumbnail": b""}


def representations(n: int = 700, d: int = 24, seed: int = 0) -> np.ndarray:
    """Sparse sums of six directions, and noise, in numbers that float16 holds exactly."""
    rng = np.random.default_rng(seed)
    codes = rng.gamma(3, 2, (n, 6)) * (rng.random((n, 6)) < 0.4)
    Z = codes @ rng.standard_normal((6, d)) + 0.3 * rng.standard_normal((n, d))
    return Z.astype(np.float16).astype(np.float32)


def stored(folder: Path, Z: np.ndarray, lengths: tuple[int, ...], dtype: torch.dtype = torch.float16) -> Activations:
    """Activations in shards of these lengths; sample ids are s0, s1, …"""
    parameters = {"model": {"name": "m", "n_blocks": 4}, "word": {"text": "dog", "forms": []}, "layers": [4]}
    store = Store(folder, parameters, len(lengths))
    start = 0
    for number, length in enumerate(lengths):
        rows = [ROW | {"sample_id": f"s{i}"} for i in range(start, start + length)]
        states = {4: torch.tensor(Z[start : start + length]).to(dtype)}
        store.write(number, states, rows, Counts(length, length))
        start += length
    return store.finish()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pieces of 100 rows, whether of arrays or of shards, and a sample that is less than all of them."""
    monkeypatch.setattr(rows_module, "_PIECE", 100)
    monkeypatch.setattr(ShardRows.__init__, "__defaults__", (None, 100))
    monkeypatch.setattr(rows_module, "_SAMPLE", 24 * 300)
    return 100


# ---- pieces ----------------------------------------------------------------------------------------------------------


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


# ---- learning from them ----------------------------------------------------------------------------------------------


def test_concepts_from_a_folder_are_those_from_memory(tmp_path, small_pieces):
    Z = representations()
    whole = SemiNMF(6).fit(Z)
    pieces = SemiNMF(6).fit_rows(ShardRows(stored(tmp_path, Z, (300, 400)), 4))
    np.testing.assert_array_equal(pieces.components_, whole.components_)
    assert pieces.objective_ == whole.objective_
    np.testing.assert_array_equal(pieces.transform(Z), whole.transform(Z))


def test_the_size_of_the_pieces_does_not_matter(monkeypatch):
    monkeypatch.setattr(rows_module, "_SAMPLE", 24 * 300)
    Z = representations()
    whole = SemiNMF(6).fit(Z)
    monkeypatch.setattr(rows_module, "_PIECE", 93)
    parts = SemiNMF(6).fit(Z)
    assert parts.objective_ == pytest.approx(whole.objective_, rel=1e-5)
    np.testing.assert_allclose(parts.components_, whole.components_, atol=1e-3)


def test_starts_on_a_sample_end_close_to_those_on_everything(monkeypatch):
    Z = representations(4000)
    whole = SemiNMF(6).fit(Z)
    monkeypatch.setattr(rows_module, "_SAMPLE", 24 * 800)
    part = SemiNMF(6).fit(Z)
    assert part.objective_ <= 1.005 * whole.objective_
    assert (np.diff(part.objectives_) <= 1e-6 * np.square(Z, dtype=float).sum()).all()
    assert part.objectives_[0] == pytest.approx(part.objective_, rel=0.02)  # of all rows, not of the sample


def test_sums_over_pieces_give_the_objective_of_the_whole():
    Z = representations().astype(np.float64)
    U = np.random.default_rng(1).standard_normal((6, 24))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    sums = [Sums.of(part, settled_codes(part, U, 2.0), U) for part in np.array_split(Z, 5)]
    total = sum(sums[1:], start=sums[0])
    exact = objective(Z, U, nonnegative_lasso(Z, U, 2.0), 2.0)
    assert total.as_one().objectives(U[None], 2.0, float(np.square(Z).sum())) == pytest.approx([exact], rel=1e-7)


@pytest.mark.parametrize("penalty", [0.0, 2.0, 50.0])
def test_better_atoms_are_never_worse(penalty):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        Z = representations(50, seed=seed).astype(np.float64)
        U = rng.standard_normal((6, 24))
        U /= np.linalg.norm(U, axis=1, keepdims=True)
        V = nonnegative_lasso(Z, U, penalty)
        before = objective(Z, U, V, penalty)
        new = Sums.of(Z, V.T, U).better_atoms(U, penalty, 1e-12)
        norms = np.linalg.norm(new, axis=1)
        norms[norms == 0] = 1
        after = objective(Z, new / norms[:, None], V * norms, penalty)
        assert after <= before * (1 + 1e-12)
        if seed and penalty < 50:
            assert after < before  # a random dictionary can always be improved


def test_learn_takes_the_folder_where_memory_is_short(tmp_path, monkeypatch, small_pieces):
    Z = representations()
    Z[[7, 500]] *= 50
    activations = stored(tmp_path / "a", Z, (300, 400))
    inside = learn(activations, out=tmp_path / "b", n_concepts=6, stability=0)
    monkeypatch.setattr("vitrail.concepts.IN_MEMORY", 1)
    outside = learn(activations, out=tmp_path / "c", n_concepts=6, stability=0)
    assert (inside.manifest["engine"]["in_memory"], outside.manifest["engine"]["in_memory"]) == (True, False)
    np.testing.assert_array_equal(inside.U, outside.U)
    np.testing.assert_array_equal(inside.V, outside.V)
    assert outside.manifest["dropped"] == ["s7", "s500"]
    for name, value in inside.scores.items():
        assert outside.scores[name] == pytest.approx(value, rel=1e-9)


# ---- over Ray --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """A map over a Ray of two processes on this machine; its files are not the user's."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RAY_worker_niceness", "0")  # else workers starve where other work goes on
        with over_ray(workers=2) as over:
            yield over


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_the_concepts_of_one_process(tmp_path, two_workers, small_pieces):
    import ray

    addresses = {node["NodeManagerAddress"] for node in ray.nodes()}
    assert addresses == {"127.0.0.1"}
    Z = representations()
    rows = ShardRows(stored(tmp_path, Z, (300, 400)), 4)
    local = SemiNMF(6).fit_rows(rows)
    remote = SemiNMF(6).fit_rows(rows, two_workers)
    assert remote.objective_ == pytest.approx(local.objective_, rel=1e-4)
    np.testing.assert_allclose(remote.components_, local.components_, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_during_the_fit_changes_nothing(tmp_path, two_workers, small_pieces):
    died = tmp_path / "died"
    Z = representations()

    class Fatal:
        """Rows whose third piece kills the process that reads it, once, in the third pass."""

        n_features, dtype, lengths = 24, np.dtype(np.float32), [100] * 7

        def __getitem__(self, index):
            if index == 2 and os.getpid() != driver:
                seen = len(list(tmp_path.glob("seen*")))
                (tmp_path / f"seen{seen}").touch()
                if seen == 3 and not died.exists():
                    died.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            return Z[index * 100 : index * 100 + 100]

    driver = os.getpid()
    expected = SemiNMF(6).fit_rows(Fatal())
    found = SemiNMF(6).fit_rows(Fatal(), two_workers)
    assert died.exists()
    np.testing.assert_array_equal(found.components_, expected.components_)
    assert found.objective_ == expected.objective_


@pytest.mark.filterwarnings("ignore")
def test_learn_runs_over_ray(tmp_path, two_workers, small_pieces):
    activations = stored(tmp_path / "a", representations(), (300, 400))
    local = learn(activations, out=tmp_path / "b", n_concepts=6, stability=1)
    remote = learn(activations, out=tmp_path / "c", n_concepts=6, stability=1, engine="ray")
    assert remote.manifest["engine"] == {"name": "ray", "in_memory": False}
    np.testing.assert_allclose(remote.U, local.U, atol=1e-4)
    np.testing.assert_allclose(remote.V, local.V, rtol=1e-3, atol=1e-2)
    assert remote.stability["seeds"] == pytest.approx(local.stability["seeds"], abs=1e-3)


def test_ray_that_is_not_installed_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'vitrail\[ray\]'"), over_ray():
        pass


# ---- torch, as on an accelerator -------------------------------------------------------------------------------------

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


@pytest.fixture(params=DEVICES)
def stays(request, monkeypatch) -> str:
    """A device whose tensors are worked on by torch, where they are; numpy would take those of the host."""
    if request.param == "cpu":
        for module in ("base", "codes"):
            monkeypatch.setattr(f"vitrail.learners.{module}.in_place", lambda array: (array, lambda result: result))
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_fit_on_the_device_is_that_of_numpy(stays, dtype):
    Z = torch.tensor(representations()).to(dtype)
    by_numpy = SemiNMF(6).fit(Z.numpy())
    there = SemiNMF(6).fit(Z.to(stays))
    assert isinstance(there.components_, np.ndarray)
    assert there.objective_ == pytest.approx(by_numpy.objective_, rel=1e-4)
    V = there.transform(Z.to(stays))
    assert isinstance(V, torch.Tensor)
    assert V.device.type == stays
    assert V.dtype == dtype
    expected = nonnegative_lasso(Z.numpy(), there.components_, 2.0)
    np.testing.assert_allclose(V.cpu().numpy(), expected, rtol=1e-4, atol=1e-4)
    half = there.transform(Z.half().to(stays))
    assert half.dtype == torch.float32


def test_what_is_not_finite_is_refused_on_the_device(stays):
    Z = torch.tensor(representations()).to(stays)
    Z[3, 4] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        SemiNMF(6).fit(Z)
