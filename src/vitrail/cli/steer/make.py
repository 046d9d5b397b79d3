"""`vitrail steer make`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.application import Without, command
from vitrail.cli.choices import AnswerShift, ModelChoice, PositionName
from vitrail.cli.options import BatchSize, Json, Limit, Out, Seed
from vitrail.cli.parsing import to_layer
from vitrail.cli.steer.common import NAMES, Layers, MethodName, TaskData, open_study, steering
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.runs.steer import ConceptChoice
    from vitrail.steering import Steering, SteeringOptions


@dataclass(frozen=True, kw_only=True)
class SourceChoice:
    """What a steering is made from."""

    task: Annotated[str | None, typer.Option("--task", help=f"From samples that show a task. {NAMES}")] = None
    study: Annotated[Path | None, typer.Option("--study", help="From the concepts of this study, see --to.")] = None
    shift: Annotated[
        Path | None, typer.Option("--shift", help="With --study: how the concept --to moved, from this comparison.")
    ] = None
    tensor: Annotated[
        Path | None,
        typer.Option(
            "--tensor", help="From vectors in a .gguf, .safetensors, .pt or .npy; a nameless one needs --layers."
        ),
    ] = None
    toward: Annotated[int | None, typer.Option("--to", min=0, help="With --study: towards this concept.")] = None
    away: Annotated[
        int | None, typer.Option("--from", min=0, help="With --study: away from this one, `u_j − u_i`.")
    ] = None

    def check(self) -> None:
        """Checks that there is one source, and that the other options belong to it.

        Raises:
            UsageError: there is none or several, or an option needs another source.
        """
        sources = {"--task": self.task, "--study": self.study, "--tensor": self.tensor}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise UsageError(f"Say what to make it from: --task, --study or --tensor; got {found}.")
        for_studies = {"--to": self.toward, "--from": self.away, "--shift": self.shift}
        if self.study is None and (extra := [name for name, value in for_studies.items() if value is not None]):
            raise UsageError(f"{' and '.join(extra)} need --study.")
        if self.study is not None and self.toward is None:
            raise UsageError("--study needs --to, the number of a concept.")

    def concepts(self) -> ConceptChoice | None:
        """The concepts of a study that it is made from; None where it is made from something else."""
        from vitrail.runs.steer import ConceptChoice

        return None if self.toward is None else ConceptChoice(self.toward, self.away, self.shift)


@dataclass(frozen=True, kw_only=True)
class MakingChoice:
    """How a steering is made."""

    layers: Layers = "-1"
    positions: Annotated[
        PositionName, typer.Option("--positions", help="Where it is applied, unless that is said anew.")
    ] = "generated"
    saying: Annotated[
        bool, typer.Option("--saying/--whole", help="Of captions: only states that predict the task's words.")
    ] = True
    targets: Annotated[
        AnswerShift, typer.Option(help="Of L2S: what answers differ by, or what asking for it in the prompt does.")
    ] = "answers"
    rank: Annotated[int, typer.Option(min=1, help="Of LoReFT and DiReFT.")] = 4
    steps: Annotated[int, typer.Option(min=1, help="Of training LoReFT and DiReFT, at most.")] = 100
    batch_size: BatchSize = 32
    seed: Seed = 0

    def options(self) -> SteeringOptions:
        """As the library takes them."""
        from vitrail.steering import SteeringOptions

        return SteeringOptions(
            layers=tuple(to_layer(part) for part in self.layers.split(",")),
            applied_at=self.positions,
            saying=self.saying,
            targets=self.targets,
            rank=self.rank,
            steps=self.steps,
            batch_size=self.batch_size,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True)
class ShownData(TaskData):
    """The samples that show a task."""

    limit: Limit = 300


@command(steering)
def make(
    *,
    out: Out,
    source: SourceChoice,
    method: MethodName = "mean",
    making: MakingChoice,
    model: Annotated[ModelChoice, Without("prompt")],
    data: ShownData,
    as_json: Json = False,
) -> None:
    """A steering in OUT: from samples that show a task, from concepts and their shifts, or from a file with vectors."""
    from vitrail.runs.steer import steering_from_concepts, steering_from_vectors
    from vitrail.steering import TASKS, make_steering, task_named
    from vitrail.steering.interchange import import_vectors

    source.check()
    at, tensor, concepts = making.positions, source.tensor, source.concepts()
    vectors = None if tensor is None else import_vectors(tensor, to_layer(making.layers))
    with progress_bars() as progress:
        if source.study is not None and concepts is not None:
            activations, learned, lmm = open_study(source.study, model)
            made = steering_from_concepts(lmm, activations, learned, concepts, out=out, applied_at=at)
        else:
            task = TASKS["colour"] if source.task is None else task_named(source.task)
            samples = data.of_task(task, progress, "train")
            lmm = model.load(progress)
            if tensor is not None and vectors is not None:
                made = steering_from_vectors(lmm, vectors, samples, out=out, source=tensor.name, applied_at=at)
            else:
                made = make_steering(lmm, task, samples, making.options(), method=method, out=out, progress=progress)
    if as_json:
        print_json(_summary(made))
        return
    norms = made.norms if made.method.is_vector else {}
    size = ", ".join(f"{v:.2f} at layer {k}" for k, v in norms.items())
    end = f"; its norm is {size}, in units of the layer's median norm" if size else ""
    typer.echo(f"{made.method.name} is in {out}{end}")


def _summary(made: Steering) -> dict[str, Any]:
    found: dict[str, Any] = {"folder": str(made.folder), "method": made.method.name, "layers": list(made.layers)}
    if made.method.is_vector:
        found["norms"] = {str(layer): norm for layer, norm in made.norms.items()}
    return found | {"numbers": made.n_parameters, "seconds": made.seconds}
