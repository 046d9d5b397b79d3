"""Errors of other libraries, as Vitrail's own errors quote them."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0]
