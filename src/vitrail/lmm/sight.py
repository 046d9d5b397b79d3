"""The image's side of a model: what modules of the vision encoder and of the connector make of an image.

A layer there is called "vision" or "connector", or is a module inside one of them, by its name, such as
"vision.encoder.layers.3". What such a module gives are positions; where they are patches of the image, each has its
place in a grid over what the model sees, which is the image as its processor crops and scales it. Some models see an
image in several views (tiles).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.errors import ModelError, UsageError
from vitrail.lmm import hooks
from vitrail.lmm.batches import Batch
from vitrail.lmm.families import family_of
from vitrail.lmm.options import Layer
from vitrail.lmm.parts import unwrapped
from vitrail.lmm.torch_backend import TorchBackend

#: How many positions may stand before the patches: none, a class token, or that and four registers.
BEFORE = (0, 1, 5)
#: By how many patches a connector may make one, on either side.
MERGED = (2, 3, 4)
#: What processors call the pixels of images, and of videos.
PIXELS = ("pixel_values", "pixel_values_videos")


@dataclass(frozen=True)
class Seen:
    """What a module makes of one image.

    Args:
        states: (views, positions, features), in the model's dtype.
        grid: rows and columns of patches in a view; None where the positions are no patches.
    """

    states: Float[Tensor, "views positions d"]
    grid: tuple[int, int] | None

    @property
    def patches(self) -> Float[Tensor, "views patches d"]:
        """The states of the patches, row by row, without class tokens before them; all states without a grid."""
        n = self.states.shape[1] if self.grid is None else self.grid[0] * self.grid[1]
        return self.states[:, -n:]

    @property
    def mean(self) -> Float[Tensor, " d"]:
        """The mean over the patches of all views, in the states' dtype."""
        return self.patches.float().mean((0, 1)).to(self.states.dtype)


def modules_of(backend: TorchBackend, layers: Sequence[Layer]) -> dict[Layer, str]:
    """Layer → the whole name of its module in the model.

    Raises:
        UsageError: there is no such module, or several could be meant; some that exist are named.
    """
    return {layer: _module_of(backend, str(layer)) for layer in layers}


def _module_of(backend: TorchBackend, layer: str) -> str:
    side, _, path = layer.partition(".")
    roots = backend.sight.get(side, ())
    known = dict(unwrapped(backend.model).named_modules())
    within = [f"{root}.{path}" for root in roots] if path else list(roots)
    if any(path == root or path.startswith(f"{root}.") for root in roots):
        within = [path]
    found = [name for name in within if name in known]
    if len(found) == 1:
        return found[0]
    if not roots:
        raise UsageError(f"No {side} was found in this {backend.kind}, so there is no layer {layer!r}.")
    some = ", ".join([f"{side}.{name}" for name in (found or _inside(known, roots))][:12])
    many = f"{len(found)} modules could be meant by the layer" if found else "There is no layer"
    raise UsageError(f"{many} {layer!r} in this {backend.kind}. Name one of its modules, such as {some}.")


def _inside(known: Mapping[str, Any], roots: Sequence[str]) -> Iterator[str]:
    """Names of modules inside `roots`, relative to it where there is one: blocks first, then the others."""
    names = [n for root in roots for n in known if n.startswith(f"{root}.")]
    for name in sorted(names, key=lambda n: (not n.rpartition(".")[2].isdigit(), n.count("."))):
        yield name.removeprefix(f"{roots[0]}.") if len(roots) == 1 else name


def look(backend: TorchBackend, inputs: Batch, layers: Sequence[Layer]) -> dict[Layer, Seen]:
    """Layer → what its module makes of the one image in `inputs`.

    Raises:
        UsageError: there is no such module.
        ModelError: the image is padded, a module did not run once, or what it gives has no positions.
    """
    _refuse_padding(backend, inputs)
    found = _captured(backend, inputs, layers)
    return {layer: Seen(states, grid_of(backend, inputs, states.shape[1])) for layer, states in found.items()}


@torch.inference_mode()
def _captured(backend: TorchBackend, inputs: Batch, layers: Sequence[Layer]) -> dict[Layer, Tensor]:
    base, names = unwrapped(backend.model), modules_of(backend, layers)
    modules = {str(layer): base.get_submodule(name) for layer, name in names.items()}
    with hooks.capture(modules, lambda states: states, states_of=positions) as captured:
        backend.run(inputs)
    return {layer: captured[str(layer)].cpu() for layer in layers}


