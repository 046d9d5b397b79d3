"""From a source to its samples: find the format, select the records, check the ids."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from vitrail.errors import DataError, UsageError
from vitrail.progress import Progress, shown
from vitrail.samples.bounds import ImageBounds
from vitrail.samples.bundled import TOYLAND
from vitrail.samples.coco import CAPTIONS, KARPATHY, VQA
from vitrail.samples.csv import CSV
from vitrail.samples.fields import utf8
from vitrail.samples.files import parse_json
from vitrail.samples.folders import FOLDER
from vitrail.samples.formats import Format, Source
from vitrail.samples.genome import GENOME, REGIONS
from vitrail.samples.hub import HUB, SAVED, STREAM
from vitrail.samples.images import EncodedImage
from vitrail.samples.places import inside
from vitrail.samples.sample import Sample
from vitrail.samples.shards import SHARDS
from vitrail.samples.tables import JSONL, PARQUET

_log = logging.getLogger(__name__)

#: Every format, in the order in which they are tried: the first that recognises a source reads it.
FORMATS: list[Format] = [
    TOYLAND,
    STREAM,
    REGIONS,
    SHARDS,
    PARQUET,
    JSONL,
    CSV,
    GENOME,
    VQA,
    CAPTIONS,
    KARPATHY,
    SAVED,
    FOLDER,
    HUB,
]


def load_samples(
    source: str | Path,
    *,
    split: str | None = None,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    limit: int | None = None,
    bounds: ImageBounds | None = None,
    progress: Progress | bool = True,
) -> list[Sample]:
    """The samples of `source`, in its order.

    Args:
        source: a file, a folder, or a name; `vitrail.samples` lists the formats. "toyland" is the bundled world, which
            is drawn into the user's cache the first time. "regions:FILE" makes a sample of every region of Visual
            Genome: a part of an image with its phrase. "stream:org/name" reads the first `limit` rows of a dataset of
            the Hugging Face hub, and does not download the rest.
        split: read only this split. The default is all of them, but "train" for Toyland.
        images: the folder below which the image paths of a table or a JSON lie (default: the folder of `source`).
        annotations: the answers to VQAv2 questions (default: the file of the standard name beside the questions).
        limit: read at most this many samples.
        bounds: how large an image may be, and where it may lie; `ImageBounds()` for None.
        progress: told how far the bundled world is drawn; see `vitrail.progress`.

    Raises:
        UsageError: a parameter is out of range, names a split that `source` lacks, or means nothing to its format.
        DataError: the data are missing, malformed or empty, give two samples the same id, or name images outside of
            their folder, which `bounds` does not allow.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit should be at least 1, got {limit}")
    root = None if images is None else Path(images).expanduser().absolute()
    if root is not None and not root.is_dir():
        raise DataError(f"the folder of images {images} does not exist")
    bounds = bounds or ImageBounds()
    answers = None if annotations is None else Path(annotations).expanduser()
    with shown(progress) as tell:
        asked = Source(source, root, answers, split, limit, bounds.allow_outside, tell)
        kind = _format_of(asked)
        found = kind.read(asked)
    for name, value in (("images", images), ("annotations", annotations)):
        if value is not None and name not in kind.uses:
            raise UsageError(f"{source} is {kind.name}, which has no use for {name}={str(value)!r}")
    chosen = _unique(found.build(i) for i in _select(found.splits, split or kind.split, limit, source))
    samples = _placed(chosen, found.root, source, bounds.allow_outside)
    return [replace(sample, bounds=bounds) for sample in samples]


def as_samples(samples: Sequence[Sample] | str | Path, progress: Progress | bool = True) -> Sequence[Sample]:
    """`samples` themselves, or those of that name, file or folder, as `load_samples` finds them.

    Raises:
        DataError: the data are missing, malformed or empty.
    """
    return load_samples(samples, progress=progress) if isinstance(samples, str | Path) else samples


def _format_of(source: Source) -> Format:
    try:
        kind = next((kind for kind in FORMATS if kind.recognises(source)), None)
    except (OSError, ValueError) as error:  # a name too long for any disk, or with a null in it
        raise DataError(f"{source.given} cannot be read ({error})") from error
    if kind is None:
        accepted = ", ".join(kind.accepts for kind in FORMATS)
        raise DataError(f"{_mismatch(source)}; samples come from {accepted}")
    return kind


def _mismatch(source: Source) -> str:
    """Why no format recognises `source`."""
    path = source.path
    if path.is_dir():
        there = ", ".join(sorted(file.name for file in path.iterdir())[:10]) or "nothing"
        return f"the folder {path} holds no images, but {there}"
    if not source.is_file:
        why = "is a FIFO, a socket or a device, and no file" if path.exists() else "does not exist"
        return f"{source.given} {why}"
    try:
        document, end = parse_json(path, source.text)
    except DataError as error:
        return str(error)
    if more := source.text[end:].strip():
        return f"{path}: malformed JSON: text after the end of the document, {more[:40]!r}"
    names = f" of {', '.join(map(repr, list(source.fields)[:5]))}" if source.fields else ""
    return f"{path} holds a JSON {type(document).__name__}{names}"


def _select(splits: Sequence[str | None], split: str | None, limit: int | None, source: str | Path) -> list[int]:
    """The numbers of the records that are wanted."""
    if not splits:
        raise DataError(f"{source} is empty: it holds no samples")
    counts = Counter(splits)
    names = [name for name in counts if name is not None]
    if split is not None and split not in names:
        nearest = get_close_matches(split, names)
        hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ";"
        listed = ", ".join(f"{name or 'without a name'} ({n})" for name, n in counts.items())
        raise UsageError(f"{source} has no samples in split {split!r}{hint} its splits: {listed}")
    return [i for i, name in enumerate(splits) if split in (None, name)][:limit]


def _unique(built: Iterable[tuple[str, Sample]]) -> list[Sample]:
    """The samples, after checking that no two have the same id."""
    found: dict[str, tuple[str, Sample]] = {}
    for where, sample in built:
        if sample.id in found:
            raise DataError(f"{found[sample.id][0]} and {where} have the same id, {sample.id!r}; give each its own")
        found[utf8(sample.id, where)] = where, sample
    return [sample for _, sample in found.values()]


def _placed(samples: list[Sample], root: Path, source: str | Path, allow_outside: bool) -> list[Sample]:
    """The samples, which are all in `root`, or are allowed outside; how many are outside is said.

    Raises:
        DataError: an image lies outside of `root`, and that is not allowed.
    """
    is_inside = inside(root)
    outside = [s for s in samples if (file := _file(s)) is not None and not is_inside(file)]
    if outside and not allow_outside:
        first = outside[0]
        raise DataError(
            f"{len(outside)} of {len(samples)} images of {source} lie outside of {root}, such as {_file(first)} of "
            f"sample {first.id!r}. To follow such paths, add --allow-outside "
            "(ImageBounds(allow_outside=True)); or name the folder that all images lie in with --images."
        )
    if outside:
        _log.warning("%d of %d images of %s lie outside of %s", len(outside), len(samples), source, root)
    if not allow_outside:
        return samples
    return [
        replace(s, image=replace(s.image, anywhere=True)) if isinstance(s.image, EncodedImage) else s for s in samples
    ]


def _file(sample: Sample) -> Path | None:
    """The file that the image lies in; None where that is known when it is opened, or not at all."""
    image = sample.image
    return image if isinstance(image, Path) else image.file if isinstance(image, EncodedImage) else None
