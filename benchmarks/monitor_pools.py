"""States of "dog" in Toyland, as it is and changed: extracted once, so that streams of them can be drawn many times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance
from safetensors.numpy import load_file, save_file

from vitrail.activations import ExtractionOptions
from vitrail.extraction import Reader
from vitrail.lmm import LMM, load
from vitrail.lmm.scorers import load_image_scorer
from vitrail.runs.study import study as make_study
from vitrail.samples import Sample, load_samples
from vitrail.studies import Study, open_study
from vitrail.toyland.draw import draw
from vitrail.toyland.language import references
from vitrail.toyland.world import Scene, scene
from vitrail.words import Word

WORD = Word("dog")
#: Scenes of the pools have seeds of their own, which no data set of Toyland uses.
SEEDS = 700_000_000_000
SIZES = {
    "plain": 4300,
    "hot dogs": 400,
    "darker": 400,
    "noise": 400,
    "colour": 250,
    "place": 250,
    "mood": 250,
}


@dataclass(frozen=True)
class Pool:
    """Answers that say "dog".

    Args:
        states: (n, d), in the last block.
        embeddings: (n, e), of the images, by the bundled CLIP.
        captions: n, what was said.
        factors: n, the truth of the scenes.
    """

    states: np.ndarray
    embeddings: np.ndarray
    captions: list[str]
    factors: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.states)


def darker(image: Image.Image) -> Image.Image:
    """The picture at six tenths of its brightness."""
    return ImageEnhance.Brightness(image).enhance(0.6)


def noisy(image: Image.Image) -> Image.Image:
    """The picture with the noise of a camera: normal, of standard deviation 25 of 255."""
    pixels = np.asarray(image, float)
    rng = np.random.default_rng(int(pixels.sum()))
    return Image.fromarray(np.clip(pixels + rng.normal(0, 25, pixels.shape), 0, 255).astype(np.uint8))


def scenes(kind: str, start: int) -> Iterator[Scene]:
    """Scenes of this kind, from a seed on."""
    seed = SEEDS + start
    while True:
        found = scene(seed)
        seed += 1
        if found.kind == kind:
            yield found


def study_of_dogs(lmm: LMM, home: Path) -> Study:
    """The study of "dog", learned from scenes without hot dogs, which are the kind that it never saw."""
    out = home / "study"
    if not (out / "report.html").exists():
        found = [s for s in load_samples("toyland", split="train") if any(map(WORD.find, s.references))]
        make_study(lmm, [s for s in found if "hot dog" not in " ".join(s.references)], WORD, out=out, progress=False)
    return open_study(out)


def pool(name: str, home: Path) -> Pool:
    """The pool of that name, made once and kept in `home`."""
    folder = home / name.replace(" ", "-")
    if not (folder / "rows.json").exists():
        _make(name, folder)
    tensors = load_file(folder / "states.safetensors")
    rows = json.loads((folder / "rows.json").read_text())
    embeddings = tensors["embeddings"].reshape(len(rows), -1)
    return Pool(tensors["states"], embeddings, [r["caption"] for r in rows], [r["factors"] for r in rows])


def _make(name: str, folder: Path) -> None:
    adapter = f"toyland:{name}" if name in ("colour", "place", "mood") else None
    lmm, scorer = load("toyland", device="cpu", adapter=adapter), load_image_scorer("toyland", device="cpu")
    change: Callable[[Image.Image], Image.Image] = {"darker": darker, "noise": noisy}.get(name, lambda image: image)
    source = scenes("hot dog" if name == "hot dogs" else "dog", 10_000_000 * list(SIZES).index(name))
    reader = Reader(lmm, (WORD,), ExtractionOptions(require="predicted"))
    layer = lmm.layer(-1)
    reader = replace(reader, options=replace(reader.options, layers=(layer,)))
    states, embeddings, rows = [], [], []
    while len(rows) < SIZES[name]:
        drawn = [next(source) for _ in range(64)]
        samples = [Sample(str(s.seed), change(draw(s)), tuple(references(s))) for s in drawn]
        read = reader.read(samples)
        images = dict(zip((s.id for s in samples), scorer.images([s.open() for s in samples]), strict=True))
        truth = {str(s.seed): s.factors() for s in drawn}
        states.append(read.states[layer].float().numpy())
        embeddings += [images[row.sample_id] for row in read.rows]
        rows += [{"caption": row.text.strip(), "factors": truth[row.sample_id]} for row in read.rows]
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"states": np.concatenate(states), "embeddings": np.array(embeddings)}, folder / "states.safetensors")
    (folder / "rows.json").write_text(json.dumps(rows))
