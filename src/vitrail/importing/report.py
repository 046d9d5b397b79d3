"""What an import found in a file, and what the file lacks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Imported:
    """An imported file.

    Args:
        kind: what the file was.
        folder: the artifact that was made, or the text file of ids.
        found: what was found, one phrase each.
        missing: what the file does not say and Vitrail would have, one phrase each.
    """

    kind: str
    folder: Path
    found: tuple[str, ...]
    missing: tuple[str, ...] = ()
