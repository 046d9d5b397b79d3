"""What can be known of a run before a model is loaded. A wrong word fails at once, and not after the wait.

Nothing heavy is imported, so that the command line checks before it imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.activations.options import ExtractionOptions, Require
from vitrail.artifacts import beside, check_ours, check_place, check_target
from vitrail.concepts.options import LearningOptions
from vitrail.errors import UsageError
from vitrail.extraction.checks import check_unseen, check_word, having
from vitrail.samples import Sample
from vitrail.words import Word, check_segments

#: Samples of a study that are not learned from, and explained.
HELD_OUT = 10


def check_study(
    samples: Sequence[Sample], word: Word, extraction: ExtractionOptions, learning: LearningOptions
) -> None:
    """Raises unless a study of `word` may be made of `samples`.

    Raises:
        WordError: no sample has the word.
        UsageError: fewer samples have it than there are concepts, options that do not go together, or captions whose
            words only an extra tells apart.
        DataError: there are no samples, or no image can be opened.
    """
    if extraction.sight:
        raise UsageError(
            f"A study shows concepts in words, and states of {extraction.sight[0]!r} have none. Use the commands "
            "`vitrail extract` and `vitrail learn` for them."
        )
    learned_from, _ = hold_out(samples, word, extraction.require)
    check_word(learned_from, word, extraction.require, learning.n_samples)
    check_segments(text for sample in learned_from for text in sample.said)  # titles are words of captions
    learning.learner()


def check_study_folder(out: Path, *, overwrite: bool = False) -> None:
    """Raises `ArtifactError` unless a study may be written to `out`: nothing there is somebody else's.

    Args:
        overwrite: whether a report or a summary of somebody else is no obstacle.
    """
    check_target(out)
    if not overwrite:
        check_ours(beside("study", out), offer=True)
    for kind in ("activations", "concepts", "grounding", "explanations", "maps"):
        check_place(out / kind, kind)


def check_methods(
    samples: Sequence[Sample], test_samples: Sequence[Sample], words: Sequence[str], require: Require, n_concepts: int
) -> None:
    """Raises unless methods may be compared on `words`: learned from `samples`, and measured on `test_samples`.

    Raises:
        WordError: no sample, or no held-out one, has a word.
        UsageError: no words, or fewer samples have one than there are concepts.
        DataError: a sample is in both, there are none, or no image can be opened.
    """
    if not words:
        raise UsageError("Name a word, or several, to compare methods on.")
    check_unseen({s.id for s in samples}, test_samples)
    for word in map(Word, words):
        check_word(samples, word, require, n_concepts)
        check_word(test_samples, word, require)


def hold_out(
    samples: Sequence[Sample], word: Word, require: Require, n: int = HELD_OUT
) -> tuple[list[Sample], list[Sample]]:
    """The samples to learn from, and `n` others that are kept aside: the last ones that have the word.

    Where there are fewer than 5 `n` with the word, a fifth of them is kept aside.
    """
    wanted = having(samples, word, require)
    aside = wanted[len(wanted) - min(n, len(wanted) // 5) :]
    ids = {s.id for s in aside}
    return [s for s in samples if s.id not in ids], aside
