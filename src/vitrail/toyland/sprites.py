"""The shapes of Toyland: every subject and companion as flat polygons, without colour, place or size.

A sprite stands on y = 0, looks right, is about one unit wide and has y upwards. A part's colour is either a
hex string or a role ("body", "dark", "light", "line", "face", "skin") that the painter resolves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

Point = tuple[float, float]

EYE, NOSE, METAL, TYRE, GLASS, WOOD = "#fdfdfb", "#26232b", "#c9ced6", "#2c2c35", "#bfe3f2", "#8a5a34"
CREAM, PINK, HAIR, BOWL, MOTION = "#fff4dc", "#f29aa8", "#4f2a18", "#3f8fc4", "sign"


class Part(NamedTuple):
    """One filled polygon (n, 2); a solid part belongs to the silhouette and gets the rim."""

    role: str
    points: np.ndarray
    solid: bool = True


Parts = list[Part]


class Sprite(NamedTuple):
    """A sprite ready to paint: all points in one array (n, 2), their outward normals, and the parts' extents."""

    points: np.ndarray
    normals: np.ndarray
    parts: tuple[tuple[str, int, int, bool], ...]  # role, start, stop, solid
    low: Point  # left and bottom
    high: Point  # right and top


def turned(parts: Parts, degrees: float, about: Point = (0, 0)) -> Parts:
    """The parts rotated counter-clockwise about a point."""
    a = np.radians(degrees)
    m = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return [p._replace(points=(p.points - about) @ m + about) for p in parts]


def placed(parts: Parts, x: float, y: float, scale: float = 1.0) -> Parts:
    """The parts scaled about the origin, then moved."""
    return [p._replace(points=p.points * scale + (x, y)) for p in parts]


def ellipse(role: str, x: float, y: float, rx: float, ry: float = 0, turn: float = 0, solid: bool = True) -> Part:
    """An ellipse as an 18-gon; `ry` 0 means a circle."""
    t = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    ring = Part(role, np.stack([np.cos(t) * rx, np.sin(t) * (ry or rx)], 1), solid)
    return placed(turned([ring], turn), x, y)[0]


def polygon(role: str, *points: Point, solid: bool = True) -> Part:
    """A plain polygon."""
    return Part(role, np.array(points, float), solid)


def box(role: str, x: float, y: float, w: float, h: float, cut: float = 0, solid: bool = True) -> Part:
    """A rectangle from its lower left corner, the corners cut off by `cut`."""
    if not cut:
        return polygon(role, (x, y), (x + w, y), (x + w, y + h), (x, y + h), solid=solid)
    c, d, r, t = cut, cut * 0.3, x + w, y + h
    corners = ((x + c, y), (r - c, y), (r - d, y + d), (r, y + c), (r, t - c), (r - d, t - d), (r - c, t))
    return polygon(role, *corners, (x + c, t), (x + d, t - d), (x, t - c), (x, y + c), (x + d, y + d), solid=solid)


def limb(role: str, *points: Point, w: float, end: float = 0, solid: bool = True) -> Parts:
    """A chain of capsules through the points, from width `w` to width `end`."""
    widths = np.linspace(w, end or w, len(points)) / 2
    parts = []
    for (x0, y0), (x1, y1), r0, r1 in zip(points[:-1], points[1:], widths[:-1], widths[1:], strict=True):
        a = np.arctan2(y1 - y0, x1 - x0)
        t = np.linspace(np.pi / 2, 3 * np.pi / 2, 6) + a
        start = np.stack([x0 + r0 * np.cos(t), y0 + r0 * np.sin(t)], 1)
        stop = np.stack([x1 - r1 * np.cos(t), y1 - r1 * np.sin(t)], 1)
        parts.append(Part(role, np.concatenate([start, stop]), solid))
    return parts


def eye(x: float, y: float, r: float, closed: bool) -> Parts:
    """An open eye, or the curved line of a sleeping one."""
    if closed:
        return limb("line", (x - r, y), (x, y - r * 0.6), (x + r, y), w=r * 0.6, solid=False)
    return [
        ellipse(EYE, x, y, r, r * 1.1, solid=False),
        ellipse(NOSE, x + r * 0.2, y, r * 0.68, r * 0.8, solid=False),
    ]


def zs(x: float, y: float) -> Parts:
    """Three growing letters Z rising from (x, y)."""
    parts: Parts = []
    for i, s in enumerate((0.09, 0.125, 0.16)):
        u, v = x + 0.1 * i, y + 0.15 * i
        parts += limb(MOTION, (u, v + s), (u + s, v + s), (u, v), (u + s, v), w=0.042)
    return parts


def speed_lines(x: float, ys: tuple[float, ...]) -> Parts:
    """Horizontal streaks that end at x, behind a runner."""
    return [
        p
        for i, y in enumerate(ys)
        for p in limb(MOTION, (x - 0.2 + 0.07 * (i % 2), y), (x + 0.07 * (i % 2), y), w=0.035)
    ]


def jump_arcs(x: float, y: float) -> Parts:
    """Two little arcs under something that just left the ground."""
    parts: Parts = []
    for r in (0.2, 0.3):
        t = np.radians(np.linspace(215, 325, 6))
        points = [(float(x + r * np.cos(a)), float(y + r * 0.6 * np.sin(a))) for a in t]
        parts += limb(MOTION, *points, w=0.03)
    return parts


