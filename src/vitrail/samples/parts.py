"""Samples in parts, one for each shard of what is made from them."""

from __future__ import annotations

from collections.abc import Sequence

from vitrail.samples.sample import Sample

#: Of each sample its id, and the digests of its image and of its texts (`Sample.digests`).
Digests = list[tuple[str, str, str]]


class Parts(Sequence[Sequence[Sample]]):
    """`samples` in parts of `size`. They depend on nothing else, so a part is the same whoever works on it.

    Args:
        samples: all of them.
        size: how many a part has; the last may have fewer.
    """

    def __init__(self, samples: Sequence[Sample], size: int) -> None:
        self._parts = [samples[i : i + size] for i in range(0, len(samples), size)]
        self._known: dict[int, Digests] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        return self._parts[number]

    def digests(self, number: int) -> Digests:
        """What the samples of a part are, by content; their images are read the first time."""
        if number not in self._known:
            self._known[number] = [sample.digests() for sample in self._parts[number]]
        return self._known[number]

    def keep(self, number: int, digests: Digests) -> None:
        """Takes what a worker found the samples of a part to be, so that their images are read once."""
        self._known[number] = digests
