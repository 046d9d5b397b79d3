"""`vitrail steer apply` and `export`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json, PlanOnly, file_to_write
from vitrail.cli.planning import show_plan
from vitrail.cli.steer.common import Alone, Folder, PlaceChoice, SteeredModel, TaskData, alone, steering, warn_of_broken
from vitrail.cli.terminal import print_json, progress_bars, say
from vitrail.cli.unused import refuse
from vitrail.options import Count
from vitrail.steering.options import Application
from vitrail.trials.options import GalleryOptions


@dataclass(frozen=True, kw_only=True)
class ShownData(TaskData):
    """The images that are spoken of."""

    limit: Count | None = 12


@command(steering, "apply")
def apply_(
    *,
    folder: Folder,
    application: Annotated[Application, Without("positions"), Named(alpha="--strength")],
    page: GalleryOptions,
    layer: Alone = None,
    where: PlaceChoice,
    task: Annotated[str | None, typer.Option("--task", help="Mark its words in the gallery, and count them.")] = None,
    model: SteeredModel,
    data: ShownData,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Samples in a batch.")] = 32,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """What the model says of images before and after, how many texts are as --task wants, and what the texts lost.

    A line on stderr says when the texts are broken: by perplexity under the unsteered model, repetition, length, and
    CIDEr-D where there are references.

    Example:
        vitrail steer apply steerings/colour --task colour --layer 6 --strength 0.5 --until-said --gallery colour.html
    """
    from vitrail.artifacts import plain
    from vitrail.runs.steer import apply_steering
    from vitrail.steering import TASKS, open_steering, task_named

    if page.gallery is None:
        refuse("is for a --gallery", "page.gallery_strengths")
    file_to_write(page.gallery)
    opened = alone(open_steering(folder), layer)
    wanted = None if task is None else task_named(task)
    with progress_bars() as progress:
        samples = data.of_task(wanted or TASKS["colour"], progress, "val")
        lmm = model.load(progress, opened.layers)
        application = replace(application, positions=where.places(lmm, wanted))
        if plan:
            show_plan(
                lambda some, _: apply_steering(
                    lmm, opened, some, application, task=wanted, batch_size=batch_size, progress=False
                ),
                samples,
                out=page.gallery and page.gallery.parent,
                as_json=as_json,
                device=lmm.device,
                batch_size=batch_size,
            )
            return
        before, after = apply_steering(
            lmm, opened, samples, application, task=wanted, page=page, batch_size=batch_size, progress=progress
        )
    warn_of_broken([("", after.loss)])
    texts = zip(samples, before.texts, after.texts, strict=True)
    pairs = [{"sample_id": s.id, "before": was, "after": now} for s, was, now in texts]
    if as_json:
        print_json(
            {
                "strength": after.alpha,
                "positions_changed": after.changed,
                "passes": after.passes,
                "task": None if wanted is None else {"name": wanted.name, "wanted": wanted.success},
                "as_wanted": plain(after.wanted),
                "as_wanted_without": plain(before.wanted),
                "effect": plain(after.effect),
                "loss": plain(after.loss),
                "gallery": None if page.gallery is None else str(page.gallery),
                "texts": pairs,
            }
        )
        return
    for pair in pairs:
        say(f"{pair['sample_id']}\n  {pair['before']}\n  {pair['after']}")
    say(f"{after.changed} positions were changed in {after.passes} passes.")
    if wanted is not None:
        say(f"“As wanted” counts {wanted.success}; without steering {before.counted or 'there are none'}.")
    say(f"{after}.")


@command(steering)
def export(
    folder: Folder,
    file: Annotated[
        Path, typer.Argument(callback=file_to_write, help="A .gguf control vector, a .pt or a .safetensors.")
    ],
    strength: Annotated[float, typer.Option(help="The vectors are written so many times as long.")] = 1.0,
    hint: Annotated[str, typer.Option(help="In GGUF: the architecture, as llama.cpp calls it.")] = "llama",
    as_json: Json = False,
) -> None:
    """Vectors in a format that other tools read: llama.cpp and repeng take .gguf, steering-vectors .pt.

    Example:
        vitrail steer export steerings/colour colour.gguf
    """
    from vitrail.steering import open_steering
    from vitrail.steering.interchange import export_vectors

    path = export_vectors(open_steering(folder), file, alpha=strength, model=hint)
    if as_json:
        print_json({"file": str(path)})
    else:
        say(f"The vectors are in {path}")
