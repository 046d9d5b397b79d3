"""A reference: how a word's concepts are active in samples that nothing was learned from, to compare others with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from vitrail.artifacts import (
    MANIFEST,
    check_free,
    file_hash,
    manifest_of,
    one_writer,
    parent,
    read_finished,
    read_tensors,
    write_manifest,
    write_whole,
)
from vitrail.errors import DataError
from vitrail.lmm import LMM, Layer
from vitrail.monitoring.live import monitor
from vitrail.monitoring.observation import Observation
from vitrail.monitoring.options import MonitorOptions, ReferenceOptions
from vitrail.monitoring.streams import Streams
from vitrail.notebook import Picture, Shown, View, bars
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.scores.drift import Detectable, binned, detectable, edges
from vitrail.studies import Study
from vitrail.words.captions import frequent_among, words_said

KIND = "reference"
VALUES, ROWS = "values.safetensors", "rows.parquet"
#: A reference of fewer answers is refused: it could tell hardly any change.
FEWEST = 50
_BATCH = 32


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of a reference has."""

    parameters: ReferenceOptions
    word: str
    layer: Layer
    titles: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Reference(Shown):
    """A reference, opened.

    Args:
        folder: where it lies.
        manifest: what made it.
        values: (n, streams), see `Streams.values`.
        captions: n, what was said; None where texts were not kept.
        samples: n ids, None where they are not known.
        thumbnails: n, None where images were not kept.
    """

    folder: Path
    manifest: dict[str, Any]
    values: np.ndarray
    captions: tuple[str | None, ...]
    samples: tuple[str | None, ...]
    thumbnails: tuple[bytes | None, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def word(self) -> str:
        """The word of the study."""
        return self.manifest["word"]

    @property
    def layer(self) -> Layer:
        """The layer of its concepts."""
        return self.manifest["layer"]

    @cached_property
    def streams(self) -> Streams:
        """What is compared."""
        return Streams(tuple(self.manifest["titles"]), tuple(self.manifest["words"]))

    @cached_property
    def edges(self) -> np.ndarray:
        """(streams, bins − 1), the inner edges of the bins: quantiles of the reference."""
        return edges(self.values)

    @cached_property
    def bins(self) -> np.ndarray:
        """(streams, bins), how many values of the reference each bin has."""
        return binned(self.values, self.edges)

    @cached_property
    def digest(self) -> str:
        """The hash of its manifest, which tells it from every other."""
        return file_hash(self.folder / MANIFEST)

    def detectable(self, window: int = 300) -> Detectable:
        """The smallest changes that a window of so many observations shows against it in 95 % of cases."""
        return detectable(len(self), window, len(self.streams.all))

    def _shown(self) -> View:
        values = self.values.astype(float)
        rates = bars((values > 0).mean(axis=0).tolist(), "{:.0%}")
        rows = tuple(zip(map(str, self.streams.all), rates, values.mean(axis=0).tolist(), strict=True))
        pictures = tuple(Picture(t, c or "") for t, c in zip(self.thumbnails, self.captions, strict=True) if t)
        about = f"of {len(self)} answers that say “{self.word}”, layer {self.layer}"
        return View("Reference", about, ("stream", "active in", "mean"), rows, pictures)

    def is_about(self, observation: Observation) -> bool:
        """Whether an observation is of its word and layer, of an ordinary state."""
        return (observation.word, observation.layer, observation.ordinary) == (self.word, self.layer, True)


def fit_reference(
    study: Study,
    lmm: LMM,
    samples: Sequence[Sample],
    *,
    out: str | Path,
    options: ReferenceOptions | None = None,
    another_model: bool = False,
    progress: Progress = silent,
) -> Reference:
    """A reference from what the model says of `samples` that nothing was learned from.

    Samples are asked about until enough answers say the word.

    Args:
        study: the study of the word.
        samples: like those that the model will meet at work.
        out: the folder to write.
        another_model: see `MonitorOptions`.

    Raises:
        DataError: concepts were learned from a sample, or too few answers say the word.
        ArtifactError: `out` holds something else, or the study was made with another model.
    """
    options = options or ReferenceOptions()
    check_free(Path(out), "reference")
    found: list[Observation] = []
    settings = MonitorOptions(every=_BATCH, another_model=another_model)
    with monitor(lmm, study, sink=found.extend, options=settings) as watching:
        for start in range(0, len(samples), _BATCH):
            watching.caption(samples[start : start + _BATCH])
            progress("reference", min(len(found), options.n_samples), options.n_samples)
            if sum(o.ordinary for o in found) >= options.n_samples:
                break
    return reference_of(study, found, out=out, options=options)


@one_writer
def reference_of(
    study: Study, observations: Sequence[Observation], *, out: str | Path, options: ReferenceOptions | None = None
) -> Reference:
    """A reference from observations that were made before, such as those of a week in which all was well.

    Args:
        observations: of the study's word and layer; others, and those of attention sinks, are left out.

    Raises:
        DataError: concepts were learned from a sample, or there are too few.
        ArtifactError: `out` holds something else.
    """
    options, out = options or ReferenceOptions(), Path(out)
    check_free(out, "reference")
    word, layer = study.activations.word.text, study.learned.layer
    own = [o for o in observations if (o.word, o.layer, o.ordinary) == (word, layer, True)][: options.n_samples]
    check_unlearned(study, own)
    if len(own) < FEWEST:
        raise DataError(
            f"A reference needs at least {FEWEST} answers that say {word!r}; {len(own)} do. Give more samples."
        )
    streams = Streams(tuple(study.titles), _frequent_words(study, own, options))
    tensors = {"values": streams.values(own)}
    write_whole(out / VALUES, lambda path: save_file(tensors, path))
    rows = [{"sample": o.sample, "caption": o.caption, "thumbnail": o.thumbnail, "time": o.time} for o in own]
    write_whole(out / ROWS, lambda path: pq.write_table(pa.Table.from_pylist(rows, _COLUMNS), path))
    content = {
        "parameters": asdict(options),
        "parents": {"concepts": parent(study.learned.folder)},
        "word": word,
        "layer": layer,
        "titles": list(streams.titles),
        "words": list(streams.words),
    }
    write_manifest(out, KIND, content, [VALUES, ROWS])
    return open_reference(out)


def _frequent_words(study: Study, own: Sequence[Observation], options: ReferenceOptions) -> tuple[str, ...]:
    """The words to watch: frequent ones, which not all captions have."""
    said = words_said([o.caption] if o.caption is not None else [] for o in own)
    fewest = max(1, math.ceil(options.fewest * len(own)))
    known = frequent_among(said, study.activations.word, options.language, fewest)
    common = [word for word in known if sum(word in words for words in said) <= len(own) - fewest]
    return tuple(common[: options.n_words])


def check_unlearned(study: Study, observations: Sequence[Observation]) -> None:
    """Raises `DataError` if the study's concepts were learned from one of the observations.

    By the image; where an observation has none, by the id of its sample.
    """
    rows = study.activations.rows
    images, ids = {row.thumbnail for row in rows if row.thumbnail}, {row.sample_id for row in rows}
    seen = [
        o.sample or "?"
        for o in observations
        if (o.thumbnail in images if o.thumbnail is not None and images else o.sample in ids)
    ]
    if seen:
        raise DataError(
            f"The concepts were learned from {len(seen)} of {len(observations)} samples, {seen[0]!r} among them. Their "
            "activations are unlike those of any new sample, so they are no reference. Give other samples (--split)."
        )


_COLUMNS = pa.schema(
    [("sample", pa.string()), ("caption", pa.string()), ("thumbnail", pa.binary()), ("time", pa.float64())]
)


def open_reference(folder: str | Path) -> Reference:
    """The reference in `folder`.

    Raises:
        ArtifactError: missing or damaged.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "vitrail monitor fit")
    values = read_tensors(folder / VALUES, ("values",), "vitrail monitor fit")["values"]
    rows = pq.read_table(folder / ROWS).to_pylist()
    columns = ([row[name] for row in rows] for name in ("caption", "sample", "thumbnail"))
    return Reference(folder, manifest, values, *map(tuple, columns))


def as_reference(reference: Reference | str | Path) -> Reference:
    """`reference` itself, or the one in that folder."""
    return open_reference(reference) if isinstance(reference, str | Path) else reference
