"""Is what is said in the picture? Toyland's model errs, by itself and when it is made to.

    python -m benchmarks.doubt [--n 3000 --home FOLDER]

Own mistakes: the model captions pictures of animals that are hard to see (shrunk to 24 pixels, with the noise of a
camera), and names the wrong animal in every second one.

Made to err: each answer begins with "a dog with a" (the true subject), and the model goes on, greedily or drawn at
temperature 2 from the seven companions that Toyland has. In a third of the scenes there is none.

For every word, scores are fitted on one half of the answers and judged on the other: concepts of the word and novelty
(`vitrail.fit_evidence`), against the log-probability of the word, the entropy and the margin of what is predicted.
Concepts are learned from true captions of the training split, which the answers have nothing to do with.

Writes benchmarks/results/doubt.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from platformdirs import user_cache_path
from safetensors.numpy import load_file, save_file

from vitrail.activations import ExtractionOptions
from vitrail.artifacts import versions, write_json
from vitrail.concepts import Concepts, learn
from vitrail.explanation import spread_of
from vitrail.extraction import Reader, extract_words_as
from vitrail.lmm import LMM, load, quieten
from vitrail.lmm.positions import among
from vitrail.monitoring.truth import fitted
from vitrail.samples import Sample, load_samples
from vitrail.scores import auroc, auroc_estimate
from vitrail.toyland.draw import draw
from vitrail.toyland.language import plural
from vitrail.toyland.world import COMPANIONS, Scene, scene
from vitrail.words import Word

RESULT = Path(__file__).parent / "results" / "doubt.json"
#: Scenes have seeds of their own, which no data set of Toyland uses.
SEEDS = 800_000_000_000
WORDS = tuple(c for c in COMPANIONS if c != "none")
ANIMALS = ("dog", "cat", "horse", "sheep", "bear", "bird")
TEMPERATURE, BATCH, CONCEPTS = 2.0, 32, 20
REQUEST = "describe the image ."


@dataclass(frozen=True)
class Answers:
    """What was said of n scenes, and what was behind it.

    Args:
        said: (n,), the index of the word.
        greedy: (n,), that of the most likely word.
        truth: (n,), the index of what is beside the subject; −1 for nothing.
        subject: (n,), the index of the subject among the words; −1 for others.
        before: (n, d), the states that predict the word, in the last block.
        at: (n, d), the states that read it.
        patches: (n, layers, words), the highest log-probability of each word over the image's tokens.
        predicted: (n, words + 1), the log-probability of each word, and the entropy.
        margin: (n, words), that of each word to the likeliest other token.
    """

    said: np.ndarray
    greedy: np.ndarray
    truth: np.ndarray
    subject: np.ndarray
    before: np.ndarray
    at: np.ndarray
    patches: np.ndarray
    predicted: np.ndarray
    margin: np.ndarray


def beginning(of: Scene) -> str:
    """The forced beginning of the answer about a scene."""
    number = {2: "two", 3: "three", 4: "four"}
    return f"a {of.kind} with a" if of.count == 1 else f"{number[of.count]} {plural(of.kind)} with a"


def answers(lmm: LMM, n: int, home: Path) -> Answers:
    """Made once and kept in `home`."""
    path = home / f"answers-{n}.safetensors"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        parts = [_answers(lmm, range(SEEDS + i, SEEDS + min(i + BATCH, n))) for i in range(0, n, BATCH)]
        save_file({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, path)
    return Answers(**load_file(path))


@torch.no_grad()
def _answers(lmm: LMM, seeds: range) -> dict[str, np.ndarray]:
    scenes = [scene(seed) for seed in seeds]
    inputs = lmm.prepare([draw(s) for s in scenes], [REQUEST] * len(scenes))
    begun = [lmm.continuation(REQUEST, beginning(s)).ids for s in scenes]
    ids = torch.tensor([lmm.continuation(REQUEST, f"a dog with a {word}").ids[-1] for word in WORDS])
    batch = lmm.extended(inputs, begun)
    out = lmm.run(batch, output_hidden_states=True)
    width, rows = inputs["input_ids"].shape[1], range(len(scenes))
    last = [width + len(one) - 1 for one in begun]
    predicted = torch.stack([out.logits[i, last[i]].float() for i in rows]).log_softmax(-1)
    generator = torch.Generator().manual_seed(seeds.start % 2**31)
    of_words = predicted[:, ids]
    said = torch.multinomial((of_words / TEMPERATURE).softmax(-1), 1, generator=generator)[:, 0]
    top = predicted.topk(2)
    best = top.values[:, :1].expand(-1, len(WORDS))
    other = torch.where(top.indices[:, :1] == ids, top.values[:, 1:], best)
    image = among(batch["input_ids"], lmm.image_tokens)
    layers = [*range(1, lmm.n_blocks), "final"]
    patches = [
        [
            lmm.logits(out.hidden_states[k + 1][i][image[i]], layer).float().log_softmax(-1)[:, ids].max(0).values
            for k, layer in enumerate(layers)
        ]
        for i in rows
    ]
    whole = [[*one, int(ids[said[i]])] for i, one in enumerate(begun)]
    read = lmm.states(inputs, whole, [place + 1 for place in last], [lmm.n_blocks])[lmm.n_blocks]
    before = lmm.states(inputs, begun, last, [lmm.n_blocks])[lmm.n_blocks]
    entropy = -(predicted.exp() * predicted).sum(-1, keepdim=True)
    return {
        "said": said.numpy(),
        "greedy": np.where(predicted.argmax(-1)[:, None] == ids, np.arange(len(WORDS)), -1).max(1),
        "truth": np.array([WORDS.index(s.companion) if s.companion in WORDS else -1 for s in scenes]),
        "subject": np.array([WORDS.index(s.kind) if s.kind in WORDS else -1 for s in scenes]),
        "before": before.float().numpy(),
        "at": read.float().numpy(),
        "patches": torch.stack([torch.stack(one) for one in patches]).numpy(),
        "predicted": torch.cat([of_words, entropy], 1).numpy(),
        "margin": (of_words - other).numpy(),
    }


@dataclass(frozen=True)
class Codes:
    """Concepts of a word, and the spread of the states that they were learned from."""

    concepts: Concepts
    spread: float

    def __call__(self, states: np.ndarray) -> np.ndarray:
        """(n, K + 1), the strengths and the logarithm of the novelty."""
        V = self.concepts.learner.transform(states)
        errors = ((states - self.concepts.learner.inverse_transform(V)) ** 2).sum(axis=1) / self.spread
        return np.column_stack([self.concepts.strengths(V), np.log(errors)])


def codes_of_words(lmm: LMM, words: tuple[str, ...], home: Path) -> dict[str, Codes]:
    """The concepts of every word, from the true captions of the training split."""
    samples = load_samples("toyland", split="train")
    options = ExtractionOptions(require="truth")
    store = extract_words_as(lmm, samples, [Word(word) for word in words], options, out=home / "words")
    found = {}
    for word in words:
        activations = store.of(word)
        concepts = learn(activations, out=home / "concepts" / word, n_concepts=CONCEPTS)
        found[word] = Codes(concepts, spread_of(activations, concepts))
    return found


@dataclass(frozen=True)
class Said:
    """Words that were said, and what was behind each.

    Args:
        word: n, the words.
        true: (n,) bool, whether it is in the picture.
        before: (n, d), the states that predict it.
        baselines: (n, 3), its log-probability, the entropy (negative), the margin.
        at: (n, d), the states that read it; None where they were not kept.
        patches: (n, layers), the highest log-probability of the word over the image's tokens; None likewise.
    """

    word: np.ndarray
    true: np.ndarray
    before: np.ndarray
    baselines: np.ndarray
    at: np.ndarray | None = None
    patches: np.ndarray | None = None


def provoked(made: Answers, said: np.ndarray, *, read: bool) -> Said:
    """The companions that were said, but for those that the subject is, too."""
    own = np.flatnonzero((said >= 0) & (made.subject != said))
    w = said[own]
    return Said(
        np.array(WORDS)[w],
        made.truth[own] == w,
        made.before[own],
        np.column_stack([made.predicted[own, w], -made.predicted[own, -1], made.margin[own, w]]),
        made.at[own] if read else None,
        made.patches[own, :, w],
    )


def hard_to_see(image: Image.Image) -> Image.Image:
    """The picture shrunk to 24 pixels and enlarged again, with noise of a standard deviation of 20 of 255."""
    small = image.resize((24, 24), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)
    pixels = np.asarray(small, float)
    rng = np.random.default_rng(int(pixels.sum()))
    return Image.fromarray(np.clip(pixels + rng.normal(0, 20, pixels.shape), 0, 255).astype(np.uint8))


def mistaken(lmm: LMM, n: int, home: Path) -> Said:
    """What the model says of n animals that are hard to see. States are made once and kept in `home`."""
    path = home / f"mistaken-{n}.safetensors"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        every = (scene(seed) for seed in count(SEEDS + 10_000_000_000))
        scenes = list(islice((s for s in every if s.kind in ANIMALS), n))
        samples = [Sample(str(i), hard_to_see(draw(s))) for i, s in enumerate(scenes)]
        options = ExtractionOptions(require="predicted")
        layer = lmm.layer(-1)
        read = Reader(lmm, tuple(map(Word, ANIMALS)), replace(options, layers=(layer,))).read(samples)
        states = read.states[layer]
        predicted = lmm.logits(states, layer).log_softmax(-1)
        ids = torch.tensor([row.token_ids[row.token] for row in read.rows])
        own = predicted.gather(1, ids[:, None])
        others = predicted.scatter(1, ids[:, None], -torch.inf).max(1, keepdim=True).values
        entropy = (predicted.exp() * predicted).sum(1, keepdim=True)
        of = [scenes[int(row.sample_id)] for row in read.rows]
        found = {
            "word": np.array([ANIMALS.index(row.word) for row in read.rows]),
            "true": np.array([row.word in (s.kind, s.companion) for row, s in zip(read.rows, of, strict=True)]),
            "before": states.float().numpy(),
            "baselines": torch.cat([own, entropy, own - others], 1).numpy(),
        }
        save_file({name: np.ascontiguousarray(values) for name, values in found.items()}, path)
    found = load_file(path)
    return Said(**{**found, "word": np.array(ANIMALS)[found["word"]]})


def scored(said: Said, codes: dict[str, Codes]) -> dict[str, dict[str, Any]]:
    """Word → the scores of the answers of the second half, and their truth."""
    found = {}
    for word in dict.fromkeys(said.word.tolist()):
        own = np.flatnonzero(said.word == word)
        true = said.true[own]
        if min(true.sum(), (~true).sum()) < 40:
            continue
        half = np.zeros(len(own), bool)
        for group in (False, True):
            half[np.random.default_rng(0).permutation(np.flatnonzero(true == group))[::2]] = True

        def fit(X: np.ndarray, half: np.ndarray = half, true: np.ndarray = true) -> np.ndarray:
            return fitted(X[half], true[half])(X[~half])

        baselines, before = said.baselines[own], codes[word](said.before[own])
        scores = {
            **dict(zip(BASELINES, baselines[~half].T, strict=False)),
            "all three": fit(baselines),
            "novelty": -before[~half, -1],
            "concepts and novelty": fit(before),
            "concepts, novelty, all three": fit(np.column_stack([before, baselines])),
            "a probe of the raw state": fit(said.before[own]),
        }
        if said.at is not None:
            scores["concepts and novelty of the state that reads the word"] = fit(codes[word](said.at[own]))
        if said.patches is not None:
            patches = said.patches[own]
            best = int(np.argmax([auroc(column, true[half]) for column in patches[half].T]))
            scores["the image's tokens, best layer"] = patches[~half, best]
        found[word] = {"scores": scores, "true": true[~half]}
    return found


BASELINES = ("log-probability", "entropy", "margin", "all three")


def figures(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """AUROC of every score, word by word, their means, and the gain over the best baseline of each word."""
    made: dict[str, Any] = {}
    for word, of in found.items():
        scores, true = of["scores"], of["true"]
        best = max(BASELINES, key=lambda name: float(auroc(scores[name], true)))
        made[word] = {
            "answers": len(true),
            "not there": int((~true).sum()),
            "AUROC": {name: auroc_estimate(values, true) for name, values in scores.items()},
            "best baseline": best,
            "gain of concepts and novelty": auroc_estimate(scores["concepts and novelty"], true, scores[best]),
        }
    names = next(iter(found.values()))["scores"]
    made["mean over words"] = {
        name: float(np.mean([float(auroc(of["scores"][name], of["true"])) for of in found.values()])) for name in names
    }
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=3000)
    parser.add_argument("--home", type=Path, default=user_cache_path("vitrail") / "doubt")
    arguments = parser.parse_args()
    quieten()
    lmm, home = load("toyland", device="cpu"), arguments.home
    own = scored(mistaken(lmm, arguments.n // 2, home), codes_of_words(lmm, ANIMALS, home / "animals"))
    made, codes = answers(lmm, arguments.n, home), codes_of_words(lmm, WORDS, home)
    result = {
        "scenes": arguments.n,
        "own mistakes": figures(own),
        "made to err, greedy": figures(scored(provoked(made, made.greedy, read=False), codes)),
        "made to err, drawn": figures(scored(provoked(made, made.said, read=True), codes)),
        "versions": versions(),
    }
    write_json(RESULT, result)
    for name, of in result.items():
        if isinstance(of, dict) and "mean over words" in of:
            print(name, json.dumps(of["mean over words"], indent=1))


if __name__ == "__main__":
    main()
