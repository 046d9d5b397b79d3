"""Lists of ids → a text file, as `--ids` takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vitrail.artifacts import write_whole
from vitrail.errors import ArtifactError
from vitrail.importing.files import Released
from vitrail.importing.report import Imported


def import_ids(file: Released, *, out: str | Path, key: str | None = None) -> Imported:
    """The ids of a `.pkl` of plain lists, one a line, in the file `out`.

    Args:
        key: which list, where the file holds several under names.

    Raises:
        ArtifactError: no list of texts or numbers, or several and no `key`.
    """
    content: Any = file.content
    if isinstance(content, Mapping):
        names = ", ".join(map(str, content))
        if key is None or key not in content:
            raise ArtifactError(f"{file.path} holds several lists: {names}. Name one with --key.")
        content = content[key]
    if isinstance(content, str) or not isinstance(content, Iterable):
        raise ArtifactError(f"{file.path} holds no list of ids; got {type(content).__name__}.")
    ids = [str(i) for i in content if isinstance(i, str | int)]
    if not ids or len(ids) != len(list(content)):
        raise ArtifactError(f"{file.path} holds no list of ids: texts or whole numbers were expected.")
    out = Path(out)

    def write(partial: Path) -> None:
        partial.write_text("\n".join(ids) + "\n", encoding="utf-8")

    write_whole(out, write)
    return Imported("ids", out, (f"{len(ids)} ids",))
