"""Summaries of observations that add up: those of two replicas, or of two windows, merge to that of both."""

from __future__ import annotations

import heapq
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from vitrail.artifacts import check_covered, plain, write_covering, write_whole
from vitrail.errors import ArtifactError, UsageError
from vitrail.lmm import Layer
from vitrail.monitoring.observation import Observation
from vitrail.monitoring.reference import Reference
from vitrail.monitoring.streams import Stream
from vitrail.samples import thumbnail
from vitrail.scores.drift import WindowTest, binned

#: So many of the strongest samples of each concept are kept, and the images of the first few of them.
TOP, PICTURED = 5, 2
#: The width of these images.
SIDE = 40
#: The size of a sketch: quantiles are within about 2.5 % of the rank.
SKETCH = 128

T = TypeVar("T", bound="Summary")


@dataclass(frozen=True, order=True)
class Top:
    """One of the strongest samples of a concept; ordered by strength, then by time and sample, so that merging does not
    depend on the order."""

    strength: float
    time: float
    sample: str
    caption: str
    thumbnail: bytes


@dataclass(frozen=True)
class Summary:
    """What was observed of one word and layer in a window of time.

    Args:
        word: of the study.
        layer: of its concepts.
        reference: the digest of the reference that decides the streams and the bins.
        streams: the names of the streams; all that follows is in their order.
        start: of the first observation, in seconds since 1970; infinite for an empty summary.
        end: of the last one; minus infinity for an empty summary.
        outliers: how many observations of attention sinks were left out.
        n: how many observations.
        active: (streams,) values above 0.
        sums: (streams,) of the values.
        squares: (streams,) of their squares.
        bins: (streams, bins), at the quantiles of the reference; see `scores.drift.edges`.
        sketches: of each concept and the novelty, a KLL sketch (Karnin, Lang & Liberty 2016) of its values, serialised.
        top: of each concept, its strongest samples.
        tags: those that all observations share.
    """

    word: str
    layer: Layer
    reference: str
    streams: tuple[Stream, ...]
    start: float
    end: float
    outliers: int
    n: int
    active: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    bins: np.ndarray
    sketches: tuple[bytes, ...]
    top: tuple[tuple[Top, ...], ...]
    tags: dict[str, str]

    def __len__(self) -> int:
        return self.n

    @classmethod
    def of(cls: type[T], observations: Sequence[Observation], reference: Reference, *, images: bool = True) -> T:
        """The summary of those of `observations` that are about the reference's word and layer.

        Raises:
            UsageError: datasketches is not installed.
        """
        sketch = sketches()
        about = [o for o in observations if (o.word, o.layer) == (reference.word, reference.layer)]
        own = [o for o in about if o.ordinary]
        values = reference.streams.values(own)
        wide = values.astype(np.float64)
        K = len(reference.streams.titles)
        made = []
        for column in values[:, : K + 1].T:
            one = sketch(SKETCH)
            one.update(np.ascontiguousarray(column))
            made.append(one.serialize())
        times = [o.time for o in about]
        return cls(
            word=reference.word,
            layer=reference.layer,
            reference=reference.digest,
            streams=reference.streams.all,
            start=min(times, default=np.inf),
            end=max(times, default=-np.inf),
            outliers=len(about) - len(own),
            n=len(own),
            active=(values > 0).sum(axis=0),
            sums=wide.sum(axis=0),
            squares=(wide**2).sum(axis=0),
            bins=binned(values, reference.edges),
            sketches=tuple(made),
            top=tuple(_strongest(own, k, images) for k in range(K)),
            tags=dict(set.intersection(*(set(o.tags.items()) for o in about))) if about else {},
        )

    def __add__(self: T, other: T) -> T:
        """The summary of both.

        Raises:
            UsageError: they are of another word, layer or reference.
        """
        for name in ("word", "layer", "reference"):
            if getattr(self, name) != getattr(other, name):
                mine, theirs = getattr(self, name), getattr(other, name)
                raise UsageError(f"Summaries of another {name} cannot be merged: {mine!r} and {theirs!r}.")
        sketch = sketches()
        merged = []
        for a, b in zip(self.sketches, other.sketches, strict=True):
            one = sketch.deserialize(a)
            one.merge(sketch.deserialize(b))
            merged.append(one.serialize())
        both = {name: getattr(self, name) + getattr(other, name) for name in _ADDED}
        empty = [s for s in (self, other) if not len(s) and not s.outliers]
        shared = dict(self.tags.items() & other.tags.items())
        return replace(
            self,
            start=min(self.start, other.start),
            end=max(self.end, other.end),
            sketches=tuple(merged),
            top=tuple(_first([*a, *b]) for a, b in zip(self.top, other.top, strict=True)),
            tags=({**self.tags, **other.tags} if empty else shared),
            **both,
        )

    @property
    def rates(self) -> np.ndarray:
        """(streams,), the share of values above 0."""
        return self.active / max(self.n, 1)

    @property
    def means(self) -> np.ndarray:
        """(streams,)"""
        return self.sums / max(self.n, 1)

    def quantiles(self, stream: int, at: Sequence[float]) -> list[float]:
        """The quantiles of a concept, or of the novelty, by its sketch."""
        return [float(v) for v in sketches().deserialize(self.sketches[stream]).get_quantiles(list(at))]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without sketches and images."""
        rows = zip(self.streams, self.rates, self.means, self.bins, strict=True)
        return plain(
            {
                **{
                    name: getattr(self, name)
                    for name in ("word", "layer", "reference", "start", "end", "n", "outliers")
                },
                "tags": self.tags,
                "streams": [
                    {"kind": s.kind, "name": s.name, "concept": s.concept, "rate": r, "mean": m, "bins": b}
                    for s, r, m, b in rows
                ],
            }
        )


_HEADS = ("word", "layer", "reference", "start", "end", "n", "outliers", "tags")
_ADDED = ("n", "outliers", "active", "sums", "squares", "bins")


def sketches() -> Any:
    """The class of KLL sketches.

    Raises:
        UsageError: datasketches is not installed.
    """
    try:
        from datasketches import kll_floats_sketch
    except ImportError as error:
        raise UsageError("Summaries need datasketches: pip install 'vitrail[monitor]'.") from error
    return kll_floats_sketch


def merge(summaries: Iterable[Summary]) -> Summary:
    """The summary of all of them together, whatever their order.

    Raises:
        UsageError: there is none, or they are of another word, layer or reference.
    """
    several = list(summaries)
    if not several:
        raise UsageError("There are no summaries to merge.")
    total = several[0]
    for one in several[1:]:
        total = total + one
    return total


def _first(candidates: Iterable[Top]) -> tuple[Top, ...]:
    """The strongest, in order; the images of the first few alone."""
    best = heapq.nlargest(TOP, set(candidates))
    return tuple(one if i < PICTURED else replace(one, thumbnail=b"") for i, one in enumerate(best))


def _strongest(own: Sequence[Observation], concept: int, images: bool) -> tuple[Top, ...]:
    best = heapq.nlargest(TOP, (o for o in own if o.strengths[concept] > 0), key=lambda o: o.strengths[concept])
    return _first(
        Top(o.strengths[concept], o.time, o.sample or "", o.caption or "", _small(o.thumbnail) if images else b"")
        for o in best
    )


def _small(picture: bytes | None) -> bytes:
    return b"" if picture is None else thumbnail(Image.open(io.BytesIO(picture)), SIDE)


# ---- on disk ---------------------------------------------------------------------------------------------------------

_HEAD = b"vitrail.summary"


def write_summary(summary: Summary, path: Path, test: WindowTest | None = None) -> None:
    """Writes a summary as Parquet, a row for each stream, to `path`; beside it, as JSON, its figures and its test."""
    K = len(summary.top)
    rows = [
        {
            "kind": stream.kind,
            "name": stream.name,
            "concept": stream.concept,
            **{name: getattr(summary, name)[i].item() for name in ("active", "sums", "squares")},
            "bins": summary.bins[i].tolist(),
            "sketch": summary.sketches[i] if i <= K else None,
            "top": [vars(top) for top in summary.top[i]] if i < K else [],
        }
        for i, stream in enumerate(summary.streams)
    ]
    head = {name: getattr(summary, name) for name in _HEADS}
    table = pa.Table.from_pylist(rows, _COLUMNS).replace_schema_metadata({_HEAD: json.dumps(head).encode()})
    path.with_suffix(".json").unlink(missing_ok=True)
    write_whole(path, lambda partial: pq.write_table(table, partial, compression="zstd"))
    write_covering(path.with_suffix(".json"), {**summary.as_dict(), "test": test})


_COLUMNS = pa.schema(
    [
        ("kind", pa.string()),
        ("name", pa.string()),
        ("concept", pa.int64()),
        ("active", pa.int64()),
        ("sums", pa.float64()),
        ("squares", pa.float64()),
        ("bins", pa.list_(pa.int64())),
        ("sketch", pa.binary()),
        (
            "top",
            pa.list_(
                pa.struct(
                    [
                        ("strength", pa.float64()),
                        ("time", pa.float64()),
                        ("sample", pa.string()),
                        ("caption", pa.string()),
                        ("thumbnail", pa.binary()),
                    ]
                )
            ),
        ),
    ]
)


def read_summary(path: str | Path) -> Summary:
    """The summary in a file by `write_summary`.

    Raises:
        ArtifactError: it is missing, damaged, or no summary.
    """
    check_covered(Path(path), "summarise")
    try:
        table = pq.read_table(path, schema=_COLUMNS)
        head = json.loads((pq.read_schema(path).metadata or {})[_HEAD])
        rows = table.to_pylist()
        names = ("active", "sums", "squares", "bins")
        arrays: dict[str, Any] = {name: np.array([row[name] for row in rows]) for name in names}
        return Summary(
            **head,
            **arrays,
            streams=tuple(Stream(row["kind"], row["name"], row["concept"]) for row in rows),
            sketches=tuple(row["sketch"] for row in rows if row["sketch"] is not None),
            top=tuple(tuple(Top(**top) for top in row["top"]) for row in rows if row["kind"] == "concept"),
        )
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} is damaged, or holds no summary ({error}).") from error
