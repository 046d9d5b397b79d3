"""`finetune`: a model and examples → an adapter, or a model, whose answers are like those of the examples."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitrail.artifacts import (
    MANIFEST,
    check_place,
    is_current,
    is_trace,
    one_writer,
    read_finished,
    read_manifest,
    same_run,
    write_files,
    write_json,
    write_manifest,
)
from vitrail.errors import ModelError, UsageError
from vitrail.finetuning.artifact import CHECKPOINT, CHECKPOINTS, KIND, FineTune, open_finetune
from vitrail.finetuning.loss_plot import PICTURE, draw_loss
from vitrail.finetuning.options import RATES, FineTuneOptions, check_training
from vitrail.finetuning.training import STATE, Training, nothing, split_examples
from vitrail.lmm import LMM, as_lmm
from vitrail.lmm.adapters import trainable_lora
from vitrail.lmm.doctor import certificate
from vitrail.lmm.likeness import Likeness, likeness
from vitrail.progress import Progress, shown
from vitrail.samples.examples import Example, examples_hash


@one_writer
def finetune(
    lmm: LMM | str | Path,
    examples: Sequence[Example],
    options: FineTuneOptions | None = None,
    *,
    out: str | Path,
    after: Callable[[int, LMM], object] | None = None,
    progress: Progress | bool = True,
) -> FineTune:
    """A LoRA adapter (Hu et al. 2021) of the language model, or a model trained in full, in the folder `out`.

    The linear layers in the decoder's blocks are trained. The vision encoder, the connector, the embeddings and `W_U`
    stay as they are, also in full training, so that states before and after are read by the same `W_U`. `lmm` is left
    as it was. A tenth of the samples is held out; the weights kept are those with the smallest loss on them. A run that
    was stopped goes on. Checkpoints are in `out`/checkpoints/step-00040 and so on.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        examples: images and answers, see `captions_about` and `captions_of`; they are shuffled by the seed.
        options: how it is trained; LoRA of rank 4 by default.
        after: is told of each step when it has ended, with the model as it is then, such as `vitrail.Follow`.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        UsageError: an impossible option, or a model that has an adapter already.
        DataError: too few examples to hold some out.
        ModelError: the decoder has no linear layers, or PEFT is not installed.
        NumericsError: the loss is not finite.
        ArtifactError: `out` belongs to another run.
    """
    options = options or FineTuneOptions()
    check_training(examples, options)
    options, out = options.with_rate(RATES[options.method]), Path(out)
    check_place(out, KIND)
    lmm = as_lmm(lmm)
    parameters = _parameters(lmm, examples, options)
    if (out / MANIFEST).exists():
        manifest = read_manifest(out, KIND)
        same_run(out, manifest, parameters)
        if manifest["complete"] and is_current(out, KIND, parameters, {}):
            return open_finetune(out)
    doctor = certificate(lmm, [e.sample for e in split_examples(examples, options.seed)[0][:2]])
    write_manifest(out, KIND, {"parameters": parameters, "complete": False})
    base = {"base": likeness(lmm.model)} if options.method == "lora" else {}
    with _trainable(lmm, options) as (pupil, trained):
        writer = _Writer(pupil, parameters, options, base)
        save = writer.write_checkpoint(out / CHECKPOINTS)
        told = nothing if after is None else lambda step: after(step, pupil)
        training = Training(pupil, trained, examples, options, out, save, told)
        with shown(progress) as tell:
            training.run(tell)
        writer.write(out)
        draw_loss(training.finish(), out / PICTURE)
    for checkpoint in sorted((out / CHECKPOINTS).glob("step-*")):
        read_finished(checkpoint, CHECKPOINT, "fine-tune")
    content = {"parameters": parameters, "complete": True, "doctor": doctor, "parents": {}, **base}
    write_manifest(out, KIND, content, written_files(out))
    return open_finetune(out)


def _parameters(lmm: LMM, examples: Sequence[Example], options: FineTuneOptions) -> dict[str, Any]:
    """What the manifest says of a fine-tune."""
    learned_from, held_out = split_examples(examples, options.seed)
    return {
        "model": lmm.describe().as_dict(),
        "prompt": lmm.prompt,
        "examples": {"n": len(learned_from), "held_out": len(held_out), "sha256": examples_hash(examples)},
        **options.as_parameters(lmm.dtype),
    }


def linear_layers(lmm: LMM) -> str:
    """A pattern for PEFT's `target_modules`: it matches the names of all linear layers in the decoder's blocks.

    Raises:
        ModelError: there are none.
    """
    modules = (named for block in lmm.parts.blocks for named in block.named_modules())
    found = {name for name, m in modules if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"}  # GPT-2's
    if not found:
        raise ModelError(f"The decoder of {lmm.name} has no linear layers to train.")
    blocks = re.escape(lmm.parts.names["blocks"])
    return rf"{blocks}\.\d+\.({'|'.join(re.escape(name) for name in sorted(found))})"


@contextmanager
def _trainable(lmm: LMM, options: FineTuneOptions) -> Iterator[tuple[LMM, dict[str, nn.Parameter]]]:
    """The model to train, and its parameters that are trained; afterwards `lmm` is as it was before."""
    if options.method == "full":
        if not hasattr(lmm.model, "save_pretrained"):
            raise ModelError(f"{lmm.name} cannot be saved as a model of transformers; train an adapter (lora).")
        pupil = lmm.with_model(copy.deepcopy(lmm.model))
        pattern = re.compile(linear_layers(lmm) + r"\..*")
        trained = {n: p.requires_grad_(True) for n, p in pupil.model.named_parameters() if pattern.fullmatch(n)}
        yield pupil, trained
        return
    if lmm.adapter is not None:
        raise UsageError(
            f"{lmm.name} has the adapter {lmm.adapter} on it. Fine-tune the model without it, or merge the two first."
        )
    rank, scale, seed = options.rank, options.scale, options.seed
    with trainable_lora(lmm, linear_layers(lmm), rank=rank, scale=scale, seed=seed) as found:
        yield found


def written_files(folder: Path) -> list[str]:
    """The files of a fine-tune, checkpoints included, by their paths in its folder; no traces of writing."""
    own = {STATE, MANIFEST}
    files = (p.relative_to(folder) for p in sorted(folder.rglob("*")) if p.is_file())
    return [p.as_posix() for p in files if str(p) not in own and not any(map(is_trace, p.parts))]


class _Writer:
    """Writes the trained model as it is now; nothing in the files says where its base was on this machine."""

    def __init__(
        self, pupil: LMM, parameters: dict[str, Any], options: FineTuneOptions, base: dict[str, Likeness]
    ) -> None:
        self.pupil, self.parameters, self.options, self.base = pupil, parameters, options, base

    def write_checkpoint(self, folder: Path) -> Callable[[int], None]:
        """What writes the checkpoint after a step, to a folder of its own in `folder`, with a manifest."""

        def write(step: int) -> None:
            own = folder / f"step-{step:05d}"
            self.write(own)
            content = {"parameters": {**self.parameters, "step": step}, **self.base}
            write_manifest(own, CHECKPOINT, content, written_files(own))

        return write

    def write(self, folder: Path) -> None:
        """Writes the files of the model, each whole or not at all."""
        write_files(folder, self._fill)

    def _fill(self, folder: Path) -> None:
        model: Any = self.pupil.model
        if self.options.method == "full":
            model.save_pretrained(folder)
            self.pupil.processor.save_pretrained(folder)
            return
        from peft import get_peft_model_state_dict

        state = get_peft_model_state_dict(model, save_embedding_layers=False)  # else a hub is asked about the base
        state = {k: v.to(getattr(torch, self.options.dtype)).cpu() for k, v in state.items()}
        model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, config | {"base_model_name_or_path": self.parameters["model"]["name"]})
