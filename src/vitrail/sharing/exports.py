"""What was found as the files of other tools: FiftyOne's classification datasets, Evidently's tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitrail.artifacts import check_free, write_json, write_whole
from vitrail.errors import UsageError
from vitrail.monitoring import Observation
from vitrail.studies import Study


def export(study: Study, kind: str, *, out: str | Path) -> Path:
    """A study as the folder `out` of another tool, and the file to open there.

    - `fiftyone`: `labels.json` and `data/`, a FiftyOneImageClassificationDataset: each image (small) with its strongest
      concept as label. `fo.Dataset.from_dir(OUT, fo.types.FiftyOneImageClassificationDataset)` opens it.
    - `evidently`: `data.parquet`, a row per sample with the strength of each concept and the caption, and
      `columns.json`, the arguments of Evidently's `DataDefinition`.

    Raises:
        UsageError: there is no such kind.
        ArtifactError: `out` holds something else.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no form to export to: it is {' or '.join(KINDS)}.")
    out = Path(out)
    check_free(out, "export")
    return KINDS[kind](study, out)


def _fiftyone(study: Study, out: Path) -> Path:
    (out / "data").mkdir(parents=True)
    strengths, rows = study.learned.strengths(study.learned.V), _rows(study)
    strongest = np.argmax(np.abs(strengths), axis=1).tolist()
    active = (strengths != 0).any(axis=1).tolist()
    labels = {}
    for n, row in enumerate(rows):
        name = f"{n:0{len(str(len(rows)))}}"
        write_whole(out / "data" / f"{name}.jpg", partial(_put, row.thumbnail))
        labels[name] = strongest[n] if active[n] else len(study.titles)
    write_json(out / "labels.json", {"classes": [*_names(study.titles), "no concept"], "labels": labels})
    return out / "labels.json"


def _put(jpeg: bytes, path: Path) -> None:
    path.write_bytes(jpeg)


def _evidently(study: Study, out: Path) -> Path:
    strengths, rows = study.learned.strengths(study.learned.V), _rows(study)
    table = _table(
        study.titles,
        strengths,
        {"caption": [row.text.strip() for row in rows], "sample": [row.sample_id for row in rows]},
    )
    return _written(table, study.titles, out)


def evidently_table(observations: Sequence[Observation], titles: Sequence[str]) -> pa.Table:
    """Observations of one word as Evidently's table: the strength of each concept, the novelty, caption, sample, time.

    Give the table of a quiet week as reference, that of today as current. `table.to_pandas()` is a `DataFrame`.

    Args:
        titles: of the concepts; see `Study.titles`.

    Raises:
        UsageError: there are other numbers of concepts than titles.
    """
    if any(len(o.strengths) != len(titles) for o in observations):
        raise UsageError(f"The observations are not of {len(titles)} concepts. Give the titles of their own study.")
    own = [o for o in observations if o.ordinary]
    more: dict[str, list[Any]] = {
        "novelty": [o.error for o in own],
        "caption": [o.caption for o in own],
        "sample": [o.sample for o in own],
        "time": [o.time for o in own],
    }
    return _table(titles, np.array([o.strengths for o in own]).reshape(-1, len(titles)), more)


def _table(titles: Sequence[str], strengths: np.ndarray, more: dict[str, list[Any]]) -> pa.Table:
    columns = {name: strengths[:, k] for k, name in enumerate(_names(titles))}
    return pa.table({**columns, **more})


def _names(titles: Sequence[str]) -> list[str]:
    return [f"{k} {title}" for k, title in enumerate(titles)]


def _written(table: pa.Table, titles: Sequence[str], out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "data.parquet", lambda path: pq.write_table(table, path))
    definition = {"numerical_columns": _names(titles), "text_columns": ["caption"], "id_column": "sample"}
    write_json(out / "columns.json", definition)
    return out / "data.parquet"


def _rows(study: Study) -> list[Any]:
    """The rows that concepts were learned from."""
    return [row for row, kept in zip(study.activations.rows, study.learned.kept, strict=True) if kept]


#: Form → what writes it.
KINDS: dict[str, Callable[[Study, Path], Path]] = {"fiftyone": _fiftyone, "evidently": _evidently}