def bowl(x: float) -> Parts:
    """A bowl of food on the ground."""
    return [
        ellipse("#b5703a", x, 0.13, 0.15, 0.06),
        polygon(BOWL, (x - 0.18, 0.13), (x + 0.18, 0.13), (x + 0.12, 0), (x - 0.12, 0)),
        box(EYE, x - 0.16, 0.06, 0.32, 0.03, solid=False),
    ]


# --- four-legged animals -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Build:
    """The proportions of a four-legged animal, in units."""

    length: float  # half the trunk
    girth: float  # half the trunk's height
    leg: float
    limb: float  # a leg's width
    head: float  # radius
    neck: Point  # from the shoulders to the head


BUILDS = {
    "dog": Build(0.31, 0.155, 0.3, 0.09, 0.185, (0.07, 0.2)),
    "cat": Build(0.29, 0.135, 0.24, 0.07, 0.185, (0.06, 0.17)),
    "horse": Build(0.34, 0.16, 0.46, 0.07, 0.15, (0.15, 0.33)),
    "sheep": Build(0.31, 0.23, 0.24, 0.075, 0.14, (0.14, 0.04)),
    "bear": Build(0.36, 0.26, 0.22, 0.15, 0.21, (0.08, 0.1)),
}


def _dog_head(closed: bool) -> Parts:
    return [
        ellipse("body", 0, 0, 1, 0.94),
        ellipse("light", 0.8, -0.32, 0.62, 0.42),
        ellipse(NOSE, 1.28, -0.14, 0.22, 0.18),
        *eye(0.38, 0.24, 0.2, closed),
        ellipse("dark", -0.45, -0.15, 0.36, 0.85, -10),
    ]


def _cat_head(closed: bool) -> Parts:
    whiskers = [
        w
        for s in (-1, 1)
        for dy in (-0.2, 0.15)
        for w in limb("line", (0.2 + 0.5 * s, -0.35), (0.2 + 1.35 * s, -0.35 + dy), w=0.09, end=0.06, solid=False)
    ]
    return [
        polygon("body", (-0.9, 0.2), (-0.75, 1.45), (0.0, 0.8)),
        polygon("body", (0.2, 0.8), (0.9, 1.45), (0.98, 0.15)),
        polygon(PINK, (-0.72, 0.5), (-0.64, 1.1), (-0.2, 0.75), solid=False),
        polygon(PINK, (0.38, 0.75), (0.78, 1.1), (0.82, 0.45), solid=False),
        ellipse("body", 0, 0, 1.05, 0.92),
        ellipse("light", 0.2, -0.42, 0.5, 0.34, solid=False),
        *whiskers,
        polygon(PINK, (0.05, -0.16), (0.37, -0.16), (0.21, -0.38), solid=False),
        *eye(-0.22, 0.14, 0.19, closed),
        *eye(0.6, 0.14, 0.19, closed),
    ]


def _horse_head(closed: bool) -> Parts:
    return [
        polygon("body", (-0.45, 0.4), (-0.2, 1.5), (0.25, 0.6)),
        ellipse("body", 0.45, -0.3, 1.3, 0.68, -40),
        ellipse("light", 1.2, -0.95, 0.52, 0.46),
        ellipse(NOSE, 1.35, -0.9, 0.12, solid=False),
        *eye(0.3, 0.15, 0.2, closed),
        ellipse("mane", -0.1, 0.65, 0.62, 0.34, -30),
    ]


def _sheep_head(closed: bool) -> Parts:
    return [
        ellipse("face", -0.75, 0.1, 0.55, 0.24, 25),
        ellipse("face", 0.15, -0.15, 0.8, 1.1, 18),
        *eye(0.35, 0.05, 0.24, closed),
        *(ellipse("body", x, y, 0.5) for x, y in ((-0.55, 0.75), (0.15, 1.0), (0.5, 0.65))),
    ]


def _bear_head(closed: bool) -> Parts:
    return [
        ellipse("body", -0.68, 0.75, 0.42),
        ellipse("body", 0.55, 0.82, 0.42),
        ellipse("light", -0.68, 0.75, 0.22, solid=False),
        ellipse("light", 0.55, 0.82, 0.22, solid=False),
        ellipse("body", 0, 0, 1.05, 0.98),
        ellipse("light", 0.5, -0.35, 0.58, 0.44),
        ellipse(NOSE, 0.75, -0.16, 0.24, 0.18),
        *eye(-0.1, 0.22, 0.17, closed),
        *eye(0.62, 0.26, 0.17, closed),
    ]


HEADS: dict[str, Callable[[bool], Parts]] = {
    "dog": _dog_head,
    "cat": _cat_head,
    "horse": _horse_head,
    "sheep": _sheep_head,
    "bear": _bear_head,
}


class Pose(NamedTuple):
    """Where an animal's trunk is, and where its feet are relative to hip and shoulder (far and near leg)."""

    tilt: float
    x: float
    y: float
    hind: tuple[Point, ...]
    fore: tuple[Point, ...]


