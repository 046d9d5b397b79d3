"""`vitrail finetune`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from vitrail.cli.commands import app
from vitrail.cli.objects import to_examples, to_model, to_samples
from vitrail.cli.options import (
    BatchSize,
    Data,
    Device,
    DType,
    Dtype,
    Images,
    Json,
    Limit,
    Model,
    Out,
    Prompt,
    Revision,
    Seed,
    Split,
    TrustRemoteCode,
)
from vitrail.cli.terminal import print_json, progress_bars


class Training(str, Enum):
    lora = "lora"
    full = "full"


@app.command()
def finetune(
    out: Out,
    model: Model = "toyland",
    data: Data = "toyland",
    style: Annotated[
        str | None, typer.Option(help="Captions of one of Toyland's styles: `colour`, `place`, `mood` or `plain`.")
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            help="Captions that have one of these words, by commas, or one of the lists `colour`, `place`, `sentiment`."
        ),
    ] = None,
    method: Annotated[Training, typer.Option(help="A LoRA adapter, or the whole decoder.")] = Training.lora,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the adapter.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimiser, at most.")] = 150,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate; 2e-3 for LoRA, 1e-4 in full.")] = None,
    checkpoints: Annotated[int, typer.Option(min=0, help="How many are written along the way.")] = 5,
    patience: Annotated[int, typer.Option(min=1, help="Stop after so many measurements without a new best.")] = 3,
    seed: Seed = 0,
    split: Split = None,
    limit: Limit = None,
    images: Images = None,
    prompt: Prompt = None,
    batch_size: BatchSize = 32,
    revision: Revision = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """Teaches a model captions of one kind: a LoRA adapter that loads anywhere PEFT does, in OUT.

    Checkpoints are in OUT/checkpoints, the loss in OUT/loss.json and OUT/loss.svg. A run that was stopped goes on.
    """
    from vitrail.finetuning import FineTuneOptions
    from vitrail.finetuning import finetune as run

    options = FineTuneOptions(
        steps=steps,
        batch_size=batch_size,
        rate=rate,
        checkpoints=checkpoints,
        patience=patience,
        seed=seed,
        method=method.value,
        rank=rank,
    )
    with progress_bars() as progress:
        samples = to_samples(data, split, limit, images, progress)
        examples = to_examples(samples, data, style, words)
        lmm = to_model(model, revision, None, dtype, device, prompt, progress, trust_remote_code)
        made = run(lmm, examples, options, out=out, progress=progress)
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
    use = f"--adapter {out}" if method is Training.lora else f"--model {out}"
    typer.echo(f"Use it with {use}. Its loss is drawn in {out / 'loss.svg'}")
