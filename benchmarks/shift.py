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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vitrail.comparison.intervals import correlation, mean_of, paired_p

from vitrail import toyland
from vitrail.activations import Activations, Require
from vitrail.artifacts import versions, write_json
from vitrail.comparison import Shift, by_layer, compare, same_activations, whole_model
from vitrail.comparison.artifact import plain
from vitrail.comparison.matching import match, t_overlap
from vitrail.comparison.pairs import align
from vitrail.comparison.shift_vectors import ESTIMATES, cosines, members, shifts
from vitrail.concepts import Concepts, learn
from vitrail.extraction import extract
from vitrail.grounding import ground, top_words, word_of
from vitrail.learners import make_learner
from vitrail.lmm import LMM, load, quieten
from vitrail.reports.comparison import shift_report
from vitrail.samples import Sample, load_samples
from vitrail.studies import Study
from vitrail.words import Word, own_tokens, word_tokens

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


def estimates(shift: Shift, a: Study, b: Study, lmm: LMM, n_words: int) -> dict[str, Any]:
    """What other definitions of the shift would have given: T-Overlap after, and how many concepts are better.

    "another seed" is no shift but a bound: the concepts of the same states of *b*, learned with another seed. So much
    do words agree when nothing at all has changed.
    """
    pairs, layer = align(a.activations, b.activations), a.concepts.layer
    D = b.activations.states(layer)[pairs.b].astype(np.float64) - a.activations.states(layer)[pairs.a]
    V, U = _codes(a.concepts, pairs.a), a.concepts.U.astype(np.float64)
    own = own_tokens(lmm.tokenizer, word_of(a.activations))
    allowed = {i: w for i, w in word_tokens(lmm.tokenizer).items() if i not in own}
    owner = members(V)
    size = np.array([np.abs(V[owner == k, k]).mean() if (owner == k).any() else np.inf for k in range(len(U))])
    candidates = {
        e: shifts(D, V, e) for e in ESTIMATES if e != "codes" or a.concepts.parameters["method"] == "semi-nmf"
    }
    candidates["mean over the mean activation"] = candidates["mean"] / size[:, None]
    before = np.array([c["t_overlap_before"] for c in shift.concepts], float)
    shifted = {name: U + moves for name, moves in candidates.items()}
    again = make_learner(a.concepts.parameters["method"], len(U), penalty=a.concepts.parameters["penalty"], seed=1).fit(
        b.activations.states(layer)
    )
    answers = match(cosines(b.concepts.U, again.components_), "one-to-one")
    to_b = [c["match"] for c in shift.concepts]
    shifted["another seed"] = again.components_[answers][to_b]
    found = {}
    for name, concepts in shifted.items():
        words = top_words(lmm, concepts, layer, allowed, n_words)
        after = np.array(
            [t_overlap([w.word for w in row], c["words_match"]) for row, c in zip(words, shift.concepts, strict=True)]
        )
        found[name] = {
            "words_after": asdict(mean_of(after)),
            "better": int((after > before).sum()),
            "worse": int((after < before).sum()),
        }
    return found


def _codes(concepts: Concepts, rows: np.ndarray) -> np.ndarray:
    if not concepts.kept.all():
        raise SystemExit("Toyland has no outliers; these activations have some.")
    return concepts.V[rows]


def one(
    word: str, style: str, text: str, method: str, a: Study, b: Study, lmms: tuple[LMM, LMM], out: Path, n_words: int
) -> tuple[dict[str, Any], Shift]:
    """One comparison, what it says in short, and its page in `out`."""
    start = time.perf_counter()
    layers = None
    if method == "kmeans" and text == "own captions":
        layers = by_layer(a.activations, b.activations, lmms[1], n_concepts=len(a.concepts), n_words=n_words)
    shift = compare(a, b, *lmms, out=out, n_words=n_words, layers=layers)
    shift_report(shift, a.activations, b.activations, out=out / "report.html")
    found = shift.found
    recovery, rivals = found["recovery"], {c["name"]: c for c in found["controls"]}
    random = rivals["a random direction of the same norm"]
    after = [c["t_overlap_after"] for c in found["concepts"]]
    result = {
        "word": word,
        "fine_tune": style,
        "text": text,
        "method": method,
        "samples": found["samples"],
        "changes": dict(Counter(c["change"] for c in found["concepts"])) | {"emerged": len(found["emerged"])},
        "recovery": recovery,
        "controls": {name: {"words_after": c["words_after"], "p": c["p"]} for name, c in rivals.items()},
        "better_than_random": int(np.sum(np.array(after) > np.array(random["per_concept"]))),
        "sweep": found["sweep"],
        "correlations": found["correlations"],
        "estimates": estimates(shift, a, b, lmms[1], n_words),
        "by_layer": found["layers"],
        "seconds": time.perf_counter() - start,
        "met": {
            "15 of 20 concepts better after the shift": recovery["counts"]["better"] >= 0.75 * len(shift),
            "better than a random direction, p < 0.01": random["p"] < 0.01,
        },
    }
    return result, shift


def pooled(found: Sequence[Shift]) -> dict[str, Any]:
    """Correlations over the concepts of all fine-tunes together, as the paper has them, and the test against before."""
    concepts = [c for shift in found for c in shift.concepts]

    def column(name: str) -> np.ndarray:
        return np.array([np.nan if c[name] is None else c[name] for c in concepts], float)

    gain = column("t_overlap_after") - column("t_overlap_before")
    return {
        f"{x} and {y}": asdict(correlation(column(x), values))
        for x in ("consistency", "pairwise_consistency", "magnitude")
        for y, values in (("cosine_gain", column("cosine_gain")), ("words_gain", gain))
    } | {"p of after against before": paired_p(column("t_overlap_after"), column("t_overlap_before"))}


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
    runs, whole = [], {}
    shifts_of: dict[tuple[str, str, str], list[Shift]] = {}
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
                seen = whole_model(base, tuned, unseen[: args.whole], max_new_tokens=30)
                whole[style] = seen.as_dict()
            for name, text in cases:
                folder, known = work / name / text, before[name, text]
                after = same_activations(known, tuned, samples, out=folder / style / "activations")
                for method in TEXTS[text][1]:
                    place = method.replace(", λ = ", "-")
                    a = study_of(base, known, folder / "base" / place, method, args.concepts)
                    b = study_of(tuned, after, folder / style / place, method, args.concepts)
                    result, shift = one(
                        name, style, text, method, a, b, (base, tuned), folder / style / f"shift-{place}", args.words
                    )
                    shifts_of.setdefault((name, text, method), []).append(shift)
                    runs.append(result)
                    brief = {k: result[k] for k in ("word", "fine_tune", "text", "method", "met")}
                    print(json.dumps(brief | result["recovery"]["counts"]), flush=True)
        correlations = {", ".join(case): pooled(found) for case, found in shifts_of.items()}
        for text, method in dict.fromkeys(case[1:] for case in shifts_of):
            everything = [s for case, found in shifts_of.items() if case[1:] == (text, method) for s in found]
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
    write_json(args.out, plain(result))
    for run in runs:
        r = run["recovery"]
        print(
            f"{run['word']:7} {run['fine_tune']:7} {run['text']:14} {run['method']:9} "
            f"{r['words_before']['mean']:5.1f} → {r['words_after']['mean']:5.1f} %  {r['counts']}  "
            f"random {run['controls']['a random direction of the same norm']['words_after']['mean']:5.1f} %  "
            f"met: {list(run['met'].values())}"
        )


if __name__ == "__main__":
    main()
