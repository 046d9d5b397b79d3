"""What decides the states of a model, beside its name: hashes of its weights, its tokenizer and its configuration, the
adapters that are active, the settings of its image processor, and how a request becomes text.

Weights are hashed whole, as they lie in memory, each time that it is asked for: nothing that is kept beside the weights
can tell whether somebody changed them since. XXH3 in 128 bits is as fast as memory is (`docs/reliability.md`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import xxhash
from torch import Tensor, nn

from vitrail.lmm.parts import stored

#: Entries of configurations and processors that say where something came from or lies, and change nothing.
INCIDENTAL = frozenset(
    {
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "chat_template",
        "dtype",
        "name_or_path",
        "processor_class",
        "tokenizer",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)


def fingerprint(model: nn.Module) -> str:
    """A hash of all weights, whole: names, shapes, dtypes and values of every parameter and every kept buffer."""
    digest = xxhash.xxh3_128()
    for name, tensor in _weights(model):
        values = stored(model, name, tensor).detach()
        own = name.replace("_orig_mod.", "")  # of a block that `torch.compile` wrapped
        digest.update(f"{own} {tuple(values.shape)} {values.dtype}".encode())
        for plain in _plain(values):
            digest.update(memoryview(_bytes(plain)))
    return digest.hexdigest()


def _plain(values: Tensor) -> Iterator[Tensor]:
    """The tensors that a tensor is made of: itself, or codes and scales of one that is quantised (torchao, quanto)."""
    if hasattr(values, "__tensor_flatten__"):
        for name in values.__tensor_flatten__()[0]:
            yield from _plain(getattr(values, name))
    else:
        yield values


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter once, then what else a state dict keeps: buffers, and the scales of quantised weights."""
    own = dict(model.named_parameters())
    yield from own.items()
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            yield name, value


def _bytes(values: Tensor) -> Any:
    flat = values.cpu().contiguous().reshape(-1)
    return (flat.view(torch.uint8) if flat.numel() else flat.to(torch.uint8)).numpy()


def fingerprint_of_ends(model: nn.Module) -> str:
    """The hash of both ends of every parameter by which version 0.1.0 knew a model: for what that version wrote."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        flat = stored(model, name, parameter).detach().flatten()
        ends = torch.cat([flat[:64], flat[-64:]]).float().cpu().numpy()
        digest.update(name.encode() + ends.tobytes())
    return digest.hexdigest()[:16]


def active_adapters(model: nn.Module) -> dict[str, Any] | None:
    """The adapters that act now, each with its strengths; empty where all are off, None where there is none."""
    found: dict[str, set[float]] = {}
    any_adapter = False
    for module in model.modules():
        if not (hasattr(module, "active_adapters") and hasattr(module, "scaling") and hasattr(module, "base_layer")):
            continue
        any_adapter = True
        layer: Any = module  # one of PEFT's
        for name in () if layer.disable_adapters else layer.active_adapters:
            if name in layer.scaling:
                found.setdefault(name, set()).add(float(layer.scaling[name]))
    return {name: sorted(scales) for name, scales in sorted(found.items())} if any_adapter else None


def settings_of(thing: Any) -> dict[str, Any] | None:
    """The settings of a processor as JSON values, without those that change nothing; None where it tells none."""
    told = thing.to_dict() if hasattr(thing, "to_dict") else None
    return None if told is None else json.loads(json.dumps(_essential(told), default=_named))


def digest_of(values: Any) -> str:
    """A short hash of JSON values."""
    return hashlib.sha256(json.dumps(_essential(values), sort_keys=True, default=_named).encode()).hexdigest()[:32]


def _named(value: Any) -> str:
    """What JSON cannot hold, as text that is the same in every process: without the address that objects show."""
    text = str(value)
    return f"{type(value).__module__}.{type(value).__qualname__}" if " at 0x" in text else text


def tokenizer_digest(tokenizer: Any) -> str:
    """A hash of how a tokenizer takes texts apart: all of a fast one, the vocabulary of another one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return digest_of(tokenizer.get_vocab())
    return digest_of({k: v for k, v in json.loads(backend.to_str()).items() if k not in ("padding", "truncation")})


def _essential(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _essential(v) for k, v in value.items() if k not in INCIDENTAL}
    return [_essential(v) for v in value] if isinstance(value, list | tuple) else value
