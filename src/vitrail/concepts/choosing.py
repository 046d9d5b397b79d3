"""Choosing how many concepts K, and how sparse (λ): each choice is learned, measured, and weighed against the others.

A choice is measured on samples that it was not learned from, each quarter by the concepts of the rest: the variance
that it explains, and how well its best single concepts tell the frequent words of the captions. Beside these stand
its stability, dead concepts, concepts that are nearly the same, and the words that concepts share.

A choice with a fault (unstable, too little explained, dead or duplicate concepts, many words in common) is not weighed
where there are others. Of those that are weighed, all that tell as well as the best one (within one standard error:
Breiman et al. 1984, section 3.4.3) are equal. The one with the fewest concepts is taken, of these the sparsest.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

from vitrail import learners, scores
from vitrail.concepts.options import LearningOptions
from vitrail.concepts.stability import stability
from vitrail.errors import UsageError
from vitrail.learners import Form
from vitrail.progress import Progress, silent
from vitrail.scores import Estimate, Properties, Verdict, verdicts
from vitrail.words import Word, frequent_among

#: The numbers of concepts that are tried where `n_concepts` is "auto": those with `SAMPLES_EACH` samples a concept.
SIZES = (10, 20, 30, 40, 50, 60, 80)
SAMPLES_EACH = 8
#: The values of λ that are tried: shares of the spread, or in the paper's form of the states' median norm.
PENALTIES: dict[Form, tuple[float, ...]] = {"centred": (0.005, 0.02, 0.1), "paper": (0.02, 0.1, 0.5)}
#: What users get who choose nothing: concepts may not share more than `SHARED` times the words that these share.
DEFAULT_SIZE = 20
SHARED = 1.5
#: A sample is judged by the concepts of all parts but its own.
FOLDS = 4
#: Samples that a choice is made on, at most.
MOST_SAMPLES = 4000
#: Words of captions that are told, at most, the most frequent ones.
MOST_WORDS = 60
#: Runs with other seeds, and as many with resamples, that measure the stability of a choice.
RUNS = 2

STABLE_ENOUGH = 0.85
EXPLAINED_ENOUGH = 0.5
WASTED = 0.05
NEARLY_AS_GOOD = 0.02  # of the explained variance, where there are no words to tell

#: From a fitted learner to the share of words that two of its concepts have in common, on average.
Overlap = Callable[[learners.Learner], float]


@dataclass(frozen=True)
class Tried:
    """What is measured of one choice of K and λ; NaN is what was not measured, or what the method does not have.

    Args:
        n_concepts: K.
        penalty: λ.
        explained_variance: of samples that were left out, as in `describe_fit`.
        auroc: of the best single concept for each frequent word of the captions, on samples that were left out; the
            mean over words. `std` is its standard error.
        words: how many words that are.
        stability_seeds: the mean over concepts; `stability_resamples` likewise, see `concepts.stability`.
        stability_resamples: over bootstrap resamples.
        word_overlap: the share of decoded words that two concepts have in common, on average.
        similarity: the mean |cosine| of two concepts.
        zeros: the share of activations that are zero.
        active: the mean number of concepts that are not zero in a sample.
        dead: concepts that no sample activates.
        duplicates: concepts with a cosine of .95 or more with one before.
    """

    n_concepts: int
    penalty: float
    explained_variance: float
    auroc: Estimate
    words: int
    stability_seeds: float
    stability_resamples: float
    word_overlap: float
    similarity: float
    zeros: float
    active: float
    dead: int
    duplicates: int

    @property
    def name(self) -> str:
        """The choice in words."""
        return f"K = {self.n_concepts}" + ("" if math.isnan(self.penalty) else f", λ = {self.penalty:g}")

    @property
    def stability(self) -> float:
        """The smaller of the two."""
        return float(np.fmin(self.stability_seeds, self.stability_resamples))

    @property
    def verdict(self) -> dict[str, Verdict]:
        """What follows from its measures, by their names."""
        return {
            "explained_variance": verdicts.explained(self.explained_variance),
            "auroc": verdicts.told(self.auroc),
            "active": verdicts.sparse(self.active, self.n_concepts),
            "dead": verdicts.dead(self.dead),
            "stability_seeds": verdicts.stability(self.stability_seeds, "seeds"),
            "stability_resamples": verdicts.stability(self.stability_resamples, "resamples"),
        }


@dataclass(frozen=True)
class Choice:
    """The choice of K and λ, the reason for it in words, and all that was tried."""

    chosen: Tried
    reason: str
    tried: tuple[Tried, ...]

    def of(self, options: LearningOptions) -> LearningOptions:
        """`options` with this choice."""
        penalty = None if math.isnan(self.chosen.penalty) else self.chosen.penalty
        return replace(options, n_concepts=self.chosen.n_concepts, penalty=penalty)


@dataclass(frozen=True)
class Judged:
    """The states `Z` (n, d) that choices are learned from and judged on, and which words their captions have."""

    Z: Float[np.ndarray, "n d"]
    words: Properties

    @classmethod
    def of(cls, Z: Float[np.ndarray, "n d"], said: Sequence[set[str]], word: Word) -> Judged:
        """The states, with the frequent words among those that were `said` of each; `word` is the word of interest."""
        fewest = max(scores.FEWEST, int(np.ceil(scores.COMMON * len(Z))))
        found = scores.word_properties(said, frequent_among(said, word, "any", fewest), "word")
        parts = [found.has[others] for _, others in _parts(len(Z))]
        common = [np.minimum(has.sum(axis=0), (~has).sum(axis=0)) >= 2 for has in parts]  # or no AUROC has an error
        return cls(Z, found.of(np.flatnonzero(np.all(common, axis=0))[:MOST_WORDS]))


def measure_all(
    choices: Sequence[LearningOptions], judged: Judged, overlap_of: Overlap | None = None, progress: Progress = silent
) -> tuple[Tried, ...]:
    """What is measured of each choice; `stability` of its options says in how many runs.

    Raises:
        UsageError: more concepts than samples to learn from, or than different ones.
    """
    most, n = max(choice.n_samples for choice in choices), len(judged.Z)
    if most > (left := n - -(-n // FOLDS)):
        raise UsageError(
            f"Cannot learn {most} concepts from {left} of {n} samples; the others are left out to judge. Ask for fewer."
        )
    tried = []
    for done, choice in enumerate(choices):
        progress("choices", done, len(choices))
        with warnings.catch_warnings():  # that a try is not quite finished does not matter; the result says so itself
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                tried.append(measure(choice, judged, overlap_of))
            except ValueError as error:
                raise UsageError(str(error)) from error
    progress("choices", len(choices), len(choices))
    return tuple(tried)


def measure(options: LearningOptions, judged: Judged, overlap_of: Overlap | None = None) -> Tried:
    """What is measured of the concepts that are learned with `options`."""
    Z, learner = judged.Z, options.learner()
    V = np.asarray(learner.fit_transform(Z))
    told, explained = _left_out(options, judged)
    stable = stability(learner, Z, n_runs=options.stability) if options.stability else None
    U = learner.components_
    return Tried(
        n_concepts=len(U),
        penalty=math.nan if options.penalty is None else options.penalty,
        explained_variance=explained,
        auroc=told.mean(),
        words=len(told.auroc),
        stability_seeds=math.nan if stable is None else float(stable.seeds.mean()),
        stability_resamples=math.nan if stable is None else float(stable.resamples.mean()),
        word_overlap=math.nan if overlap_of is None else overlap_of(learner),
        similarity=float(scores.pairwise_cosine(U).mean()),
        zeros=float(np.mean(V == 0)),
        active=float(scores.l0(V).mean()),
        dead=int(scores.dead(V).sum()),
        duplicates=int(scores.duplicates(U, learner.signed).sum()),
    )


def _left_out(options: LearningOptions, judged: Judged) -> tuple[scores.Separation, float]:
    """How well best single concepts tell words, and the explained variance, each part by the concepts of the rest."""
    Z, words, left, whole, told = judged.Z, judged.words, 0.0, 0.0, []
    for rows, others in _parts(len(Z)):
        learner = options.learner()
        V = np.asarray(learner.fit_transform(Z[rows]))
        V_new = np.asarray(learner.transform(Z[others]))
        left += float(np.sum((Z[others] - learner.inverse_transform(V_new)).astype(np.float64) ** 2))
        whole += float(np.sum((Z[others] - Z[rows].mean(axis=0, dtype=np.float64)) ** 2))
        match, sign = scores.matches(V, words.at(rows), learner.signed)
        best, columns = match.argmax(axis=0), np.arange(match.shape[1])
        told.append(scores.separation(V_new[:, best] * sign[best, columns], words.at(others)))
    influence = np.concatenate([part.influence for part in told]) / FOLDS
    auroc = np.mean([part.auroc for part in told], axis=0)
    return scores.Separation(auroc, influence), 1 - left / whole if whole else math.nan


def _parts(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The numbers of the samples to learn from, and of those left out, for every part."""
    return list(KFold(FOLDS, shuffle=True, random_state=0).split(np.empty((n, 1))))


