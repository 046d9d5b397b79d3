"""`vitrail compare`: what a fine-tune did to the concepts of a word, from two studies to the report.

Every stage keeps what is finished, so a comparison that was stopped goes on when it is run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from vitrail.activations import Activations
from vitrail.artifacts import MANIFEST, KeptParts, beside, check_ours, file_hash, folder_for, one_writer, parent
from vitrail.comparison import (
    Comparison,
    ComparisonOptions,
    LayerComparison,
    ModelComparison,
    WiderViews,
    check_alike,
    check_studies,
    compare_checkpoints,
    compare_layers,
    compare_models,
    compare_studies,
    made_before,
)
from vitrail.concepts import LearningOptions
from vitrail.errors import UsageError
from vitrail.extraction import check_images
from vitrail.finetuning import open_finetune
from vitrail.grounding import GroundingOptions
from vitrail.lmm import LMM, Layer, as_lmm, check_model, is_adapter, load_as
from vitrail.progress import Progress, foretell, shown
from vitrail.reports.comparison import comparison_page
from vitrail.samples import Sample, as_samples, digest_of
from vitrail.studies import Study, as_study, check_again, own_samples, same_activations, same_study


def compare(
    a: Study | str | Path,
    b: Study | str | Path | None = None,
    lmm_a: LMM | str | Path | None = None,
    lmm_b: LMM | str | Path | None = None,
    *,
    out: str | Path | None = None,
    samples: Sequence[Sample] | str | Path | None = None,
    options: ComparisonOptions | None = None,
    progress: Progress | bool = True,
) -> Comparison:
    """What became of the concepts of study `a` in study `b`, with its report, in the folder `out`.

    Beside the two studies it compares every layer, where both studies have several; the whole models, where samples are
    given; and the checkpoints of a fine-tune, where `options` names one.

    Args:
        a: the study of the model before, or its folder.
        b: the study of the model after, or its folder. For None it is made as `a` was, on the same samples, in
            `out`/b.
        lmm_a: the model before, or its name or folder; the one that `a` remembers for None.
        lmm_b: the model after, or its name or folder, or an adapter on the model before; the one that `b` remembers for
            None.
        out: `vitrail-comparisons/WORD` for None. Another comparison there is never overwritten, but refused.
        samples: the data that `a` was made of, or their name, file or folder.
        options: how they are compared.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        UsageError: neither `b` nor `lmm_b`; samples are needed and were not given; another word, layer, method, filter
            of words or tokenizer; or an estimator that does not fit the concepts.
        DataError: no common samples.
        ArtifactError: a model did not make its study, or `out` belongs to another run.
        ModelError: a checkpoint is no adapter for the model before.
    """
    a, b, options = as_study(a), None if b is None else as_study(b), options or ComparisonOptions()
    if b is None and lmm_b is None:
        raise UsageError("A comparison needs a model after: give its study (b), or the model or adapter (lmm_b).")
    out = folder_for(out, "comparisons", a.activations.word.text, progress)
    check_ours(beside("compare", out))
    with shown(progress) as tell:
        given = None if samples is None else as_samples(samples, tell)
        check_comparison(a, b, given, options)
        before = a.lmm if lmm_a is None else as_lmm(lmm_a)
        after = _after(a, b, lmm_b)
        return _compare(a, b, before, after, given, options, out=out, progress=tell)


def check_comparison(a: Study, b: Study | None, samples: Sequence[Sample] | None, options: ComparisonOptions) -> None:
    """Raises unless the studies, or study `a` and one to be made of `samples`, can be compared; no model is needed.

    Raises:
        UsageError: samples are needed and were not given; or another word, layer, method or filter of words;
            or an estimator that does not fit the concepts.
        DataError: no common samples, or no image can be opened.
        ArtifactError: there is no fine-tune whose checkpoints are compared.
    """
    options.of_concepts(prototypes=a.concepts.learner.prototypes)
    if samples is None and (b is None or options.checkpoints is not None):
        raise UsageError("Samples are needed to extract states of another model: give the data that `a` was made of.")
    if options.checkpoints is not None:
        open_finetune(options.checkpoints)
    if b is None:
        check_again(a)
    else:
        check_alike(a, b)
    if samples is not None:
        check_images(own_samples(a.activations, samples) if b is None else samples)


def check_tuned(before: Activations, *, model: str | None = None, adapter: str | Path | None = None) -> None:
    """Raises unless there is such a model after, see `load_tuned`; its weights are not read.

    Raises:
        ModelError: there is no such model or adapter.
    """
    check_model(
        model or before.model.name,
        revision=None if model else before.model.revision,
        adapter=adapter,
        layers=before.layers,
    )


def _after(a: Study, b: Study | None, lmm_b: LMM | str | Path | None) -> LMM:
    """The model after: the one that is given, loaded as the one before was; or else the one of study `b`."""
    if lmm_b is None and b is not None:
        return b.lmm
    if not isinstance(lmm_b, str | Path):
        return cast(LMM, lmm_b)
    if is_adapter(lmm_b):
        return load_tuned(a.activations, adapter=lmm_b)
    return load_tuned(a.activations, model=str(lmm_b))


@one_writer
def _compare(
    a: Study,
    b: Study | None,
    lmm_a: LMM,
    lmm_b: LMM,
    samples: Sequence[Sample] | None,
    options: ComparisonOptions,
    *,
    out: Path,
    progress: Progress,
) -> Comparison:
    """The comparison with its wider views, and its page."""
    n = len(a.activations)
    steps = () if options.checkpoints is None else open_finetune(options.checkpoints).checkpoints
    if not (out / MANIFEST).exists():
        foretell(
            {
                "the study after": 3 * n if b is None else 0,
                "the whole models": 6 * len((samples or ())[: options.n_whole]),
                "checkpoints": 3 * n * len(steps),
            }
        )
    if b is None:
        b = same_study(a, lmm_b, samples or (), out=out / "b", progress=progress)
    check_studies(a, b, lmm_a, lmm_b)
    found = made_before(a, b, out, options, _looked_at(a, b, samples, options, sorted(steps)))
    if found is None:
        parts = KeptParts(out, _decided(a, b, lmm_a, lmm_b, samples, options))
        views = WiderViews(
            whole=_whole(a, lmm_a, lmm_b, samples, options, parts, progress),
            steps=_checkpoints(a, lmm_b, samples or (), out, options, parts, progress),
            layers=_layers(a, b, lmm_b, options, parts, progress),
        )
        found = compare_studies(a, b, lmm_a, lmm_b, out=out, options=options, views=views, progress=progress)
    comparison_page(found, a, b, out=out / "report.html")
    return found


def _looked_at(
    a: Study, b: Study, samples: Sequence[Sample] | None, options: ComparisonOptions, steps: list[int]
) -> dict[str, Any]:
    """What the wider views will look at, as `WiderViews.parameters` says it of those that are made."""
    return {
        "whole": len((samples or ())[: options.n_whole]) or None,
        "layers": _common_layers(a, b),
        "steps": steps,
    }


def _common_layers(a: Study, b: Study) -> list[Layer]:
    """The layers that both studies have; empty where that is only one."""
    common: list[Layer] = [layer for layer in a.activations.layers if layer in b.activations.layers]
    return common if len(common) > 1 else []


def _decided(
    a: Study, b: Study, lmm_a: LMM, lmm_b: LMM, samples: Sequence[Sample] | None, options: ComparisonOptions
) -> dict[str, Any]:
    """All that decides the wider views."""
    checkpoints = options.checkpoints
    return {
        "studies": [parent(one.grounding.folder) for one in (a, b)],
        "checkpoints": None if checkpoints is None else file_hash(checkpoints / MANIFEST),
        "models": [lmm_a.describe(), lmm_b.describe()],
        "samples": digest_of((samples or ())[: options.n_whole]),
        "options": options,
    }


def load_tuned(
    before: Activations,
    *,
    model: str | None = None,
    adapter: str | Path | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
) -> LMM:
    """The model after: `model`, or the one that made `before`, under `adapter`; asked as the one before was.

    Raises:
        ModelError: there is no such model, or the adapter is not one for it.
    """
    after = replace(before.model, adapter=None if adapter is None else str(adapter))
    return load_as(
        after if model is None else replace(after, name=model, revision=None),
        device=device,
        prompt=before.options.prompt,
        trust_remote_code=trust_remote_code,
    )


def _whole(
    a: Study,
    lmm_a: LMM,
    lmm_b: LMM,
    samples: Sequence[Sample] | None,
    options: ComparisonOptions,
    parts: KeptParts,
    progress: Progress,
) -> ModelComparison | None:
    """The two models on the first images; None without samples."""
    if not samples or not options.n_whole:
        return None
    limit, some = a.activations.options.max_new_tokens, samples[: options.n_whole]

    def compared() -> ModelComparison:
        return compare_models(lmm_a, lmm_b, some, max_new_tokens=limit, progress=progress)

    return parts.value("whole models", compared, ModelComparison)


def _layers(
    a: Study, b: Study, lmm_b: LMM, options: ComparisonOptions, parts: KeptParts, progress: Progress
) -> tuple[LayerComparison, ...]:
    """The comparison at every layer; empty where the studies have only one in common."""
    if not _common_layers(a, b):
        return ()
    learning, reading = _as_learned(a, options)
    return compare_layers(
        a.activations, b.activations, lmm_b, learning=learning, reading=reading, parts=parts, progress=progress
    )


def _checkpoints(
    a: Study,
    lmm_b: LMM,
    samples: Sequence[Sample],
    out: Path,
    options: ComparisonOptions,
    parts: KeptParts,
    progress: Progress,
) -> tuple[LayerComparison, ...]:
    """The comparison with every checkpoint of the fine-tune that `options` names; empty where it names none."""
    if options.checkpoints is None:
        return ()
    layer = a.concepts.layer
    states = {}
    for step, adapter in open_finetune(options.checkpoints).checkpoints.items():
        lmm = load_tuned(
            a.activations,
            adapter=adapter,
            device=options.device,
            trust_remote_code=options.trust_remote_code,
        )
        folder = out / "checkpoints" / adapter.name
        states[step] = same_activations(a.activations, lmm, samples, out=folder, layers=[layer], progress=progress)
    learning, reading = _as_learned(a, options)
    return compare_checkpoints(
        a.activations, states, lmm_b, layer=layer, learning=learning, reading=reading, parts=parts, progress=progress
    )


def _as_learned(a: Study, options: ComparisonOptions) -> tuple[LearningOptions, GroundingOptions]:
    """How concepts are learned and read at other layers and checkpoints: as in `a`, with the seed of `options`."""
    learning = replace(a.concepts.options, layer=None, seed=options.seed, stability=0, consensus=False)
    return learning, replace(a.grounding.options, n_words=options.n_words)
