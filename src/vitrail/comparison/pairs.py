"""Which states of two models belong together: the same sample, word, layer and position, by sample id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vitrail.activations import Activations
from vitrail.errors import ArtifactError, DataError, UsageError


@dataclass(frozen=True)
class Pairs:
    """Row `a[i]` of the activations of *a* and row `b[i]` of those of *b* are of the sample `ids[i]`.

    `only_a` and `only_b` count the samples of which one model alone says the word; they are left out.
    """

    ids: tuple[str, ...]
    a: np.ndarray
    b: np.ndarray
    only_a: int
    only_b: int

    def __len__(self) -> int:
        return len(self.ids)

    def only(self, keep: np.ndarray) -> Pairs:
        """The pairs where `keep` (n,) is true; the others are outliers of one model, not samples without the word."""
        ids = tuple(i for i, k in zip(self.ids, keep, strict=True) if k)
        return Pairs(ids, self.a[keep], self.b[keep], self.only_a, self.only_b)


def check_alike(a: Activations, b: Activations) -> None:
    """Raises unless the states of `a` and `b` may be compared; the error names what differs, and both values.

    Raises:
        UsageError: another word, alignment, prompt or requirement: other states are meant.
        ArtifactError: the models have states of another width, or another number of blocks.
    """
    p, q = a.parameters, b.parameters
    meant = {"word": "word", "alignment": "alignment", "require": "requirement", "prompt": "prompt"}
    for key, name in meant.items():
        if p[key] != q[key]:
            raise UsageError(
                f"{a.folder} and {b.folder} cannot be compared: the {name} is {_plain(p[key])} in one and "
                f"{_plain(q[key])} in the other. Extract both in the same way."
            )
    for key, name in (("n_features", "width of the states"), ("n_blocks", "number of blocks")):
        if p["model"][key] != q["model"][key]:
            raise ArtifactError(
                f"{p['model']['name']} and {q['model']['name']} cannot be compared: the {name} is {p['model'][key]} in "
                f"one and {q['model'][key]} in the other. A shift is between a model and its own fine-tune."
            )


def _plain(value: Any) -> str:
    return repr(value["text"]) if isinstance(value, dict) else repr(value)


def align(a: Activations, b: Activations) -> Pairs:
    """The samples that are in both, in the order of `a`.

    Raises:
        DataError: there is none; an id of each is named.
    """
    places = {row["sample_id"]: i for i, row in enumerate(b.rows)}
    ids = [row["sample_id"] for row in a.rows]
    found = [(i, places[sample]) for i, sample in enumerate(ids) if sample in places]
    if not found:
        raise DataError(
            f"{a.folder} and {b.folder} have no sample in common: ids of the one look like {ids[0]!r}, of the other "
            f"like {b.rows[0]['sample_id']!r}. Extract both from the same data."
        )
    rows_a, rows_b = np.array(found).T
    return Pairs(tuple(ids[i] for i in rows_a), rows_a, rows_b, only_a=len(a) - len(found), only_b=len(b) - len(found))