# ---- what is tried ---------------------------------------------------------------------------------------------------


def choices_for(options: LearningOptions, Z: Float[np.ndarray, "n d"]) -> list[LearningOptions]:
    """All that is tried where the number of concepts is "auto": K, and λ where that is not given."""
    sizes = [k for k in SIZES if SAMPLES_EACH * k <= len(Z)] or [max(1, len(Z) // SAMPLES_EACH)]
    penalties = penalties_for(options, Z) if options.penalty is None else (options.penalty,)
    runs = min(RUNS, options.stability)
    return [
        replace(options, n_concepts=k, penalty=penalty, stability=runs, consensus=False, named=())
        for k, penalty in itertools.product(sizes, penalties)
    ]


def penalties_for(options: LearningOptions, Z: Float[np.ndarray, "n d"]) -> tuple[float | None, ...]:
    """The values of λ that are tried; None for a method without λ."""
    known = options.learner().get_params()
    if "penalty" not in known:
        return (None,)
    if options.form == "centred":
        return PENALTIES["centred"]
    norm = float(np.median(np.linalg.norm(Z, axis=1)))
    return tuple(float(f"{share * norm:.2g}") for share in PENALTIES["paper"])


# ---- the choice ------------------------------------------------------------------------------------------------------


def choose(tried: Sequence[Tried]) -> Choice:
    """The choice among what was tried, and its reason in words."""
    failed = {t: _failed(t, tried) for t in tried}
    fewest = min(map(len, failed.values()))
    open_to = [t for t in tried if len(failed[t]) == fewest]
    worth, what = _worth(tried)
    best = max(open_to, key=worth)
    margin = NEARLY_AS_GOOD if math.isnan(best.auroc.mean) else best.auroc.std
    equal = [t for t in open_to if worth(t) >= worth(best) - margin]
    chosen = min(equal, key=lambda t: (t.n_concepts, -t.penalty))
    why = f"{chosen.name}: {what} {verdicts.number(worth(chosen))} on samples that were left out, "
    if chosen == best:
        why += f"the best of {len(open_to)} choices."
    else:
        why += f"as good as the best ({best.name}: {verdicts.number(worth(best))}; they may differ by "
        why += f"{verdicts.number(margin)}), with fewer concepts or fewer active ones."
    return Choice(chosen, " ".join([why, *_beside(chosen), *_excluded(failed, open_to)]), tuple(tried))


def _worth(tried: Sequence[Tried]) -> tuple[Callable[[Tried], float], str]:
    """By what choices that pass the gates are ranked, and that in words."""
    if any(math.isnan(t.auroc.mean) for t in tried):
        return lambda t: t.explained_variance, "its concepts explain a share of the variance of"
    n = tried[0].words
    return lambda t: t.auroc.mean, f"its best single concepts tell {n} words of captions with a mean AUROC of"


def _beside(one: Tried) -> list[str]:
    """What else was measured of the choice, as a sentence."""
    measured = {
        "explained variance": one.explained_variance,
        "stability over seeds": one.stability_seeds,
        "over resamples": one.stability_resamples,
        "word overlap": one.word_overlap,
    }
    said = [f"{what} {verdicts.number(value, 2)}" for what, value in measured.items() if not math.isnan(value)]
    return [f"{', '.join(said).capitalize()}."]


def _failed(one: Tried, tried: Sequence[Tried]) -> list[str]:
    """Why a choice is not taken, in words; what was not measured excludes nothing."""
    default = [t.word_overlap for t in tried if t.n_concepts == DEFAULT_SIZE]
    most = SHARED * max(default, default=math.nan)
    return [
        why
        for fails, why in (
            (one.stability < STABLE_ENOUGH, f"are unstable (below {verdicts.number(STABLE_ENOUGH, 2)})"),
            (one.explained_variance < EXPLAINED_ENOUGH, "explain less than half of the variance"),
            (one.dead + one.duplicates > WASTED * one.n_concepts, "have dead or duplicate concepts"),
            (one.word_overlap > most, f"share {SHARED:g} times as many words as {DEFAULT_SIZE} concepts do"),
        )
        if fails
    ]


def _excluded(failed: dict[Tried, list[str]], open_to: Sequence[Tried]) -> list[str]:
    """Which faults the choices have that were weighed, and how many others were not weighed for which, as sentences."""
    found, others = [], [reasons for t, reasons in failed.items() if t not in open_to]
    if shared := sorted({why for t in open_to for why in failed[t]}):
        found.append(f"No choice is without fault; those that were weighed {' or '.join(shared)}.")
    if others:
        counts = {why: sum(why in reasons for reasons in others) for reasons in others for why in reasons}
        said = "; ".join(f"{n} {why}" for why, n in counts.items())
        found.append(f"{len(others)} of {len(failed)} choices were not weighed: {said}.")
    return found