def _pose(b: Build, action: str) -> Pose:
    up, leg = b.leg + 0.75 * b.girth, b.leg + 0.4 * b.girth
    reach = 0.5 * leg + 0.1
    poses = {
        "standing": Pose(0, -0.08, up, ((0.07, -leg), (-0.04, -leg)), ((0.07, -leg), (-0.04, -leg))),
        "running": Pose(
            5,
            -0.06,
            up + 0.02,
            ((-reach * 0.6, -leg * 0.8), (-reach - 0.05, -leg * 0.62)),
            ((reach * 0.55, -leg * 0.85), (reach + 0.05, -leg * 0.6)),
        ),
        "jumping": Pose(24, -0.08, up + 0.26, ((-0.08, -0.24), (-0.2, -0.18)), ((0.2, -0.13), (0.13, -0.2))),
        "sitting": Pose(52, -0.06, 0.8 * b.length + 0.45 * b.girth + 0.05, (), ((0.09, 0), (0.0, 0))),
        "sleeping": Pose(0, -0.08, b.girth * 0.92, (), ()),
        "eating": Pose(-7, -0.14, up - 0.02, ((0.07, -leg), (-0.04, -leg)), ((0.07, -leg), (-0.04, -leg))),
    }
    return poses[action]


def _trunk(kind: str, b: Build, pose: Pose) -> Parts:
    if kind != "sheep":
        parts = [
            ellipse("body", 0, 0, b.length * 1.1, b.girth),
            ellipse("body", b.length * 0.6, 0.02, b.girth * 1.02),
        ]
    else:
        ring = np.linspace(0, 2 * np.pi, 10, endpoint=False)
        parts = [ellipse("body", float(np.cos(a)) * b.length, float(np.sin(a)) * b.girth * 0.85, 0.125) for a in ring]
        parts.append(ellipse("body", 0, 0, b.length, b.girth * 0.95))
        for x, y in ((-0.18, 0.06), (0.03, 0.11), (-0.06, -0.09), (0.16, -0.02)):
            parts.append(ellipse("dark", x, y, 0.072, solid=False))
            parts.append(ellipse("body", x, y + 0.024, 0.074, solid=False))
    return placed(turned(parts, pose.tilt), pose.x, pose.y)


def _tail(kind: str, at: Point, action: str) -> Parts:
    x, y = at
    if action == "sleeping":
        return limb("dark", (x, y), (x - 0.1, 0.06), (x + 0.2, 0.045), w=0.08)
    if kind == "dog":
        return limb("body", (x, y), (x - 0.12, y + 0.1), (x - 0.12, y + 0.24), w=0.075, end=0.05)
    if kind == "cat":
        return limb("body", (x, y), (x - 0.14, y + 0.03), (x - 0.2, y + 0.2), (x - 0.12, y + 0.36), w=0.07, end=0.06)
    if kind == "horse":
        return limb("mane", (x + 0.02, y), (x - 0.11, y - 0.03), (x - 0.14, max(y - 0.34, 0.06)), w=0.1, end=0.13)
    return [ellipse("body", x, y, 0.07)]


def _quadruped(kind: str, action: str) -> Parts:
    b = BUILDS[kind]
    pose = _pose(b, action)
    a = np.radians(pose.tilt)

    def body(u: float, v: float) -> Point:
        u, v = u * b.length, v * b.girth
        return (
            float(pose.x + u * np.cos(a) - v * np.sin(a)),
            float(pose.y + u * np.sin(a) + v * np.cos(a)),
        )

    hip, shoulder, nape = body(-0.75, -0.3), body(0.72, -0.3), body(0.8, 0.35)
    head = (nape[0] + b.neck[0], nape[1] + b.neck[1])
    if action == "sitting":
        head = (nape[0] + 0.55 * b.neck[0] + 0.04, nape[1] + 0.75 * b.neck[1] + 0.06)
    if action == "sleeping":
        head = (nape[0] + b.head * 0.9, b.head * 0.92)
    if action == "eating":
        head = (nape[0] + b.head + 0.1, b.head + 0.14)

    def legs(origin: Point, feet: tuple[Point, ...]) -> tuple[Parts, Parts]:
        made: list[Parts] = []
        for role, (dx, dy) in zip(("dark", "body"), feet, strict=False):
            foot = (origin[0] + dx, b.limb / 2 if action == "sitting" else origin[1] + dy + b.limb / 2)
            knee = (origin[0] + dx * 0.6, (origin[1] + foot[1]) / 2)
            hoof = [ellipse("dark", foot[0] + 0.02, foot[1] - 0.01, b.limb * 0.65, b.limb * 0.45)]
            made.append(limb(role, origin, knee, foot, w=b.limb * 1.3, end=b.limb) + hoof)
        return (made[0], made[1]) if made else ([], [])

    hind, fore = legs(hip, pose.hind), legs(shoulder, pose.fore)
    parts = _tail(kind, body(-1.0, 0.4) if action != "sitting" else (body(-0.9, 0)[0] - 0.05, 0.1), action)
    parts += hind[0] + fore[0] + (limb("body", nape, head, w=b.girth * 1.5, end=b.head * 1.25))
    if kind == "horse":
        along = np.linspace((nape[0] - 0.1, nape[1]), (head[0] - 0.1, head[1] + 0.08), 4)
        parts += [ellipse("mane", float(u), float(v), 0.095) for u, v in along]
    parts += _trunk(kind, b, pose) + hind[1] + fore[1]
    if action == "sitting":
        x = body(-0.6, 0)[0]
        parts += [
            ellipse("dark", x + 0.02, 0.175, 0.19, 0.175),
            ellipse("body", x, 0.175, 0.18, 0.17),
            ellipse("dark", x + 0.16, 0.05, 0.12, 0.05),
        ]
    if action == "sleeping":
        parts += limb("dark", (shoulder[0], 0.06), (head[0] + 0.1, 0.045), w=0.09)
    top = placed(
        turned(HEADS[kind](action == "sleeping"), {"eating": -35, "sleeping": -8}.get(action, 0)),
        *head,
        b.head,
    )
    edge = [ellipse("dark", head[0] - 0.02, head[1] - 0.02, b.head * 1.02)] if kind in ("cat", "bear") else []
    parts += edge + top
    if action == "eating":
        return bowl(head[0] + b.head * 0.9) + parts
    return parts + _signs(action, head[0] + 0.02, head[1] + b.head + 0.12, (hip[1], pose.y + 0.12))


