"""Learning on many machines, with Ray: `pip install 'vitrail[ray]'`.

Each worker reads its own pieces from a folder that all machines see. It receives the atoms, and returns sums over
samples (see `learners.descent`). A task keeps nothing between calls, so Ray runs it again if its machine fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from vitrail.learners.arrays import Array
from vitrail.learners.rows import Map, Rows
from vitrail.work import connected

T = TypeVar("T")


@contextmanager
def over_ray(address: str | None = None, workers: int | None = None) -> Iterator[Map]:
    """A `Map` over pieces on a Ray cluster, or on processes of this machine, for as long as the `with` block lasts.

    Args:
        address: the address of a cluster; None for processes of this machine.
        workers: how many processes; None for one per core.

    Raises:
        UsageError: as `work.connected`.
    """
    with connected(address, workers) as ray:

        @ray.remote(max_retries=-1)
        def work(function: Callable[[int, Array], T], rows: Rows, index: int) -> T:
            return function(index, rows[index])

        def over(function: Callable[[int, Array], T], rows: Rows) -> Iterator[T]:
            shared: tuple[Any, Any] = ray.put(function), ray.put(rows)
            results: list[Any] = [work.remote(*shared, index) for index in range(len(rows.lengths))]
            return (ray.get(result) for result in results)

        yield over
