"""numpy at work, numpy or torch at the door: tensors come in, and results go back to where they came from."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
Array: TypeAlias = Any
"""A numpy array, what numpy can read, or a torch tensor; a function that takes and returns one keeps to its kind."""

_BLOCK = 2**22  # float64 numbers in the largest temporary: 32 MiB


def to_host(array: Any) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """The array in host memory, and the way back: a function that turns a result into the caller's own kind.

    A torch tensor is detached and copied to the host (bfloat16 as float32), and results return to its device; anything
    else passes untouched. torch is never imported: a caller who holds a tensor has done that.
    """
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(array, torch.Tensor):
        return array, lambda result: result
    host = array.detach().to("cpu")
    if host.dtype == torch.bfloat16:  # which numpy does not know
        host = host.float()
    return host.numpy(), lambda result: torch.from_numpy(np.ascontiguousarray(result)).to(array.device)


def row_blocks(n_rows: int, numbers_per_row: int) -> Iterator[slice]:
    """Slices that cover `n_rows`, each small enough that a float64 temporary of it stays at about 32 MiB."""
    size = max(1, _BLOCK // max(1, numbers_per_row))
    return (slice(start, start + size) for start in range(0, n_rows, size))
