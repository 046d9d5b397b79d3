"""`vitrail lens`: fit."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from vitrail.cli.application import app, command
from vitrail.cli.choices import DataChoice, ModelChoice
from vitrail.cli.options import Json, Out, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say, show_rows
from vitrail.lenses.options import LensOptions
from vitrail.options import Count

lenses = typer.Typer(no_args_is_help=True, help="Read words of middle layers, where the unembedding says little.")
app.add_typer(lenses, name="lens", rich_help_panel="Step by step")


@dataclass(frozen=True, kw_only=True)
class LensData(DataChoice):
    """The samples that a lens is fitted on."""

    limit: Count | None = 300


@command(lenses)
def fit(
    *,
    out: Out,
    model: ModelChoice,
    data: LensData,
    lens: LensOptions,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """What states of middle layers become in the last block, on average, into OUT; once for a model.

    `--lens OUT` of `vitrail ground`, `vitrail study` and `vitrail explain` then reads words through it. Every fifth
    sample is held out, and tells how well it does. A run that was stopped goes on.

    Examples:
        vitrail lens fit --layers 5 --out lenses/toyland
        vitrail lens fit --layers 5 --rows 0 --out lenses/words
        vitrail lens fit --layers 20,24 --model llava-hf/llava-1.5-7b-hf --data coco/dataset_coco.json \\
            --images coco --out lenses/llava
    """
    from vitrail.artifacts import check_place, plain
    from vitrail.extraction.checks import check_images

    check_place(out, "lens")
    with progress_bars() as progress:
        samples = data.load(progress)
        check_images(samples)
        lmm = model.load(progress, lens.layers)
        from vitrail.lenses import fit_lens

        if plan:
            enough = 2 * lmm.n_features // lens.rows if lens.rows else 0  # each row of the Jacobian is computed twice
            show_plan(
                lambda some, to: fit_lens(lmm, some, lens, out=to, progress=False),
                samples,
                out=out,
                as_json=as_json,
                first=max(lens.batch_size, 5 * enough // 4 + 5),
                device=lmm.device,
                batch_size=lens.batch_size,
            )
            return
        made = fit_lens(lmm, samples, lens, out=out, progress=progress)
    if as_json:
        print_json({"folder": str(out), "method": made.options.method, "fit": plain(made.fit)})
        return
    rows = (
        (
            layer,
            f"{f.agrees:.0%}",
            f"{f.unembedding_agrees:.0%}",
            f"{f.explained:.2f}",
            *("–" if e is None else f"{e:.0%}" for e in (f.error, f.image_error)),
        )
        for layer, f in made.fit.items()
    )
    heads = ("layer", "says the model's token", "unembedding alone", "explained", "error", "error, image")
    show_rows(heads, rows)
    say(f"On held-out samples. Read words through it: vitrail study --layer {made.layers[0]} --lens {out} …")
