"""`finetune`: an LMM and examples → an adapter, or a model, that says what the examples say."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from vitrail.artifacts import MANIFEST, check_free, file_hash, read_manifest, same_run, write_json, write_manifest
from vitrail.errors import DataError, ModelError, UsageError
from vitrail.finetuning.artifact import CHECKPOINTS, KIND, Tuned, open_tuned
from vitrail.finetuning.loss_plot import PICTURE, draw_loss
from vitrail.finetuning.training import STATE, Plan, Training
from vitrail.lmm import LMM
from vitrail.lmm.adapters import trainable_lora
from vitrail.lmm.doctor import certificate
from vitrail.progress import Progress, silent
from vitrail.samples.examples import Example, examples_hash

Method = Literal["lora", "full"]
#: Of the examples, those of so many samples in a hundred are held out, to measure the loss on.
HELD_OUT_PERCENT = 10


def finetune(
    lmm: LMM,
    examples: Sequence[Example],
    *,
    out: str | Path,
    method: Method = "lora",
    rank: int = 4,
    scale: float = 2.0,
    steps: int = 200,
    batch_size: int = 32,
    rate: float | None = None,
    checkpoints: int = 5,
    measure_every: int = 25,
    patience: int = 3,
    seed: int = 0,
    dtype: Literal["float32", "float16"] = "float16",
    progress: Progress = silent,
) -> Tuned:
    """A LoRA adapter (Hu et al. 2021) of the language model, or a model trained in full, in the folder `out`.

    What is trained are the linear layers in the decoder's blocks; vision encoder, connector, embeddings and `W_U` stay
    as they are, also in full training, so that states before and after are read by the same `W_U`. `lmm` is left as it
    was. A tenth of the samples is held out; the weights kept are those with the smallest loss on them.

    Args:
        examples: images and answers, see `captions_about` and `captions_of`; shuffled by `seed`.
        rank: of the adapter's matrices.
        scale: LoRA's α over its rank.
        rate: AdamW's peak rate; 2e-3 for LoRA and 1e-4 in full by default.
        checkpoints: how many are written along the way, to `out`/checkpoints/step-00040 and so on.
        measure_every: steps between measurements of the held-out loss.
        patience: measurements without a new best after which training stops.
        dtype: of an adapter's weights on disk.

    Raises:
        UsageError: a parameter that cannot be.
        DataError: too few examples to hold some out.
        ModelError: the decoder has no linear layers, or PEFT is not installed.
        NumericsError: the loss is not finite.
        ArtifactError: `out` belongs to another run.
    """
    if method not in get_args(Method):
        raise UsageError(f"A fine-tune is {' or '.join(get_args(Method))}; got {method!r}.")
    if min(steps, batch_size, rank, measure_every, patience) < 1 or checkpoints < 0:
        raise UsageError("steps, batch_size, rank, measure_every and patience must be at least 1, checkpoints 0.")
    plan = Plan(
        steps, batch_size, rate or {"lora": 2e-3, "full": 1e-4}[method], checkpoints, measure_every, patience, seed
    )
    learned_from, held_out = hold_out(examples, seed)
    out = Path(out)
    parameters = {
        "model": lmm.describe().as_dict(),
        "prompt": lmm.prompt,
        "examples": {"n": len(learned_from), "held_out": len(held_out), "sha256": examples_hash(examples)},
        "method": method,
        "rank": rank if method == "lora" else None,
        "scale": scale if method == "lora" else None,
        "dtype": dtype if method == "lora" else lmm.dtype,
        **asdict(plan),
    }
    if (out / MANIFEST).exists():
        manifest = read_manifest(out, KIND)
        same_run(out, manifest, parameters)
        if manifest.get("complete"):
            return open_tuned(out)
    else:
        check_free(out, KIND)
    doctor = certificate(lmm, [e.sample for e in learned_from[:2]])
    if not (out / MANIFEST).exists():
        write_manifest(out, KIND, {"parameters": parameters, "complete": False})
    with _trainable(lmm, method, rank, scale, seed) as (pupil, trained):
        writer = _Writer(pupil, lmm.name, method, dtype)
        training = Training(
            pupil,
            trained,
            learned_from,
            held_out,
            plan,
            out,
            lambda step: writer.write(out / CHECKPOINTS / f"step-{step:05d}"),
        )
        training.run(progress)
        writer.write(out)
        draw_loss(training.finish(), out / PICTURE)
    ours = {STATE, MANIFEST}
    files = {p.name: file_hash(p) for p in sorted(out.iterdir()) if p.is_file() and p.name not in ours}
    content = {"parameters": parameters, "complete": True, "doctor": doctor, "parents": {}, "files": files}
    write_manifest(out, KIND, content)
    return open_tuned(out)


def hold_out(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """The examples to learn from, and those of a tenth of the samples (at least one), drawn by `seed`.

    Raises:
        DataError: the examples are of fewer than two samples.
    """
    ids = sorted({e.sample.id for e in examples})
    if len(ids) < 2:
        raise DataError(f"A fine-tune needs examples of two samples or more, to hold some out; got {len(ids)}.")
    n = max(1, len(ids) * HELD_OUT_PERCENT // 100)
    aside = set(np.random.default_rng([seed, 2]).permutation(ids)[:n].tolist())
    learned_from = [e for e in examples if e.sample.id not in aside]
    rest = [e for e in examples if e.sample.id in aside]
    return learned_from, [rest[i] for i in np.random.default_rng([seed, 3]).permutation(len(rest))]


def linear_layers(lmm: LMM) -> str:
    """A pattern of the names of all linear layers in the decoder's blocks, as PEFT's `target_modules` takes it."""
    found = {
        name for block in lmm.parts.blocks for name, m in block.named_modules()
        if isinstance(m, nn.Linear) or type(m).__name__ == "Conv1D"  # GPT-2's
    }  # fmt: skip
    if not found:
        raise ModelError(f"The decoder of {lmm.name} has no linear layers to train.")
    blocks = re.escape(lmm.parts.names["blocks"])
    return rf"{blocks}\.\d+\.({'|'.join(re.escape(name) for name in sorted(found))})"


@contextmanager
def _trainable(
    lmm: LMM, method: Method, rank: int, scale: float, seed: int
) -> Iterator[tuple[LMM, dict[str, nn.Parameter]]]:
    """A pupil of `lmm`, and its parameters that are trained; `lmm` itself is as before when the block is left."""
    if method == "full":
        if not hasattr(lmm.model, "save_pretrained"):
            raise ModelError(f"{lmm.name} cannot be saved as a model of transformers; train an adapter (lora).")
        pupil = lmm.with_model(copy.deepcopy(lmm.model))
        pattern = re.compile(linear_layers(lmm) + r"\..*")
        trained = {n: p.requires_grad_(True) for n, p in pupil.model.named_parameters() if pattern.fullmatch(n)}
        yield pupil, trained
        return
    if lmm.adapter is not None:
        raise UsageError(f"{lmm.name} wears the adapter {lmm.adapter}; fine-tune it without, or merged into a model.")
    with trainable_lora(lmm, linear_layers(lmm), rank=rank, scale=scale, seed=seed) as found:
        yield found


class _Writer:
    """Writes the pupil as it is now, without a trace of where its base lay on this machine."""

    def __init__(self, pupil: LMM, base: str, method: Method, dtype: str) -> None:
        self.pupil, self.base, self.method, self.dtype = pupil, base, method, dtype

    def write(self, folder: Path) -> None:
        model: Any = self.pupil.model
        if self.method == "full":
            model.save_pretrained(folder)
            self.pupil.processor.save_pretrained(folder)
            return
        from peft import get_peft_model_state_dict

        state = get_peft_model_state_dict(model, save_embedding_layers=False)  # else a hub is asked about the base
        state = {k: v.to(getattr(torch, self.dtype)).cpu() for k, v in state.items()}
        model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, config | {"base_model_name_or_path": self.base})
