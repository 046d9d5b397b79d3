"""`vitrail monitor run`: captions of samples, observed as a service would be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import DataChoice, StudyModel
from vitrail.cli.derived import Parser
from vitrail.cli.monitor.common import AnyReference, monitoring
from vitrail.cli.options import EvidenceFolder, Json, PlanOnly, folder_to_write
from vitrail.cli.parsing import to_list
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say
from vitrail.errors import UsageError
from vitrail.monitoring.options import MonitorOptions
from vitrail.progress import silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitrail.monitoring import Monitor
    from vitrail.progress import Progress
    from vitrail.samples import Sample

Sinks = Annotated[
    Any,
    typer.Option(
        "--sink",
        parser=Parser(to_list(str), "sinks"),
        help="Where observations go: jsonl:FILE, parquet:FOLDER, prometheus:PORT, opentelemetry:URL, "
        "tensorboard:FOLDER; or several, by commas.",
    ),
]


@command(monitoring)
def run(
    *,
    folders: Annotated[list[Path], typer.Argument(metavar="STUDY...", help="The studies whose words are watched.")],
    sink: Sinks = "jsonl:observations.jsonl",
    reference: AnyReference = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", callback=folder_to_write, help="With --reference: the folder of the watch that compares."
        ),
    ] = None,
    evidence: EvidenceFolder = None,
    begin: Annotated[str, typer.Option("--begin", help="How every answer begins; the model goes on from there.")] = "",
    data: DataChoice,
    model: StudyModel,
    monitor: MonitorOptions,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Samples per batch.")] = 32,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest text, in tokens.")] = 40,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Asks a model about samples, and writes what is behind each word of interest that it says.

    In a service of your own, `with vitrail.monitor(…)` does the same around `model.generate`.

    Examples:
        vitrail monitor run studies/dog --data toyland --split test --sink parquet:observed
        vitrail monitor run studies/ball --begin "a dog with a" --sink jsonl:balls.jsonl
    """
    from vitrail.concepts import open_evidence
    from vitrail.extraction import check_images
    from vitrail.monitoring import Watch, open_reference
    from vitrail.monitoring import monitor as watch
    from vitrail.monitoring.sinks import as_sinks
    from vitrail.studies import open_study

    if (reference is None) != (out is None):
        raise UsageError("--reference and --out belong together: what to compare with, and the folder of the watch.")
    studies = [open_study(folder) for folder in folders]
    sinks = [] if plan else as_sinks(sink)
    if evidence is not None and len(studies) > 1:
        raise UsageError("--evidence is for one word; watch its study alone, or use Python for several.")
    known = [] if evidence is None else [open_evidence(evidence, studies[0].learned)]
    compared = None if reference is None else open_reference(reference)
    with progress_bars() as progress:
        samples = data.load(progress)
        check_images(samples)
        lmm = model.load(studies[0].activations)

        def asked(some: Sequence[Sample], sinks: list[Any], out: Path | None, progress: Progress) -> Monitor:
            if compared is not None and out is not None:
                sinks = [*sinks, Watch(compared, out=out)]
            with watch(lmm, studies, sink=sinks, evidence=known, options=monitor) as watching:
                for start in range(0, len(some), batch_size):
                    part = some[start : start + batch_size]
                    watching.caption(part, max_new_tokens=max_new_tokens, batch_size=batch_size, begin=begin)
                    progress("monitor", start + len(part), len(some))
            return watching

        if plan:
            show_plan(
                lambda some, to: asked(some, _in_files(sink, to), to / "watch", silent),
                samples,
                out=out,
                as_json=as_json,
                device=lmm.device,
                batch_size=batch_size,
            )
            return
        watching = asked(samples, sinks, out, progress)
    counts = {name: watching.counts[name] for name in ("answers", "observations", "outliers", "unread", "errors")}
    if as_json:
        print_json({**counts, "sinks": sink})
    else:
        words = ", ".join(repr(coder.word.text) for coder in watching.coders.values())
        say(f"{counts['answers']} answers, {counts['observations']} observations of {words} → {', '.join(sink)}")


def _in_files(sinks: Sequence[str], to: Path) -> list[str]:
    """Those of the sinks that write files, in the folder `to`: to rehearse, nothing is sent to anybody."""
    kinds = [sink.partition(":")[0] for sink in sinks]
    return [f"{kind}:{to / str(n)}" for n, kind in enumerate(kinds) if kind in ("jsonl", "parquet", "tensorboard")]
