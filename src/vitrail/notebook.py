"""How results show themselves in a notebook: each says what it is as a `View`, and one function here makes HTML of it.

No text of the data becomes markup. Text, lines and background take the colours of the notebook around them, so that one
output serves light and dark, in Jupyter, VS Code and Colab alike.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from vitrail.visible import visible

#: At most this many rows and pictures are shown; how many there are is said.
ROWS, PICTURES = 40, 6
_STYLE = (
    "<style>.vitrail table{border-collapse:collapse;margin:.6em 0}"
    ".vitrail th,.vitrail td{text-align:left;vertical-align:top;padding:.3em .9em .3em 0;background:none;color:inherit;"
    "border:0;border-bottom:1px solid color-mix(in srgb,currentColor 18%,transparent)}"
    ".vitrail th,.vitrail .soft{opacity:.7;font-weight:400}"
    ".vitrail td span{white-space:nowrap}"
    ".vitrail img{height:56px;width:auto;margin:0 .25em .25em 0;border-radius:4px;display:inline-block}"
    ".vitrail i{display:inline-block;height:.6em;background:#5b8def;border-radius:2px;margin-right:.5em}"
    "</style>"
)


@dataclass(frozen=True)
class Picture:
    """A small JPEG, and what stands where it lies under the pointer."""

    jpeg: bytes
    says: str = ""


@dataclass(frozen=True)
class Bar:
    """A number as a bar.

    Args:
        length: 0 to 1, among its neighbours.
        says: the number as text.
    """

    length: float
    says: str


@dataclass(frozen=True)
class View:
    """What a notebook shows of a result.

    Args:
        title: what it is, in bold.
        about: goes on after the title, as one line.
        heads: of the table.
        rows: of the table: texts, numbers, bars, pictures, or several pictures.
        pictures: below the line.
        notes: below the table, a line each.
    """

    title: str
    about: str = ""
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()


class Shown:
    """Base of results that show themselves in a notebook."""

    def _shown(self) -> View:
        """What is shown."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return html_of(self._shown())


def html_of(view: View) -> str:
    """The HTML of a view."""
    line = f"<b>{_text(view.title)}</b> {_text(view.about)}".rstrip()
    more = len(view.rows) - ROWS
    notes = [*view.notes, *([f"… and {more} more"] if more > 0 else [])]
    parts = [
        f"<div>{line}</div>",
        _pictures(view.pictures),
        _table(view),
        *(f'<div class="soft">{_text(note)}</div>' for note in notes),
    ]
    return f'<div class="vitrail">{_STYLE}{"".join(parts)}</div>'


def bars(values: Iterable[float], text: str = "{:.2f}") -> list[Bar]:
    """Numbers as bars, the longest for the largest size; one that is missing has none."""
    found = list(values)
    largest = max((abs(v) for v in found if not math.isnan(v)), default=0.0) or 1.0
    return [Bar(0.0, "–") if math.isnan(v) else Bar(abs(v) / largest, text.format(v)) for v in found]


def _table(view: View) -> str:
    if not view.rows:
        return ""
    heads = "".join(f"<th>{_text(head)}</th>" for head in view.heads)
    rows = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in view.rows[:ROWS])
    return f"<table>{f'<tr>{heads}</tr>' if heads else ''}{rows}</table>"


def _cell(cell: Any) -> str:
    if isinstance(cell, Picture):
        return _pictures((cell,))
    if isinstance(cell, Bar):
        width = 6 * min(max(cell.length, 0.0), 1.0)
        return f'<span><i style="width:{width:.2f}em"></i>{_text(cell.says)}</span>'
    if isinstance(cell, tuple):
        return _pictures(cell)
    return _text(cell)


def _pictures(pictures: tuple[Picture, ...]) -> str:
    images = "".join(
        f'<img alt="{_text(p.says)}" title="{_text(p.says)}" '
        f'src="data:image/jpeg;base64,{base64.b64encode(p.jpeg).decode()}">'
        for p in pictures[:PICTURES]
        if p.jpeg
    )
    return images and f"<div>{images}</div>"


def _text(value: Any) -> str:
    """A value as text that is no markup: numbers to three digits, what is missing as a dash."""
    from markupsafe import escape

    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, Real) and not isinstance(value, bool | int):
        value = f"{float(value):.3g}"
    return str(escape(visible(str(value))))
