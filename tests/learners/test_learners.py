"""Learners keep scikit-learn's contract and ours, and Semi-NMF solves the problem that the paper states."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as bytes_of
from scipy.optimize import linear_sum_assignment
from sklearn import cluster, decomposition
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from vitrail.errors import ArtifactError, UsageError
from vitrail.learners import (
    LEARNERS,
    PCA,
    ArrayRows,
    ConceptLearner,
    KMeans,
    Named,
    NamedSemiNMF,
    SemiNMF,
    Simple,
    kkt_residual,
    load,
    make_learner,
    nonnegative_lasso,
    objective,
    save,
)
from vitrail.learners.descent import Problem, Run, State, Stopping, descend
from vitrail.learners.starts import revive, sums_with_codes
from vitrail.scores import equal

ALL = pytest.mark.parametrize("name", LEARNERS)


def planted(n=300, d=64, K=8, noise=0.02, seed=0, dtype=np.float64):
    """Representations made of sparse non-negative codes on unit concepts; both are returned as well."""
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((K, d))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    V = rng.gamma(3, 4, (n, K)) * (rng.random((n, K)) < 0.25)
    return (V @ U + noise * rng.standard_normal((n, d))).astype(dtype), U, V


def learner(name, n_concepts=5):
    return make_learner(name, n_concepts, seed=0)


# The contract, for all


@parametrize_with_checks([cls(n_components=2) for cls in LEARNERS.values()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@ALL
def test_shapes_types_and_names(name):
    Z, _, _ = planted(dtype=np.float32)
    fitted = learner(name).fit(Z)
    V = fitted.transform(Z)
    assert isinstance(fitted, ConceptLearner)
    assert fitted.components_.shape == (5, 64)
    assert V.shape == (300, 5)
    assert fitted.inverse_transform(V).shape == Z.shape
    assert {fitted.components_.dtype, V.dtype, fitted.inverse_transform(V).dtype} == {np.dtype(np.float32)}
    assert list(fitted.get_feature_names_out()) == [f"{type(fitted).__name__.lower()}{k}" for k in range(5)]


@ALL
def test_one_seed_gives_one_result(name):
    Z, _, _ = planted()
    one, two = learner(name).fit(Z), learner(name).fit(Z)
    np.testing.assert_array_equal(one.components_, two.components_)
    np.testing.assert_array_equal(one.transform(Z), two.transform(Z))


@ALL
def test_activations_of_a_row_do_not_depend_on_its_batch(name, monkeypatch):
    Z, _, _ = planted(dtype=np.float32)
    fitted = learner(name).fit(Z)
    together = fitted.transform(Z)
    alone = np.vstack([fitted.transform(z[None]) for z in Z[:40]])
    np.testing.assert_allclose(alone, together[:40], rtol=1e-6, atol=1e-6)
    monkeypatch.setattr("vitrail.learners.arrays._BLOCK", 64 * 7)
    np.testing.assert_allclose(fitted.transform(Z), together, rtol=1e-6, atol=1e-6)


def named_learner(form):
    Z, _, V = planted()
    return NamedSemiNMF(6, named=Named.fit(Z, V[:, :2] > 0), form=form)


DIFFERENTIABLE = {
    **{name: lambda name=name: learner(name) for name in LEARNERS},
    "semi-nmf, paper": lambda: make_learner("semi-nmf", 5, form="paper"),
    "named, centred": lambda: named_learner("centred"),
    "named, paper": lambda: named_learner("paper"),
}


@pytest.mark.parametrize("kind", DIFFERENTIABLE)
def test_derivatives_are_those_by_finite_differences(kind):
    """Along a random direction of every row, so short that the active set stays as it is."""
    Z, _, _ = planted()
    fitted = DIFFERENTIABLE[kind]().fit(Z)
    Z = Z[:40] + 0.01  # no row is a prototype itself
    step = 1e-4 * np.random.default_rng(1).standard_normal(Z.shape)
    found = np.einsum("nkd,nd->nk", fitted.derivatives(Z), step)
    expected = (fitted.transform(Z + step) - fitted.transform(Z - step)) / 2
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_code_of_zero_has_no_derivative():
    fitted = learner("semi-nmf").fit(planted()[0])
    V = fitted.transform(planted()[0][:20])
    zero = np.linalg.norm(fitted.derivatives(planted()[0][:20]), axis=2) == 0
    np.testing.assert_array_equal(zero, V == 0)
    assert zero.any()
    assert not zero.all()


@ALL
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_states_that_are_not_finite_are_refused(name, bad):
    Z, _, _ = planted(n=20)
    fitted = learner(name).fit(Z)
    Z[3, 4] = bad
    for method in (learner(name).fit, fitted.transform):
        with pytest.raises(ValueError, match=r"(?i)nan|infinity"):
            method(Z)


@ALL
def test_more_concepts_than_samples_is_refused_with_both_numbers(name):
    with pytest.raises(ValueError, match=r"n_components=30 .* n_samples=20"):
        learner(name, 30).fit(planted(n=20)[0])


@ALL
@pytest.mark.parametrize("count", [0, -1, 2.5])
def test_a_number_of_concepts_that_cannot_be_is_refused(name, count):
    with pytest.raises(ValueError, match=f"n_components must be a whole number ≥ 1, got {count}"):
        learner(name, count).fit(planted(n=20)[0])


@ALL
def test_activations_of_another_width_are_refused(name):
    fitted = learner(name).fit(planted(n=20)[0])
    with pytest.raises(ValueError, match=r"\(n_samples, 5\), got shape \(3, 4\)"):
        fitted.inverse_transform(np.ones((3, 4)))
    with pytest.raises(NotFittedError):
        learner(name).inverse_transform(np.ones((3, 5)))


def unusual(kind):
    rng = np.random.default_rng(0)
    Z = planted(n=30, d=80)[0]
    return {
        "duplicates": np.repeat(Z[:5], 6, axis=0),
        "rank deficient": 5 * rng.standard_normal((30, 2)) @ rng.standard_normal((2, 80)),
        "float16": Z.astype(np.float16),
        "integers": rng.integers(-9, 9, (30, 80)),
        "as many concepts as samples": Z[:5],
        "one feature": Z[:, :1],
        "transposed in memory": np.asfortranarray(Z),
    }[kind]


UNUSUAL = [
    *("duplicates", "rank deficient", "float16", "integers"),
    *("as many concepts as samples", "one feature", "transposed in memory"),
]


DEGENERATE = {
    "zero": (np.zeros((30, 8)), "of which 1 differ from each other"),
    "constant": (np.full((30, 8), 3.0), "of which 1 differ from each other"),
    "zeros of both signs": (np.where(np.arange(30)[:, None] % 2, 0.0, -0.0) * np.ones(8), "of which 1 differ"),
    "few different": (np.repeat(planted(n=4, d=8)[0], 10, axis=0), "of which 4 differ from each other"),
    "one": (planted(n=1, d=8)[0], "n_samples=1"),
    "large": (1e19 * planted(n=30, d=8, dtype=np.float32)[0], "so large .* that float32 cannot hold their squares"),
    "one large": (np.diag([1e160] + [1] * 9), "so large .* that float64 cannot hold their squares"),
    "small": (1e-30 * planted(n=30, d=8, dtype=np.float32)[0], "so small .* that float32 cannot hold their squares"),
}


@ALL
@pytest.mark.parametrize("kind", DEGENERATE)
def test_data_that_no_concepts_can_be_learned_from_are_refused_with_the_reason(name, kind):
    Z, message = DEGENERATE[kind]
    with pytest.raises(ValueError, match=message) as raised:
        learner(name).fit(Z)
    assert type(raised.value) is ValueError  # no LinAlgError, which is one
    if LEARNERS[name].out_of_core and "differ" in message:
        with pytest.raises(ValueError, match=message):
            learner(name).fit_rows(ArrayRows(Z))


@ALL
def test_concepts_are_different_where_samples_are_there_several_times(name):
    Z = planted(n=40, d=12)[0]
    U = learner(name).fit(np.concatenate([Z, *[Z[:2]] * 20])).components_
    assert equal(U) == 0


@ALL
@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_data_give_finite_concepts_and_activations(name, kind):
    Z = unusual(kind)
    n_concepts = 1 if name == "pca" and kind == "one feature" else 5
    fitted = learner(name, n_concepts).fit(Z)
    V = fitted.transform(Z)
    assert V.dtype == (np.float64 if Z.dtype == np.float64 else np.float32)
    assert np.isfinite(fitted.components_).all()
    assert np.isfinite(V).all()
    assert np.isfinite(fitted.inverse_transform(V)).all()


@ALL
def test_torch_in_torch_out(name):
    torch = pytest.importorskip("torch")
    Z = planted(dtype=np.float32)[0]
    fitted, reference = learner(name).fit(torch.tensor(Z)), learner(name).fit(Z)
    np.testing.assert_array_equal(fitted.components_, reference.components_)
    V = fitted.transform(torch.tensor(Z))
    assert isinstance(V, torch.Tensor)
    np.testing.assert_array_equal(V.numpy(), reference.transform(Z))
    back = fitted.inverse_transform(V)
    assert isinstance(back, torch.Tensor)
    np.testing.assert_array_equal(back.numpy(), reference.inverse_transform(V.numpy()))
    assert fitted.fit_transform(torch.tensor(Z).bfloat16()).dtype == torch.float32


# Semi-NMF


def test_planted_concepts_are_recovered():
    Z, U, V = planted()
    fitted = SemiNMF(8, penalty=0.1, form="paper").fit(Z)
    cosines = U @ fitted.components_.T
    mine, theirs = linear_sum_assignment(-cosines)
    assert cosines[mine, theirs].min() > 0.999
    codes = fitted.transform(Z)[:, theirs]
    np.testing.assert_allclose(codes, V, atol=0.3)
    assert fitted.n_dead_ == 0


@pytest.mark.parametrize("seed", range(3))
def test_objective_is_no_worse_than_scikit_learns(seed):
    Z = planted(noise=1.0, seed=seed)[0]
    theirs = decomposition.DictionaryLearning(
        8,
        alpha=1.0,  # λ = 2
        positive_code=True,
        fit_algorithm="cd",
        transform_algorithm="lasso_cd",
        max_iter=100,
        random_state=0,
    ).fit(Z)
    V = theirs.transform(Z)
    fitted = SemiNMF(8, form="paper").fit(Z)
    assert fitted.objective_ <= 1.0001 * objective(Z, theirs.components_, V, 2.0)


@pytest.mark.filterwarnings("ignore:SemiNMF still improves")  # a fit that can become perfect does so slowly
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([("paper", 0.0), ("paper", 0.5), ("paper", 5.0), ("centred", 0.0), ("centred", 0.2)]),
    st.sampled_from([np.float32, np.float64]),
)
def test_objective_never_increases(seed, kind, dtype):
    form, penalty = kind
    rng = np.random.default_rng(seed)
    n, d, K = rng.integers(6, 60), rng.choice([3, 20, 100]), rng.integers(1, 6)
    Z = rng.standard_normal((n, d)) + rng.standard_normal(d) * rng.integers(0, 4)
    Z[rng.random(n) < 0.1] = 0
    Z = (Z * rng.choice([0.01, 1, 100])).astype(dtype)
    fitted = SemiNMF(int(K), penalty=penalty, form=form, n_init=1, random_state=int(seed)).fit(Z)
    V = fitted.transform(Z)
    slack = 20 * np.finfo(dtype).eps * np.square(Z, dtype=np.float64).sum()
    assert (np.diff(fitted.objectives_) <= slack).all()
    assert len(fitted.objectives_) == fitted.n_iter_ + 1
    assert fitted.objective_ == fitted.objectives_[-1]
    weight, beside_mean = penalty * fitted.spread_, Z - fitted.mean_
    assert fitted.objective_ == pytest.approx(objective(beside_mean, fitted.components_, V, weight))
    assert (V >= 0).all()
    assert np.linalg.norm(fitted.components_, axis=1).max() <= 1 + 1e-6
    # float32 cannot hold codes to 1e-6 of a row where they cancel out
    exact = nonnegative_lasso(beside_mean.astype(np.float64), fitted.components_, weight)
    np.testing.assert_allclose(V, exact, rtol=1e-6)
    assert kkt_residual(beside_mean, fitted.components_, exact, weight).max() < 1e-6
    assert fitted.n_dead_ == (V == 0).all(axis=0).sum()


def test_concepts_are_a_minimum_for_their_codes():
    Z = planted(d=300, noise=0.5)[0]  # wider than the subspace of the starts
    fitted = SemiNMF(8, tol=1e-9).fit(Z)
    U, V = fitted.components_, fitted.transform(Z)
    Z = Z - fitted.mean_
    np.testing.assert_allclose(np.linalg.norm(U, axis=1), 1, rtol=1e-12)
    pull = V.T @ (Z - V @ U)  # minus half the gradient in U; on the unit sphere it may only point outwards
    along = (pull * U).sum(axis=1)
    assert (along > 0).all()
    assert np.linalg.norm(pull - along[:, None] * U) < 1e-3 * np.linalg.norm(V.T @ Z)


def test_a_random_start_replaces_the_first_one_only_if_it_ends_clearly_lower():
    Z = planted(noise=1.0)[0]
    first = SemiNMF(12, form="paper", n_init=1).fit(Z)
    assert (
        np.abs(SemiNMF(12, form="paper", n_init=8).fit(Z).components_ - first.components_).max() < 1e-3
    )  # others gain less than 1e-4
    Z = planted(noise=1.0, seed=1)[0]
    few, many = (SemiNMF(12, form="paper", n_init=n).fit(Z) for n in (1, 8))
    assert many.objective_ < 0.997 * few.objective_


RELEASED = 536376.47
"""The objective on `dog_states.npy`, at K = 20 and λ = 2, where the published solver ends: scikit-learn's
`DictionaryLearning` with λ/2 as its alpha, positive codes by coordinate descent, and up to 5,000 iterations."""


def test_ten_seeds_find_one_dictionary_of_real_states_as_good_as_the_published_solvers():
    Z = np.load(Path(__file__).parent / "dog_states.npy").astype(np.float32)
    fits = [SemiNMF(20, form="paper", random_state=seed).fit(Z) for seed in range(10)]
    assert max(fit.objective_ for fit in fits) <= 1.0002 * RELEASED
    for fit in fits[1:]:
        cosines = fit.components_ @ fits[0].components_.T
        rows, columns = linear_sum_assignment(-cosines)
        assert cosines[rows, columns].min() >= 0.95


@pytest.mark.parametrize("penalty", [0.0, 2.0])
def test_a_large_mean_does_not_end_learning_early_in_float32(penalty):
    Z = np.load(Path(__file__).parent / "dog_states.npy").astype(np.float32)
    Z[:, 0] += 600  # 99 % of the squares are those of the mean, as in states of large models
    in_float32, in_float64 = (
        SemiNMF(20, penalty=penalty, form="paper").fit(Z.astype(t)) for t in (np.float32, np.float64)
    )
    assert in_float32.objective_ <= (1 + 2e-4) * in_float64.objective_


def test_descents_side_by_side_are_those_of_each_alone():
    Z = planted(noise=1.0)[0]
    Z[:, 0] = 0
    rng = np.random.default_rng(0)
    U = rng.standard_normal((3, 6, Z.shape[1]))
    U[:, :, 0] = 0
    U[1, 2] = np.eye(Z.shape[1])[0]  # an atom to revive, in one of them
    start = State(U / np.linalg.norm(U, axis=-1, keepdims=True), np.zeros((3, 6, len(Z))))
    lengths = np.square(Z).sum(1)

    def go(runs: list[Run], state: State) -> State:
        return descend(
            runs,
            state,
            lambda state: sums_with_codes(Z, state, 2.0, 1),
            Problem(penalty=2.0, squares=float(lengths.sum()), precision=1e-16),
            Stopping(max_iter=60, tol=1e-5, window=4),
            revive=lambda state: revive(Z, lengths, state, 2.0),
        )

    together = [Run() for _ in range(3)]
    ends = go(together, State(start.U.copy(), start.V.copy()))
    for i, run in enumerate(together):
        alone = Run()
        end = go([alone], State(start.U[[i]].copy(), start.V[[i]].copy()))
        np.testing.assert_allclose(run.objectives, alone.objectives, rtol=1e-9)
        assert (run.converged, run.n_revived) == (alone.converged, alone.n_revived)
        np.testing.assert_allclose(ends.U[i], end.U[0], atol=1e-6)
    assert len({len(run.objectives) for run in together}) > 1  # they do not end together
    assert together[1].n_revived > 0


def test_a_dead_concept_is_revived(monkeypatch):
    ray = np.eye(3)[[0, 0, 0]]
    monkeypatch.setattr("vitrail.learners.starts._first_atoms", lambda *_: ray[None])
    Z = np.zeros((50, 3))
    Z[:, 0] = np.arange(1, 51) * 100  # all concepts start on this ray, and one of them can do it all
    Z[0], Z[1] = [0, 20, 0], [0, 0, 20]
    fitted = SemiNMF(3, form="paper", n_init=1).fit(Z)
    assert fitted.n_revived_ == 2
    assert fitted.n_dead_ == 0
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(Z)), np.maximum(Z - 1, 0), atol=1e-9)


def test_a_penalty_above_all_projections_leaves_every_concept_dead():
    Z = planted()[0]
    fitted = SemiNMF(4, penalty=3 * float(np.linalg.norm(Z, axis=1).max()), form="paper").fit(Z)
    assert fitted.n_dead_ == 4
    assert fitted.objective_ == pytest.approx(np.square(Z).sum())
    assert not fitted.transform(Z).any()


def test_stopping_early_warns():
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        fitted = SemiNMF(8, max_iter=2).fit(planted()[0])
    assert fitted.n_iter_ == 4  # two in the subspace, two in the full space


@pytest.mark.parametrize("seed", range(5))
def test_a_perfect_fit_is_recognised_in_float32(seed):
    rng = np.random.default_rng(seed)
    Z = np.outer(rng.random(200), rng.standard_normal(300)).astype(np.float32)
    fitted = SemiNMF(1, penalty=0.0, form="paper", tol=0.0).fit(Z)
    assert fitted.n_iter_ < 20
    assert fitted.objective_ < 1e-10 * np.square(Z).sum()


@pytest.mark.parametrize("parameter", ["penalty", "tol", "n_init", "max_iter"])
def test_parameters_that_cannot_be_are_refused(parameter):
    with pytest.raises(ValueError, match=f"{parameter} must be .* got -1"):
        SemiNMF(4, **{parameter: -1}).fit(planted()[0])


# The baselines


@pytest.mark.parametrize("shape", [(100, 12), (40, 600)])
def test_pca_is_scikit_learns(shape):
    Z = np.random.default_rng(0).standard_normal(shape) * np.linspace(1, 5, shape[1]) + 3
    mine = PCA(4).fit(Z)
    theirs = decomposition.PCA(4, random_state=0).fit(Z)
    np.testing.assert_allclose(mine.components_, theirs.components_)
    np.testing.assert_allclose(mine.transform(Z), theirs.transform(Z), atol=1e-9)
    np.testing.assert_allclose(mine.inverse_transform(mine.transform(Z)), theirs.inverse_transform(theirs.transform(Z)))
    np.testing.assert_allclose(mine.explained_variance_, theirs.explained_variance_)
    assert (mine.transform(Z) < 0).any()


def test_kmeans_activations_are_one_over_one_plus_the_distance_to_the_centroids():
    Z = planted()[0]
    mine = KMeans(6, n_init=3).fit(Z)
    theirs = cluster.KMeans(6, n_init=3, random_state=0).fit(Z)
    np.testing.assert_allclose(mine.components_, theirs.cluster_centers_)
    assert mine.inertia_ == pytest.approx(theirs.inertia_)
    distances = np.linalg.norm(Z[:, None] - mine.components_[None], axis=2)
    np.testing.assert_allclose(mine.transform(Z), 1 / (1 + distances))
    nearest = mine.components_[distances.argmin(axis=1)]
    np.testing.assert_array_equal(mine.inverse_transform(mine.transform(Z)), nearest)
    assert np.square(Z - nearest).sum() == pytest.approx(mine.inertia_)


def test_simple_takes_the_longest_rows_the_earlier_on_a_tie():
    Z = np.array([[1.0, 0], [0, 3], [5, 0], [3, 0], [-5, 0]])
    fitted = Simple(3).fit(Z)
    np.testing.assert_array_equal(fitted.components_, [[5, 0], [-5, 0], [0, 3]])
    V = fitted.transform(Z)
    np.testing.assert_allclose(V[2], [1, 1 / 11, 1 / (1 + np.sqrt(34))])
    np.testing.assert_array_equal(fitted.inverse_transform(V)[[1, 2, 4]], Z[[1, 2, 4]])


def test_a_prototype_activates_itself_fully_even_in_float32():
    Z = (1000 + planted(d=400)[0]).astype(np.float32)
    fitted = Simple(5).fit(Z)
    np.testing.assert_array_equal(np.diag(fitted.transform(fitted.components_)), np.ones(5))


# By name, and as files


def test_learners_are_made_by_name_with_their_seed_and_penalty():
    made = make_learner("semi-nmf", 7, penalty=0.5, seed=3)
    assert isinstance(made, SemiNMF)
    assert (made.n_components, made.penalty, made.random_state) == (7, 0.5, 3)
    assert make_learner("semi-nmf", 7).get_params() == SemiNMF(7).get_params()
    assert make_learner("semi-nmf", 7, form="paper").form == "paper"
    with pytest.raises(UsageError, match=r"unknown form 'raw': expected one of 'centred', 'paper'"):
        make_learner("semi-nmf", 7, form="raw")
    assert make_learner("pca", 7, seed=3).random_state == 3


def test_an_unknown_learner_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'nmf'.*'semi-nmf', 'kmeans', 'pca', 'simple'"):
        make_learner("nmf", 5)


@pytest.mark.parametrize("name", ["pca", "kmeans", "simple"])
def test_a_penalty_that_would_not_be_used_is_refused(name):
    with pytest.raises(UsageError, match=f"'{name}' has no penalty"):
        make_learner(name, 5, penalty=1.0)


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_learner_comes_back_from_its_files_to_the_last_bit(name, dtype):
    Z = planted(dtype=dtype)[0]
    fitted = learner(name).fit(Z)
    tensors, params = save(fitted)
    back = load(tensors_of(bytes_of(tensors)), json.loads(json.dumps(params)))
    assert type(back) is type(fitted)
    assert back.get_params() == fitted.get_params()
    assert {*vars(back)} == {*vars(fitted)}
    for attribute, value in vars(fitted).items():
        np.testing.assert_array_equal(getattr(back, attribute), value)
    V = fitted.transform(Z)
    np.testing.assert_array_equal(back.transform(Z), V)
    np.testing.assert_array_equal(back.inverse_transform(V), fitted.inverse_transform(V))


def test_feature_names_come_back():
    frame = pd.DataFrame(planted(n=20, d=4)[0], columns=list("abcd"))
    back = load(*save(Simple(2).fit(frame)))
    assert list(back.feature_names_in_) == list("abcd")
    back.transform(frame)


def test_what_cannot_be_saved_is_refused():
    Z = planted(n=20)[0]
    with pytest.raises(UsageError, match="before it is fitted"):
        save(Simple(2))
    with pytest.raises(UsageError, match=r"semi-nmf.*got PCA"):
        save(decomposition.PCA(2).fit(Z))
    with pytest.raises(UsageError, match="RandomState"):
        save(PCA(2, random_state=np.random.RandomState(0)).fit(Z))


def test_what_is_not_a_learner_is_refused():
    tensors, params = save(KMeans(3).fit(planted(n=20)[0]))
    for wrong in ({}, {**params, "method": "nmf"}, {**params, "params": {"colour": 1}}):
        with pytest.raises(ArtifactError, match="as written by save"):
            load(tensors, wrong)
    with pytest.raises(ArtifactError, match=r"'components_', 'inertia_', 'n_features_in_'.* of KMeans"):
        load({}, params)
    with pytest.raises(ArtifactError, match="transform"):
        load(tensors, {**params, "fitted": {**params["fitted"], "transform": 1}})
    with pytest.raises(ArtifactError, match=r"\(3, 64\), got \(2, 64\)"):
        load({"components_": tensors["components_"][:2]}, params)


@ALL
def test_a_clone_is_unfitted_and_equal(name):
    fitted = learner(name).fit(planted(n=20)[0])
    assert clone(fitted).get_params() == fitted.get_params()
    assert not hasattr(clone(fitted), "components_")
