"""A comparison on disk: `shift.json` says all of it, `shift.safetensors` holds the vectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from vitrail.artifacts import check_files, read_manifest
from vitrail.errors import ArtifactError

KIND = "shift"
FILE, TENSORS = "shift.json", "shift.safetensors"


@dataclass(frozen=True)
class Shift:
    """What became of the concepts of a word. `found` is the content of `shift.json`.

    `shifts` (K, d) are the `Δ_k`, `shifted` (K, d) the `u_k^s`, `mean_move` (d,) is the mean of all `δ_m`.
    """

    folder: Path
    manifest: dict[str, Any]
    found: dict[str, Any]
    shifts: np.ndarray
    shifted: np.ndarray
    mean_move: np.ndarray

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest["parameters"]

    @property
    def concepts(self) -> list[dict[str, Any]]:
        """One entry per concept of *a*: its change, match, words before, after and shifted, recovery, consistency."""
        return self.found["concepts"]

    def __len__(self) -> int:
        return len(self.concepts)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{c['index']}</td><td>{c['change']}</td><td>{', '.join(c['words'][:4])}</td>"
            f"<td>{', '.join(c['words_counterpart'][:4])}</td></tr>"
            for c in self.concepts
        )
        return f"<table><tr><th>concept</th><th>change</th><th>before</th><th>after</th></tr>{rows}</table>"


def open_shift(folder: str | Path) -> Shift:
    """The comparison in `folder`.

    Raises:
        ArtifactError: missing, damaged or newer.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND)
    check_files(folder, manifest, "compare")
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        return Shift(folder, manifest, found, tensors["shifts"], tensors["shifted"], tensors["mean_move"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ArtifactError(f"{folder} is damaged ({error}). Remove it and compare again.") from error
