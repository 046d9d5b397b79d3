"""The picture of a scene: surroundings, subjects and companion, then weather and mood over them; and where each is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor

from vitrail.toyland.scenery import (
    HORIZON,
    RGB,
    WIDE,
    Brush,
    bunting,
    crests,
    fog_mask,
    glow_mask,
    rain_mask,
    surroundings,
    thunderclouds,
    vignette_mask,
)
from vitrail.toyland.sprites import sprite
from vitrail.toyland.world import Scene

#: Pixels per side of a picture.
SIZE = 112

COLOURS: dict[str, RGB] = {
    "black": (40, 40, 47),
    "white": (248, 247, 243),
    "brown": (140, 84, 44),
    "gray": (147, 151, 158),
    "orange": (243, 134, 36),
    "yellow": (252, 210, 44),
    "red": (222, 44, 42),
    "blue": (44, 104, 220),
    "green": (44, 164, 70),
    "pink": (248, 136, 178),
    "purple": (138, 88, 190),
    "teal": (48, 170, 178),
}
SKINS = ("#f6cba6", "#e3a878", "#c0855a", "#9c6644")
UNIT = 104  # pixels of one sprite unit on the double-size canvas, for one medium subject
SIZE_FACTOR = {"small": 0.61, "medium": 0.86, "big": 1.2}
COUNT_FACTOR = (1.0, 0.86, 0.76, 0.72)
KIND_FACTOR = {
    "horse": 0.88,
    "bird": 0.95,
    "sheep": 1.08,
    "car": 1.12,
    "bus": 1.05,
    "hot dog": 1.08,
    "bear": 0.97,
}
COMPANION_UNIT = {"ball": 46, "frisbee": 52, "man": 88, "woman": 86, "tree": 94, "umbrella": 64, "bird": 48}

#: The numbers of the parts of a picture, see `draw_with_parts`; the subjects are `SUBJECT`, `SUBJECT + 1` and so on.
SKY, GROUND, COMPANION, SUBJECT = 0, 1, 2, 3


class Spot(NamedTuple):
    """Where one sprite stands: the ground point, pixels per unit, and whether it looks left."""

    x: float
    y: float
    unit: float
    flip: bool


def _mix(a: RGB, b: RGB, share: float) -> RGB:
    r, g, c = (round(u + (v - u) * share) for u, v in zip(a, b, strict=True))
    return (r, g, c)


def _palette(colour: str, shade: float, skin: str) -> dict[str, RGB]:
    """What the roles of a sprite's parts mean for a colour."""
    base = COLOURS[colour]
    body = _mix(base, (255, 255, 255) if shade > 0 else (0, 0, 0), 0.08 * abs(shade))
    if colour == "black":
        roles = {
            "dark": (22, 22, 27),
            "light": (92, 92, 102),
            "rim": (205, 211, 222),
            "line": (235, 235, 240),
        }
    elif colour == "white":
        roles = {
            "dark": (206, 211, 222),
            "light": (255, 236, 222),
            "rim": (84, 92, 122),
            "line": (50, 50, 60),
        }
    else:
        roles = {
            "dark": _mix(body, (20, 10, 30), 0.3),
            "light": _mix(body, (255, 250, 235), 0.5),
            "rim": _mix(body, (20, 10, 20), 0.66),
            "line": (35, 30, 35),
        }
    face = (214, 184, 150) if colour == "black" else (66, 56, 62)
    r, g, b = ImageColor.getrgb(skin)[:3]
    mane = (120, 120, 132) if colour == "black" else _mix(roles["dark"], (30, 16, 24), 0.5)
    return {"body": body, "face": face, "mane": mane, "sign": (250, 251, 255), "skin": (r, g, b), **roles}


