"""What a sink is: where observations go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from vitrail.errors import UsageError
from vitrail.lmm import Layer
from vitrail.monitoring.observation import Observation


@runtime_checkable
class Sink(Protocol):
    """Where observations go. It is called by one thread at a time."""

    def write(self, observations: Sequence[Observation]) -> None:
        """Takes observations of one word and layer, in the order in which they were made."""

    def flush(self) -> None:
        """Puts what it holds back where it belongs."""

    def close(self) -> None:
        """Ends; called once, after the last `flush`."""


@dataclass(frozen=True)
class Watched:
    """A word that is watched.

    Args:
        word: of the study.
        layer: of its concepts.
        names: of each concept, the first word of its title.
    """

    word: str
    layer: Layer
    names: tuple[str, ...]


@dataclass(frozen=True)
class Notice:
    """An alarm, as sinks are told of it.

    Args:
        word: of the study.
        layer: of its concepts.
        time: of the observation that raised it, in seconds since 1970.
        stream: what moved first: "concept", "novelty" or "word".
        concept: its index; None for another stream.
        text: the alarm in a sentence; words of captions may be in it.
    """

    word: str
    layer: Layer
    time: float
    stream: str
    concept: int | None
    text: str


@runtime_checkable
class Telemetry(Sink, Protocol):
    """A sink of a dashboard, which names concepts and shows alarms."""

    def begin(self, watched: Sequence[Watched]) -> None:
        """Is told what is watched, before the first observation."""

    def alarm(self, notice: Notice) -> None:
        """Is told of an alarm of a watch that is a sink of the same monitor; from the thread that observes."""


@runtime_checkable
class Announces(Protocol):
    """A sink that raises alarms, and tells others of them."""

    def announce(self, to: Callable[[Notice], None]) -> None:
        """Tells `to` of every alarm from now on."""


class ToFunction:
    """Gives observations to a function."""

    def __init__(self, function: Callable[[Sequence[Observation]], None]) -> None:
        self.write = function

    def flush(self) -> None:
        """Holds nothing back."""

    def close(self) -> None:
        """Has nothing to end."""


def needed(module: str, extra: str) -> Any:
    """A module that a sink needs.

    Raises:
        UsageError: it is not installed; the extra is named.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(f"This sink needs {module.split('.')[0]}: pip install 'vitrail[{extra}]'.") from error