def positions(output: object, where: str) -> Float[Tensor, "views positions d"]:
    """The (views, positions, features) in what a module of the image's side gives: one view where it gives no views.

    Raises:
        ModelError: there is no such tensor.
    """
    first = next(iter(output.values())) if isinstance(output, dict) and output else output
    tensor = first[0] if isinstance(first, tuple | list) and first else first
    if not isinstance(tensor, Tensor) or tensor.ndim not in (2, 3):
        came = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ModelError(
            f"Expected ([views,] positions, features) from {where}; it returned {came}. Name a module inside it."
        )
    return tensor if tensor.ndim == 3 else tensor[None]


def _refuse_padding(backend: TorchBackend, inputs: Batch) -> None:
    mask = inputs.get("pixel_attention_mask")
    if family_of(backend.family).pads_patches or (mask is not None and not mask.bool().all()):
        raise ModelError(
            f"This {backend.kind} pads the patches of an image, and does not say which states are padding; the states "
            "of its vision encoder and connector cannot be read."
        )


def pixels_of(inputs: Batch) -> tuple[str, Tensor]:
    """The name and the values of what a batch holds of the images: its pixels, as the processor gives them.

    Raises:
        ModelError: there is no such tensor, or more than one.
    """
    floats = [k for k, v in inputs.items() if isinstance(v, Tensor) and v.is_floating_point()]
    found = [name for name in PIXELS if name in inputs] or floats
    if len(found) != 1:
        raise ModelError(f"Expected one tensor of pixels in a batch; found {', '.join(found) or 'none'}.")
    return found[0], inputs[found[0]]


def _pixels(inputs: Batch) -> Tensor | None:
    found = (inputs[name] for name in PIXELS if name in inputs)
    return next(map(pictures_of, found), None)


def pictures_of(pixels: Tensor) -> Tensor | None:
    """(views, channels, height, width): what the model sees; None where its processor gives no picture."""
    return pixels.flatten(0, -4) if pixels.ndim in (4, 5) else None


def grid_of(backend: TorchBackend, inputs: Batch, n: int) -> tuple[int, int] | None:
    """Rows and columns of patches, if `n` positions can be a view's patches: each, several in one, or after a class
    token."""
    config = unwrapped(backend.model).config
    vision = getattr(config, "vision_config", None) or getattr(config, "encoder", None)
    size = getattr(vision, "patch_size", None)
    pixels = _pixels(inputs)
    if pixels is None or size is None:
        return None
    down, across = size if isinstance(size, tuple | list) else (size, size)
    rows, columns = pixels.shape[-2] // down, pixels.shape[-1] // across
    if n - rows * columns in BEFORE:
        return rows, columns
    merged = (s for s in MERGED if rows % s == columns % s == 0 and n * s * s == rows * columns)
    return next(((rows // s, columns // s) for s in merged), None)


def prove_places(backend: TorchBackend, inputs: Batch, layers: Sequence[Layer]) -> None:
    """Proves that every patch of the one image in `inputs` stands where `Seen` says: a piece of the picture is
    exchanged, in several places, and the state that moves most must be the one of that place.

    Raises:
        ModelError: the positions of a layer are no patches of a grid, or stand elsewhere.
    """
    before, pixels = look(backend, inputs, layers), _pixels(inputs)
    for layer, seen in before.items():
        if seen.grid is None or pixels is None or len(pixels) != len(seen.states):
            raise ModelError(
                f"The {seen.states.shape[1]} positions of layer {layer!r} are not known to be patches of the image in "
                "their order, so they have no coordinates. Take their mean, or name another module."
            )
        rows, columns = seen.grid
        cells = {(len(pixels) - 1, 0, columns - 1), (0, rows - 1, 0), (0, rows // 2, columns // 2)}
        for cell in sorted(cells):
            name, given = pixels_of(inputs)
            changed = replace_cell(pixels, cell, seen.grid).reshape(given.shape)
            after = look(backend, {**inputs, name: changed}, [layer])[layer]
            moved = (after.patches.float() - seen.patches.float()).norm(dim=-1)
            at = divmod(int(moved.argmax()), rows * columns)
            place = (at[0], *divmod(at[1], columns))
            if place != cell:
                raise ModelError(
                    f"The states of layer {layer!r} are not in the order of the patches: with the piece (view, row, "
                    f"column) {cell} of the picture exchanged, the state at {place} moved most. Take their mean."
                )


def replace_cell(
    pixels: Float[Tensor, "views channels height width"], cell: tuple[int, int, int], grid: tuple[int, int]
) -> Float[Tensor, "views channels height width"]:
    """A copy with other pixels in one cell (view, row, column) of a grid over every view."""
    view, row, column = cell
    down, across = pixels.shape[-2] // grid[0], pixels.shape[-1] // grid[1]
    changed = pixels.clone()
    here = changed[view, :, row * down : (row + 1) * down, column * across : (column + 1) * across]
    draw = torch.Generator().manual_seed(0)
    here.copy_(2 * torch.randn(here.shape, generator=draw).to(here) - here)
    return changed
