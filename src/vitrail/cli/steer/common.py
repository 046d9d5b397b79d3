"""What the commands of `vitrail steer` share: their group, options, data and tables."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from vitrail.cli.commands import app
from vitrail.cli.objects import load_again, to_layer
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.activations import Activations
    from vitrail.concepts import Concepts
    from vitrail.lmm import LMM
    from vitrail.lmm.positions import Name, Positions
    from vitrail.lmm.scorers import ImageTextScorer
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.steering import Steering, Task

steering = typer.Typer(no_args_is_help=True, help="Change what a model says by editing its states, and measure it.")
app.add_typer(steering, name="steer")


class MakeCommand(TyperCommand):
    """Its help lists the methods of the registry, which is read when it is needed: it imports torch."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for parameter in self.params:
            if parameter.name == "method":
                parameter.metavar = f"[{'|'.join(_methods())}]"
        super().format_help(ctx, formatter)


def _methods() -> tuple[str, ...]:
    from vitrail.steering import task_methods

    return task_methods()


def _to_method(text: str) -> str:
    if text not in _methods():
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, _methods()))}.")
    return text


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
MethodChoice = Annotated[
    str, typer.Option("--method", parser=_to_method, help="With --task: a vector, or a learned function.")
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
    from vitrail.steering import AnswerTask

    if data == "toyland":
        folder, split = world.dataset_path(progress=progress), split or default
        if isinstance(task, AnswerTask):
            return load_samples(folder / f"v2_OpenEnded_mscoco_{split}2014_questions.json", limit=limit)
        return load_samples(folder, split=split, limit=limit)
    return load_samples(data, split=split, limit=limit, images=images)


def position_name(positions: Where | None) -> Name | None:
    return None if positions is None else positions.value


def places(lmm: LMM, task: Task | None, positions: Where | None, until: bool) -> Positions | None:
    """Where to apply a steering: --positions, or --until-said; None where neither was given."""
    from vitrail.steering import CaptionTask, until_said

    if not until:
        return position_name(positions)
    if not isinstance(task, CaptionTask) or positions is not None:
        raise UsageError("--until-said is for tasks of captions, and for no other --positions.")
    return until_said(lmm, task)


def alone(opened: Steering, layer: str | None) -> Steering:
    """The steering, or the vector of one of its layers."""
    return opened if layer is None else opened.only(to_layer(layer))


def load_scorer(name: str | None, device: str | None) -> ImageTextScorer | None:
    """The scorer for CLIPScore; None without a name."""
    from vitrail.lmm.scorers import load_image_scorer

    return None if name is None else load_image_scorer(name, device=device)


def open_study(
    folder: Path, model: str, device: str | None, trust_remote_code: bool
) -> tuple[Activations, Concepts, LMM]:
    from vitrail.activations import open_activations
    from vitrail.concepts import open_concepts

    activations = open_activations(folder / "activations")
    lmm = load_again(activations, None if model == "toyland" else model, device, trust_remote_code)
    return activations, open_concepts(folder / "concepts", activations), lmm
