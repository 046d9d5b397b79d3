"""Whether what is said is true: evidence is fitted to answers of which that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from vitrail.artifacts import check_free, one_writer
from vitrail.concepts.evidence import Evidence, features, open_evidence, save_evidence
from vitrail.errors import DataError
from vitrail.monitoring.observation import Observation
from vitrail.scores import auroc_estimate
from vitrail.studies import Study

#: So many answers that are true, and as many that are not, are needed.
FEWEST = 20
_STRENGTHS = np.logspace(-3, 1, 9)


@one_writer
def fit_evidence(
    study: Study, observations: Sequence[Observation], true: Mapping[str, bool], *, out: str | Path, seed: int = 0
) -> Evidence:
    """Learns from answers of which the truth is known how far the concepts speak for a word; writes the folder `out`.

    A logistic regression of the strengths and the novelty is fitted to one half of the answers; how good it is, is told
    on the other half.

    Args:
        study: the study of the word.
        observations: answers that say it, of which the first of each sample is taken; those of other words, and of
            attention sinks, are left out.
        true: id of a sample → whether what the word names is in its picture; others are left out.
        seed: of the halves.

    Raises:
        DataError: fewer than 20 answers are true, or are not.
        ArtifactError: `out` holds something else.
    """
    check_free(Path(out), "evidence")
    word, layer = study.activations.word.text, study.learned.layer
    own = [o for o in observations if (o.word, o.layer, o.ordinary) == (word, layer, True) and o.sample in true]
    own = list({o.sample: o for o in reversed(own)}.values())
    labels = np.array([true[o.sample or ""] for o in own], bool)
    if min(labels.sum(), (~labels).sum()) < FEWEST:
        raise DataError(
            f"Of {len(own)} answers that say {word!r}, {labels.sum()} are true and {(~labels).sum()} are not; at least "
            f"{FEWEST} of both are needed. A beginning (--begin) makes a model say what it does not see."
        )
    X = features(np.array([o.strengths for o in own]), np.array([o.error for o in own]))
    rng = np.random.default_rng(seed)
    first = np.zeros(len(own), bool)
    for group in (False, True):
        first[rng.permutation(np.flatnonzero(labels == group))[::2]] = True
    model = fitted(X[first], labels[first], seed)
    scores, rest = model(X[~first]), labels[~first]
    made = Evidence(
        word, *model.numbers, int(first.sum()), auroc_estimate(scores, rest), auroc_estimate(-X[~first, -1], rest)
    )
    save_evidence(made, study.learned, out)
    return open_evidence(out, study.learned)


@dataclass(frozen=True)
class Fitted:
    """A logistic regression of centred and scaled features; its fields are those of `Evidence`."""

    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: float

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """(n,), the logarithms of the odds."""
        return (X - self.centre) / self.scale @ self.weights + self.bias

    @property
    def numbers(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], float]:
        """The fields as plain numbers."""
        return tuple(self.centre.tolist()), tuple(self.scale.tolist()), tuple(self.weights.tolist()), self.bias


def fitted(X: np.ndarray, labels: np.ndarray, seed: int = 0) -> Fitted:
    """A logistic regression, balanced over both labels; its penalty is chosen by the likelihood over five folds."""
    centre, scale = X.mean(axis=0), X.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    model = GridSearchCV(
        LogisticRegression(class_weight="balanced", max_iter=2000),
        {"C": _STRENGTHS},
        scoring="neg_log_loss",
        cv=StratifiedKFold(5, shuffle=True, random_state=seed),
    ).fit((X - centre) / scale, labels)
    return Fitted(centre, scale, model.best_estimator_.coef_[0], float(model.best_estimator_.intercept_[0]))
