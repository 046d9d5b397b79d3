"""What three fine-tunes of Toyland's model did to the concepts of two words, and how far shift vectors recover it.

    python benchmarks/shift.py [--samples 10000 --concepts 20 --words 15 --work DIR]

For every fine-tune (colour, place, mood), word (dog; person, which is man or woman) and method (k-means, Semi-NMF):
T-Overlap with the matched concepts before and after the shift, against controls; consistency; by layer. With k-means
once more on the same text: as published each model says its own caption, so that states also differ by what was said
before the word; with the reference forced on both they do not. Writes benchmarks/results/shift.json, beside the figures
of Khayatan et al. (2025), and says which targets are met.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from vitrail import scores, toyland
from vitrail.activations import Activations, Require
from vitrail.artifacts import versions, write_json
from vitrail.comparison import (
    Comparison,
    ComparisonOptions,
    ModelComparison,
    WiderViews,
    compare_layers,
    compare_models,
    compare_studies,
)
from vitrail.comparison.matching import match, t_overlap
from vitrail.comparison.pairs import pair_samples
from vitrail.comparison.shift_vectors import ShiftEstimator, members, shifts
from vitrail.concepts import Concepts, LearningOptions, learn
from vitrail.extraction import extract
from vitrail.grounding import GroundingOptions, ground, word_reader
from vitrail.lmm import LMM, load, quieten
from vitrail.reports.comparison import comparison_page
from vitrail.samples import Sample, load_samples
from vitrail.studies import Study, same_activations
from vitrail.words import Word

RESULT = Path(__file__).parent / "results" / "shift.json"
WORDS = {"dog": Word("dog"), "person": Word("person", ("man", "woman"))}
STYLES = ("colour", "place", "mood")
#: name → method and λ: Semi-NMF as it is by default, and with sparser codes.
METHODS = {"kmeans": ("kmeans", None), "semi-nmf": ("semi-nmf", None), "semi-nmf, λ = 20": ("semi-nmf", 20.0)}
#: text → what `extract` requires, and the methods that are compared on it
TEXTS: dict[str, tuple[Require, tuple[str, ...]]] = {
    "own captions": ("both", tuple(METHODS)),
    "the same text": ("truth", ("kmeans",)),
}
LAYERS = (2, 4, 6, 8)
#: LLaVA-1.5-7B, word "dog", K = 20, k-means, one fine-tune each.
PAPER = {
    "place": {"before": 56.3, "after": 77.7, "better": 16},
    "colour": {"before": 45.7, "after": 73.3, "better": 18},
    "sentiment": {"before": 42.3, "after": 79.3, "better": 20},
    "consistency and cosine gain": {"r": 0.40, "p": 0.0016, "n": 60},
    "magnitude and cosine gain": {"r": 0.55, "n": 60},
}


def study_of(lmm: LMM, activations: Activations, folder: Path, method: str, n_concepts: int) -> Study:
    """Concepts and grounding of the last layer, beside one another in `folder`."""
    name, penalty = METHODS[method]
    concepts = learn(
        activations,
        out=folder / "concepts",
        layer=LAYERS[-1],
        method=name,
        penalty=penalty,
        n_concepts=n_concepts,
        stability=0,
    )
    return Study(folder, activations, concepts, ground(lmm, activations, concepts, out=folder / "grounding"), ())


def estimates(found: Comparison, a: Study, b: Study, lmm: LMM, n_words: int) -> dict[str, Any]:
    """What other estimators of the shift give: T-Overlap after, and how many concepts are better.

    "another seed" is no shift but an upper bound: the concepts of the same states of *b*, learned with another seed. It
    shows how far words agree when nothing at all has changed.
    """
    pairs, layer = pair_samples(a.activations, b.activations), a.concepts.layer
    D = b.activations.states(layer)[pairs.b].astype(np.float64) - a.activations.states(layer)[pairs.a]
    V, U = _codes(a.concepts, pairs.a), a.concepts.U.astype(np.float64)
    reader = word_reader(lmm, a.activations, layer, a.grounding.options, n_words)
    owner = members(V)
    size = np.array([np.abs(V[owner == k, k]).mean() if (owner == k).any() else np.inf for k in range(len(U))])
    candidates: dict[str, np.ndarray] = {
        e: shifts(D, V, e) for e in get_args(ShiftEstimator) if e != "codes" or not a.concepts.learner.prototypes
    }
    candidates["mean over the mean activation"] = candidates["mean"] / size[:, None]
    before = np.array([c.t_overlap_before for c in found.concepts])
    shifted = {name: U + moves for name, moves in candidates.items()}
    again = replace(a.concepts.options, seed=1).learner().fit(b.activations.states(layer))
    answers = match(scores.cosines(b.concepts.U, again.components_), "one-to-one")
    shifted["another seed"] = again.components_[answers][[c.match for c in found.concepts]]
    result = {}
    for name, concepts in shifted.items():
        words = reader.words(concepts)
        after = np.array([t_overlap(row, c.words_match) for row, c in zip(words, found.concepts, strict=True)])
        result[name] = {
            "words_after": scores.estimate(after),
            "better": int((after > before).sum()),
            "worse": int((after < before).sum()),
        }
    return result


def _codes(concepts: Concepts, rows: np.ndarray) -> np.ndarray:
    if not concepts.kept.all():
        raise SystemExit("Toyland has no outliers; these activations have some.")
    return concepts.V[rows]


@dataclass(frozen=True)
class Case:
    """What is compared: a word, a fine-tune, on which text, with which method of `METHODS`."""

    word: str
    fine_tune: str
    text: str
    method: str


def compared(case: Case, a: Study, b: Study, lmms: tuple[LMM, LMM], out: Path, n_words: int) -> Comparison:
    """The comparison of a case, with its page, in `out`; k-means on each model's own captions at every layer."""
    views = WiderViews()
    if case.method == "kmeans" and case.text == "own captions":
        learning = LearningOptions(method="kmeans", n_concepts=len(a.concepts))
        reading = GroundingOptions(n_words=n_words)
        views = WiderViews(
            layers=compare_layers(a.activations, b.activations, lmms[1], learning=learning, reading=reading)
        )
    options = ComparisonOptions(n_words=n_words)
    found = compare_studies(a, b, *lmms, out=out, options=options, views=views)
    comparison_page(found, a, b, out=out / "report.html")
    return found


