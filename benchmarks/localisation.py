"""Maps judged against the truth: where they point, in scenes of Toyland whose masks are known.

    python -m benchmarks.localisation [--words dog,cat,horse,bird,bus,train,man,boat] [--images 40]

Writes benchmarks/results/localisation.json: for every method and part of the picture pointing, energy in the mask and
overlap with it, deletion and insertion of the concept's activation, and the time; and of controls: pieces at random,
a blob in the centre, the map of another concept of the same image, and the map of a random direction.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from vitrail import scores, toyland
from vitrail.activations import ExtractionOptions, WordStore, open_words
from vitrail.artifacts import plain, versions, write_json
from vitrail.concepts import Concepts, learn
from vitrail.extraction import extract_words
from vitrail.learners import PCA
from vitrail.lmm import LMM, load, quieten
from vitrail.maps import MapOptions, Question, Targets
from vitrail.maps.image_maps import shape_of
from vitrail.maps.methods.registry import METHODS
from vitrail.samples import load_samples
from vitrail.scores.maps import area_under, best_overlap, energy_inside, overlaps, pointing
from vitrail.toyland.ground_truth import Masks, load_factors, load_masks

RESULT = Path(__file__).parent / "results" / "localisation.json"
WORDS = "dog,cat,horse,bird,bus,train,man,boat"
#: A concept stands for the value of a factor that it tells with at least this AUROC on the samples learned from.
TELLS = 0.85
#: At most so many concepts of an image are mapped.
MOST = 3
#: Pieces of the deletion and insertion curves, on a side, and how many steps a curve has.
SIDE, STEPS = 8, 8
#: The methods whose curves and maps of random directions are measured, too.
CURVES = ("integrated-tokens", "integrated-gradients", "occlusion")


@dataclass
class Found:
    """What was measured of one method on one part: a value for each map, and the overlaps at every cut."""

    pointing: list[float] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    area: list[float] = field(default_factory=list)
    overlaps: list[np.ndarray] = field(default_factory=list)
    deletion: list[float] = field(default_factory=list)
    insertion: list[float] = field(default_factory=list)
    flipped: list[float] = field(default_factory=list)

    def add(self, shares: np.ndarray, mask: np.ndarray) -> None:
        self.pointing.append(pointing(shares, mask))
        self.energy.append(energy_inside(shares, mask))
        self.area.append(float(mask.mean()))
        self.overlaps.append(overlaps(shares, mask))

    def values(self) -> dict[str, Any]:
        found = {
            "maps": len(self.pointing),
            "pointing": scores.estimate(np.array(self.pointing)),
            "energy in the mask": scores.estimate(np.array(self.energy)),
            "area of the mask": scores.estimate(np.array(self.area)),
            "overlap": scores.estimate(best_overlap(np.array(self.overlaps))),
        }
        for name in ("deletion", "insertion", "flipped"):
            if values := getattr(self, name):
                found[name] = scores.estimate(np.array(values))
        return found


def meanings(concepts: Concepts, factors: list[dict], masks: Masks) -> dict[int, tuple[str, Any, str]]:
    """Concept → the factor, value and part of the picture that it stands for, for those that stand for one."""
    properties = scores.factor_properties(factors)
    properties = properties.of(np.flatnonzero(properties.enough(scores.COMMON)))
    told, _ = scores.matches(concepts.V, properties)
    found = {}
    for k, row in enumerate(told):
        factor, value = properties.names[int(row.argmax())]
        part = masks.part_of(factor)
        if row.max() >= TELLS and part is not None and str(value) != "none":
            found[k] = (factor, value, part)
    return found


def group(factor: str, part: str) -> str:
    """Under which name the maps of a factor are counted."""
    return part if part != "subject" else f"subject: {factor}"


class Judge:
    """Judges all methods on the new samples of one word."""

    def __init__(self, lmm: LMM, found: dict[str, dict[str, Found]], seconds: dict[str, float], masks: Masks) -> None:
        self.lmm, self.found, self.seconds, self.masks = lmm, found, seconds, masks
        self.rng = np.random.default_rng(0)

    def question(self, concepts: Concepts, row: Any, image: Image.Image, chosen: tuple[int, ...]) -> Question:
        targets = Targets(self.lmm, concepts.learner, concepts.layer, (chosen,))
        said = row.token_ids[: row.token]
        return Question(targets, [image], [row.request], [said], MapOptions(), shape_of(image.size))

    def image(
        self,
        concepts: Concepts,
        row: Any,
        image: Image.Image,
        meant: dict[int, tuple[str, Any, str]],
        methods: list[str],
    ) -> None:
        """Measures everything on one image, of the concepts in `meant`."""
        chosen = tuple(meant)
        asked = self.question(concepts, row, image, chosen)
        parts = [self.masks.of(row.sample_id, part) for _, _, part in meant.values()]
        names = [group(factor, part) for factor, _, part in meant.values()]
        by_chance = self.curves(asked, self.rng.random((SIDE, SIDE)))
        for t, name in enumerate(names):
            self.found["pieces at random"][name].add(_grown(self.rng.random((SIDE, SIDE)), asked.shape), parts[t])
            self.found["a blob in the centre"][name].add(_blob(asked.shape), parts[t])
            for kind, curve in by_chance.items():
                getattr(self.found["pieces at random"][name], kind).append(area_under(curve[t]))
        for method in methods:
            start = time.perf_counter()
            shares = METHODS[method].make(asked)[0]
            self.seconds[method] += time.perf_counter() - start
            flipped = METHODS[method].make(replace(asked, images=[ImageOps.mirror(image)]))[0][:, :, ::-1]
            for t, name in enumerate(names):
                here = self.found[method][name]
                here.add(shares[t], parts[t])
                here.flipped.append(float(np.corrcoef(shares[t].ravel(), flipped[t].ravel())[0, 1]))
                for kind, curve in self.curves(asked, _pieces(shares[t])).items() if method in CURVES else ():
                    getattr(here, kind).append(area_under(curve[t]))
                other = next((o for o in range(len(names)) if names[o].split(":")[0] != name.split(":")[0]), None)
                if other is not None:
                    self.found[f"{method}: another concept's map"][name].add(shares[other], parts[t])
            if method not in CURVES:
                continue
            noise = METHODS[method].make(replace(asked, targets=replace(asked.targets, learner=self.random(concepts))))[
                0
            ]
            for t, name in enumerate(names):
                self.found[f"{method}: a random direction"][name].add(noise[t], parts[t])

    def random(self, concepts: Concepts) -> PCA:
        """Random directions in place of the concepts."""
        learner = PCA(len(concepts))
        learner.components_ = scores.unit(self.rng.standard_normal(concepts.U.shape)).astype(np.float32)
        learner.mean_, learner.n_features_in_ = np.zeros(concepts.U.shape[1], np.float32), concepts.U.shape[1]
        return learner

    def curves(self, asked: Question, order_by: np.ndarray) -> dict[str, np.ndarray]:
        """The targets while pieces of the image are blurred, or come back, the one with the largest share first."""
        image = asked.images[0]
        sharp, blurred = np.asarray(image), np.asarray(image.filter(ImageFilter.GaussianBlur(max(image.size) / 10)))
        order = np.argsort(-order_by.ravel(), kind="stable")
        made = []
        for start, other in ((sharp, blurred), (blurred, sharp)):
            for step in range(STEPS + 1):
                taken = np.zeros(order_by.size, bool)
                taken[order[: round(step / STEPS * order_by.size)]] = True
                mask = _grown(taken.reshape(SIDE, SIDE).astype(float), sharp.shape[:2]) > 0
                made.append(Image.fromarray(np.where(mask[..., None], other, start)))
        values = asked.values(made, 0)
        return {"deletion": values[:, : STEPS + 1], "insertion": values[:, STEPS + 1 :]}


def _grown(pieces: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pieces as a picture of that shape."""
    rows, columns = (np.arange(n) * SIDE // n for n in shape)
    return pieces[rows[:, None], columns]


def _pieces(shares: np.ndarray) -> np.ndarray:
    """A map in pieces: their sums."""
    rows, columns = (np.arange(n) * SIDE // n for n in shares.shape)
    index = rows[:, None] * SIDE + columns
    return np.bincount(index.ravel(), shares.ravel(), SIDE * SIDE).reshape(SIDE, SIDE)


def _blob(shape: tuple[int, int]) -> np.ndarray:
    y, x = (np.linspace(-1, 1, n) for n in shape)
    return np.exp(-4 * (y[:, None] ** 2 + x**2))


def states_of(lmm: LMM, words: list[str], splits: tuple[str, ...], folder: Path) -> WordStore:
    """The states of the words in the last block, of the scenes of some splits; what is in the folder is kept."""
    samples = [s for split in splits for s in load_samples(toyland.dataset_path(), split=split)]
    extract_words(lmm, samples, words, out=folder, options=ExtractionOptions(layers=(-1,)))
    return open_words(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", default=WORDS)
    parser.add_argument("--images", type=int, default=12, help="new scenes of each word")
    parser.add_argument(
        "--methods", default="integrated-tokens,gradient-tokens,integrated-gradients,projection,rollout"
    )
    parser.add_argument("--keep", type=Path, help="keep the states in this folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    quieten()
    lmm, home, words = load("toyland"), args.keep or Path(tempfile.mkdtemp()), args.words.split(",")
    world = toyland.dataset_path()
    factors, masks = load_factors(world), load_masks(world)
    assert factors is not None
    assert masks is not None
    images = {s.id: s for s in load_samples(world)}
    learned, new = (
        states_of(lmm, words, splits, home / name)
        for name, splits in {"learned": ("train",), "new": ("val", "test")}.items()
    )
    found: dict[str, dict[str, Found]] = defaultdict(lambda: defaultdict(Found))
    seconds: dict[str, float] = defaultdict(float)
    judge, methods, meant_of = Judge(lmm, found, seconds, masks), args.methods.split(","), {}
    n_images = 0
    for word in words:
        concepts = learn(learned.of(word), out=home / "concepts" / word, stability=0, progress=False)
        ids = [i for i, kept in zip(learned.of(word).sample_ids(), concepts.kept, strict=True) if kept]
        meant = meanings(concepts, [factors[i] for i in ids], masks)
        meant_of[word] = {str(k): f"{factor}: {value}" for k, (factor, value, _) in meant.items()}
        activations = new.of(word)
        ids, V = activations.sample_ids(), np.asarray(concepts.learner.transform(activations.states(concepts.layer)))
        done = 0
        for i in range(len(ids)):
            here = factors[ids[i]]
            active = [k for k in np.argsort(-concepts.strengths(V)[i]) if V[i, k] > 0 and int(k) in meant]
            shown = [int(k) for k in active if here[meant[int(k)][0]] == meant[int(k)][1]]
            shown = [k for k in shown if masks.of(ids[i], meant[k][2]).any()][:MOST]
            if not shown or done == args.images:
                continue
            row = activations.rows[i]
            judge.image(concepts, row, images[ids[i]].open(), {k: meant[k] for k in shown}, methods)
            done += 1
        n_images += done
        print(word, done, flush=True)
    result = {
        "parameters": {
            "words": words,
            "images": args.images,
            "tells": TELLS,
            "most": MOST,
            "steps": MapOptions().steps,
        },
        "images": n_images,
        "concepts": meant_of,
        "scores": {
            name: {part: one.values() for part, one in sorted(by.items())} for name, by in sorted(found.items())
        },
        "seconds per image": {name: total / n_images for name, total in seconds.items()},
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    text = json.dumps(plain(result))
    write_json(args.result, json.loads(text, parse_float=lambda t: float(f"{float(t):.4g}")))


if __name__ == "__main__":
    main()
