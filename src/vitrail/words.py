"""Where a word stands in generated text, and which tokens of a vocabulary are words.

Words are found in *decoded text*, by character offsets and word boundaries, never by token ids: "cat" is not in
"category", whatever the pieces are.
"""

from __future__ import annotations

import difflib
import functools
import re
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
        """The longest form first, with no word character on either side."""
        forms = sorted({self.text, *self.forms}, key=len, reverse=True)
        flags = 0 if self.match_case else re.IGNORECASE
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, forms))})(?!\w)", flags)

    def find(self, text: str) -> Match | None:
        """The first occurrence in `text`, or None."""
        found = self.pattern.search(text)
        return found and Match(found.group(), *found.span())


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


def nearest(word: str, texts: Iterable[str], n: int = 5) -> list[str]:
    """The words of `texts` most like `word`, then the most frequent ones: what to try instead."""
    counts = Counter(w for text in texts for w in dict.fromkeys(re.findall(r"\w+", text.lower())) if is_word(w))
    close = difflib.get_close_matches(word.lower(), counts, n=n, cutoff=0.6)
    return close or [w for w, _ in counts.most_common(n)]


def absent(word: Word, where: str, texts: Iterable[str]) -> WordError:
    """The error that says that `word` occurs nowhere, and which words do."""
    return WordError(
        f"No sample has {word.text!r} in its {where}. Words that do occur: {', '.join(nearest(word.text, texts))}."
    )


@functools.cache
def _dictionary() -> Any:
    from spellchecker import SpellChecker

    return SpellChecker(language="en", distance=1)


@functools.cache
def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS


@functools.cache
def is_word(text: str) -> bool:
    """Whether `text` says something by itself: an English word of three letters or more, no stop word; or a number.

    The filter of CoX-LMM's words (Parekh et al., 2024, released code); offline.
    """
    text = text.strip().lower()
    if text.isdecimal():
        return True
    return len(text) > 2 and text.isalpha() and text not in _stop_words() and text in _dictionary()


def word_tokens(tokenizer: Any) -> dict[int, str]:
    """Token id → word, for the tokens that begin a word and make up the whole of one (`is_word`).

    A piece inside a word ("ella" of "umbrella") is none, even where it looks like one: it must begin with a space, by
    the tokenizer's own mark, unless the tokenizer marks continuations instead ("##ella").
    """
    pieces = {i: p for p, i in tokenizer.get_vocab().items() if i not in tokenizer.all_special_ids}
    marks = ("Ġ", "▁", " ")
    spaced = {i for i, p in pieces.items() if p.startswith(marks)}
    begins = spaced or {i for i, p in pieces.items() if not p.startswith("##")}
    words = {i: tokenizer.decode([i]).strip() for i in begins}
    return {i: w for i, w in sorted(words.items()) if is_word(w)}


def own_tokens(tokenizer: Any, word: Word) -> set[int]:
    """Ids of the tokens and pieces that say the word itself, in any case, with or without a leading space."""
    forms = {
        v
        for f in (word.text, *word.forms)
        for part in f.split()
        for v in (part, part.lower(), part.capitalize(), part.upper())
    }
    return {i for f in forms for t in (f, " " + f) for i in tokenizer.encode(t, add_special_tokens=False)}
