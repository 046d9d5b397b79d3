"""Adapters: a PEFT adapter on a model, and an untrained LoRA for the time of a `with` block."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitrail.artifacts import MANIFEST, parse, read_finished
from vitrail.errors import ArtifactError, ModelError, VitrailError
from vitrail.lmm.description import ModelDescription
from vitrail.lmm.identity import fingerprint, fingerprint_of_ends
from vitrail.lmm.likeness import likeness, unlike
from vitrail.lmm.messages import first_line
from vitrail.lmm.model import LMM
from vitrail.lmm.parts import quantisation

#: A warning of transformers about a name that PEFT still uses.
OLD_NAME = ".is_gradient_checkpointing. is deprecated"


@contextmanager
def trainable_lora(
    lmm: LMM, targets: str, *, rank: int, scale: float = 2.0, seed: int = 0
) -> Iterator[tuple[LMM, dict[str, nn.Parameter]]]:
    """The model under an untrained LoRA (Hu et al. 2021), and its parameters by name; afterwards `lmm` is as before.

    Args:
        lmm: the model that wears the adapter for the time of the `with` block.
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
            warnings.filterwarnings("ignore", OLD_NAME)
            wrapped = get_peft_model(lmm.model, config)
    try:
        yield lmm.with_model(wrapped), {n: p for n, p in wrapped.named_parameters() if p.requires_grad}
    finally:
        wrapped.unload()
        lmm.model.eval().requires_grad_(False)


def check_adapter(adapter: str | Path) -> None:
    """Raises `ModelError` unless PEFT is installed and finds the configuration of the adapter."""
    try:
        from peft import PeftConfig
    except ImportError as error:
        raise ModelError("An adapter needs PEFT: pip install 'vitrail[peft]'.") from error
    path = _adapter_location(adapter)
    try:
        PeftConfig.from_pretrained(path)
    except Exception as error:  # of the file, the hub or the content
        raise ModelError(f"{adapter} is not an adapter: {first_line(error)}") from error


def put_on(network: Any, adapter: str | Path) -> Any:
    """`network` under the PEFT adapter `adapter` (a folder, a name on the hub, or "toyland:NAME").

    Raises:
        ModelError: PEFT is not installed, or the adapter is not one for this model.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError("An adapter needs PEFT: pip install 'vitrail[peft]'.") from error
    path = _adapter_location(adapter)
    check_trained(Path(path))
    _check_base(network, path, adapter)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # we say it, as an error
            warnings.filterwarnings("ignore", OLD_NAME)
            wrapped = PeftModel.from_pretrained(network, path)
        _check_weights(wrapped, path, adapter)
    except VitrailError:
        raise
    except Exception as error:  # readers of damaged files, and of pickled ones, raise whatever they stumble over
        raise ModelError(f"{adapter} is not an adapter for this model: {first_line(error)}") from error
    return wrapped


def is_adapter(name: str | Path) -> bool:
    """Whether this is a PEFT adapter, in a folder or one that comes with Toyland ("toyland:place"), and no model."""
    return str(name).startswith("toyland:") or (Path(name) / "adapter_config.json").is_file()


def _check_weights(wrapped: Any, path: str, adapter: str | Path) -> None:
    """Refuses an adapter whose files lack weights, or have some that find no place in the model."""
    from peft import get_peft_model_state_dict
    from peft.utils import load_peft_weights

    there = set(load_peft_weights(path, device="cpu"))
    here = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    if there != here:
        raise ModelError(
            f"{adapter} is not an adapter for this model: {len(here - there)} of the weights that it needs are "
            f"missing, and {len(there - here)} have no place in it. Put it on the model that it was made from."
        )


def check_trained(folder: Path) -> None:
    """Refuses a folder by `vitrail.finetune`, or one of its checkpoints, whose files are not as they were written.

    Raises:
        ModelError: a file is damaged or missing, or the run did not finish.
    """
    if not (folder / MANIFEST).is_file():
        return
    try:
        kind = any_kind(folder)
        if kind in ("finetune", "checkpoint"):
            read_finished(folder, kind, "fine-tune")
    except ArtifactError as error:
        raise ModelError(str(error)) from error


def any_kind(folder: Path) -> str | None:
    """What the manifest in a folder says that it holds; None for the manifest of something else."""
    try:
        found = parse((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("kind") if isinstance(found, dict) and "schema" in found else None


def _adapter_location(adapter: str | Path) -> str:
    """The folder of an adapter that comes with Toyland ("toyland:place"), or `adapter` as it is."""
    world, colon, name = str(adapter).partition(":")
    if colon and world == "toyland":
        from vitrail import toyland

        return str(toyland.adapter_path(name))
    return str(adapter)


def _check_base(network: Any, path: str, adapter: str | Path) -> None:
    """Refuses an adapter made by `vitrail.finetune` on other weights. Its manifest has the fingerprint of its base, and
    for a model that is held in another precision, where a fingerprint is another one, what its layers do."""
    manifest = Path(path) / "manifest.json"
    if not manifest.is_file():
        return
    try:
        values = parse(manifest.read_text(encoding="utf-8"))
        base = ModelDescription.from_dict(values["parameters"]["model"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return  # the manifest of something else
    found = fingerprint_of_ends(network) if base.is_older else fingerprint(network)
    if found == base.fingerprint:
        return
    refused = (
        f"{adapter} was made on {base.name} (fingerprint {base.fingerprint}), not on the model it is put on ({found}). "
        "Load it on its own base, or fine-tune this one."
    )
    if _precision(network) == base.weights_dtype:
        raise ModelError(refused)
    if others := unlike(likeness(network), values.get("base", {})):
        raise ModelError(f"{refused} {len(others)} of its layers are others, such as {others[0]}.")


def _precision(network: Any) -> str:
    """How the weights are held: quantised, or the dtype of most of them."""
    config = getattr(network.config, "quantization_config", None)
    return str(network.dtype).removeprefix("torch.") if config is None else quantisation(config)