def _signs(action: str, x: float, y: float, heights: tuple[float, float], back: float = -0.55) -> Parts:
    """The comic-strip signs of an action: Zs over a head, lines behind a runner, arcs under a jumper."""
    if action == "sleeping":
        return zs(x, y)
    if action == "running":
        return speed_lines(back, (heights[0] - 0.1, heights[0] + 0.05, heights[1] + 0.08))
    return jump_arcs(0, 0.24) if action == "jumping" else []


# --- bird --------------------------------------------------------------------------------------------------


def _bird(action: str) -> Parts:
    low, asleep = action in ("sleeping", "sitting"), action == "sleeping"
    y = {"sleeping": 0.22, "sitting": 0.38, "jumping": 0.62, "running": 0.46}.get(action, 0.44)
    tilt = {"sleeping": 0.0, "sitting": 30.0, "jumping": 28.0, "running": -2.0, "eating": -22.0}.get(action, 18.0)
    yellow = "#f09a28"
    trunk = [
        polygon("dark", (-0.24, 0.1), (-0.62, 0.12), (-0.6, -0.06), (-0.22, -0.1)),
        ellipse("body", 0, 0, 0.33, 0.225),
        ellipse("light", 0.1, -0.09, 0.2, 0.11, solid=False),
    ]
    if action == "jumping":
        trunk += [
            polygon("dark", (-0.16, 0.05), (0.14, 0.08), (-0.06, 0.5), (-0.26, 0.52)),
            polygon("body", (-0.05, 0.08), (0.2, 0.1), (0.26, 0.5), (0.08, 0.56)),
        ]
    else:
        trunk += [
            ellipse("dark", -0.1, 0.03, 0.22, 0.12, -14),
            ellipse("body", -0.06, 0.07, 0.16, 0.05, -14, solid=False),
        ]
    x, h = {"sleeping": (0.22, 0.3), "eating": (0.33, 0.27)}.get(action, (0.27, y + 0.25))
    top = [
        polygon(yellow, (0.7, 0.3), (1.75, -0.1), (0.7, -0.45)),
        ellipse("body", 0, 0, 1),
        *eye(0.35, 0.2, 0.26, asleep),
    ]
    parts: Parts = []
    if not low:
        spread = {"running": (-0.24, 0.26), "jumping": (-0.16, -0.06)}.get(action, (-0.05, 0.09))
        for foot in spread:
            base = 0.3 if action == "jumping" else 0.02
            parts += limb(yellow, (foot * 0.4, y - 0.15), (foot, base), (foot + 0.1, base), w=0.04)
    parts += placed(turned(trunk, tilt), 0, y) + placed(
        turned(top, {"eating": -45, "sleeping": -25}.get(action, 0)), x, h, 0.17
    )
    if action == "sitting":
        twigs = [
            p
            for i in range(5)
            for p in limb("#5e3b1e", (-0.36 + 0.16 * i, 0.16), (-0.22 + 0.14 * i, 0.04), w=0.025, solid=False)
        ]
        parts += [
            polygon("#9a6a38", (-0.46, 0.22), (0.42, 0.22), (0.3, 0), (-0.34, 0)),
            ellipse("#b98548", -0.02, 0.21, 0.45, 0.05),
            *twigs,
        ]
    if action == "eating":
        return bowl(0.5) + parts
    return parts + _signs(action, x, h + 0.26, (y - 0.05, y + 0.1))


# --- people ------------------------------------------------------------------------------------------------


class Figure(NamedTuple):
    """A person's proportions: heights of hip and shoulders, half the shoulders' width, radius of the head."""

    hip: float
    shoulder: float
    half: float
    head: float


FIGURES = {
    "man": Figure(0.4, 0.74, 0.18, 0.15),
    "woman": Figure(0.4, 0.7, 0.125, 0.15),
    "child": Figure(0.24, 0.48, 0.125, 0.2),
}


