"""The queue of the one model in memory: one job runs, the others wait in their order.

A job tells what happens as events, which are kept with it: who looks late, or comes back, gets all of them. A slow
client costs nothing but its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Literal

from vitrail.errors import VitrailError

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED = frozenset({"done", "failed", "cancelled"})
#: So many jobs that have ended are kept, for who comes back.
KEPT = 64


class Full(VitrailError):
    """The queue is full."""


class Cancelled(Exception):
    """Ends the work of a job that nobody wants any more."""


class Job:
    """Something that the model is asked to do. `id` is known to whoever asked, and cannot be guessed."""

    def __init__(self, kind: str, work: Callable[[Job], None]) -> None:
        self.id, self.kind, self._work = secrets.token_urlsafe(12), kind, work
        self.state: State = "waiting"
        self.events: list[dict[str, Any]] = []
        self._listening: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._lock = threading.Lock()
        self._unwanted = False

    def tell(self, event: str, values: Mapping[str, Any]) -> None:
        """Tells everybody who listens what happened.

        Raises:
            Cancelled: nobody wants the job any more.
        """
        if self._unwanted and self.state == "running":
            raise Cancelled
        self._append({"event": event, **values})

    def cancel(self) -> None:
        """Ends the job: at once if it waits, with its next event if it runs."""
        with self._lock:
            self._unwanted, waits = True, self.state == "waiting"
        if waits:
            self._enter("cancelled")

    def run(self) -> None:
        """Does the work."""
        with self._lock:
            if self.state != "waiting":
                return
            self.state = "running"
        try:
            self.tell("state", {"state": "running"})
            self._work(self)
            self._enter("done")
        except Cancelled:
            self._enter("cancelled")
        except VitrailError as error:
            self._enter("failed", str(error))
        except Exception as error:
            log.exception("A job failed")
            self._enter("failed", f"{type(error).__name__}: {error}. This is a fault of ours.")

    def _enter(self, state: State, why: str = "") -> None:
        self.state = state
        self._append({"event": "state", "state": state, **({"why": why} if why else {})})

    def _append(self, event: dict[str, Any]) -> None:
        with self._lock:
            self.events.append(event)
            for loop, heard in self._listening:
                with contextlib.suppress(RuntimeError):  # a loop that has closed
                    loop.call_soon_threadsafe(heard.set)

    @contextlib.contextmanager
    def _heard(self) -> Iterator[asyncio.Event]:
        one = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._listening.add(one)
        try:
            yield one[1]
        finally:
            with self._lock:
                self._listening.discard(one)

    async def follow(self, start: int = 0, patience: float = 15.0) -> AsyncIterator[tuple[int, dict[str, Any] | None]]:
        """The events from number `start` on, each with its number, until the job has ended. Where nothing happens for
        `patience` seconds: None, so that a connection which has died is noticed."""
        with self._heard() as heard:
            while True:
                heard.clear()
                while start < len(self.events):
                    yield start, self.events[start]
                    start += 1
                if self.state in ENDED and start == len(self.events):
                    return
                try:
                    await asyncio.wait_for(heard.wait(), patience)
                except asyncio.TimeoutError:
                    yield start, None


class Jobs:
    """Jobs in their order, done by one thread.

    Args:
        most: how many may wait.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None
        self._there = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, kind: str, work: Callable[[Job], None]) -> Job:
        """A new job at the end of the queue.

        Raises:
            Full: too many wait already.
        """
        with self._there:
            self._forget()
            if len(self._waiting) >= self.most:
                raise Full(f"{self.most} requests wait for the model already. Try again when some are done.")
            job = Job(kind, work)
            self._known[job.id] = job
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="vitrail-model", daemon=True)
                self._thread.start()
            self._there.notify()
        return job

    def get(self, job: str) -> Job | None:
        """The job of that id; None for one that was never there, or long ago."""
        return self._known.get(job)

    def position(self, job: Job) -> int:
        """How many are before it: 0 for one that runs, or has ended."""
        with self._there:
            waiting = [one for one in self._waiting if one.state == "waiting"]
            return waiting.index(job) + (self._running is not None) if job in waiting else 0

    @property
    def n_waiting(self) -> int:
        with self._there:
            return sum(one.state == "waiting" for one in self._waiting)

    @property
    def busy(self) -> bool:
        """Whether one runs."""
        return self._running is not None

    def _forget(self) -> None:
        self._waiting = deque(job for job in self._waiting if job.state == "waiting")
        ended = [job.id for job in self._known.values() if job.state in ENDED]
        for job in ended[: max(len(ended) - KEPT, 0)]:
            del self._known[job]

    def _work(self) -> None:
        while True:
            with self._there:
                while not self._waiting:
                    self._there.wait()
                self._running = self._waiting.popleft()
            self._running.run()
            with self._there:
                self._running = None
