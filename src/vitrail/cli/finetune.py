"""`vitrail finetune`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import DataSource, ModelChoice
from vitrail.cli.derived import Without
from vitrail.cli.options import Json, Out, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say
from vitrail.finetuning.options import FineTuneOptions


@command(panel="Change the model")
def finetune(
    *,
    out: Out,
    model: Annotated[ModelChoice, Without("adapter")],
    data: DataSource,
    style: Annotated[
        str | None,
        typer.Option("--style", help="Captions of one of Toyland's styles: `colour`, `place`, `mood` or `plain`."),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            "--words",
            help="Captions that have one of these words, by commas, or of a list: `colour`, `place`, `sentiment`.",
        ),
    ] = None,
    training: Annotated[FineTuneOptions, Without("measure_every", "scale", "dtype")],
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Teaches a model captions of one kind: a LoRA adapter that loads anywhere PEFT does, in OUT.

    Checkpoints are in OUT/checkpoints, the loss in OUT/loss.json and OUT/loss.svg. A run that was stopped goes on.

    Example:
        vitrail finetune --style place --out tuned/place
    """
    from vitrail.artifacts import check_place
    from vitrail.extraction import check_images
    from vitrail.samples.examples import captions_for

    check_place(out, "finetune")
    with progress_bars() as progress:
        examples = captions_for(data.load(progress), data.data, style=style, words=words)
        check_images([e.sample for e in examples])
        from vitrail.finetuning import check_training
        from vitrail.finetuning import finetune as run

        check_training(examples, training)
        lmm = model.load(progress)
        if plan:
            show_plan(
                lambda some, to: run(lmm, examples, replace(training, steps=len(some)), out=to),
                range(training.steps),
                out=out,
                as_json=as_json,
                first=4,
                device=lmm.device,
                batch_size=training.batch_size,
                what="steps",
            )
            return
        made = run(lmm, examples, training, out=out, progress=progress)
    loss = made.loss
    if as_json:
        print_json(
            {
                "folder": str(out),
                "examples": made.parameters["examples"],
                "steps": len(loss.training),
                "best_step": loss.best,
                "held_out_loss": {"before": loss.first, "after": loss.lowest},
                "verdict": asdict(loss.verdict),
                "checkpoints": {str(step): str(path) for step, path in made.checkpoints.items()},
            }
        )
        return
    say(
        f"Held-out loss {loss.first:.3f} → {loss.lowest:.3f} at step {loss.best} of {len(loss.training)}, "
        f"learned from {made.n_examples} captions: {loss.verdict}."
    )
    use = f"--adapter {out}" if training.method == "lora" else f"--model {out}"
    say(f"Use it with {use}. Its loss is drawn in {out / 'loss.svg'}")
