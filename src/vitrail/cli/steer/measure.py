"""`vitrail steer rank`, `search` and `evaluate`: what steerings do, and what else they change."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.artifacts import plain, write_json
from vitrail.cli.objects import to_model, to_numbers
from vitrail.cli.options import (
    Adapter,
    BatchSize,
    Device,
    DType,
    Dtype,
    Images,
    Json,
    Limit,
    Model,
    Out,
    Revision,
    Seed,
    Split,
    TrustRemoteCode,
)
from vitrail.cli.steer.common import (
    Alone,
    At,
    Budget,
    Folder,
    Scorer,
    Strengths,
    TaskData,
    TaskName,
    Until,
    Where,
    alone,
    open_study,
    places,
    steering,
    task_samples,
)
from vitrail.cli.terminal import print_json, progress_bars, show_table
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.trials.contest import Result


@steering.command()
def rank(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study whose concepts' differences are tried.")],
    strength: Annotated[float, typer.Option(help="Of every vector.")] = 1.0,
    toward: Annotated[int | None, typer.Option("--to", min=0, help="Only vectors towards this concept.")] = None,
    away: Annotated[int | None, typer.Option("--from", min=0, help="Only vectors away from this one.")] = None,
    positions: Annotated[Where, typer.Option("--positions", help="Where they are added.")] = Where.generated,
    best: Annotated[int, typer.Option("--best", min=1, help="Show so many.")] = 20,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest text, in tokens.")] = 16,
    task: Annotated[str, typer.Option("--task", help="Its questions, or captions, are what is to change.")] = "colour",
    model: Model = "toyland",
    data: TaskData = "toyland",
    split: Split = None,
    limit: Limit = 32,
    images: Images = None,
    batch_size: BatchSize = 32,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """Fine vectors `u_j − u_i` between a study's concepts, in the order of how narrow their effect is.

    Every one is added while the model speaks of the same images. A narrow one makes one change and no other.
    """
    from itertools import permutations

    from vitrail.steering import Add
    from vitrail.steering.make import concept_direction
    from vitrail.trials import rank_by_narrowness
    from vitrail.trials.tasks import task_named

    with progress_bars() as progress:
        samples = task_samples(task_named(task), data, split, limit, images, progress, "val")
        _, concepts, lmm = open_study(study, model, device, trust_remote_code)
        pairs = [(i, j) for i, j in permutations(range(len(concepts)), 2) if away in (None, i) and toward in (None, j)]
        if not pairs:
            raise UsageError(f"There are concepts 0 to {len(concepts) - 1}, and no vector from {away} to {toward}.")
        fine = [
            Add({concepts.layer: concept_direction(concepts, j, i)}, strength, positions=positions.value)
            for i, j in pairs
        ]
        found = rank_by_narrowness(
            lmm, samples, fine, max_new_tokens=max_new_tokens, batch_size=batch_size, progress=progress
        )[:best]
    rows = [{"from": pairs[r.place][0], "to": pairs[r.place][1], **asdict(r.narrowness)} for r in found]
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    table = Table("from", "to", "narrow", "at least", "changes", "most frequent", box=None, header_style="bold")
    for r in rows:
        table.add_row(
            str(r["from"]), str(r["to"]), f"{r['share']:.0%}", f"{r['low']:.0%}", str(r["changes"]), r["most"]
        )
    show_table(table)


@steering.command()
def search(
    folder: Folder,
    task: TaskName,
    out: Out,
    strengths: Strengths = "0.5,1,1.5,2",
    budget: Budget = 0.1,
    positions: At = None,
    until: Until = False,
    scorer: Scorer = None,
    model: Model = "toyland",
    data: TaskData = "toyland",
    split: Split = None,
    limit: Limit = 200,
    images: Images = None,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """The layer and strength with the largest effect at a bearable cost: chosen on one half, reported on the other.

    Tries every layer of STEERING (vectors) by itself, or the function as it is. Writes OUT/search.json and
    OUT/search.html.
    """
    from vitrail.lmm.scorers import load_image_scorer
    from vitrail.steering import open_steering
    from vitrail.trials import search as run
    from vitrail.trials.gallery import write_gallery
    from vitrail.trials.recipes import tries
    from vitrail.trials.tasks import task_named

    opened, wanted, alphas = open_steering(folder), task_named(task), to_numbers(strengths, float)
    with progress_bars() as progress:
        samples = task_samples(wanted, data, split, limit, images, progress, "val")
        lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
        opened.check(lmm)
        where = places(lmm, wanted, positions, until)
        found = run(
            lmm,
            wanted,
            samples,
            tries(opened, where),
            alphas=alphas,
            budget=budget,
            scorer=None if scorer is None else load_image_scorer(scorer, device=device),
            batch_size=batch_size,
            seed=seed,
            out=out,
            progress=progress,
        )
        write_gallery(
            lmm, opened, samples[:12], out / "search.html", strengths=alphas, task=wanted,
            positions=where, found=found, batch_size=batch_size, progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(found.as_dict())
    elif found.picked is None or found.held_out is None:
        typer.echo(f"Nothing that was tried is within the budget of {budget:.0%}. Try less strength, or other layers.")
    else:
        typer.echo(
            f"Layer {found.picked.layer}, strength {found.picked.alpha:g}: {found.held_out.effect['mean']:.0%} as "
            f"wanted (without steering {found.plain.effect['mean']:.0%}), the rest lost {found.held_out.cost:.1%}."
        )


@steering.command()
def evaluate(
    folders: Annotated[list[Path], typer.Argument(metavar="STEERING...", help="The steerings' folders.")],
    task: TaskName,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for evaluate.json, evaluate.html and what was made for it.")
    ] = None,
    strength: Annotated[float, typer.Option(help="Of all of them.")] = 1.0,
    layer: Alone = None,
    positions: At = None,
    until: Until = False,
    steps: Annotated[int, typer.Option(min=1, help="Of training LoRA, at most.")] = 60,
    repeats: Annotated[int, typer.Option(min=0, help="How often the time of each is taken, in turns.")] = 0,
    scorer: Scorer = None,
    model: Model = "toyland",
    data: TaskData = "toyland",
    train_data: Annotated[
        str | None,
        typer.Option(
            "--train-data",
            help="What the mean vector and LoRA are made from, if not --data. Toyland has a train split; without this "
            "or --train-split, other data is halved by images, and the other half is reported on.",
        ),
    ] = None,
    train_split: Annotated[str | None, typer.Option("--train-split", help="Split of that data.")] = None,
    split: Split = None,
    limit: Limit = 200,
    images: Images = None,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """Steerings beside no steering, asking for it, a random direction of the same norm, the mean vector, and LoRA.

    --strength, --positions and --until-said are for vectors and L2S; LoReFT and DiReFT are applied as they were taught.
    """
    from vitrail.lmm.scorers import load_image_scorer
    from vitrail.steering import open_steering
    from vitrail.steering.artifact import VECTORS
    from vitrail.trials.contest import all_baselines, evaluate_steering, of
    from vitrail.trials.gallery import write_gallery
    from vitrail.trials.grid_search import halves
    from vitrail.trials.tasks import task_named

    opened, wanted = [open_steering(folder) for folder in folders], task_named(task)
    opened = [alone(one, layer) if one.method in VECTORS else one for one in opened]
    with progress_bars() as progress, ExitStack() as stack:
        samples = task_samples(wanted, data, split, limit, images, progress, "test")
        if data == "toyland" or train_data is not None or train_split is not None:
            taught = task_samples(wanted, train_data or data, train_split, limit, images, progress, "train")
        else:
            taught, samples = halves(samples, seed)
        lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
        for one in opened:
            one.check(lmm)
        where = places(lmm, wanted, positions, until)
        own = []
        for one, made in zip(opened, folders, strict=True):
            trained = one.method in ("loreft", "direft")
            if one.method != "mean":
                name = f"{one.method} ({made.name})"
                own.append(of(one, name=name) if trained else of(one, strength, name, where))
        folder = out or Path(stack.enter_context(TemporaryDirectory()))
        contenders = all_baselines(
            lmm, wanted, taught, opened, folder=folder, alpha=strength, positions=where, steps=steps,
            batch_size=batch_size, seed=seed, progress=progress,
        )  # fmt: skip
        contenders += own
        results = evaluate_steering(
            lmm,
            wanted,
            samples,
            contenders,
            scorer=None if scorer is None else load_image_scorer(scorer, device=device),
            repeats=repeats,
            batch_size=batch_size,
            progress=progress,
        )
        rows = [r.as_dict() for r in results]
        if out is not None:
            write_json(out / "evaluate.json", plain(rows))
            write_gallery(
                lmm, opened[0], samples[:12], out / "evaluate.html", strengths=(0.5, 1.0, strength), task=wanted,
                results=results,
                positions=None if opened[0].method in ("loreft", "direft") else where, batch_size=batch_size,
                progress=progress,
            )  # fmt: skip
    if as_json:
        print_json(plain(rows))
        return
    _show_results(results)


def _show_results(results: list[Result]) -> None:
    from rich.table import Table

    scored = any("clip_score" in r.outcome.side for r in results)
    timed = any(r.speed is not None for r in results)
    heads = ["method", "as wanted, %", "p", "rest lost", "changed", "perplexity"]
    heads += ["CLIPScore"] * scored + ["trained", "to make"] + ["time"] * timed
    table = Table(*heads, box=None, header_style="bold")
    for r in results:
        e, side = r.outcome.effect, r.outcome.side
        cells = [
            r.name, f"{100 * e['mean']:.1f} [{100 * e['low']:.1f}, {100 * e['high']:.1f}]", f"{r.outcome.p:.4f}",
            f"{r.outcome.cost:.1%}", f"{side['changed']:.1%}", f"{side['perplexity']:.2f}",
        ]  # fmt: skip
        cells += [f"{side['clip_score']['mean']:.3f}"] if scored else []
        cells += [f"{r.parameters:,}", f"{r.seconds:.0f} s"]
        cells += ["" if r.speed is None else f"{r.speed.share['median']:+.1%}"] if timed else []
        table.add_row(*cells)
    show_table(table)
