"""The fields of a record. A DataError names where the record lies, the field, and its wrong value.

`where` is the place of the record, for the message.
"""

from __future__ import annotations

from typing import Any

from vitrail.errors import DataError
from vitrail.options import is_unicode
from vitrail.samples.columns import listed

#: How many characters of a value a message shows.
SHOWN = 80


def short(value: Any) -> str:
    """A value for a message, in at most 80 characters.

    >>> short("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"
    """
    text = repr(value[: SHOWN + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def need(record: dict[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """The value of a field that must be present and of type `kind`.

    Raises:
        DataError: the field is missing, or has another type.
    """
    if name not in record:
        raise DataError(f"{where}: field {name!r} is missing; the record has {listed(record) or 'no fields'}")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        kinds = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise DataError(f"{where}: field {name!r} should be {kinds}, got {short(value)}")
    return value


def optional(record: dict[str, Any], name: str, where: str) -> str | None:
    """The text of a field, or None if it is missing or null.

    Raises:
        DataError: the field is no text.
    """
    return None if record.get(name) is None else utf8(need(record, name, str, where), where)


def texts(value: Any, name: str, where: str) -> tuple[str, ...]:
    """The texts in a string, a list of strings, or a list of objects such as `{"answer": …}`; stripped, without empty
    ones.

    >>> texts([{"answer": "yes "}, "", "no"], "answers", "line 1")
    ('yes', 'no')

    Raises:
        DataError: an entry is no text.
    """
    entries = value if isinstance(value, list) else [value]
    found: list[Any] = [_text_of(entry) if isinstance(entry, dict) else entry for entry in entries]
    if not all(isinstance(text, str) for text in found):
        raise DataError(f"{where}: field {name!r} should hold text, got {short(value)}")
    return tuple(utf8(text.strip(), where) for text in found if text.strip())


def utf8(text: str, where: str) -> str:
    """`text`, unchanged, after a check that it can be written as UTF-8.

    Raises:
        DataError: it cannot, because it holds half of a surrogate pair.
    """
    if not is_unicode(text):
        raise DataError(f"{where}: text that is not valid Unicode: {short(text)}")
    return text


def _text_of(entry: dict[str, Any]) -> Any:
    return next((entry[name] for name in ("answer", "raw", "caption", "text") if name in entry), None)
