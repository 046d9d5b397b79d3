"""What a manifest says of a model: everything that changes its states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
        fingerprint: a hash of the weights.
        quantization: how the weights are quantised; None if they are not.
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

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a manifest, where `kind` is called "class"."""
        values = {("class" if name == "kind" else name): value for name, value in vars(self).items()}
        values["parts"] = dict(self.parts)
        if self.quantization is None:
            del values["quantization"]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelDescription:
        """The description in a manifest; fields that it does not know are left out."""
        known = {("kind" if name == "class" else name): value for name, value in values.items()}
        return cls(**{name: value for name, value in known.items() if name in cls.__dataclass_fields__})

    @property
    def weights_dtype(self) -> str:
        """What `load` takes as `dtype` to load the same weights in the same precision."""
        return self.quantization or self.dtype

    def differences(self, other: ModelDescription) -> list[str]:
        """How `other` differs, one phrase per field."""
        here, there = self.as_dict(), other.as_dict()
        return [
            f"{name}: {here.get(name)!r} there, {there.get(name)!r} here"
            for name in sorted({*here, *there})
            if here.get(name) != there.get(name)
        ]