def _stamp(
    b: Brush, kind: str, action: str | None, spot: Spot, palette: dict[str, RGB], label: int, rim: float = 2.4
) -> None:
    """Paints a sprite: first its rim, all parts a little swollen, then the parts."""
    s = sprite(kind, action)
    scale = np.array([-spot.unit if spot.flip else spot.unit, -spot.unit], np.float32)
    points = s.points * scale + np.array([spot.x, spot.y], np.float32)
    swollen = points + s.normals * (np.sign(scale) * np.float32(rim))
    rims = {"sign": (54, 62, 98)}
    edge, polygon = palette["rim"], b.pen.polygon
    for role, start, stop, solid in s.parts:
        if solid:
            polygon(swollen[start:stop].ravel().tolist(), fill=b.colour(rims.get(role, edge), "front"))
            b.label_pen.polygon(swollen[start:stop].ravel().tolist(), fill=label)
    for role, start, stop, _ in s.parts:
        polygon(points[start:stop].ravel().tolist(), fill=b.colour(palette.get(role, role), "front"))
        b.label_pen.polygon(points[start:stop].ravel().tolist(), fill=label)


def _aside(companion: str) -> float:
    """The width of the column at the side that a companion needs."""
    s = sprite(companion)
    return (s.high[0] - s.low[0]) * COMPANION_UNIT[companion] + 6


def _spots(scene: Scene, rng: np.random.Generator, side: int) -> list[Spot]:
    """Where the subjects stand; `side` is −1 or 1 for a companion on the left or right, 0 without one."""
    n = scene.count
    s = sprite(scene.kind, scene.action)
    aside = _aside(scene.companion) if side else 4.0
    left = aside if side < 0 else 4.0
    right = WIDE - (aside if side > 0 else 4.0)
    columns = 1 if n == 1 else 2
    room = (right - left) / columns
    width, height = s.high[0] - s.low[0], s.high[1]
    unit = UNIT * SIZE_FACTOR[scene.size] * COUNT_FACTOR[n - 1] * scene.scale * KIND_FACTOR.get(scene.kind, 1)
    unit = min(unit, room * (1.04 if n > 1 else 1.0) / width, (82 if n > 2 else 190) / height)
    rows = {1: (188,), 2: (182, 194), 3: (208, 142, 208), 4: (142, 142, 209, 209)}[n]
    across = {1: (0.5,), 2: (0.5, 1.5), 3: (0.5, 1.0, 1.5), 4: (0.45, 1.43, 0.57, 1.55)}[n]
    slack = max(0.0, (right - left) - columns * width * unit) / 2
    spots = []
    for column, row in zip(across, rows, strict=True):
        x = left + column * room + 0.8 * slack * scene.x / columns + float(rng.uniform(-3, 3))
        reach = width * unit / 2
        y = row + (10 * scene.y if n == 1 else 4 * scene.y)
        spots.append(Spot(min(max(x, left + reach), right - reach), max(y, 34 + height * unit), unit, scene.flip))
    return sorted(spots, key=lambda p: p.y)


def _shadow(b: Brush, scene: Scene, x: float, y: float, reach: float) -> None:
    colours = {
        "snow": "#aebfdd",
        "beach": "#cda765",
        "street": "#43464e",
        "forest": "#1f4127",
        "room": "#7a4c26",
    }
    b.disc(colours.get(scene.place, "#3b7f31"), x, y, reach, 5 + reach * 0.08)


def _splash(b: Brush, x: float, y: float, reach: float) -> None:
    """The water in front of what stands in it."""
    u = np.linspace(-reach, reach, 13)
    top = y - 7 + 2.5 * np.cos(np.arange(13) * np.pi)
    wave = list(zip((x + u).tolist(), top.tolist(), strict=True))
    water = [*wave, (x + reach * 0.8, y + 6), (x - reach * 0.8, y + 6)]
    b.shape("#2f8fc9", water)
    b.label_pen.polygon(water, fill=GROUND)
    b.stroke("#d8f5fb", wave, 3)
    crests(b, x - reach * 0.7, x + reach * 0.4, y + 3, 14, "#b9ebf6")