def _face(kind: str, x: float, y: float, r: float, closed: bool) -> tuple[Parts, Parts]:
    """The head of a person: what lies behind the shoulders, and what lies before."""
    back: Parts = []
    front = [ellipse("skin", 0, 0, 1)]
    if kind == "man":
        front += [
            polygon(HAIR, (-1.0, -0.2), (-1.02, 0.5), (0.7, 0.6), (0.3, 0.3), (-0.6, 0.25)),
            box("#54402f", -0.95, 0.5, 1.9, 0.75, 0.2),
            box("#54402f", -1.4, 0.38, 2.8, 0.26, 0.1),
            polygon(HAIR, (0.1, -0.42), (0.95, -0.42), (0.75, -0.22), (0.3, -0.22), solid=False),
        ]
    elif kind == "woman":
        back = [ellipse(HAIR, -0.3, -0.5, 1.15, 1.75, 8), ellipse(HAIR, 0, 0.2, 1.2)]
        front += [polygon(HAIR, (-1.05, -0.5), (-0.95, 0.6), (0, 1.15), (0.9, 0.65), (0.2, 0.5), (-0.5, 0.2))]
    else:
        back = [ellipse("#c07a30", -0.95, -0.35, 0.45)]
        front += [
            polygon("#c07a30", (-1.0, -0.2), (-0.95, 0.5), (-0.3, 0.5)),
            polygon("body", (-1.05, 0.3), (-0.85, 0.85), (-0.3, 1.2), (0.3, 1.2), (0.85, 0.85), (1.02, 0.32)),
            box("dark", -0.1, 0.25, 1.65, 0.22, 0.08),
            ellipse("dark", 0, 1.2, 0.18),
        ]
    front += eye(0.1, 0.02, 0.15, closed) + eye(0.62, 0.02, 0.15, closed)
    front += [ellipse(PINK, 0.66, -0.38, 0.18, 0.12, solid=False)]
    if kind != "man":
        front += limb("#b4483c", (0.22, -0.5), (0.4, -0.56), (0.55, -0.5), w=0.09, solid=False)
    return placed(back, x, y, r), placed(front, x, y, r)


def _upright(kind: str, action: str) -> Parts:
    f = FIGURES[kind]
    seated, aloft = action == "sitting", action == "jumping"
    shift = 0.29 - f.hip if seated else 0.3 if aloft else 0.02 if action == "running" else 0.0
    hip, top = f.hip + shift, f.shoulder + shift
    leg = "skin" if kind == "woman" else "#6d6a78" if kind == "man" else "#7d6a9a"
    thick = 0.12 if kind == "man" else 0.075 if kind == "woman" else 0.1
    knees: tuple[Point, Point]
    if seated:
        knees, feet = ((0.22, hip + 0.02), (0.27, hip)), ((0.24, 0.05), (0.3, 0.04))
    elif aloft:
        knees, feet = ((0.18, hip - 0.08), (-0.02, hip - 0.14)), ((0.06, hip - 0.2), (-0.2, hip - 0.16))
    elif action == "running":
        knees, feet = ((-0.08, hip * 0.5), (0.2, hip * 0.66)), ((-0.34, hip * 0.5), (0.24, 0.06))
    else:
        knees, feet = ((-0.08, hip * 0.5), (0.08, hip * 0.5)), ((-0.08, 0.04), (0.1, 0.04))
    parts: Parts = []
    if seated:
        parts += (
            limb(WOOD, (-0.15, 0.2), (-0.2, 0.02), w=0.05)
            + limb(WOOD, (0.1, 0.2), (0.14, 0.02), w=0.05)
            + limb(WOOD, (-0.19, 0.2), (-0.24, 0.62), w=0.05)
        )
        parts.append(box(WOOD, -0.22, 0.18, 0.42, 0.06))
    head_x = 0.12 if action == "running" else 0.0
    back, front = _face(kind, head_x, top + f.head * 0.9, f.head, action == "sleeping")
    parts += back
    for knee, foot, start in zip(knees, feet, (-0.06, 0.06), strict=True):
        parts += limb(leg, (start, hip), knee, foot, w=thick, end=thick * 0.85)
        parts.append(ellipse("#4b3026", foot[0] + 0.03, foot[1] - 0.005, 0.085, 0.045))
    reach = f.shoulder - f.hip
    far, near = _hands(action, f, top, head_x)
    lean = 0.09 if action == "running" else 0.0
    sleeve = thick * 0.9
    arm_y = top - 0.06
    left, right = (lean - f.half + 0.03, arm_y), (lean + f.half - 0.03, arm_y)
    parts += [*limb("dark", left, far, w=sleeve), ellipse("skin", *far, 0.05)]
    if kind == "woman":
        flare = 0.24 if not seated else 0.2
        hem = hip - 0.2 if not (seated or aloft) else hip - 0.08
        skirt = [
            polygon("body", (-0.1, hip + 0.12), (0.1, hip + 0.12), (flare, hem), (0.03, hem - 0.02), (-flare, hem))
        ]
        skirt += limb("body", (0, hip + 0.02), (0.25, hip + 0.01), w=0.17) if seated else []
        parts += skirt
        parts.append(polygon("body", (lean - f.half, top), (lean + f.half, top), (0.1, hip + 0.1), (-0.1, hip + 0.1)))
        parts.append(box("dark", -0.1, hip + 0.09, 0.2, 0.045, solid=False))
    else:
        w = f.half
        parts.append(
            polygon(
                "body",
                (lean - w, top - 0.05),
                (lean - w + 0.05, top),
                (lean + w - 0.05, top),
                (lean + w, top - 0.05),
                (w * 0.85, hip - 0.04),
                (-w * 0.85, hip - 0.04),
            )
        )
        parts.append(box("dark", -w * 0.85, hip - 0.05, w * 1.7, 0.05, solid=False))
        if kind == "man":
            parts.append(
                polygon(
                    CREAM,
                    (lean - 0.06, top),
                    (lean + 0.06, top),
                    (lean + 0.01, top - reach * 0.35),
                    solid=False,
                )
            )
        else:
            parts.append(box("light", -0.07, hip + 0.03, 0.14, 0.09, solid=False))
    parts += front
    parts += [*limb("dark", right, near, w=sleeve), ellipse("skin", *near, 0.052)]
    if action == "eating":
        x, y = near[0] - 0.02, near[1] + 0.03
        parts += [
            box("#e8b566", x - 0.1, y + 0.06, 0.26, 0.075, 0.03),
            box("#4f9e3f", x - 0.11, y + 0.035, 0.28, 0.035),
            box("#d8463a", x - 0.1, y + 0.005, 0.26, 0.035),
            box("#e8b566", x - 0.1, y - 0.05, 0.26, 0.06, 0.02),
            ellipse("skin", x + 0.08, y - 0.03, 0.05),
        ]
    return parts


