"""A learner that is added to the registry runs through the whole line, and nothing else is touched for it."""

from __future__ import annotations

import numpy as np
import pytest

import vitrail
from vitrail.comparison import ComparisonOptions, compare_studies
from vitrail.evaluation.dictionary_scores import score_dictionary
from vitrail.learners import LEARNERS, Learner, here
from vitrail.learners.base import PrototypeLearner
from vitrail.studies import Study
from vitrail.sweep import SweepOptions, sweep


class FirstDirections(Learner):
    """Concepts are the directions of the first K rows; activations are signed."""

    title = "First directions"
    signed = True

    def __init__(self, n_components: int = 20) -> None:
        self.n_components = n_components

    def _fit(self, Z, progress) -> None:
        self.components_ = Z[: self.n_components] / np.linalg.norm(Z[: self.n_components], axis=1, keepdims=True)

    def _activate(self, Z):
        return Z @ np.linalg.pinv(self.components_)

    def _derivatives(self, Z, V):
        return np.broadcast_to(np.linalg.pinv(self.components_).T, (len(Z), *self.components_.shape))

    def _reconstruct(self, V):
        return V @ self.components_


class FirstPoints(PrototypeLearner):
    """Concepts are the first K rows. It can learn from pieces, and has a penalty and a seed."""

    title = "First points"
    out_of_core = True

    def __init__(self, n_components: int = 20, *, penalty: float = 1.0, random_state: int | None = 0) -> None:
        self.n_components = n_components
        self.penalty = penalty
        self.random_state = random_state

    def _fit(self, Z, progress) -> None:
        self.components_ = np.array(Z[: self.n_components])

    def fit_rows(self, rows, over=here, *, progress=None):
        self.n_features_in_ = rows.n_features
        self.components_ = np.concatenate(list(over(lambda _, Z: Z, rows)))[: self.n_components]
        return self

    def adopt(self, U, rows, over=here):
        self.n_features_in_ = rows.n_features
        self.components_ = np.ascontiguousarray(U, dtype=rows.dtype)
        return self


@pytest.fixture(params=[FirstDirections, FirstPoints], ids=lambda added: added.title)
def added(request, monkeypatch) -> type[Learner]:
    monkeypatch.setitem(LEARNERS, "first-rows", request.param)
    return request.param


@pytest.fixture
def study(added, lmm, dogs, activations, tmp_path) -> Study:
    concepts = vitrail.learn(activations, out=tmp_path / "concepts", layer=-1, method="first-rows", n_concepts=4)
    grounding = vitrail.ground(lmm, activations, concepts, out=tmp_path / "grounding")
    explained = vitrail.explain(lmm, activations, concepts, grounding, dogs[0].open())
    return Study(tmp_path, activations, concepts, grounding, explanations=(explained,))


def test_its_concepts_are_learned_kept_grounded_and_explained(added, study):
    opened = vitrail.open_concepts(study.concepts.folder)
    assert type(opened.learner) is added
    assert opened.options.method == "first-rows"
    Z = study.activations.states(study.concepts.layer)
    np.testing.assert_array_equal(opened.learner.transform(Z), study.concepts.V)
    assert [len(concept.words) for concept in study.grounding.concepts] == [10] * 4
    (explanation,) = study.explanations
    assert len(explanation.concepts) > 0


def test_its_study_has_a_report_that_names_it(study, tmp_path):
    page = vitrail.report(study, out=tmp_path / "report.html").read_text(encoding="utf-8")
    assert "first-rows" in page


def test_its_dictionary_is_scored(study, dogs):
    Z = study.activations.states(study.concepts.layer)
    words = [[w.word for w in concept.words] for concept in study.grounding.concepts]
    found = score_dictionary(study.concepts, Z, Z[:9], words, words, [[dog] for dog in dogs[:4]])
    assert found["stability over seeds"].value.mean == pytest.approx(1)
    assert found["explained variance"].value.mean <= 1


def test_the_shifts_of_its_concepts_are_estimated_by_what_its_concepts_are(added, study, lmm, tmp_path):
    options = ComparisonOptions(draws=2, resamples=0)
    found = compare_studies(study, study, lmm, lmm, out=tmp_path / "shift", options=options)
    assert found.estimator == ("mean" if added.prototypes else "codes")
    np.testing.assert_allclose(found.shifts, 0, atol=1e-4)  # a study moves nowhere from itself
    assert [c.match for c in found.concepts] == [0, 1, 2, 3]


def test_it_has_a_sweep_over_its_penalty_or_a_single_line(added, activations, tmp_path):
    options = SweepOptions(-1, "first-rows", (2, 3), n_runs=1)
    choice = sweep(activations, options, out=tmp_path / "sweep")
    penalties = {str(tried.penalty) for tried in choice.tried}
    assert penalties == {"nan"} if added is FirstDirections else len(penalties) > 1


def test_it_learns_from_pieces_if_it_says_so(added, activations, tmp_path):
    from vitrail.errors import UsageError

    asked = {"out": tmp_path / "agreed", "layer": -1, "method": "first-rows", "n_concepts": 3, "consensus": True}
    if not added.out_of_core:
        with pytest.raises(UsageError, match=r"First directions has no consensus. These have: 'semi-nmf'"):
            vitrail.learn(activations, **asked)
    else:
        made = vitrail.learn(activations, **asked)
        np.testing.assert_allclose(np.linalg.norm(made.U, axis=1), 1, atol=1e-5)
