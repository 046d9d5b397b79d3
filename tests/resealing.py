"""Manifests and other sealed JSON that tests change on purpose: sealed again, as one who meant to deceive would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitrail.artifacts import write_sealed


def reseal(path: Path, **changes: Any) -> None:
    """Changes values of a sealed JSON file, or of the manifest in a folder, and seals it anew."""
    path = path / "manifest.json" if path.is_dir() else path
    values = json.loads(path.read_text(encoding="utf-8"))
    values.pop("digest", None)
    write_sealed(path, values | changes)
