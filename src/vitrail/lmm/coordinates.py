"""Where in an image the pieces lie that a model sees of it, whatever its processor does: scale, pad, crop, cut it into
tiles or patches, and put them in another order.

It is measured, not assumed. Pictures of the image's size whose brightness tells the place go through the processor, so
every number that it gives says where in the image it comes from, or that it is padding. In a strip of several images
the brightness tells the place in each, and another picture tells which one it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from vitrail.errors import ModelError
from vitrail.lmm.batches import Batch
from vitrail.lmm.sight import grid_of, look, pictures_of, pixels_of
from vitrail.lmm.torch_backend import TorchBackend
from vitrail.samples import Layout

#: Side of the pieces, in pixels of the processor, where the model does not say how large its patches are.
PIECE = 16
#: A token's embedding is a position of the connector if their cosine is as large.
SAME = 0.999
#: In so many places it is proven that the positions of a connector are where they are said to be.
PROVEN = 8


@dataclass(frozen=True)
class Places:
    """Pieces of what a model sees of one image, and where in the image each lies.

    Args:
        of: for every number of the pixels (views, …) of the image the piece that it belongs to.
        boxes: (pieces, n, 4): left, top, right and bottom of each, as shares of the image's width and height; NaN for a
            piece of padding. A piece has up to n boxes, NaN for the rest: one in each frame of a video that it is of
            (Qwen2-VL makes one piece of two frames).
    """

    of: Int[np.ndarray, "views ..."]
    boxes: Float[np.ndarray, "pieces n 4"]

    def sums(self, values: Float[np.ndarray, "targets views ..."]) -> Float[np.ndarray, "targets pieces"]:
        """The values of all pixels, added up in each piece."""
        pieces = self.of.ravel()
        return np.stack([np.bincount(pieces, v.ravel(), len(self.boxes)) for v in values])

    def raster(
        self, values: Float[np.ndarray, "targets pieces"], height: int, width: int
    ) -> Float[np.ndarray, "targets {height} {width}"]:
        """The values of the pieces as pictures of the image: each is spread evenly over its boxes, so that a picture
        adds up to the values of the pieces that lie in the image."""
        there = ~np.isnan(self.boxes).any(-1)
        left, top, right, bottom = self.boxes[there].T
        across, down = _shares(left, right, width), _shares(top, bottom, height)
        pieces = there.nonzero()[0]
        of_boxes = values[:, pieces] / there.sum(1)[pieces]
        return np.einsum("tb,bh,bw->thw", of_boxes, down, across, optimize=True)


def _shares(start: np.ndarray, end: np.ndarray, n: int) -> Float[np.ndarray, "pieces {n}"]:
    """How much of each span [start, end] within [0, 1] lies in each of `n` equal parts, as shares of the span."""
    edges = np.arange(n + 1) / n
    start, end = start[:, None], end[:, None]
    inside = np.minimum(end, edges[1:]) - np.maximum(start, edges[:-1])
    total = (end - start).clip(1e-9)
    return inside.clip(0) / total


def places_of_pixels(backend: TorchBackend, layout: Layout, request: str) -> Places:
    """The patches of an image of this layout as the model cuts it, from its pixels alone.

    Args:
        request: what the model is asked about the image.

    Raises:
        ModelError: the pixels do not come from the image place by place.
    """
    pixels = pixels_of(_grey(backend, layout, request))[1]
    pictures = pictures_of(pixels)
    if pictures is None:
        of = _rows(pixels, 1)
    else:
        side = _sides(backend)
        grid = tuple(max(1, round(n / s)) for n, s in zip(pictures.shape[-2:], side, strict=True))
        of = _cells(pictures, grid).reshape(pixels.shape)
    seen = measured(backend, layout, request)
    places = _places(backend, of, layout, seen)
    return places if places.boxes.shape[1] == 1 else _places(backend, of, layout, seen, by_frame=True)


def places_of_connector(backend: TorchBackend, layout: Layout, request: str) -> Places:
    """The pieces of an image of this layout that the positions at the connector's output stand for, in
    their order. It is proven that they do: with a piece of a grey picture exchanged, in several places, the state that
    moves most is the one of that place. What the user's image shows does not change the proof.

    Raises:
        ModelError: the connector mixes its positions, or gives them in another order.
        UsageError: no connector was found.
    """
    inputs = _grey(backend, layout, request)
    pixels = pixels_of(inputs)[1]
    seen = look(backend, inputs, ["connector"])["connector"]
    n, pictures = seen.states.shape[0] * seen.states.shape[1], pictures_of(pixels)
    refused = ModelError(
        f"There is no patch map of the connector for this {backend.kind}: its {n} positions are not the patches of the "
        "image in their order. Use a method that starts at the pixels, or occlusion."
    )
    if pictures is None:
        if n == 0 or len(flat(pixels)) % n:
            raise refused
        of = _rows(pixels, len(flat(pixels)) // n)
    else:
        of_view, left = divmod(n, len(pictures))  # some put the views of all images in one row (Pixtral)
        grid = grid_of(backend, inputs, of_view)
        if grid is None or left or grid[0] * grid[1] != of_view:
            raise refused
        of = _cells(pictures, grid).reshape(pixels.shape)
    before = seen.states.reshape(n, -1).float()
    for piece in sorted({round(share * (n - 1)) for share in np.linspace(0, 1, PROVEN)}):
        changed = {**inputs, pixels_of(inputs)[0]: exchanged(pixels, torch.from_numpy(of == piece))}
        after = look(backend, changed, ["connector"])["connector"].states.reshape(n, -1).float()
        if int((after - before).norm(dim=1).argmax()) != piece:
            raise refused
    return _places(backend, of, layout, measured(backend, layout, request))


def places_of_tokens(backend: TorchBackend, layout: Layout, request: str) -> Places:
    """The pieces of an image of this layout that its tokens among those of the text stand for, in their
    order. Some models put the positions of their connector in another order, leave some out, or put marks between them
    (LLaVA-NeXT): a token is then the position whose state is its embedding, and a mark has no place.

    Raises:
        ModelError: the connector has no patch map, or the tokens are not its positions.
        UsageError: no connector was found.
    """
    places = places_of_connector(backend, layout, request)
    noise = np.random.default_rng(0).integers(0, 256, (*layout.size[::-1], 3), dtype=np.uint8)
    inputs = backend.prepare([layout.on(Image.fromarray(noise))], [request])
    tokens = [i for i, token in enumerate(inputs["input_ids"][0].tolist()) if token in backend.image_tokens]
    if len(tokens) == len(places.boxes):
        return places
    positions = look(backend, inputs, ["connector"])["connector"].states.flatten(0, 1).float()
    embedded = backend.states(inputs, [()], tokens, [0], [0] * len(tokens))[0].float() if tokens else positions[:0]
    alike = torch.nn.functional.normalize(embedded, dim=1) @ torch.nn.functional.normalize(positions, dim=1).T
    if not tokens or (best := alike.max(1)).values.max() < SAME:
        raise ModelError(
            f"This {backend.kind} has {len(tokens)} tokens of the image among those of the text, and its connector "
            f"gives {len(positions)} positions, so their places are not known. Use another method."
        )
    placed = (best.values >= SAME).numpy()
    return Places(places.of, np.where(placed[:, None, None], places.boxes[best.indices.numpy()], np.nan))


def exchanged(pixels: Tensor, where: Tensor) -> Tensor:
    """A copy with other pixels at the places that a mask marks."""
    draw = torch.Generator().manual_seed(0)
    noise = 2 * torch.randn(pixels.shape, generator=draw).to(pixels)
    return torch.where(where.to(pixels.device), noise - pixels, pixels)


def flat(pixels: Tensor) -> Float[Tensor, "patches numbers"]:
    """Pixels that a processor gives as patches: one row each."""
    return pixels.reshape(-1, pixels.shape[-1])


def _rows(pixels: Tensor, together: int) -> Int[np.ndarray, ...]:
    """The piece of every number where patches are rows, and so many rows are one piece."""
    n = len(flat(pixels))
    of = np.arange(n) // together
    return np.broadcast_to(of[:, None], (n, pixels.shape[-1])).reshape(pixels.shape)


def _cells(pictures: Tensor, grid: tuple[int, ...]) -> Int[np.ndarray, "views channels height width"]:
    """The piece of every number of pictures that are cut into a grid each, view by view and row by row."""
    views, channels, height, width = pictures.shape
    rows = np.minimum(np.arange(height) * grid[0] // height, grid[0] - 1)
    columns = np.minimum(np.arange(width) * grid[1] // width, grid[1] - 1)
    one = rows[:, None] * grid[1] + columns
    of = np.arange(views)[:, None, None, None] * grid[0] * grid[1] + one
    return np.broadcast_to(of, (views, channels, height, width))


def _sides(backend: TorchBackend) -> tuple[int, int]:
    """Height and width of a patch of the vision encoder, in pixels."""
    config = getattr(backend.model, "config", None)
    vision = getattr(config, "vision_config", None) or getattr(config, "encoder", None)
    size = getattr(vision, "patch_size", None)
    if isinstance(size, tuple | list):
        return int(size[0]), int(size[1])
    return (int(size), int(size)) if isinstance(size, int) else (PIECE, PIECE)


def _places(
    backend: TorchBackend,
    of: Int[np.ndarray, ...],
    layout: Layout,
    seen: tuple[Float[np.ndarray, ...], Float[np.ndarray, ...]],
    by_frame: bool = False,
) -> Places:
    """Where the pieces of an image lie, by the place of every number of its pixels.

    Args:
        of: the piece of every number.
        seen: the place of every number, as `measured` gives it.
        by_frame: whether what a piece shows of several frames becomes a piece for each.
    """
    x, y = seen
    if x.shape != of.shape:
        raise ModelError(
            f"The processor of this {backend.kind} gives pixels of shape {of.shape} for the image, and {x.shape} for "
            "another one of its size. Use the method occlusion."
        )
    n, frames = int(of.max()) + 1, max(len(layout.boxes), 1)
    known = ~np.isnan(x.ravel())
    frame = np.searchsorted([left / layout.size[0] for left, *_ in layout.boxes], x.ravel(), side="right") - 1
    parts = of.ravel() * frames + np.where(known, frame, 0).clip(0)  # of a piece, one in each frame
    if by_frame:
        of, n, frames = parts.reshape(of.shape), n * frames, 1
    parts, x, y = parts[known], x.ravel()[known], y.ravel()[known]
    boxes = np.full((n * frames, 4), np.nan)
    count = np.bincount(parts, minlength=n * frames)
    there = count > 0
    for axis, values in enumerate((x, y)):
        mean = np.bincount(parts, values, n * frames)[there] / count[there]
        square = np.bincount(parts, values**2, n * frames)[there] / count[there]
        half = np.sqrt(3 * (square - mean**2).clip(0)).clip(0.5 / max(layout.size))  # of an even spread over the span
        boxes[there, axis], boxes[there, axis + 2] = (mean - half).clip(0, 1), (mean + half).clip(0, 1)
    several = boxes.reshape(n, frames, 4)
    used = ~np.isnan(several).any(-1)
    order = np.argsort(~used, axis=1, kind="stable")[:, : max(int(used.sum(1).max()), 1)]  # those that are, first
    return Places(of, np.take_along_axis(several, order[..., None], axis=1))


def measured(
    backend: TorchBackend, layout: Layout, request: str
) -> tuple[Float[np.ndarray, ...], Float[np.ndarray, ...]]:
    """For every number of the pixels of an image of this layout where in the image it comes from, as shares of its
    width and height; NaN for padding."""
    width, height = layout.size
    boxes = np.array(layout.boxes or [(0, 0, width, height)])
    black, white, across, down, number = (np.zeros((height, width)) for _ in range(5))
    white += 255
    for k, (left, top, right, bottom) in enumerate(boxes):
        here = slice(top, bottom), slice(left, right)
        across[here] = np.linspace(0, 255, right - left)
        down[here] = np.linspace(0, 255, bottom - top)[:, None]
        number[here] = 255 * k / max(len(boxes) - 1, 1)
    dark, bright, x, y = (_seen(backend, picture, layout, request) for picture in (black, white, across, down))
    range_ = np.where(np.abs(bright - dark) > 1e-3, bright - dark, np.nan)
    which = np.zeros(x.shape, int)
    if len(boxes) > 1:
        share = (_seen(backend, number, layout, request) - dark) / range_
        which = np.nan_to_num(share * (len(boxes) - 1)).round().astype(int).clip(0, len(boxes) - 1)
    found = []
    for axis, (seen, whole) in enumerate(((x, width), (y, height))):
        start, n = boxes[which, axis], boxes[which, axis + 2] - boxes[which, axis]
        found.append((start + (seen - dark) / range_ * (n - 1) + 0.5) / whole)
    return found[0], found[1]


def _grey(backend: TorchBackend, layout: Layout, request: str) -> Batch:
    """A batch of one grey picture."""
    return backend.prepare([layout.on(Image.new("RGB", layout.size, (128, 128, 128)))], [request])


def _seen(backend: TorchBackend, grey: np.ndarray, layout: Layout, request: str) -> np.ndarray:
    picture = layout.on(Image.fromarray(grey.round().astype(np.uint8)).convert("RGB"))
    return pixels_of(backend.prepare([picture], [request]))[1].float().cpu().numpy()
