"""One row of an activations folder: where a state comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        ("thumbnail", pa.binary()),
        ("word", pa.string()),
    ]
)


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
        position: the position of the state in prompt and text together, padding left out.
        thumbnail: a small JPEG of the image, so that a folder can be shown wherever the images went.
        word: the word of interest; empty in what was written before there were folders of many words.
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
    position: int
    thumbnail: bytes
    word: str = ""

    @classmethod
    def from_table(cls, values: Mapping[str, Any]) -> Row:
        """A row of a table, as pyarrow gives it."""
        lists = {name: tuple(values[name] or ()) for name in ("references", "token_ids")}
        return cls(**{**values, **lists})
