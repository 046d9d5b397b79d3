"""Where a word stands in generated text, and which tokens of a vocabulary are words.

Words are found in *decoded text*, by character offsets and word boundaries, never by token ids: "cat" is not in
"category", whatever the pieces are.
"""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vitrail.errors import UsageError, WordError

Alignment = Literal["predicts", "reads"]


@dataclass(frozen=True)
class Match:
    """A word in a text: the form found and its character offsets `[start, end)`."""

    form: str
    start: int
    end: int


@dataclass(frozen=True)
class Word:
    """A word of interest: what is looked for, and how.

    Args:
        text: the word as said, "dog" or "hot dog".
        forms: further forms that count as the word, "dogs" or "puppy". Nothing is guessed.
        match_case: whether "Dog" is another word than "dog".
    """

    text: str
    forms: tuple[str, ...] = ()
    match_case: bool = False

    def __post_init__(self) -> None:
        for form in (self.text, *self.forms):
            if not form.strip() or form != form.strip():
                raise UsageError(f"A word must not be empty or begin or end with a space; got {form!r}.")

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """The longest form first, with no word character on either side; see `whole_words`."""
        return whole_words({self.text, *self.forms}, self.match_case)

    def find(self, text: str) -> Match | None:
        """The first occurrence in `text`, or None."""
        found = self.pattern.search(text)
        return found and Match(found.group(), *found.span())


def whole_words(forms: Iterable[str], match_case: bool = False) -> re.Pattern[str]:
    """Finds any of `forms`, the longest first, where it is a whole word.

    On either side there must be no letter, digit or combining mark (a vowel sign of Hindi belongs to its word), but
    for an end that is written without spaces between words (Chinese, Japanese, Thai …): there anything may follow.
    """
    by_length = sorted(forms, key=lambda form: (-len(form), form))
    marks = _combining_marks()
    found = [
        ("" if _unspaced(form[0]) else rf"(?<![\w{marks}])")
        + re.escape(form)
        + ("" if _unspaced(form[-1]) else rf"(?![\w{marks}])")
        for form in by_length
    ]
    return re.compile("|".join(found), 0 if match_case else re.IGNORECASE)


@functools.cache
def _combining_marks() -> str:
    """The combining marks of Unicode's first plane as ranges of a character class."""
    marks = [i for i in range(0x300, 0x10000) if unicodedata.category(chr(i)).startswith("M")]
    ranges: list[list[int]] = []
    for i in marks:
        if ranges and ranges[-1][1] == i - 1:
            ranges[-1][1] = i
        else:
            ranges.append([i, i])
    return "".join(chr(a) if a == b else f"{chr(a)}-{chr(b)}" for a, b in ranges)


def _unspaced(character: str) -> bool:
    """Whether a character is of a script that is written without spaces between words."""
    name = unicodedata.name(character, "")
    return name.startswith(("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR "))


