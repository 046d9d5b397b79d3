"""What a manifest says of a model: everything that changes its states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitrail.artifacts import differences, plain, typed

#: What version 0.1.0 did not write.
NEWER = ("active", "template", "prompt_template", "videos", "tokenizer", "images", "generation", "config")
#: What is left out of a manifest where it is None.
OPTIONAL = frozenset({"quantization", *NEWER})


@dataclass(frozen=True)
class ModelDescription:
    """A model as it was loaded. Two models with equal descriptions give the same states.

    Args:
        name: its folder, or its name on the hub.
        revision: of a model on the hub.
        adapter: the PEFT adapter on top of it.
        kind: its class.
        dtype: of the weights.
        n_blocks: number of the decoder's blocks.
        n_features: width of its states.
        parts: which modules were taken for blocks, final norm and unembedding.
        fingerprint: a hash of all the weights.
        quantization: how the weights are quantised; None if they are not.
        active: the adapters that act, with their strengths; None without any. This and the following are None in what
            version 0.1.0 wrote.
        template: how a request and its answer become text.
        prompt_template: how a user wanted the model to be asked, as `load` takes it; None for its own way.
        videos: how the model was given a video, as `load` takes it; None for frame by frame.
        tokenizer: a hash of how text becomes tokens.
        images: the settings of what prepares images.
        generation: the settings of generation; those of Vitrail's own are greedy.
        config: a hash of the model's configuration.
    """

    name: str
    revision: str | None
    adapter: str | None
    kind: str
    dtype: str
    n_blocks: int
    n_features: int
    parts: Mapping[str, str]
    fingerprint: str
    quantization: str | None = None
    active: Mapping[str, Any] | None = None
    template: str | None = None
    prompt_template: str | None = None
    videos: str | None = None
    tokenizer: str | None = None
    images: Mapping[str, Any] | None = None
    generation: Mapping[str, Any] | None = None
    config: str | None = None

    @property
    def title(self) -> str:
        """The model in a word or two: the last part of its folder or name, and that of its adapter."""
        name = Path(self.name).name or self.name
        return name if not self.adapter else f"{name} + {Path(self.adapter).name}"

    @property
    def is_older(self) -> bool:
        """Whether version 0.1.0 wrote it, which knew a model by the ends of its weights alone."""
        return len(self.fingerprint) == 16

    def as_older(self, fingerprint: str) -> ModelDescription:
        """What version 0.1.0 would have written, with its own hash of the weights."""
        unknown: dict[str, Any] = dict.fromkeys(NEWER)
        return replace(self, fingerprint=fingerprint, **unknown)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a manifest, where `kind` is called "class"."""
        values = {("class" if name == "kind" else name): value for name, value in vars(self).items()}
        values["parts"] = dict(self.parts)
        return {name: value for name, value in values.items() if value is not None or name not in OPTIONAL}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelDescription:
        """The description in a manifest; fields that it does not know are left out.

        Raises:
            ValueError: it lacks a field, or one is of another type.
        """
        return typed({("kind" if name == "class" else name): value for name, value in values.items()}, cls)

    @property
    def weights_dtype(self) -> str:
        """What `load` takes as `dtype` to load the same weights in the same precision."""
        return self.quantization or self.dtype

    def differences(self, other: ModelDescription) -> list[str]:
        """How `other` differs, one phrase for each place: "dtype is … there and … here"."""
        return differences(plain(self.as_dict()), plain(other.as_dict()))
