"""Words in a data set, before any model runs: which samples have a word, how many, and which words are frequent.

    counts(samples, TOPICS["colour"])     # {"black": 1041, "white": 980, …}: samples, not occurrences
    frequent_nouns(samples, 100)          # words that a study could be about
    having(samples, ["dog", "dogs"])      # the samples to work on

The words of a sample are those of its captions, or of the answers to its question (`Sample.said`).
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from vitrail.errors import DataError, UsageError
from vitrail.samples import Sample
from vitrail.samples.files import read_text
from vitrail.words import common_words, is_word, nearest, spoken, unified, whole_words


def _list(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Topic → the words that captions about it have. Khayatan et al. (2025) choose subsets of Visual Genome by such lists;
#: theirs are not published, these are ours.
TOPICS: dict[str, frozenset[str]] = {
    "colour": _list(
        "black white brown gray grey orange ginger yellow golden red blue green pink purple violet beige tan silver "
        "gold turquoise maroon cream blonde dark bright colorful colourful colored coloured striped"
    ),
    "place": _list(
        "grass meadow lawn field beach sand shore coast sea ocean snow ice mountain hill street road asphalt sidewalk "
        "highway city town downtown park garden yard forest woods pines trees water lake river waves pond pool room "
        "house home hall kitchen bedroom bathroom office restaurant airport station desert farm zoo"
    ),
    "sentiment": _list(
        "cheerful happy joyful merry gloomy sad dull dreary calm quiet peaceful beautiful lovely nice pretty cute ugly "
        "scary angry lonely excited exciting boring fun funny playful serious tired smiling laughing crying bad good "
        "great wonderful terrible"
    ),
}


def listed(words: str | Collection[str]) -> frozenset[str]:
    """A set of words, from the name of a topic ("colour"), a text with commas ("dog, cat"), or a collection.

    >>> sorted(listed("dog, cat"))
    ['cat', 'dog']

    Raises:
        UsageError: `words` is empty.
    """
    if isinstance(words, str):
        words = TOPICS.get(words) or [w.strip() for w in words.split(",")]
    found = frozenset(unified(w.strip()) for w in words if w.strip())
    if not found:
        raise UsageError(f"Name a word, several by commas, or one of the lists {', '.join(TOPICS)}.")
    return found


def read_words(text: str) -> str | list[str]:
    """`text` as `listed` takes it, or the lines of the file that it names.

    Raises:
        UsageError: it reads as the name of a file, but there is none.
    """
    path = Path(text)
    if os.path.isfile(path) or path.suffix == ".txt" or "/" in text:
        return read_lines(path)
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a file of words or of ids.

    Raises:
        UsageError: there is no such file.
        DataError: it is not UTF-8.
    """
    if not os.path.isfile(path):
        raise UsageError(f"There is no file {path}; name one with one word or id per line.")
    return [line.removesuffix("\r") for line in read_text(path).split("\n")]


def having(samples: Sequence[Sample], words: str | Collection[str]) -> list[Sample]:
    """The samples that have one of `words` (see `listed`).

    Raises:
        DataError: no sample has one; the message suggests words that do occur.
    """
    wanted = listed(words)
    find = whole_words(wanted).search
    found = [s for s in samples if any(find(text) for text in s.said)]
    if not found:
        instead = nearest(min(wanted), (text for s in samples for text in s.said))
        some = ", ".join(sorted(wanted)[:8])
        raise DataError(f"No sample has any of the words {some}. Words that do occur: {', '.join(instead)}.")
    return found


def with_ids(samples: Sequence[Sample], ids: Collection[str]) -> list[Sample]:
    """The samples with these ids, in the order of `samples`.

    Raises:
        DataError: there are no ids, or no sample has one of them.
    """
    wanted = {i for i in ids if i.strip()}
    if not wanted:
        raise DataError("There are no ids.")
    found = [s for s in samples if s.id in wanted]
    if missing := sorted(wanted - {s.id for s in found}):
        raise DataError(f"{len(missing)} of {len(wanted)} ids belong to no sample, such as {', '.join(missing[:5])}.")
    return found


