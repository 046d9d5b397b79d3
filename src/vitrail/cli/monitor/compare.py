"""`vitrail monitor fit`, `evidence`, `check`, `merge`, `status`, `acknowledge` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import DataChoice, DataSource, StudyModel
from vitrail.cli.monitor.common import Reference, monitoring
from vitrail.cli.options import Json, Out, PlanOnly, StudyFolder, file_to_write
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say
from vitrail.cli.unused import refuse
from vitrail.errors import UsageError
from vitrail.monitoring.options import ReferenceOptions, WatchOptions
from vitrail.progress import silent

if TYPE_CHECKING:
    from vitrail.monitoring import Alarm

WatchFolder = Annotated[Path, typer.Argument(metavar="WATCH", help="The folder of the watch.")]


@command(monitoring)
def fit(
    *,
    folder: StudyFolder,
    out: Out,
    observations: Annotated[
        Path | None,
        typer.Option("--observations", help="Take these, which were made before, instead of asking the model."),
    ] = None,
    data: DataChoice,
    model: StudyModel,
    reference: ReferenceOptions,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """A reference: how a word's concepts are active in samples that nothing was learned from, to compare others with.

    Examples:
        vitrail monitor fit studies/dog --data toyland --split val --out references/dog
        vitrail monitor fit studies/dog --observations quiet-week.jsonl --out references/dog
    """
    from vitrail.artifacts import check_free, plain
    from vitrail.extraction import check_images
    from vitrail.monitoring import fit_reference, read_observations, reference_of
    from vitrail.studies import open_study

    if observations is not None:
        refuse("is for samples that the model is asked about, not for --observations", "data", "model", "plan")
    study = open_study(folder)
    check_free(out, "reference")
    if observations is not None:
        made = reference_of(study, read_observations(observations), out=out, options=reference)
    else:
        with progress_bars() as progress:
            samples = data.load(progress)
            check_images(samples)
            lmm = model.load(study.activations)
            if plan:
                show_plan(
                    lambda some, to: fit_reference(study, lmm, some, out=to, options=reference),
                    samples,
                    out=out,
                    as_json=as_json,
                    device=lmm.device,
                )
                return
            made = fit_reference(study, lmm, samples, out=out, options=reference, progress=progress)
    finds = made.detectable()
    if as_json:
        print_json({"n": len(made), "words": made.streams.words, "detectable": plain(finds)})
        return
    say(f"A reference of {len(made)} answers that say {made.word!r}: {out}")
    say(
        f"A window of 300 shows, in 95 of 100 cases, that a stream which 10 % of the answers have rises to "
        f"{finds.rate_of_10:.0%}, and one that 50 % have to {finds.rate_of_50:.0%}."
    )


@command(monitoring)
def evidence(
    *,
    folder: StudyFolder,
    observations: Annotated[Path, typer.Option("--observations", help="Answers that say the word.")],
    out: Out,
    data: DataSource,
    as_json: Json = False,
) -> None:
    """Learns when the concepts speak for a word: from answers that say it, and pictures whose captions do or do not.

    Where a model hardly errs, `vitrail monitor run --begin` makes it say what it does not see.

    Example:
        vitrail monitor evidence studies/ball --observations balls.jsonl --data toyland --out evidence/ball
    """
    from vitrail.artifacts import check_free, plain
    from vitrail.monitoring import fit_evidence, read_observations
    from vitrail.studies import open_study

    study = open_study(folder)
    check_free(out, "evidence")
    word = study.activations.word
    true = {s.id: any(word.find(text) for text in s.said) for s in data.load(silent)}
    made = fit_evidence(study, read_observations(observations), true, out=out)
    if as_json:
        print_json(plain(made))
        return
    for name, found in (("concepts and novelty", made.auroc), ("novelty alone", made.novelty)):
        say(f"{name}: AUROC {found.mean:.3f} ({found.low:.3f} to {found.high:.3f}) on {found.n} other answers")
    say(f"Use it with --evidence {out} (`vitrail monitor run`, `vitrail explain`).")


@command(monitoring)
def check(
    *,
    observations: Annotated[Path, typer.Argument(help="Observations: JSON lines, or a folder of Parquet files.")],
    reference: Reference,
    out: Out,
    watch: WatchOptions,
    as_json: Json = False,
) -> None:
    """Compares observations that were written before with a reference: summaries, tests and alarms.

    Example:
        vitrail monitor check observations.jsonl --reference references/dog --out watched/dog
    """
    from vitrail.monitoring import Watch, read_observations

    found = read_observations(observations)
    watching = Watch(reference, out=out, options=watch)
    try:
        watching.write(found)
    finally:
        watching.close()
    _tell(out, as_json)


@command(monitoring)
def merge(
    *,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Summaries, or folders of watches.")],
    out: Annotated[
        Path,
        typer.Option("--out", callback=file_to_write, help="The Parquet file; its figures as JSON beside it."),
    ],
    as_json: Json = False,
) -> None:
    """One summary of several: of the windows of a watch, and of several replicas.

    Example:
        vitrail monitor merge watched/dog --out all.parquet
    """
    from vitrail.monitoring import merge as together
    from vitrail.monitoring import read_summary, window_files, write_summary

    if out.suffix != ".parquet":
        raise UsageError(f"A summary is a Parquet file; {out} should end in .parquet.")
    files = [file for path in paths for file in (window_files(path) if path.is_dir() else [path])]
    made = together(read_summary(file) for file in files)
    write_summary(made, out)
    if as_json:
        print_json(made.as_dict())
    else:
        say(f"{len(files)} summaries, {len(made)} observations of {made.word!r}: {out}")


@command(monitoring)
def status(*, folder: WatchFolder, as_json: Json = False) -> None:
    """What a watch has seen, or what was followed along a fine-tune. The exit code is 3 while an alarm stands.

    Examples:
        vitrail monitor status watched/dog --json
        vitrail monitor status tuned/place-followed
    """
    from vitrail.monitoring.following import STATE

    (_tell_followed if (folder / STATE).exists() else _tell)(folder, as_json)


@command(monitoring)
def acknowledge(*, folder: WatchFolder, as_json: Json = False) -> None:
    """Acknowledges the alarms of a watch: they stand no longer, and a new watch begins with the next window.

    Example:
        vitrail monitor acknowledge watched/dog
    """
    from vitrail.monitoring import acknowledge as run

    run(folder)
    _tell(folder, as_json)


@command(monitoring)
def report(
    *,
    folder: WatchFolder,
    out: Annotated[
        Path | None, typer.Option("--out", callback=file_to_write, help="The HTML file; WATCH/report.html by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """One self-contained page of a watch: its alarms with causes and pictures, and every stream over time.

    Example:
        vitrail monitor report watched/dog
    """
    from vitrail.artifacts import check_ours
    from vitrail.monitoring import read_status, read_windows
    from vitrail.reports.monitoring import watch_page

    page = out or folder / "report.html"
    found, windows = read_status(folder), read_windows(folder)
    check_ours([page])
    watch_page(found, windows, out=page)
    if as_json:
        print_json({"report": str(page)})
    else:
        say(f"The report is {page}")


def _tell(folder: Path, as_json: bool) -> None:
    """Shows a watch, and exits with 3 while an alarm stands."""
    from vitrail.artifacts import plain
    from vitrail.monitoring import read_status

    found = read_status(folder)
    if as_json:
        print_json(
            {**plain(found), "alarms": [_without_images(a) for a in found.alarms], "stands": bool(found.standing)}
        )
    else:
        say(f"{found.word!r}: {found.observations} observations, {found.windows} windows.")
        for alarm in found.alarms:
            _show(alarm, alarm in found.standing)
        if not found.alarms:
            say("No alarm.")
    if found.standing:
        raise typer.Exit(3)


def _tell_followed(folder: Path, as_json: bool) -> None:
    """Shows what became of concepts along training, and exits with 3 if one faded or emerged."""
    from vitrail.artifacts import plain
    from vitrail.monitoring import read_followed

    found = read_followed(folder)
    if as_json:
        print_json({**plain(found), "stands": bool(found.turns)})
    else:
        steps = ", ".join(str(reading.step) for reading in found.readings) or "none"
        say(f"{found.word!r}: {len(found.samples)} samples, read at the steps {steps}.")
        for turn in found.turns:
            say(f"ALARM {turn}")
        for fate in found.readings[-1].fates if found.readings else ():
            say(f"  {fate}, its states moved by {fate.shift:.2f} of the spread")
    if found.turns:
        raise typer.Exit(3)


def _without_images(alarm: Alarm) -> dict[str, Any]:
    from vitrail.artifacts import plain

    return {"text": str(alarm), **{k: v for k, v in plain(alarm).items() if k not in ("before", "now")}}


def _show(alarm: Alarm, stands: bool) -> None:
    say(f"{'ALARM' if stands else 'Acknowledged'} {alarm.number}: {alarm}")
    for moved in alarm.moved:
        say(f"  {moved}")
    if alarm.explained is not None:
        names = ", ".join(map(str, alarm.explained.streams)) or "nothing"
        say(f"  The smallest set that explains it: {names} (AUROC {alarm.explained.auroc:.2f}).")
