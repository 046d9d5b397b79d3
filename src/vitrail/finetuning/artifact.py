"""A fine-tune on disk: an adapter (or a model) that PEFT and transformers load, its loss, checkpoints and manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from vitrail.artifacts import manifest_of, read_finished, read_json, typed
from vitrail.finetuning.options import FineTuneOptions, Method
from vitrail.finetuning.training import CURVE, LossCurve
from vitrail.lmm import ModelDescription
from vitrail.notebook import Shown, View

KIND = "finetune"
CHECKPOINTS = "checkpoints"
#: The kind of a folder in there, which loads like the whole.
CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class _Examples:
    n: int
    held_out: int
    sha256: str


@dataclass(frozen=True)
class _Parameters:
    """What a fine-tune, or a checkpoint of one, was made with, beside the fields of its options."""

    model: dict[str, Any]
    prompt: str
    examples: _Examples
    method: Method

    def __post_init__(self) -> None:
        ModelDescription.from_dict(self.model)


@manifest_of(KIND)
@manifest_of(CHECKPOINT)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of a fine-tune has."""

    parameters: dict[str, Any]

    def __post_init__(self) -> None:
        typed(self.parameters, _Parameters)
        _options_of(self.parameters)


def _options_of(parameters: Mapping[str, Any]) -> FineTuneOptions:
    """The options in the parameters of a manifest."""
    known = {field.name for field in fields(FineTuneOptions)}
    adapters = {"rank", "scale", "dtype"} if parameters["method"] != "lora" else set()
    return FineTuneOptions(**{k: v for k, v in parameters.items() if k in known - adapters})


@dataclass(frozen=True)
class FineTune(Shown):
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
        return _options_of(self.parameters)

    @property
    def n_examples(self) -> int:
        """The number of examples that it learned from."""
        return self.parameters["examples"]["n"]

    @property
    def checkpoints(self) -> dict[int, Path]:
        """Step → folder."""
        found = sorted((self.folder / CHECKPOINTS).glob("step-*"))
        return {int(p.name.removeprefix("step-")): p for p in found}

    def _shown(self) -> View:
        about = (
            f"({self.parameters['method']}) of {self.parameters['model']['name']}: held-out loss "
            f"{self.loss.first:.3f} → {self.loss.lowest:.3f} in {len(self.loss.training)} steps"
        )
        return View("Fine-tune", about, notes=(f"{self.loss.verdict}.",))


def open_finetune(folder: str | Path) -> FineTune:
    """The finished fine-tune in `folder`.

    Raises:
        ArtifactError: missing, unfinished, damaged or newer.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "fine-tune")
    return FineTune(folder, manifest, read_json(folder / CURVE, LossCurve, "fine-tune"))
