"""Properties of samples, and how well they are told on new ones."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from vitrail import scores
from vitrail.scores import Properties


def planted(n: int, seed: int) -> tuple[np.ndarray, list[dict]]:
    """Feature 0 is red, 1 is blue, 2 runs, 3 is noise; some samples have no action; luck is in no feature."""
    rng = np.random.default_rng(seed)
    colour = rng.choice(["red", "blue", "green"], n)
    action = rng.choice(["running", "sleeping", ""], n)
    X = np.stack([colour == "red", colour == "blue", action == "running", rng.random(n) < 0.5], axis=1) * 1.0
    rows = [
        {"colour": c, "action": a or None, "luck": int(rng.integers(2))} for c, a in zip(colour, action, strict=True)
    ]
    return X + 0.1 * rng.random((n, 4)), rows


def noisy(n: int = 60, seed: int = 0) -> tuple[np.ndarray, Properties]:
    """Rounded scores, so that some are equal, of two properties; the second is not known of all samples."""
    rng = np.random.default_rng(seed)
    has = rng.random((n, 2)) < 0.4
    known = np.stack([np.ones(n, bool), rng.random(n) < 0.8], axis=1)
    return np.round(has + rng.standard_normal((n, 2)), 1), Properties(("a", "b"), ("x", "y"), has, known)


def test_the_values_of_factors_are_columns_in_the_order_of_the_factors():
    _, rows = planted(50, 0)
    found = scores.factor_properties(rows)
    assert found.names == [
        *(("colour", v) for v in ("blue", "green", "red")),
        *(("action", v) for v in ("running", "sleeping")),
        *(("luck", v) for v in (0, 1)),
    ]
    np.testing.assert_array_equal(found.known[:, 3], [row["action"] is not None for row in rows])
    again = scores.factor_properties(rows[:9], found.names)
    np.testing.assert_array_equal(again.has, found.has[:9])


def test_rare_and_common_properties_are_not_enough():
    has = np.zeros((200, 4), bool)
    for j, n in enumerate((4, 7, 8, 193)):
        has[:n, j] = True
    found = Properties(tuple("abcd"), tuple("abcd"), has, np.ones_like(has))
    assert found.enough().tolist() == [False, True, True, True]
    assert found.enough(scores.COMMON).tolist() == [False, False, True, False]
    assert found.of(np.array([2])).names == [("c", "c")]


def test_words_are_properties_of_the_samples_whose_captions_have_them():
    found = scores.word_properties([{"black", "dog"}, {"dog"}], ["dog", "black"], "caption word")
    assert found.has.tolist() == [[True, True], [True, False]]
    assert found.names == [("caption word", "dog"), ("caption word", "black")]
    assert found.known.all()


def test_the_auroc_is_scikit_learns_among_the_samples_of_which_the_property_is_known():
    values, properties = noisy()
    found = scores.separation(values, properties)
    for j in range(2):
        rows = properties.known[:, j]
        assert found.auroc[j] == pytest.approx(roc_auc_score(properties.has[rows, j], values[rows, j]))
    assert not found.influence[~properties.known[:, 1], 1].any()


def test_the_standard_error_is_the_spread_over_other_samples():
    """Of 400 draws, for one AUROC, the mean of two, and the difference of two on the same samples."""
    draws = [scores.separation(*noisy(120, seed)) for seed in range(400)]
    aurocs = np.array([draw.auroc for draw in draws])
    assert np.median([d.mean([0]).std for d in draws]) == pytest.approx(aurocs[:, 0].std(), rel=0.1)
    assert np.median([d.mean().std for d in draws]) == pytest.approx(aurocs.mean(1).std(), rel=0.1)
    covered = np.mean([d.mean().low <= aurocs.mean() <= d.mean().high for d in draws])
    assert 0.92 < covered < 0.98


def test_a_difference_on_the_same_samples_is_known_better_than_its_parts():
    values, properties = noisy(300)
    first, second = (scores.separation(values + 0.2 * noise, properties) for noise in np.eye(2)[[0, 1]][:, None, :])
    difference = (first - second).mean()
    assert difference.mean == pytest.approx(first.mean().mean - second.mean().mean)
    assert difference.std < 1e-12 < first.mean().std  # a constant changes no rank


def test_probes_tell_planted_factors_on_new_samples_and_no_luck():
    (X, rows), (Y, other) = planted(300, 0), planted(200, 1)
    properties = scores.factor_properties(rows)
    judged = scores.factor_properties(other, properties.names)
    found = scores.separation(scores.probe(X, properties, Y), judged)
    assert (found.auroc[:5] > 0.98).all()
    assert np.abs(found.auroc[5:] - 0.5).max() < 0.1


def test_a_probe_is_a_ridge_regression_of_those_whose_property_is_known():
    """With its penalty chosen by leaving one out: the choice of scikit-learn's own regressions, one at a time."""
    properties = noisy(40)[1]
    X = np.random.default_rng(1).standard_normal((40, 3)) + properties.has[:, [0]]
    found = scores.probe(X, properties, X)
    for j in range(2):
        rows = np.flatnonzero(properties.known[:, j])
        scaler = StandardScaler().fit(X[rows])
        A, y = scaler.transform(X[rows]), properties.has[rows, j].astype(float)

        def error(alpha, A=A, y=y):
            out = [np.arange(len(y)) != i for i in range(len(y))]
            left = [y[i] - Ridge(alpha).fit(A[o], y[o]).predict(A[[i]])[0] for i, o in enumerate(out)]
            return np.mean(np.square(left))

        alpha = min(np.logspace(-4, 1, 11) * len(rows), key=error)
        np.testing.assert_allclose(found[:, j], Ridge(alpha).fit(A, y).predict(scaler.transform(X)), atol=1e-9)


def test_concepts_match_properties_from_below_only_where_activations_are_signed():
    X, rows = planted(300, 0)
    properties = scores.factor_properties(rows)
    match, sign = scores.matches(-X, properties, signed=True)
    red = properties.values.index("red")
    assert (match[0, red], sign[0, red]) == (1, -1)
    unsigned, ones = scores.matches(-X, properties)
    assert unsigned[0, red] == 0
    assert (ones == 1).all()


def test_dealt_properties_are_those_of_other_samples():
    _, rows = planted(300, 0)
    properties = scores.factor_properties(rows)
    dealt = scores.dealt(properties, 0)
    np.testing.assert_array_equal(dealt.has.sum(0), properties.has.sum(0))
    together = lambda p: (p.has @ (2 ** np.arange(p.has.shape[1]))).tolist()  # noqa: E731
    assert sorted(together(dealt)) == sorted(together(properties)) != together(dealt)
