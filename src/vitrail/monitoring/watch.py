"""A watch: a sink that compares observations with a reference, keeps summaries by window, and raises alarms."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from vitrail.artifacts import (
    check_covered,
    differences,
    plain,
    read_json,
    read_made,
    read_tensors,
    typed,
    write_sealed,
    write_whole,
    writing,
)
from vitrail.errors import ArtifactError
from vitrail.lmm import Layer
from vitrail.monitoring.alarms import Alarm, Seen, alarm_of
from vitrail.monitoring.observation import Observation
from vitrail.monitoring.options import WatchOptions
from vitrail.monitoring.reference import Reference, as_reference
from vitrail.monitoring.sinks import Notice
from vitrail.monitoring.streams import Stream
from vitrail.monitoring.summary import Summary, sketches, write_summary
from vitrail.notebook import Shown, View
from vitrail.scores.betting import Bets, ConformalRanks, Wealth, shares
from vitrail.scores.drift import window_test

log = logging.getLogger(__name__)

#: The last observations, of which an alarm shows images.
KEPT = 600
STATE, ACKNOWLEDGED = "watch.json", "acknowledged.json"
_TIMEOUT = 10.0

#: What is told of an alarm: a function, or the address of a webhook, which gets it as JSON.
Tell = Callable[[Alarm], None] | str


@dataclass(frozen=True)
class Baseline:
    """What the figures of a window are compared with.

    Args:
        n: how many answers the reference has.
        streams: what is followed.
        rates: of each stream, the share of the reference's values above 0.
        means: of each stream.
        spreads: their standard deviations.
    """

    n: int
    streams: tuple[Stream, ...]
    rates: tuple[float, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]

    @classmethod
    def of(cls, reference: Reference) -> Baseline:
        """The figures of a reference."""
        values = reference.values.astype(float)
        figures = ((values > 0).mean(axis=0), values.mean(axis=0), values.std(axis=0))
        return cls(len(reference), reference.streams.all, *(tuple(figure.tolist()) for figure in figures))


@dataclass(frozen=True)
class Window:
    """The figures of a window.

    Args:
        n: how many observations it has, without those of attention sinks.
        start: when the first was made, in seconds since 1970.
        end: when the last was made.
        outliers: how many attention sinks were left out.
        rates: of each stream, the share of values above 0.
        means: of each stream.
        q: of each stream, the false discovery rate of the window test; NaN for a window of one observation.
        psi: of each stream, the population stability index.
        joint: the p-value of all streams together.
    """

    n: int
    start: float
    end: float
    outliers: int
    rates: tuple[float, ...]
    means: tuple[float, ...]
    q: tuple[float, ...]
    psi: tuple[float, ...]
    joint: float


@dataclass(frozen=True)
class Status:
    """A watch as it lies on disk.

    Args:
        word: of the reference.
        layer: of its concepts.
        reference: the digest of its manifest.
        options: how it compares.
        observations: how many were compared so far, in all watches of this folder.
        windows: how many summaries there are.
        begins: the first window of the watch that goes on now.
        baseline: the figures of the reference.
        alarms: all so far.
        acknowledged: the numbers of those that somebody has acknowledged.
    """

    word: str
    layer: Layer
    reference: str
    options: WatchOptions
    observations: int
    windows: int
    begins: int
    baseline: Baseline
    alarms: tuple[Alarm, ...]
    acknowledged: tuple[int, ...] = ()

    @property
    def standing(self) -> tuple[Alarm, ...]:
        """The alarms that nobody has acknowledged."""
        return tuple(alarm for alarm in self.alarms if alarm.number not in self.acknowledged)


class Watch(Shown):
    """Compares observations with a reference; give it to `monitor` as a sink.

        with vitrail.monitor(lmm, study, sink=vitrail.Watch("references/dog", out="watched/dog")):
            …

    `out` holds a summary of each window of observations (`windows/000000.parquet`, its figures and its test against the
    reference in `.json`), and the state of the watch with its alarms (`watch.json`). A watch that was closed goes on
    where it stopped. One alarm ends a watch; when it is acknowledged, a new one begins.

    Args:
        reference: made by `fit_reference`, or its folder.
        out: the folder to write.
        options: how observations are compared.
        tell: who is told of an alarm: functions, and addresses of webhooks.

    Raises:
        UsageError: datasketches is not installed.
        ArtifactError: `out` is of another reference or other options, or somebody else writes there.
    """

    def __init__(
        self,
        reference: Reference | str | Path,
        *,
        out: str | Path,
        options: WatchOptions | None = None,
        tell: Tell | Sequence[Tell] = (),
    ) -> None:
        sketches()
        self.reference = as_reference(reference)
        self.folder, self.options = Path(out), options or WatchOptions()
        self._tell = [tell] if isinstance(tell, str) or callable(tell) else list(tell)
        self._hearing: list[Callable[[Notice], None]] = []
        self._threads: list[threading.Thread] = []
        self._open = ExitStack()
        self._open.enter_context(writing(self.folder))
        try:
            self._resume()
        except BaseException:
            self._open.close()
            raise

    def _shown(self) -> View:
        about = f"of “{self.reference.word}” in {self.folder}: {self._total} observations"
        known = set(acknowledged(self.folder))
        rows = tuple((a.number, str(a), "yes" if a.number in known else "no") for a in self.alarms)
        return View("Watch", about, ("alarm", "what moved", "acknowledged"), rows, notes=() if rows else ("No alarm.",))

    # ---- a sink ------------------------------------------------------------------------------------------------------

    def write(self, observations: Sequence[Observation]) -> None:
        """Compares those that are about the reference's word and layer; others are passed over."""
        own = [o for o in observations if (o.word, o.layer) == (self.reference.word, self.reference.layer)]
        while own:
            room = self.options.window - sum(o.ordinary for o in self._held)
            part, own = _first_ordinary(own, room)
            self._held += part
            self._compare([o for o in part if o.ordinary])
            if sum(o.ordinary for o in self._held) >= self.options.window:
                self._end_window()

    def flush(self) -> None:
        """Writes the state; a window that is not full goes on."""
        self._write_state()

    def close(self) -> None:
        """Ends the window, writes the state, and lets go of the folder."""
        try:
            if self._held:
                self._end_window()
            self._write_state()
            for thread in self._threads:
                thread.join(_TIMEOUT)
        finally:
            self._open.close()

    def announce(self, to: Callable[[Notice], None]) -> None:
        """Tells `to` of every alarm from now on."""
        self._hearing.append(to)

    # ---- comparing ---------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Takes up what lies in the folder: alarms, and the values of the watch that has not ended."""
        self._held: list[Observation] = []
        self._alarmed = False
        self._total, self._windows, self._begins = 0, 0, 0
        self.alarms: list[Alarm] = []
        if (self.folder / STATE).exists():
            before = read_status(self.folder)
            here = {"reference": self.reference.digest, "options": plain(asdict(self.options))}
            there = {"reference": before.reference, "options": plain(asdict(before.options))}
            if differing := differences(there, here):
                raise ArtifactError(
                    f"{self.folder} belongs to another watch: {'; '.join(differing)}. Name another folder."
                )
            self._total, self._windows, self._begins = before.observations, before.windows, before.begins
            self.alarms = list(before.alarms)
        self._begin()
        for number in range(self._begins, self._windows):
            path = self.folder / "windows" / f"{number:06d}.safetensors"
            check_covered(path, "watch")
            tensors = read_tensors(path, ("values", "times"), "watch")
            self._add(tensors["values"], tensors["times"].tolist(), ())
        self._alarmed = self._alarmed or bool(self._standing())
        self._next_watch()

    def _begin(self) -> None:
        """Begins a watch: with the capital of 1, and the reference alone as its past."""
        rng = np.random.default_rng([self.options.seed, self._begins])
        self._ranks = ConformalRanks(self.reference.values, rng)
        self._wealth = Wealth(Bets.against(self.reference.values))
        self._limits = -np.log(shares(self.options.alpha, self.reference.streams.groups))
        self._values, self._times = list[np.ndarray](), list[float]()
        self._last: deque[Observation] = deque(maxlen=KEPT)
        self._alarmed = False

    def _compare(self, own: Sequence[Observation]) -> None:
        """Bets on the values of observations, and raises an alarm where a capital reaches its limit."""
        if not own:
            return
        self._total += len(own)
        self._add(self.reference.streams.values(own), [o.time for o in own], own)

    def _add(self, values: np.ndarray, times: Sequence[float], own: Sequence[Observation]) -> None:
        """Bets on values, one after the other; `own` are their observations, where they are at hand."""
        for i, rank in enumerate(self._ranks(values)):
            self._values.append(values[i])
            self._times.append(times[i])
            self._last += own[i : i + 1]
            self._wealth.add(rank)
            if not self._alarmed and (self._wealth.log >= self._limits).any():
                self._alarmed = True
                if not any(alarm.time == times[i] for alarm in self.alarms):  # raised before it was taken up again
                    self._raise()

    def _raise(self) -> None:
        seen = Seen(np.array(self._values), self._times, tuple(self._last))
        alarm = alarm_of(self.reference, self._wealth, self._limits, seen, len(self.alarms), self.options.alpha)
        self.alarms.append(alarm)
        self._write_state()
        log.warning("vitrail.monitor: alarm: %s", alarm)
        for tell in self._tell:
            if isinstance(tell, str):
                self._threads.append(threading.Thread(target=post, args=(tell, alarm), daemon=True))
                self._threads[-1].start()
            else:
                tell(alarm)
        for hear in self._hearing:
            hear(alarm.notice)

    # ---- windows -----------------------------------------------------------------------------------------------------

    def _end_window(self) -> None:
        """Writes the summary of the observations that are held, and their test against the reference."""
        held, self._held = self._held, []
        own = [o for o in held if o.ordinary]
        path = self.folder / "windows" / f"{self._windows:06d}.parquet"
        summary = Summary.of(held, self.reference, images=self.options.images)
        values = self.reference.streams.values(own)
        tensors = {"values": values, "times": np.array([o.time for o in own], np.float64)}
        test = window_test(self.reference.values, values, self.options.seed) if len(own) > 1 else None
        write_whole(path.with_suffix(".safetensors"), lambda partial: save_file(tensors, partial))
        write_summary(summary, path, test=test)
        self._windows += 1
        self._next_watch()
        self._write_state()

    def _next_watch(self) -> None:
        """Begins a new watch after an alarm that was acknowledged, and after the horizon."""
        if (self._alarmed and not self._standing()) or len(self._values) >= self.options.horizon:
            self._begins = self._windows
            self._begin()

    def _standing(self) -> set[int]:
        return {alarm.number for alarm in self.alarms} - set(acknowledged(self.folder))

    def _write_state(self) -> None:
        status = Status(
            self.reference.word,
            self.reference.layer,
            self.reference.digest,
            self.options,
            self._total,
            self._windows,
            self._begins,
            Baseline.of(self.reference),
            tuple(self.alarms),
        )
        write_sealed(self.folder / STATE, vars(status))


