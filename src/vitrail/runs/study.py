"""`vitrail study`: the line in one go, extract → learn → ground → explain → report, into one folder.

Every stage keeps what is finished, so a study that was stopped goes on when it is run again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vitrail.activations import Activations, ExtractionOptions
from vitrail.artifacts import folder_for, one_writer, plain, write_sealed
from vitrail.concepts import Concepts, LearningOptions, learn_as
from vitrail.concepts.verdicts import of_concept, of_concepts
from vitrail.explanation import KIND as EXPLANATIONS
from vitrail.explanation import explain_samples, save_explanations
from vitrail.extraction import extract_as
from vitrail.grounding import Grounding, GroundingOptions, ground_as, lens_for, overlap_of
from vitrail.lmm import LMM, Layer, as_lmm
from vitrail.progress import Progress, shown, silent
from vitrail.runs.checks import check_study, check_study_folder, hold_out
from vitrail.runs.opened import Study
from vitrail.runs.report import report
from vitrail.samples import Sample, as_samples
from vitrail.samples.facts import known_facts
from vitrail.scores import KnownFactors, Verdict
from vitrail.studies import FACTORS, known_factors
from vitrail.words import Word

SUMMARY = "summary.json"


def study(
    lmm: LMM | str | Path,
    samples: Sequence[Sample] | str | Path,
    word: Word | str,
    *,
    out: str | Path | None = None,
    layer: Layer | None = None,
    method: str | None = None,
    n_concepts: int | Literal["auto"] | None = None,
    extraction: ExtractionOptions | None = None,
    learning: LearningOptions | None = None,
    grounding: GroundingOptions | None = None,
    factors: KnownFactors | None = None,
    progress: Progress | bool = True,
) -> Study:
    """The concepts behind `word`, grounded and reported in the folder `out`.

    Of the samples that have the word the last ten are held out, and explained. A study that was stopped goes on.

    >>> import vitrail
    >>> made = vitrail.study("toyland", "toyland", "dog", n_concepts=5)
    >>> made
    <Study of 'dog' in toyland: 5 concepts of ... samples, in ...dog>
    >>> made.report().name
    'report.html'

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        samples: the samples, or their name, file or folder, as `load_samples` takes them.
        word: the word of interest.
        out: `vitrail-studies/WORD` for None. Another study there is never overwritten, but refused.
        layer: short for `extraction` with this layer alone; the last block by default.
        method: short for `learning` with this method; "semi-nmf" by default.
        n_concepts: short for `learning` with so many concepts; 20 by default. "auto" chooses among several.
        extraction: how states are extracted; `learning` and `grounding` likewise.
        factors: sample id → factor → value, where factors of the samples are known; the report compares concepts with
            them. Those of samples that are given by name are found beside them.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        WordError: no sample has the word.
        DataError: no samples, or no image can be read.
        UsageError: an option that cannot be, or more concepts than samples.
        ArtifactError: `out` belongs to another run.
    """
    word = Word(word) if isinstance(word, str) else word
    extraction = extraction or ExtractionOptions()
    learning = learning or LearningOptions()
    extraction = extraction if layer is None else replace(extraction, layers=(layer,))
    learning = learning if method is None else replace(learning, method=method)
    learning = learning if n_concepts is None else replace(learning, n_concepts=n_concepts)
    out = folder_for(out, "studies", word.text, progress)
    check_study_folder(out)
    options = StudyOptions(extraction, learning, grounding or GroundingOptions())
    options.grounding.check_lens()
    with shown(progress) as tell:
        if factors is None and isinstance(samples, str | Path):
            factors = known_facts(samples, tell).factors
        samples = as_samples(samples, tell)
        check_study(samples, word, extraction, learning)  # before a model is loaded
        return _study(as_lmm(lmm), samples, word, options, factors or {}, out=out, progress=tell)


@dataclass(frozen=True)
class StudyOptions:
    """How each stage of a study is made."""

    extraction: ExtractionOptions
    learning: LearningOptions
    grounding: GroundingOptions


@one_writer
def _study(
    lmm: LMM,
    samples: Sequence[Sample],
    word: Word,
    options: StudyOptions,
    factors: KnownFactors,
    *,
    out: Path,
    progress: Progress,
) -> Study:
    """All stages of a study, one after the other."""
    if options.grounding.lens is not None:  # before the long wait
        layer = options.extraction.layers[0] if options.learning.layer is None else options.learning.layer
        lens_for(lmm, layer, options.grounding.lens)
    learned_from, held_out = hold_out(samples, word, options.extraction.require)
    seconds: dict[str, float] = {}
    with _timed(seconds, "extract"):
        extraction = options.extraction
        activations = extract_as(lmm, learned_from, word, extraction, out=out / "activations", progress=progress)
    with _timed(seconds, "learn", progress):
        concepts = learned(lmm, activations, options.learning, options.grounding, out=out, progress=progress)
    with _timed(seconds, "ground", progress):
        grounded = ground_as(lmm, activations, concepts, options.grounding, out=out / "grounding")
    with _timed(seconds, "explain", progress):
        explanations = explain_samples(lmm, activations, concepts, grounded, held_out)
        save_explanations(explanations, grounded, out / EXPLANATIONS)
    if known := {i: dict(factors[i]) for i in activations.sample_ids() if i in factors}:
        write_sealed(out / FACTORS, {"factors": known})
    made = Study(out, activations, concepts, grounded, tuple(explanations), known_factors(out))
    with _timed(seconds, "report", progress):
        report(made)
    write_sealed(out / SUMMARY, plain(summary(made, seconds)))
    return made


def learned(
    lmm: LMM,
    activations: Activations,
    learning: LearningOptions,
    grounding: GroundingOptions,
    *,
    out: Path,
    progress: Progress = silent,
) -> Concepts:
    """The concepts of a study in `out`; where their number is chosen, by how they share words, too."""
    if learning.n_concepts != "auto":
        return learn_as(activations, learning, out=out / "concepts")
    shared = overlap_of(lmm, activations, learning, grounding)
    return learn_as(activations, learning, out=out / "concepts", overlap_of=shared, progress=progress)


@dataclass(frozen=True)
class ConceptSummary:
    """One concept of a `Summary`.

    Args:
        index: its row in `U`.
        title: its name, the same everywhere.
        words: decoded from its direction.
        disagrees: whether none of these is among the words that the captions of its samples share.
        samples: ids of those that activate it most.
        share: of samples whose strongest concept it is.
        stability: over "seeds" and over "resamples", None where it was not measured.
        verdict: what follows from each stability.
        named: what it was named; empty for one that was found.
    """

    index: int
    title: str
    words: list[str]
    disagrees: bool
    samples: list[str]
    share: float
    stability: dict[str, float] | None
    verdict: dict[str, Verdict]
    named: str = ""


@dataclass(frozen=True)
class SampleCounts:
    """How many samples were looked at, how many have the word, and the ids of those whose image cannot be read."""

    scanned: int
    kept: int
    unreadable: list[str]


@dataclass(frozen=True)
class Summary:
    """What a study found: the content of `summary.json`. `scores` are those of `concepts.describe_fit`, with what
    follows from them in `verdict`; `mean` are the words of the mean where that is a row of its own."""

    word: str
    model: str
    layer: Layer
    alignment: str
    read_at: str
    method: str
    n_concepts: int
    samples: SampleCounts
    explained_variance: float
    scores: dict[str, float]
    verdict: dict[str, Verdict]
    concepts: list[ConceptSummary]
    seconds: dict[str, float]
    mean: list[str] | None = None


def summary(made: Study, seconds: dict[str, float] | None = None) -> Summary:
    """What a study found; `seconds` are those of its stages."""
    counts, mean = made.activations.counts, made.grounding.mean
    return Summary(
        word=made.activations.word.text,
        model=made.activations.model.name,
        layer=made.concepts.layer,
        alignment=made.activations.options.alignment,
        read_at=made.activations.options.read_at,
        method=made.concepts.options.method,
        n_concepts=len(made.concepts),
        samples=SampleCounts(counts.scanned, counts.kept, [i for i, _ in counts.unreadable]),
        explained_variance=made.concepts.scores["explained_variance"],
        scores=made.concepts.scores,
        verdict=of_concepts(made.concepts),
        concepts=concept_summaries(made.activations.word.text, made.concepts, made.grounding),
        seconds={stage: round(s, 3) for stage, s in (seconds or {}).items()},
        mean=None if mean is None else [w.word for w in mean.words],
    )


def concept_summaries(word: str, concepts: Concepts, grounding: Grounding) -> list[ConceptSummary]:
    """The summary of every concept of a `grounding` of `concepts`; `word` is the word of interest."""
    stability = concepts.stability
    return [
        ConceptSummary(
            index=c.index,
            title=c.name(word),
            words=[w.word for w in c.words],
            disagrees=c.disagrees,
            samples=[s.sample_id for s in c.samples],
            share=c.share,
            stability=None if stability is None else {k: values[c.index] for k, values in stability.items()},
            verdict=of_concept(concepts, c.index),
            named=c.named,
        )
        for c in grounding.concepts
    ]


@contextmanager
def _timed(seconds: dict[str, float], stage: str, progress: Progress = silent) -> Iterator[None]:
    """Times a stage; `progress` is told of one that has no steps of its own to tell."""
    start = time.perf_counter()
    progress(stage, 0, 1)
    yield
    progress(stage, 1, 1)
    seconds[stage] = time.perf_counter() - start
