"""A folder that is written shard by shard, so that a run which was stopped goes on.

Shard 0 is a few files of one stem (`part-00000.parquet`, …) and its record, `part-00000.json`: the hashes of the files,
and the samples that they were made from, by content. The record is written last. A run goes on at the first shard
without a record, or whose files or samples are not those of its record.

Which samples a shard is made from depends on nothing but the samples and the size of shards. So several processes may
share the shards of one folder, each its own part of them (`Part`): the folder is the same as if one had made them all.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from vitrail.artifacts.files import file_hash, is_as_written, present, remove, write_whole
from vitrail.artifacts.lock import moment
from vitrail.artifacts.manifest import (
    AGAIN,
    MANIFEST,
    check_free,
    read_manifest,
    same_run,
    versions,
    write_manifest,
)
from vitrail.artifacts.values import plain, read_sealed, typed, write_sealed
from vitrail.errors import ArtifactError

log = logging.getLogger(__name__)

#: What must be the same in all shards of a folder, beside the parameters: other versions may give other results.
SAME_VERSIONS = ("torch", "transformers")


@dataclass(frozen=True)
class Counts:
    """What became of the samples of a shard, or of all.

    Args:
        scanned: how many samples were looked at.
        kept: how many rows were kept.
        without_word: how many samples lack the word.
        unreadable: (id, reason) of the samples whose image cannot be read.
        without_state: how many samples have the word, but none of the positions to read.
    """

    scanned: int = 0
    kept: int = 0
    without_word: int = 0
    unreadable: tuple[tuple[str, str], ...] = ()
    without_state: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.scanned + other.scanned,
            self.kept + other.kept,
            self.without_word + other.without_word,
            self.unreadable + other.unreadable,
            self.without_state + other.without_state,
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "scanned": self.scanned,
            "kept": self.kept,
            "without_word": self.without_word,
            "unreadable": [list(pair) for pair in self.unreadable],
            "without_state": self.without_state,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Counts:
        """The counts in a manifest.

        Raises:
            ValueError: one is missing, or of another type.
        """
        for name in ("scanned", "kept", "without_word", "unreadable"):  # `without_state` is newer than version 0.1.0
            if name not in values:
                raise ValueError(f"`counts` lacks `{name}`")
        return typed(values, cls)


@dataclass(frozen=True)
class Record:
    """What a shard is made of.

    Args:
        files: name → sha256 of its files.
        samples: of every sample its id, and the digests of its image and of its texts (`Sample.digests`).
        counts: what became of the samples.
        words: word → how many rows it has, in a folder of many words.
    """

    files: dict[str, str]
    samples: tuple[tuple[str, str, str], ...]
    counts: Counts
    words: dict[str, int] = field(default_factory=dict)


#: The number of a shard → the samples that it is made from, as its record names them.
Sources = Callable[[int], Sequence[tuple[str, str, str]]]


@dataclass(frozen=True)
class Part:
    """Which part of the shards a process makes: every `world_size`-th, from number `rank` on."""

    rank: int
    world_size: int

    def numbers(self, n_shards: int) -> range:
        """The numbers of its shards."""
        return range(self.rank, n_shards, self.world_size)


@dataclass(frozen=True)
class Run:
    """A run that writes a folder of shards.

    Args:
        kind: of the artifact.
        parameters: what it is made with.
        n_shards: how many there will be.
        suffixes: the endings of a shard's files, beside its record.
        sources: the samples of each shard; those of a shard that is there must be the same. None compares no samples.
        parents: kind → what it is made from.
        part: the shards that this process makes, where several share them; None for all.
        data: what was read of the samples' source; it decides nothing.
    """

    kind: str
    parameters: dict[str, Any]
    n_shards: int
    suffixes: tuple[str, ...]
    sources: Sources | None = None
    parents: dict[str, Any] = field(default_factory=dict)
    part: Part | None = None
    data: dict[str, Any] | None = None


class Shards:
    """A folder being written: `write_files` one shard after the other, then `finish_files`.

    Args:
        folder: made where it is missing.
        run: what is written there.

    Raises:
        ArtifactError: the folder is of another run; what differs is named.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder, self.run = folder, run
        self._records: dict[int, Record] = {}  # of the shards that are known to be whole
        with nullcontext() if run.part is None else moment(folder):
            if not (folder / MANIFEST).exists():
                check_free(folder, run.kind)
                self._begin(None)
                return
            manifest = read_manifest(folder, run.kind)
            same_run(folder, manifest, run.parameters)
            if manifest["complete"]:
                return
            _check_versions(folder, manifest["versions"], AGAIN[run.kind])
            there = manifest.get("world_size")
            if run.part is not None and there is None:
                self._begin(manifest.get("doctor"), manifest.get("batch_size"))
            elif run.part is not None and there != run.part.world_size:
                raise ArtifactError(
                    f"{folder} was begun with --world-size {there}; here it is {run.part.world_size}. Give every rank "
                    "the same; or run the command without ranks, which makes whatever is missing."
                )

    def _manifest(self) -> dict[str, Any]:
        return read_manifest(self.folder, self.run.kind)

    @property
    def complete(self) -> bool:
        return bool(self._manifest()["complete"])

    @property
    def certificate(self) -> dict[str, Any] | None:
        """What the doctor found of the model that fills the folder; None before it was asked."""
        return self._manifest().get("doctor")

    @property
    def batch_size(self) -> int | None:
        """The batch size that was found for the run; None where it was given, or is not known yet."""
        return self._manifest().get("batch_size")

    def certify(self, certificate: Mapping[str, Any] | None, batch_size: int | None = None) -> None:
        """Writes the manifest of a run that goes on, with what the doctor found of the model that fills the folder, and
        the batch size that was found for it."""
        with nullcontext() if self.run.part is None else moment(self.folder):
            self._begin(certificate, batch_size)

    def _begin(self, certificate: Mapping[str, Any] | None, batch_size: int | None = None) -> None:
        part = {} if self.run.part is None else {"world_size": self.run.part.world_size}
        size = {} if batch_size is None else {"batch_size": batch_size}
        unfinished = {"doctor": plain(certificate), "complete": False, "n_shards": self.run.n_shards, **size, **part}
        write_manifest(self.folder, self.run.kind, {**self._content, **unfinished})

    @property
    def _content(self) -> dict[str, Any]:
        data = {} if self.run.data is None else {"data": self.run.data}
        return {"parameters": self.run.parameters, "parents": self.run.parents, **data}

    def missing(self) -> list[int]:
        """Numbers of the shards of this process that are still to be written, or to be written again: each file of the
        others is as it was written, and made from the very same samples.

        Raises:
            ArtifactError: the run has finished, and the samples are others now.
        """
        manifest = self._manifest()
        found = [i for i in self.own() if not self._is_whole(i, manifest["complete"])]
        if found and manifest["complete"]:  # a shard was damaged since
            self.certify(manifest.get("doctor"), manifest.get("batch_size"))
        return found

    def own(self) -> range:
        """Numbers of the shards that this process makes: all, or those of its part."""
        return range(self.run.n_shards) if self.run.part is None else self.run.part.numbers(self.run.n_shards)

    def _is_whole(self, number: int, complete: bool) -> bool:
        if number in self._records:
            return True
        path = shard_file(self.folder, number, ".json")
        if not path.exists() and not complete:
            return False
        try:
            record = typed(read_sealed(path), Record)
            if record.files.keys() != {shard_file(self.folder, number, suffix).name for suffix in self.run.suffixes}:
                raise ValueError("it is the record of another shard")
            for name, expected in record.files.items():
                if not is_as_written(self.folder / name, expected):
                    raise ValueError(f"{name} is not as it was written")
        except (OSError, ValueError) as error:
            log.warning("%s is made again: %s", path.with_suffix(""), error)
            return False
        changed = None if self.run.sources is None else _changed(record.samples, self.run.sources(number))
        if changed and complete:
            raise ArtifactError(
                f"{self.folder} was made from other samples: {changed}. Name another folder, or remove this one."
            )
        if changed:
            log.warning("%s is made again, from the samples as they are now: %s", path.with_suffix(""), changed)
            return False
        self._records[number] = record
        return True

    def write_files(
        self,
        number: int,
        writers: Mapping[str, Callable[[Path], None]],
        counts: Counts,
        words: Mapping[str, int] | None = None,
    ) -> None:
        """Writes shard `number`: `writers` maps the ending of each of its files to what writes it."""
        samples = () if self.run.sources is None else tuple(self.run.sources(number))
        self._write(number, writers, Record({}, samples, counts, dict(words or {})))

    def take(self, number: int, other: Shards) -> None:
        """Copies shard `number` of another folder of the same run, which must be whole there.

        Raises:
            ArtifactError: the copy is not what was written there.
        """
        there = other._records[number]
        writers = {
            suffix: partial(shutil.copyfile, present(shard_file(other.folder, number, suffix)))
            for suffix in self.run.suffixes
        }
        self._write(number, writers, there)
        if self._records[number] != there:
            raise ArtifactError(f"Shard {number} of {other.folder} changed while it was copied. Run the same again.")

    def _write(self, number: int, writers: Mapping[str, Callable[[Path], Any]], about: Record) -> None:
        """Writes the files of a shard, and its record; `about` is what that says beside their hashes."""
        paths = {shard_file(self.folder, number, suffix): write for suffix, write in writers.items()}
        record = shard_file(self.folder, number, ".json")
        remove(record)
        for path, write in paths.items():
            write_whole(path, write)
        made = replace(about, files={path.name: file_hash(path) for path in paths})
        write_sealed(record, vars(made))
        self._records[number] = made

    def records(self) -> list[Record]:
        """Those of the shards that are there, in order."""
        return [record for _, record in sorted(self._records.items())]

    def counts(self) -> Counts:
        """The sum over the shards that are there."""
        return sum((record.counts for record in self.records()), Counts())

    def discard(self) -> None:
        """Removes what was written, so that nothing of a run that found nothing stands in the way of the next."""
        self._remove(0)
        remove(self.folder / MANIFEST)

    def _remove(self, first: int) -> None:
        """Removes the shards from number `first` on."""
        for path in self.folder.glob("part-*.*"):
            if path.stem[5:].isdigit() and int(path.stem[5:]) >= first and path.suffix in (".json", *self.run.suffixes):
                remove(path)

    def finish_files(self, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Writes the final manifest, with the hash of every file as it was written, and gives it.

        Args:
            more: what else the manifest says.

        Raises:
            ArtifactError: a shard is missing.
        """
        n = self.run.n_shards
        if absent := [i for i in range(n) if not self._is_whole(i, complete=False)]:
            raise ArtifactError(f"{self.folder} lacks {len(absent)} of {n} shards, the first {absent[0]}.")
        manifest = self._manifest()
        if manifest["complete"]:
            return manifest
        self._remove(n)  # those of a run on more samples, which was stopped
        content = {
            **self._content,
            "doctor": manifest.get("doctor"),
            **({"batch_size": manifest["batch_size"]} if "batch_size" in manifest else {}),
            "complete": True,
            "counts": self.counts().as_dict(),
            "n_shards": n,
            **(more or {}),
            "files": {name: digest for record in self.records() for name, digest in record.files.items()},
        }
        records = [shard_file(self.folder, i, ".json").name for i in range(n)]
        return write_manifest(self.folder, self.run.kind, content, records)


class Writer:
    """Writes one thing after the other in a thread, while the caller makes the next one. At most one waits: a second
    `write` first waits for the one before, and raises what that raised. The `with` block ends when all is written."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "vitrail-write")
        self._last: Future[None] | None = None

    def __enter__(self) -> Writer:
        return self

    def write(self, what: Callable[[], None]) -> None:
        """Calls `what` in the thread."""
        self._wait()
        self._last = self._thread.submit(what)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            self._wait()


def shard_file(folder: Path, number: int, suffix: str) -> Path:
    """The file of shard `number` with that ending."""
    return folder / f"part-{number:05d}{suffix}"


def _check_versions(folder: Path, there: Mapping[str, str], again: str) -> None:
    """Refuses to go on with a run of other versions: half of its results would be theirs."""
    here = versions()
    differing = [f"{n} {there.get(n)} there, {here.get(n)} here" for n in SAME_VERSIONS if there.get(n) != here.get(n)]
    if differing:
        raise ArtifactError(
            f"The run that writes {folder} was begun with other versions: {'; '.join(differing)}. Install those to go "
            f"on, or remove the folder and run `{again}` again."
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
