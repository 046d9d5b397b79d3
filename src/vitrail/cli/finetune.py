"""`vitrail finetune`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.cli.application import Without, command
from vitrail.cli.choices import DataSource, ModelChoice, TuningMethod
from vitrail.cli.options import BatchSize, Json, Out, Seed
from vitrail.cli.terminal import print_json, progress_bars

if TYPE_CHECKING:
    from vitrail.finetuning import FineTuneOptions


@dataclass(frozen=True, kw_only=True)
class TuningChoice:
    """How a model is taught."""

    method: Annotated[TuningMethod, typer.Option(help="A LoRA adapter, or the whole decoder.")] = "lora"
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapter.")] = 4
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimiser, at most.")] = 150
    rate: Annotated[float | None, typer.Option(help="Peak learning rate; 2e-3 for LoRA, 1e-4 in full.")] = None
    checkpoints: Annotated[int, typer.Option(min=0, help="How many are written along the way.")] = 5
    patience: Annotated[int, typer.Option(min=1, help="Stop after so many measurements without a new best.")] = 3
    seed: Seed = 0
    batch_size: BatchSize = 32

    def options(self) -> FineTuneOptions:
        """As the library takes them."""
        from vitrail.finetuning import FineTuneOptions

        return FineTuneOptions(
            steps=self.steps,
            batch_size=self.batch_size,
            rate=self.rate,
            checkpoints=self.checkpoints,
            patience=self.patience,
            seed=self.seed,
            method=self.method,
            rank=self.rank,
        )


@command()
def finetune(
    *,
    out: Out,
    model: Annotated[ModelChoice, Without("adapter")],
    data: DataSource,
    style: Annotated[
        str | None, typer.Option(help="Captions of one of Toyland's styles: `colour`, `place`, `mood` or `plain`.")
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            help="Captions that have one of these words, by commas, or one of the lists `colour`, `place`, `sentiment`."
        ),
    ] = None,
    method: TuningChoice,
    as_json: Json = False,
) -> None:
    """Teaches a model captions of one kind: a LoRA adapter that loads anywhere PEFT does, in OUT.

    Checkpoints are in OUT/checkpoints, the loss in OUT/loss.json and OUT/loss.svg. A run that was stopped goes on.
    """
    from vitrail.finetuning import finetune as run
    from vitrail.samples.examples import captions_for

    options = method.options()
    with progress_bars() as progress:
        examples = captions_for(data.load(progress), data.data, style=style, words=words)
        made = run(model.load(progress), examples, options, out=out, progress=progress)
    loss = made.loss
    if as_json:
        print_json(
            {
                "folder": str(out),
                "examples": made.parameters["examples"],
                "steps": len(loss.training),
                "best_step": loss.best,
                "held_out_loss": {"before": loss.first, "after": loss.lowest},
                "checkpoints": {str(step): str(path) for step, path in made.checkpoints.items()},
            }
        )
        return
    typer.echo(
        f"Held-out loss {loss.first:.3f} → {loss.lowest:.3f} at step {loss.best} of {len(loss.training)}, "
        f"learned from {made.n_examples} captions."
    )
    use = f"--adapter {out}" if method.method == "lora" else f"--model {out}"
    typer.echo(f"Use it with {use}. Its loss is drawn in {out / 'loss.svg'}")
