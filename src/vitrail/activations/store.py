"""The store of states: safetensors shards, Parquet rows, a manifest.

A folder holds `part-00000.safetensors`, `part-00000.parquet` and `part-00000.json`, and so on (see `artifacts.shards`).
Row *i* of a shard's tensors ("layer.8", …) belongs to row *i* of its table.

A folder of many words (`many.py`) holds the rows of one word after those of another in every shard. The activations of
one of its words are a folder with nothing but a manifest, which says where the store is, and which rows are the word's.
Any other activations can be laid in a second folder in the same way: see `laid_in`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vitrail.activations.options import ExtractionOptions, word_from_manifest
from vitrail.activations.row import SCHEMA, Row
from vitrail.activations.streaming import StateStream
from vitrail.artifacts import (
    MANIFEST,
    Counts,
    Part,
    Run,
    Shards,
    Sources,
    check_parent,
    manifest_of,
    parent,
    present,
    read_finished,
    read_manifest,
    shard_file,
    typed,
    write_manifest,
)
from vitrail.errors import ArtifactError, UsageError
from vitrail.lmm import ModelDescription
from vitrail.lmm.options import Layer
from vitrail.notebook import PICTURES, Picture, Shown, View
from vitrail.options import whole
from vitrail.words import Word

if TYPE_CHECKING:
    import torch

KIND = "activations"
#: The endings of a shard's files, beside its record.
SUFFIXES = (".safetensors", ".parquet")
#: Rows of a table that are read together: few, so that one word of many is read without the others.
ROWS_PER_GROUP = 64
#: The tensors of a shard, and which of its states are meant: `[start, stop)`.
Slice = tuple[Path, int, int]


@dataclass(frozen=True, kw_only=True)
class _Parameters(ExtractionOptions):
    """What activations were made with: `word`, or `words` in a folder of many."""

    model: dict[str, Any]
    word: Word | None = None
    words: tuple[Word, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        ModelDescription.from_dict(self.model)
        if (self.word is None) == (self.words is None):
            raise ValueError("one of `word` and `words` is expected")


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of activations has. `words` is of a folder of many words, `store` and `ranges` of states that
    lie in another folder; see `laid_in`."""

    parameters: dict[str, Any]
    counts: dict[str, Any]
    n_shards: int
    words: dict[str, tuple[int, ...]] | None = None
    store: str | None = None
    ranges: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        Counts.from_dict(self.counts)
        if "layers" not in self.parameters:  # as an option they have a default
            raise ValueError("`parameters.layers` is missing")
        words = typed(self.parameters, _Parameters).words
        if (words is None) != (self.words is None) or (self.store is None and self.ranges is not None):
            raise ValueError("`parameters.words` goes with `words`, and `ranges` with `store`")
        texts = {word.text for word in words or ()}
        if self.words is not None and texts != self.words.keys():
            raise ValueError(f"`words` has {sorted(self.words)}, and `parameters.words` {sorted(texts)}")
        of_shards = [*(self.words or {}).values(), *([] if self.ranges is None else [self.ranges])]
        if any(len(values) != self.n_shards for values in of_shards):
            raise ValueError(f"something is not said of each of the {self.n_shards} shards")


