"""The store of states: safetensors shards, Parquet rows, a manifest.

A folder holds `part-00000.safetensors` and `part-00000.parquet` and so on. Row *i* of a shard's tensors ("layer.8", …)
belongs to row *i* of its table. A shard is written whole and renamed, the table last: a shard whose table is there is
complete, so a run that was killed goes on at the first one missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vitrail.activations.options import ExtractionOptions, word_from_manifest
from vitrail.activations.row import SCHEMA, Row
from vitrail.artifacts import (
    MANIFEST,
    check_free,
    file_hash,
    read_finished,
    read_manifest,
    same_run,
    write_manifest,
    write_whole,
)
from vitrail.errors import ArtifactError, UsageError
from vitrail.lmm import ModelDescription
from vitrail.words import Word

if TYPE_CHECKING:
    import torch

KIND = "activations"
COUNTS = "vitrail.counts"


@dataclass(frozen=True)
class Counts:
    """What became of the samples of a shard, or of all."""

    scanned: int = 0
    kept: int = 0
    without_word: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.scanned + other.scanned,
            self.kept + other.kept,
            self.without_word + other.without_word,
            self.unreadable + other.unreadable,
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "scanned": self.scanned,
            "kept": self.kept,
            "without_word": self.without_word,
            "unreadable": [list(pair) for pair in self.unreadable],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Counts:
        unreadable = tuple((str(sample), str(why)) for sample, why in values["unreadable"])
        return cls(values["scanned"], values["kept"], values["without_word"], unreadable)


class Store:
    """An activations folder being written: `write` one shard after the other, then `finish`.

    Raises:
        ArtifactError: the folder holds the activations of another run; what differs is named.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any], n_shards: int) -> None:
        self.folder, self.parameters, self.n_shards = folder, dict(parameters), n_shards
        if (folder / MANIFEST).exists():
            same_run(folder, read_manifest(folder, KIND), self.parameters)
        else:
            check_free(folder, KIND)
            write_manifest(folder, KIND, {"parameters": self.parameters, "complete": False})

    @property
    def complete(self) -> bool:
        return bool(read_manifest(self.folder, KIND)["complete"])

    @property
    def certified(self) -> bool:
        return "doctor" in read_manifest(self.folder, KIND)

    def certify(self, certificate: Mapping[str, Any]) -> None:
        """Keeps what the doctor found of the model that fills this folder."""
        content = {"parameters": self.parameters, "complete": False, "doctor": dict(certificate)}
        write_manifest(self.folder, KIND, content)

    def missing(self) -> list[int]:
        """Numbers of the shards that are still to be written."""
        return [i for i in range(self.n_shards) if not _table(self.folder, i).exists()]

    def write(self, number: int, states: Mapping[int | str, torch.Tensor], rows: Sequence[Row], counts: Counts) -> None:
        """Writes shard `number`: `states` maps a layer to (n_rows, n_features)."""
        lengths = {layer: len(tensor) for layer, tensor in states.items()}
        if any(n != len(rows) for n in lengths.values()):
            raise AssertionError(f"{len(rows)} rows, but states of {lengths}")
        tensors = {f"layer.{layer}": tensor.contiguous() for layer, tensor in states.items()}
        metadata = {COUNTS: json.dumps(counts.as_dict())}
        table = pa.Table.from_pylist([vars(row) for row in rows], schema=SCHEMA).replace_schema_metadata(metadata)
        write_whole(_tensors(self.folder, number), lambda path: save_file(tensors, path))
        write_whole(_table(self.folder, number), lambda path: pq.write_table(table, path))

    def counts(self) -> Counts:
        """The sum over the shards that are there."""
        total = Counts()
        for number in range(self.n_shards):
            path = _table(self.folder, number)
            if path.exists():
                metadata = _read(path, pq.read_schema).metadata or {}
                total += Counts.from_dict(json.loads(metadata[COUNTS.encode()]))
        return total

    def discard(self) -> None:
        """Removes what was written, so that nothing of a run that found nothing stands in the way of the next."""
        for number in range(self.n_shards):
            _table(self.folder, number).unlink(missing_ok=True)
            _tensors(self.folder, number).unlink(missing_ok=True)
        (self.folder / MANIFEST).unlink(missing_ok=True)

    def finish(self) -> Activations:
        """Writes the final manifest, with the hash of every file, and opens the folder."""
        if self.complete:
            return open_activations(self.folder)
        files = [f(self.folder, i) for i in range(self.n_shards) for f in (_tensors, _table)]
        content = {
            "parameters": self.parameters,
            "doctor": read_manifest(self.folder, KIND).get("doctor"),
            "complete": True,
            "counts": self.counts().as_dict(),
            "n_shards": self.n_shards,
            "files": {path.name: file_hash(path) for path in files},
        }
        write_manifest(self.folder, KIND, content)
        return Activations(self.folder, read_manifest(self.folder, KIND))


