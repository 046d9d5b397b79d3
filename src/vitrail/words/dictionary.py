"""What is a word in a language, and which words to suggest for one that occurs nowhere."""

from __future__ import annotations

import bisect
import difflib
import functools
import re
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import simplemma

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


_RARE = 1e-6  # of all words that are said: a word above this share is no mere beginning of other words
_UNSEEN = 50  # the count that the dictionary gives to words that its texts do not have
#: Endings that make a word of another one: "gloomy" does not make "gloom" a beginning.
_ENDING = re.compile(r"(s|'s|ns?|i?ans?|ese|y|ly|ful|less|ic|al|ist|ism|ness|ship|ment|ity)")


@functools.cache
def is_beginning(text: str) -> bool:
    """Whether `text` is rather the beginning of longer English words than a word: "todd" of "toddler".

    The dictionary has many such pieces as rare words. One counts as a beginning if it is rare (less than once in a
    million words) or has no known lemma, if a longer word that begins with it is more frequent, and if it has no
    inflected forms of its own ("raisins" makes "raisin" a word although "raising" is more frequent).

    >>> [is_beginning(text) for text in ("todd", "colo", "raisin", "moth")]
    [True, True, False, False]
    """
    text = text.strip().lower()
    times = _dictionary("en").word_frequency.dictionary
    if text not in times:
        return False
    longer = _longer(text)
    others = [w for w in longer if times[w] > times[text] and not _ENDING.fullmatch(w, len(text))]
    if not others or (times[text] >= _RARE * _n_said() and simplemma.is_known(text, lang="en")):
        return False
    if times[text] > _UNSEEN and any(times[w] > _UNSEEN and lemma(w) == text for w in longer):
        return False
    return any(lemma(w) != text for w in others)


@functools.cache
def lemma(text: str, language: str = "en") -> str:
    """The dictionary form of a word, in lower case: "dog" of "Dogs". Where no lemmas are known, `text` in lower case.

    >>> lemma("Dogs"), lemma("Hunde", "de"), lemma("Dogs", "any")
    ('dog', 'hund', 'dogs')
    """
    text = text.lower()
    if language == "any":
        return text
    try:
        written = text if simplemma.is_known(text, lang=language) else text.capitalize()  # as German nouns are
        return simplemma.lemmatize(written, lang=language).lower()
    except ValueError:  # there are no lemmas of the language
        return text


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
    counts = Counter(w for text in texts for w in dict.fromkeys(_told_apart(text)) if is_word(w, "any"))
    frequent = [w for w, _ in counts.most_common() if w not in _stop_words()]
    close = difflib.get_close_matches(word.lower(), frequent, n=n, cutoff=0.6)
    return close or [w for w in frequent if is_word(w)][:n] or frequent[:n]


def _told_apart(text: str) -> list[str]:
    """The words of a text; none where an extra is missing that tells them apart."""
    try:
        return spoken(text)
    except UsageError:
        return []


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
def _n_said() -> int:
    return sum(_dictionary("en").word_frequency.dictionary.values())


@functools.cache
def _sorted() -> list[str]:
    return sorted(_dictionary("en").word_frequency.dictionary)


def _longer(beginning: str) -> list[str]:
    """The English words that begin with `beginning` and are longer."""
    first = bisect.bisect_right(_sorted(), beginning)
    return _sorted()[first : bisect.bisect_left(_sorted(), beginning + chr(sys.maxunicode), first)]


@functools.cache
def _stop_words() -> frozenset[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS
