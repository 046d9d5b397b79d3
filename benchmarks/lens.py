"""Words of middle layers on Toyland: by the unembedding alone, through the Jacobian lens, and through a regression.

    python -m benchmarks.lens [--words dog,cat,bus,train,man,bird --layers 4,5,6 --samples 1500 --fitted 150]

Writes benchmarks/results/lens.json. *Concepts*: at every layer, K = 20 for each word, the same concepts read in every
way: CLIPScore and BERTScore of their words on their most activating images, overlap, and tests between the ways, paired
by concept. *Images' tokens*: how often the nearest word of a token is a word of the captions of its image, how often of
those of another image, and how often a token of the subject's mask names the subject.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrail import scores, toyland
from vitrail.activations import Activations, ExtractionOptions, open_words
from vitrail.artifacts import plain, versions, write_json
from vitrail.concepts import Concepts, learn
from vitrail.evaluation import Scorers
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.measures import BertMeasure, ClipMeasure, Measure
from vitrail.extraction import extract_words
from vitrail.grounding import GroundingOptions, most_activating, word_reader
from vitrail.lenses import Lens, LensOptions, fit_lens
from vitrail.lmm import LMM, Layer, load, quieten
from vitrail.maps import ImageToken, ImageWords, token_words
from vitrail.samples import Sample, load_samples
from vitrail.scores import Estimate, estimate, paired_p
from vitrail.toyland.ground_truth import Masks, load_factors, load_masks
from vitrail.words import lemma, words_said

RESULT = Path(__file__).parent / "results" / "lens.json"
WORDS = "dog,cat,bus,train,man,bird"
ALONE, JACOBIAN, REGRESSION = "unembedding", "jacobian", "regression"
#: Most activating images of a concept.
IMAGES = 5
#: A token is the subject's if so much of its piece is.
INSIDE = 0.5

#: Way of reading → the scores of all concepts, in the same order.
Scored = dict[str, list[float]]


@dataclass(frozen=True)
class Judge:
    """Judges the words of concepts in every way of reading."""

    lmm: LMM
    lenses: Mapping[str, Lens]
    samples: Mapping[str, Sample]
    measures: Sequence[Measure]

    def readers(self, activations: Activations, layer: Layer) -> dict[str, Callable[[Concepts], list[list[str]]]]:
        """Way of reading → concepts → their words."""
        folders = {ALONE: None, **{name: str(lens.folder) for name, lens in self.lenses.items()}}
        found = {}
        for name, folder in folders.items():
            reader = word_reader(self.lmm, activations, layer, GroundingOptions(lens=folder))
            found[name] = lambda concepts, reader=reader: reader.beside(concepts.mean).words(concepts.U)
        return found

    def judged(self, activations: Activations, layer: Layer, folder: Path) -> dict[str, Scored]:
        """Score → way → its value for every concept of one word; the overlap is one value. "turned" is the cosine of a
        concept with what the lens makes of it: 1 where the lens says nothing new."""
        concepts = learn(activations, layer=layer, out=folder, stability=0, progress=False)
        rows = [activations.rows[i] for i in np.flatnonzero(concepts.kept)]
        own = [[self.samples[rows[i].sample_id] for i in most_activating(v, IMAGES)] for v in concepts.V.T]
        found: dict[str, Scored] = {measure.name: {} for measure in self.measures} | {"overlap": {}, "turned": {}}
        for name, words_of in self.readers(activations, layer).items():
            lists = words_of(concepts)
            for measure in self.measures:
                each = [measure.words(mine, [words]).mean() for mine, words in zip(own, lists, strict=True) if mine]
                found[measure.name][name] = [float(one) for one in each]
            found["overlap"][name] = [scores.overlap(lists)]
            if name != ALONE:
                turned = self.lenses[name].at(layer).directions(concepts.U)
                found["turned"][name] = np.diag(scores.cosines(concepts.U, turned)).tolist()
        return found


def compared(by_word: Mapping[str, Scored]) -> dict[str, Any]:
    """Of each way the mean over all concepts, and of each lens against the unembedding the gain and p, of all words
    and of each."""
    names = list(next(iter(by_word.values())))
    pooled = {name: np.concatenate([by_word[word][name] for word in by_word]) for name in names}
    found: dict[str, Any] = {"score": {name: estimate(values) for name, values in pooled.items()}, "gain": {}}
    pairs = [(name, ALONE) for name in names if name != ALONE] + [(JACOBIAN, REGRESSION)]
    for first, second in pairs:
        gain, p = against(pooled[first], pooled[second])
        words = {
            word: dict(zip(("gain", "p"), against(s[first], s[second]), strict=True)) for word, s in by_word.items()
        }
        found["gain"][f"{first} − {second}"] = {"gain": gain, "p": p, "words": words}
    return found


def against(first: Sequence[float], second: Sequence[float]) -> tuple[Estimate, float]:
    """The mean difference of paired scores, and its p."""
    return estimate(np.asarray(first) - np.asarray(second)), paired_p(first, second)


# ---- the image's own tokens ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """Judges the words of images' tokens against the captions and the masks."""

    lmm: LMM
    images: Sequence[Sample]
    masks: Masks
    kinds: Mapping[str, str]

    def judged(self, layer: Layer, lens: Lens | None) -> dict[str, Estimate]:
        """The shares, each image counting once."""
        own, others, named = [], [], []
        said = [{lemma(word) for word in words} for words in words_said([s.references for s in self.images])]
        for i, sample in enumerate(self.images):
            found = token_words(self.lmm, sample.open(), layer, lens=lens, n_words=1)
            nearest = [lemma(token.words[0].word) for token in found.tokens]
            own.append(np.mean([word in said[i] for word in nearest]))
            others.append(np.mean([word in said[i - 1] for word in nearest]))
            inside = self.inside(found, sample)
            if inside.any():
                subject = self.kinds[sample.id].split()
                named.append(np.mean([word in subject for word, here in zip(nearest, inside, strict=True) if here]))
        return {
            "in the image's captions": estimate(np.array(own)),
            "in another image's captions": estimate(np.array(others)),
            "the subject's tokens name it": estimate(np.array(named)),
        }

    def inside(self, found: ImageWords, sample: Sample) -> np.ndarray:
        """Which tokens are the subject's."""
        mask = self.masks.of(sample.id, "subject")
        return np.array([_share(mask, token) >= INSIDE for token in found.tokens])


