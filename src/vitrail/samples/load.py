"""From a source to its samples: the format is recognised, the records are selected, the ids are checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from vitrail import toyland
from vitrail.errors import DataError, UsageError
from vitrail.progress import Progress, silent
from vitrail.samples.coco import read_captions, read_karpathy, read_vqa
from vitrail.samples.csv import is_csv, read_csv
from vitrail.samples.fields import utf8
from vitrail.samples.files import ACCEPTED, parse_json, read_bytes, read_text
from vitrail.samples.folders import IMAGE_SUFFIXES, read_folder
from vitrail.samples.genome import is_regions, read_images, read_regions
from vitrail.samples.hub import read_hugging_face, read_stream
from vitrail.samples.sample import Found, Sample
from vitrail.samples.shards import is_shards, read_shards
from vitrail.samples.tables import read_jsonl, read_parquet


def load_samples(
    source: str | Path,
    *,
    split: str | None = None,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    limit: int | None = None,
    progress: Progress = silent,
) -> list[Sample]:
    """The samples of `source`, in its order: all of them, or those of `split`, at most the first `limit`.

    "toyland" is the bundled world, drawn into the user's cache the first time, and its train split unless another is
    named. "regions:FILE" reads every region of Visual Genome as a sample of its own, the part of its image with its
    phrase. "stream:org/name" reads a dataset of the hub as it arrives, the first `limit` of its rows, without
    downloading the rest.

    `images` is the folder below which the image paths of a table or a JSON lie (default: the folder of `source`).
    `annotations` are the answers to VQAv2 questions (default: the file of the standard name beside them). `progress` is
    told how far the bundled world is drawn.

    Raises UsageError for a parameter that cannot be (a split that `source` lacks, among others), and DataError for
    data that are missing, malformed, empty, or that give two samples the same id.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit should be at least 1, got {limit}")
    if str(source) == "toyland":
        source, split = toyland.dataset_path(progress=progress), split or "train"
    root = None if images is None else Path(images).expanduser().absolute()
    if root is not None and not root.is_dir():
        raise DataError(f"the folder of images {images} does not exist")
    way, _, name = str(source).partition(":")
    if way == "stream":
        if limit is None:
            raise UsageError("A stream has no known end: give a limit.")
        found = read_stream(name, split, limit, root or Path.cwd())
    elif way == "regions":
        found = _open_regions(Path(name).expanduser().absolute(), root)
    else:
        found = _open_source(source, root, None if annotations is None else Path(annotations).expanduser())
    for name, value in (("images", images), ("annotations", annotations)):
        if value is not None and name not in found.uses:
            raise UsageError(f"{source} is {found.kind}, which has no use for {name}={str(value)!r}")
    return _unique(found.build(i) for i in _select(found.splits, split, limit, source))


def _open_regions(path: Path, images: Path | None) -> Found:
    document, _ = parse_json(path, read_text(path))
    if not is_regions(document):
        raise DataError(f"{path} has no regions; `regions:` is for Visual Genome's region_descriptions.json")
    return read_regions(path, document, images or path.parent)


def _open_source(source: str | Path, images: Path | None, annotations: Path | None) -> Found:
    if is_shards(str(source)) or str(source).endswith(".tar"):
        return read_shards(str(source))
    path = Path(source).expanduser().absolute()  # a sample stays valid in another working directory
    if (path / "dataset_coco.json").is_file():
        path = path / "dataset_coco.json"
    if path.is_file():
        return _open_file(path, images or path.parent, annotations)
    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return read_hugging_face(str(path), images or path)
    if path.is_dir():
        return read_folder(path)
    if isinstance(source, str) and _may_be_on_hub(source):
        return read_hugging_face(source, images or Path.cwd())
    raise DataError(f"{source} does not exist; samples come from {ACCEPTED}")


def _may_be_on_hub(source: str) -> bool:
    """Whether `source` reads as org/name, and not as the path of a file that is missing."""
    names = re.fullmatch(r"(\w[\w.-]*)/\w[\w.-]*", source)
    file_like = Path(source).suffix.lower() in {
        ".json",
        ".jsonl",
        ".ndjson",
        ".parquet",
        ".csv",
        ".tsv",
        ".tar",
        *IMAGE_SUFFIXES,
    }
    return names is not None and not file_like and not Path(names[1]).exists()


def _open_file(path: Path, root: Path, annotations: Path | None) -> Found:
    if read_bytes(path, 4) == b"PAR1":
        return read_parquet(path, root)
    text = read_text(path)
    if path.suffix in (".jsonl", ".ndjson"):
        return read_jsonl(path, text, root)
    if is_csv(path, text):
        return read_csv(path, text, root)
    document, end = parse_json(path, text)
    fields = document if isinstance(document, dict) else {}
    if "image" in fields:
        return read_jsonl(path, text, root)
    if more := text[end:].strip():
        raise DataError(f"{path}: malformed JSON: text after the end of the document, {more[:40]!r}")
    if is_regions(document):
        return read_images(path, document, root)
    if "questions" in fields:
        return read_vqa(path, fields, root, annotations)
    if "annotations" in fields and "images" in fields:
        return read_captions(path, fields, root)
    if "annotations" in fields:
        raise DataError(
            f"{path} holds annotations (its fields: {', '.join(fields)}); for VQAv2 give the questions file as source, "
            "and this one as annotations; COCO's caption annotations list their images, too"
        )
    if "images" in fields:
        return read_karpathy(path, fields, root)
    names = f" of {', '.join(map(repr, list(fields)[:5]))}" if fields else ""
    raise DataError(f"{path} holds a JSON {type(document).__name__}{names}; samples come from {ACCEPTED}")


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
    """The samples, once it is sure that no two have the same id."""
    found: dict[str, tuple[str, Sample]] = {}
    for where, sample in built:
        if sample.id in found:
            raise DataError(f"{found[sample.id][0]} and {where} have the same id, {sample.id!r}; give each its own")
        found[utf8(sample.id, where)] = where, sample
    return [sample for _, sample in found.values()]
