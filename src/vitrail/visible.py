"""Text of others, safe to show: what would steer a terminal, or turn a line around, stands as its escape.

Ids, captions, file names and error messages may hold anything. A control character in them moves the cursor, changes
colours or the title of a window, or hides what follows; marks of direction let a name read backwards.
"""

from __future__ import annotations

import re

#: Folders here → how they are called in what people read: the URL that they are a copy of.
shown_as: dict[str, str] = {}

#: Control characters but tab and line feed, separators of lines, marks that turn the direction of text around, and
#: halves of surrogate pairs, which no file can hold.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""`text` with an escape for every character that is not seen, but acts.

    >>> print(visible("a \x1b[31mred\x1b[0m dog"))
    a \x1b[31mred\x1b[0m dog
    """
    return _UNSEEN.sub(lambda found: ascii(found.group())[1:-1], _named(text))


def one_line(text: str) -> str:
    r"""`text` as one line, for a cell of a table: tabs and line feeds are escapes, too.

    >>> print(one_line("a\nb"))
    a\nb
    """
    return visible(text).replace("\t", "\\t").replace("\n", "\\n")


def visible_json(text: str) -> str:
    r"""JSON with escapes of JSON for such characters; its values stay the same.

    >>> print(visible_json('"\x9b31m"'))
    "\u009b31m"
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", _named(text))


def _named(text: str) -> str:
    """`text` with folders called as in `shown_as`."""
    for folder, name in shown_as.items():
        text = text.replace(folder, name)
    return text
