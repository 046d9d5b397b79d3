"""What is asked of a method: images, what the model said of them, and the targets whose change is looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from vitrail.learners import Learner
from vitrail.lmm import LMM, Batch, Layer
from vitrail.lmm.coordinates import Places
from vitrail.lmm.tracing import Asked, Entrance
from vitrail.maps.options import MapOptions
from vitrail.samples import Layout

#: Layer → the states of some images there.
States = Mapping[Layer, Float[Tensor, "images d"]]


@dataclass(frozen=True)
class Targets:
    """The numbers whose change is looked for: activations of concepts, and the logit of the word.

    The activation of a concept is its exact one, for Semi-NMF `v(z) = argmin_{v≥0} ‖z − v U‖² + λ‖v‖₁`. Its derivative
    is exact as long as the same concepts are active, and 0 for a concept that is not.

    Args:
        lmm: the model.
        learner: gives activations.
        layer: whose states the concepts were learned from.
        concepts: for each image the numbers of as many of them.
        words: the token that each image's state predicts, the first of the word; None where its logit is no target.
    """

    lmm: LMM
    learner: Learner
    layer: Layer
    concepts: tuple[tuple[int, ...], ...]
    words: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.concepts[0]) + (self.words is not None)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers whose states decide the targets."""
        return tuple(dict.fromkeys([self.layer, *(["final"] if self.words else [])]))

    @property
    def _numbers(self) -> Int[np.ndarray, "images concepts"]:
        return np.array(self.concepts, dtype=int).reshape(len(self.concepts), -1)

    def of(self, images: Sequence[int]) -> Targets:
        """The targets of the images with these numbers."""
        words = None if self.words is None else tuple(self.words[i] for i in images)
        return replace(self, concepts=tuple(self.concepts[i] for i in images), words=words)

    def values(self, states: States) -> Float[np.ndarray, "targets images"]:
        """The targets of the images with these states, in float64."""
        Z = states[self.layer].detach().float().cpu().numpy()
        found = np.take_along_axis(np.asarray(self.learner.transform(Z), np.float64), self._numbers, 1).T
        if self.words is None:
            return found
        logits = self.lmm.logits(states["final"].detach(), "final")
        said = logits[torch.arange(len(logits)), list(self.words)].cpu().numpy()
        return np.concatenate([found, said[None]])

    def gradients(self, states: States) -> dict[Layer, Float[Tensor, "targets images d"]]:
        """Layer → how each target changes with the states there."""
        Z = states[self.layer].detach().float().cpu().numpy()
        rows = np.arange(len(Z))[:, None]
        by_concept = self.learner.derivatives(Z)[rows, self._numbers].transpose(1, 0, 2)
        found = {
            layer: torch.zeros(len(self), *states[layer].shape, device=states[layer].device) for layer in self.layers
        }
        found[self.layer][: by_concept.shape[0]] = torch.from_numpy(np.ascontiguousarray(by_concept)).float()
        if self.words is not None:
            found["final"][-1] += self.lmm.logit_derivatives(states["final"], self.words).float()
        return found


@dataclass(frozen=True)
class Question:
    """Images of one layout, what the model said of them, and the targets.

    Args:
        targets: the numbers whose change is looked for.
        images: of one size, in RGB; or strips of one layout.
        requests: what the model is asked about each.
        continuations: for each the token ids that the model said, up to the state that is meant, which is the one at
            their last position (at the last one of the prompt where there are none).
        options: how maps are made.
        shape: rows and columns of the maps that are wanted.
        known: where pieces lie in images of a layout, of what was asked before; see `places`.
    """

    targets: Targets
    images: Sequence[Image.Image]
    requests: Sequence[str]
    continuations: Sequence[tuple[int, ...]]
    options: MapOptions
    shape: tuple[int, int]
    known: dict[tuple[Any, ...], Places] = field(default_factory=dict, compare=False, repr=False)

    @property
    def lmm(self) -> LMM:
        """The model."""
        return self.targets.lmm

    @property
    def layout(self) -> Layout:
        """The layout of the images."""
        return Layout.of(self.images[0])

    @cached_property
    def inputs(self) -> Batch:
        """The images with their requests, as the model takes them."""
        return self.lmm.prepare(self.images, self.requests)

    def places(self, at: Entrance | Literal["tokens"]) -> Places:
        """Where in the images the pieces lie that the model sees; see `LMM.places`. A question that was made from this
        one knows them, too."""
        key = (self.layout, self.requests[0], at)
        if key not in self.known:
            if any(layout != self.layout for layout, _, _ in self.known):
                self.known.clear()  # of large images they take room, and no more images of that size may come
            self.known[key] = self.lmm.places(self.layout, self.requests[0], at)
        return self.known[key]

    def asked(self) -> Asked:
        """The images and their continuations, as a pass whose graph is kept."""
        width = self.inputs["input_ids"].shape[1]
        positions = [width + len(c) - 1 for c in self.continuations]
        return Asked(self.inputs, self.continuations, positions, self.targets.layers)

    def states(self) -> dict[Layer, Tensor]:
        """The states that are meant."""
        asked = self.asked()
        return self.lmm.states(asked.inputs, asked.continuations, asked.positions, asked.layers)

    def values(self, images: Sequence[Image.Image], which: int) -> Float[np.ndarray, "targets images"]:
        """The targets of other images, each in the place of the image with the number `which`."""
        n, size = len(images), self.options.batch_size
        found = []
        for start in range(0, n, size):
            part = images[start : start + size]
            inputs = self.lmm.prepare(part, [self.requests[which]] * len(part))
            said = self.continuations[which]
            positions = [inputs["input_ids"].shape[1] + len(said) - 1] * len(part)
            targets = self.targets.of([which] * len(part))
            found.append(targets.values(self.lmm.states(inputs, [said] * len(part), positions, targets.layers)))
        return np.concatenate(found, axis=1)
