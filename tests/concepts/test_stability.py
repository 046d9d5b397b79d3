"""Stability says whether concepts come back; a consensus is what they come back to."""

from __future__ import annotations

import numpy as np
import pytest
from tests.stored_states import representations, stored

from vitrail.concepts import learn
from vitrail.concepts.stability import consensus, stability
from vitrail.errors import UsageError
from vitrail.learners import PCA, SemiNMF, Simple


def test_concepts_that_are_in_the_data_come_back_and_those_of_noise_do_not():
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((24, 24)))[0][:3]
    Z = rng.gamma(3, 4, (400, 3)) * (rng.random((400, 3)) < 0.4) @ U + 0.3 * rng.standard_normal((400, 24))
    real = stability(SemiNMF(3).fit(Z), Z, n_runs=3)
    assert min(real.seeds.min(), real.resamples.min()) > 0.99
    assert (len(real.runs), len(real.other_seeds)) == (6, 3)
    noise = rng.standard_normal((400, 24))
    assert stability(SemiNMF(3).fit(noise), noise, n_runs=3).resamples.mean() < 0.8


def test_a_method_without_randomness_is_the_same_over_seeds_but_not_over_resamples():
    Z = representations(200)
    for learner in (Simple(5), PCA(5)):
        found = stability(learner.fit(Z), Z, n_runs=3)
        np.testing.assert_allclose(found.seeds, 1, atol=1e-3)
        assert found.resamples.min() < 0.99


def test_the_runs_are_other_seeds_and_resamples_with_the_own_seed(monkeypatch):
    Z = representations(60)
    seen = []
    fit = SemiNMF.fit

    def watched(self, rows, *args, **options):
        seen.append((self.random_state, len(np.unique(rows, axis=0))))
        return fit(self, rows, *args, **options)

    learner = SemiNMF(3, random_state=7).fit(Z)
    monkeypatch.setattr(SemiNMF, "fit", watched)
    stability(learner, Z, n_runs=2)
    assert [seed for seed, _ in seen] == [8, 9, 7, 7]
    assert [distinct == 60 for _, distinct in seen] == [True, True, False, False]


def test_a_consensus_is_the_mean_of_matched_concepts_in_the_order_of_the_first():
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((12, 12)))[0][:5]
    runs = [5 * (U + 0.1 * rng.standard_normal(U.shape))[rng.permutation(5)] for _ in range(30)]
    found = consensus(runs)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    first = runs[0] / np.linalg.norm(runs[0], axis=1, keepdims=True)
    order = (first @ U.T).argmax(axis=1)
    assert (found * U[order]).sum(axis=1).min() > 0.99
    assert (found * U[order]).sum(axis=1).mean() > (first * U[order]).sum(axis=1).mean()


# ---- in an artifact --------------------------------------------------------------------------------------------------


def test_learn_writes_the_stability_of_every_concept(tmp_path):
    activations = stored(tmp_path / "a", representations(200), (200,))
    found = learn(activations, out=tmp_path / "b", n_concepts=6, stability=2)
    assert [len(found.stability[name]) for name in ("seeds", "resamples")] == [6, 6]
    expected = stability(found.learner, representations(200), n_runs=2)
    np.testing.assert_allclose(found.stability["seeds"], expected.seeds)
    np.testing.assert_allclose(found.stability["resamples"], expected.resamples)
    assert learn(activations, out=tmp_path / "c", n_concepts=6, stability=0).stability is None


def test_learn_puts_the_consensus_in_place_on_request(tmp_path):
    activations = stored(tmp_path / "a", representations(200), (200,))
    own = learn(activations, out=tmp_path / "b", n_concepts=6, stability=3)
    agreed = learn(activations, out=tmp_path / "c", n_concepts=6, stability=3, consensus=True)
    Z = representations(200)
    others = [SemiNMF(6, random_state=seed).fit(Z).components_ for seed in (1, 2, 3)]
    np.testing.assert_allclose(agreed.U, consensus([own.U, *others]), atol=1e-6)
    np.testing.assert_array_equal(agreed.V, agreed.learner.transform(Z))
    assert agreed.learner.objective_ >= own.learner.objective_ * (1 - 1e-6)
    assert agreed.learner.n_iter_ == 0
    assert np.mean(agreed.stability["seeds"]) >= np.mean(own.stability["seeds"]) - 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consensus": True, "stability": 0}, "A consensus needs other runs"),
        ({"consensus": True, "method": "kmeans"}, "k-means has no consensus. These have: 'semi-nmf', 'pca'"),
        (
            {"engine": "ray", "method": "kmeans"},
            "k-means cannot learn with the engine 'ray'. These can: 'semi-nmf', 'pca'",
        ),
        ({"engine": "dask"}, "Unknown engine 'dask'"),
        ({"stability": -1}, "stability must be at least 0; got -1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, options, message):
    activations = stored(tmp_path / "a", representations(50), (50,))
    with pytest.raises(UsageError, match=message):
        learn(activations, out=tmp_path / "b", n_concepts=3, **options)
    assert not (tmp_path / "b").exists()
