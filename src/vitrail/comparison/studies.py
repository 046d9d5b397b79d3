"""Two studies of one word in two models → what became of its concepts, and how far shifts recover that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail import scores
from vitrail.artifacts import KeptParts, one_writer, parent
from vitrail.comparison.aligned import AlignedStudies, align_studies
from vitrail.comparison.artifact import (
    ComparedStudy,
    Comparison,
    Findings,
    SampleCounts,
    is_made,
    open_comparison,
    write_comparison,
)
from vitrail.comparison.concept_changes import (
    Matched,
    concept_changes,
    concepts_after,
    correlations,
    emerged_concepts,
    move_measures,
)
from vitrail.comparison.layers import LayerComparison
from vitrail.comparison.matching import links, match
from vitrail.comparison.models import ModelComparison, check_models
from vitrail.comparison.options import ComparisonOptions
from vitrail.comparison.pairs import check_comparable
from vitrail.comparison.recovery import (
    AlphaCurve,
    Control,
    Moves,
    Recovery,
    ShiftTrial,
    Target,
    alpha_curve,
    controls,
    recover,
)
from vitrail.errors import UsageError
from vitrail.grounding import check_model
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.studies import Study


@dataclass(frozen=True)
class WiderViews:
    """What is kept beside a comparison of two studies: the whole models, other layers, checkpoints."""

    whole: ModelComparison | None = None
    layers: tuple[LayerComparison, ...] = ()
    steps: tuple[LayerComparison, ...] = ()

    def parameters(self) -> dict[str, Any]:
        """What was looked at, as a manifest keeps it."""
        return {
            "whole": None if self.whole is None else self.whole.n_samples,
            "layers": [found.layer for found in self.layers],
            "steps": [found.step for found in self.steps],
        }


@one_writer
def compare_studies(
    a: Study,
    b: Study,
    lmm_a: LMM,
    lmm_b: LMM,
    *,
    out: str | Path,
    options: ComparisonOptions | None = None,
    views: WiderViews | None = None,
    progress: Progress = silent,
) -> Comparison:
    """What became of the concepts of study `a` in study `b`, and how far shifts recover it, in the folder `out`.

    Only samples of both studies count, by id. Each model reads the words of its own concepts. For recovery, *b* reads
    all of them (a concept's before and after the shift, and its match's), so that α = 0 is "before".

    Args:
        a: the study of the model before, `lmm_a`; `b` is that of the model after, `lmm_b`.
        options: how; its `n_whole` and `checkpoints` are for `vitrail.compare`, which makes `views`.
        views: kept in the comparison as they are.

    Raises:
        UsageError: another word, layer, method, form, filter of words or tokenizer; or an estimator that does not fit.
        DataError: no common samples.
        ArtifactError: a model did not make its study, or `out` belongs to another run.
    """
    out, options, views = Path(out), options or ComparisonOptions(), views or WiderViews()
    check_studies(a, b, lmm_a, lmm_b)
    if (found := made_before(a, b, out, options, views.parameters())) is not None:
        return found
    options, parameters, parents = _decided(a, b, options, views.parameters())
    parts = KeptParts(
        out, {"parameters": parameters, "parents": parents, "models": [lmm_a.describe(), lmm_b.describe()]}
    )
    progress("compare", 0, 4)
    aligned = align_studies(a, b, lmm_a, lmm_b, n_words=options.n_words, n_images=options.n_images)
    matched = _matched(aligned, options)
    trial = _trial(aligned, matched, options)
    progress("compare", 1, 4)
    findings = _findings(aligned, matched, trial, _Way(options, views, parts), progress)
    shifts = trial.shifts()
    tensors = {
        "shifts": shifts,
        "concepts": trial.U,
        "mean_move": aligned.D.mean(0),
        "shifted": trial.U + options.alpha * shifts,
    }
    made = write_comparison(out, findings, tensors, parameters=parameters, parents=parents)
    parts.remove()
    progress("compare", 4, 4)
    return made


def made_before(
    a: Study, b: Study, out: Path, options: ComparisonOptions, looked_at: Mapping[str, Any]
) -> Comparison | None:
    """The comparison in `out`, if it is finished; None where it is still to be made.

    Args:
        looked_at: what the wider views look at; see `WiderViews.parameters`.

    Raises:
        UsageError: an estimator that does not fit the concepts.
        ArtifactError: `out` belongs to another run.
    """
    _, parameters, parents = _decided(a, b, options, looked_at)
    return open_comparison(out) if is_made(out, parameters, parents) else None


def _decided(
    a: Study, b: Study, options: ComparisonOptions, looked_at: Mapping[str, Any]
) -> tuple[ComparisonOptions, dict[str, Any], dict[str, Any]]:
    """The options that fit the concepts, and the parameters and the parents of the comparison's manifest."""
    fitting = options.of_concepts(prototypes=a.concepts.learner.prototypes)
    parents = {"a": parent(a.concepts.folder), "b": parent(b.concepts.folder)}
    return fitting, {**fitting.parameters(), **looked_at}, parents


