"""`vitrail steer`: make, apply, search, evaluate, export."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.commands import app
from vitrail.cli.objects import to_layer, to_model
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
)
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.lmm import LMM
    from vitrail.positions import Name, Positions
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.steer import Steering
    from vitrail.steer.tasks import Task

steering = typer.Typer(no_args_is_help=True, help="Change what a model says by editing its states, and measure it.")
app.add_typer(steering, name="steer")


class Way(str, Enum):
    mean = "mean"
    probe = "probe"
    pca = "pca"
    random = "random"
    l2s = "l2s"
    loreft = "loreft"
    direft = "direft"


class Where(str, Enum):
    prompt = "prompt"
    image = "image"
    last = "last"
    generated = "generated"
    all = "all"


TaskName = Annotated[
    str,
    typer.Option(
        "--task",
        help="Captions: `colour`, `place`, `mood`, `neutral`; answers: `yes-no`, `1-3`, `white-black`, "
        "`colours-numbers`.",
    ),
]
TaskData = Annotated[
    str,
    typer.Option("--data", help="`toyland`; or captions (COCO, …) or questions (VQAv2), whichever the task is about."),
]
Folder = Annotated[Path, typer.Argument(metavar="STEERING", help="The steering's folder.")]
Layers = Annotated[str, typer.Option("--layers", help="One or several, by commas.")]
At = Annotated[Where | None, typer.Option("--positions", help="Where to apply it; as it was made by default.")]
Until = Annotated[
    bool, typer.Option("--until-said", help="Of captions: leave each alone once it has said one of the task's words.")
]
Strengths = Annotated[str, typer.Option("--strengths", help="Those to try, by commas.")]
Budget = Annotated[float, typer.Option(min=0, help="The most that the rest may lose: 0.1 is a tenth.")]
Scorer = Annotated[
    str | None, typer.Option("--scorer", help="For CLIPScore: `toyland`, or a CLIP; without it, there is none.")
]


def task_samples(
    task: Task, data: str, split: str | None, limit: int | None, images: Path | None, progress: Progress, default: str
) -> list[Sample]:
    """The captions or the questions that a task is about."""
    from vitrail import toyland as world
    from vitrail.samples import load_samples
    from vitrail.steer import AnswerTask

    if data == "toyland":
        folder, split = world.dataset_path(progress=progress), split or default
        if isinstance(task, AnswerTask):
            return load_samples(folder / f"v2_OpenEnded_mscoco_{split}2014_questions.json", limit=limit)
        return load_samples(folder, split=split, limit=limit)
    return load_samples(data, split=split, limit=limit, images=images)


def _where(positions: Where | None) -> Name | None:
    return None if positions is None else positions.value


def _places(lmm: LMM, task: Task | None, positions: Where | None, until: bool) -> Positions | None:
    from vitrail.steer import CaptionTask
    from vitrail.steer.tasks import until_said

    if not until:
        return _where(positions)
    if not isinstance(task, CaptionTask) or positions is not None:
        raise UsageError("--until-said is for tasks of captions, and for no other --positions.")
    return until_said(lmm, task)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"Expected numbers by commas; got {text!r}.") from None


@steering.command()
def make(
    task: TaskName,
    out: Out,
    method: Annotated[Way, typer.Option(help="A vector, or a learned function.")] = Way.mean,
    layers: Layers = "-1",
    positions: At = None,
    saying: Annotated[
        bool, typer.Option("--saying/--whole", help="Of captions: only states that predict the task's words.")
    ] = True,
    rank: Annotated[int, typer.Option(min=1, help="Of LoReFT and DiReFT.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Of training LoReFT and DiReFT, at most.")] = 100,
    model: Model = "toyland",
    data: TaskData = "toyland",
    split: Split = None,
    limit: Limit = 300,
    images: Images = None,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """A steering for a task, from samples that show it, in OUT."""
    from vitrail.steer.recipes import make_for
    from vitrail.steer.tasks import task_named

    wanted = task_named(task)
    with progress_bars() as progress:
        samples = task_samples(wanted, data, split, limit, images, progress, "train")
        lmm = to_model(model, revision, adapter, dtype, device, None, progress)
        made = make_for(
            lmm,
            wanted,
            samples,
            out=out,
            method=method.value,
            layers=[to_layer(part) for part in layers.split(",")],
            applied_at=_where(positions),
            saying=saying,
            rank=rank,
            steps=steps,
            batch_size=batch_size,
            seed=seed,
            progress=progress,
        )
    shown = _shown(made)
    if as_json:
        print_json(shown)
    else:
        size = ", ".join(f"{v:.2f} at layer {k}" for k, v in shown.get("norms", {}).items())
        typer.echo(
            f"{made.method} for {task} is in {out}"
            + (f"; its norm is {size}, in units of the layer's median norm" if size else "")
        )


def _shown(made: Steering) -> dict[str, Any]:
    from vitrail.steer.artifact import VECTORS

    found: dict[str, Any] = {"folder": str(made.folder), "method": made.method, "layers": list(made.layers)}
    if made.method in VECTORS:
        found["norms"] = {str(layer): norm for layer, norm in made.norms.items()}
    return found | {"numbers": made.n_parameters, "seconds": made.manifest.get("seconds")}


@steering.command(name="apply")
def apply_(
    folder: Folder,
    strength: Annotated[float, typer.Option(help="1 is as it was made.")] = 1.0,
    strengths: Annotated[str, typer.Option("--gallery-strengths", help="Of the gallery, by commas.")] = "0.5,1,1.5,2",
    gallery: Annotated[Path | None, typer.Option(help="Also write a page of before and after to this file.")] = None,
    positions: At = None,
    until: Until = False,
    keep_norm: Annotated[bool, typer.Option("--keep-norm", help="Give each state its own norm back.")] = False,
    task: Annotated[str | None, typer.Option("--task", help="Mark its words in the gallery, and count them.")] = None,
    model: Model = "toyland",
    data: TaskData = "toyland",
    split: Split = None,
    limit: Limit = 12,
    images: Images = None,
    batch_size: BatchSize = 32,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """What the model says of images before and after."""
    from vitrail.steer import TASKS, open_steering, say, steer
    from vitrail.steer.gallery import write_gallery
    from vitrail.steer.tasks import task_named

    opened = open_steering(folder)
    wanted = None if task is None else task_named(task)
    with progress_bars() as progress:
        samples = task_samples(wanted or TASKS["colour"], data, split, limit, images, progress, "val")
        lmm = to_model(model, revision, adapter, dtype, device, None, progress)
        opened.check(lmm)
        where = _places(lmm, wanted, positions, until)
        before = say(lmm, samples, batch_size=batch_size)
        with steer(lmm, opened.intervention(strength, positions=where, keep_norm=keep_norm)) as done:
            after = say(lmm, samples, batch_size=batch_size, progress=progress)
        if gallery is not None:
            write_gallery(
                lmm, opened, samples, gallery, strengths=_numbers(strengths), task=wanted, positions=where,
                batch_size=batch_size, progress=progress,
            )  # fmt: skip
    pairs = [{"sample_id": s.id, "before": b, "after": a} for s, b, a in zip(samples, before, after, strict=True)]
    if as_json:
        page = None if gallery is None else str(gallery)
        print_json({"positions_changed": done.changed, "passes": done.passes, "gallery": page, "texts": pairs})
        return
    for pair in pairs:
        typer.echo(f"{pair['sample_id']}\n  {pair['before']}\n  {pair['after']}")
    typer.echo(f"{done.changed} positions were changed in {done.passes} passes.")


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
    as_json: Json = False,
) -> None:
    """The layer and strength with the largest effect at a bearable cost: chosen on one half, reported on the other.

    Tries every layer of STEERING (vectors) by itself, or the function as it is. Writes OUT/search.json and
    OUT/search.html.
    """
    from vitrail.scorers import load_image_scorer
    from vitrail.steer import open_steering
    from vitrail.steer import search as run
    from vitrail.steer.gallery import write_gallery
    from vitrail.steer.recipes import tries
    from vitrail.steer.tasks import task_named

    opened, wanted = open_steering(folder), task_named(task)
    with progress_bars() as progress:
        samples = task_samples(wanted, data, split, limit, images, progress, "val")
        lmm = to_model(model, revision, adapter, dtype, device, None, progress)
        opened.check(lmm)
        where = _places(lmm, wanted, positions, until)
        found = run(
            lmm,
            wanted,
            samples,
            tries(opened, where),
            alphas=_numbers(strengths),
            budget=budget,
            scorer=None if scorer is None else load_image_scorer(scorer, device=device),
            batch_size=batch_size,
            seed=seed,
            out=out,
            progress=progress,
        )
        write_gallery(
            lmm, opened, samples[:12], out / "search.html", strengths=_numbers(strengths), task=wanted,
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
    strength: Annotated[float, typer.Option(help="Of all of them.")] = 1.0,
    scorer: Scorer = None,
    model: Model = "toyland",
    data: TaskData = "toyland",
    split: Split = None,
    limit: Limit = 200,
    images: Images = None,
    batch_size: BatchSize = 32,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Steerings side by side with no steering, with asking for it, and with a random direction of the same norm."""
    from vitrail.scorers import load_image_scorer
    from vitrail.steer import open_steering
    from vitrail.steer.artifact import VECTORS
    from vitrail.steer.evaluate import baselines, evaluate_steering, of
    from vitrail.steer.tasks import task_named

    opened, wanted = [open_steering(folder) for folder in folders], task_named(task)
    with progress_bars() as progress:
        samples = task_samples(wanted, data, split, limit, images, progress, "test")
        lmm = to_model(model, revision, adapter, dtype, device, None, progress)
        for one in opened:
            one.check(lmm)
        first = next((one for one in opened if one.method in VECTORS), None)
        contenders = [] if first is None else baselines(first, strength)
        contenders += [of(one, strength, f"{one.method} ({f.name})") for one, f in zip(opened, folders, strict=True)]
        results = evaluate_steering(
            lmm,
            wanted,
            samples,
            contenders,
            scorer=None if scorer is None else load_image_scorer(scorer, device=device),
            batch_size=batch_size,
            progress=progress,
        )
    if as_json:
        print_json([r.as_dict() for r in results])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "as wanted", "95 %", "p", "the rest lost", "changed", box=None, header_style="bold")
    for r in results:
        e = r.outcome.effect
        table.add_row(
            r.name, f"{e['mean']:.1%}", f"{e['low']:.1%} to {e['high']:.1%}", f"{r.outcome.p:.4f}",
            f"{r.outcome.cost:.1%}", f"{r.outcome.side['changed']:.1%}",
        )  # fmt: skip
    Console().print(table)


@steering.command()
def export(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="A .gguf control vector, or .safetensors.")],
    strength: Annotated[float, typer.Option(help="The vectors are written so many times as long.")] = 1.0,
    hint: Annotated[str, typer.Option(help="In GGUF: the architecture, as llama.cpp calls it.")] = "llama",
    as_json: Json = False,
) -> None:
    """Vectors in a format that other tools read: llama.cpp and repeng take .gguf."""
    from vitrail.steer import open_steering
    from vitrail.steer.interchange import export_vectors

    path = export_vectors(open_steering(folder), file, alpha=strength, model=hint)
    if as_json:
        print_json({"file": str(path)})
    else:
        typer.echo(f"The vectors are in {path}")
