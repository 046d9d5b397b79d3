"""How a model is watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from vitrail.options import Above, Count, CountOrNone, Options, Seed, Within

#: More than 0, and 1 at most.
Share = Annotated[float, Above(0), Within(1.0)]


@dataclass(frozen=True)
class MonitorOptions(Options):
    """How a model is watched.

    Args:
        text: whether observations keep what was said.
        images: whether observations keep thumbnails of the images that `about` was told.
        every: how many observations are worked out together and given to the sinks; those left over follow at the end,
            or when `flush` is called. One at a time costs many times as much.
        on_error: "raise" ends the user's call of `generate` when an answer cannot be followed or a sink fails; "log"
            logs the error, counts it, and lets the call go on, as a service wants it.
        another_model: whether the model may be another one than the studies were made with (a fine-tune, another
            precision), of the same width and number of blocks.
    """

    text: bool = True
    images: bool = True
    every: Count = 64
    on_error: Literal["raise", "log"] = "raise"
    another_model: bool = False


@dataclass(frozen=True)
class ReferenceOptions(Options):
    """What a reference is made of.

    Args:
        n_samples: how many answers that say the word it takes; fewer where there are fewer, but at least 50.
        n_words: how many frequent words of the captions are watched beside the concepts.
        fewest: the smallest share of the reference's captions that have such a word.
        language: of these words, by a dictionary; "any" for all that is in letters.
    """

    n_samples: Count = 1000
    n_words: CountOrNone = 32
    fewest: Share = 0.02
    language: str = "en"


@dataclass(frozen=True)
class WatchOptions(Options):
    """How observations are compared with a reference.

    Args:
        window: how many observations a summary is of, and a window test compares.
        alpha: the probability that a watch ever raises a false alarm.
        horizon: after so many observations a new watch begins, with an error of its own.
        seed: of the random ties of ranks, and of permutations.
        images: whether summaries keep small images.
    """

    window: Count = 300
    alpha: Share = 0.05
    horizon: Count = 100_000
    seed: Seed = 0
    images: bool = True


@dataclass(frozen=True)
class FollowOptions(Options):
    """How concepts are followed while a model is trained.

    Args:
        every: after so many steps the concepts are read again.
        n_samples: of the study that are read each time, the strongest of each concept in turn; each costs a forward
            pass.
        alpha: the false discovery rate of each reading: the share of concepts, of those said to fade or emerge, that
            other samples would not show to have moved.
        least: a concept fades or emerges if it is weaker or stronger by this share of what it was, at least.
        another_model: whether the model may be another one than the study was made with when training begins.
        study_after: whether the study is made again, with the trained model, when training has ended.
    """

    every: Count = 50
    n_samples: Count = 48
    alpha: Share = 0.05
    least: Share = 0.25
    another_model: bool = False
    study_after: bool = False