def _share(mask: np.ndarray, token: ImageToken) -> float:
    """How much of a token's piece a mask covers."""
    height, width = mask.shape
    left, top, right, bottom = token.box
    rows = slice(int(top * height), max(int(bottom * height), int(top * height) + 1))
    return float(mask[rows, int(left * width) : max(int(right * width), int(left * width) + 1)].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", default=WORDS)
    parser.add_argument("--layers", default="4,5,6")
    parser.add_argument("--samples", type=int, default=1500, help="scenes that concepts are learned from")
    parser.add_argument("--fitted", type=int, default=150, help="other scenes, that the lenses are fitted on")
    parser.add_argument("--images", type=int, default=60, help="scenes whose tokens are read")
    parser.add_argument("--keep", type=Path, help="keep states, concepts and lenses in this folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    quieten()
    home, words = args.keep or Path(tempfile.mkdtemp()), args.words.split(",")
    layers: tuple[Layer, ...] = tuple(int(layer) for layer in args.layers.split(","))
    lmm, world = load("toyland"), toyland.dataset_path()
    train, val = load_samples(world, split="train")[: args.samples], load_samples(world, split="val")[: args.fitted]
    test = load_samples(world, split="test")[: args.images]
    options = ExtractionOptions(layers=layers, require="truth")
    extract_words(lmm, train, words, out=home / "states", options=options, progress=False)
    store = open_words(home / "states")
    fitting = {JACOBIAN: LensOptions(layers, "jacobian"), REGRESSION: LensOptions(layers, rows=0)}
    lenses = {name: fit_lens(lmm, val, one, out=home / name, progress=False) for name, one in fitting.items()}
    embeddings = Embeddings(home / "embeddings", Scorers.load())
    judge = Judge(lmm, lenses, {s.id: s for s in train}, [ClipMeasure(embeddings), BertMeasure(embeddings)])
    masks, factors = load_masks(world), load_factors(world)
    assert masks is not None
    assert factors is not None
    tokens = Tokens(lmm, test, masks, {name: str(of["kind"]) for name, of in factors.items()})
    found: dict[str, Any] = {}
    for layer in layers:
        by_word = {word: judge.judged(store.of(word), layer, home / "concepts" / f"{word}-{layer}") for word in words}
        found[str(layer)] = {
            "concepts": {
                measure: compared({word: by_word[word][measure] for word in words})
                for measure in ("clip", "bert", "overlap")
            }
            | {
                "cosine of a concept and what the lens makes of it": {
                    name: estimate(np.concatenate([by_word[word]["turned"][name] for word in words])) for name in lenses
                }
            },
            "image tokens": {
                name: tokens.judged(layer, lens) for name, lens in ((ALONE, None), (JACOBIAN, lenses[JACOBIAN]))
            },
            "fit": {name: lens.fit[layer] for name, lens in lenses.items()},
        }
        print(layer, json.dumps(plain(found[str(layer)]["concepts"]["clip"]["gain"])), flush=True)
    result = {
        "parameters": {k: str(v) for k, v in vars(args).items() if k not in ("keep", "result")},
        "samples of each word": {word: len(store.of(word)) for word in words},
        "lens": {name: {k: v for k, v in vars(lens.options).items() if k != "layers"} for name, lens in lenses.items()},
        "layers": found,
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    text = json.dumps(plain(result))
    write_json(args.result, json.loads(text, parse_float=lambda t: float(f"{float(t):.4g}")))


if __name__ == "__main__":
    main()
