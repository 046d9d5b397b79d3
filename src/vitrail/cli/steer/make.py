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
from vitrail.cli.steer.common import NAMES, At, Layers, TaskData, open_study, position_name, steering, task_samples
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from vitrail.lmm import LMM, Layer
    from vitrail.lmm.positions import Name
    from vitrail.samples import Sample
    from vitrail.steering import Steering


class Way(str, Enum):
    mean = "mean"
    guarded = "guarded"
    probe = "probe"
    pca = "pca"
    random = "random"
    l2s = "l2s"
    loreft = "loreft"
    direft = "direft"


class Targets(str, Enum):
    answers = "answers"
    prompts = "prompts"


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
    from vitrail.steering.interchange import import_vectors
    from vitrail.trials.recipes import make_for
    from vitrail.trials.tasks import TASKS, task_named

    given = [name for name, value in (("--task", task), ("--study", study), ("--tensor", tensor)) if value is not None]
    if len(given) != 1:
        raise UsageError(f"Say what to make it from: --task, --study or --tensor; got {' and '.join(given) or 'none'}.")
    of_study = {"--to": toward, "--from": away, "--shift": shift}
    if study is None and (extra := [name for name, value in of_study.items() if value is not None]):
        raise UsageError(f"{' and '.join(extra)} need --study.")
    vectors = None if tensor is None else import_vectors(tensor, to_layer(layers))
    with progress_bars() as progress:
        if study is not None:
            made = _of_study(
                study, shift, toward, away, out, position_name(positions), model, device, trust_remote_code
            )
        else:
            wanted = TASKS["colour"] if task is None else task_named(task)
            samples = task_samples(wanted, data, split, limit, images, progress, "train")
            lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
            if tensor is not None and vectors is not None:
                made = _of_tensor(lmm, vectors, tensor.name, samples, out, position_name(positions))
            else:
                made = make_for(
                    lmm,
                    wanted,
                    samples,
                    out=out,
                    method=method.value,
                    layers=[to_layer(part) for part in layers.split(",")],
                    applied_at=position_name(positions),
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
    from vitrail.steering import concept_vector, shift_vector

    if toward is None:
        raise UsageError("--study needs --to, the number of a concept.")
    activations, concepts, lmm = open_study(folder, model, device, trust_remote_code)
    at: Name = applied_at or "generated"
    if shift is None:
        return concept_vector(lmm, activations, concepts, toward, away, out=out, applied_at=at)
    if away is not None:
        raise UsageError(
            "A concept's shift goes from the concept before to the one after: --from has no meaning there."
        )
    from vitrail.comparison import open_comparison

    return shift_vector(lmm, activations, concepts, open_comparison(shift), toward, out=out, applied_at=at)


def _of_tensor(
    lmm: LMM, vectors: dict[Layer, Tensor], source: str, samples: list[Sample], out: Path, applied_at: Name | None
) -> Steering:
    """Vectors from a file, in units of the norms of `samples`' states."""
    from vitrail.samples.examples import Example
    from vitrail.steering import read_states, tensor_vector

    at: Name = applied_at or "generated"
    examples = [Example(s, text) for s in samples[:64] for text in (*s.references, *s.answers)[:1]]
    medians = read_states(lmm, examples, list(vectors), positions=at).medians
    return tensor_vector(lmm, vectors, medians, out=out, applied_at=at, source=source)


def _shown(made: Steering) -> dict[str, Any]:
    from vitrail.steering.artifact import VECTORS

    found: dict[str, Any] = {"folder": str(made.folder), "method": made.method, "layers": list(made.layers)}
    if made.method in VECTORS:
        found["norms"] = {str(layer): norm for layer, norm in made.norms.items()}
    return found | {"numbers": made.n_parameters, "seconds": made.manifest.get("seconds")}
