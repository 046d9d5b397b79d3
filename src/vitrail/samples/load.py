"""From a source to its samples: find the format, select the records, check the ids."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from glob import glob
from pathlib import Path

from vitrail.artifacts import path_of, url_of
from vitrail.errors import DataError, UsageError
from vitrail.progress import Progress, announce, shown
from vitrail.samples.annotated import ANNOTATED, LABELS
from vitrail.samples.bounds import ImageBounds
from vitrail.samples.bundled import TOYLAND
from vitrail.samples.coco import CAPTIONS, KARPATHY, VQA
from vitrail.samples.csv import CSV, FLICKR
from vitrail.samples.elsewhere import Fetched, fetched
from vitrail.samples.fields import short, utf8
from vitrail.samples.files import parse_json
from vitrail.samples.folders import FOLDER
from vitrail.samples.formats import Format, Found, Source, joined
from vitrail.samples.genome import GENOME, REGIONS
from vitrail.samples.hub import HUB, SAVED, STREAM
from vitrail.samples.images import changed, files_of, followed
from vitrail.samples.options import ReadingOptions
from vitrail.samples.places import inside
from vitrail.samples.sample import Sample
from vitrail.samples.shards import SHARDS, shards_at
from vitrail.samples.shards import SUFFIXES as SHARD_SUFFIXES
from vitrail.samples.summary import KEPT_FLAWS, LOOKED_AT, Samples, Summary, images_there
from vitrail.samples.tables import JSONL, PARQUET, RECORDS

_log = logging.getLogger(__name__)

#: Every format, in the order in which they are tried: the first that recognises a source reads it.
FORMATS: list[Format] = [
    TOYLAND,
    STREAM,
    REGIONS,
    SHARDS,
    PARQUET,
    FLICKR,
    JSONL,
    CSV,
    GENOME,
    VQA,
    CAPTIONS,
    KARPATHY,
    LABELS,
    RECORDS,
    SAVED,
    ANNOTATED,
    FOLDER,
    HUB,
]


def load_samples(
    source: str | Path,
    *,
    split: str | None = None,
    images: str | Path | None = None,
    limit: int | None = None,
    bounds: ImageBounds | None = None,
    reading: ReadingOptions | None = None,
    progress: Progress | bool = True,
) -> Samples:
    """The samples of `source`, in its order, with what was read of it (`summary`), which is said on stderr, too.

    Args:
        source: a file, a folder, a name, or a pattern of files ("shards/*.tar"); `vitrail.samples` lists the formats.
            "toyland" is the bundled world, which is drawn into the user's cache the first time. "regions:FILE" makes a
            sample of every region of Visual Genome: a part of an image with its phrase. "stream:org/name" reads the
            first `limit` rows of a dataset of the Hugging Face hub, and does not download the rest.
        split: read only this split. The default is all of them, but "train" for Toyland.
        images: the folder below which the image paths of a table or a JSON lie (default: the folder of `source`). Both
            may be URLs, and so may the paths in a table; see `samples.elsewhere`.
        limit: look at the first so many records.
        bounds: how large an image may be, and where it may lie; `ImageBounds()` for None.
        reading: which columns mean what, and what becomes of records that cannot be read; `ReadingOptions()` for None.
        progress: told how far the bundled world is drawn; see `vitrail.progress`.

    Raises:
        UsageError: a parameter is out of range, names a split or a column that `source` lacks, or means nothing to its
            format.
        DataError: the data are missing, malformed or empty, more than half of their records cannot be read, two samples
            have the same id, or images lie outside of their folder, which `bounds` does not allow.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit should be at least 1, got {limit}")
    source = path_of(source) if str(source).startswith("file:/") else source
    away = [None if images is None else _away(images, tables=False), _away(source)]
    root = None if images is None else away[0].path if away[0] else Path(images).expanduser().absolute()
    if root is not None and not root.is_dir():
        raise DataError(f"the folder of images {images} does not exist")
    bounds, reading = bounds or ImageBounds(), reading or ReadingOptions()
    with shown(progress) as tell:
        asked = Source(away[1].path if away[1] else source, root, reading, split, limit, bounds.allow_outside, tell)
        kind, found = _read(asked)
    _check_used(asked, kind)
    _check_flaws(found.flaws, len(found.splits) + len(found.flaws), source, reading.strict)
    numbers = _select(found.splits, split or kind.split, limit, source, found.without_image)
    chosen, flaws = _built(found, numbers)
    _check_flaws(flaws, len(numbers), source, reading.strict)
    samples = _placed(chosen, found.root, source, bounds.allow_outside, [data.home for data in away if data])
    for data in away:
        samples = samples if data is None else [data.there(sample) for sample in samples]
    samples = [replace(sample, bounds=bounds) for sample in samples]
    summary = replace(_summary(asked, kind, found, samples, [*found.flaws, *flaws]), source=str(source))
    for flaw in summary.flaws[:_SAID]:
        _log.warning("skipped: %s", flaw)
    announce(str(summary), progress)
    return Samples(samples, summary)


