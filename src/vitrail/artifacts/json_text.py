"""JSON as it should be: what `json` reads in silence, or ends on in an error of its own, is a ValueError that says why.

Refused are a name that stands twice in an object (one of the two would win), NaN and infinity, nesting without end, and
numbers without end.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


class JSONError(ValueError):
    """A text is no JSON, or none that can be trusted; the message says why, and where if that is known."""


def parse(text: str) -> Any:
    """The value that `text` is.

    >>> parse('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ...
    vitrail.artifacts.json_text.JSONError: the name 'a' stands twice in one object

    Raises:
        JSONError: it is no JSON, or something follows it.
    """
    start = len(text) - len(text.lstrip(" \t\n\r"))
    value, end = parse_first(text, start)
    if rest := text[end:].strip(" \t\n\r"):
        raise JSONError(f"text after the end of the document, {rest[:40]!r}")
    return value


def parse_first(text: str, start: int) -> tuple[Any, int]:
    """The value that begins at `start`, and the offset at which it ends.

    Raises:
        JSONError: there is none.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except JSONError:
        raise
    except json.JSONDecodeError as error:
        raise JSONError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except RecursionError as error:
        raise JSONError("it is nested too deeply") from error
    except ValueError as error:  # the only one left: Python reads no whole number of more than some thousand digits
        raise JSONError("a number has too many digits") from error


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JSONError(f"the name {twice!r} stands twice in one object")
    return found


def _no_number(name: str) -> NoReturn:
    raise JSONError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_no_name_twice, parse_constant=_no_number)
