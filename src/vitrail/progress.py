"""How a long call says how far it is."""

from collections.abc import Callable

#: Called with (what is being done, how many are done, how many there are).
Progress = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Says nothing."""
