"""Samples that a model is asked about, and how they are put to it: images are opened and prepared by threads, while the
model works on those before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Generic, TypeVar

from PIL import Image

from vitrail.lmm import LMM, Batch
from vitrail.lmm.running import AHEAD
from vitrail.samples import Sample, thumbnail
from vitrail.samples.opening import Opener, decoders

A = TypeVar("A")
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


@dataclass(frozen=True)
class Ready(Generic[A]):
    """Items that the model can be given at once.

    Args:
        items: in the order of the rows of `inputs`.
        inputs: what the model is given.
        pictures: a thumbnail of each image; none where none are wanted.
        images: the images; none where they are not wanted any more.
    """

    items: list[A]
    inputs: Batch
    pictures: list[bytes]
    images: list[Image.Image]


@dataclass(frozen=True)
class Loaded(Generic[A]):
    """A batch of `n` items: pieces that can be given to the model, each with the places of its items in the batch."""

    n: int
    pieces: list[tuple[list[int], Ready[A]]]

    def each(self, run: Callable[[Ready[A]], Sequence[B]]) -> list[B | None]:
        """The results of `run`, which gives one for each item that it is given; None for items that are not ready."""
        found: list[B | None] = [None] * self.n
        for places, ready in self.pieces:
            for place, one in zip(places, run(ready), strict=True):
                found[place] = one
        return found


@dataclass(frozen=True)
class BatchLoader:
    """Opens the images of batches and prepares them for `lmm`, in any thread.

    Tokenizers of transformers are not made for several threads, so whoever loads takes a processor for that time.

    Args:
        lmm: the model.
        pictures: whether thumbnails are made.
        images: whether images are kept.
        ahead: how many batches may be loaded ahead: none for a model whose processor cannot be copied.
    """

    lmm: LMM
    pictures: bool = False
    images: bool = False
    ahead: int = field(default=0, init=False)
    _free: SimpleQueue[LMM] = field(default_factory=SimpleQueue, init=False, repr=False)

    def __post_init__(self) -> None:
        apart = [one for _ in range(AHEAD + 1) if (one := self.lmm.apart())]
        for one in apart or [self.lmm]:
            self._free.put(one)
        object.__setattr__(self, "ahead", AHEAD if apart else 0)

    def load(self, batch: Sequence[A], opener: Opener, asked: Callable[[A], Asked]) -> Loaded[A]:
        """The items of a batch, ready for the model; `opener` lists those that cannot be."""

        def make(items: list[A], images: list[Image.Image]) -> Ready[A]:
            lmm = self._free.get()
            try:
                inputs = lmm.prepare(images, [asked(item).request for item in items])
            finally:
                self._free.put(lmm)
            pictures = list(decoders().map(thumbnail, images)) if self.pictures else []
            return Ready(items, inputs, pictures, images if self.images else [])

        return Loaded(len(batch), opener.each(batch, lambda item: asked(item).sample, make))
