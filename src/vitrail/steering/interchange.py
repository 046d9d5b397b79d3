"""Vectors in the formats of other tools.

| format | who reads it |
|---|---|
| `.gguf` | llama.cpp (`--control-vector`), repeng (`ControlVector.import_gguf`), EasySteer: a control vector |
| `.pt` | steering-vectors (`SteeringVector(torch.load(file))`): block → tensor, blocks counted from 0 |
| `.safetensors` | anything: tensors "layer.7" (features,) float32 |

A control vector names blocks from 0, and has no place for the first: `direction.k` is added after block k + 1 in our
count, that is at our layer k + 1. llama.cpp and steering-vectors add at every position, prompt and answer:
`positions="all"` here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vitrail.artifacts import write_whole
from vitrail.errors import ArtifactError, ModelError, UsageError
from vitrail.lmm import Layer
from vitrail.steering.artifact import Steering
from vitrail.steering.options import strength

ARCHITECTURE = "controlvector"
SUFFIXES = (".gguf", ".pt", ".safetensors")


def export_vectors(
    steering: Steering | Mapping[Layer, Tensor], path: str | Path, *, alpha: float = 1.0, model: str = ""
) -> Path:
    """Writes vectors, `alpha` times as long, in the format that the suffix of `path` says.

    Args:
        model: in GGUF, the architecture that the vectors are for, as llama.cpp calls it ("llama").

    Raises:
        UsageError: another suffix, an impossible strength, a learned function, a guarded vector, or a layer that the
            format has no place for.
        ModelError: the `gguf` library is not installed.
    """
    path = Path(path)
    if isinstance(steering, Steering) and not steering.method.exported:
        raise UsageError("A guard has no place in a file of vectors: they would be added everywhere. Export a `mean`.")
    directions = steering.directions if isinstance(steering, Steering) else dict(steering)
    scaled = {layer: (strength(alpha) * v).float().cpu().contiguous() for layer, v in directions.items()}
    if path.suffix == ".safetensors":
        tensors = {f"layer.{layer}": v for layer, v in scaled.items()}
        write_whole(path, lambda partial: save_file(tensors, partial))
        return path
    if path.suffix not in SUFFIXES:
        raise UsageError(f"Vectors are written as {' or '.join(SUFFIXES)}; got {path.name!r}.")
    first = 2 if path.suffix == ".gguf" else 1
    wrong = [layer for layer in scaled if not isinstance(layer, int) or layer < first]
    if wrong:
        raise UsageError(f"A {path.suffix} file has no place for layer {wrong[0]!r}: its layers are {first} to N.")
    if path.suffix == ".pt":
        of_block = {int(layer) - 1: v for layer, v in scaled.items()}
        write_whole(path, lambda partial: torch.save(of_block, partial))
    else:
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
    """Layer → vector (features,) float32, from a control vector (`.gguf`), or from tensors in a `.safetensors`, a `.pt`
    (nothing but tensors is read) or a NumPy `.npy` file.

    Args:
        layer: where a file with a single nameless vector belongs.

    Raises:
        ArtifactError: the file is damaged, missing, or holds no vectors.
        UsageError: another suffix; or a nameless vector without `layer`.
    """
    path = Path(path)
    if path.suffix == ".gguf":
        return _read_gguf(path)
    found: dict[Layer, Tensor] = {}
    for name, tensor in _tensors(path).items():
        own = _layer_of(name)
        own = layer if own is None else own
        if own is None:
            raise UsageError(f"The tensor {name!r} in {path} does not say its layer. Name one.")
        if own in found or not isinstance(tensor, Tensor) or tensor.squeeze().ndim != 1:
            came = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ArtifactError(f"Expected one vector per layer in {path}; {name!r} is {came}.")
        found[own] = tensor.squeeze().float()
    if not found:
        raise ArtifactError(f"{path} holds no vectors.")
    return found


def _tensors(path: Path) -> dict[Any, Any]:
    """Name → tensor, as they stand in a file."""
    try:
        if path.suffix == ".npy":
            return {"vector": torch.from_numpy(np.load(path, allow_pickle=False))}
        if path.suffix == ".safetensors":
            return {**load_file(path)}
        if path.suffix == ".pt":
            found = torch.load(path, map_location="cpu", weights_only=True)
            return found if isinstance(found, dict) else {"vector": found}
    except Exception as error:  # readers of damaged files raise whatever they stumble over
        raise ArtifactError(f"{path} is damaged or missing ({error}).") from error
    raise UsageError(f"Vectors are read from .gguf, .safetensors, .pt or .npy; got {path.name!r}.")


def _layer_of(name: str | int) -> Layer | None:
    """The layer that a tensor's name says: "layer.7" is 7, "direction.6" and the number 6 (a block) are, too."""
    if isinstance(name, int):
        return name + 1
    match = re.fullmatch(r"(layer|direction)s?[._](\d+|final)", name)
    if match is None:
        return None
    if match[2] == "final":
        return "final"
    return int(match[2]) + (match[1] == "direction")


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
