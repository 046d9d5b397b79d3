"""Files of ours that lie beside artifacts, such as pages and summaries: they say by themselves that they are ours and
whole, so that nobody else's are overwritten.

JSON carries its digest under "digest", a page in a comment at its end. Version 0.1.0 wrote neither; its files are known
by the manifest beside them, and its pages by their title.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from vitrail.artifacts.files import read_regular
from vitrail.artifacts.json_text import parse
from vitrail.artifacts.manifest import MANIFEST
from vitrail.artifacts.values import SEAL, read_sealed
from vitrail.errors import ArtifactError

#: "older" is ours of version 0.1.0, which cannot be checked.
State = Literal["whole", "damaged", "older", "foreign"]

_COMMENT = "<!-- written by Vitrail, sha256 {} -->\n"
_SEALED_PAGE = re.compile(rb"<!-- written by Vitrail, sha256 ([0-9a-f]{64}) -->\n\Z")


def sealed_page(page: bytes) -> bytes:
    """A page with the comment that says whose it is, and its hash."""
    return page + _COMMENT.format(hashlib.sha256(page).hexdigest()).encode()


def state_of(path: Path) -> State:
    """Whether a JSON file or a page is ours, and as it was written."""
    return _state_of_page(path) if path.suffix == ".html" else _state_of_json(path)


def _state_of_page(path: Path) -> State:
    data = read_regular(path)
    if found := _SEALED_PAGE.search(data):
        return "whole" if hashlib.sha256(data[: found.start()]).hexdigest() == found[1].decode() else "damaged"
    if b"<!-- written by Vitrail" in data[-200:]:
        return "damaged"
    return "older" if b"\xc2\xb7 Vitrail</title>" in data[:4096] else "foreign"


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


def check_ours(paths: Iterable[Path], offer: bool = False) -> None:
    """Raises `ArtifactError` if one of `paths`, which are about to be written, is there and not ours as it was written.

    Args:
        paths: JSON files and pages.
        offer: whether the command has an option --overwrite, for the message.
    """
    for path in paths:
        if state := not_ours(path):
            why = "was not written by Vitrail" if state == "foreign" else "was changed since Vitrail wrote it"
            raise ArtifactError(f"{path} {why}. Move it away{', or add --overwrite' if offer else ''}.")


def make_way(paths: Iterable[Path]) -> None:
    """Removes those of `paths` that are not ours, as somebody allowed who said --overwrite."""
    for path in paths:
        if not_ours(path):
            path.unlink()


def not_ours(path: Path) -> State | None:
    """ "foreign" or "damaged" for a file that is there and not ours as it was written; None for all others."""
    state = state_of(path) if path.exists() else "whole"
    return state if state in ("foreign", "damaged") else None
