"""What the commands of `vitrail steer` share: their group, options, data and tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.application import app
from vitrail.cli.choices import DataSource, ModelChoice
from vitrail.cli.derived import Parser, Without
from vitrail.cli.parsing import to_layer
from vitrail.cli.terminal import warn
from vitrail.errors import UsageError
from vitrail.lmm.options import Layer, PositionName
from vitrail.options import Count

if TYPE_CHECKING:
    from vitrail.activations import Activations
    from vitrail.concepts import Concepts
    from vitrail.lmm import LMM
    from vitrail.lmm.positions import Positions
    from vitrail.lmm.scorers import ImageTextScorer
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.steering import Steering, Task
    from vitrail.trials import TextLoss

steering = typer.Typer(no_args_is_help=True, help="Change what a model says by editing its states, and measure it.")
app.add_typer(steering, name="steer", rich_help_panel="Change the model")


NAMES = "Captions: `colour`, `place`, `mood`, `neutral`; answers: `yes-no`, `1-3`, `white-black`, `colours-numbers`."
TaskName = Annotated[str, typer.Option("--task", help=NAMES)]
Folder = Annotated[Path, typer.Argument(metavar="STEERING", help="The steering's folder.")]
Alone = Annotated[
    Any,
    typer.Option("--layer", parser=Parser(to_layer, "layer"), help="Of vectors at several layers, this one's alone."),
]
Scorer = Annotated[
    str | None, typer.Option("--scorer", help="For CLIPScore: `toyland`, or a CLIP; without it, there is none.")
]
#: The model that is steered. It is asked what the task asks.
SteeredModel = Annotated[ModelChoice, Without("prompt")]


@dataclass(frozen=True, kw_only=True)
class TaskData(DataSource):
    """The captions or the questions that a task is about.

    Args:
        data: `toyland`; or captions (COCO, …) or questions (VQAv2), whichever the task is about.
    """

    limit: Count | None = 200

    def of_task(self, task: Task, progress: Progress, default: str) -> list[Sample]:
        """Captions or questions, as the task needs them; of Toyland's split `default` where none was chosen."""
        from vitrail import toyland as world
        from vitrail.extraction import check_images
        from vitrail.steering import AnswerTask

        source, split = self.data, self.split
        if source == "toyland":
            folder, split = world.dataset_path(progress=progress), split or default
            questions = f"v2_OpenEnded_mscoco_{split}2014_questions.json"
            source, split = (str(folder / questions), None) if isinstance(task, AnswerTask) else (str(folder), split)
        found = self.read(source, split, self.limit, progress)
        check_images(found)
        return found


@dataclass(frozen=True, kw_only=True)
class PlaceChoice:
    """Where a steering is applied.

    Args:
        positions: where to apply it; as it was made by default.
        until_said: of captions: leave each alone once it has said one of the task's words.
    """

    positions: PositionName | None = None
    until_said: bool = False

    def places(self, lmm: LMM, task: Task | None) -> Positions | None:
        """--positions, or what --until-said means; None where neither was given.

        Raises:
            UsageError: --until-said with a task that is not of captions, or with other positions.
        """
        from vitrail.steering import CaptionTask, until_said

        if not self.until_said:
            return self.positions
        if not isinstance(task, CaptionTask) or self.positions is not None:
            raise UsageError("--until-said is for tasks of captions, and for no other --positions.")
        return until_said(lmm, task)


def alone(opened: Steering, layer: Layer | None) -> Steering:
    """The steering, or the vector of one of its layers."""
    return opened if layer is None else opened.only(layer)


def warn_of_broken(losses: Iterable[tuple[str, TextLoss]]) -> None:
    """A line on stderr for each steering whose texts are broken: its name ("" where there is one alone), and why."""
    for name, loss in losses:
        if loss.broken:
            what = (
                f"{name}: {loss}." if name else f"{loss}. Give less strength, or find one with `vitrail steer search`."
            )
            warn(what)


def load_scorer(name: str | None, device: str | None) -> ImageTextScorer | None:
    """The scorer for CLIPScore; None without a name."""
    from vitrail.lmm.scorers import load_image_scorer

    return None if name is None else load_image_scorer(name, device=device)


def open_study(folder: Path) -> tuple[Activations, Concepts]:
    """The states and concepts in the folder of a study."""
    from vitrail.activations import open_activations
    from vitrail.concepts import open_concepts

    activations = open_activations(folder / "activations")
    return activations, open_concepts(folder / "concepts", activations)
