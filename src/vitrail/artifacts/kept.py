"""What a long piece of work has finished, part by part, so that a run that was stopped goes on after it.

    OUT/.vitrail.parts/NAME-0123456789abcdef.json

A name ends with a hash of all that decides the part. So a run with other options, another model or other samples takes
none of these parts. When the whole is written, its parts are removed, and those that nobody came back for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vitrail.artifacts.files import PARTS, elsewhere, remove
from vitrail.artifacts.manifest import versions
from vitrail.artifacts.values import UNEXPECTED, plain, read_sealed, typed, write_sealed

log = logging.getLogger(__name__)

T = TypeVar("T")


class KeptParts:
    """The parts of a piece of work that writes to `folder`.

    Args:
        folder: of the whole; None keeps nothing.
        decided: all that decides what the parts are, beside the versions of libraries: options, models, samples.
    """

    def __init__(self, folder: Path | None, decided: Mapping[str, Any]) -> None:
        self.home = None if folder is None else folder / PARTS
        text = json.dumps(plain({**decided, "versions": versions()}), sort_keys=True, default=_comparable)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]

    def part(self, name: str, make: Callable[[], Any], read: Callable[[Any], T]) -> T:
        """A part: the one that was kept, or else what `make` makes, which is kept.

        Args:
            name: of the part, another one for each.
            make: makes the part, as `plain` takes it.
            read: JSON values → the part. It reads what was just made, too: a run that goes on has the very same.
        """
        path = self._path(name, ".json")
        if path is not None and path.is_file():
            try:
                return read(read_sealed(path)["part"])
            except (OSError, *UNEXPECTED) as error:
                log.warning("%s is made again: %s", path, error)
        values = {"part": plain(make())}
        if path is not None:
            write_sealed(path, values)
        return read(values["part"])

    def value(self, name: str, make: Callable[[], T], kind: Any) -> T:
        """`part` of a value of `kind`: a dataclass, or a generic type of dataclasses; see `typed`."""
        return self.part(name, make, lambda values: typed(values, kind))

    def place(self, name: str, other: Path) -> Path:
        """A folder for a part that keeps a state of its own while it is made; `other` where nothing is kept."""
        return self._path(name, "") or other

    def _path(self, name: str, suffix: str) -> Path | None:
        plainly = re.sub(r"[^\w.]+", "-", name)[:60]
        named = hashlib.sha256(f"{name}\n{self._digest}".encode()).hexdigest()[:16]
        return None if self.home is None else self.home / f"{plainly}-{named}{suffix}"

    def remove(self) -> None:
        """Removes all parts, of whatever run: the whole is written."""
        if self.home is None:
            return
        if (mirror := elsewhere(self.home)) is not None:
            mirror.fetch_all(self.home)
        for path in sorted(self.home.rglob("*"), reverse=True):  # what is in a folder comes before it
            path.rmdir() if path.is_dir() else remove(path)
        if self.home.is_dir():
            self.home.rmdir()


def _comparable(value: Any) -> Any:
    """A value that JSON does not have, as text or as a list that is the same in every process."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