@dataclass(frozen=True)
class Activations:
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

    def __len__(self) -> int:
        return self.counts.kept

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """One row per state, in the order of the states."""
        numbers = range(self.manifest["n_shards"])
        tables = [_read(_table(self.folder, i), pq.read_table) for i in numbers]
        return tuple(Row.from_table(row) for table in tables for row in table.to_pylist())

    def states(self, layer: int | str) -> np.ndarray:
        """(n_rows, n_features) float32: the states of `layer`, whatever their dtype on disk.

        Raises:
            UsageError: the layer was not extracted.
            ArtifactError: a shard is damaged, or its tensors and rows disagree.
        """
        return np.concatenate([read_states(path, layer, 0, length) for path, length in self.shards(layer)])

    def shards(self, layer: int | str) -> list[tuple[Path, int]]:
        """The files that hold the states of `layer`, in order, and how many states each one has.

        Raises as `states`.
        """
        if layer not in self.layers:
            raise UsageError(f"Layer {layer!r} was not extracted; {self.folder} has {self.layers}.")
        found = []
        for number in range(self.manifest["n_shards"]):
            path = _tensors(self.folder, number)
            length = _read(path, lambda p: _shape(p, layer))[0]
            expected = _read(_table(self.folder, number), lambda p: pq.read_metadata(p).num_rows)
            if length != expected:
                raise ArtifactError(f"{path} has {length} states, but its table has {expected} rows. Extract again.")
            found.append((path, length))
        return found

    def width(self, layer: int | str) -> int:
        """n_features of the states of `layer`; raises as `states`."""
        return _read(self.shards(layer)[0][0], lambda p: _shape(p, layer))[1]

    def sample_ids(self) -> list[str]:
        """The sample of each state, in order: cheaper than `rows`."""
        numbers = range(self.manifest["n_shards"])
        tables = [_read(_table(self.folder, i), lambda p: pq.read_table(p, columns=["sample_id"])) for i in numbers]
        return [sample for table in tables for sample in table["sample_id"].to_pylist()]

    def _repr_html_(self) -> str:
        p = self.parameters
        return (
            f"<b>Activations</b> of “{p['word']['text']}” in {p['model']['name']}: "
            f"{len(self)} of {self.counts.scanned} samples, layers {self.layers}"
        )


def open_activations(folder: str | Path) -> Activations:
    """The activations in `folder`, which must be complete and whole.

    Raises:
        ArtifactError: missing, incomplete, damaged or newer.
    """
    folder = Path(folder)
    return Activations(folder, read_finished(folder, KIND, "extract"))


def _tensors(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.safetensors"


def _table(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.parquet"


def read_states(path: Path, layer: int | str, start: int, stop: int) -> np.ndarray:
    """States `start` to `stop` of a shard, (stop − start, n_features) float32; no others are read from the disk.

    Raises:
        ArtifactError: the shard is damaged.
    """

    def load(path: Path) -> np.ndarray:
        with safe_open(path, framework="pt") as file:
            return file.get_slice(f"layer.{layer}")[start:stop].float().numpy()

    return _read(path, load)


def _shape(path: Path, layer: int | str) -> tuple[int, int]:
    with safe_open(path, framework="pt") as file:
        n, d = file.get_slice(f"layer.{layer}").get_shape()
        return n, d


def _read(path: Path, read: Any) -> Any:
    try:
        return read(path)
    except (OSError, SafetensorError, pa.ArrowException, KeyError) as error:
        raise ArtifactError(
            f"{path} is damaged or missing ({error}). Remove {path.parent} and extract again."
        ) from error
