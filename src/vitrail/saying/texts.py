"""What a model said of samples, on disk: an artifact of `vitrail say`, or a JSONL file of captions from elsewhere.

A folder of texts is Parquet shards (see `artifacts.shards`), with a row per sample. A JSONL file has an object a line:
`{"id": …, "text": …}` ("caption" and "answer" mean the same), where `id` is the sample's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitrail.artifacts import (
    Counts,
    Record,
    file_hash,
    manifest_of,
    parent,
    present,
    read_finished,
    read_json,
    shard_file,
)
from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.lmm import LMM, Generation, ModelDescription
from vitrail.notebook import Shown, View
from vitrail.samples import Sample
from vitrail.samples.files import read_text, to_json

KIND = "texts"
#: The ending of a shard's table.
SUFFIX = ".parquet"
#: The columns of a shard's table. What was said elsewhere has no token ids.
SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("image", pa.string()),
        ("request", pa.string()),
        ("text", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
    ]
)
#: The fields of a line of JSONL that may hold the text.
TEXT_FIELDS = ("text", "caption", "answer")


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    """What texts were made with: a `model`, or an `endpoint`."""

    model: dict[str, Any] | None = None
    endpoint: dict[str, Any] | None = None
    max_new_tokens: int

    def __post_init__(self) -> None:
        if self.model is not None:
            ModelDescription.from_dict(self.model)
        elif self.endpoint is None:
            raise ValueError("one of `model` and `endpoint` is expected")


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of texts has."""

    parameters: _Parameters
    counts: dict[str, Any]
    n_shards: int

    def __post_init__(self) -> None:
        Counts.from_dict(self.counts)


@dataclass(frozen=True)
class Utterance:
    """What was said of one sample.

    Args:
        text: as it was said.
        ids: its tokens; None where it was said elsewhere.
        request: what was asked; None where that is not known.
        image: the name of the sample's image.
    """

    text: str
    ids: tuple[int, ...] | None = None
    request: str | None = None
    image: str = ""


@dataclass(frozen=True)
class Texts(Shown, Mapping[str, Utterance]):
    """What was said: a mapping of sample ids.

    Args:
        path: the folder, or the JSONL file.
        by: who said it, as the manifest of what is read from it says.
        said: sample id → what was said of it.
        parents: how what is read from it names it.
        model: the model that said it; None where it was said elsewhere.
        unsaid: sample id → why nothing was said of it.
        images: sample id → the digest of its image when it was said; empty for a JSONL file.
        max_new_tokens: the longest text; None where that is not known.
    """

    path: Path
    by: dict[str, Any]
    said: Mapping[str, Utterance] = field(repr=False)
    parents: dict[str, Any] = field(default_factory=dict, repr=False)
    model: ModelDescription | None = None
    unsaid: Mapping[str, str] = field(default_factory=dict, repr=False)
    images: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_new_tokens: int | None = None

    def __getitem__(self, sample_id: str) -> Utterance:
        return self.said[sample_id]

    def __iter__(self) -> Any:
        return iter(self.said)

    def __len__(self) -> int:
        return len(self.said)

    @property
    def tokens(self) -> str:
        """Whose tokens are read: those that the model generated, or those that its tokenizer makes of a text."""
        return "generated" if self.model is not None else "made by the model's tokenizer"

    @property
    def sealed(self) -> dict[str, str]:
        """The hash of what was said, for the parameters of what is read from it."""
        return {f"{kind}_sha256": named["manifest_sha256"] for kind, named in self.parents.items()}

    def of(self, samples: Sequence[Sample]) -> Texts:
        """What was said of `samples`, without the rest: little enough to be sent to another process."""
        ids = [sample.id for sample in samples]
        return replace(
            self,
            said={i: self.said[i] for i in ids if i in self.said},
            unsaid={i: self.unsaid[i] for i in ids if i in self.unsaid},
            images={i: self.images[i] for i in ids if i in self.images},
        )

    def generation(self, lmm: LMM, sample: Sample) -> Generation:
        """What was said of `sample`, in tokens of `lmm`.

        A text from elsewhere is put into tokens as `lmm` would have generated it after its own request.

        Raises:
            DataError: it holds control tokens of the model.
        """
        found, request = self.said[sample.id], lmm.request(sample)
        if found.ids is not None:
            return Generation(found.ids, found.text)
        lmm.check_text(found.text, f"The text of sample {sample.id!r} in {self.path}")
        return lmm.continuation(request, found.text.strip())

    def check(self, lmm: LMM, samples: Sequence[Sample]) -> None:
        """Raises unless `lmm` may read these texts of `samples`; images are compared later, by `check_images`.

        Raises:
            ArtifactError: another model said them, or it was asked something else.
            DataError: a sample has no text.
        """
        if self.model is not None and (differing := lmm.differences(self.model)):
            raise ArtifactError(
                f"The texts in {self.path} were said by another model: {'; '.join(differing)}. Load that one; or give "
                "the texts as a JSONL file, to read them as texts from elsewhere."
            )
        known = self.said.keys() | self.unsaid.keys()
        if lacking := [s.id for s in samples if s.id not in known]:
            raise DataError(
                f"{self.path} has no text for {len(lacking)} of {len(samples)} samples, {lacking[0]!r} among them. "
                "Say what is missing with `vitrail say`, or choose the samples that have one (--ids, --limit, --split)."
            )
        for sample in samples:
            found = self.said.get(sample.id)
            if found and found.request is not None and found.request != lmm.request(sample):
                raise ArtifactError(
                    f"What {self.path} holds for sample {sample.id!r} was said after the request {found.request!r}; "
                    f"{lmm.name} is asked {lmm.request(sample)!r} here. Ask the same (--prompt), or say it again."
                )

    def check_images(self, digests: Iterable[tuple[str, str, str]]) -> None:
        """Raises unless the images are those of which the texts were said.

        Args:
            digests: of each sample; see `Sample.digests`.

        Raises:
            ArtifactError: an image is another one now.
        """
        changed = [i for i, image, _ in digests if self.images.get(i, image) != image]
        if changed:
            raise ArtifactError(
                f"The image of sample {changed[0]!r} is not the one of which {self.path} says something, nor are those "
                f"of {len(changed) - 1} others. Say it again with `vitrail say`."
            )

    def _shown(self) -> View:
        rows = tuple((name, said.text) for name, said in self.items())
        return View("Texts", f"of {len(self)} samples, in {self.path}", ("sample", "what was said of it"), rows)


