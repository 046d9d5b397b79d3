"""Whether two models have the same weights up to rounding: one in bfloat16, say, and the other quantised to int8.

A hash tells weights of one precision apart, and none of another. So every linear layer is asked what it does to a few
fixed vectors: that changes by a hundredth in int8, by some tenths in int4, and altogether where a layer is another one.
What it cannot tell is a fine-tune that changes weights by less than their rounding.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

#: How many vectors each layer is given.
VECTORS = 8
#: Root mean square of the differences, in units of a layer's own size, from which on a layer is another one. For
#: Toyland's model it is .01 in int8 and up to .21 in int4; for layers that have nothing in common, about 1.4.
DIFFERENT = 0.5

Likeness = dict[str, list[float]]


@torch.inference_mode()
def likeness(model: nn.Module) -> Likeness:
    """For every linear layer `W` (m, n) of a model, by its name: `sₖᵀ W tₖ / √(m n)` for fixed vectors of signs, and
    last the root mean square of the entries of `W`, as far as these vectors tell it."""
    return {name: _of(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)}


def unlike(found: Mapping[str, list[float]], expected: Mapping[str, list[float]]) -> list[str]:
    """The layers in `expected` that are missing in `found`, or are others there."""
    return [name for name, values in expected.items() if name not in found or _differ(found[name], values)]


def _of(name: str, layer: nn.Linear) -> list[float]:
    place = next(layer.parameters())
    dtype = layer.weight.dtype if layer.weight.is_floating_point() else torch.float16  # of a quantised layer
    inputs = torch.cat([_signs(f"{name} in", layer.in_features), torch.zeros(1, layer.in_features)])
    device = "cpu" if place.is_meta else place.device  # of a layer that is off-loaded, a hook moves the inputs
    made = layer(inputs.to(device, dtype)).float().cpu()
    outputs = (made[:-1] - made[-1]) / layer.in_features**0.5  # without the bias
    each = (outputs * _signs(f"{name} out", layer.out_features)).sum(1) / layer.out_features**0.5
    return [round(v, 6) for v in [*each.tolist(), float(outputs.square().mean().sqrt())]]


def _signs(name: str, length: int) -> Tensor:
    """(VECTORS, length) of −1 and 1, always the same for a name."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randint(0, 2, (VECTORS, length), generator=generator).float() * 2 - 1


def _differ(found: list[float], expected: list[float]) -> bool:
    size = max(expected[-1], found[-1], 1e-12)
    squares = [((a - b) / size) ** 2 for a, b in zip(found, expected, strict=True)]
    return not sum(squares) / len(squares) <= DIFFERENT**2
