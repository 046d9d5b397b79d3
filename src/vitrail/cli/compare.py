"""`vitrail compare`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import DataSource, StudyModel
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json, Out, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say, show_rows
from vitrail.cli.unused import refuse
from vitrail.comparison.options import ComparisonOptions
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitrail.comparison import Comparison
    from vitrail.lmm import LMM
    from vitrail.samples import Sample
    from vitrail.scores import Estimate
    from vitrail.studies import Study


@dataclass(frozen=True, kw_only=True)
class ComparedData(DataSource):
    """What the study before was made from.

    Args:
        data: what A was made from: to make the study that is missing, and to compare the whole models.
    """

    data: str | None = None  # type: ignore[assignment]  # only some comparisons need any


@command(panel="Measure and compare")
def compare(
    *,
    a: Annotated[Path, typer.Option("--a", help="The study of the model before.")],
    b: Annotated[Path | None, typer.Option("--b", help="The study of the model after.")] = None,
    model_b: Annotated[str | None, typer.Option(help="The model after, where there is no study of it yet.")] = None,
    adapter: Annotated[
        str | None, typer.Option(help="A PEFT adapter on the model before, where there is no study of it yet.")
    ] = None,
    out: Out,
    data: Annotated[ComparedData, Without("limit")],
    comparison: Annotated[
        ComparisonOptions,
        Without("n_images", "rules", "draws", "resamples", "device", "trust_remote_code"),
        Named(estimator="--estimate"),
    ],
    loading: Annotated[StudyModel, Without("model")],
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """What a fine-tune did to the concepts of a word: refined, changed, split, merged, faded, emerged.

    Compares the studies A and B, or A and what --model-b or --adapter makes of the same samples (kept in OUT/b). Writes
    OUT/shift.json and OUT/report.html.

    Examples:
        vitrail compare --a studies/dog --b studies/dog-tuned --out shift/dog
        vitrail compare --a studies/dog --adapter tuned/place --data toyland --out shift/dog
    """
    from vitrail.artifacts import beside, check_ours, check_place
    from vitrail.comparison.verdicts import findings_to_json
    from vitrail.runs.compare import check_comparison, check_tuned, load_tuned
    from vitrail.runs.compare import compare as run
    from vitrail.studies import open_study

    given = [name for name, value in (("--b", b), ("--model-b", model_b), ("--adapter", adapter)) if value is not None]
    if len(given) == 0 or ("--b" in given and len(given) > 1):
        raise UsageError(f"Give either --b, or --model-b or --adapter; got {', '.join(given) or 'none of them'}.")
    if data.data is None and (b is None or comparison.checkpoints is not None):
        raise UsageError("--data is needed to make the states of another model: name the data that A was made from.")
    if data.data is None:
        refuse("is for --data", "data", "comparison.n_whole")
    check_ours(beside("compare", out))
    check_place(out, "shift")
    options = replace(comparison, device=loading.device, trust_remote_code=loading.trust_remote_code)
    with progress_bars() as progress:
        before = open_study(a)
        after = None if b is None else open_study(b)
        samples = None if data.data is None else data.load(progress)
        check_comparison(before, after, samples, options)
        if after is None:
            check_tuned(before.activations, model=model_b, adapter=adapter)
        progress("load", 0, 2)
        lmm_a = loading.load(before.activations)
        if after is not None:
            lmm_b = loading.load(after.activations)
        else:
            lmm_b = load_tuned(
                before.activations,
                model=model_b,
                adapter=adapter,
                device=loading.device,
                trust_remote_code=loading.trust_remote_code,
            )
        progress("load", 2, 2)
        if plan:
            if after is None:
                assert samples is not None
                _plan_states(before, lmm_b, samples, out, as_json)
            else:
                both = partial(run, before, after, lmm_a, lmm_b, samples=samples, progress=False)
                show_plan(
                    lambda some, to: both(out=to, options=replace(options, n_whole=len(some) if samples else 0)),
                    (samples or ())[: options.n_whole] or [before],
                    out=out,
                    as_json=as_json,
                    device=lmm_b.device,
                    what="images" if samples else "comparisons",
                )
            return
        found = run(before, after, lmm_a, lmm_b, out=out, samples=samples, options=options, progress=progress)
    if as_json:
        print_json(findings_to_json(found))
    else:
        _show(found)
        say(f"The report is {out / 'report.html'}")


def _plan_states(before: Study, lmm_b: LMM, samples: Sequence[Sample], out: Path, as_json: bool) -> None:
    """Plans the states of a model after of which there is no study yet: they take the time."""
    from vitrail.extraction import extract_as
    from vitrail.studies import samples_of_rows

    options, word = before.activations.options, before.activations.word
    show_plan(
        lambda some, to: extract_as(lmm_b, some, word, options, out=to),
        samples_of_rows(before.activations, samples),
        out=out,
        as_json=as_json,
        device=lmm_b.device,
        batch_size=options.samples_per_batch,
    )


def _show(found: Comparison) -> None:
    from vitrail.comparison.verdicts import of_recovery

    samples, recovery = found.samples, found.recovery
    say(
        f"“{found.word.text}”: {samples.common} common samples "
        f"({samples.only_a} with the word before alone, {samples.only_b} after alone)."
    )
    rows: list[tuple[object, ...]] = []
    for c in sorted(found.concepts, key=lambda c: -c.n_samples):
        moved = "–" if c.match is None else f"{c.t_overlap_before:.0f} → {c.t_overlap_after:.0f} %"
        rows.append((c.index, c.change, ", ".join(c.words[:4]), ", ".join(c.words_counterpart[:4]), moved))
    rows += [("–", "emerged", "", ", ".join(e.words[:4]), "") for e in found.emerged]
    show_rows(("concept", "became", "words before", "words after", "T-Overlap"), rows)
    counts = recovery.counts
    say(
        f"T-Overlap with the match {_percent(recovery.words_before)} → {_percent(recovery.words_after)} "
        f"after the shift ({counts.better} better, {counts.equal} equal, {counts.worse} worse): {of_recovery(found)}."
    )


def _percent(found: Estimate) -> str:
    return f"{found.mean:.1f} %" if found.n else "–"
