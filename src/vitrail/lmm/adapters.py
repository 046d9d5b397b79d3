"""Adapters: a PEFT adapter put on a model, and an untrained LoRA for as long as a `with` block lasts."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitrail.errors import ModelError
from vitrail.lmm.model import LMM
from vitrail.lmm.parts import fingerprint


@contextmanager
def trainable_lora(
    lmm: LMM, targets: str, *, rank: int, scale: float = 2.0, seed: int = 0
) -> Iterator[tuple[LMM, dict[str, nn.Parameter]]]:
    """The model under an untrained LoRA (Hu et al. 2021), and its parameters; afterwards `lmm` is as before.

    Args:
        targets: a regular expression that matches the whole names of the linear layers.
        rank: of the adapter's matrices.
        scale: LoRA's α over its rank.
        seed: of the first weights.

    Raises:
        ModelError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ModelError("LoRA needs PEFT: pip install 'vitrail[peft]'.") from error
    config = LoraConfig(r=rank, lora_alpha=rank * scale, lora_dropout=0.0, target_modules=targets)  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # PEFT still uses it
            wrapped = get_peft_model(lmm.model, config)
    try:
        yield replace(lmm, model=wrapped), {n: p for n, p in wrapped.named_parameters() if p.requires_grad}
    finally:
        wrapped.unload()
        lmm.model.eval().requires_grad_(False)


def first_line(error: BaseException) -> str:
    """What an error of another library says, its first line."""
    return str(error).strip().split("\n")[0]


def put_on(network: Any, adapter: str | Path) -> Any:
    """`network` under the PEFT adapter `adapter` (a folder, a name on the hub, or "toyland:NAME").

    Raises:
        ModelError: PEFT is not installed, or the adapter is not one for this model.
    """
    try:
        from peft import PeftModel, get_peft_model_state_dict
        from peft.utils import load_peft_weights
    except ImportError as error:
        raise ModelError("An adapter needs PEFT: pip install 'vitrail[peft]'.") from error
    path = _adapter_location(adapter)
    _check_base(network, path, adapter)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # we say it, as an error
            warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated")  # PEFT still uses it
            wrapped = PeftModel.from_pretrained(network, path)
        there, here = (
            set(load_peft_weights(path, device="cpu")),
            set(get_peft_model_state_dict(wrapped, save_embedding_layers=False)),
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"{adapter} is not an adapter for this model: {first_line(error)}") from error
    if there != here:
        raise ModelError(
            f"{adapter} is not an adapter for this model: {len(here - there)} of the weights that it needs are "
            f"missing, and {len(there - here)} have no place in it. Put it on the model that it was made from."
        )
    return wrapped


def _adapter_location(adapter: str | Path) -> str:
    """The folder of an adapter that comes with Toyland ("toyland:place"), or `adapter` as it is."""
    world, colon, name = str(adapter).partition(":")
    if colon and world == "toyland":
        from vitrail import toyland

        return str(toyland.adapter_path(name))
    return str(adapter)


def _check_base(network: Any, path: str, adapter: str | Path) -> None:
    """An adapter made by `vitrail.finetune` says which weights it was made on: others of the same shape are refused."""
    manifest = Path(path) / "manifest.json"
    if not manifest.is_file():
        return
    try:
        base = json.loads(manifest.read_text(encoding="utf-8"))["parameters"]["model"]
        name, expected, dtype = base["name"], base["fingerprint"], base["dtype"]
    except (ValueError, KeyError, TypeError):
        return  # not ours to judge
    found = fingerprint(network)
    if found != expected and str(network.dtype) == f"torch.{dtype}":  # rounded weights have another fingerprint
        raise ModelError(
            f"{adapter} was made on {name} (fingerprint {expected}), not on the model it is put on ({found}). "
            "Load it on its own base, or fine-tune this one."
        )