def brief(case: Case, found: Comparison, estimates: dict[str, Any], seconds: float) -> dict[str, Any]:
    """A comparison in short, and which targets it meets."""
    controls = {c.name: c for c in found.controls}
    random = controls["a random direction of the same norm"]
    after = np.array([c.t_overlap_after for c in found.concepts])
    return {
        **vars(case),
        "samples": found.samples,
        "changes": dict(Counter(c.change for c in found.concepts)) | {"emerged": len(found.emerged)},
        "recovery": found.recovery,
        "controls": {name: {"words_after": c.words_after, "p": c.p} for name, c in controls.items()},
        "better_than_random": int(np.sum(after > np.array(random.per_concept))),
        "sweep": found.alpha_curve,
        "correlations": found.correlations,
        "estimates": estimates,
        "by_layer": found.layers,
        "seconds": seconds,
        "met": {
            "15 of 20 concepts better after the shift": found.recovery.counts.better >= 0.75 * len(found),
            "better than a random direction, p < 0.01": random.p < 0.01,
        },
    }


def pooled(found: Sequence[Comparison]) -> dict[str, Any]:
    """Correlations over the concepts of all fine-tunes together, as the paper has them, and the test against before."""
    concepts = [c for comparison in found for c in comparison.concepts]

    def column(name: str) -> np.ndarray:
        return np.array([getattr(c, name) for c in concepts], float)

    return {
        f"{x} and {y}": scores.correlation(column(x), column(y))
        for x in ("consistency", "pairwise_consistency", "magnitude")
        for y in ("cosine_gain", "words_gain")
    } | {
        "p of after against before": scores.paired_p(
            column("t_overlap_after"), column("t_overlap_before"), alternative="greater"
        )
    }


