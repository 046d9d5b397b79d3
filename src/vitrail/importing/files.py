"""Files of the published code, read without running anything in them.

`torch.load(weights_only=True)` reads tensors and plain values. numpy arrays are allowed as well, and fitted estimators
of scikit-learn, which analyses hold, are read as empty objects whose class is never imported. All else is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from vitrail.errors import ArtifactError

Kind = Literal["features", "analysis", "vectors", "network", "ids"]
_NETWORK = {"encoder.weight", "encoder.bias", "decoder.weight"}
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_ARRAY_FUNCTIONS = (
    np.empty(0).__reduce__()[0],
    np.float32(0).__reduce__()[0],
)  # numpy makes arrays and numbers by these


@dataclass(frozen=True)
class Released:
    """A file of the published code.

    Args:
        path: where it is.
        kind: what it holds.
        content: its values: tensors, arrays and plain values.
    """

    path: Path
    kind: Kind
    content: Any


class Unread:
    """Stands for a fitted estimator, which is not read."""


def open_released(path: str | Path) -> Released:
    """The content of a file of the published code, and what kind of file it is.

    Raises:
        ArtifactError: the file is missing, damaged, holds code, or is of no known kind; the message says what it holds.
    """
    path = Path(path)
    content = _plain_pickle(path) if path.suffix == ".pkl" else _weights(path)
    if path.suffix == ".pkl":
        return Released(path, "ids", content)
    if isinstance(content, Mapping):
        names = {str(name) for name in content}
        if "hidden_states" in names:
            return Released(path, "features", content)
        if {"concepts", "activations"} <= names:
            return Released(path, "analysis", content)
        if names == _NETWORK:
            return Released(path, "network", content)
        if any(name.startswith("steering_vector") for name in names):
            return Released(path, "vectors", content)
    keys = ", ".join(sorted(map(str, content))[:8]) if isinstance(content, Mapping) else ""
    holds = f"the keys {keys}" if keys else type(content).__name__
    raise ArtifactError(
        f"{path} is no file of the published code: it holds {holds}. Features have `hidden_states`, analyses "
        "`concepts` and `activations`, vectors `steering_vector`, and networks `encoder.weight`, `encoder.bias` and "
        "`decoder.weight`."
    )


def _weights(path: Path) -> Any:
    """The content of a `.pth` or `.pt` file."""
    if not path.is_file():
        raise ArtifactError(f"There is no file {path}.")
    try:
        with _allowed(path):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ArtifactError(
            f"{path} holds more than tensors, arrays and plain values, and reading it could run code "
            f"({str(error).splitlines()[0][:160]}). Save what you need of it anew where you trust it: "
            "torch.save({name: tensor, …}, FILE)."
        ) from error
    except Exception as error:  # a damaged file raises whatever its reader stumbles over
        raise ArtifactError(f"{path} is damaged ({type(error).__name__}: {error}).") from error


def _allowed(path: Path) -> Any:
    """A context in which numpy arrays may be read, and estimators of scikit-learn as `Unread`."""
    try:
        asked = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not a zip file, or damaged: `torch.load` says so
        return nullcontext()
    known: dict[str, Any] = {"numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype}
    for value in (np.empty(0), np.float32(0)):
        function: Any = value.__reduce__()[0]  # by which numpy makes arrays, and numbers
        known |= {f"{module}.{function.__name__}": function for module in _NUMPY}
    known |= {name: Unread for name in asked if name.startswith("sklearn.")}
    numbers = [type(np.dtype(t)) for t in ("f2", "f4", "f8", "i4", "i8", "bool")]
    return torch.serialization.safe_globals([*numbers, *((known[name], name) for name in asked if name in known)])


class _Plain(pickle.Unpickler):
    """Unpickles lists, dictionaries, texts and numbers; anything that has a class is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")


def _check_places(content: bytes) -> None:
    """Raises `ValueError` if a pickle numbers what it keeps beyond its own length: memory is taken up to the number."""
    for opcode, place, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and place is not None and int(place) > len(content):
            raise ValueError(f"it numbers a value {place}, and has {len(content)} bytes")


def _plain_pickle(path: Path) -> Any:
    """The content of a `.pkl` file of plain values."""
    try:
        content = path.read_bytes()
        _check_places(content)
        return _Plain(io.BytesIO(content)).load()
    except FileNotFoundError as error:
        raise ArtifactError(f"There is no file {path}.") from error
    except pickle.UnpicklingError as error:
        raise ArtifactError(
            f"{path} holds more than lists, texts and numbers ({error}); it is not read, because that could run code. "
            "Where you trust it, write its ids to a text file, one a line: "
            f"""python -c "import pickle; print(*pickle.load(open('{path.name}', 'rb')), sep='\\n')" > ids.txt"""
        ) from error
    except Exception as error:
        raise ArtifactError(f"{path} is damaged ({type(error).__name__}: {error}).") from error
