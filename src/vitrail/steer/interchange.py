"""Vectors in the formats of other tools.

| format | who reads it |
|---|---|
| `.gguf` | llama.cpp (`--control-vector`), repeng (`ControlVector.import_gguf`), EasySteer: a control vector |
| `.safetensors` | anything: tensors "layer.7" (features,) float32 |

A control vector names blocks from 0, and has no place for the first: `direction.k` is added after block k + 1 in our
count, that is at our layer k + 1. llama.cpp adds it at every position, prompt and answer: `positions="all"` here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vitrail.artifacts import write_whole
from vitrail.errors import ArtifactError, ModelError, UsageError
from vitrail.lmm import Layer
from vitrail.steer.artifact import Steering

ARCHITECTURE = "controlvector"
SUFFIXES = (".gguf", ".safetensors")


def export_vectors(
    steering: Steering | Mapping[Layer, Tensor], path: str | Path, *, alpha: float = 1.0, model: str = ""
) -> Path:
    """Writes vectors, `alpha` times as long, in the format that the suffix of `path` says.

    Args:
        model: in GGUF, the architecture that the vectors are for, as llama.cpp calls it ("llama").

    Raises:
        UsageError: another suffix, a learned function, or a layer that GGUF has no place for.
        ModelError: the `gguf` library is not installed.
    """
    path = Path(path)
    directions = steering.directions if isinstance(steering, Steering) else dict(steering)
    scaled = {layer: (alpha * v).float().cpu().contiguous() for layer, v in directions.items()}
    if path.suffix == ".safetensors":
        tensors = {f"layer.{layer}": v for layer, v in scaled.items()}
        write_whole(path, lambda partial: save_file(tensors, partial))
        return path
    if path.suffix != ".gguf":
        raise UsageError(f"Vectors are written as {' or '.join(SUFFIXES)}; got {path.name!r}.")
    wrong = [layer for layer in scaled if not isinstance(layer, int) or layer < 2]
    if wrong:
        raise UsageError(f"A GGUF control vector has no place for layer {wrong[0]!r}: its layers are 2 to N.")
    write_whole(path, lambda partial: _write_gguf(partial, scaled, model))
    return path


def _write_gguf(path: Path, directions: Mapping[Layer, Tensor], model: str) -> None:
    gguf = _gguf()
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    writer.add_string(f"{ARCHITECTURE}.model_hint", model)
    writer.add_uint32(f"{ARCHITECTURE}.layer_count", len(directions))
    for layer, v in sorted(directions.items(), key=lambda item: int(item[0])):
        writer.add_tensor(f"direction.{int(layer) - 1}", v.numpy().astype(np.float32))
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def import_vectors(path: str | Path, layer: Layer | None = None) -> dict[Layer, Tensor]:
    """Layer → vector (features,) float32, from a control vector (`.gguf`), a `.safetensors` or a NumPy `.npy` file.

    Args:
        layer: where a file with a single nameless vector belongs.

    Raises:
        ArtifactError: the file is damaged, missing, or holds no vectors.
        UsageError: another suffix; or a nameless vector without `layer`.
    """
    path = Path(path)
    if path.suffix == ".gguf":
        return _read_gguf(path)
    try:
        if path.suffix == ".npy":
            tensors = {"vector": torch.from_numpy(np.load(path, allow_pickle=False))}
        elif path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            raise UsageError(f"Vectors are read from .gguf, .safetensors or .npy; got {path.name!r}.")
    except (OSError, ValueError, SafetensorError) as error:
        raise ArtifactError(f"{path} is damaged or missing ({error}).") from error
    found: dict[Layer, Tensor] = {}
    for name, tensor in tensors.items():
        match = re.fullmatch(r"(?:layer|direction)s?[._](\d+|final)", name)
        own: Layer | None = layer
        if match:
            own = match[1] if match[1] == "final" else int(match[1])
            own = int(own) + 1 if name.startswith("direction") and own != "final" else own
        if own is None:
            raise UsageError(f"The tensor {name!r} in {path} does not say its layer. Name one.")
        if own in found or tensor.squeeze().ndim != 1:
            raise ArtifactError(f"Expected one vector per layer in {path}; {name!r} is {tuple(tensor.shape)}.")
        found[own] = tensor.squeeze().float()
    return found


def _read_gguf(path: Path) -> dict[Layer, Tensor]:
    gguf = _gguf()
    try:
        reader = gguf.GGUFReader(path)
        field = reader.get_field("general.architecture")
        kind = bytes(field.parts[field.data[0]]).decode() if field else "none"
        if kind != ARCHITECTURE:
            raise ArtifactError(f"{path} holds {kind}, but a control vector was expected.")
        found: dict[Layer, Tensor] = {
            int(t.name.removeprefix("direction.")) + 1: torch.from_numpy(np.array(t.data, np.float32))
            for t in reader.tensors
            if t.name.startswith("direction.")
        }
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ArtifactError(f"{path} is damaged or missing ({error}).") from error
    if not found:
        raise ArtifactError(f"{path} holds no directions.")
    return found


def _gguf():  # type: ignore[no-untyped-def]
    try:
        import gguf
    except ImportError as error:
        raise ModelError("GGUF needs the gguf library: pip install 'vitrail[gguf]'.") from error
    return gguf
