"""What a fine-tune teaches: images with the answers that the model shall give."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitrail.errors import DataError, UsageError
from vitrail.notebook import Shown, View
from vitrail.samples import Sample, as_samples
from vitrail.samples.facts import data_folder
from vitrail.samples.vocabulary import listed, read_words
from vitrail.toyland.dataset import styled_captions
from vitrail.words import nearest, whole_words


@dataclass(frozen=True)
class Example(Shown):
    """An image and the answer to learn. The request is the sample's question, or the model's own prompt."""

    sample: Sample
    answer: str

    def _shown(self) -> View:
        return replace(self.sample._shown(), title="Example", notes=(f"to answer: {self.answer}",))


def captions_about(samples: Sequence[Sample] | str | Path, words: Collection[str] | str) -> list[Example]:
    """The references of `samples` that have one of `words` in them, as whole words in any case.

    Args:
        samples: captioned images, or their name, file or folder, as `load_samples` takes them.
        words: a list of them, a text with commas, or the name of a topic ("colour", "place", "sentiment").

    Raises:
        DataError: none has; the words that references do have are named.
    """
    if not words:
        raise DataError("No words were given to choose captions by.")
    words, samples = listed(words), as_samples(samples)
    pattern = whole_words(words)
    found = [Example(s, text) for s in samples for text in s.references if pattern.search(text)]
    if not found:
        wanted = ", ".join(sorted(words)[:8])
        present = nearest(min(words), (text for s in samples for text in s.references))
        raise DataError(f"No reference has any of the words {wanted}. Words that do occur: {', '.join(present)}.")
    return found


def captions_of(samples: Sequence[Sample], captions: Mapping[str, Sequence[str]]) -> list[Example]:
    """An example for every caption in `captions` (sample id → captions) of a sample in `samples`.

    Raises:
        DataError: there is none.
    """
    found = [Example(s, text) for s in samples for text in captions.get(s.id, ())]
    if not found:
        raise DataError(f"None of the {len(samples)} samples has a caption among the {len(captions)} that were given.")
    return found


def captions_for(
    samples: Sequence[Sample], source: str | Path, *, style: str | None = None, words: str | None = None
) -> list[Example]:
    """The captions of `samples` in one of Toyland's styles, or those that have one of `words`.

    Args:
        source: the data that the samples come from, as `load_samples` takes them.
        style: "colour", "place", "mood" or "plain"; the data must be a Toyland.
        words: as `vocabulary.read_words` takes them.

    Raises:
        UsageError: neither or both of `style` and `words` are given.
        DataError: there is no such caption.
    """
    if (style is None) == (words is None):
        raise UsageError("Say which captions to learn: either --style (of Toyland) or --words.")
    if words is not None:
        return captions_about(samples, listed(read_words(words)))
    return captions_of(samples, styled_captions(data_folder(source), style))  # type: ignore[arg-type]


def examples_hash(examples: Sequence[Example]) -> str:
    """sha256 of the examples' ids and answers, in their order."""
    text = "\n".join(f"{e.sample.id}\t{e.answer}" for e in examples)
    return hashlib.sha256(text.encode()).hexdigest()
