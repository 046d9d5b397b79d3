"""Moments of states: means, covariances or Gram matrices by word and layer, accumulated in one pass; no state is kept.

A folder holds `moments.safetensors` and a manifest. While a run goes on, the file holds the sums over the shards that
are done, how many these are and what they were made from; so a run that was stopped goes on after them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vitrail.activations.options import word_from_manifest
from vitrail.artifacts import (
    MANIFEST,
    Counts,
    Sources,
    check_free,
    manifest_of,
    plain,
    present,
    read_finished,
    read_manifest,
    same_run,
    write_manifest,
    write_whole,
)
from vitrail.artifacts.files import remove
from vitrail.errors import ArtifactError, UsageError
from vitrail.lmm import ModelDescription
from vitrail.lmm.options import Layer
from vitrail.notebook import Shown, View
from vitrail.scores.moments import REDUCERS, Reducer, check_reducers
from vitrail.words import Word

log = logging.getLogger(__name__)

KIND = "moments"
FILE = "moments.safetensors"
#: (word, layer by its own name, name of the reducer).
Key = tuple[str, Layer, str]


@dataclass(frozen=True)
class _Parameters:
    """What moments are of."""

    words: tuple[Word, ...]
    layers: tuple[Layer, ...]
    reduce: tuple[str, ...]
    model: dict[str, Any]

    def __post_init__(self) -> None:
        check_reducers(self.reduce)
        ModelDescription.from_dict(self.model)


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of moments has."""

    parameters: _Parameters
    counts: dict[str, Any]

    def __post_init__(self) -> None:
        Counts.from_dict(self.counts)


@dataclass(frozen=True)
class Moments(Shown):
    """What is known of the states of words: `of("dog", 8, "covariance")` is a `scores.moments.Reducer`.

    Args:
        folder: where it lies.
        manifest: its own.
    """

    folder: Path
    manifest: dict[str, Any]

    @property
    def words(self) -> tuple[Word, ...]:
        """The words, in order."""
        return tuple(map(word_from_manifest, self.manifest["parameters"]["words"]))

    @property
    def layers(self) -> list[Layer]:
        """The layers, by their own names."""
        return self.manifest["parameters"]["layers"]

    @property
    def reducers(self) -> list[str]:
        """What was accumulated, by the names of `scores.moments.REDUCERS`."""
        return self.manifest["parameters"]["reduce"]

    @property
    def counts(self) -> Counts:
        """What became of the samples; `kept` counts states, so a sample counts once for each of its words."""
        return Counts.from_dict(self.manifest["counts"])

    @cached_property
    def _found(self) -> dict[Key, Reducer]:
        return _read(self.folder / FILE)[0]

    def of(self, word: str | None = None, layer: Layer | None = None, reducer: str | None = None) -> Reducer:
        """What is known of the states of `word` at `layer`; each may be None where there is one.

        Raises:
            UsageError: it was not accumulated, or there are several; what there is is named.
        """
        words = [one.text for one in self.words]
        key = (_only(word, words), _only(layer, self.layers), _only(reducer, self.reducers))
        if key not in self._found:
            raise UsageError(
                f"{self.folder} holds no moments of {key}; it has words {', '.join(words[:8])}, layers "
                f"{', '.join(map(str, self.layers))}, and {', '.join(self.reducers)}."
            )
        return self._found[key]

    def n(self, word: str) -> int:
        """How many states of `word` there were."""
        key = (word, self.layers[0], self.reducers[0])
        return self._found[key].n if key in self._found else 0

    def _shown(self) -> View:
        about = f"({', '.join(self.reducers)}) of {len(self.words)} words, layers {self.layers}"
        return View("Moments", about, ("word", "states"), tuple((w.text, self.n(w.text)) for w in self.words))


def open_moments(folder: str | Path) -> Moments:
    """The moments in `folder`, which must be complete and whole.

    Raises:
        ArtifactError: missing, incomplete, damaged or newer.
    """
    folder = Path(folder)
    return Moments(folder, read_finished(folder, KIND, "extract"))


