"""Writing systems: which ones have no spaces between words, and which marks combine with a letter."""

from __future__ import annotations

import functools
import unicodedata

#: Marks that make another letter of the one before them, in scripts without spaces: "か" becomes "が".
VOICING = "\u3099\u309a\u102e"
_UNSPACED = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ")


def unspaced(character: str) -> bool:
    """Whether the script of `character` is written without spaces between words.

    >>> unspaced("猫"), unspaced("c")
    (True, False)
    """
    return unicodedata.name(character, "").startswith(_UNSPACED)


def of_letters(text: str) -> bool:
    """Whether `text` holds letters and combining marks, and nothing else."""
    return bool(text) and all(unicodedata.category(c)[0] in "LM" for c in text)


@functools.cache
def combining_marks() -> str:
    """The combining marks of Unicode's first plane, as ranges for a character class of a regular expression."""
    marks = [i for i in range(0x300, 0x10000) if unicodedata.category(chr(i)).startswith("M")]
    ranges: list[list[int]] = []
    for i in marks:
        if ranges and ranges[-1][1] == i - 1:
            ranges[-1][1] = i
        else:
            ranges.append([i, i])
    return "".join(chr(a) if a == b else f"{chr(a)}-{chr(b)}" for a, b in ranges)
