"""`vitrail steer apply` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    Revision,
    Split,
    TrustRemoteCode,
)
from vitrail.cli.steer.common import Alone, At, Folder, TaskData, Until, alone, places, steering, task_samples
from vitrail.cli.terminal import print_json, progress_bars


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
    from vitrail.runs.steer import GalleryOptions, apply_steering
    from vitrail.steering import TASKS, Application, open_steering, task_named

    opened, alphas = alone(open_steering(folder), layer), to_numbers(strengths, float)
    wanted = None if task is None else task_named(task)
    page = None if gallery is None else GalleryOptions(gallery, tuple(alphas), wanted)
    with progress_bars() as progress:
        samples = task_samples(wanted or TASKS["colour"], data, split, limit, images, progress, "val")
        lmm = to_model(model, revision, adapter, dtype, device, None, progress, trust_remote_code)
        application = Application(strength, places(lmm, wanted, positions, until), keep_norm)
        done = apply_steering(lmm, opened, samples, application, gallery=page, batch_size=batch_size, progress=progress)
    texts = zip(samples, done.before, done.after, strict=True)
    pairs = [{"sample_id": s.id, "before": before, "after": after} for s, before, after in texts]
    if as_json:
        where = None if gallery is None else str(gallery)
        print_json({"positions_changed": done.changed, "passes": done.passes, "gallery": where, "texts": pairs})
        return
    for pair in pairs:
        typer.echo(f"{pair['sample_id']}\n  {pair['before']}\n  {pair['after']}")
    typer.echo(f"{done.changed} positions were changed in {done.passes} passes.")


@steering.command()
def export(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="A .gguf control vector, a .pt or a .safetensors.")],
    strength: Annotated[float, typer.Option(help="The vectors are written so many times as long.")] = 1.0,
    hint: Annotated[str, typer.Option(help="In GGUF: the architecture, as llama.cpp calls it.")] = "llama",
    as_json: Json = False,
) -> None:
    """Vectors in a format that other tools read: llama.cpp and repeng take .gguf, steering-vectors .pt."""
    from vitrail.steering import open_steering
    from vitrail.steering.interchange import export_vectors

    path = export_vectors(open_steering(folder), file, alpha=strength, model=hint)
    if as_json:
        print_json({"file": str(path)})
    else:
        typer.echo(f"The vectors are in {path}")
