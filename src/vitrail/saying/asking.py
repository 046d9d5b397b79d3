"""Samples that a model is asked about, and what it says of them. Images are opened when a batch needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from vitrail.lmm import LMM
from vitrail.lmm.running import in_batches
from vitrail.samples import Sample
from vitrail.samples.opening import Opener

B = TypeVar("B")


@dataclass(frozen=True)
class Asked:
    """A sample, the size of its image by its header, and what the model is asked."""

    sample: Sample
    size: tuple[int, int]
    request: str

    @property
    def shape(self) -> tuple[int, ...]:
        """What decides the width of a row in a batch: the image's size, and the length of the request."""
        return (*self.size, len(self.request))

    @property
    def pixels(self) -> int:
        """How many pixels the image has."""
        return self.size[0] * self.size[1]


def asked_of(lmm: LMM, samples: Sequence[Sample], opener: Opener) -> list[Asked]:
    """The samples whose image has a size and whose question can be asked; `opener` lists the others."""

    def look_at(sample: Sample) -> Asked:
        return Asked(sample, sample.size(), lmm.request(sample))

    return [asked for sample in samples if (asked := opener.tried(sample, look_at)) is not None]


def in_turn(
    asked: Sequence[Asked],
    opener: Opener,
    run: Callable[[Sequence[Asked], Sequence[Image.Image]], list[B]],
    *,
    batch_size: int,
    step: Callable[[int], None],
) -> list[B | None]:
    """The results of `run` for all that is asked, in batches of similar shape; None without an image.

    Args:
        opener: opens the images, and lists those that cannot be opened.
        run: is given a batch with its images, and gives one result for each.
        batch_size: samples per batch; it is halved when memory runs out.
        step: told how many are done.
    """
    return in_batches(
        lambda batch: opener.each(batch, lambda a: a.sample, run),
        asked,
        batch_size,
        shape=lambda a: a.shape,
        pixels=lambda a: a.pixels,
        step=step,
    )
