"""Alarms: which streams moved, in which direction and how far, since when, and which few of them explain it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from vitrail.lmm import Layer
from vitrail.monitoring.observation import Observation
from vitrail.monitoring.reference import Reference
from vitrail.monitoring.sinks import Notice
from vitrail.monitoring.streams import Stream
from vitrail.notebook import Picture as Shot
from vitrail.notebook import Shown, View
from vitrail.scores.betting import Wealth, adjusted, e_bh
from vitrail.scores.drift import rank_test
from vitrail.scores.verdicts import percent

#: So many observations at least are compared, and so many images are shown.
FEWEST, PICTURES = 40, 5
#: The smallest set has so many streams at most.
MOST = 5
_STRENGTHS = tuple(np.logspace(-3, 0.5, 15).tolist())


@dataclass(frozen=True)
class Moved:
    """A stream that moved.

    Args:
        stream: which one.
        before: its mean in the reference: a rate where it is a word, a strength where it is a concept.
        now: the same since the change.
        rate_before: the share of values above 0 in the reference.
        rate_now: the same since the change.
        superiority: the probability that a value since the change is larger than one of the reference; ties half.
        evidence: the e-value: the capital of who bet against no change, at its highest so far.
    """

    stream: Stream
    before: float
    now: float
    rate_before: float
    rate_now: float
    superiority: float
    evidence: float

    @property
    def rises(self) -> bool:
        """Whether it is higher than in the reference."""
        return self.superiority >= 0.5

    def __str__(self) -> str:
        verb = "rises" if self.rises else "falls"
        if self.stream.kind == "novelty":
            return f"novelty {verb} from {self.before:.2f} to {self.now:.2f}"
        return f"{self.stream} {verb} from {percent(self.rate_before)} to {percent(self.rate_now)} of answers"


@dataclass(frozen=True)
class Explained:
    """The smallest set of streams that tells the observations since the change from the reference.

    Args:
        streams: those that a sparse classifier chose on one half of both.
        auroc: how well they tell the other halves apart; .5 is not at all.
    """

    streams: tuple[Stream, ...]
    auroc: float


@dataclass(frozen=True)
class Picture:
    """An observation as an alarm shows it."""

    caption: str
    value: float
    thumbnail: bytes


@dataclass(frozen=True)
class Alarm(Shown):
    """A model at work is no longer as the reference was.

    Args:
        number: of the alarm in its folder, from 0.
        word: of the study.
        layer: of its concepts.
        time: of the observation that raised it, in seconds since 1970.
        observation: how many observations the watch had seen.
        since: how many it had seen when the change began, as far as can be told.
        since_time: when that was.
        alpha: the probability that the watch ever raises a false alarm.
        moved: the streams that moved: that which raised the alarm, and those that e-BH finds with a false discovery
            rate of at most `alpha`. First the one with the most evidence: the logarithm of its capital less that of the
            p-value of its values since the change (Mann–Whitney), which each see what the other misses.
        explained: the smallest set that explains the joint change; None for too few observations.
        before: images of the reference, from low to high values of the first stream.
        now: images since the change, with the values of the first stream that moved it most.
    """

    number: int
    word: str
    layer: Layer
    time: float
    observation: int
    since: int
    since_time: float
    alpha: float
    moved: tuple[Moved, ...]
    explained: Explained | None
    before: tuple[Picture, ...]
    now: tuple[Picture, ...]

    def __str__(self) -> str:
        also = f", and {len(self.moved) - 1} more" if len(self.moved) > 1 else ""
        return f"{self.word!r}: {self.moved[0]}{also}, since observation {self.since} of {self.observation}."

    def _shown(self) -> View:
        rows: list[tuple[Any, ...]] = [
            (str(m.stream), "rises" if m.rises else "falls", percent(m.rate_before), percent(m.rate_now), m.evidence)
            for m in self.moved
        ]
        shots = [tuple(Shot(p.thumbnail, p.caption) for p in pictures) for pictures in (self.before, self.now)]
        rows += [("images", "", *shots, "")] if any(shots) else []
        heads = ("stream", "", "in the reference", "since the change", "evidence (e-value)")
        return View(f"Alarm {self.number}", str(self), heads, tuple(rows))

    @property
    def notice(self) -> Notice:
        """What sinks of dashboards are told."""
        first = self.moved[0].stream
        return Notice(self.word, self.layer, self.time, first.kind, first.concept, str(self))


@dataclass(frozen=True)
class Seen:
    """What a watch has seen.

    Args:
        values: (n, streams).
        times: n.
        last: the last observations, as many as are kept.
    """

    values: np.ndarray
    times: Sequence[float]
    last: Sequence[Observation]


def alarm_of(reference: Reference, wealth: Wealth, limits: np.ndarray, seen: Seen, number: int, alpha: float) -> Alarm:
    """The alarm of a watch whose capital has reached the limit of a stream, with its cause."""
    first = int((wealth.log - limits).argmax())
    since = min(int(wealth.since[first]), max(len(seen.values) - FEWEST, 0))
    window = seen.values[since:]
    found = e_bh(adjusted(wealth.highest), alpha)
    found[first] = True
    p, superiority = rank_test(reference.values, window)
    order = np.argsort(np.log(np.maximum(p, 1e-300)) - wealth.log, kind="stable")
    indices = [int(i) for i in order if found[i]]
    moved = tuple(_moved(reference, window, i, superiority[i], wealth.highest[i]) for i in indices)
    recent = list(seen.last)[-len(window) :]
    return Alarm(
        number=number,
        word=reference.word,
        layer=reference.layer,
        time=seen.times[-1],
        observation=len(seen.values),
        since=since,
        since_time=seen.times[since],
        alpha=alpha,
        moved=moved,
        explained=explained(reference, window),
        before=_of_reference(reference, indices[0]),
        now=_of_window(recent, seen.values[len(seen.values) - len(recent) :, indices[0]], moved[0].rises),
    )


def _moved(reference: Reference, window: np.ndarray, index: int, superiority: float, log_evidence: float) -> Moved:
    before, now = reference.values[:, index], window[:, index]
    return Moved(
        stream=reference.streams.all[index],
        before=float(before.mean()),
        now=float(now.mean()),
        rate_before=float((before > 0).mean()),
        rate_now=float((now > 0).mean()),
        superiority=float(superiority),
        evidence=float(np.exp(min(log_evidence, 300.0))),
    )


def explained(reference: Reference, window: np.ndarray, seed: int = 0) -> Explained | None:
    """The smallest set of streams that tells `window` from the reference; None for fewer than 40 values.

    A logistic regression with an L1 penalty chooses it on one half of both: the strongest penalty whose AUROC, over
    three folds, is within a standard error of the best, with five streams at most. The AUROC is that on the other half.
    """
    if len(window) < FEWEST:
        return None
    values = np.concatenate([reference.values, window]).astype(float)
    is_new = np.repeat([0, 1], [len(reference), len(window)])
    spread = reference.values.std(axis=0)
    values = (values - reference.values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    half = np.zeros(len(values), bool)
    rng = np.random.default_rng(seed)
    for group in (0, 1):
        own = rng.permutation(np.flatnonzero(is_new == group))
        half[own[: len(own) // 2]] = True
    fitted = _sparse(_chosen(values[half], is_new[half], seed)).fit(values[half], is_new[half])
    used = np.flatnonzero(fitted.coef_[0])
    auroc = float(roc_auc_score(is_new[~half], fitted.decision_function(values[~half])))
    ordered = sorted(used, key=lambda i: -abs(fitted.coef_[0][i]))
    return Explained(tuple(reference.streams.all[i] for i in ordered), auroc)


def _sparse(strength: float) -> LogisticRegression:
    return LogisticRegression(l1_ratio=1, C=strength, solver="liblinear", class_weight="balanced", max_iter=500)


def _chosen(values: np.ndarray, is_new: np.ndarray, seed: int) -> float:
    """The smallest inverse penalty whose AUROC over three folds is within a standard error of the best, of those that
    leave one stream to five."""
    tried, scores = list[float](), list[list[float]]()
    folds = list(StratifiedKFold(3, shuffle=True, random_state=seed).split(values, is_new))
    for strength in _STRENGTHS:
        used = np.count_nonzero(_sparse(strength).fit(values, is_new).coef_)
        if used > MOST and tried:
            break
        if used:
            fitted = [(_sparse(strength).fit(values[train], is_new[train]), test) for train, test in folds]
            tried.append(strength)
            scores.append([roc_auc_score(is_new[test], one.decision_function(values[test])) for one, test in fitted])
    means, errors = np.mean(scores, axis=1), np.std(scores, axis=1, ddof=1) / np.sqrt(3)
    best = int(means.argmax())
    return tried[int(np.flatnonzero(means >= means[best] - errors[best])[0])]


def _of_reference(reference: Reference, index: int) -> tuple[Picture, ...]:
    """Images of the reference at even steps of a stream's values."""
    pictured = np.array([i for i, image in enumerate(reference.thumbnails) if image], int)
    if not len(pictured):
        return ()
    ordered = pictured[np.argsort(reference.values[pictured, index], kind="stable")]
    places = np.linspace(0, len(ordered) - 1, min(PICTURES, len(ordered))).round().astype(int)
    return tuple(
        Picture(reference.captions[i] or "", float(reference.values[i, index]), reference.thumbnails[i] or b"")
        for i in ordered[places]
    )


def _of_window(recent: Sequence[Observation], values: np.ndarray, rises: bool) -> tuple[Picture, ...]:
    """Images of the observations whose values moved a stream most."""
    order = np.argsort(-values if rises else values, kind="stable")
    pictured = [int(i) for i in order if recent[i].thumbnail][:PICTURES]
    return tuple(Picture(recent[i].caption or "", float(values[i]), recent[i].thumbnail or b"") for i in pictured)