class Store(Shards):
    """An activations folder being written: `write` one shard after the other, then `finish`.

    Args:
        folder: made where it is missing.
        parameters: of the run.
        n_shards: how many there will be.
        sources: the samples of each shard; those of a shard that is there must be the same. None compares no samples.
        parents: kind → what the states were made from, beside samples and model.
        part: the shards that this process makes, where several share them; None for all.
        data: what was read of the samples' source.

    Raises:
        ArtifactError: the folder holds the activations of another run; what differs is named.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping[str, Any],
        n_shards: int,
        sources: Sources | None = None,
        parents: Mapping[str, Any] | None = None,
        part: Part | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        run = Run(KIND, dict(parameters), n_shards, SUFFIXES, sources, dict(parents or {}), part, data)
        super().__init__(folder, run)

    def write(self, number: int, states: Mapping[int | str, torch.Tensor], rows: Sequence[Row], counts: Counts) -> None:
        """Writes shard `number`: `states` maps a layer to (n_rows, n_features). In a folder of many words the rows of
        one word follow those of another, in the order of the words."""
        lengths = {layer: len(tensor) for layer, tensor in states.items()}
        if any(n != len(rows) for n in lengths.values()):
            raise AssertionError(f"{len(rows)} rows, but states of {lengths}")
        tensors = {f"layer.{layer}": tensor.contiguous() for layer, tensor in states.items()}
        table = pa.Table.from_pylist([row.as_dict() for row in rows], schema=SCHEMA)
        writers = (lambda path: save_file(tensors, path), lambda path: pq.write_table(table, path, ROWS_PER_GROUP))
        words = Counter(row.word for row in rows) if "words" in self.run.parameters else None
        self.write_files(number, dict(zip(SUFFIXES, writers, strict=True)), counts, words)

    def finish(self) -> Activations:
        """Writes the final manifest and opens the folder.

        Raises:
            ArtifactError: a shard is missing.
        """
        return Activations(self.folder, self.finish_files())


@dataclass(frozen=True)
class Activations(Shown):
    """States of one word: `rows` says where each comes from, `states(layer)` are the states themselves."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest["parameters"]

    @cached_property
    def options(self) -> ExtractionOptions:
        """How the states were extracted; passed to `extract_as`, it makes the same again."""
        return ExtractionOptions.from_manifest(self.parameters)

    @cached_property
    def word(self) -> Word:
        """The word of interest."""
        return word_from_manifest(self.parameters["word"])

    @cached_property
    def model(self) -> ModelDescription:
        """The model that the states were read from."""
        return ModelDescription.from_dict(self.parameters["model"])

    @property
    def counts(self) -> Counts:
        return Counts.from_dict(self.manifest["counts"])

    @property
    def layers(self) -> list[int | Literal["final"]]:
        return self.parameters["layers"]

    def layer(self, layer: Layer) -> Layer:
        """The layer by its own name: −1 becomes N. Whether it was extracted is not looked at."""
        number = whole(layer)
        return layer if number is None else number if number >= 0 else self.parameters["model"]["n_blocks"] + 1 + number

    def __len__(self) -> int:
        return self.counts.kept

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One row per state, in the order of the states."""
        return tuple(map(Row.from_table, self._columns()))

    def states(self, layer: int | str) -> np.ndarray:
        """(n_rows, n_features) float32: the states of `layer`, whatever their dtype on disk.

        Raises:
            UsageError: the layer was not extracted.
            ArtifactError: a shard is damaged, or its tensors and rows disagree.
        """
        own = self.layer(layer)
        return np.concatenate([read_states(path, own, start, stop) for path, start, stop in self._filled(own)])

    def shards(self, layer: int | str) -> list[Slice]:
        """The files that hold the states of `layer`, in order, and which of the states in each are meant.

        Raises as `states`.
        """
        layer = self.layer(layer)
        if layer not in self.layers:
            raise UsageError(f"Layer {layer!r} was not extracted; {self.folder} has {self.layers}.")
        found = []
        for table, part in self._tables:
            path = table.with_suffix(SUFFIXES[0])
            length = _read(path, lambda p: _shape(p, layer))[0]
            expected = _read(table, lambda p: pq.read_metadata(p).num_rows)
            if length != expected:
                raise ArtifactError(f"{path} has {length} states, but its table has {expected} rows. Extract again.")
            found.append((path, *(part or (0, length))))
        return found

    def _filled(self, layer: int | str) -> list[Slice]:
        """The `shards` that hold a state: an empty one does not know how wide they are. The first, if none does."""
        found = self.shards(layer)
        return [part for part in found if part[1] < part[2]] or found[:1]

    @property
    def _tables(self) -> list[tuple[Path, tuple[int, int] | None]]:
        """The table of each shard, and which of its rows are the word's: `[start, stop)`, or all for None."""
        home = self.folder / self.manifest.get("store", "")
        tables = [shard_file(home, i, SUFFIXES[1]) for i in range(self.manifest["n_shards"])]
        ranges = self.manifest.get("ranges")
        return list(zip(tables, [None] * len(tables) if ranges is None else map(tuple, ranges), strict=True))

    def _columns(self, *names: str) -> list[dict[str, Any]]:
        """The rows of all shards, or some columns of them; no others are read from the disk."""
        columns = list(names) or None
        tables = [_read(path, lambda p, part=part: _rows(p, part, columns)) for path, part in self._tables]
        return [row for table in tables for row in table.to_pylist()]

    def width(self, layer: int | str) -> int:
        """n_features of the states of `layer`; raises as `states`."""
        own = self.layer(layer)
        path = self._filled(own)[0][0]
        return _read(path, lambda p: _shape(p, own))[1]

    def sample_ids(self) -> list[str]:
        """The sample of each state, in order: cheaper than `rows`."""
        return [row["sample_id"] for row in self._columns("sample_id")]

    def to_torch(self, layer: int | str | None = None) -> StateStream:
        """The states of `layer` for a `DataLoader` of torch: (state (n_features,) float32, sample id) for each.

            loader = DataLoader(activations.to_torch(), batch_size=256)
            for states, sample_ids in loader: ...

        Args:
            layer: by its own name; may be None when there is one.

        Raises:
            UsageError: the layer was not extracted, or there are several.
        """
        if layer is None and len(self.layers) > 1:
            raise UsageError(f"Several layers were extracted: {self.layers}. Say which one.")
        layer = self.layers[0] if layer is None else layer
        return StateStream(self.shards(layer), partial(_states_of, layer), self.sample_ids())

    def _shown(self) -> View:
        p = self.parameters
        about = (
            f"of “{p['word']['text']}” in {p['model']['name']}: "
            f"{len(self)} of {self.counts.scanned} samples, layers {self.layers}"
        )
        return View("Activations", about, pictures=tuple(Picture(r.thumbnail, r.text) for r in self.rows[:PICTURES]))


