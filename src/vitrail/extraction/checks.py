"""What can be known of samples before a model is loaded: whether they have the word, are enough, and can be opened."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from vitrail import words as vocabulary
from vitrail.activations.options import Require
from vitrail.errors import DataError, UsageError
from vitrail.samples import Sample, images_there, summary_of
from vitrail.samples.columns import listed
from vitrail.words import Word

log = logging.getLogger(__name__)


def having(samples: Sequence[Sample], word: Word, require: Require = "both") -> list[Sample]:
    """The samples that have the word; all of them where only the model must say it. There may be none."""
    return [s for s in samples if require == "predicted" or any(word.find(text) for text in s.said)]


def having_any(samples: Sequence[Sample], words: Sequence[Word], require: Require = "both") -> list[Sample]:
    """The samples that have one of the words; all of them where only the model must say it."""
    if require == "predicted":
        return list(samples)
    cased = [
        vocabulary.whole_words({form for w in words if w.match_case is case for form in (w.text, *w.forms)}, case)
        for case in {word.match_case for word in words}
    ]
    return [s for s in samples if any(pattern.search(text) for text in s.said for pattern in cased)]


def candidates(samples: Sequence[Sample], word: Word, require: Require = "both") -> list[Sample]:
    """The samples that a model is asked about: those that have the word, or all where only the model must say it.

    Raises:
        DataError: there are no samples.
        WordError: none has it; the nearest words that occur are named.
    """
    if not samples:
        raise DataError("There are no samples to extract from.")
    check_told(samples, require)
    found = having(samples, word, require)
    if not found and require != "predicted":
        raise vocabulary.absent(word, "references", (text for s in samples for text in s.said))
    return found


def check_word(samples: Sequence[Sample], word: Word, require: Require = "both", n_concepts: int = 1) -> None:
    """Raises unless concepts of `word` may come from `samples`; no model is needed.

    Args:
        samples: those that are learned from.
        n_concepts: how many will be learned.

    Raises:
        WordError: no sample has the word.
        UsageError: fewer samples have it than there are concepts.
        DataError: there are no samples, or no image can be opened.
    """
    if not samples:
        raise DataError("There are no samples.")
    asked = candidates(samples, word, require)
    if len(asked) < n_concepts:
        raise UsageError(
            f"{n_concepts} concepts need at least as many samples to learn from; {len(asked)} have {word.text!r}. "
            "Ask for fewer concepts, or give more samples."
        )
    check_images(asked)


def check_words(samples: Sequence[Sample], words: Sequence[Word], require: Require = "both") -> None:
    """Raises unless states of many words may come from `samples`; no model is needed.

    Raises:
        UsageError: there are no words, or one is named twice.
        WordError: no sample has one of them.
        DataError: there are no samples, or no image can be opened.
    """
    texts = [word.text for word in words]
    if not texts:
        raise UsageError("There are no words to extract. Name some (--word), or lower --min-count.")
    if twice := [text for text in dict.fromkeys(texts) if texts.count(text) > 1]:
        raise UsageError(f"{', '.join(map(repr, twice))} is named more than once. Name each word once.")
    if not samples:
        raise DataError("There are no samples.")
    check_told(samples, require)
    for word in words if require != "predicted" else ():
        if not any(word.find(text) for s in samples for text in s.said):
            raise vocabulary.absent(word, "references", (text for s in samples for text in s.said))
    check_images(having_any(samples, words, require))


def check_unseen(learned_from: Collection[str], samples: Sequence[Sample]) -> None:
    """Checks that none of `samples`, which are to be tested on, has an id in `learned_from`.

    Raises:
        DataError: one has.
    """
    seen = [s.id for s in samples if s.id in learned_from]
    if seen:
        raise DataError(
            f"{len(seen)} samples to test on were learned from, {seen[0]!r} among them. Name another split (--split)."
        )


def check_told(samples: Sequence[Sample], require: Require) -> None:
    """Checks that people said something of some sample; a warning where only the model must say the word.

    Raises:
        DataError: nothing was said of any, and a reference must have the word.
    """
    if any(s.references or s.question is not None for s in samples):
        return
    read = summary_of(samples)
    unread = ""
    if read is not None and read.not_read:
        unread = f" Columns not read: {listed(read.not_read)}; say which one with --caption-column."
    told = f"None of the {len(samples)} samples has a caption or a question.{unread}"
    if require != "predicted":
        raise DataError(f"{told} Without captions, ask for the words that the model says: --require predicted.")
    log.warning("%s", told)


def check_images(samples: Sequence[Sample]) -> None:
    """Opens images until one can be opened: the first, one in the middle, the last.

    Some may be unreadable: they are skipped later, and counted. If none of these three can be opened, hardly any can.

    Raises:
        DataError: there are no samples, none of the three images can be opened, or more than half of the files are
            missing.
    """
    if not samples:
        raise DataError("There are no samples.")
    errors = []
    for i in sorted({0, len(samples) // 2, len(samples) - 1}):
        try:
            samples[i].open()
            break
        except DataError as error:
            errors.append(error)
    else:
        raise DataError(f"None of {len(errors)} images could be read. The first: {errors[0]}")
    looked, missing = images_there(samples)
    if 2 * len(missing) > looked:
        raise DataError(
            f"{len(missing)} of {looked} images do not exist, such as {missing[0].place} of sample {missing[0].id!r}. "
            "Say where they lie with --images."
        )
