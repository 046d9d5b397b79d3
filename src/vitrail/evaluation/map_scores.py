"""Are maps of concepts right? Maps are judged beside controls that stand in their place.

| measure | what |
|---|---|
| deletion, insertion | the area under the concept's activation while pieces of the image are blurred, or come back, |
| | those with the largest shares first (Petsiuk et al. 2018) |
| flip, shift | the correlation with the map of the flipped, or shifted, image, brought back |
| pointing, energy, overlap | whether the map shows the part of the image that it should, where masks are known |

| control | in the place of the map |
|---|---|
| pieces at random | random shares of a grid of pieces |
| a blob in the centre | what knows nothing of the image, but that people look at what they photograph |
| another concept's map | of the same image; of another part, where parts are known |
| a random direction | the map of a direction that means nothing, in place of the concept |
| random weights | the map of the same direction in a model whose weights are shuffled (Adebayo et al. 2018) |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageFilter, ImageOps

from vitrail import scores
from vitrail.evaluation.results import (
    MAP_CONTROLS,
    MAP_MEASURES,
    Contrast,
    MapControlName,
    MapCurve,
    MapMeasureName,
    MapPart,
    MapScore,
    MapScores,
)
from vitrail.learners import PCA
from vitrail.maps import Question
from vitrail.maps.methods.gradients import BLUR
from vitrail.maps.methods.registry import map_method
from vitrail.scores.maps import (
    agreement,
    area_under,
    best_overlap,
    centre_blob,
    energy_inside,
    first_pieces,
    in_pieces,
    of_pieces,
    overlaps,
    pointing,
)

#: At most so many concepts of an image are mapped, the strongest.
MOST = 3
#: Pieces of the image on a side, and how many steps a curve has.
SIDE, STEPS = 8, 8
#: An image is shifted by this share of its width.
SHIFT = 1 / 8

#: Maps of the targets of one image.
Shares = Float[np.ndarray, "targets h w"]


@dataclass(frozen=True)
class Part:
    """The part of an image that a map should show: its name, and where it is, in the shape of the map."""

    name: str
    mask: Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class Judged:
    """What was measured of one map.

    Args:
        of: the method that made it, or the control that stands in its place.
        image: the number of the image.
        part: what it should show; None where that is not known.
        values: what was measured; the overlap is in `overlaps`, at each of `scores.maps.CUTS`.
        curves: of the activation, relative to its largest end.
    """

    of: str
    image: int
    part: Part | None
    values: dict[MapMeasureName, float]
    overlaps: Float[np.ndarray, " cuts"] | None = None
    curves: MapCurve | None = None


@dataclass
class MapJudge:
    """Judges maps, image by image.

    Args:
        methods: names of methods; controls stand in the place of maps of the first.
        curved: the methods whose curves are measured; those of the first always are.
        seed: of everything random.
    """

    methods: Sequence[str]
    curved: frozenset[str] = frozenset()
    seed: int = 0
    maps: list[Judged] = field(default_factory=list)
    n_images: int = 0

    def __post_init__(self) -> None:
        self.curved |= {self.methods[0]}
        self._rng = np.random.default_rng(self.seed)

    def judge(self, asked: Question, parts: Sequence[Part | None], *, whole: bool = True) -> None:
        """Judges the maps of one image.

        Args:
            asked: about this image alone.
            parts: of each target, what its map should show.
            whole: whether all is measured; otherwise what takes no further pass through the model.

        Raises:
            ModelError: there is no patch map for this family of models; the message names another method.
        """
        made = {name: map_method(name).make(asked)[0] for name in self.methods}
        shown = {**made, **self._controls(asked, made[self.methods[0]], parts, whole)}
        curves = Curves(asked)
        for name, shares in shown.items():
            moved = self._moved(asked, name) if whole and name in made else {}
            curved = whole and (name in self.curved or name not in made)
            for t, map_ in enumerate(shares):
                if map_ is not None:
                    found = {m: agreement(map_[..., where], back[t]) for m, (back, where) in moved.items()}
                    curve = curves.of(map_, t) if curved and t < curves.n else None
                    self.maps.append(_judged(name, self.n_images, map_, parts[t], found, curve))
        self.n_images += 1

    def _controls(
        self, asked: Question, main: Shares, parts: Sequence[Part | None], whole: bool
    ) -> dict[str, Sequence[np.ndarray | None]]:
        """What stands in the place of the maps `main`; None where there is nothing."""
        n, n_concepts = len(main), len(asked.targets.concepts[0])
        pieces = of_pieces(self._rng.random((SIDE, SIDE)), asked.shape)
        others = [_other(t, n_concepts, parts) for t in range(n)]
        found: dict[str, Sequence[np.ndarray | None]] = {
            "pieces": [pieces] * n,
            "blob": [centre_blob(asked.shape)] * n,
            "other": [None if o is None else main[o] for o in others],
        }
        if whole:
            make, targets = map_method(self.methods[0]).make, asked.targets
            direction = _along(self._rng.standard_normal((1, targets.lmm.n_features)))
            one = replace(targets, learner=direction, concepts=((0,),), words=None)
            found["direction"] = [make(replace(asked, targets=one))[0][0]] * n
            if not targets.lmm.off_loaded:
                linear = replace(targets, learner=_along(targets.learner.components_))  # a code may be 0 everywhere
                with targets.lmm.shuffled(self.seed):
                    found["weights"] = list(np.nan_to_num(make(replace(asked, targets=linear))[0]))
        return found

    def _moved(self, asked: Question, method: str) -> dict[MapMeasureName, tuple[Shares, slice]]:
        """Maps of the image when it is flipped, and when it is shifted, brought back; and the columns of the map that
        they are to be compared with."""
        make, (image,) = map_method(method).make, asked.images
        pixels = np.asarray(image)
        by = max(1, round(image.width * SHIFT))
        beyond = np.repeat(pixels[:, :1], by, axis=1)
        shifted = Image.fromarray(np.concatenate([beyond, pixels[:, :-by]], axis=1))
        flip, shift = (make(replace(asked, images=[i]))[0] for i in (ImageOps.mirror(image), shifted))
        columns = round(by * asked.shape[1] / image.width)
        return {
            "flip": (flip[..., ::-1], slice(None)),
            "shift": (shift[..., columns:], slice(0, asked.shape[1] - columns)),
        }


def _along(directions: Float[np.ndarray, "k d"]) -> PCA:
    """Activations that are states along some directions."""
    learner = PCA(len(directions))
    learner.components_ = scores.unit(directions).astype(np.float32)
    learner.n_features_in_ = directions.shape[1]
    learner.mean_ = np.zeros(directions.shape[1], np.float32)
    return learner


def _other(t: int, n_concepts: int, parts: Sequence[Part | None]) -> int | None:
    """Another concept of the image than target `t`: of another part, where parts are known."""
    part = parts[t]
    found = [(t + i) % n_concepts for i in range(1, n_concepts)] if t < n_concepts else []
    if part is not None:
        found = [o for o in found if (other := parts[o]) is not None and other.name != part.name]
    return next(iter(found), None)


def _judged(
    name: str,
    image: int,
    shares: Float[np.ndarray, "h w"],
    part: Part | None,
    moved: Mapping[MapMeasureName, float],
    curve: MapCurve | None,
) -> Judged:
    values = dict(moved)
    if curve is not None:
        values |= {"deletion": area_under(np.array(curve.deletion)), "insertion": area_under(np.array(curve.insertion))}
    if part is None:
        return Judged(name, image, None, values, None, curve)
    values |= {"pointing": pointing(shares, part.mask), "energy": energy_inside(shares, part.mask)}
    return Judged(name, image, part, values, overlaps(shares, part.mask), curve)


class Curves:
    """Activations of the concepts of one image while its pieces are blurred, or come back, in some order."""

    def __init__(self, asked: Question) -> None:
        image = asked.images[0]
        self.n = len(asked.targets.concepts[0])
        self._asked = replace(asked, targets=replace(asked.targets, words=None))
        self._sharp = np.asarray(image)
        self._blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(BLUR * max(image.size))))
        self._known: dict[bytes, Float[np.ndarray, "targets steps"]] = {}

    def of(self, shares: Float[np.ndarray, "h w"], target: int) -> MapCurve:
        """The curves of a target, in the order of a map."""
        taken = first_pieces(in_pieces(shares, SIDE), self._sharp.shape[:2], STEPS)
        key = np.packbits(taken).tobytes()
        if key not in self._known:
            pairs = ((self._blurred, self._sharp), (self._sharp, self._blurred))
            made = [Image.fromarray(np.where(t[..., None], new, old)) for new, old in pairs for t in taken]
            self._known[key] = self._asked.values(made, 0)
        values = self._known[key][target]
        top = max(values[0], values[STEPS])
        relative = values / top if top > 0 else np.full_like(values, np.nan)
        return MapCurve(tuple(relative[: STEPS + 1].tolist()), tuple(relative[STEPS + 1 :].tolist()))


# ---- from maps to scores ---------------------------------------------------------------------------------------------


def map_scores(maps: Sequence[Judged], method: str, seed: int = 0) -> MapScores:
    """How right the maps of a method are, beside the controls that were measured."""
    own = [m for m in maps if m.of == method]
    controls: dict[MapControlName, list[Judged]] = {c: [m for m in maps if m.of == c] for c in MAP_CONTROLS}
    parts = {}
    for name in sorted({m.part.name for m in own if m.part is not None}):
        of_part, *others = (
            [m for m in some if m.part is not None and m.part.name == name] for some in (own, *controls.values())
        )
        area = scores.estimate(np.array([m.part.mask.mean() for m in of_part if m.part is not None]), seed)
        parts[name] = MapPart(len(of_part), area, _measures(of_part, dict(zip(controls, others, strict=True)), seed))
    return MapScores(
        method=method,
        answers=map_method(method).answers,
        n_images=len({m.image for m in own}),
        n_maps=len(own),
        measures=_measures(own, controls, seed),
        parts=parts,
        curves={name: _mean_curve(some) for name, some in (("map", own), ("pieces", controls["pieces"]))},
    )


def _measures(
    own: Sequence[Judged], controls: Mapping[MapControlName, Sequence[Judged]], seed: int
) -> dict[MapMeasureName, MapScore]:
    """Every measure that there is of some maps, beside the controls that there are of it."""
    found: dict[MapMeasureName, MapScore] = {}
    for measure in MAP_MEASURES:
        if values := _by_image(own, measure):
            levels = {c: level for c, some in controls.items() if (level := _by_image(some, measure))}
            against = {c: _contrast(values, level, measure, seed) for c, level in levels.items()}
            found[measure] = MapScore(scores.estimate(np.array(list(values.values())), seed), against)
    return found


def _by_image(maps: Sequence[Judged], measure: MapMeasureName) -> dict[int, float]:
    """Image → the mean of a measure over its maps; images without any are left out."""
    if measure == "overlap":
        some = [m for m in maps if m.overlaps is not None]
        at_cuts, images = np.array([m.overlaps for m in some]), np.array([m.image for m in some], int)
        pairs = list(zip(images, best_overlap(at_cuts, images) if some else (), strict=True))
    else:
        pairs = [(m.image, m.values[measure]) for m in maps if measure in m.values]
    by_image: dict[int, list[float]] = {}
    for image, value in pairs:
        if not np.isnan(value):
            by_image.setdefault(int(image), []).append(float(value))
    return {image: float(np.mean(values)) for image, values in by_image.items()}


def _contrast(own: Mapping[int, float], level: Mapping[int, float], measure: MapMeasureName, seed: int) -> Contrast:
    both = sorted(own.keys() & level.keys())
    mine, other = (np.array([values[i] for i in both], float) for values in (own, level))
    gain = other - mine if measure == "deletion" else mine - other
    p = scores.paired_p(gain, np.zeros_like(gain), seed=seed)
    return Contrast(scores.estimate(np.array(list(level.values())), seed), scores.estimate(gain, seed), p)


def _mean_curve(maps: Sequence[Judged]) -> MapCurve:
    known = [m.curves for m in maps if m.curves is not None and not np.isnan(m.curves.deletion).any()]
    if not known:
        return MapCurve((), ())
    deletion, insertion = (np.mean([getattr(c, kind) for c in known], axis=0) for kind in ("deletion", "insertion"))
    return MapCurve(tuple(deletion.tolist()), tuple(insertion.tolist()))
