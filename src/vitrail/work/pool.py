"""Workers that each hold a model, and get one shard after the other.

A worker here is this process. Those of Ray are actors: each loads the model once, gets a shard, gives back what it made
of it, and gets the next, so that the fast ones make more. What a shard becomes does not depend on the worker that makes
it. The shard of a worker that dies goes to another one; the worker is started anew.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from vitrail.errors import ModelError, UsageError, VitrailError
from vitrail.work.cluster import connected
from vitrail.work.options import WorkOptions

log = logging.getLogger(__name__)

W = TypeVar("W")
Held = TypeVar("Held", covariant=True)
#: How often a shard is given to a worker before the run gives up: each time, the worker died.
TRIES = 4


def _nothing(done: int) -> None:
    """Tells nobody."""


def _alone(worker: Any, do: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What `do` makes of one job."""
    (found,) = do(worker, iter([args]), _nothing)
    return found


class Pool(Protocol[Held]):
    """Workers, each with what it needs, such as a model."""

    def once(self, do: Callable[..., Any], *args: Any) -> Any:
        """`do(worker, *args)`, by any worker."""

    def each(
        self, do: Callable[..., Any], jobs: Iterable[tuple[int, tuple[Any, ...]]], step: Callable[[int], None]
    ) -> Iterator[tuple[int, Any]]:
        """(number, result) for each of `jobs`, (number, args), as they are done.

        Args:
            do: a function of a module: `do(worker, several, step)` gives one result for each args of `several`, in
                order. A worker in this process is given all, so that it may begin with the next ones; others are given
                one at a time.
            jobs: what to do.
            step: told how far the job is; only a worker in this process tells it.
        """


class _Here(Generic[W]):
    """This process is the worker."""

    def __init__(self, worker: W) -> None:
        self.worker = worker

    def once(self, do: Callable[..., Any], *args: Any) -> Any:
        return do(self.worker, *args)

    def each(
        self, do: Callable[..., Any], jobs: Iterable[tuple[int, tuple[Any, ...]]], step: Callable[[int], None]
    ) -> Iterator[tuple[int, Any]]:
        numbers: deque[int] = deque()

        def several() -> Iterator[tuple[Any, ...]]:
            for number, args in jobs:
                numbers.append(number)
                yield args

        for found in do(self.worker, several(), step):
            yield numbers.popleft(), found


class _Actor(Generic[W]):
    """What a process of Ray runs. The model is loaded when it is first needed: an error then has its own type."""

    def __init__(self, make: Callable[[], W]) -> None:
        self.make = make
        self.worker: W | None = None

    def ready(self) -> None:
        """Answers when the process is there."""

    def do(self, do: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self.worker is None:
            self.worker = self.make()
        return do(self.worker, *args)


class _OverRay(Generic[W]):
    """Actors of Ray; those that are still being started get nothing to do."""

    def __init__(self, ray: Any, make: Callable[[], W], options: WorkOptions) -> None:
        self.ray = ray
        kind = ray.remote(num_cpus=1, num_gpus=options.gpus_per_worker, max_restarts=-1)(_Actor)
        self.actors = [kind.remote(make) for _ in range(options.workers)]

    def once(self, do: Callable[..., Any], *args: Any) -> Any:
        ((_, found),) = self._done(do, [(0, args)])
        return found

    def each(
        self, do: Callable[..., Any], jobs: Iterable[tuple[int, tuple[Any, ...]]], step: Callable[[int], None]
    ) -> Iterator[tuple[int, Any]]:
        return self._done(_alone, ((number, (do, args)) for number, args in jobs))

    def _done(self, do: Callable[..., Any], jobs: Iterable[tuple[int, tuple[Any, ...]]]) -> Iterator[tuple[int, Any]]:
        """(number, `do(worker, *args)`) for each of `jobs`."""
        waiting = deque(jobs)
        died: Counter[int] = Counter()
        # what is under way: a reference of Ray → the actor, and its job, or None while it is being started
        going: dict[Any, tuple[Any, tuple[int, tuple[Any, ...]] | None]] = {}

        def start(actor: Any) -> None:
            going[actor.ready.options(max_task_retries=-1).remote()] = (actor, None)

        for actor in self.actors:
            start(actor)
        while waiting or any(job is not None for _, job in going.values()):
            (reference,), _ = self.ray.wait(list(going), num_returns=1)
            actor, job = going.pop(reference)
            try:
                found = self.ray.get(reference)
            except self.ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, VitrailError):
                    raise error.cause from None
                raise
            except self.ray.exceptions.RayActorError as error:
                if job is None:
                    raise
                died[job[0]] += 1
                if died[job[0]] >= TRIES:
                    raise ModelError(
                        f"The worker that made shard {job[0]} died, {TRIES} times: {error}. What is finished is kept. "
                        "Is there enough memory for a batch? Then run the same command again."
                    ) from error
                log.warning("A worker died while it made shard %d; the shard is made again", job[0])
                waiting.appendleft(job)
                start(actor)
                continue
            if waiting:
                after = waiting.popleft()
                going[actor.do.remote(do, after[1])] = (actor, after)
            if job is not None:
                yield job[0], found

    def close(self) -> None:
        """Ends the workers."""
        for actor in self.actors:
            self.ray.kill(actor)


@contextmanager
def pool_of(make: Callable[[], W], options: WorkOptions) -> Iterator[Pool[W]]:
    """The workers that `options` ask for, for as long as the `with` block lasts.

    Args:
        make: makes a worker. Ray sends it to other processes: it holds no model.
        options: how many there are, and where.

    Raises:
        UsageError: Ray is not installed, or this machine has fewer GPUs than the workers need.
    """
    if options.engine == "local":
        yield _Here(make())
        return
    with connected(options.address, options.workers) as ray:
        needed, there = options.workers * options.gpus_per_worker, ray.cluster_resources().get("GPU", 0)
        if options.address is None and needed > there:
            raise UsageError(
                f"{options.workers} workers with {options.gpus_per_worker:g} GPUs each need {needed:g}; this machine "
                f"has {there:g}. Start fewer workers, let some share a GPU (--gpus-per-worker 0.5), or name a cluster."
            )
        workers: _OverRay[W] = _OverRay(ray, make, options)
        try:
            yield workers
        finally:
            workers.close()