def _away(source: str | Path, *, tables: bool = True) -> Fetched | None:
    """The data at a URL, here; None for a path, and for shards, which are read where they lie."""
    url = url_of(source)
    return None if url is None or (tables and shards_at(url)) else fetched(url, tables=tables)


#: How many flaws are said one by one.
_SAID = 5


def _read(asked: Source) -> tuple[Format, Found]:
    """The format of the source, or of the files that it stands for, and what was found there."""
    files = _files_of(asked)
    kind = _format_of(files[0])
    parts: list[Found] = []
    for file in files:
        if (own := _format_of(file)) is not kind:
            raise DataError(
                f"{asked.given} stands for files of two kinds: {files[0].given} is {kind.name}, {file.given} {own.name}"
            )
        parts.append(kind.read(file))
        if asked.split is None and asked.limit is not None and sum(len(p.splits) for p in parts) >= asked.limit:
            break
    return kind, joined(parts)


def _files_of(asked: Source) -> list[Source]:
    """The source itself, or the files that it stands for: a pattern, or a folder of shards or of Parquet files.

    Raises:
        DataError: no file, or not each of those that are listed in braces, is there.
    """
    given = str(asked.given)
    if url := url_of(given):
        return [replace(asked, given=shard) for one in _braces(url) for shard in shards_at(one)]
    if asked.after("stream:") is not None or asked.after("regions:") is not None or asked.is_file:
        return [asked]
    if os.path.isdir(asked.path):
        files = sorted(file for suffix in SHARD_SUFFIXES for file in asked.path.glob(f"*{suffix}"))
        if not files and not any(kind.recognises(asked) for kind in FORMATS):
            files = sorted([*asked.path.glob("*.parquet"), *asked.path.glob("data/*.parquet")])
        return [replace(asked, given=file) for file in files] or [asked]
    if not re.search(r"[*?\[{]", given):
        return [asked]
    files = [path for pattern in _braces(str(Path(given).expanduser())) for path in _matching(pattern)]
    if missing := [path for path in files if not os.path.isfile(path)]:
        raise DataError(f"{len(missing)} of {len(files)} files do not exist, such as {missing[0]}")
    if not files:
        raise DataError(f"there is no file {given}")
    return [replace(asked, given=file) for file in files]


def _matching(pattern: str) -> list[Path]:
    return sorted(map(Path, glob(pattern, recursive=True))) if re.search(r"[*?\[]", pattern) else [Path(pattern)]


