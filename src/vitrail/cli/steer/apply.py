"""`vitrail steer apply` and `export`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json
from vitrail.cli.steer.common import Alone, Folder, PlaceChoice, SteeredModel, TaskData, alone, steering
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.options import Count
from vitrail.steering.options import Application

if TYPE_CHECKING:
    from vitrail.runs.steer import GalleryOptions
    from vitrail.steering import Task


@dataclass(frozen=True, kw_only=True)
class GalleryChoice:
    """The page of texts before and after.

    Args:
        gallery: also write a page of before and after to this file.
        gallery_strengths: of the gallery, by commas.
    """

    gallery: Path | None = None
    gallery_strengths: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)

    def options(self, task: Task | None) -> GalleryOptions | None:
        """As the library takes them; None where no page was asked for."""
        from vitrail.runs.steer import GalleryOptions

        return None if self.gallery is None else GalleryOptions(self.gallery, self.gallery_strengths, task)


@dataclass(frozen=True, kw_only=True)
class ShownData(TaskData):
    """The images that are spoken of."""

    limit: Count | None = 12


@command(steering, "apply")
def apply_(
    *,
    folder: Folder,
    application: Annotated[Application, Without("positions"), Named(alpha="--strength")],
    page: GalleryChoice,
    layer: Alone = None,
    where: PlaceChoice,
    task: Annotated[str | None, typer.Option("--task", help="Mark its words in the gallery, and count them.")] = None,
    model: SteeredModel,
    data: ShownData,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Samples in a batch.")] = 32,
    as_json: Json = False,
) -> None:
    """What the model says of images before and after.

    Example:
        vitrail steer apply steer/place --strength 1.5 --task place --gallery before-and-after.html
    """
    from vitrail.runs.steer import apply_steering
    from vitrail.steering import TASKS, open_steering, task_named

    opened = alone(open_steering(folder), layer)
    wanted = None if task is None else task_named(task)
    gallery = page.options(wanted)
    with progress_bars() as progress:
        samples = data.of_task(wanted or TASKS["colour"], progress, "val")
        lmm = model.load(progress)
        application = replace(application, positions=where.places(lmm, wanted))
        done = apply_steering(
            lmm, opened, samples, application, gallery=gallery, batch_size=batch_size, progress=progress
        )
    texts = zip(samples, done.before, done.after, strict=True)
    pairs = [{"sample_id": s.id, "before": before, "after": after} for s, before, after in texts]
    if as_json:
        path = None if page.gallery is None else str(page.gallery)
        print_json({"positions_changed": done.changed, "passes": done.passes, "gallery": path, "texts": pairs})
        return
    for pair in pairs:
        typer.echo(f"{pair['sample_id']}\n  {pair['before']}\n  {pair['after']}")
    typer.echo(f"{done.changed} positions were changed in {done.passes} passes.")


@command(steering)
def export(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="A .gguf control vector, a .pt or a .safetensors.")],
    strength: Annotated[float, typer.Option(help="The vectors are written so many times as long.")] = 1.0,
    hint: Annotated[str, typer.Option(help="In GGUF: the architecture, as llama.cpp calls it.")] = "llama",
    as_json: Json = False,
) -> None:
    """Vectors in a format that other tools read: llama.cpp and repeng take .gguf, steering-vectors .pt.

    Example:
        vitrail steer export steer/place place.gguf --hint llama
    """
    from vitrail.steering import open_steering
    from vitrail.steering.interchange import export_vectors

    path = export_vectors(open_steering(folder), file, alpha=strength, model=hint)
    if as_json:
        print_json({"file": str(path)})
    else:
        typer.echo(f"The vectors are in {path}")
