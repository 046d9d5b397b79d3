"""The words of captions, sample by sample, and which of them are frequent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from vitrail.words.dictionary import is_word
from vitrail.words.matching import Word, spoken


def words_said(texts: Iterable[Sequence[str]]) -> list[set[str]]:
    """For each sample, from its captions, its words in lower case.

    >>> [sorted(words) for words in words_said([["A dog.", "A black dog"], []])]
    [['a', 'black', 'dog'], []]
    """
    return [{word for text in captions for word in spoken(text)} for captions in texts]


def frequent_among(said: Sequence[set[str]], without: Word, language: str, fewest: int) -> list[str]:
    """The words of a language that at least `fewest` of the samples have, the most frequent first, then by letters.

    Args:
        said: the words of each sample.
        without: the word of interest, which is left out, as are its forms.
        language: of the words, by a dictionary ("en", "de" …), or "any" for all that is in letters.
        fewest: the fewest samples that must have the word.
    """
    counts = Counter(word for words in said for word in words)
    own = {form.lower() for form in (without.text, *without.forms)}
    known = [word for word, n in counts.items() if n >= fewest and word not in own and is_word(word, language)]
    return sorted(known, key=lambda word: (-counts[word], word))