def states(lmm: LMM, samples: Sequence[Sample], word: Word, require: Require, out: Path) -> Activations:
    """States of the base model on all samples that have the word."""
    return extract(lmm, samples, word, out=out, layers=LAYERS, require=require, max_new_tokens=30, batch_size=64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000, help="scenes of the data set")
    parser.add_argument("--concepts", type=int, default=20)
    parser.add_argument("--words", type=int, default=15, help="words of a concept, as in the paper")
    parser.add_argument("--whole", type=int, default=200, help="scenes of the whole-model view; 0 for none")
    parser.add_argument("--adapters", default="toyland:", help="`toyland:`, or a folder of them ending in a slash")
    parser.add_argument("--work", type=Path, help="where the artifacts and pages stay; a temporary folder by default")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    quieten()
    data = toyland.dataset_path(args.samples)
    samples, unseen = load_samples(data, split="train"), load_samples(data, split="val")
    base = load("toyland")
    runs: list[dict[str, Any]] = []
    whole: dict[str, ModelComparison] = {}
    found_of: dict[tuple[str, str, str], list[Comparison]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        cases = [(name, text) for name in WORDS for text in TEXTS]
        before = {}
        for name, text in cases:
            folder = work / name / text / "base" / "activations"
            before[name, text] = states(base, samples, WORDS[name], TEXTS[text][0], folder)
        for style in STYLES:
            tuned = load("toyland", adapter=f"{args.adapters}{style}")
            if args.whole:
                whole[style] = compare_models(base, tuned, unseen[: args.whole], max_new_tokens=30)
            for name, text in cases:
                folder, known = work / name / text, before[name, text]
                after = same_activations(known, tuned, samples, out=folder / style / "activations")
                for method in TEXTS[text][1]:
                    place = method.replace(", λ = ", "-")
                    a = study_of(base, known, folder / "base" / place, method, args.concepts)
                    b = study_of(tuned, after, folder / style / place, method, args.concepts)
                    case, start = Case(name, style, text, method), time.perf_counter()
                    out = folder / style / f"shift-{place}"
                    found = compared(case, a, b, (base, tuned), out, args.words)
                    others = estimates(found, a, b, tuned, args.words)
                    run = brief(case, found, others, time.perf_counter() - start)
                    found_of.setdefault((name, text, method), []).append(found)
                    runs.append(run)
                    print(json.dumps(vars(case) | {"met": run["met"]} | vars(found.recovery.counts)), flush=True)
        correlations = {", ".join(case): pooled(found) for case, found in found_of.items()}
        for text, method in dict.fromkeys(case[1:] for case in found_of):
            everything = [s for case, found in found_of.items() if case[1:] == (text, method) for s in found]
            correlations[f"both words, {text}, {method}"] = pooled(everything)
    asked = {k: v for k, v in vars(args).items() if k not in ("work", "out")}
    result = {
        "parameters": asked | {"layers": LAYERS, "methods": METHODS, "texts": TEXTS},
        "base": base.describe().as_dict(),
        "runs": runs,
        "correlations": correlations,
        "paper": PAPER,
        "whole_model": whole,
        "machine": {
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "platform": platform.platform(),
            **versions(),
        },
    }
    write_json(args.out, result)
    for run in runs:
        r = run["recovery"]
        random = run["controls"]["a random direction of the same norm"]["words_after"]
        print(
            f"{run['word']:7} {run['fine_tune']:7} {run['text']:14} {run['method']:9} "
            f"{r.words_before.mean:5.1f} → {r.words_after.mean:5.1f} %  {vars(r.counts)}  "
            f"random {random.mean:5.1f} %  met: {list(run['met'].values())}"
        )


if __name__ == "__main__":
    main()
