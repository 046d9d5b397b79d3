"""A word of interest, and where it stands in a text."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from vitrail.errors import UsageError
from vitrail.options import is_unicode
from vitrail.words.equal import spellings, unified
from vitrail.words.scripts import VOICING, combining_marks, segments, unspaced


@dataclass(frozen=True)
class Match:
    """A word in a text: the form that was found, and its character offsets `[start, end)`."""

    form: str
    start: int
    end: int


@dataclass(frozen=True)
class Word:
    """A word of interest: what to search for, and how.

    >>> Word("dog", forms=("dogs",)).find("Two dogs on a hot dog stand.")
    Match(form='dogs', start=4, end=8)

    Args:
        text: the word as people write it, "dog" or "hot dog"; kept in one spelling, see `equal.unified`.
        forms: other forms that count as the word, such as "dogs" or "puppy". Nothing is added to them.
        match_case: whether "Dog" is a different word from "dog".

    Raises:
        UsageError: a form is empty, begins or ends with a space, or is not valid Unicode.
    """

    text: str
    forms: tuple[str, ...] = ()
    match_case: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", unified(self.text))
        object.__setattr__(self, "forms", tuple(map(unified, self.forms)))
        for form in (self.text, *self.forms):
            if not form.strip() or form != form.strip():
                raise UsageError(f"A word must not be empty or begin or end with a space; got {form!r}.")
            if not is_unicode(form):
                raise UsageError(f"A word must be valid Unicode; got {form!r}.")

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """The regular expression that finds any form as a whole word; see `whole_words`."""
        return whole_words({self.text, *self.forms}, self.match_case)

    def find(self, text: str) -> Match | None:
        """The first occurrence in `text`, or None."""
        found = self.pattern.search(text)
        return found and Match(found.group(), *found.span())


def whole_words(forms: Iterable[str], match_case: bool = False) -> re.Pattern[str]:
    """A regular expression that finds any of `forms` as a whole word; where several match, the longest.

    A whole word has no letter, digit or combining mark on either side (a vowel sign of Hindi belongs to its word).
    Scripts without spaces between words (Chinese, Japanese, Thai …) are the exception: anything may stand beside a
    form that begins or ends in such a script. Texts that are equivalent match (see `equal`): composed and decomposed
    letters, any apostrophe and hyphen, any white space between parts.

    >>> whole_words(["cat", "cats"]).findall("Cats in a category, and a cat.")
    ['Cats', 'cat']
    """
    by_length = sorted(set(map(unified, forms)), key=lambda form: (-len(form), form))
    marks = combining_marks()
    found = [
        ("" if unspaced(form[0]) else rf"(?<![\w{marks}])")
        + spellings(form)
        + (f"(?![{VOICING}])" if unspaced(form[-1]) else rf"(?![\w{marks}])")
        for form in by_length
    ]
    return re.compile("|".join(found), 0 if match_case else re.IGNORECASE)


def spoken(text: str) -> list[str]:
    """The words of `text` in lower case: runs of letters, digits and combining marks, and parts of them in scripts
    without spaces between words.

    >>> spoken("A dog's ball, No. 7")
    ['a', 'dog', 's', 'ball', 'no', '7']

    Raises:
        UsageError: it is in such a script, and icu4py is not installed.
    """
    return [word for run in _runs().findall(unified(text).lower()) for word in segments(run)]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of `text` stand, as (start, end): runs as `spoken` has them, and each character of a script
    without spaces by itself.

    >>> word_spans("A dog's 狗狗")
    [(0, 1), (2, 5), (6, 7), (8, 9), (9, 10)]
    """
    found: list[tuple[int, int]] = []
    for run in _runs().finditer(text):
        start = run.start()
        for i in range(*run.span()):
            if unspaced(text[i]):
                found += [(start, i)] * (start < i) + [(i, i + 1)]
                start = i + 1
        found += [(start, run.end())] * (start < run.end())
    return found


@functools.cache
def _runs() -> re.Pattern[str]:
    return re.compile(rf"[\w{combining_marks()}]+")
