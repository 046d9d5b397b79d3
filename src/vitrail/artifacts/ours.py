"""Files of ours that lie beside artifacts, such as pages and summaries: they say by themselves that they are ours and
whole, so that nobody else's are overwritten.

JSON carries its digest under "digest", JSON lines one in each line; pages, pictures and tables have a comment at their
end. Version 0.1.0 wrote neither; its files are known by the manifest beside them, and its pages by their title.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from vitrail.artifacts.files import file_hash, present, read_regular, remove, write_whole
from vitrail.artifacts.json_text import parse
from vitrail.artifacts.lines import read_lines
from vitrail.artifacts.manifest import MANIFEST
from vitrail.artifacts.values import SEAL, read_sealed, write_sealed
from vitrail.errors import ArtifactError

#: "older" is ours of version 0.1.0, which cannot be checked.
State = Literal["whole", "damaged", "older", "foreign"]
#: What writes → the files that it writes beside its artifacts.
BESIDE = {
    "atlas": ("atlas.html", "atlas.json"),
    "compare": ("report.html",),
    "compare methods": ("comparison.json", "comparison.md", "comparison.tex", "report.html"),
    "evaluate": ("evaluation.md",),
    "report": ("report.html",),
    "steer evaluate": ("evaluate.json", "evaluate.html"),
    "steer search": ("search.json", "search.html"),
    "study": ("report.html", "summary.json", "factors.json"),
    "sweep": ("sweep.json", "sweep.svg"),
}
#: Ending of a file → how a comment begins and ends in it.
_COMMENTS = {".html": ("<!--", " -->"), ".svg": ("<!--", " -->"), ".md": ("<!--", " -->"), ".tex": ("%", "")}
#: The endings of files that say by themselves whether they are whole.
LOOSE = (".json", ".jsonl", *_COMMENTS)
#: What a line by `append_lines` ends with.
_LINK = re.compile(rb'"digest": "[0-9a-f]{64}"\}$', re.MULTILINE)

_SAYS = " written by Vitrail, sha256 "


def write_ours(path: Path, data: bytes) -> None:
    """Writes a page, a picture or a table with a comment at its end that says whose it is, and its hash.

    Raises:
        ArtifactError: somebody else's file is there, or it cannot be written.
    """
    check_ours([path])
    begin, end = _COMMENTS[path.suffix]
    seal = f"{begin}{_SAYS}{hashlib.sha256(data).hexdigest()}{end}\n".encode()
    write_whole(path, lambda partial: _write(partial, data + seal))


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def state_of(path: Path) -> State:
    """Whether a file with one of the endings `LOOSE` is ours, and as it was written."""
    if path.suffix == ".jsonl":
        return _state_of_lines(path)
    return _state_of_text(path) if path.suffix in _COMMENTS else _state_of_json(path)


def _state_of_lines(path: Path) -> State:
    try:
        read_lines(path)
    except (OSError, ValueError):
        return "damaged" if _LINK.search(read_regular(path)) else "foreign"
    return "whole"


def _state_of_text(path: Path) -> State:
    data = read_regular(path)
    begin, end = _COMMENTS[path.suffix]
    seal = re.compile(f"{re.escape(begin + _SAYS)}([0-9a-f]{{64}}){re.escape(end)}\n\\Z".encode())
    if found := seal.search(data):
        return "whole" if hashlib.sha256(data[: found.start()]).hexdigest() == found[1].decode() else "damaged"
    if _SAYS.encode() in data[-200:]:
        return "damaged"
    if path.suffix == ".html":
        return "older" if b"\xc2\xb7 Vitrail</title>" in data[:4096] else "foreign"
    return "older" if _is_older(path.parent) else "foreign"


def _state_of_json(path: Path) -> State:
    try:
        values = read_sealed(path)
    except (OSError, ValueError):
        return "damaged" if f'"{SEAL}"'.encode() in read_regular(path)[-200:] else "foreign"
    if SEAL in values:
        return "whole"
    return "older" if _is_older(path.parent) else "foreign"


def _is_older(folder: Path) -> bool:
    """Whether version 0.1.0 wrote the folder, or the activations in it."""
    for path in (folder / MANIFEST, folder / "activations" / MANIFEST, folder.parent / "activations" / MANIFEST):
        try:
            return parse(read_regular(path).decode())["schema"] == 1
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return False


#: The endings of files that JSON of the same name may cover.
_COVERED = (".parquet", ".safetensors")


def write_covering(path: Path, values: Mapping[str, Any]) -> None:
    """Writes JSON that carries a digest of itself, and under "files" the hashes of Parquet and safetensors beside it of
    the same name, which it covers."""
    beside = [path.with_suffix(suffix) for suffix in _COVERED]
    write_sealed(path, {**values, "files": {file.name: file_hash(file) for file in beside if file.is_file()}})


def covering(path: Path) -> dict[str, str]:
    """File → sha256 of the files beside it that JSON of ours covers; none for a file that is not there.

    Raises:
        OSError, ValueError: it cannot be read, or is not as it was written.
    """
    if not path.is_file():
        return {}
    found = read_sealed(path).get("files", {})
    return found if isinstance(found, dict) else {}


def check_covered(path: Path, again: str) -> None:
    """Raises `ArtifactError` if JSON beside `path` covers it and it is not as it was written; `again` is what to do."""
    index = path.with_suffix(".json")
    try:
        expected = covering(index).get(path.name)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{index} is damaged ({error}). Remove it with {path}, and {again} again.") from error
    there = expected is not None and present(path).is_file()
    if expected is None or (there and file_hash(path) == expected):
        return
    state = "damaged: its contents are not what was written" if there else "missing"
    raise ArtifactError(f"{path} is {state}. Remove it with {index.name}, and {again} again.")


def check_ours(paths: Iterable[Path], offer: bool = False) -> None:
    """Raises `ArtifactError` if one of `paths`, which are about to be written, is there and not ours as it was written.

    Args:
        paths: files with one of the endings `LOOSE`.
        offer: whether the command has an option --overwrite, for the message.
    """
    for path in paths:
        if state := not_ours(path):
            why = "was not written by Vitrail" if state == "foreign" else "was changed since Vitrail wrote it"
            raise ArtifactError(f"{path} {why}. Move it away{', or add --overwrite' if offer else ''}.")


def beside(writer: str, folder: Path) -> list[Path]:
    """The files that `writer`, a key of `BESIDE`, writes to `folder` beside its artifacts."""
    return [folder / name for name in BESIDE[writer]]


def make_way(paths: Iterable[Path]) -> None:
    """Removes those of `paths` that are not ours, as somebody allowed who said --overwrite."""
    for path in paths:
        if not_ours(path):
            remove(path)


def not_ours(path: Path) -> State | None:
    """ "foreign" or "damaged" for a file that is there and not ours as it was written; None for all others."""
    state = state_of(path) if path.exists() else "whole"
    return state if state in ("foreign", "damaged") else None