def _place(
    b: Brush, scene: Scene, kind: str, action: str | None, spot: Spot, palette: dict[str, RGB], label: int
) -> None:
    """A sprite with what ties it to the ground: a shadow, or water in front of its feet."""
    s = sprite(kind, action)
    reach = (s.high[0] - s.low[0]) * spot.unit / 2
    wet = scene.place == "water"
    aloft = action == "jumping" or kind == "frisbee"
    if wet and not aloft:
        b.disc("#1d639f", spot.x, spot.y, reach + 4, 6)
    elif not wet:
        _shadow(b, scene, spot.x, spot.y, reach * (0.6 if aloft else 0.95))
    else:
        b.disc("#124f86", spot.x, spot.y, reach * 0.7, 6)
    low = action == "sleeping" or scene.kind in ("hot dog", "cake") or kind in ("ball", "boat")
    up = 11 if wet and low and not aloft else 0
    _stamp(b, kind, action, spot._replace(y=spot.y - up), palette, label)
    if wet and not aloft:
        _splash(b, spot.x, spot.y, reach + 8)


def _companion(scene: Scene, side: int, rng: np.random.Generator) -> tuple[Spot, dict[str, RGB]]:
    kind = scene.companion
    unit = COMPANION_UNIT[kind]
    half = _aside(kind) / 2
    x = half if side < 0 else WIDE - half
    y = 176 + float(rng.uniform(-6, 8))
    if kind == "frisbee":
        y -= 62
    colour = "teal" if kind == "bird" else ("purple", "teal", "orange")[int(rng.integers(3))]
    palette = _palette(colour, 0, SKINS[int(rng.integers(4))])
    return Spot(x, y, unit, side > 0), {**palette, "rim": (52, 42, 56)}


def _subjects(b: Brush, scene: Scene, rng: np.random.Generator) -> None:
    """Subjects and companion, far ones first."""
    side = 0 if scene.companion == "none" else -1 if rng.random() < 0.5 else 1
    palette = _palette(scene.colour, scene.shade, SKINS[int(rng.integers(4))])
    todo = [(scene.kind, scene.action, spot, palette, SUBJECT + i) for i, spot in enumerate(_spots(scene, rng, side))]
    if side:
        spot, colours = _companion(scene, side, rng)
        todo.append((scene.companion, None, spot, colours, COMPANION))
    for kind, action, spot, colours, label in sorted(todo, key=lambda item: item[2].y):
        _place(b, scene, kind, action, spot, colours, label)


def _weather(picture: Image.Image, scene: Scene) -> None:
    """What lies over everything: rain, and the dark edges of a gloomy day."""
    if scene.mood == "gloomy":
        picture.paste((18, 16, 28), mask=vignette_mask())
    if scene.light == "rain" and scene.place != "room":
        picture.paste((226, 238, 250), mask=rain_mask(scene.seed % 16))


def draw(scene: Scene) -> Image.Image:
    """The picture of a scene, RGB, 112 pixels square; equal scenes give equal pictures."""
    return draw_with_parts(scene)[0]


def draw_with_parts(scene: Scene) -> tuple[Image.Image, Image.Image]:
    """The picture of a scene, and which part of it stands at every pixel, as numbers in a picture of mode L: 0 is the
    sky, or the walls of a room; 1 the ground; 2 the companion; 3 and more the subjects, one after the other."""
    b = _painted(scene)
    picture = b.canvas.reduce(2)
    _weather(picture, scene)
    return picture, b.labels.resize((SIZE, SIZE), Image.Resampling.NEAREST)


def _painted(scene: Scene) -> Brush:
    """The brush when everything is painted but the weather."""
    rng = np.random.default_rng(scene.seed)
    canvas = Image.new("RGB", (WIDE, WIDE))
    b = Brush(canvas, scene.light, scene.mood, rng)
    surroundings(b, scene.place)
    b.label_pen.rectangle((0, HORIZON[scene.place], WIDE, WIDE), fill=GROUND)
    if scene.place == "room" and scene.light == "night":
        canvas.paste((255, 196, 92), mask=glow_mask(56, 24, 66))
    if scene.mood == "gloomy":
        fog = (112, 114, 134) if scene.light == "night" else (190, 192, 200)
        # Behind the subjects, whose colour it would wash out.
        canvas.paste(fog, mask=fog_mask(scene.seed % 8))
        thunderclouds(b)
    elif scene.mood == "cheerful":
        bunting(b)
    _subjects(b, scene, rng)
    return b
