"""A fine-tune on disk: an adapter (or a model) that PEFT and transformers load, its loss, its checkpoints, manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.artifacts import check_files, read_manifest
from vitrail.errors import ArtifactError
from vitrail.finetuning.training import CURVE

KIND = "finetune"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Tuned:
    """A finished fine-tune. `vitrail.load(base, adapter=tuned.folder)` loads an adapter, `vitrail.load(tuned.folder)` a
    model that was trained in full; the same holds of each of `checkpoints` (step → folder)."""

    folder: Path
    manifest: dict[str, Any]
    loss: dict[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest["parameters"]

    @property
    def checkpoints(self) -> dict[int, Path]:
        found = sorted((self.folder / CHECKPOINTS).glob("step-*"))
        return {int(p.name.removeprefix("step-")): p for p in found}

    def _repr_html_(self) -> str:
        first, best = self.loss["held_out"][0][1], min(v for _, v in self.loss["held_out"])
        return (
            f"<b>Fine-tune</b> ({self.parameters['method']}) of {self.parameters['model']['name']}: "
            f"held-out loss {first:.3f} → {best:.3f} in {len(self.loss['training'])} steps"
        )


def open_tuned(folder: str | Path) -> Tuned:
    """The finished fine-tune in `folder`.

    Raises:
        ArtifactError: missing, unfinished, damaged or newer.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND)
    if not manifest.get("complete"):
        raise ArtifactError(f"The fine-tune in {folder} did not finish. Run it again: it goes on where it stopped.")
    check_files(folder, manifest, "fine-tune")
    return Tuned(folder, manifest, json.loads((folder / CURVE).read_text(encoding="utf-8")))
