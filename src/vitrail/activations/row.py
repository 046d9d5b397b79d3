"""One row of an activations folder: where a state comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

#: The columns of a shard's table.
SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("image", pa.string()),
        ("references", pa.list_(pa.string())),
        ("request", pa.string()),
        ("text", pa.string()),
        ("form", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("token_ids", pa.list_(pa.int32())),
        ("token", pa.int32()),
        ("position", pa.int32()),
        ("n_positions", pa.int32()),
        ("patch", pa.struct([(n, pa.int32()) for n in ("view", "row", "column", "rows", "columns")])),
        ("thumbnail", pa.binary()),
        ("word", pa.string()),
        ("experts", pa.list_(pa.list_(pa.int32()))),
    ]
)


@dataclass(frozen=True)
class Patch:
    """Where a patch stands in what the model sees: the image, as its processor crops and scales it.

    Args:
        view: the number of the view (tile), in the model's order; 0 where an image is seen in one.
        row: from the top, of `rows`.
        column: from the left, of `columns`.
        rows: of the grid over the view.
        columns: of the grid over the view.
    """

    view: int
    row: int
    column: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Row:
    """Where a state comes from.

    Args:
        sample_id: of the sample.
        image: the name of its image.
        references: what people said of it.
        request: what the model was asked.
        text: what the model said, decoded from `token_ids`.
        form: the form of the word that was found, at the characters `[start, end)` of `text`.
        token: the place of the word's token in `token_ids`: its first sub-token for the alignment "predicts", its last
            for "reads".
        position: the position of the state in prompt and text together, padding left out; of a mean over several, the
            first of them. None for states of the vision encoder and of the connector.
        n_positions: over how many positions of the text the state is a mean; 0 for states of the vision encoder and of
            the connector.
        patch: where the patch of the state stands; None for all other states.
        thumbnail: a small JPEG of the image, so that a folder can be shown wherever the images went; of the patches of
            an image, the first one has it.
        word: the word of interest; empty in what was written before there were folders of many words.
        experts: for each block of the decoder the experts that work on the token of the state, in the order of the
            router; none where they were not asked for.
    """

    sample_id: str
    image: str
    references: tuple[str, ...]
    request: str
    text: str
    form: str
    start: int
    end: int
    token_ids: tuple[int, ...]
    token: int
    position: int | None
    thumbnail: bytes
    word: str = ""
    n_positions: int = 1
    patch: Patch | None = None
    experts: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def from_table(cls, values: Mapping[str, Any]) -> Row:
        """A row of a table, as pyarrow gives it."""
        lists = {name: tuple(values[name] or ()) for name in ("references", "token_ids")}
        patch = values.get("patch")
        experts = tuple(tuple(block or ()) for block in values.get("experts") or ())
        return cls(**{**values, **lists, "patch": None if patch is None else Patch(**patch), "experts": experts})

    def as_dict(self) -> dict[str, Any]:
        """The values of a table's row."""
        patch = None if self.patch is None else asdict(self.patch)
        return {**vars(self), "patch": patch, "experts": self.experts or None}
