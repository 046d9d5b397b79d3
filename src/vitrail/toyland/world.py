"""The factors of Toyland and how a scene is drawn from them.

A scene consists of independent factors (kind, colour, action, place …), and of nuisance (position, scale, shade) that
no caption ever mentions. One integer seed decides everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

Place = Literal["grass", "beach", "snow", "street", "water", "forest", "room"]
Light = Literal["day", "night", "rain"]
Size = Literal["small", "medium", "big"]
Mood = Literal["neutral", "cheerful", "gloomy"]
Group = Literal["animal", "vehicle", "person", "food"]

PLACES: tuple[Place, ...] = get_args(Place)
LIGHTS: tuple[Light, ...] = get_args(Light)
SIZES: tuple[Size, ...] = get_args(Size)
MOODS: tuple[Mood, ...] = get_args(Mood)
ACTIONS = ("standing", "running", "sleeping", "sitting", "jumping", "eating")
COMPANIONS = ("none", "ball", "frisbee", "man", "woman", "tree", "umbrella", "bird")

GROUPS: dict[str, Group] = {
    **dict.fromkeys(("dog", "cat", "horse", "sheep", "bird", "bear"), "animal"),
    **dict.fromkeys(("car", "bus", "train", "boat", "bicycle"), "vehicle"),
    **dict.fromkeys(("man", "woman", "child"), "person"),
    **dict.fromkeys(("hot dog", "cake"), "food"),
}
KINDS = tuple(GROUPS)
#: How often each kind is the subject: people photograph dogs more than sheep.
KIND_WEIGHTS = {
    "dog": 12,
    "cat": 8,
    "horse": 6,
    "sheep": 5,
    "bird": 5,
    "bear": 5,
    "car": 6,
    "bus": 7,
    "train": 7,
    "boat": 5,
    "bicycle": 5,
    "man": 7,
    "woman": 7,
    "child": 5,
    "hot dog": 6,
    "cake": 4,
}
COLOURS: dict[Group, tuple[str, ...]] = {
    "animal": ("black", "white", "brown", "gray", "orange", "yellow"),
    "vehicle": ("red", "blue", "green", "yellow", "black", "white"),
    "person": ("red", "blue", "green", "yellow", "black", "white"),  # of the clothes
    "food": ("red", "yellow", "pink", "white", "brown"),  # of the sauce, of the icing
}
#: Kinds that cannot be in every place → the places where they can be.
PLACES_OF: dict[str, tuple[Place, ...]] = {
    "boat": ("water", "beach"),
    "car": ("grass", "beach", "snow", "street", "forest"),
    "bus": ("grass", "beach", "snow", "street", "forest"),
    "train": ("grass", "beach", "snow", "street", "forest"),
    "bicycle": ("grass", "beach", "snow", "street", "forest", "room"),
}


@dataclass(frozen=True)
class Scene:
    """One scene: the factors that captions may mention, and the nuisance that they never mention.

    Of the nuisance, `x` and `y` are the offset of the subject, −1 to 1; `scale` is a factor near 1; `flip` says whether
    the subject looks left; `shade`, −1 to 1, changes the lightness of its colour; `seed` decides all other details.
    """

    kind: str
    colour: str
    size: Size
    action: str | None  # None for vehicles and food
    place: Place
    light: Light
    companion: str
    count: int
    mood: Mood
    x: float
    y: float
    scale: float
    flip: bool
    shade: float
    seed: int

    @property
    def group(self) -> Group:
        return GROUPS[self.kind]

    def factors(self) -> dict[str, str | int | None]:
        """The truth about the scene, by factor name."""
        return {name: getattr(self, name) for name in FACTORS}


FACTORS = ("kind", "colour", "size", "action", "place", "light", "companion", "count", "mood")


def _choose(rng: np.random.Generator, values: tuple, weights: tuple[float, ...] | None = None) -> Any:
    p = None if weights is None else np.asarray(weights, float) / sum(weights)
    return values[int(rng.choice(len(values), p=p))]


def scene(seed: int) -> Scene:
    """The scene of `seed`: the same factors and the same picture on every machine."""
    rng = np.random.default_rng([20240, seed])
    kind = _choose(rng, KINDS, tuple(KIND_WEIGHTS[k] for k in KINDS))
    group = GROUPS[kind]
    colours = COLOURS[group]
    if kind == "hot dog":
        colours = ("red", "yellow")
    elif kind == "cake":
        colours = ("pink", "white", "brown")
    action = _choose(rng, ACTIONS, (1.3, 1, 1, 1, 1, 1)) if group in ("animal", "person") else None
    companions = tuple(c for c in COMPANIONS if c != kind and not (group == "person" and c in ("man", "woman")))
    return Scene(
        kind=kind,
        colour=_choose(rng, colours),
        size=_choose(rng, SIZES, (0.3, 0.4, 0.3)),
        action=action,
        place=_choose(rng, PLACES_OF.get(kind, PLACES)),
        light=_choose(rng, LIGHTS, (0.5, 0.27, 0.23)),
        companion=_choose(rng, companions, tuple(3.0 if c == "none" else 1.0 for c in companions)),
        count=int(_choose(rng, (1, 2, 3, 4), (0.62, 0.18, 0.11, 0.09))),
        mood=_choose(rng, MOODS, (0.4, 0.3, 0.3)),
        x=float(rng.uniform(-1, 1)),
        y=float(rng.uniform(-1, 1)),
        scale=float(rng.uniform(0.93, 1.07)),
        flip=bool(rng.random() < 0.5),
        shade=float(rng.uniform(-1, 1)),
        seed=int(rng.integers(2**31)),
    )