def laid_in(folder: Path, store: Path, content: Mapping[str, Any]) -> Activations:
    """Activations in `folder` whose states stay where they are, in `store`: a manifest that says so.

    Args:
        store: the folder that has the shards.
        content: what the manifest says beside that: parameters, counts, number of shards, and the `ranges` of rows.
    """
    made = {**content, "parents": {KIND: parent(store)}, "store": Path(os.path.relpath(store, folder)).as_posix()}
    return Activations(folder, write_manifest(folder, KIND, made))


def also_in(folder: Path, activations: Activations) -> Activations:
    """`activations` in a second folder; nothing is written where they are there already."""
    store = activations.folder / activations.manifest.get("store", "")
    if (folder / MANIFEST).exists():
        there = read_manifest(folder, KIND)
        if there["parents"] == {KIND: parent(store)} and there["parameters"] == activations.parameters:
            return Activations(folder, there)
    own = ("parameters", "doctor", "complete", "counts", "n_shards", "ranges")
    return laid_in(folder, store, {name: activations.manifest[name] for name in own if name in activations.manifest})


def open_activations(folder: str | Path) -> Activations:
    """The activations in `folder`, which must be complete and whole.

    Raises:
        ArtifactError: missing, incomplete, damaged or newer; or the store that it is a part of is another one now.
        UsageError: it holds many words.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "extract")
    if "store" in manifest:
        store = folder / manifest["store"]
        read_finished(store, KIND, "extract")
        check_parent(folder, manifest, store, KIND)
    if "words" in manifest["parameters"]:
        words = [word["text"] for word in manifest["parameters"]["words"]]
        raise UsageError(
            f"{folder} holds the states of {len(words)} words ({', '.join(words[:8])}{', …' * (len(words) > 8)}). "
            "Name one of them: --word."
        )
    return Activations(folder, manifest)


def read_states(path: Path, layer: int | str, start: int, stop: int) -> np.ndarray:
    """States `start` to `stop` of a shard, (stop − start, n_features) float32; no others are read from the disk.

    Raises:
        ArtifactError: the shard is damaged.
    """

    def load(path: Path) -> np.ndarray:
        with safe_open(path, framework="pt") as file:
            return file.get_slice(f"layer.{layer}")[start:stop].float().numpy()

    return _read(path, load)


def _states_of(layer: int | str, path: Path, start: int, stop: int) -> np.ndarray:
    return read_states(path, layer, start, stop)


def _rows(path: Path, part: tuple[int, int] | None, columns: Sequence[str] | None) -> pa.Table:
    """Rows `[start, stop)` of a table, from the groups that hold them; all for None."""
    if part is None:
        return pq.read_table(path, columns=columns)
    start, stop = part
    with pq.ParquetFile(path) as file:
        ends = np.cumsum([0, *(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))])
        wanted = [i for i in range(file.num_row_groups) if ends[i] < stop and ends[i + 1] > start]
        first = int(ends[wanted[0]]) if wanted else 0
        return file.read_row_groups(wanted, columns=columns).slice(start - first, stop - start)


def _shape(path: Path, layer: int | str) -> tuple[int, int]:
    with safe_open(path, framework="pt") as file:
        n, d = file.get_slice(f"layer.{layer}").get_shape()
        return n, d


def _read(path: Path, read: Any) -> Any:
    try:
        return read(present(path))
    except (OSError, SafetensorError, pa.ArrowException, KeyError) as error:
        raise ArtifactError(
            f"{path} is damaged or missing ({error}). Remove {path.parent} and extract again."
        ) from error