def open_texts(path: str | Path) -> Texts:
    """What was said, from a folder of `vitrail say` or a JSONL file of captions.

    Raises:
        ArtifactError: the folder is incomplete, damaged or newer.
        DataError: a line of the file is no object with `id` and `text`, or two have the same id.
        UsageError: there is neither.
    """
    path = Path(path)
    if path.is_file():
        return _from_jsonl(path)
    if not path.is_dir():
        raise UsageError(f"There are no texts at {path}: a folder of `vitrail say`, or a JSONL file, was expected.")
    manifest = read_finished(path, KIND, "vitrail say")
    return texts_of(path, manifest)


def texts_of(folder: Path, manifest: Mapping[str, Any]) -> Texts:
    """The texts in a folder whose manifest was read, and whose files were checked."""
    parameters = manifest["parameters"]
    said: dict[str, Utterance] = {}
    images: dict[str, str] = {}
    for number in range(manifest["n_shards"]):
        try:
            rows = pq.read_table(present(shard_file(folder, number, SUFFIX))).to_pylist()
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ArtifactError(f"{folder} is damaged ({error}). Remove it and run `vitrail say` again.") from error
        record = read_json(shard_file(folder, number, ".json"), Record, "run `vitrail say`")
        for row in rows:
            ids = None if row["token_ids"] is None else tuple(row["token_ids"])
            said[row["sample_id"]] = Utterance(row["text"], ids, row["request"], row["image"])
        images |= {sample: image for sample, image, _ in record.samples}
    described = parameters.get("model")
    model = None if described is None else ModelDescription.from_dict(described)
    by = {"model": described["name"]} if described is not None else parameters["endpoint"]
    return Texts(
        folder,
        by,
        said,
        {KIND: parent(folder)},
        model,
        dict(manifest["counts"]["unreadable"]),
        images,
        parameters["max_new_tokens"],
    )


def _from_jsonl(path: Path) -> Texts:
    said: dict[str, Utterance] = {}
    # not str.splitlines(): a JSON string may hold U+2028, which is no end of line here
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            key, text = _line(line, f"{path}:{number}")
            if key in said:
                raise DataError(f"{path}:{number}: the sample {key!r} has a text already; keep one.")
            said[key] = Utterance(text)
    if not said:
        raise DataError(f"{path} holds no texts.")
    return Texts(path, {"file": path.name, "sha256": file_hash(path)}, said)


def _line(line: str, where: str) -> tuple[str, str]:
    record = to_json(line, where)
    given = [name for name in TEXT_FIELDS if name in record] if isinstance(record, dict) else []
    key = record.get("id") if isinstance(record, dict) else None
    if len(given) != 1 or not isinstance(record[given[0]], str) or not isinstance(key, int | str):
        fields = " or ".join(map(repr, TEXT_FIELDS))
        raise DataError(f"{where}: expected an object with 'id' and one of {fields}; got {line.strip()[:80]!r}")
    return str(key), record[given[0]]
