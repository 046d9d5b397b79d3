"""Which states of two models belong together: those of the same sample, word, layer and position, by sample id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from vitrail.activations import Activations
from vitrail.errors import ArtifactError, DataError, UsageError


@dataclass(frozen=True)
class SamplePairs:
    """Row `a[i]` of the activations of *a* and row `b[i]` of those of *b* belong to the sample `ids[i]`.

    `only_a` and `only_b` count the samples that have a state in one model alone; they are left out.
    """

    ids: tuple[str, ...]
    a: Int[np.ndarray, " n"]
    b: Int[np.ndarray, " n"]
    only_a: int
    only_b: int

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, keep: Bool[np.ndarray, " n"]) -> SamplePairs:
        """The pairs for which `keep` is true."""
        ids = tuple(i for i, k in zip(self.ids, keep, strict=True) if k)
        return SamplePairs(ids, self.a[keep], self.b[keep], self.only_a, self.only_b)


def pair_samples(a: Activations, b: Activations) -> SamplePairs:
    """The samples that have a state in both, in the order of `a`.

    Raises:
        UsageError: the states are those of patches, of which a sample has many.
        DataError: there is none; an id of each is named.
    """
    if patches := [one.folder for one in (a, b) if one.options.one_a_patch]:
        raise UsageError(f"States of patches cannot be paired by sample: {patches[0]} has many of one sample.")
    places = {sample: i for i, sample in enumerate(b.sample_ids())}
    ids = a.sample_ids()
    found = [(i, places[sample]) for i, sample in enumerate(ids) if sample in places]
    if not found:
        raise DataError(
            f"{a.folder} and {b.folder} have no sample in common: ids of the one look like {ids[0]!r}, of the other "
            f"like {next(iter(places))!r}. Extract both from the same data."
        )
    rows_a, rows_b = np.array(found).T
    shared = tuple(ids[i] for i in rows_a)
    return SamplePairs(shared, rows_a, rows_b, only_a=len(a) - len(found), only_b=len(b) - len(found))


def check_comparable(a: Activations, b: Activations) -> None:
    """Raises unless states of `a` and `b` can be compared; the error names what differs, and both values.

    Raises:
        UsageError: the word, alignment, position, prompt or requirement differs, so the states do not mean the same.
        ArtifactError: the models have states of different widths, or different numbers of blocks.
    """
    for name, here, there in (
        ("word", a.word, b.word),
        ("alignment", a.options.alignment, b.options.alignment),
        ("position of the states", a.options.read_at, b.options.read_at),
        ("requirement", a.options.require, b.options.require),
        ("prompt", a.options.prompt, b.options.prompt),
    ):
        if here != there:
            raise UsageError(
                f"{a.folder} and {b.folder} cannot be compared: the {name} is {_plain(here)} in one and "
                f"{_plain(there)} in the other. Extract both in the same way."
            )
    for name, width, other in (
        ("width of the states", a.model.n_features, b.model.n_features),
        ("number of blocks", a.model.n_blocks, b.model.n_blocks),
    ):
        if width != other:
            raise ArtifactError(
                f"{a.model.name} and {b.model.name} cannot be compared: the {name} is {width} in one and {other} in "
                "the other. A shift is between a model and its own fine-tune."
            )


def _plain(value: Any) -> str:
    return repr(getattr(value, "text", value))