def counts(samples: Iterable[Sample], words: str | Collection[str]) -> dict[str, int]:
    """Word → number of samples that have it (see `listed`), the most frequent first; 0 for words that none has."""
    wanted = {w.lower() for w in listed(words)}
    find = whole_words(wanted)
    found = Counter(dict.fromkeys(sorted(wanted), 0))
    for sample in samples:
        found.update({unified(match).lower() for text in sample.said for match in find.findall(text)})
    return dict(found.most_common())


def inflections(word: str) -> tuple[str, ...]:
    """The other forms of an English noun: "dogs" of "dog", "child" of "children".

    For a word that is no noun: the comparative and superlative of an adjective, the tenses of a verb. For a word of
    several parts: the forms of its last part. Needs LemmInflect.

    Raises:
        UsageError: LemmInflect is not installed.
    """
    *before, last = word.split()
    lemmas, inflected = _grammar()
    found: set[str] = set()
    for kind in ("NOUN", "ADJ", "VERB"):
        for lemma in lemmas(last.lower()).get(kind, ()):
            found |= {lemma, *(form for forms in inflected(lemma, upos=kind).values() for form in forms)}
        if found:
            break
    return tuple(sorted(" ".join([*before, form]) for form in found - {last, last.lower()}))


def frequent_nouns(samples: Iterable[Sample], n: int = 100) -> dict[str, int]:
    """English noun (its singular) → number of samples that have it, for the `n` most frequent nouns.

    There is no parser: a dictionary and the neighbouring words decide. A word that may also be something else ("black",
    "running", "front") counts as a noun if at least half of its occurrences end a noun phrase, that is, follow an
    article, a number or an adjective. Needs LemmInflect.

    Raises:
        UsageError: LemmInflect is not installed.
    """
    said: Counter[str] = Counter()
    as_noun: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for sample in samples:
        found = [noun for text in sample.said for noun in _nouns(text)]
        said.update(noun for noun, _ in found)
        as_noun.update(noun for noun, surely in found if surely)
        held.update({noun for noun, _ in found})
    return dict(Counter({noun: k for noun, k in held.items() if 2 * as_noun[noun] >= said[noun]}).most_common(n))


def frequent_words(samples: Iterable[Sample], n: int = 100, language: str = "any") -> dict[str, int]:
    """Word → number of samples that have it, for the `n` most frequent words of a language, of any part of speech.

    `is_word` decides what is a word. The sixty most frequent words of the language ("und", "les"), which every caption
    has, are left out; "any" has no such list.

    Raises:
        UsageError: there is no dictionary of `language`; the message names the languages that have one.
    """
    common = common_words(language)
    found: Counter[str] = Counter()
    for sample in samples:
        said = {word for text in sample.said for word in spoken(text)}
        found.update(w for w in said - common if is_word(w, language) and not w.isdecimal())
    return dict(found.most_common(n))


_OPENS_A_PHRASE = _list(
    "a an the this that these those his her its their my your our some any each every another two three four five six "
    "several many few both no"
)


def _nouns(text: str) -> list[tuple[str, bool]]:
    """The words of `text` that may be nouns: the singular of each, and whether its neighbours say that it is one."""
    words = re.findall(r"[a-z]+(?:-[a-z]+)*|[^\w\s]", unified(text).lower())
    found = []
    for i, word in enumerate(words):
        kinds = _kinds(word)
        if "NOUN" not in kinds:
            continue
        before = words[i - 1] if i else ""
        after = words[i + 1] if i + 1 < len(words) else ""
        opened = before in _OPENS_A_PHRASE or "ADJ" in _kinds(before)
        found.append((kinds["NOUN"], len(kinds) == 1 or (opened and "NOUN" not in _kinds(after))))
    return found


@functools.cache
def _kinds(word: str) -> dict[str, str]:
    """Part of speech → lemma, for a word that means something by itself; else empty."""
    if not is_word(word) or word.isdecimal():
        return {}
    return {kind: lemmas[0] for kind, lemmas in _grammar()[0](word).items()}


@functools.cache
def _grammar() -> tuple[Any, Any]:
    try:
        from lemminflect import getAllInflections, getAllLemmas
    except ImportError as error:
        raise UsageError("Inflections and nouns need LemmInflect: pip install 'vitrail[words]'.") from error
    return getAllLemmas, getAllInflections
