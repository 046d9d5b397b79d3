"""How a long call reports its progress."""

from collections.abc import Callable

#: Is called with (the name of the step, how many units are done, how many there are).
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Reports nothing."""
