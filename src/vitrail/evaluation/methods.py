"""Several methods and words side by side: one evaluation each, tests between them, curves by layer and by K.

OUT/<word>/activations/  test/  noise/          made once for all methods
OUT/<word>/<method>/     concepts/  grounding/  noise-concepts/  noise-grounding/  evaluation/
OUT/<word>/curves/…      dictionaries of other layers and of other numbers of concepts
OUT/embeddings/          of the scorers, for all words
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vitrail.activations import Activations
from vitrail.artifacts import read_made, typed, write_sealed
from vitrail.concepts import learn_as
from vitrail.errors import UsageError
from vitrail.evaluation.curves import DictionarySeries
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.inputs import EvaluationData, Scorers
from vitrail.evaluation.one_study import EvaluationFolders, score_study
from vitrail.evaluation.options import MethodOptions
from vitrail.evaluation.results import (
    MEASURES,
    PROTOCOLS,
    RANDOM_WORDS,
    Curves,
    Difference,
    EvaluationScores,
    MeasureName,
    ProtocolName,
    curves_from_json,
    curves_to_json,
    interval_text,
)
from vitrail.extraction import extract_as
from vitrail.grounding import GroundingOptions, ground_as
from vitrail.lmm import LMM
from vitrail.notebook import Shown, View
from vitrail.progress import Progress, silent
from vitrail.scores import corrected, estimate, paired_p, unpaired_gain, unpaired_p
from vitrail.scores.verdicts import SIGNIFICANT
from vitrail.studies import Study, unseen_activations

FILE = "comparison.json"


@dataclass(frozen=True)
class MethodComparison(Shown):
    """The scores of every word and method, the tests between methods, and the curves of the `main` method."""

    folder: Path
    main: str
    evaluations: dict[str, dict[str, EvaluationScores]]
    tests: tuple[Difference, ...]
    curves: dict[str, Curves]

    def _shown(self) -> View:
        rows = tuple(
            (word, MEASURES[measure], method, interval_text(scored.score))
            for word, made in self.evaluations.items()
            for method, scores in made.items()
            for measure, scored in scores.concepts.items()
        )
        real = sum(test.real for test in self.tests)
        note = f"{real} of {len(self.tests)} differences are real (false discovery rate below 5 %)."
        heads = ("word", "score of concepts", "method", "mean [95 % interval]")
        return View("Methods", f"side by side, in {self.folder}", heads, rows, notes=(note,))

    @property
    def methods(self) -> list[str]:
        """The names of the methods, in the order in which they were asked for."""
        return list(next(iter(self.evaluations.values())))

    def to_json(self) -> dict[str, Any]:
        """The content of `comparison.json`."""
        curves = {word: curves_to_json(of_word) for word, of_word in self.curves.items()}
        return {"main": self.main, "evaluations": self.evaluations, "tests": self.tests, "curves": curves}


def open_method_comparison(folder: str | Path) -> MethodComparison:
    """The comparison of methods in `folder`.

    Raises:
        ArtifactError: `comparison.json` is missing or damaged.
    """
    folder = Path(folder)

    def content(values: Mapping[str, Any]) -> _Content:
        curves = {word: curves_from_json(of_word) for word, of_word in values["curves"].items()}
        return typed({**values, "curves": curves}, _Content)

    return MethodComparison(folder, **vars(read_made(folder / FILE, content, "compare the methods")))


@dataclass(frozen=True)
class _Content:
    """What `comparison.json` holds."""

    main: str
    evaluations: dict[str, dict[str, EvaluationScores]]
    tests: tuple[Difference, ...]
    curves: dict[str, Curves]


def score_methods(
    lmm: LMM,
    data: EvaluationData,
    words: Sequence[str],
    scorers: Scorers,
    options: MethodOptions,
    out: str | Path,
    progress: Progress = silent,
) -> MethodComparison:
    """Every method evaluated on every word, in the folder `out`, with curves for the main method. What is finished is
    kept.

    Raises:
        UsageError: no words.
        WordError: a word that the samples or the model never say.
    """
    if not words:
        raise UsageError("Expected words to compare methods on; got none.")
    run = _Run(lmm, data, scorers, options, Path(out), progress)
    states = {word: run.states(word) for word in words}  # all words first, so that one without samples is known at once
    evaluations = {
        word: {method: run.scores(word, method, found.train) for method in options.methods}
        for word, found in states.items()
    }
    curved = bool(options.layers) or len(options.n_concepts) > 1
    curves = {word: run.curves(word, found) for word, found in states.items()} if curved else {}
    tests = differences(evaluations, options.evaluation.seed)
    made = MethodComparison(Path(out), options.main, evaluations, tuple(tests), curves)
    write_sealed(made.folder / FILE, made.to_json())
    return made


class _States(NamedTuple):
    """The states of one word: those that are learned from, and held-out ones."""

    train: Activations
    test: Activations


@dataclass(frozen=True)
class _Run:
    """One comparison: what all its words and methods have in common."""

    lmm: LMM
    data: EvaluationData
    scorers: Scorers
    options: MethodOptions
    out: Path
    progress: Progress

    def home(self, word: str) -> Path:
        return self.out / word.replace(" ", "-")

    def states(self, word: str) -> _States:
        options, home = self.options, self.home(word)
        layers = self.lmm.layers((options.layer, *options.layers))
        extraction = replace(options.extraction, layers=layers)
        train = extract_as(
            self.lmm, self.data.samples, word, extraction, out=home / "activations", progress=self.named(word)
        )
        named = self.named(f"{word}, test")
        return _States(
            train, unseen_activations(train, self.lmm, self.data.test_samples, out=home / "test", progress=named)
        )

    def scores(self, word: str, method: str, train: Activations) -> EvaluationScores:
        own = self.home(word) / method
        learning = self.options.learning(method)
        concepts = learn_as(train, replace(learning, layer=self.lmm.layer(self.options.layer)), out=own / "concepts")
        grounding = ground_as(self.lmm, train, concepts, GroundingOptions(), out=own / "grounding")
        return score_study(
            Study(own, train, concepts, grounding),
            self.lmm,
            self.data,
            self.scorers,
            EvaluationFolders(own / "evaluation", self.home(word), self.out / "embeddings"),
            self.options.evaluation,
            self.named(f"{word}, {method}"),
        ).scores

    def curves(self, word: str, states: _States) -> Curves:
        options, progress = self.options, self.named(word)
        learning = replace(options.learning(options.main), layer=self.lmm.layer(options.layer))
        measured, home = options.evaluation, self.home(word) / "curves"
        series = DictionarySeries(
            self.lmm, states.train, learning, home, measured.n_random, measured.over_captions, progress
        )
        embeddings = Embeddings(self.out / "embeddings", self.scorers, progress)
        layers = self.lmm.layers(options.layers)
        several = len(options.n_concepts) > 1
        return Curves(
            options.main,
            series.by_layer(layers, self.data.samples, embeddings) if layers else (),
            series.by_size(options.n_concepts, states.test) if several else (),
        )

    def named(self, what: str) -> Progress:
        """Progress that says which part of the comparison a stage belongs to."""
        return lambda stage, done, total: self.progress(f"{stage} ({what})", done, total)


# ---- tests -----------------------------------------------------------------------------------------------------------


def differences(evaluations: Mapping[str, Mapping[str, EvaluationScores]], seed: int = 0) -> list[Difference]:
    """The tests between methods, with p-values and, over all of them, q-values.

    Each method is tested against random words, and every two methods against each other: paired on the same images in
    protocol (b) with the most active concept, unpaired on their concepts in protocol (a).

    Args:
        evaluations: word → method → scores.
    """
    tests = [
        test
        for word, by_method in evaluations.items()
        for measure, protocol in itertools.product(MEASURES, PROTOCOLS)
        for test in _tests(word, measure, protocol, by_method, seed)
    ]
    q_values = corrected([test.p for test in tests])
    return [replace(test, q=q, real=bool(q < SIGNIFICANT)) for test, q in zip(tests, q_values, strict=True)]


def _tests(
    word: str,
    measure: MeasureName,
    protocol: ProtocolName,
    by_method: Mapping[str, EvaluationScores],
    seed: int,
) -> list[Difference]:
    """The tests of one word, measure and protocol, before the p-values of all tests are corrected together."""
    found, units = [], {}
    for method, scores in by_method.items():
        scored = scores.scored(protocol, measure)
        assert scored is not None  # every dictionary has a most active concept
        units[method] = np.array(scored.units, float)
        random = scored.against["random"]
        found.append(Difference(word, measure, protocol, method, RANDOM_WORDS, random.gain, random.p))
    for first, second in itertools.combinations(units, 2):
        a, b = units[first], units[second]
        if protocol == "images":
            gain, p = estimate(a - b, seed), paired_p(a, b, seed=seed)
        else:
            gain, p = unpaired_gain(a, b, seed), unpaired_p(a, b, seed=seed)
        found.append(Difference(word, measure, protocol, first, second, gain, p))
    return found