def _hands(action: str, f: Figure, top: float, head_x: float) -> tuple[Point, Point]:
    if action == "jumping":
        return (-f.half - 0.18, top + 0.22), (f.half + 0.18, top + 0.22)
    if action == "running":
        return (-f.half - 0.1, top - 0.24), (f.half + 0.26, top - 0.12)
    if action == "eating":
        return (f.half * 0.3, top - 0.16), (head_x + f.head * 1.05, top + f.head * 0.35)
    if action == "sitting":
        return (-f.half, top - 0.24), (0.2, top - 0.28)
    return (-f.half - 0.07, f.hip), (f.half + 0.07, f.hip)


def _person(kind: str, action: str) -> Parts:
    f = FIGURES[kind]
    if action != "sleeping":
        arms = (f.hip + 0.05, f.shoulder - 0.05)
        return _upright(kind, action) + _signs(action, 0, 0, arms, back=-0.36)
    tall = f.shoulder + 2 * f.head
    lying = placed(turned(_upright(kind, "sleeping"), 90), tall / 2, 0.24)
    mat = [box("#c9d6e8", -tall / 2 - 0.14, 0, tall + 0.26, 0.12, 0.05)]
    pillow = [ellipse("#ffffff", -tall / 2 + f.head * 0.7, 0.16, 0.2, 0.1)]
    return mat + pillow + lying + zs(-tall / 2 + 0.15, 0.5)


# --- vehicles ----------------------------------------------------------------------------------------------


def _wheel(x: float, r: float) -> Parts:
    return [
        ellipse(TYRE, x, r, r),
        ellipse(METAL, x, r, r * 0.55, solid=False),
        ellipse(TYRE, x, r, r * 0.2, solid=False),
    ]


def _car() -> Parts:
    return [
        polygon("body", (-0.34, 0.32), (-0.24, 0.54), (0.14, 0.54), (0.32, 0.32)),
        polygon(GLASS, (-0.27, 0.34), (-0.2, 0.49), (-0.06, 0.49), (-0.06, 0.34), solid=False),
        polygon(GLASS, (-0.02, 0.34), (-0.02, 0.49), (0.12, 0.49), (0.24, 0.34), solid=False),
        polygon(
            "body",
            (-0.54, 0.14),
            (-0.56, 0.3),
            (-0.48, 0.36),
            (0.34, 0.35),
            (0.52, 0.3),
            (0.57, 0.22),
            (0.56, 0.12),
        ),
        box("dark", -0.55, 0.12, 1.11, 0.06, solid=False),
        box("light", -0.1, 0.27, 0.08, 0.025, solid=False),
        ellipse("#ffe9a0", 0.51, 0.26, 0.045, 0.04, solid=False),
        box("#e0483e", -0.56, 0.25, 0.05, 0.06, solid=False),
        *_wheel(-0.31, 0.13),
        *_wheel(0.32, 0.13),
    ]


def _bus() -> Parts:
    windows = [box(GLASS, -0.56 + 0.175 * i, 0.4, 0.135, 0.17, solid=False) for i in range(5)]
    return [
        box("body", -0.62, 0.11, 1.24, 0.56, 0.07),
        box("light", -0.55, 0.62, 1.1, 0.03, solid=False),
        *windows,
        box(GLASS, 0.37, 0.17, 0.13, 0.4, solid=False),
        box("dark", 0.43, 0.17, 0.015, 0.4, solid=False),
        box(GLASS, 0.54, 0.36, 0.08, 0.21, solid=False),
        box("dark", -0.62, 0.26, 0.95, 0.05, solid=False),
        ellipse("#ffe9a0", 0.58, 0.2, 0.03, solid=False),
        *_wheel(-0.36, 0.12),
        *_wheel(0.25, 0.12),
    ]


def _train() -> Parts:
    sleepers = [box(WOOD, -0.62 + 0.155 * i, 0, 0.08, 0.04) for i in range(9)]
    smoke = [ellipse("#eef0f4", 0.42 - 0.15 * i, 0.74 + 0.06 * i, 0.06 + 0.022 * i) for i in range(3)]
    wagon = [
        box("body", -0.64, 0.15, 0.5, 0.36, 0.03),
        box("dark", -0.67, 0.5, 0.56, 0.05),
        box(GLASS, -0.59, 0.29, 0.11, 0.14, solid=False),
        box(GLASS, -0.445, 0.29, 0.11, 0.14, solid=False),
        box(GLASS, -0.3, 0.29, 0.11, 0.14, solid=False),
        box(TYRE, -0.16, 0.17, 0.14, 0.04),
    ]
    engine = [
        box("body", -0.06, 0.15, 0.28, 0.47, 0.02),
        box("dark", -0.1, 0.61, 0.36, 0.055),
        box(GLASS, -0.01, 0.39, 0.17, 0.15, solid=False),
        box("body", 0.2, 0.18, 0.4, 0.25, 0.06),
        box("dark", 0.3, 0.18, 0.04, 0.25, solid=False),
        polygon("dark", (0.39, 0.42), (0.49, 0.42), (0.52, 0.66), (0.36, 0.66)),
        ellipse("#ffe9a0", 0.6, 0.35, 0.045),
        polygon("#d0492f", (0.55, 0.17), (0.63, 0.17), (0.72, 0.05), (0.55, 0.05)),
    ]
    wheels = [w for x in (-0.53, -0.26, 0.03, 0.24, 0.44) for w in placed(_wheel(x, 0.085), 0, 0.05)]
    return [*sleepers, box(METAL, -0.68, 0.03, 1.36, 0.03), *smoke, *wagon, *engine, *wheels]


