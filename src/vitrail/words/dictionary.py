"""What is a word in a language, and which words to suggest for one that occurs nowhere."""

from __future__ import annotations

import difflib
import functools
from collections import Counter
from collections.abc import Iterable
from typing import Any

from vitrail.errors import UsageError, WordError
from vitrail.words.matching import Word, spoken
from vitrail.words.scripts import of_letters, unspaced


@functools.cache
def is_word(text: str, language: str = "en") -> bool:
    """Whether `text` means something by itself.

    English ("en"): a word of the dictionary with three letters or more that is no stop word. This is the filter of
    CoX-LMM's released code (Parekh et al. 2024). Other languages: a word of their dictionary with three letters or
    more. "any": three letters or more, or one in a script without spaces between words. A number always counts.

    >>> [is_word(text) for text in ("dog", "the", "umbr", "42")]
    [True, False, False, True]

    Raises:
        UsageError: there is no dictionary of `language`; the message names the languages that have one.
    """
    text = text.strip().lower()
    if text.isdecimal():
        return True
    letters = of_letters(text)
    if language == "any":
        return letters and (len(text) > 2 or unspaced(text[0]))
    known = letters and len(text) > 2 and text in _dictionary(language)
    return known and not (language == "en" and text in _stop_words())


@functools.cache
def stem(word: str) -> str:
    """The stem of an English word (Porter 2, by Snowball): that of its inflections, too; other words keep most letters.

    >>> [stem(word) for word in ("jumps", "jumping", "snowboards")]
    ['jump', 'jump', 'snowboard']
    """
    import snowballstemmer

    return str(snowballstemmer.stemmer("english").stemWord(word.lower()))


@functools.cache
def common_words(language: str) -> frozenset[str]:
    """The sixty most frequent words of a language, which are hardly ever nouns; empty for "any".

    Raises:
        UsageError: there is no dictionary of `language`.
    """
    if language == "any":
        return frozenset()
    frequency = _dictionary(language).word_frequency.dictionary
    return frozenset(sorted(frequency, key=lambda w: -frequency[w])[:60])


def nearest(word: str, texts: Iterable[str], n: int = 5) -> list[str]:
    """Up to `n` words of `texts` to suggest instead of `word`: those spelled most like it.

    Where none is spelled like it, the most frequent words: English ones, or any where no English word occurs.
    """
    counts = Counter(w for text in texts for w in dict.fromkeys(spoken(text)) if is_word(w, "any"))
    frequent = [w for w, _ in counts.most_common() if w not in _stop_words()]
    close = difflib.get_close_matches(word.lower(), frequent, n=n, cutoff=0.6)
    return close or [w for w in frequent if is_word(w)][:n] or frequent[:n]


def absent(word: Word, where: str, texts: Iterable[str]) -> WordError:
    """The error for a `word` that occurs in none of `texts`; its message suggests words that do occur.

    Args:
        word: the word of interest.
        where: what the texts are, for the message: "references", say.
        texts: the texts that were searched.
    """
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
def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS
