"""`vitrail steer make`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import NOT_OF_STUDY
from vitrail.cli.derived import Named, NameParser
from vitrail.cli.options import Json, Out, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.steer.common import SteeredModel, TaskData, open_study, steering
from vitrail.cli.terminal import print_json, progress_bars, say
from vitrail.cli.unused import refuse, typed
from vitrail.errors import UsageError
from vitrail.options import Count, CountOrNone, NameIn
from vitrail.progress import silent
from vitrail.steering.options import SteeringOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitrail.progress import Progress
    from vitrail.steering import Steering
    from vitrail.steering.artifact import Fit

METHODS = NameParser(NameIn("vitrail.steering:task_methods"), "mean")


@dataclass(frozen=True, kw_only=True)
class SourceChoice:
    """What a steering is made from.

    Args:
        task: from samples that show a task. Captions: `colour`, `place`, `mood`, `neutral`; answers: `yes-no`, `1-3`,
            `white-black`, `colours-numbers`.
        study: from the concepts of this study, see --to.
        shift: with --study: how the concept --to moved, from this comparison.
        tensor: from vectors in a .gguf, .safetensors, .pt or .npy; a nameless one needs --layers.
        toward: with --study: towards this concept.
        away: with --study: away from this one, `u_j − u_i`.
    """

    task: str | None = None
    study: Path | None = None
    shift: Path | None = None
    tensor: Path | None = None
    toward: CountOrNone | None = None
    away: CountOrNone | None = None

    def check(self, n_layers: int) -> None:
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
        if self.tensor is not None and n_layers > 1:
            raise UsageError("A file says the layers of its vectors; one without names needs a single --layers.")
        if self.shift is not None and self.away is not None:
            raise UsageError("The shift of a concept goes from the model before to the one after: leave out --from.")


@dataclass(frozen=True, kw_only=True)
class ShownData(TaskData):
    """The samples that show a task."""

    limit: Count | None = 300


@command(steering)
def make(
    *,
    out: Out,
    source: Annotated[SourceChoice, Named(toward="--to", away="--from")],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            parser=METHODS,
            autocompletion=METHODS.complete,
            help="With --task: a vector, or a learned function.",
        ),
    ] = "mean",
    making: Annotated[SteeringOptions, Named(applied_at="--positions", saying="--saying/--whole")],
    model: SteeredModel,
    data: ShownData,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """A steering in OUT: from samples that show a task, from concepts and their shifts, or from a file with vectors.

    Examples:
        vitrail steer make --task colour --layers 6,8 --out steerings/colour
        vitrail steer make --study studies/dog --to 3 --from 5 --out steerings/dog
        vitrail steer make --tensor vectors.gguf --out steerings/imported
    """
    from vitrail.artifacts import check_place
    from vitrail.comparison import open_comparison
    from vitrail.steering import (
        TASKS,
        concept_direction,
        concept_vector,
        make_steering,
        shift_vector,
        task_named,
        tensor_vector,
    )
    from vitrail.steering.interchange import import_vectors

    source.check(len(making.layers))
    _refuse_unused(source, method)
    check_place(out, "steering")
    at, tensor = making.applied_at, source.tensor
    vectors = None if tensor is None else import_vectors(tensor, making.layers[0])
    with progress_bars() as progress:
        if source.study is not None and source.toward is not None:
            activations, concepts = open_study(source.study)
            concept_direction(concepts, source.toward, source.away)
            shift = None if source.shift is None else open_comparison(source.shift)
            lmm = model.of_study().load(activations)
            toward, away = source.toward, source.away

            def run(some: Sequence[Any], to: Path, progress: Progress = silent) -> Steering:
                if shift is None:
                    return concept_vector(lmm, activations, concepts, toward, away, out=to, applied_at=at)
                return shift_vector(lmm, activations, concepts, shift, toward, out=to, applied_at=at)

            items: Sequence[Any] = [source.study]
        else:
            task = TASKS["colour"] if source.task is None else task_named(source.task)
            items = samples = data.of_task(task, progress, "train")
            if tensor is None:
                task.contrast(samples, saying=making.saying)
            lmm = model.load(progress, making.layers if vectors is None else vectors)

            def run(some: Sequence[Any], to: Path, progress: Progress = silent) -> Steering:
                if tensor is not None and vectors is not None:
                    return tensor_vector(lmm, vectors, some, out=to, source=tensor.name, applied_at=at)
                return make_steering(lmm, task, some, making, method=method, out=to, progress=progress)

        if plan:
            show_plan(
                run,
                items,
                out=out,
                as_json=as_json,
                device=lmm.device,
                batch_size=making.batch_size if source.study is None else None,
                what="samples" if source.study is None else "studies",
            )
            return
        made = run(items, out, progress)
    if as_json:
        print_json(_summary(made))
        return
    norms = made.norms if made.method.is_vector else {}
    size = ", ".join(f"{v:.2f} at layer {k}" for k, v in norms.items())
    end = f"; strength 1 adds {size}, in units of the layer's median norm" if size else ""
    if made.share < 1:
        end += f". Each of the {len(made.layers)} layers gets {made.share:.2g} of the strength"
    if made.fit is not None:
        end += f"; {_fitted(made.fit)}"
    say(f"{made.method.name} is in {out}{end}.")


def _refuse_unused(source: SourceChoice, method: str) -> None:
    """Raises `UsageError` for an option that is typed and that the source, or the method, has no use for."""
    fields = SteeringOptions.__dataclass_fields__
    if source.task is not None:
        from vitrail.steering.methods.registry import refuse_options

        given = {name: option for name in fields for option in typed(f"making.{name}")}
        refuse_options(method, given)
        return
    used = {"applied_at"} if source.tensor is None else {"applied_at", "layers", "batch_size"}
    refuse("is for steerings from a --task", "method", *(f"making.{name}" for name in fields if name not in used))
    if source.study is not None:
        refuse("is for other sources than a --study, which knows its model and its states", "data", *NOT_OF_STUDY)


def _fitted(fit: Fit) -> str:
    """How well a network fits its targets, in words."""
    held_out = "too few samples to hold some out"
    if fit.held_out is not None:
        held_out = f"{fit.held_out:.2f} of that of held-out samples"
    return f"it explains {fit.learned:.2f} of the variance of its targets, {held_out} ({fit.epochs} epochs)"


def _summary(made: Steering) -> dict[str, Any]:
    found: dict[str, Any] = {"folder": str(made.folder), "method": made.method.name, "layers": list(made.layers)}
    if made.method.is_vector:
        found["norms"] = {str(layer): norm for layer, norm in made.norms.items()}
        found["share"] = made.share
    if made.fit is not None:
        found["fit"] = vars(made.fit)
    return found | {"numbers": made.n_parameters, "seconds": made.seconds}
