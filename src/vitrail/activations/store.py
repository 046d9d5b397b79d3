"""The store of states: safetensors shards, Parquet rows, a manifest.

A folder holds `part-00000.safetensors`, `part-00000.parquet` and `part-00000.json`, and so on. Row *i* of a shard's
tensors ("layer.8", …) belongs to row *i* of its table. The JSON is the shard's record: the hashes of the other two, and
the samples that it was made from, by content. It is written last. A run that was stopped goes on at the first shard
without a record, or whose files or samples are not those of its record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
    plain,
    read_finished,
    read_manifest,
    read_sealed,
    same_run,
    typed,
    versions,
    write_manifest,
    write_sealed,
    write_whole,
)
from vitrail.errors import ArtifactError, UsageError
from vitrail.lmm import ModelDescription
from vitrail.words import Word

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

KIND = "activations"
#: What must be the same in all shards of a folder, beside the parameters: other versions may give other states.
SAME_VERSIONS = ("torch", "transformers")
#: The endings of a shard's files, beside its record.
SUFFIXES = (".safetensors", ".parquet")


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


@dataclass(frozen=True)
class Record:
    """What a shard is made of.

    Args:
        files: name → sha256 of its tensors and of its table.
        samples: of every sample its id, and the digests of its image and of its texts (`Sample.digests`).
        counts: what became of the samples.
    """

    files: dict[str, str]
    samples: tuple[tuple[str, str, str], ...]
    counts: Counts


#: The number of a shard → the samples that it is made from, as its record names them.
Sources = Callable[[int], Sequence[tuple[str, str, str]]]


class Store:
    """An activations folder being written: `write` one shard after the other, then `finish`.

    Args:
        folder: made where it is missing.
        parameters: of the run.
        n_shards: how many there will be.
        sources: the samples of each shard; those of a shard that is there must be the same. None compares no samples.

    Raises:
        ArtifactError: the folder holds the activations of another run; what differs is named.
    """

    def __init__(
        self, folder: Path, parameters: Mapping[str, Any], n_shards: int, sources: Sources | None = None
    ) -> None:
        self.folder, self.parameters, self.n_shards, self.sources = folder, dict(parameters), n_shards, sources
        self._records: dict[int, Record] = {}  # of the shards that are known to be whole
        if not (folder / MANIFEST).exists():
            check_free(folder, KIND)
            self.certify(None)
            return
        manifest = read_manifest(folder, KIND)
        same_run(folder, manifest, self.parameters)
        if not manifest["complete"]:
            _check_versions(folder, manifest["versions"])

    @property
    def complete(self) -> bool:
        return bool(read_manifest(self.folder, KIND)["complete"])

    @property
    def certified(self) -> bool:
        return read_manifest(self.folder, KIND).get("doctor") is not None

    def certify(self, certificate: Mapping[str, Any] | None) -> None:
        """Writes the manifest of a run that goes on, with what the doctor found of the model that fills the folder."""
        write_manifest(
            self.folder, KIND, {"parameters": self.parameters, "doctor": plain(certificate), "complete": False}
        )

    def missing(self) -> list[int]:
        """Numbers of the shards that are still to be written, or to be written again: each file of the others is as it
        was written, and made from the very same samples.

        Raises:
            ArtifactError: the run has finished, and the samples are others now.
        """
        manifest = read_manifest(self.folder, KIND)
        found = [i for i in range(self.n_shards) if not self._is_whole(i, manifest["complete"])]
        if found and manifest["complete"]:  # a shard was damaged since
            self.certify(manifest.get("doctor"))
        return found

    def _is_whole(self, number: int, complete: bool) -> bool:
        if number in self._records:
            return True
        path = _record(self.folder, number)
        if not path.exists() and not complete:
            return False
        try:
            record = typed(read_sealed(path), Record)
            names = {_tensors(self.folder, number).name, _table(self.folder, number).name}
            if record.files.keys() != names:
                raise ValueError("it is the record of another shard")
            for name, expected in record.files.items():
                if file_hash(self.folder / name) != expected:
                    raise ValueError(f"{name} is not as it was written")
        except (OSError, ValueError) as error:
            log.warning("%s is made again: %s", path.with_suffix(""), error)
            return False
        changed = None if self.sources is None else _changed(record.samples, self.sources(number))
        if changed and complete:
            raise ArtifactError(
                f"{self.folder} was made from other samples: {changed}. Name another folder, or remove this one."
            )
        if changed:
            log.warning("%s is made again, from the samples as they are now: %s", path.with_suffix(""), changed)
            return False
        self._records[number] = record
        return True

    def write(self, number: int, states: Mapping[int | str, torch.Tensor], rows: Sequence[Row], counts: Counts) -> None:
        """Writes shard `number`: `states` maps a layer to (n_rows, n_features)."""
        lengths = {layer: len(tensor) for layer, tensor in states.items()}
        if any(n != len(rows) for n in lengths.values()):
            raise AssertionError(f"{len(rows)} rows, but states of {lengths}")
        samples = () if self.sources is None else tuple(self.sources(number))
        tensors = {f"layer.{layer}": tensor.contiguous() for layer, tensor in states.items()}
        table = pa.Table.from_pylist([vars(row) for row in rows], schema=SCHEMA)
        paths = _tensors(self.folder, number), _table(self.folder, number)
        with suppress(FileNotFoundError):
            _record(self.folder, number).unlink()
        write_whole(paths[0], lambda path: save_file(tensors, path))
        write_whole(paths[1], lambda path: pq.write_table(table, path))
        record = Record({path.name: file_hash(path) for path in paths}, samples, counts)
        write_sealed(_record(self.folder, number), vars(record))
        self._records[number] = record

    def counts(self) -> Counts:
        """The sum over the shards that are there."""
        return sum((record.counts for _, record in sorted(self._records.items())), Counts())

    def discard(self) -> None:
        """Removes what was written, so that nothing of a run that found nothing stands in the way of the next."""
        self._remove(0)
        (self.folder / MANIFEST).unlink(missing_ok=True)

    def _remove(self, first: int) -> None:
        """Removes the shards from number `first` on."""
        for path in self.folder.glob("part-*.*"):
            if path.stem[5:].isdigit() and int(path.stem[5:]) >= first and path.suffix in (".json", *SUFFIXES):
                path.unlink()

    def finish(self) -> Activations:
        """Writes the final manifest, with the hash of every file as it was written, and opens the folder.

        Raises:
            ArtifactError: a shard is missing.
        """
        if absent := [i for i in range(self.n_shards) if not self._is_whole(i, complete=False)]:
            raise ArtifactError(f"{self.folder} lacks {len(absent)} of {self.n_shards} shards, the first {absent[0]}.")
        manifest = read_manifest(self.folder, KIND)
        if not manifest["complete"]:
            self._remove(self.n_shards)  # those of a run on more samples, which was stopped
            content = {
                "parameters": self.parameters,
                "doctor": manifest.get("doctor"),
                "complete": True,
                "counts": self.counts().as_dict(),
                "n_shards": self.n_shards,
                "files": {
                    name: digest for i in range(self.n_shards) for name, digest in self._records[i].files.items()
                },
            }
            records = [_record(self.folder, i).name for i in range(self.n_shards)]
            manifest = write_manifest(self.folder, KIND, content, records)
        return Activations(self.folder, manifest)


def _check_versions(folder: Path, there: Mapping[str, str]) -> None:
    """Refuses to go on with a run of other versions: half of its states would be theirs."""
    here = versions()
    differing = [f"{n} {there.get(n)} there, {here.get(n)} here" for n in SAME_VERSIONS if there.get(n) != here.get(n)]
    if differing:
        raise ArtifactError(
            f"The run that writes {folder} was begun with other versions: {'; '.join(differing)}. Install those to go "
            "on, or remove the folder and extract again."
        )


def _changed(there: Sequence[tuple[str, str, str]], here: Sequence[tuple[str, str, str]]) -> str | None:
    """How the samples of a shard differ from those that it was made from; None if they do not."""
    if [s[0] for s in there] != [s[0] for s in here]:
        return "they are not the same ones, or in another order"
    images = [a[0] for a, b in zip(there, here, strict=True) if a[1] != b[1]]
    texts = [a[0] for a, b in zip(there, here, strict=True) if a[2] != b[2]]
    found = [
        f"the {what} of {len(ids)}, {ids[0]!r} among them" for what, ids in (("image", images), ("text", texts)) if ids
    ]
    return " and ".join(found) or None


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


def _record(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.json"


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
