"""What a sink is: where observations go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

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


class ToFunction:
    """Gives observations to a function."""

    def __init__(self, function: Callable[[Sequence[Observation]], None]) -> None:
        self.write = function

    def flush(self) -> None:
        """Holds nothing back."""

    def close(self) -> None:
        """Has nothing to end."""
