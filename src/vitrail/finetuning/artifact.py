"""A fine-tune on disk: an adapter (or a model) that PEFT and transformers load, its loss, checkpoints and manifest."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vitrail.artifacts import read_finished, read_json
from vitrail.finetuning.options import FineTuneOptions
from vitrail.finetuning.training import CURVE, LossCurve

KIND = "finetune"
CHECKPOINTS = "checkpoints"
#: The kind of a folder in there, which loads like the whole.
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class FineTune:
    """A finished fine-tune.

    `vitrail.load(base, adapter=found.folder)` loads an adapter, `vitrail.load(found.folder)` a model trained in full.
    Checkpoints load in the same way.
    """

    folder: Path
    manifest: dict[str, Any]
    loss: LossCurve

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest["parameters"]

    @property
    def options(self) -> FineTuneOptions:
        """How it was trained; passed to `finetune`, they train in the same way again."""
        known = {field.name for field in fields(FineTuneOptions)}
        adapters = {"rank", "scale", "dtype"} if self.parameters["method"] != "lora" else set()
        return FineTuneOptions(**{k: v for k, v in self.parameters.items() if k in known - adapters})

    @property
    def n_examples(self) -> int:
        """The number of examples that it learned from."""
        return self.parameters["examples"]["n"]

    @property
    def checkpoints(self) -> dict[int, Path]:
        """Step → folder."""
        found = sorted((self.folder / CHECKPOINTS).glob("step-*"))
        return {int(p.name.removeprefix("step-")): p for p in found}

    def _repr_html_(self) -> str:
        return (
            f"<b>Fine-tune</b> ({self.parameters['method']}) of {self.parameters['model']['name']}: "
            f"held-out loss {self.loss.first:.3f} → {self.loss.lowest:.3f} in {len(self.loss.training)} steps"
        )


def open_finetune(folder: str | Path) -> FineTune:
    """The finished fine-tune in `folder`.

    Raises:
        ArtifactError: missing, unfinished, damaged or newer.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "fine-tune")
    return FineTune(folder, manifest, read_json(folder / CURVE, LossCurve, "fine-tune"))