def _first_ordinary(observations: list[Observation], n: int) -> tuple[list[Observation], list[Observation]]:
    """The observations up to the n-th ordinary one, and those after it."""
    places = [i for i, o in enumerate(observations) if o.ordinary]
    cut = places[n - 1] + 1 if len(places) >= n else len(observations)
    return observations[:cut], observations[cut:]


def post(address: str, alarm: Alarm) -> None:
    """Posts an alarm as JSON to a webhook; what goes wrong is logged."""
    body = json.dumps({"text": str(alarm), **plain(alarm)}).encode()
    try:
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=_TIMEOUT):
            pass
    except (OSError, ValueError) as error:
        log.error("vitrail.monitor: could not tell %s of an alarm: %s", address, error)


def read_status(folder: str | Path) -> Status:
    """The watch in `folder`.

    Raises:
        ArtifactError: there is none, or it is damaged.
    """
    folder = Path(folder)
    if not (folder / STATE).is_file():
        raise ArtifactError(f"There is no watch at {folder}: `vitrail monitor run --reference` makes one.")
    found = read_json(folder / STATE, Status, "watch")
    return Status(**{**vars(found), "acknowledged": acknowledged(folder)})


def read_windows(folder: str | Path) -> list[Window]:
    """The figures of the windows of the watch in `folder`, in their order.

    Raises:
        ArtifactError: there is no watch, or a window is damaged or missing.
    """
    return [_window(path.with_suffix(".json")) for path in window_files(folder)]