class Sums:
    """A folder of moments being made: `add` the states of one shard after the other, from number `done` on.

    Args:
        folder: made where it is missing.
        parameters: of the run; `reduce` are the names of what is accumulated.
        sources: the samples of each shard; sums over others are made again.
        n_shards: how many there will be.
        parents: kind → what the states are made from, beside samples and model.
        data: what was read of the samples' source; it decides nothing.

    Raises:
        ArtifactError: the folder is of another run, or a finished one was made from other samples.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Mapping[str, Any],
        sources: Sources,
        n_shards: int,
        parents: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.sources = folder, sources
        self.content = {"parameters": plain(parameters), "parents": dict(parents or {})}
        if data is not None:
            self.content["data"] = dict(data)
        self.done, self.counts, self._digest = 0, Counts(), ""
        self._found: dict[Key, Reducer] = {}
        if not (folder / MANIFEST).exists():
            check_free(folder, KIND)
            self.certify(None)
            return
        manifest = read_manifest(folder, KIND)
        same_run(folder, manifest, self.content["parameters"])
        self._take_up(bool(manifest["complete"]), n_shards)

    def _take_up(self, complete: bool, n_shards: int) -> None:
        """Goes on with the sums that are there, if they are of the same samples."""
        try:
            found, told = _read(self.folder / FILE)
        except ArtifactError as error:
            if (self.folder / FILE).exists():
                log.warning("the moments are made again: %s", error)
            return
        digest = ""
        for number in range(min(told["done"], n_shards)):
            digest = self._after(digest, number)
        if told["sources"] == digest:
            self._found, self.done, self.counts = found, told["done"], Counts.from_dict(told["counts"])
            self._digest = digest
        elif complete:
            raise ArtifactError(f"{self.folder} was made from other samples. Name another folder, or remove this one.")
        else:
            log.warning("the moments in %s are made again: the samples are others now", self.folder)

    def _after(self, digest: str, number: int) -> str:
        """The digest of the samples of all shards up to `number`, from that of those before it."""
        return hashlib.sha256(json.dumps([digest, self.sources(number)]).encode()).hexdigest()

    @property
    def certificate(self) -> dict[str, Any] | None:
        """What the doctor found of the model; None before it was asked."""
        return read_manifest(self.folder, KIND).get("doctor")

    @property
    def batch_size(self) -> int | None:
        """The batch size that was found for the run; None where it was given, or is not known yet."""
        return read_manifest(self.folder, KIND).get("batch_size")

    def certify(self, certificate: Mapping[str, Any] | None, batch_size: int | None = None) -> None:
        """Writes the manifest of a run that goes on, with what the doctor found of the model, and the batch size."""
        self._write_manifest(certificate, batch_size, {"complete": False})

    def _write_manifest(
        self, certificate: Any, batch_size: int | None, more: Mapping[str, Any], files: Sequence[str] = ()
    ) -> dict[str, Any]:
        found = {"doctor": plain(certificate), **({} if batch_size is None else {"batch_size": batch_size})}
        return write_manifest(self.folder, KIND, {**self.content, **found, **more}, files)

    def add(self, states: Mapping[tuple[str, Layer], np.ndarray], counts: Counts) -> None:
        """Adds the states (n, d) of the next shard, by word and layer, and writes the sums."""
        for (word, layer), Z in states.items():
            for name in self.content["parameters"]["reduce"]:
                found, there = REDUCERS[name].of(Z), self._found.get((word, layer, name))
                self._found[word, layer, name] = found if there is None else there.merged(found)
        self._digest = self._after(self._digest, self.done)
        self.done, self.counts = self.done + 1, self.counts + counts
        told = {"done": self.done, "sources": self._digest, "counts": self.counts.as_dict()}
        write_whole(self.folder / FILE, partial(_write, self._found, told))

    def finish(self) -> Moments:
        """Writes the final manifest and opens the folder."""
        more = {"complete": True, "counts": self.counts.as_dict()}
        return Moments(self.folder, self._write_manifest(self.certificate, self.batch_size, more, [FILE]))

    def discard(self) -> None:
        """Removes what was written, so that nothing of a run that found nothing stands in the way of the next."""
        for name in (FILE, MANIFEST):
            remove(self.folder / name)


def _only(given: Any, there: Sequence[Any]) -> Any:
    """What was given; the only one that there is for None."""
    return there[0] if given is None and len(there) == 1 else given


def _write(found: Mapping[Key, Reducer], told: Mapping[str, Any], path: Path) -> None:
    tensors = {
        json.dumps([*key, name]): np.ascontiguousarray(array)
        for key, reducer in found.items()
        for name, array in reducer.arrays().items()
    }
    save_file(tensors, path, {"vitrail": json.dumps(told)})


def _read(path: Path) -> tuple[dict[Key, Reducer], dict[str, Any]]:
    """The sums in a file, and what it tells of them."""
    arrays: dict[Key, dict[str, np.ndarray]] = {}
    try:
        with safe_open(present(path), framework="np") as file:
            told = json.loads(file.metadata()["vitrail"])
            for key in file.keys():  # noqa: SIM118 – it is no mapping
                word, layer, name, array = json.loads(key)
                arrays.setdefault((word, layer, name), {})[array] = file.get_tensor(key)
        return {key: REDUCERS[key[2]].from_arrays(of_key) for key, of_key in arrays.items()}, told
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} is damaged or missing ({error}). Remove {path.parent} and extract again."
        ) from error


def by_word(words: Sequence[str], layers: Mapping[Layer, np.ndarray]) -> dict[tuple[str, Layer], np.ndarray]:
    """The states of each word and layer, of rows of which `words` names the word each."""
    rows = np.array(words, dtype=object)
    return {(word, layer): Z[rows == word] for layer, Z in layers.items() for word in dict.fromkeys(words)}
