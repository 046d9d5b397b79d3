"""`vitrail finetune`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import DataSource, ModelChoice
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json, Out, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say
from vitrail.cli.unused import refuse
from vitrail.finetuning.options import FineTuneOptions
from vitrail.monitoring.options import FollowOptions


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
    watch: Annotated[
        Path | None,
        typer.Option(
            "--watch", help="Follow the concepts of this study, made of the same data, along the way; in OUT-followed."
        ),
    ] = None,
    following: Annotated[
        FollowOptions,
        Without("n_samples", "alpha", "least", "another_model", "study_after"),
        Named(every="--watch-every"),
    ],
    training: Annotated[FineTuneOptions, Without("measure_every", "scale", "dtype")],
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Teaches a model captions of one kind: a LoRA adapter that loads anywhere PEFT does, in OUT.

    Checkpoints are in OUT/checkpoints, the loss in OUT/loss.json and OUT/loss.svg. A run that was stopped goes on.

    Examples:
        vitrail finetune --style place --out tuned/place
        vitrail finetune --style place --out tuned/place --watch studies/dog
    """
    from vitrail.artifacts import check_place, plain
    from vitrail.extraction import check_images
    from vitrail.monitoring import Follow
    from vitrail.samples.examples import captions_for
    from vitrail.studies import open_study

    if training.method == "full":
        refuse("is for adapters (--method lora)", "training.rank")
    check_place(out, "finetune")
    with progress_bars() as progress:
        study = None if watch is None else open_study(watch)
        samples = data.load(progress)
        examples = captions_for(samples, data.data, style=style, words=words)
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
        followed = out.with_name(f"{out.name}-followed")
        follow = None if study is None else Follow(study, lmm, samples, out=followed, options=following)
        made = run(lmm, examples, training, out=out, after=follow, progress=progress)
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
                "followed": None if follow is None else plain(follow.followed),
                "checkpoints": {str(step): str(path) for step, path in made.checkpoints.items()},
            }
        )
        return
    say(
        f"Held-out loss {loss.first:.3f} → {loss.lowest:.3f} at step {loss.best} of {len(loss.training)}, "
        f"learned from {made.n_examples} captions: {loss.verdict}."
    )
    if follow is not None:
        for turn in follow.turns:
            say(f"ALARM {turn}")
        say(f"Concepts of {follow.followed.word!r} were read {len(follow.readings)} times: {followed}")
    use = f"--adapter {out}" if training.method == "lora" else f"--model {out}"
    say(f"Use it with {use}. Its loss is drawn in {out / 'loss.svg'}")