def check_studies(a: Study, b: Study, lmm_a: LMM, lmm_b: LMM) -> None:
    """Raises unless the two studies can be compared, and the models are theirs; see `compare_studies`."""
    check_alike(a, b)
    check_models(lmm_a, lmm_b)
    for study, lmm in ((a, lmm_a), (b, lmm_b)):
        check_model(lmm, study.activations)


def check_alike(a: Study, b: Study) -> None:
    """Raises unless the two studies can be compared; no model is needed."""
    check_comparable(a.activations, b.activations)
    for name, here, there in (
        ("layer", a.concepts.layer, b.concepts.layer),
        ("method", a.concepts.options.method, b.concepts.options.method),
        ("form", a.concepts.options.form, b.concepts.options.form),
        ("shared", a.concepts.parameters.get("shared"), b.concepts.parameters.get("shared")),
    ):
        if here != there:
            raise UsageError(
                f"{a.folder} and {b.folder} cannot be compared: {name} is {here!r} in one, {there!r} in the other."
            )
    here, there = (
        f"language={study.grounding.options.language!r}, own_word={study.grounding.options.own_word}"
        for study in (a, b)
    )
    if here != there:
        raise UsageError(
            f"{a.folder} and {b.folder} cannot be compared: words were chosen with {here} in one, with {there} in the "
            "other. Run `vitrail ground` again on one of them."
        )


def _matched(aligned: AlignedStudies, options: ComparisonOptions) -> Matched:
    rules = options.rules
    linked = links(
        aligned.a.strength,
        aligned.b.strength,
        exclusive=aligned.exclusive,
        strength=rules.strength,
        level=rules.level,
        permutations=rules.permutations,
        seed=options.seed,
    )
    C = scores.cosines(aligned.a.U, aligned.b.U)
    return Matched(C, match(C, options.matching), linked)


def _trial(aligned: AlignedStudies, matched: Matched, options: ComparisonOptions) -> ShiftTrial:
    b = aligned.b
    target = Target(matched.match, b.U, b.words, b.images)
    assert options.estimator is not None
    moves = Moves(aligned.D, aligned.a.V, aligned.a.strength, aligned.mean_move)
    return ShiftTrial(aligned.a.U, moves, target, b.reader.words, options.estimator)


@dataclass(frozen=True)
class _Way:
    """How findings are made, what stands beside them, and what keeps their parts."""

    options: ComparisonOptions
    views: WiderViews
    parts: KeptParts


def _findings(aligned: AlignedStudies, matched: Matched, trial: ShiftTrial, way: _Way, progress: Progress) -> Findings:
    options, views, parts = way.options, way.views, way.parts
    alpha, seed, rules, linked = options.alpha, options.seed, options.rules, matched.links

    def recovered() -> Recovery:
        return recover(
            trial,
            aligned.activations_in_b,
            aligned.a.images,
            alpha=alpha,
            n_images=options.n_images,
            resamples=options.resamples,
            seed=seed,
        )

    recovery = parts.part("recovery", recovered, Recovery.from_json)
    progress("compare", 2, 4)
    others = parts.value(
        "controls",
        lambda: controls(trial, recovery.words_after, alpha=alpha, draws=options.draws, seed=seed),
        tuple[Control, ...],
    )
    curve = parts.value("curve", lambda: alpha_curve(trial, seed=seed), AlphaCurve)
    progress("compare", 3, 4)
    measures = move_measures(aligned.D, aligned.a.strength)
    a, b, pairs = aligned.a.study, aligned.b.study, aligned.pairs
    return Findings(
        word=a.activations.word,
        a=ComparedStudy(a.folder.name, a.activations.model),
        b=ComparedStudy(b.folder.name, b.activations.model),
        layer=a.concepts.layer,
        alignment=a.activations.options.alignment,
        method=a.concepts.options.method,
        samples=SampleCounts(len(pairs), pairs.only_a, pairs.only_b, aligned.n_outliers),
        estimator=trial.estimator,
        alpha=alpha,
        matching=options.matching,
        concepts=concept_changes(aligned, matched, recovery, measures, rules),
        emerged=emerged_concepts(aligned, linked, rules),
        after=concepts_after(aligned),
        flow=linked.flow.tolist(),
        linked=linked.linked.tolist(),
        link_strength=linked.strength.tolist(),
        recovery=recovery.summary(seed),
        controls=others,
        alpha_curve=curve,
        correlations=correlations(measures, recovery),
        **vars(views),
    )
