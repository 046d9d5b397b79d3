"""`vitrail doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import ModelChoice
from vitrail.cli.derived import docs
from vitrail.cli.options import Json, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, show_rows, stdout, styled

if TYPE_CHECKING:
    from vitrail.lmm.doctor import Diagnosis


@dataclass(frozen=True, kw_only=True)
class ExaminedModel(ModelChoice):
    """A model that is named by an argument, without `--model`."""

    model: Annotated[str, typer.Argument(metavar="[MODEL]", help=docs(ModelChoice)["model"])] = "toyland"


@command(panel="Before you start")
def doctor(
    *,
    model: ExaminedModel,
    images: Annotated[
        list[Path] | None, typer.Option("--image", help="Two or three images of one size to look at; noise by default.")
    ] = None,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Proves that what is read of a model is what it computes, on this machine. Exit code 1 if anything fails.

    Examples:
        vitrail doctor toyland
        vitrail doctor my-model --image a.png --image b.png
    """
    from vitrail.errors import UsageError
    from vitrail.lmm.doctor import doctor as run
    from vitrail.samples import Sample

    if images and len(images) < 2:
        raise UsageError("Give two images or three: the doctor compares what they do to the model.")
    opened = [Sample(str(path), path).open() for path in images or []]
    with progress_bars() as progress:
        lmm = model.load(progress)
        if plan:
            show_plan(
                lambda *_: run(lmm, opened or None), [lmm], out=None, as_json=as_json, device=lmm.device, what="models"
            )
            return
        progress("examine", 0, 1)
        found = run(lmm, opened or None)
        progress("examine", 1, 1)
    if as_json:
        print_json(found.as_dict())
    else:
        show(found)
    raise typer.Exit(0 if found.passed else 1)


def show(found: Diagnosis) -> None:
    """The modules and the checks as tables."""
    show_rows(("part", "module"), found.modules.items())
    colours = {True: "green", False: "bold red", None: "dim"}
    show_rows(
        ("", "check", "largest error", "what was found"),
        (
            (styled(c.mark, colours[c.passed]), c.name, "" if c.error is None else f"{c.error:.1e}", c.says)
            for c in found.checks
        ),
    )
    failed = len(found.failed)
    end = f"{failed} of {len(found.checks)} checks failed" if failed else "all checks passed"
    stdout.print(styled(f"{found.model.name}, {found.model.dtype}: "), styled(end, colours[not failed]), sep="")
