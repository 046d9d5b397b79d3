"""`vitrail steer`: make, rank, apply, search, evaluate, export."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.artifacts import write_json
from vitrail.cli.commands import app
from vitrail.cli.objects import load_again, to_layer, to_model
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
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from vitrail.activations import Activations
    from vitrail.concepts import Concepts
    from vitrail.lmm import LMM, Layer
    from vitrail.positions import Name, Positions
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.steer import Steering
    from vitrail.steer.evaluate import Result
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


class Targets(str, Enum):
    answers = "answers"
    prompts = "prompts"


class Where(str, Enum):
    prompt = "prompt"
    image = "image"
    first = "first"
    last = "last"
    ends = "ends"
    generated = "generated"
    all = "all"


NAMES = "Captions: `colour`, `place`, `mood`, `neutral`; answers: `yes-no`, `1-3`, `white-black`, `colours-numbers`."
TaskName = Annotated[str, typer.Option("--task", help=NAMES)]
TaskData = Annotated[
    str,
    typer.Option("--data", help="`toyland`; or captions (COCO, …) or questions (VQAv2), whichever the task is about."),
]
Folder = Annotated[Path, typer.Argument(metavar="STEERING", help="The steering's folder.")]
Layers = Annotated[str, typer.Option("--layers", help="One or several, by commas.")]
Alone = Annotated[str | None, typer.Option("--layer", help="Of vectors at several layers, this one's alone.")]
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


def _alone(opened: Steering, layer: str | None) -> Steering:
    """The steering, or the vector of one of its layers."""
    if layer is None:
        return opened
    wanted = to_layer(layer)
    if wanted not in opened.directions:
        raise UsageError(f"{opened.folder} has layers {', '.join(map(str, opened.layers))}; got --layer {layer}.")
    return opened.only(wanted)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"Expected numbers by commas; got {text!r}.") from None


@steering.command()
def make(
    out: Out,
    task: Annotated[str | None, typer.Option("--task", help=f"From samples that show a task. {NAMES}")] = None,
    study: Annotated[Path | None, typer.Option("--study", help="From the concepts of this study, see --to.")] = None,
    shift: Annotated[
        Path | None, typer.Option("--shift", help="With --study: how the concept --to moved, from this comparison.")
    ] = None,
    tensor: Annotated[
        Path | None,
        typer.Option(
            "--tensor", help="From vectors in a .gguf, .safetensors, .pt or .npy; a nameless one needs --layers."
        ),
    ] = None,
    toward: Annotated[int | None, typer.Option("--to", min=0, help="With --study: towards this concept.")] = None,
    away: Annotated[
        int | None, typer.Option("--from", min=0, help="With --study: away from this one, `u_j − u_i`.")
    ] = None,
    method: Annotated[Way, typer.Option(help="With --task: a vector, or a learned function.")] = Way.mean,
    layers: Layers = "-1",
    positions: At = None,
    saying: Annotated[
        bool, typer.Option("--saying/--whole", help="Of captions: only states that predict the task's words.")
    ] = True,
    targets: Annotated[
        Targets, typer.Option(help="Of L2S: what answers differ by, or what asking for it in the prompt does.")
    ] = Targets.answers,
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
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """A steering in OUT: from samples that show a task, from concepts and their shifts, or from a file with vectors."""
    from vitrail.steer.interchange import import_vectors
    from vitrail.steer.recipes import make_for
    from vitrail.steer.tasks import TASKS, task_named

    given = [name for name, value in (("--task", task), ("--study", study), ("--tensor", tensor)) if value is not None]
    if len(given) != 1:
        raise UsageError(f"Say what to make it from: --task, --study or --tensor; got {' and '.join(given) or 'none'}.")
    of_study = {"--to": toward, "--from": away, "--shift": shift}
    if study is None and (extra := [name for name, value in of_study.items() if value is not None]):
        raise UsageError(f"{' and '.join(extra)} need --study.")
    vectors = None if tensor is None else import_vectors(tensor, to_layer(layers))
    with progress_bars() as progress:
        if study is not None:
            made = _of_study(study, shift, toward, away, out, _where(positions), model, device, trust_remote_code)
        else:
            wanted = TASKS["colour"] if task is None else task_named(task)
            samples = task_samples(wanted, data, split, limit, images, progress, "train")
            lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
            if tensor is not None and vectors is not None:
                made = _of_tensor(lmm, vectors, tensor.name, samples, out, _where(positions))
            else:
                made = make_for(
                    lmm,
                    wanted,
                    samples,
                    out=out,
                    method=method.value,
                    layers=[to_layer(part) for part in layers.split(",")],
                    applied_at=_where(positions),
                    saying=saying,
                    targets=targets.value,
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
            f"{made.method} is in {out}"
            + (f"; its norm is {size}, in units of the layer's median norm" if size else "")
        )


def _of_study(
    folder: Path,
    shift: Path | None,
    toward: int | None,
    away: int | None,
    out: Path,
    applied_at: Name | None,
    model: str,
    device: str | None,
    trust_remote_code: bool,
) -> Steering:
    """A concept's direction, the way from one to another, or a concept's shift."""
    from vitrail.steer import concept_vector, shift_vector

    if toward is None:
        raise UsageError("--study needs --to, the number of a concept.")
    activations, concepts, lmm = _open_study(folder, model, device, trust_remote_code)
    at: Name = applied_at or "generated"
    if shift is None:
        return concept_vector(lmm, activations, concepts, toward, away, out=out, applied_at=at)
    if away is not None:
        raise UsageError(
            "A concept's shift goes from the concept before to the one after: --from has no meaning there."
        )
    from vitrail.compare import open_shift

    return shift_vector(lmm, activations, concepts, open_shift(shift), toward, out=out, applied_at=at)


def _open_study(
    folder: Path, model: str, device: str | None, trust_remote_code: bool
) -> tuple[Activations, Concepts, LMM]:
    from vitrail.activations import open_activations
    from vitrail.concepts import open_concepts

    activations = open_activations(folder / "activations")
    lmm = load_again(activations, None if model == "toyland" else model, device, trust_remote_code)
    return activations, open_concepts(folder / "concepts", activations), lmm


def _of_tensor(
    lmm: LMM, vectors: dict[Layer, Tensor], source: str, samples: list[Sample], out: Path, applied_at: Name | None
) -> Steering:
    """Vectors from a file, in units of the norms of `samples`' states."""
    from vitrail.finetune import Example
    from vitrail.steer import read_states, tensor_vector

    at: Name = applied_at or "generated"
    examples = [Example(s, text) for s in samples[:64] for text in (*s.references, *s.answers)[:1]]
    medians = read_states(lmm, examples, list(vectors), positions=at).medians
    return tensor_vector(lmm, vectors, medians, out=out, applied_at=at, source=source)


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
    layer: Alone = None,
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
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """What the model says of images before and after."""
    from vitrail.steer import TASKS, open_steering, say, steer
    from vitrail.steer.gallery import write_gallery
    from vitrail.steer.tasks import task_named

    opened, alphas = _alone(open_steering(folder), layer), _numbers(strengths)
    wanted = None if task is None else task_named(task)
    with progress_bars() as progress:
        samples = task_samples(wanted or TASKS["colour"], data, split, limit, images, progress, "val")
        lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
        opened.check(lmm)
        where = _places(lmm, wanted, positions, until)
        before = say(lmm, samples, batch_size=batch_size)
        with steer(lmm, opened.intervention(strength, positions=where, keep_norm=keep_norm)) as done:
            after = say(lmm, samples, batch_size=batch_size, progress=progress)
        if gallery is not None:
            write_gallery(
                lmm, opened, samples, gallery, strengths=alphas, task=wanted, positions=where,
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
    trust_remote_code: TrustRemoteCode = False,
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
    from vitrail.steer.outcome import finite
    from vitrail.steer.recipes import tries
    from vitrail.steer.tasks import task_named

    opened, wanted, alphas = open_steering(folder), task_named(task), _numbers(strengths)
    with progress_bars() as progress:
        samples = task_samples(wanted, data, split, limit, images, progress, "val")
        lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
        opened.check(lmm)
        where = _places(lmm, wanted, positions, until)
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
        print_json(finite(found.as_dict()))
    elif found.picked is None or found.held_out is None:
        typer.echo(f"Nothing that was tried is within the budget of {budget:.0%}. Try less strength, or other layers.")
    else:
        typer.echo(
            f"Layer {found.picked.layer}, strength {found.picked.alpha:g}: {found.held_out.effect['mean']:.0%} as "
            f"wanted (without steering {found.plain.effect['mean']:.0%}), the rest lost {found.held_out.cost:.1%}."
        )


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

    from vitrail.steer import Add, rank_by_narrowness
    from vitrail.steer.make import concept_direction
    from vitrail.steer.tasks import task_named

    with progress_bars() as progress:
        samples = task_samples(task_named(task), data, split, limit, images, progress, "val")
        _, concepts, lmm = _open_study(study, model, device, trust_remote_code)
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
    _show_table(table)


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
    from vitrail.scorers import load_image_scorer
    from vitrail.steer import open_steering
    from vitrail.steer.artifact import VECTORS
    from vitrail.steer.evaluate import all_baselines, evaluate_steering, of
    from vitrail.steer.gallery import write_gallery
    from vitrail.steer.outcome import finite
    from vitrail.steer.search import halves
    from vitrail.steer.tasks import task_named

    opened, wanted = [open_steering(folder) for folder in folders], task_named(task)
    opened = [_alone(one, layer) if one.method in VECTORS else one for one in opened]
    with progress_bars() as progress, ExitStack() as stack:
        samples = task_samples(wanted, data, split, limit, images, progress, "test")
        if data == "toyland" or train_data is not None or train_split is not None:
            taught = task_samples(wanted, train_data or data, train_split, limit, images, progress, "train")
        else:
            taught, samples = halves(samples, seed)
        lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
        for one in opened:
            one.check(lmm)
        where = _places(lmm, wanted, positions, until)
        folder = out or Path(stack.enter_context(TemporaryDirectory()))
        contenders = all_baselines(
            lmm, wanted, taught, opened, folder=folder, alpha=strength, positions=where, steps=steps,
            batch_size=batch_size, seed=seed, progress=progress,
        )  # fmt: skip
        for one, made in zip(opened, folders, strict=True):
            trained = one.method in ("loreft", "direft")
            if one.method != "mean":
                name = f"{one.method} ({made.name})"
                contenders.append(of(one, name=name) if trained else of(one, strength, name, where))
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
            write_json(out / "evaluate.json", finite(rows))
            write_gallery(
                lmm, opened[0], samples[:12], out / "evaluate.html", strengths=(0.5, 1.0, strength), task=wanted,
                results=results,
                positions=None if opened[0].method in ("loreft", "direft") else where, batch_size=batch_size,
                progress=progress,
            )  # fmt: skip
    if as_json:
        print_json(finite(rows))
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
    _show_table(table)


def _show_table(table: Table) -> None:
    """On one line per row: a terminal's width is its own, that of a file is not bounded."""
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


@steering.command()
def export(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="A .gguf control vector, a .pt or a .safetensors.")],
    strength: Annotated[float, typer.Option(help="The vectors are written so many times as long.")] = 1.0,
    hint: Annotated[str, typer.Option(help="In GGUF: the architecture, as llama.cpp calls it.")] = "llama",
    as_json: Json = False,
) -> None:
    """Vectors in a format that other tools read: llama.cpp and repeng take .gguf, steering-vectors .pt."""
    from vitrail.steer import open_steering
    from vitrail.steer.interchange import export_vectors

    path = export_vectors(open_steering(folder), file, alpha=strength, model=hint)
    if as_json:
        print_json({"file": str(path)})
    else:
        typer.echo(f"The vectors are in {path}")
