"""`vitrail steer make`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    TrustRemoteCode,
)
from vitrail.cli.steer.common import (
    NAMES,
    At,
    Layers,
    MakeCommand,
    MethodChoice,
    TaskData,
    open_study,
    position_name,
    steering,
    task_samples,
)
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.lmm.positions import Name
    from vitrail.steering import Steering


class Targets(str, Enum):
    answers = "answers"
    prompts = "prompts"


@steering.command(cls=MakeCommand)
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
    method: MethodChoice = "mean",
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
    from vitrail.runs.steer import ConceptChoice, steering_from_concepts, steering_from_vectors
    from vitrail.steering import TASKS, SteeringOptions, make_steering, task_named
    from vitrail.steering.interchange import import_vectors

    given = [name for name, value in (("--task", task), ("--study", study), ("--tensor", tensor)) if value is not None]
    if len(given) != 1:
        raise UsageError(f"Say what to make it from: --task, --study or --tensor; got {' and '.join(given) or 'none'}.")
    for_studies = {"--to": toward, "--from": away, "--shift": shift}
    if study is None and (extra := [name for name, value in for_studies.items() if value is not None]):
        raise UsageError(f"{' and '.join(extra)} need --study.")
    if study is not None and toward is None:
        raise UsageError("--study needs --to, the number of a concept.")
    vectors = None if tensor is None else import_vectors(tensor, to_layer(layers))
    applied_at: Name = position_name(positions) or "generated"
    with progress_bars() as progress:
        if study is not None and toward is not None:
            activations, concepts, lmm = open_study(study, model, device, trust_remote_code)
            choice = ConceptChoice(toward, away, shift)
            made = steering_from_concepts(lmm, activations, concepts, choice, out=out, applied_at=applied_at)
        else:
            wanted = TASKS["colour"] if task is None else task_named(task)
            samples = task_samples(wanted, data, split, limit, images, progress, "train")
            options = SteeringOptions(
                layers=() if tensor is not None else tuple(to_layer(part) for part in layers.split(",")),
                applied_at=applied_at,
                saying=saying,
                targets=targets.value,
                rank=rank,
                steps=steps,
                batch_size=batch_size,
                seed=seed,
            )
            lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
            if tensor is not None and vectors is not None:
                made = steering_from_vectors(lmm, vectors, samples, out=out, source=tensor.name, applied_at=applied_at)
            else:
                made = make_steering(lmm, wanted, samples, options, method=method, out=out, progress=progress)
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
