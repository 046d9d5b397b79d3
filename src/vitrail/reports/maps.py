"""The maps of one image as a picture: the image, and over it what raises each concept, on one scale."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from vitrail.evaluation.ablation import Counterfactual, Reworded
from vitrail.maps import ImageMaps, TargetMap
from vitrail.reports.explanation import INK, SOFT, plain_text, save_figure
from vitrail.scores.maps import in_pieces
from vitrail.scores.verdicts import percent

#: Perceptually uniform, and read the same by people who see fewer colours.
COLOURS = "viridis"
#: How far the overlay hides the image where it is strongest.
OPACITY = 0.72
#: The width of the figure, in inches.
_WIDTH = 9.3
_FIELDS = [
    *(f"top {side}".strip() for side in ("left", "", "right")),
    *("left", "middle", "right"),
    *(f"bottom {side}".strip() for side in ("left", "", "right")),
]


def maps_figure(maps: ImageMaps, without: Sequence[Counterfactual] = ()) -> Figure:
    """The maps as a figure: the image, and a panel for each concept and for the word; what lowers a value is not drawn.
    Below a concept stands what the model says `without` it, where that is given.

    The concepts have one scale. The word's logit has other units, so it has a scale of its own.
    """
    picture = np.asarray(Image.open(io.BytesIO(maps.thumbnail)).convert("RGB"))
    columns, high = _panels(picture.shape[1] / picture.shape[0])
    rows = -(-(1 + len(maps.maps)) // columns)
    figure = Figure(figsize=(_WIDTH, 1.4 + high * rows), layout="constrained")
    figure.get_layout_engine().set(hspace=0.14, rect=(0, 0, 1, 0.97))  # type: ignore[union-attr, call-arg]
    # each panel spans some of six columns, so that the two scales below share the width whatever their number
    grid = figure.add_gridspec(rows + 1, 6, height_ratios=[*[1] * rows, 0.153 / high])
    span = 6 // columns
    axes = [
        figure.add_subplot(grid[i // columns, i % columns * span : (i % columns + 1) * span])
        for i in range(1 + len(maps.maps))
    ]
    _show_image(axes[0], picture, maps)
    said = {one.concept: one for one in without}
    for panel, one in zip(axes[1:], maps.maps, strict=True):
        _show(panel, picture, one, scale_of(maps, one))
        _show_value(panel, maps, one, None if one.concept is None else said.get(one.concept))
    words = [one for one in maps.maps if one.concept is None]
    concepts = [one for one in maps.maps if one.concept is not None]
    for alike, place, what in ((concepts, grid[rows, :4], "× typical activation"), (words, grid[rows, 4:], "logit")):
        if alike:
            _show_scale(figure.add_subplot(place), scale_of(maps, alike[0]), what)
    plain_text(figure.suptitle(f"{maps.method}: {maps.answers}", fontsize=10, color=SOFT, y=0.995))
    return figure


def _panels(ratio: float) -> tuple[int, float]:
    """Panels side by side, and the height of a row in inches, for pictures that are so many times as wide as high."""
    columns = 3 if ratio <= 1.8 else 2 if ratio <= 4 else 1
    return columns, 3.4 if columns == 3 else 1.2 + _WIDTH / columns / ratio


def _show_image(axes: Axes, picture: np.ndarray, maps: ImageMaps) -> None:
    axes.set_axis_off()
    axes.imshow(picture, interpolation="lanczos")
    plain_text(axes.set_title(f"“{maps.word.strip()}”", fontsize=12, loc="left", color=INK))
    caption = textwrap.fill(maps.caption, 38, max_lines=3)
    plain_text(axes.text(0, -0.03, caption, transform=axes.transAxes, va="top", fontsize=8.5, color=SOFT))


def _show_scale(axes: Axes, scale: float, what: str) -> None:
    axes.figure.colorbar(ScalarMappable(Normalize(0, scale), COLOURS), cax=axes, orientation="horizontal")
    axes.set_xlabel(f"raised by, per 1 % of the image ({what})", fontsize=8, color=SOFT)
    axes.tick_params(labelsize=7.5)


def scale_of(maps: ImageMaps, one: TargetMap) -> float:
    """The largest value that is drawn beside a map: over all concepts, or of the word."""
    return scale_over(m.shares for m in maps.maps if (m.concept is None) == (one.concept is None))


def scale_over(several: Iterable[Float[np.ndarray, "height width"]]) -> float:
    """The largest value that is drawn in several maps."""
    return max((float(per_hundredth(shares).max()) for shares in several), default=0.0) or 1e-9


def per_hundredth(shares: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """The shares of a map for each hundredth of the image, those below 0 as 0."""
    return np.maximum(shares, 0) * shares.size / 100


def where(shares: Float[np.ndarray, "height width"]) -> str:
    """In words where in an image the most of what raises a value lies: the strongest of nine fields, down to a tenth.

    >>> where(np.eye(3))
    'top left 33 %, middle 33 %, bottom right 33 %'
    """
    fields = fields_of(shares)
    if not fields.any():
        return "nowhere"
    order = [i for i in np.argsort(-fields.ravel(), kind="stable")[:3] if fields.ravel()[i] >= 0.1]
    return ", ".join(f"{_FIELDS[i]} {percent(float(fields.ravel()[i]))}" for i in order) or "everywhere"


def fields_of(shares: Float[np.ndarray, "height width"]) -> Float[np.ndarray, "3 3"]:
    """How all that raises a value is shared among the nine fields of an image, row by row; zeros where nothing does."""
    fields = in_pieces(np.maximum(shares, 0), 3)
    return fields / (fields.sum() or 1.0)


def overlay_png(shares: Float[np.ndarray, "height width"], scale: float) -> bytes:
    """A map as a PNG to lay over its image, see `overlay`."""
    buffer = io.BytesIO()
    colours = np.round(255 * overlay(shares, scale)).astype(np.uint8)
    Image.fromarray(colours, "RGBA").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def draw_maps(maps: ImageMaps, out: str | Path, without: Sequence[Counterfactual] = ()) -> Path:
    """Draws the maps (see `maps_figure`) to the file `out`, in the format of its suffix: .png, .svg or .pdf.

    Raises:
        UsageError: `out` has another suffix.
        ArtifactError: `out` cannot be written.
    """
    return save_figure(lambda: maps_figure(maps, without), out)


def overlay(shares: Float[np.ndarray, "height width"], scale: float) -> Float[np.ndarray, "height width 4"]:
    """A map as colours with opacity, both by how much a place raises the value; `scale` has the last colour."""
    share = np.clip(per_hundredth(shares) / scale, 0, 1)
    colours = colormaps[COLOURS](share)
    colours[..., 3] = OPACITY * np.sqrt(share)
    return colours


def _show(axes: Axes, picture: np.ndarray, one: TargetMap, scale: float) -> None:
    height, width = picture.shape[:2]
    axes.set_axis_off()
    axes.imshow(picture, interpolation="lanczos")
    axes.imshow(overlay(one.shares, scale), extent=(-0.5, width - 0.5, height - 0.5, -0.5), interpolation="nearest")
    name = f"the word “{one.title[0]}”" if one.concept is None else f"{one.concept}  {' · '.join(one.title)}"
    plain_text(axes.set_title(textwrap.shorten(name, 40, placeholder=" …"), fontsize=10, loc="left", color=INK))


def _show_value(axes: Axes, maps: ImageMaps, one: TargetMap, without: Counterfactual | None) -> None:
    """Below a panel how large the value is, what each image of a strip adds to it, and what is said without the
    concept."""
    lines = [f"logit {one.value:.2f}" if one.concept is None else f"{one.value:.2f} × typical"]
    if frames := maps.of_frames(one):
        lines += [", ".join(f"image {k}: {share:+.2f}" for k, share in enumerate(frames, 1))]
    if without is not None:
        lines += [
            f"without it: {_changes(without.removed)}",
            f"without a random one of its size: {_changes(without.random)}",
        ]
    lines = [textwrap.shorten(line, 60, placeholder=" …") for line in lines]
    text = "\n".join(lines)
    plain_text(axes.text(0, -0.03, text, transform=axes.transAxes, va="top", fontsize=7.5, color=SOFT))


def _changes(said: Reworded) -> str:
    """Which words a caption lost and gained."""
    changes = [f"− {', '.join(said.lost)}"] * bool(said.lost) + [f"+ {', '.join(said.gained)}"] * bool(said.gained)
    return " ".join(changes) or "the caption stays"
