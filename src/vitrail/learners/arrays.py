"""numpy arrays and torch tensors: the same code works on both, and results return in the kind that came."""

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeAlias

import array_api_compat
import numpy as np
from array_api_compat import device as device
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
Array: TypeAlias = Any
"""A numpy array, a torch tensor, or what numpy can convert. A function returns the kind that it was given."""

_NUMPY = array_api_compat.array_namespace(np.empty(0))
_BLOCK = 2**22  # float64 numbers in the largest temporary: 32 MiB


def namespace(array: Array) -> ModuleType:
    """The module with the functions of the array API standard for this kind of array."""
    return _NUMPY if type(array) is np.ndarray else array_api_compat.array_namespace(array)


def is_tensor(array: Any) -> bool:
    """Whether `array` is a torch tensor. This does not import torch: whoever holds a tensor has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def dtype_of(array: Array) -> np.dtype:
    """The dtype of an array as a numpy dtype."""
    return np.dtype(str(array.dtype).removeprefix("torch."))


def in_place(array: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The array to compute on, and a function that turns a result into the caller's own kind.

    A tensor in host memory becomes a numpy array, without a copy. A tensor on an accelerator stays there.
    """
    if is_tensor(array) and array.device.type != "cpu":
        return array.detach(), lambda result: result
    return to_host(array)


def to_host(array: Any) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """The array in host memory, and a function that turns a result into the caller's own kind.

    A torch tensor is detached and copied to the host (bfloat16 as float32); results return to its device. Anything else
    is returned unchanged.
    """
    if not is_tensor(array):
        return array, lambda result: result
    torch = sys.modules["torch"]
    host = array.detach().to("cpu")
    if host.dtype == torch.bfloat16:  # which numpy does not know
        host = host.float()
    return host.numpy(), lambda result: torch.from_numpy(np.ascontiguousarray(result)).to(array.device)


def floats(array: Any) -> Array:
    """The array in float32 or float64, on its device. A tensor of float16, bfloat16 or integers becomes float32."""
    if not is_tensor(array):
        array = np.asarray(array)
        return array.astype(np.result_type(array, np.float32), copy=False)
    torch = sys.modules["torch"]
    array = array.detach()
    return array if array.dtype in (torch.float32, torch.float64) else array.float()


def beside(array: Any, other: Array, dtype: Any = None) -> Array:
    """`array` as the kind of array that `other` is, on the device of `other`, in `dtype` (default: unchanged)."""
    xp = namespace(other)
    here = xp.asarray(array if is_tensor(array) == is_tensor(other) else to_host(array)[0])
    here = here.to(other.device) if is_tensor(other) else here
    return here if dtype is None else xp.astype(here, dtype, copy=False)


def contiguous(array: Array) -> Array:
    """The array with its rows one after another in memory (C order)."""
    return array.contiguous() if is_tensor(array) else np.ascontiguousarray(array)


def finite(array: Array) -> bool:
    """Whether no entry is NaN or infinite."""
    xp = namespace(array)
    with np.errstate(all="ignore"):  # the sum is cheap, and finite unless something in it is not, or it is too large
        return bool(xp.isfinite(xp.sum(array))) or bool(xp.all(xp.isfinite(array)))


def squares_of(array: Array) -> float:
    """`‖array‖²` of rows: each row in its own precision, their sum in float64."""
    xp = namespace(array)
    return float(xp.sum(xp.vecdot(array, array), dtype=xp.float64))


def row_blocks(n_rows: int, numbers_per_row: int) -> Iterator[slice]:
    """Slices that cover `n_rows`, each so small that a float64 array of `numbers_per_row` for it needs about 32 MiB."""
    size = max(1, _BLOCK // max(1, numbers_per_row))
    return (slice(start, start + size) for start in range(0, n_rows, size))