def token_offsets(tokenizer: Any, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Character offsets `[start, end)` of each token in `tokenizer.decode(ids)`.

    Tokens are decoded together, as they are read, since a piece alone may decode otherwise (a leading space, half of
    a multi-byte character). The offsets cover the text without gaps; tokens that share a character both hold it.
    """
    offsets: list[tuple[int, int]] = []
    text, start = "", 0
    for n in range(1, len(ids) + 1):
        text = decode(tokenizer, ids[:n])
        # half of a character decodes to a replacement that the next token turns into the character
        whole = max(start, len(text.rstrip("\ufffd")))
        offsets.append((start, whole + text.endswith("\ufffd")))
        start = whole
    if offsets:
        offsets[-1] = (offsets[-1][0], len(text))
    return offsets


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of `ids`, special tokens left out, spaces as they are."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def token_span(offsets: Sequence[tuple[int, int]], match: Match) -> tuple[int, int]:
    """Indices of the first and the last token that hold characters of `match`."""
    touching = [i for i, (start, end) in enumerate(offsets) if start < match.end and end > match.start]
    return touching[0], touching[-1]


def spoken(text: str) -> list[str]:
    """The words of `text` in lower case: runs of letters, digits and the marks that combine with them."""
    return _runs().findall(text.lower())


@functools.cache
def _runs() -> re.Pattern[str]:
    return re.compile(rf"[\w{_combining_marks()}]+")


def nearest(word: str, texts: Iterable[str], n: int = 5) -> list[str]:
    """The words of `texts` most like `word`, else the most frequent, English before others: what to try instead."""
    counts = Counter(w for text in texts for w in dict.fromkeys(spoken(text)) if is_word(w, "any"))
    frequent = [w for w, _ in counts.most_common() if w not in _stop_words()]
    close = difflib.get_close_matches(word.lower(), frequent, n=n, cutoff=0.6)
    return close or [w for w in frequent if is_word(w)][:n] or frequent[:n]


def absent(word: Word, where: str, texts: Iterable[str]) -> WordError:
    """The error that says that `word` occurs nowhere, and which words do."""
    return WordError(
        f"No sample has {word.text!r} in its {where}. Words that do occur: {', '.join(nearest(word.text, texts))}."
    )


@functools.cache
def _dictionary(language: str) -> Any:
    from spellchecker import SpellChecker

    try:
        return SpellChecker(language=language, distance=1)
    except ValueError as error:
        known = ", ".join(sorted(SpellChecker.languages()))
        raise UsageError(f"There is no dictionary of {language!r}; there are {known}, and `any` for none.") from error


@functools.cache
def common_words(language: str) -> frozenset[str]:
    """The sixty most frequent words of a language, which are hardly ever nouns; none of `"any"`."""
    if language == "any":
        return frozenset()
    frequency = _dictionary(language).word_frequency.dictionary
    return frozenset(sorted(frequency, key=lambda w: -frequency[w])[:60])


@functools.cache
def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS


@functools.cache
def is_word(text: str, language: str = "en") -> bool:
    """Whether `text` says something by itself: an English word of three letters or more, no stop word; or a number.

    The filter of CoX-LMM's words (Parekh et al., 2024, released code); offline. Of other languages a dictionary
    decides, and `"any"` takes whatever is made of letters: one where a script has no spaces, else three.

    Raises:
        UsageError: there is no dictionary of `language`; those that there are are named.
    """
    text = text.strip().lower()
    if text.isdecimal():
        return True
    letters = bool(text) and all(unicodedata.category(c)[0] in "LM" for c in text)
    if language == "any":
        return letters and (len(text) > 2 or _unspaced(text[0]))
    known = letters and len(text) > 2 and text in _dictionary(language)
    return known and not (language == "en" and text in _stop_words())


def word_tokens(tokenizer: Any, language: str = "en") -> dict[int, str]:
    """Token id → word, for the tokens that begin a word and make up the whole of one (`is_word`).

    A piece inside a word ("ella" of "umbrella") is none, even where it looks like one: it must begin with a space, by
    the tokenizer's own mark, unless the tokenizer marks continuations instead ("##ella"), or the script has no spaces.
    """
    pieces = {i: p for p, i in tokenizer.get_vocab().items() if i not in tokenizer.all_special_ids}
    marks = ("Ġ", "▁", " ")
    spaced = {i for i, p in pieces.items() if p.startswith(marks)}
    begins = spaced or {i for i, p in pieces.items() if not p.startswith("##")}
    words = {i: tokenizer.decode([i]).strip() for i in (pieces if language == "any" else begins)}
    return {i: w for i, w in sorted(words.items()) if is_word(w, language) and (i in begins or _unspaced(w[0]))}


def own_tokens(tokenizer: Any, word: Word) -> set[int]:
    """Ids of the tokens and pieces that say the word itself, in any case, with or without a leading space."""
    forms = {
        v
        for f in (word.text, *word.forms)
        for part in f.split()
        for v in (part, part.lower(), part.capitalize(), part.upper())
    }
    return {i for f in forms for t in (f, " " + f) for i in tokenizer.encode(t, add_special_tokens=False)}