def _boat() -> Parts:
    return [
        *limb(WOOD, (0.0, 0.2), (0.0, 1.02), w=0.045),
        polygon("#fff9ec", (0.05, 0.34), (0.05, 0.98), (0.46, 0.34)),
        polygon("body", (-0.05, 0.34), (-0.05, 0.9), (-0.36, 0.34)),
        polygon("body", (0.05, 0.55), (0.05, 0.68), (0.245, 0.68), (0.325, 0.55), solid=False),
        polygon("#e4503c", (0.02, 1.02), (0.02, 1.12), (-0.14, 1.07)),
        polygon("body", (-0.54, 0.28), (0.58, 0.28), (0.4, 0.02), (-0.4, 0.02)),
        polygon("dark", (-0.46, 0.12), (0.46, 0.12), (0.4, 0.02), (-0.4, 0.02), solid=False),
        polygon("#fff9ec", (-0.54, 0.28), (0.58, 0.28), (0.545, 0.235), (-0.51, 0.235), solid=False),
    ]


def _ring(role: str, x: float, y: float, r: float, w: float) -> Parts:
    t = np.linspace(0, 2 * np.pi, 21)
    return limb(role, *((float(x + r * np.cos(a)), float(y + r * np.sin(a))) for a in t), w=w)


def _bicycle() -> Parts:
    hub, front = (-0.36, 0.25), (0.36, 0.25)
    spokes = [
        s
        for x in (-0.36, 0.36)
        for a in (0.3, 1.35, 2.4)
        for s in limb(
            METAL,
            (x - 0.21 * np.cos(a), 0.25 - 0.21 * np.sin(a)),
            (x + 0.21 * np.cos(a), 0.25 + 0.21 * np.sin(a)),
            w=0.018,
            solid=False,
        )
    ]
    frame = (hub, (-0.02, 0.24), (-0.15, 0.56), (0.26, 0.58), (-0.02, 0.24))
    return [
        *spokes,
        *_ring(TYRE, *hub, 0.22, 0.055),
        *_ring(TYRE, *front, 0.22, 0.055),
        *limb("body", *frame, w=0.075),
        *limb("body", hub, (-0.15, 0.56), w=0.06),
        *limb("body", front, (0.24, 0.7), w=0.07),
        *limb("body", (-0.15, 0.55), (-0.17, 0.65), w=0.05),
        *limb(HAIR, (-0.27, 0.67), (-0.09, 0.66), w=0.07),
        *limb(HAIR, (0.2, 0.72), (0.36, 0.75), w=0.055),
        ellipse(METAL, -0.02, 0.24, 0.06),
    ]


# --- food --------------------------------------------------------------------------------------------------


def _hot_dog() -> Parts:
    wave = [(-0.4 + 0.1 * i, 0.375 + (0.06 if i % 2 else -0.05)) for i in range(9)]
    return [
        polygon("body", (-0.66, 0.08), (-0.3, 0.24), (0.3, 0.24), (0.66, 0.08), (0.34, -0.1), (-0.34, -0.1)),
        ellipse("#fbfaf5", 0, 0.1, 0.52, 0.12),
        ellipse("light", 0, 0.11, 0.42, 0.085, solid=False),
        box("#d9964a", -0.46, 0.24, 0.92, 0.24, 0.1),
        *limb("#a85a2c", (-0.46, 0.35), (0.46, 0.35), w=0.19),
        *limb("#c97f48", (-0.44, 0.4), (0.44, 0.4), w=0.04, solid=False),
        *limb("body", *wave, w=0.085, solid=False),
        box("#eab064", -0.48, 0.09, 0.96, 0.21, 0.1),
        *limb("#f6cb8b", (-0.36, 0.235), (0.36, 0.235), w=0.035, solid=False),
    ]


def _cake() -> Parts:
    drips = [ellipse("body", -0.34 + 0.17 * i, 0.5 - 0.04 * (i % 2), 0.085, 0.1) for i in range(5)]
    cream = [ellipse("light", -0.27 + 0.18 * i, 0.66, 0.075, 0.06) for i in range(4)]
    return [
        polygon(METAL, (-0.2, 0), (0.2, 0), (0.08, 0.1), (-0.08, 0.1)),
        ellipse("#f6f7fb", 0, 0.12, 0.54, 0.07),
        box("#edc57f", -0.42, 0.13, 0.84, 0.42, 0.04),
        box("#c98a4a", -0.42, 0.2, 0.84, 0.04, solid=False),
        box("body", -0.42, 0.29, 0.84, 0.07, solid=False),
        *drips,
        box("body", -0.43, 0.49, 0.86, 0.13, 0.06),
        ellipse("body", 0, 0.61, 0.42, 0.06),
        *cream,
        box("#5cb8e6", -0.035, 0.64, 0.07, 0.2),
        box(EYE, -0.035, 0.71, 0.07, 0.04, solid=False),
        ellipse("#ffc93c", 0, 0.91, 0.045, 0.08),
        ellipse("#d8263c", 0.22, 0.73, 0.07),
        ellipse("#d8263c", -0.22, 0.73, 0.07),
    ]


