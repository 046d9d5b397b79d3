"""Learning on many machines, with Ray: `pip install 'vitrail[ray]'`.

Each worker reads its own pieces from a folder that all machines see. It receives the atoms, and returns sums over
samples (see `learners.descent`). A task keeps nothing between calls, so Ray runs it again if its machine fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from vitrail.errors import UsageError
from vitrail.learners.arrays import Array
from vitrail.learners.rows import Map, Rows

T = TypeVar("T")

_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # if 0, Ray listens on the loopback address, on any system
_STORE = 2**28  # bytes of shared memory for atoms and sums, which are small


@contextmanager
def over_ray(address: str | None = None, workers: int | None = None) -> Iterator[Map]:
    """A `Map` over pieces on a Ray cluster, or on processes of this machine, for as long as the `with` block lasts.

    If this process is already connected to Ray, that connection is used, and kept. Otherwise Ray is started, and
    stopped at the end. A Ray that is started here listens on 127.0.0.1 only. Usage statistics are off.

    Args:
        address: the address of a cluster; None for processes of this machine.
        workers: how many processes; None for one per core.

    Raises:
        UsageError: Ray is not installed, or it was imported earlier with settings that let it listen elsewhere.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        os.environ.setdefault(_LOOPBACK, "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("The engine 'ray' needs Ray: pip install 'vitrail[ray]'.") from error
    connected = ray.is_initialized()
    if not connected and address is None:
        ray.init(
            num_cpus=workers,
            object_store_memory=_STORE,
            include_dashboard=False,
            log_to_driver=False,
        )
        if any(node["NodeManagerAddress"] != "127.0.0.1" for node in ray.nodes()):
            ray.shutdown()
            raise UsageError(f"Ray would listen beyond 127.0.0.1: set {_LOOPBACK}=0 before it is imported.")
    elif not connected:
        ray.init(address=address, log_to_driver=False)

    @ray.remote(max_retries=-1)
    def work(function: Callable[[int, Array], T], rows: Rows, index: int) -> T:
        return function(index, rows[index])

    def over(function: Callable[[int, Array], T], rows: Rows) -> Iterator[T]:
        shared: tuple[Any, Any] = ray.put(function), ray.put(rows)
        results: list[Any] = [work.remote(*shared, index) for index in range(len(rows.lengths))]
        return (ray.get(result) for result in results)

    try:
        yield over
    finally:
        if not connected:
            ray.shutdown()