def window_files(folder: str | Path) -> list[Path]:
    """The summaries of the windows of the watch in `folder`, in their order, whether they are there or not.

    Raises:
        ArtifactError: there is no watch.
    """
    return [Path(folder) / "windows" / f"{number:06d}.parquet" for number in range(read_status(folder).windows)]


def _window(path: Path) -> Window:
    def window(found: Any) -> Window:
        streams, test = found["streams"], found["test"] or {}
        nothing = [None] * len(streams)
        values = {
            **{name: found[name] for name in ("n", "start", "end", "outliers")},
            "rates": [stream["rate"] for stream in streams],
            "means": [stream["mean"] for stream in streams],
            "q": test.get("q", nothing),
            "psi": test.get("psi", nothing),
            "joint": test.get("joint"),
        }
        return typed(values, Window)

    return read_made(path, window, "watch")


def acknowledged(folder: Path) -> tuple[int, ...]:
    """The numbers of the alarms that somebody has acknowledged."""
    path = folder / ACKNOWLEDGED
    return read_json(path, _Acknowledged, "acknowledge").alarms if path.exists() else ()


@dataclass(frozen=True)
class _Acknowledged:
    alarms: tuple[int, ...]


def acknowledge(folder: str | Path) -> Status:
    """Acknowledges all alarms of the watch in `folder`; the next window begins a new watch.

    Raises:
        ArtifactError: there is no watch, or it is damaged.
    """
    status = read_status(folder)
    write_sealed(Path(folder) / ACKNOWLEDGED, {"alarms": [alarm.number for alarm in status.alarms]})
    return read_status(folder)