def _braces(pattern: str) -> list[str]:
    """The names that braces stand for: `a-{000..002}.tar` for three, `{train,val}.tar` for two."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", found[1])
    width = len(numbers[1]) if numbers else 0
    inside = [f"{n:0{width}d}" for n in range(int(numbers[1]), int(numbers[2]) + 1)] if numbers else found[1].split(",")
    return [name for one in inside for name in _braces(pattern[: found.start()] + one + pattern[found.end() :])]


def _check_used(asked: Source, kind: Format) -> None:
    """Raises `UsageError` for an option that means nothing to the format."""
    reading, chosen = asked.reading, ", ".join(asked.reading.chosen.values())
    for name, value in (("images", asked.images), ("annotations", reading.annotations), ("columns", chosen)):
        if value and name not in kind.uses:
            raise UsageError(f"{asked.given} is {kind.name}, which has no use for {name}={str(value)!r}")


def _built(found: Found, numbers: Sequence[int]) -> tuple[list[Sample], list[str]]:
    """The samples of these records, and what is wrong with the others.

    Raises:
        DataError: two samples have the same id.
    """
    made: dict[str, tuple[str, Sample]] = {}
    flaws = []
    for i in numbers:
        try:
            where, sample = found.build(i)
            key = utf8(sample.id, where)
        except DataError as error:
            flaws.append(str(error))
            continue
        if key in made:
            raise DataError(
                f"{made[key][0]} and {where} have the same id, {short(key)}; give each its own, or say with "
                "--id-column where it stands"
            )
        made[key] = where, sample
    return [sample for _, sample in made.values()], flaws


def _check_flaws(flaws: Sequence[str], n: int, source: str | Path, strict: bool) -> None:
    """Raises `DataError` if more than half of `n` records, or in strict reading any, cannot be read."""
    if flaws and strict:
        raise DataError(f"{flaws[0]}" + (f" ({len(flaws)} such records)" if len(flaws) > 1 else ""))
    if 2 * len(flaws) > n:
        raise DataError(f"{len(flaws)} of {n} records of {source} cannot be read; the first: {flaws[0]}")


def _summary(asked: Source, kind: Format, found: Found, samples: Sequence[Sample], flaws: Sequence[str]) -> Summary:
    """What was read, with the images looked for; in strict reading a missing one is an error.

    Raises:
        DataError: an image is missing, and reading is strict.
    """
    looked_at, missing = images_there(samples, len(samples) if asked.reading.strict else LOOKED_AT)
    if missing and asked.reading.strict:
        raise DataError(
            f"{len(missing)} images do not exist; the first, of sample {missing[0].id!r}: {missing[0].place}"
        )
    return Summary(
        source=str(asked.given),
        format=kind.name,
        samples=len(samples),
        captioned=sum(bool(sample.references) for sample in samples),
        asked=sum(sample.question is not None for sample in samples),
        columns=found.columns,
        not_read=tuple(found.not_read),
        looked_at=looked_at,
        found=looked_at - len(missing),
        skipped=len(flaws),
        flaws=tuple(flaws[:KEPT_FLAWS]),
        without_image=found.without_image,
    )


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


def _select(
    splits: Sequence[str | None], split: str | None, limit: int | None, source: str | Path, without_image: int
) -> list[int]:
    """The numbers of the records that are wanted."""
    if not splits:
        images = f" with an image; {without_image} records have none" if without_image else ""
        raise DataError(f"{source} is empty: it holds no samples{images}")
    counts = Counter(splits)
    names = [name for name in counts if name is not None]
    if split is not None and split not in names:
        nearest = get_close_matches(split, names)
        hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ";"
        listed = ", ".join(f"{name or 'without a name'} ({n})" for name, n in counts.items())
        raise UsageError(f"{source} has no samples in split {split!r}{hint} its splits: {listed}")
    return [i for i, name in enumerate(splits) if split in (None, name)][:limit]


def _placed(
    samples: list[Sample], root: Path, source: str | Path, allow_outside: bool, homes: Sequence[str] = ()
) -> list[Sample]:
    """The samples, which are all in `root` or below one of the URLs `homes`, or are allowed outside; how many are
    outside is said.

    Raises:
        DataError: an image lies outside, and that is not allowed.
    """
    is_inside = inside(root, homes)
    files = ((s, [file for file in files_of(s.image) if not is_inside(file)]) for s in samples)
    outside = [(s, left[0]) for s, left in files if left]
    place = homes[0] if homes else root
    if outside and not allow_outside:
        first, file = outside[0]
        raise DataError(
            f"{len(outside)} of {len(samples)} images of {source} lie outside of {place}, such as "
            f"{url_of(file) or file} of sample {first.id!r}. To follow such paths, add --allow-outside "
            "(ImageBounds(allow_outside=True)); or name the folder that all images lie in with --images."
        )
    if outside:
        _log.warning("%d of %d images of %s lie outside of %s", len(outside), len(samples), source, place)
    if not allow_outside:
        return samples
    return [replace(s, image=changed(s.image, followed)) for s in samples]