# --- companions --------------------------------------------------------------------------------------------


def _ball() -> Parts:
    colours = ("#e8443c", "#fffdf6", "#2f7fd8", "#fffdf6", "#f6c12c", "#fffdf6")
    wedges = []
    for i, colour in enumerate(colours):
        t = np.radians(np.linspace(60 * i + 15, 60 * i + 75, 6))
        arc = [(float(0.5 * np.cos(a)), float(0.5 + 0.5 * np.sin(a))) for a in t]
        wedges.append(polygon(colour, (0.1, 0.6), *arc, solid=False))
    return [ellipse("#fffdf6", 0, 0.5, 0.5), *wedges, ellipse("#fffdf6", 0.1, 0.6, 0.09, solid=False)]


def _frisbee() -> Parts:
    disc = [
        ellipse("#b81f78", 0, 0, 0.5, 0.2),
        ellipse("#ee3f9d", 0, 0.05, 0.5, 0.19),
        ellipse("#ffd84a", 0, 0.06, 0.33, 0.115, solid=False),
        ellipse("#ee3f9d", 0, 0.07, 0.2, 0.065, solid=False),
    ]
    lines = limb(MOTION, (-0.48, -0.28), (-0.12, -0.28), w=0.045) + limb(MOTION, (-0.36, -0.42), (0.02, -0.4), w=0.05)
    return placed(turned(disc, 16) + lines, 0, 0.5)


def _tree() -> Parts:
    leaf, shine = "#3f9a3c", "#6cc04f"
    crown = ((-0.2, 0.56), (0.2, 0.56), (-0.2, 0.82), (0.2, 0.82), (0, 0.9), (0, 0.62))
    return [
        polygon(WOOD, (-0.1, 0), (0.1, 0), (0.06, 0.5), (-0.06, 0.5)),
        *(ellipse(leaf, x, y, 0.24) for x, y in crown),
        *(ellipse(shine, x, y, 0.1, solid=False) for x, y in ((-0.15, 0.9), (0.1, 0.98), (-0.27, 0.66))),
        *(ellipse("#e2453a", x, y, 0.045, solid=False) for x, y in ((0.22, 0.75), (0.05, 0.6), (-0.1, 0.74))),
    ]


def _umbrella() -> Parts:
    panels: Parts = []
    for rx, left, right in (
        (0.58, "#e8443c", "#8a4fc4"),
        (0.36, "#f8b62d", "#2f7fd8"),
        (0.13, "#35a867", "#35a867"),
    ):
        for side, colour in ((-1, left), (1, right)):
            t = np.linspace(0, np.pi / 2, 9)
            arc = np.stack([side * rx * np.cos(t), 0.44 + 0.52 * np.sin(t)], 1)
            panels.append(Part(colour, np.concatenate([[[0, 0.44]], arc])))
    handle = limb(WOOD, (0, 0.9), (0, 0.08), (0.05, 0.02), (0.12, 0.04), (0.14, 0.12), w=0.055)
    return [*handle, *limb(WOOD, (0, 0.9), (0, 1.04), w=0.05), *panels]


STILL: dict[str, Callable[[], Parts]] = {
    "car": _car,
    "bus": _bus,
    "train": _train,
    "boat": _boat,
    "bicycle": _bicycle,
    "hot dog": _hot_dog,
    "cake": _cake,
    "ball": _ball,
    "frisbee": _frisbee,
    "tree": _tree,
    "umbrella": _umbrella,
}


def _parts(kind: str, action: str | None) -> Parts:
    if kind in STILL:
        return STILL[kind]()
    pose = action or "standing"
    if kind == "bird":
        return _bird(pose)
    return _person(kind, pose) if kind in FIGURES else _quadruped(kind, pose)


def _normals(points: np.ndarray) -> np.ndarray:
    """Outward unit normals (n, 2) at the corners of a polygon."""
    edge = np.roll(points, -1, 0) - np.roll(points, 1, 0)
    x, y = points.T
    sign = 1 if float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) > 0 else -1
    normal = np.stack([edge[:, 1], -edge[:, 0]], 1) * sign
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)


@cache
def sprite(kind: str, action: str | None = None) -> Sprite:
    """The sprite of a kind in an action, centred on x = 0."""
    parts = _parts(kind, action)
    bounds = np.cumsum([0, *(len(p.points) for p in parts)])
    points = np.concatenate([p.points for p in parts]).astype(np.float32)
    low, high = points.min(0), points.max(0)
    points[:, 0] -= (low[0] + high[0]) / 2
    half = float(high[0] - low[0]) / 2
    return Sprite(
        points=points,
        normals=np.concatenate([_normals(p.points) for p in parts]).astype(np.float32),
        parts=tuple((p.role, int(a), int(b), p.solid) for p, a, b in zip(parts, bounds[:-1], bounds[1:], strict=True)),
        low=(-half, float(low[1])),
        high=(half, float(high[1])),
    )
