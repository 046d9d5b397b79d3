"""`steer`: a model whose states are changed, for as long as a `with` block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.hooks import Edits, Tally
from vitrail.lmm.positions import Pass
from vitrail.steering.artifact import Steering
from vitrail.steering.interventions import Intervention


@dataclass
class Steered:
    """How much a `with steer(...)` block did so far.

    `selected` is how many positions the interventions asked for (over layers, rows and passes), `changed` at how many
    the states became others: fewer when a condition did not fire, or when a change is lost in the dtype's rounding.
    """

    edits: Edits
    _selected: Tally = field(default_factory=Tally, repr=False)

    @property
    def passes(self) -> int:
        """How many times the model ran its edited blocks."""
        return max(self.edits.calls.values(), default=0)

    @property
    def selected(self) -> int:
        return int(self._selected)

    @property
    def changed(self) -> int:
        return sum(self.edits.changed.values())


@contextmanager
def steer(lmm: LMM, *interventions: Intervention | Steering) -> Iterator[Steered]:
    """Applies `interventions`, one after the other, in every forward pass of `lmm` inside the `with` block.

    Captions, answers and states are then those of the steered model; afterwards, and after any exception, the model is
    as before. Blocks may be nested. A `Steering` is applied at strength 1, to the model that it was made on;
    `Steering.intervention` gives others, for any model of that width.

    Raises:
        ArtifactError: a `Steering` was made on other weights.
        UsageError: no intervention; a layer that does not exist, or that one intervention names twice (−1 and N); or a
            vector of another width.
        ModelError: a pass that cannot be followed, or an edited block that did not run once in it.

    >>> with vitrail.steer(lmm, Add({-1: vector})):  # doctest: +SKIP
    ...     lmm.caption(images)
    """
    if not interventions:
        raise UsageError("There is no intervention to steer with.")
    resolved: list[tuple[Intervention, dict[Layer, Layer], dict[Layer, Layer]]] = []
    for given in interventions:
        if isinstance(given, Steering):
            given.check(lmm)
        one = given.intervention() if isinstance(given, Steering) else given
        _check_width(one, lmm)
        _check_order(one, lmm)
        resolved.append((one, lmm.own_names(one.reads), lmm.own_names(one.layers)))
    selected = Tally()

    def change(layer: Layer, states: Tensor, now: Pass) -> Tensor:
        for one, reads, changes in resolved:
            if layer in reads:
                one.read(reads[layer], states, now)
            if layer in changes:
                own = changes[layer]
                where = now.mask(one.positions)
                selected.add(where)
                moved = one.move(own, states, now)
                if moved is not states:
                    states = torch.where(where[..., None], moved, states)
        return states

    layers = sorted({v for _, reads, changes in resolved for v in (*reads, *changes)}, key=_depth)
    with lmm.edited(layers, change) as edits:
        yield Steered(edits, selected)


def _check_width(one: Intervention, lmm: LMM) -> None:
    directions: dict[Layer, Tensor] = getattr(one, "directions", {})
    for layer, d in directions.items():
        if d.shape[-1] != lmm.n_features:
            raise UsageError(
                f"The vector of layer {layer} has {d.shape[-1]} features; the states of {lmm.name} have "
                f"{lmm.n_features}. Make it from this model's states."
            )


def _depth(layer: Layer) -> float:
    return float("inf") if layer == "final" else float(layer)


def _check_order(one: Intervention, lmm: LMM) -> None:
    first = min(map(lmm.layer, one.layers), key=_depth)
    late = [v for v in one.reads if _depth(lmm.layer(v)) > _depth(first)]
    if late:
        raise UsageError(f"The states of layer {late[0]} come too late to change those of layer {first}.")
