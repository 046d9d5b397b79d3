"""The surroundings of a Toyland scene: the brush with its light, the sky, the seven places, weather and mood.

Everything here works on the double-size canvas (224 pixels); y points down, as in Pillow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from vitrail.toyland.world import Light, Mood, Place

RGB = tuple[int, int, int]
WIDE = 224
HORIZON = {"grass": 112, "beach": 138, "snow": 114, "street": 122, "water": 98, "forest": 112, "room": 140}
SKIES = {"day": ("#5fb6f0", "#dff3fb"), "night": ("#101a48", "#3d4f95"), "rain": ("#7d8b9c", "#b9c4cd")}
# How light dims the surroundings and, far less, what stands in them: a brown dog stays brown at night.
BEHIND = {"day": (1.0, 1.0, 1.0), "night": (0.5, 0.55, 0.74), "rain": (0.8, 0.86, 0.93)}
FRONT = {"day": (1.0, 1.0, 1.0), "night": (0.87, 0.88, 0.95), "rain": (0.95, 0.97, 1.0)}


@lru_cache(maxsize=8192)
def tone(colour: str | RGB, light: Light, mood: Mood, layer: str) -> RGB:
    """The colour as it looks in that light and mood on a layer: "sky", "behind", "front" or "sign"."""
    rgb = ImageColor.getrgb(colour)[:3] if isinstance(colour, str) else colour
    if layer == "sign":
        return (rgb[0], rgb[1], rgb[2])
    c = np.array(rgb, float)
    if layer != "sky":
        c *= (BEHIND if layer == "behind" else FRONT)[light]
    grey = float(c @ (0.3, 0.59, 0.11))
    if mood == "gloomy":
        keep, dim = (0.96, 1.0) if layer == "front" else (0.33, 0.8)
        c = (grey + (c - grey) * keep) * dim
    elif mood == "cheerful":
        warm = (1.02, 1.0, 0.98) if layer == "front" else (1.07, 1.02, 0.93)
        c = (grey + (c - grey) * (1.1 if layer == "front" else 1.25)) * warm
    r, g, b = np.clip(c, 0, 255).round().astype(int).tolist()
    return (r, g, b)


class Brush:
    """Paints on a canvas in a light and a mood; every colour passes through `tone`.

    `labels` is a picture of the same size (mode L) in which sprites leave their number, see `draw.draw_with_parts`.
    """

    def __init__(self, canvas: Image.Image, light: Light, mood: Mood, rng: np.random.Generator) -> None:
        self.canvas, self.pen = canvas, ImageDraw.Draw(canvas)
        self.light, self.mood, self.rng = light, mood, rng
        self.labels = Image.new("L", canvas.size)
        self.label_pen = ImageDraw.Draw(self.labels)

    def colour(self, colour: str | RGB, layer: str = "behind") -> RGB:
        """The toned colour."""
        return tone(colour, self.light, self.mood, layer)

    def box(self, colour: str, x0: float, y0: float, x1: float, y1: float, layer: str = "behind") -> None:
        """Fills a rectangle."""
        self.pen.rectangle((x0, y0, x1, y1), fill=self.colour(colour, layer))

    def disc(self, colour: str, x: float, y: float, rx: float, ry: float = 0, layer: str = "behind") -> None:
        """Fills an ellipse."""
        ry = ry or rx
        self.pen.ellipse((x - rx, y - ry, x + rx, y + ry), fill=self.colour(colour, layer))

    def shape(self, colour: str, points: list[tuple[float, float]], layer: str = "behind") -> None:
        """Fills a polygon."""
        self.pen.polygon(points, fill=self.colour(colour, layer))

    def stroke(self, colour: str, points: list[tuple[float, float]], width: int, layer: str = "behind") -> None:
        """Draws a line."""
        self.pen.line(points, fill=self.colour(colour, layer), width=width)

    def spots(self, n: int, y0: float, y1: float) -> list[tuple[float, float]]:
        """Random places between two heights."""
        p = self.rng.random((n, 2)) * (WIDE, y1 - y0) + (0, y0)
        return [(float(x), float(y)) for x, y in p.tolist()]


@lru_cache(maxsize=256)
def gradient(top: RGB, bottom: RGB, height: int) -> Image.Image:
    """A vertical gradient as wide as the canvas."""
    t = np.linspace(0, 1, height)[:, None]
    column = np.asarray(top) * (1 - t) + np.asarray(bottom) * t
    return Image.fromarray(column.round().astype(np.uint8)[:, None, :]).resize((WIDE, height))


def wash(b: Brush, top: str, bottom: str, y0: int, y1: int, layer: str = "behind") -> None:
    """Fills the canvas between two heights with a gradient."""
    b.canvas.paste(gradient(b.colour(top, layer), b.colour(bottom, layer), y1 - y0), (0, y0))


def ridge(b: Brush, colour: str, y: float, height: float, waves: float, base: float, layer: str = "behind") -> None:
    """Rolling hills: a random sine ridge filled down to `base`."""
    x = np.linspace(0, WIDE, 24)
    phase, other = b.rng.uniform(0, 2 * np.pi, 2)
    line = y - height * (np.sin(x / WIDE * waves * 6.28 + phase) + 0.5 * np.sin(x / WIDE * waves * 14 + other)) / 1.5
    b.shape(colour, [(0, base), *zip(x.tolist(), line.tolist(), strict=True), (WIDE, base)], layer)


def cloud(b: Brush, x: float, y: float, s: float, colour: str, layer: str = "sky") -> None:
    """A puffy cloud."""
    for dx, dy, r in ((-1.2, 0.1, 0.7), (-0.4, -0.35, 0.9), (0.6, -0.15, 0.8), (1.3, 0.2, 0.55)):
        b.disc(colour, x + dx * s, y + dy * s, r * s, r * s * 0.8, layer)
    b.pen.rounded_rectangle((x - 1.9 * s, y, x + 1.85 * s, y + 0.75 * s), radius=0.37 * s, fill=b.colour(colour, layer))


def star(b: Brush, x: float, y: float, r: float) -> None:
    """A four-pointed star."""
    turn = np.arange(8) * np.pi / 4
    reach = np.where(np.arange(8) % 2, 0.4, 1.0) * r
    points = zip((x + reach * np.cos(turn)).tolist(), (y + reach * np.sin(turn)).tolist(), strict=True)
    b.shape("#fff6c8", list(points), "sign")


def moon(b: Brush, x: float, y: float, r: float, sky: str) -> None:
    """A crescent moon."""
    b.disc("#fff1b8", x, y, r, layer="sign")
    b.disc(sky, x + r * 0.5, y - r * 0.25, r * 0.85, layer="sky")


def sky(b: Brush, horizon: int) -> None:
    """The sky down to the horizon, with sun, moon and stars, or clouds."""
    top, bottom = SKIES[b.light]
    wash(b, top, bottom, 0, horizon + 6, "sky")
    x = float(b.rng.uniform(30, 194))
    if b.light == "night":
        for u, v in b.spots(14, 6, horizon - 12):
            star(b, u, v, 3.0 + 2.5 * float(b.rng.random()))
        moon(b, x, 60, 17, "#1c2759")
    elif b.light == "day":
        b.disc("#fff3b0", x, 50, 20, layer="sky")
        b.disc("#ffd84d", x, 50, 15, layer="sky")
        for u, v in b.spots(2, 48, 78):
            cloud(b, u, v, 10, "#ffffff")
    else:
        for u, v in b.spots(4, 34, 84):
            cloud(b, u, v, 14, "#97a3b0")
    if b.mood == "cheerful":
        rainbow(b, horizon)


def rainbow(b: Brush, horizon: int) -> None:
    """A rainbow that rises from the horizon."""
    x, r = float(b.rng.uniform(70, 154)), 84
    for i, colour in enumerate(("#ee4d4d", "#f79a34", "#fbdc4a", "#56bb5f", "#3f8fe0", "#9460cf")):
        q = r - 4.5 * i
        b.pen.arc(
            (x - q, horizon + 8 - q, x + q, horizon + 8 + q),
            180,
            360,
            fill=b.colour(colour, "front"),
            width=5,
        )


def _grass(b: Brush) -> None:
    ridge(b, "#a5d6a0", 104, 12, 1, 130)
    ridge(b, "#7cc56a", 114, 8, 1.4, 140)
    wash(b, "#79c653", "#4c9f3c", 124, WIDE)
    for i, (x, y) in enumerate(b.spots(14, 132, 222)):
        if i % 2:
            b.stroke("#3c8532", [(x - 4, y - 7), (x, y), (x + 4, y - 8)], 2)
        else:
            for dx, dy in ((-3, 0), (3, 0), (0, -3), (0, 3)):
                b.disc(("#ffffff", "#ff9ec0", "#ffe26a")[i % 3], x + dx, y + dy, 2.6)
            b.disc("#f6b02c", x, y, 2)


def _beach(b: Brush) -> None:
    wash(b, "#2f9fd6", "#6fd3e0", 104, 142)
    for x, y in b.spots(6, 108, 128):
        b.stroke("#c6f1f5", [(x - 10, y), (x + 10, y)], 2)
    ridge(b, "#f4fcfb", 138, 2.5, 2, 160)
    ridge(b, "#e3c482", 143, 2.5, 2, 170)
    wash(b, "#f6dea2", "#e7c27c", 150, WIDE)
    for i, (x, y) in enumerate(b.spots(14, 158, 222)):
        if i < 3:
            points = [
                (
                    x + (8 if k % 2 == 0 else 3.4) * float(np.cos(k * np.pi / 5)),
                    y + (7 if k % 2 == 0 else 3) * float(np.sin(k * np.pi / 5)),
                )
                for k in range(10)
            ]
            b.shape("#f0804f", points)
        else:
            b.disc("#cfa663", x, y, 2.2, 1.4)


def _snow(b: Brush) -> None:
    x = float(b.rng.uniform(30, 180))
    for u, h, w in ((x, 66, 62), ((x + 105) % 230, 50, 54)):
        b.shape("#8fa7cf", [(u - w, 122), (u, 122 - h), (u + w, 122)])
        cap = ((-0.4, 0.6), (0, 1), (0.4, 0.6), (0.12, 0.7), (-0.1, 0.55))
        b.shape("#ffffff", [(u + w * du, 122 - h * dv) for du, dv in cap])
    ridge(b, "#d7e5f6", 114, 8, 1.2, 150)
    wash(b, "#f3f8ff", "#ccdcf0", 126, WIDE)
    ridge(b, "#e4eefb", 168, 6, 1, 225)
    for x, y in b.spots(34, 6, 216):
        b.disc("#ffffff", x, y, 2.4, layer="sky")


def _street(b: Brush) -> None:
    walls = ("#d98a6a", "#e5c07d", "#9cb6c9", "#c6a0b8", "#a7bf9a")
    x, i = -float(b.rng.integers(0, 20)), int(b.rng.integers(5))
    lit = b.light == "night"
    while x < WIDE:
        w, top = 42 + 8 * (i % 3), 36 + 15 * ((i * 7) % 4)
        b.box(walls[i % 5], x, top, x + w, 132)
        b.box("#7a5a55", x - 1, top - 4, x + w + 1, top + 1)
        for v in range(top + 9, 118, 19):
            for u in range(int(x) + 7, int(x) + w - 9, 13):
                glow = lit and (u + v + i) % 3
                b.box("#ffdf7a" if glow else "#4f6b86", u, v, u + 7, v + 10, "sign" if glow else "behind")
        x, i = x + w + 2, i + 1
    b.box("#c3c0bb", 0, 126, WIDE, 140)
    b.box("#8f8d8c", 0, 138, WIDE, 142)
    wash(b, "#6c7078", "#565a63", 143, WIDE)
    for u in range(-20 + int(b.rng.integers(20)), WIDE, 52):
        b.shape("#f6f0d8", [(u + 6, 176), (u + 34, 176), (u + 30, 184), (u, 184)])


def _water(b: Brush) -> None:
    ridge(b, "#7fb59a", 98, 7, 0.8, 104)
    wash(b, "#4cb4df", "#1c6fb4", 99, WIDE)
    for k, y in enumerate(range(108, 226, 15)):
        shift = float(b.rng.uniform(0, 30))
        crests(b, -30 + shift, WIDE + 30, y, 14 + k, "#8fd8ef" if k % 2 else "#b9ebf6")


def crests(b: Brush, x0: float, x1: float, y: float, length: float, colour: str) -> None:
    """A dashed row of wave crests."""
    x = x0
    while x < x1:
        b.pen.arc((x, y - length * 0.22, x + length, y + length * 0.3), 20, 160, fill=b.colour(colour), width=3)
        x += length * 1.6


def _forest(b: Brush) -> None:
    for colour, base, step, tall in (("#5b9477", 116, 21, 74), ("#2f6b4a", 128, 27, 92)):
        x = -float(b.rng.uniform(0, step))
        while x < WIDE + 20:
            h = tall * float(b.rng.uniform(0.8, 1.12))
            for k in range(3):
                y, w = base - h * 0.27 * k, 17 - 4 * k
                b.shape(colour, [(x - w, y), (x + w, y), (x, y - h * 0.48)])
            x += step
    wash(b, "#3f7443", "#2c5733", 122, WIDE)
    for i, (x, y) in enumerate(b.spots(12, 134, 222)):
        if i < 4:
            b.box("#f4e7d0", x - 2, y - 5, x + 2, y + 2)
            b.pen.pieslice((x - 7, y - 13, x + 7, y + 2), 180, 360, fill=b.colour("#d9483b"))
        else:
            b.stroke("#6aa556", [(x - 5, y - 8), (x, y), (x + 5, y - 9)], 2)


def _room(b: Brush) -> None:
    wash(b, "#f3d9b8", "#e8c49c", 0, 140)
    for x in range(10, WIDE, 28):
        b.box("#ecceaa", x, 0, x + 8, 136)
    b.box("#fff6e6", 0, 134, WIDE, 141)
    wash(b, "#b9814f", "#94602f", 142, WIDE)
    for k, y in enumerate((154, 170, 192)):
        b.stroke("#7d4f27", [(0, y), (WIDE, y)], 2)
        for x in range(20 + 37 * k, WIDE, 90):
            b.stroke("#7d4f27", [(x, y), (x - 6, y + 20)], 2)
    b.disc("#c8586a", 112, 200, 96, 20)
    b.disc("#f0c6a8", 112, 200, 84, 16)
    b.disc("#d87f83", 112, 200, 74, 13)
    left = bool(b.rng.random() < 0.5)
    _window(b, 20 if left else 94)
    _frame(b, 176 if left else 48)
    _lamp(b, 140 if left else 84)


def _window(b: Brush, x: int) -> None:
    w, y0, y1 = 108, 32, 120
    b.box("#fffaf0", x - 6, y0 - 6, x + w + 6, y1 + 6)
    top, bottom = SKIES[b.light]
    b.canvas.paste(gradient(b.colour(top, "sky"), b.colour(bottom, "sky"), y1 - y0).crop((0, 0, w, y1 - y0)), (x, y0))
    if b.light == "night":
        for u, v in ((14, 20), (40, 62), (66, 34), (34, 34), (96, 60), (20, 70), (62, 72)):
            star(b, x + u, y0 + v, 5)
        moon(b, x + 84, y0 + 26, 14, "#1c2759")
    elif b.light == "day":
        b.disc("#ffd84d", x + 80, y0 + 26, 15, layer="sky")
        cloud(b, x + 32, y0 + 34, 10, "#ffffff")
    else:
        cloud(b, x + 32, y0 + 22, 13, "#8d99a7")
        cloud(b, x + 78, y0 + 18, 13, "#8d99a7")
        for k in range(16):
            u, v = x + 8 + (k * 29) % 96, y0 + 30 + (k * 17) % 46
            b.stroke("#eaf3fb", [(u, v), (u - 5, v + 13)], 2, "sign")
    b.disc("#5f9e5a" if b.light == "day" else "#3f6b57", x + 54, y1, 52, 14)
    b.box("#c7a06f", x - 6, y1 + 1, x + w + 6, y1 + 8)
    b.box("#fffaf0", x + w / 2 - 2, y0, x + w / 2 + 2, y1)


def _frame(b: Brush, x: int) -> None:
    b.box("#8a5a34", x - 26, 50, x + 26, 94)
    b.box("#fdf3dc", x - 21, 55, x + 21, 89)
    b.shape("#6f9fc4", [(x - 17, 86), (x - 5, 66), (x + 4, 80), (x + 9, 72), (x + 17, 86)])


def _lamp(b: Brush, x: int) -> None:
    b.stroke("#5b4a42", [(x, 0), (x, 26)], 3)
    lit = b.light == "night"
    b.shape("#f2b53c", [(x - 8, 24), (x + 8, 24), (x + 20, 44), (x - 20, 44)], "front")
    b.disc("#fff4b8" if lit else "#fff8e0", x, 46, 8, layer="sign" if lit else "behind")


PLACE: dict[Place, Callable[[Brush], None]] = {
    "grass": _grass,
    "beach": _beach,
    "snow": _snow,
    "street": _street,
    "water": _water,
    "forest": _forest,
    "room": _room,
}


def surroundings(b: Brush, place: Place) -> None:
    """Paints sky and place, and the puddles of a rainy day."""
    if place != "room":
        sky(b, HORIZON[place])
    PLACE[place](b)
    if b.light == "rain" and place not in ("water", "room"):
        for x, y in b.spots(5, 150, 218):
            b.disc("#8fa9c4", x, y, 24, 5.5, "sky")
            b.disc("#c5d6e6", x - 4, y - 1, 15, 2.8, "sky")


def bunting(b: Brush) -> None:
    """A string of colourful flags across the top, and confetti."""
    colours = ("#ee4141", "#ffcf33", "#3aa6e8", "#4cc263", "#f472b0", "#ff9130")
    x = np.linspace(-8, WIDE + 8, 10)
    y = 3 + 11 * np.abs(np.sin(np.linspace(0, 2 * np.pi, 10))) ** 0.8
    line = list(zip(x.tolist(), y.tolist(), strict=True))
    for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(line)):
        middle = ((x0 + x1) / 2, (y0 + y1) / 2 + 24)
        b.shape(colours[i % 6], [(x0 + 2, y0), (x1 - 2, y1), middle], "sign")
    b.stroke("#fffaf0", line, 3, "sign")
    for i, (u, v) in enumerate(b.spots(20, 28, 128)):
        b.box(colours[i % 6], u, v, u + 4, v + 4, "sign")


def thunderclouds(b: Brush) -> None:
    """Heavy dark clouds that hang from the top."""
    for colour, drop, r in (("#7b788c", 24, 25), ("#5b586b", 14, 24), ("#403d4f", 2, 23)):
        x = -float(b.rng.uniform(0, 20))
        while x < WIDE + 20:
            b.disc(colour, x, drop + float(b.rng.uniform(-4, 4)), r, r * 0.78, "sign")
            x += r * 1.25


@cache
def rain_mask(variant: int) -> Image.Image:
    """Slanted streaks on the final 112 pixels, as a mask."""
    rng = np.random.default_rng(variant)
    mask = Image.new("L", (WIDE, WIDE))
    pen = ImageDraw.Draw(mask)
    for x, y, n in zip(*(rng.random((3, 46)) * [[250], [240], [8]]), strict=True):
        pen.line((x, y - 16, x - 7 - n / 3, y + 8 + n), fill=165, width=3)
    return mask.reduce(2)


@cache
def vignette_mask() -> Image.Image:
    """Darkness that grows towards the corners, as a mask."""
    u = np.linspace(-1, 1, WIDE // 2)
    r = np.hypot(u[:, None], u[None, :])
    return Image.fromarray((np.clip(r - 0.62, 0, 1) * 190).astype(np.uint8))


@cache
def fog_mask(variant: int) -> Image.Image:
    """Two soft horizontal bands of fog on the double-size canvas, as a mask."""
    rng = np.random.default_rng(variant)
    y, x = np.mgrid[: WIDE // 2, : WIDE // 2]
    fog = np.zeros(y.shape)
    for level, strength in ((52, 120), (98, 75)):
        middle = level + 2.5 * np.sin(x / 17 + rng.uniform(0, 6)) + rng.uniform(-3, 3)
        fog += strength * np.exp(-(((y - middle) / 5.5) ** 2))
    return Image.fromarray(np.clip(fog, 0, 255).astype(np.uint8)).resize((WIDE, WIDE))


@cache
def glow_mask(x: int, y: int, radius: int) -> Image.Image:
    """A soft round glow on the double-size canvas, as a mask; centre and radius in final pixels."""
    v, u = np.mgrid[: WIDE // 2, : WIDE // 2]
    return Image.fromarray((130 * np.clip(1 - np.hypot(u - x, v - y) / radius, 0, 1)).astype(np.uint8)).resize(
        (WIDE, WIDE)
    )
