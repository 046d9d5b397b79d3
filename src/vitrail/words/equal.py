"""Texts that people hold for the same although their characters differ, and regular expressions that find any of them.

Unicode writes "é" as one character or as a letter and an accent; a word processor writes ’ for ' and ‑ for -; two parts
of a word may stand on two lines.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections import defaultdict

#: What is written for an apostrophe, and for a hyphen. An en dash counts; an em dash parts two phrases.
_APOSTROPHES, _HYPHENS = "'\u2019\u2018\u02bc\uff07", "-\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
_SIGNS = str.maketrans({**dict.fromkeys(_APOSTROPHES, "'"), **dict.fromkeys(_HYPHENS, "-")})
#: More combining marks than any script puts on a letter: their orders are not tried one by one.
_MOST_MARKS = 4


def unified(text: str) -> str:
    """One spelling of `text` for all that are equivalent: composed letters, ' and -, one space for any white space.

    >>> unified("a cafe\\u0301’s\\n  t\\u2011shirt")
    "a café's t-shirt"
    """
    if text.isascii():
        return _SPACE.sub(" ", text)
    return _SPACE.sub(" ", unicodedata.normalize("NFC", text).translate(_SIGNS))


_SPACE = re.compile(r"\s+")


def spellings(text: str) -> str:
    """A regular expression that matches every text that is equivalent to `text`; see `unified`."""
    found = []
    for part in _clusters(unicodedata.normalize("NFD", unified(text))):
        if part == " ":
            found.append(r"\s+")
        elif part in ("'", "-"):
            found.append(f"[{re.escape(_APOSTROPHES if part == chr(39) else _HYPHENS)}]")
        else:
            found.append(re.escape(part) if part.isascii() else _either(_equivalents(part)))
    return "".join(found)


def _clusters(decomposed: str) -> list[str]:
    """The characters of a decomposed text, each with the marks that belong to it; syllables of Hangul as a whole."""
    return re.findall(rf"{_HANGUL}|.[{_marks()}]*", decomposed, re.DOTALL)


_HANGUL = "[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?"


def _either(choices: set[str]) -> str:
    # the longest first: else "e" would be taken for "é" in two characters
    ordered = sorted(choices, key=lambda choice: (-len(choice), choice))
    return re.escape(ordered[0]) if len(ordered) == 1 else f"(?:{'|'.join(map(re.escape, ordered))})"


def _equivalents(cluster: str) -> set[str]:
    """Every text that decomposes to `cluster`, a decomposed letter with its marks."""
    letter, marks = (cluster, "") if re.fullmatch(_HANGUL, cluster) else (cluster[0], cluster[1:])
    orders = itertools.permutations(marks) if len(marks) <= _MOST_MARKS else [marks]
    texts = {"".join((letter, *order)) for order in orders}
    same = {text for text in texts if unicodedata.normalize("NFD", text) == cluster}
    return {spelling for text in same for spelling in _composed(text)} | {unicodedata.normalize("NFC", cluster)}


def _composed(text: str) -> set[str]:
    """`text` with any of its parts composed: "ế", "ê" with an acute, "e" with both."""
    if not text:
        return {""}
    found: set[str] = set()
    for n in range(1, len(text) + 1):
        first = {text[:n]} if n == 1 else set()
        for begin in first | _compositions().get(text[:n], set()):
            found |= {begin + rest for rest in _composed(text[n:])}
    return found


@functools.cache
def _compositions() -> dict[str, set[str]]:
    """A decomposed text → the characters that decompose to it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for code in range(0x80, 0x30000):
        character = chr(code)
        parts = unicodedata.decomposition(character)
        if (parts and not parts.startswith("<")) or 0xAC00 <= code <= 0xD7A3:  # syllables of Hangul go by a rule
            found[unicodedata.normalize("NFD", character)].add(character)
    return dict(found)


@functools.cache
def _marks() -> str:
    """The marks that canonical order moves: those with a combining class."""
    return "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code)))
