"""Writing systems: which ones have no spaces between words, and where their words end; which marks combine."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

from vitrail.errors import UsageError

#: Marks that make another letter of the one before them, in scripts without spaces: "か" becomes "が".
VOICING = "\u3099\u309a\u102e"
_UNSPACED = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")


def unspaced(character: str) -> bool:
    """Whether the script of `character` is written without spaces between words.

    >>> unspaced("猫"), unspaced("c")
    (True, False)
    """
    return unicodedata.name(character, "").startswith(_UNSPACED)


@functools.cache
def _any_unspaced() -> re.Pattern[str]:
    """A regular expression that finds a character of a script without spaces."""
    codes = [i for i in (*range(0xE00, 0x1100), *range(0x1780, 0x1800), *range(0x3000, 0x34000)) if unspaced(chr(i))]
    return re.compile(f"[{_ranges(codes)}]")


def has_unspaced(text: str) -> bool:
    """Whether `text` has characters of a script without spaces between words."""
    return not text.isascii() and _any_unspaced().search(text) is not None


def segments(text: str) -> list[str]:
    """The words of a text without spaces, as ICU's dictionaries tell them apart; one word where all have spaces.

    >>> segments("dog")
    ['dog']

    Raises:
        UsageError: icu4py is not installed.
    """
    if not has_unspaced(text):
        return [text]
    breaker = _breaker()
    return [text[start:end] for start, end in breaker(text, "root").segments()]


def check_segments(texts: Iterable[str]) -> None:
    """Raises `UsageError` if one of `texts` has words that only ICU tells apart, and it is not installed."""
    if any(map(has_unspaced, texts)):
        _breaker()


@functools.cache
def _breaker() -> type:
    try:
        from icu4py.breakers import WordBreaker
    except ImportError as error:
        raise UsageError(
            "Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces between words. To tell their words apart: "
            "pip install 'vitrail[scripts]' (from Python 3.11 on)."
        ) from error
    return WordBreaker


def of_letters(text: str) -> bool:
    """Whether `text` holds letters and combining marks, and nothing else."""
    return bool(text) and all(unicodedata.category(c)[0] in "LM" for c in text)


@functools.cache
def combining_marks() -> str:
    """The combining marks of Unicode's first plane, as ranges for a character class of a regular expression."""
    return _ranges(i for i in range(0x300, 0x10000) if unicodedata.category(chr(i)).startswith("M"))


def _ranges(codes: Iterable[int]) -> str:
    """Code points in ascending order as ranges for a character class."""
    ranges: list[list[int]] = []
    for i in codes:
        if ranges and ranges[-1][1] == i - 1:
            ranges[-1][1] = i
        else:
            ranges.append([i, i])
    return "".join(chr(a) if a == b else f"{chr(a)}-{chr(b)}" for a, b in ranges)
