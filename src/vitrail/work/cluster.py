"""A connection to Ray: `pip install 'vitrail[ray]'`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vitrail.errors import UsageError

_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # if 0, Ray listens on the loopback address, on any system
_STORE = 2**28  # bytes of shared memory for what goes between processes, which is small


@contextmanager
def connected(address: str | None = None, workers: int | None = None) -> Iterator[Any]:
    """The module `ray`, connected to a cluster, or to processes of this machine, for as long as the `with` block lasts.

    If this process is already connected to Ray, that connection is used, and kept. Otherwise Ray is started, and
    stopped at the end. A Ray that is started here listens on 127.0.0.1 only. Usage statistics are off.

    Args:
        address: the address of a cluster; None for processes of this machine.
        workers: how many processes; None for one per core.

    Raises:
        UsageError: Ray is not installed, or cannot be reached; or it was imported earlier with settings that let it
            listen elsewhere.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        os.environ.setdefault(_LOOPBACK, "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("The engine 'ray' needs Ray: pip install 'vitrail[ray]'.") from error
    was_connected = ray.is_initialized()
    if not was_connected and address is None:
        ray.init(num_cpus=workers, object_store_memory=_STORE, include_dashboard=False, log_to_driver=False)
        if any(node["NodeManagerAddress"] != "127.0.0.1" for node in ray.nodes()):
            ray.shutdown()
            raise UsageError(f"Ray would listen beyond 127.0.0.1: set {_LOOPBACK}=0 before it is imported.")
    elif not was_connected:
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"There is no Ray cluster at {address}, or it cannot be reached: {error}") from error
    try:
        yield ray
    finally:
        if not was_connected:
            ray.shutdown()
