"""Learning from pieces, in memory or in a folder, on the CPU or on a device: the concepts are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.stored_states import representations, stored

from vitrail.activations.rows import ShardRows
from vitrail.learners import PCA, SemiNMF
from vitrail.learners import rows as rows_module
from vitrail.learners.codes import nonnegative_lasso, objective, settled_codes
from vitrail.learners.descent import Sums


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


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


@pytest.fixture(params=DEVICES)
def stays(request, monkeypatch) -> str:
    """A device whose tensors are worked on by torch, where they are; numpy would take those of the host."""
    if request.param == "cpu":
        for module in ("base", "codes"):
            monkeypatch.setattr(f"vitrail.learners.{module}.in_place", lambda array: (array, lambda result: result))
    return request.param


@pytest.mark.parametrize("form", ["centred", "paper"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_fit_on_the_device_is_that_of_numpy(stays, dtype, form):
    Z = torch.tensor(representations()).to(dtype)
    by_numpy = SemiNMF(6, form=form).fit(Z.numpy())
    there = SemiNMF(6, form=form).fit(Z.to(stays))
    assert isinstance(there.components_, np.ndarray)
    assert there.objective_ == pytest.approx(by_numpy.objective_, rel=1e-4)
    V = there.transform(Z.to(stays))
    assert isinstance(V, torch.Tensor)
    assert V.device.type == stays
    assert V.dtype == dtype
    expected = nonnegative_lasso(Z.numpy() - there.mean_, there.components_, there.penalty_ * there.spread_)
    np.testing.assert_allclose(V.cpu().numpy(), expected, rtol=1e-4, atol=1e-4)
    half = there.transform(Z.half().to(stays))
    assert half.dtype == torch.float32


def test_what_is_not_finite_is_refused_on_the_device(stays):
    Z = torch.tensor(representations()).to(stays)
    Z[3, 4] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        SemiNMF(6).fit(Z)


def test_principal_components_of_pieces_are_those_of_all_states_at_once(tmp_path):
    Z = np.random.default_rng(0).normal(size=(700, 24)) * np.geomspace(5, 0.1, 24) + 40
    Z = Z.astype(np.float16).astype(np.float32)  # as they are stored
    pieces = PCA(4).fit_rows(ShardRows(stored(tmp_path, Z, (300, 400)), 4))
    whole = PCA(4).fit(Z)
    np.testing.assert_allclose(pieces.mean_, whole.mean_, rtol=1e-6)
    np.testing.assert_allclose(pieces.explained_variance_, whole.explained_variance_, rtol=1e-3)
    np.testing.assert_allclose(pieces.components_, whole.components_, atol=1e-3)
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(24, 4)))[0].T
    adopted = PCA(4).adopt(turned, ShardRows(stored(tmp_path / "b", Z, (300, 400)), 4))
    np.testing.assert_allclose(adopted.explained_variance_, (Z @ turned.T).var(0, ddof=1), rtol=1e-3)
    np.testing.assert_array_equal(adopted.components_, turned)
