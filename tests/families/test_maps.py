"""Maps in the coordinates of the user's image, for every family: a patch is painted into the image, and maps follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vitrail.errors import ModelError, UsageError
from vitrail.learners import PCA
from vitrail.lmm.coordinates import measured
from vitrail.lmm.sight import pixels_of
from vitrail.maps import MapOptions, Question, Targets
from vitrail.maps.image_maps import shape_of
from vitrail.maps.methods.registry import METHODS
from vitrail.samples import Layout

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

#: Of width and height: square, wide and high, so that processors scale, pad, crop and tile.
SIZES = [(56, 56), (84, 56), (56, 84)]
#: How a connector without a patch map is refused.
REFUSED = r"occlusion|No connector|could be meant|run once|pads|returned"
#: Left and top corner of a patch, as shares of the free room.
CORNERS = [(0.1, 0.1), (0.9, 0.5)]
SIDE = 26
GREY = (128, 128, 128)

#: Families through which no derivative goes back to the image.
NOT_DIFFERENTIABLE = {"Chameleon"}
#: Families whose connector has no patch map: it mixes or moves positions, is none, or cannot be read as a whole.
NO_TOKENS = {
    "Idefics",
    "Idefics2",
    "Mllama",
    "BLIP-2 (OPT)",
    "BLIP-2 (T5)",
    "InstructBLIP",
    "Molmo2",
    "Qwen2.5-VL",  # its connector reads the patches window by window
    "GIT",  # its connector puts out the class token, too
    "Aya Vision",
    "Chameleon",
    "Kosmos-2",
    "ViT + GPT-2",
    "ViT + BERT",
    "Florence-2",
}


def painted(size: tuple[int, int], corner: tuple[float, float]) -> tuple[Image.Image, tuple[slice, slice]]:
    """A grey image with a patch of noise, and the rows and columns of its map that the patch covers."""
    width, height = size
    left, top = (round(c * (n - SIDE)) for c, n in zip(corner, size, strict=True))
    image = np.full((height, width, 3), 128, np.uint8)
    image[top : top + SIDE, left : left + SIDE] = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3))
    rows, columns = shape_of(Layout(size))
    down, across = rows / height, columns / width
    return Image.fromarray(image), (
        slice(round(top * down), round((top + SIDE) * down)),
        slice(round(left * across), round((left + SIDE) * across)),
    )


def question(lmm, image: Image.Image, method: str) -> Question:
    """The activation of one direction at the end of the prompt."""
    learner = PCA(1)
    learner.components_ = np.random.default_rng(3).standard_normal((1, lmm.n_features)).astype(np.float32)
    learner.mean_, learner.n_features_in_ = np.zeros(lmm.n_features, np.float32), lmm.n_features
    targets = Targets(lmm, learner, lmm.n_blocks, ((0,),))
    options = MapOptions(method, steps=2, cells=4)
    return Question(targets, [image], [lmm.prompt], [()], options, shape_of(Layout.of(image)))


def quadrant(drawn: np.ndarray) -> tuple[int, int]:
    """The quarter of the image, by row and column, where a map shows most."""
    rows, columns = (n // 2 for n in drawn.shape)
    sizes = np.abs(drawn)
    halves = [
        [sizes[r, c].sum() for c in (slice(columns), slice(columns, None))] for r in (slice(rows), slice(rows, None))
    ]
    return divmod(int(np.argmax(halves)), 2)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_numbers_of_the_processor_come_from_where_it_is_measured(tiny, size):
    """Against what the processor does with another picture: the numbers that change are those of the changed place."""
    x, y = measured(tiny.backend, Layout(size), tiny.prompt)
    for corner in CORNERS:
        image, (rows, columns) = painted(size, corner)
        image, grey = (pixels_of(tiny.prepare([i], [tiny.prompt]))[1] for i in (image, Image.new("RGB", size, GREY)))
        moved = (image - grey).abs().float().numpy()
        if moved.sum() == 0:  # the processor cuts that part of the image off
            continue
        height, width = shape_of(Layout(size))
        near = 5 / min(size)  # what is scaled spreads a little
        inside = (x > columns.start / width - near) & (x < columns.stop / width + near)
        inside &= (y > rows.start / height - near) & (y < rows.stop / height + near)
        assert moved[inside].sum() / moved.sum() > 0.97


#: The quarters of an image that a patch is painted into.
QUARTERS = [(0, 0), (1, 0), (1, 1)]


def painted_quarter(quarter: tuple[int, int]) -> Image.Image:
    """A grey image of 112 pixels a side, with a patch of noise in the outer part of one quarter."""
    image = np.full((112, 112, 3), 128, np.uint8)
    top, left = (2 + 78 * q for q in quarter)
    image[top : top + 30, left : left + 30] = np.random.default_rng(0).integers(0, 256, (30, 30, 3))
    return Image.fromarray(image)


@pytest.mark.parametrize("method", ["integrated-gradients", "gradient"])
def test_a_map_of_pixels_shows_nothing_where_the_image_is_its_own_baseline(tiny, family, method):
    """Whatever the weights: far from the patch the blurred image is the image."""
    if family.name in NOT_DIFFERENTIABLE:
        with pytest.raises(ModelError, match="Use the method occlusion"):
            METHODS[method].make(question(tiny, painted_quarter((0, 0)), method))
        return
    for quarter in QUARTERS:
        drawn = np.abs(METHODS[method].make(question(tiny, painted_quarter(quarter), method))[0, 0])
        far = np.flip(drawn, [axis for axis, q in enumerate(quarter) if q])[80:, 80:]
        assert drawn.sum() > 0
        assert far.sum() / drawn.sum() < 0.02


def test_a_map_by_occlusion_is_by_how_much_the_activation_falls(tiny):
    """Against the model itself, with the whole image covered by a single window."""
    image = painted_quarter((0, 0))
    asked = question(tiny, image, "occlusion")
    asked = replace(asked, options=replace(asked.options, cells=1))
    covered = Image.new("RGB", image.size, tuple(int(c) for c in np.asarray(image).mean((0, 1)).round()))
    fall = asked.values([image], 0) - asked.values([covered], 0)
    np.testing.assert_allclose(METHODS["occlusion"].make(asked).sum(), fall[0, 0], rtol=1e-3)


@pytest.mark.parametrize("size", [(112, 112), (168, 112)], ids=str)
def test_tokens_are_where_their_pieces_say_or_refused(tiny, family, size):
    """Against a plain look at the connector: what moves most lies in the quarter of the user's image that changed."""
    draw = np.random.default_rng(0)
    image, other = (draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(2))
    inputs = tiny.prepare([Image.fromarray(image)], [tiny.prompt])
    if family.name in NO_TOKENS - {"Molmo2"}:
        with pytest.raises((ModelError, UsageError), match=REFUSED):
            tiny.places(size, tiny.prompt, "connector")
        return
    places = tiny.places(size, tiny.prompt, "connector")
    before = tiny.seen(inputs, ["connector"])["connector"].states.float()
    for quarter in QUARTERS if family.name != "Molmo2" else ():  # whose tiny connector makes one position of a view
        changed = image.copy()
        part = tuple(slice(q * n // 2, (q + 1) * n // 2) for q, n in zip(quarter, image.shape[:2], strict=True))
        changed[part] = other[part]
        painted = tiny.prepare([Image.fromarray(changed)], [tiny.prompt])
        after = tiny.seen(painted, ["connector"])["connector"].states.float()
        moved = (after - before).norm(dim=-1).flatten().double().numpy()
        assert quadrant(places.raster(moved[None], *shape_of(Layout(size)))[0]) == quarter


def test_a_map_of_tokens_is_drawn_where_the_connector_has_a_patch_map(tiny, family):
    asked = question(tiny, painted_quarter((0, 0)), "gradient-tokens")
    if family.name in NO_TOKENS:
        with pytest.raises((ModelError, UsageError), match=REFUSED):
            METHODS["gradient-tokens"].make(asked)
        return
    drawn = METHODS["gradient-tokens"].make(asked)
    assert drawn.shape == (1, 1, *asked.shape)
    assert np.isfinite(drawn).all()
    assert np.abs(drawn).sum() > 0
