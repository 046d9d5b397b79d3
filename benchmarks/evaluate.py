"""Methods side by side on Toyland, with the bundled scorers: dog, cat, bus and train, K = 20; and how long it takes.

    python benchmarks/evaluate.py [--words dog,cat,bus,train --methods simple,pca,kmeans,semi-nmf --layers all]

Writes benchmarks/results/evaluate.json: the tables' figures with controls, intervals and p-values, what is found of the
truth, the ablation, the curves by layer and by K, and the seconds for a study of 500 test images.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from vitrail.evaluation.held_out import by_id, samples_of

from vitrail import toyland
from vitrail.activations import open_activations
from vitrail.artifacts import versions, write_json
from vitrail.concepts import open_concepts
from vitrail.evaluation import compare_methods, evaluate, open_evaluation
from vitrail.evaluation.ablation import ablate
from vitrail.evaluation.one_study import plain
from vitrail.grounding import open_grounding
from vitrail.lmm import LMM, load, quieten
from vitrail.lmm.scorers import load_image_scorer, load_text_scorer
from vitrail.reports import comparison_report
from vitrail.samples import Sample, load_samples
from vitrail.scores import factor_matrix
from vitrail.toyland.ground_truth import load_factors
from vitrail.toyland.language import LEXICON

RESULT = Path(__file__).parent / "results" / "evaluate.json"
CAPTIONED = ("colour", "action", "place")


def found_in(scores: dict[str, Any]) -> dict[str, Any]:
    """The figures of one evaluation, without the values of single concepts and images."""

    def against(scored: dict[str, Any]) -> dict[str, Any]:
        return {"score": scored["score"], "against": scored["against"]}

    values = [v for v in scores["truth"]["values"] if v["factor"] in CAPTIONED]
    held = [v["held_out"] for v in values if v["held_out"] is not None]
    chance = [scores["truth"]["by_chance"][f]["mean"] for f in CAPTIONED if f in scores["truth"]["by_chance"]]
    return {
        "n_samples": scores["n_samples"],
        "n_test": scores["n_test"],
        "concepts": {m: against(s) for m, s in scores["concepts"].items()},
        "concepts better than random words (q < .05)": {
            m: sum(q is not None and q < 0.05 for q in s["unit_q"]) for m, s in scores["concepts"].items()
        },
        "images": {m: {top: against(s) for top, s in of.items()} for m, of in scores["images"].items()},
        "dictionary": scores["dictionary"],
        "released": {k: v for k, v in scores["released"].items() if k != "words"},
        "truth": {
            "mean best AUROC of colour, action, place": float(np.mean([v["auroc"] for v in values])),
            "held out": float(np.mean(held)) if held else None,
            "labels permuted, mean of the factors": float(np.mean(chance)),
            "best": scores["truth"]["best"],
            "by_factor held out": scores["truth"]["held_out"],
            "recovery": scores["truth"]["recovery"],
        },
    }


def in_short(found: dict[str, dict[str, Any]], main: str) -> dict[str, Any]:
    """What the benchmark is run for: p of the main method's words against random ones, (a) on concepts and (b) on test
    images by their most active concept; and for every method how well it tells colour, action and place."""
    chance = {
        word: {
            f"{measure}, {protocol}": scored["against"]["random"]["p"]
            for measure in ("clip", "bert")
            for protocol, scored in (("a", of[main]["concepts"][measure]), ("b", of[main]["images"][measure]["1"]))
        }
        for word, of in found.items()
    }
    told: dict[str, dict[str, Any]] = {}
    for word, of in found.items():
        for method, figures in of.items():
            told.setdefault(method, {})[word] = figures["truth"]["mean best AUROC of colour, action, place"]
    return {
        f"p of {main} against random words": chance,
        "mean best AUROC of colour, action, place": {
            method: {**by_word, "mean": float(np.mean(list(by_word.values())))} for method, by_word in told.items()
        },
    }


def truth_by_dictionary(home: Path, factors: dict[str, Any]) -> dict[str, float]:
    """Dictionary of another layer or size → mean over the values of colour, action and place of the best AUROC."""
    activations = open_activations(home / "activations")
    found = {}
    for folder in sorted((home / "curves").glob("*")):
        concepts = open_concepts(folder / "concepts", activations)
        ids = [activations.rows[i].sample_id for i in np.flatnonzero(concepts.kept)]
        matrix = factor_matrix(concepts.V, [factors[i] for i in ids])
        chosen = [f in CAPTIONED for f in matrix.factors]
        found[folder.name] = float(matrix.match.max(axis=0)[chosen].mean())
    return found


def elsewhere(n: int) -> tuple[list[Sample], dict[str, Any]]:
    """`n` scenes that nothing was learned from, with their factors: another seed's, so that rare words have as many."""
    world = toyland.dataset_path(n, seed=1)
    factors = load_factors(world)
    assert factors is not None
    samples = [replace(s, id=f"held-out-{s.id}") for s in load_samples(world)]
    return samples, {f"held-out-{i}": known for i, known in factors.items()}


def seconds_for(
    n: int, lmm: LMM, home: Path, scorers: dict[str, Any], samples: list[Sample], held_out: list[Sample],
    factors: dict[str, Any],
) -> dict[str, float]:  # fmt: skip
    """Seconds to evaluate the study of Semi-NMF in `home` from nothing, controls and truth included, on `n` test images
    that have the word: the model's captions and states of these, the states of noise, and all scores."""
    activations = open_activations(home / "activations")
    concepts = open_concepts(home / "semi-nmf" / "concepts", activations)
    grounding = open_grounding(home / "semi-nmf" / "grounding", concepts)
    said = {row.sample_id for row in open_activations(home / "test").rows}
    some = [s for s in held_out if s.id in said][:n]
    parts: dict[str, float] = {}
    before = time.perf_counter()

    def part(what: str, done: int, total: int) -> None:
        """The time since the last report goes to what has now got on."""
        nonlocal before
        now = time.perf_counter()
        parts[what] = parts.get(what, 0.0) + now - before
        before = now

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        found = evaluate(
            lmm, activations, concepts, grounding, samples, some, out=Path(folder) / "evaluation", factors=factors,
            progress=part, **scorers,
        )  # fmt: skip
        seconds = time.perf_counter() - start
    return {"test images with the word": found.scores["n_test"], "seconds": seconds, "parts": parts}


def ablation(n: int, lmm: LMM, home: Path, held_out: list[Sample]) -> dict[str, Any]:
    """What captions lose without the concepts of Semi-NMF, on `n` test images per concept."""
    activations, test = open_activations(home / "activations"), open_activations(home / "test")
    concepts = open_concepts(home / "semi-nmf" / "concepts", activations)
    scores = open_evaluation(home / "semi-nmf" / "evaluation").scores
    V = np.asarray(concepts.learner.transform(test.states(concepts.layer)))
    return ablate(
        lmm, activations, concepts, scores["words"], samples_of(test, by_id(held_out)), V,
        [row.text for row in test.rows], n_images=n, lexicon=LEXICON,
        values=[(c["factor"], c["value"]) for c in scores["truth"]["concepts"]],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", default="dog,cat,bus,train")
    parser.add_argument("--methods", default="simple,pca,kmeans,semi-nmf")
    parser.add_argument("--concepts", default="20,5,10,24,30,40", help="the first is that of the tables")
    parser.add_argument("--layers", default="all", help="`all`, or none")
    parser.add_argument("--samples", type=int, default=5000, help="scenes; four of five are learned from")
    parser.add_argument("--test", type=int, default=6000, help="scenes of another seed, to test on")
    parser.add_argument("--ablated", type=int, default=8, help="images per concept; 0 for no ablation")
    parser.add_argument("--timed", type=int, default=500, help="test images of the study that is timed; 0 for none")
    parser.add_argument("--model", default="toyland")
    parser.add_argument("--image-scorer", default="toyland")
    parser.add_argument("--text-scorer", default="toyland")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--keep", type=Path, help="keep the comparison and its report in this folder")
    args = parser.parse_args()
    quieten()
    lmm = load(args.model)
    world = toyland.dataset_path(args.samples)
    factors = load_factors(world)
    assert factors is not None
    samples = load_samples(world, split="train")
    held_out, factors_elsewhere = elsewhere(args.test)
    factors |= factors_elsewhere
    scorers = {
        "image_scorer": load_image_scorer(args.image_scorer),
        "text_scorer": load_text_scorer(args.text_scorer),
    }
    home = args.keep or Path(tempfile.mkdtemp())
    start = time.perf_counter()
    made = compare_methods(
        lmm, samples, held_out, args.words.split(","), **scorers, out=home, methods=args.methods.split(","),
        layers=[*range(lmm.n_blocks + 1), "final"] if args.layers == "all" else [],
        n_concepts=[int(k) for k in args.concepts.split(",")], factors=factors,
        progress=lambda what, done, total: print(what, total) if done == total else None,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    ablations = {w: ablation(args.ablated, lmm, home / w, held_out) for w in args.words.split(",") if args.ablated}
    comparison_report(made.values, out=home / "report.html")
    found = {w: {m: found_in(e.scores) for m, e in of.items()} for w, of in made.evaluations.items()}
    first = args.words.split(",")[0]
    result = {
        "parameters": {
            k: getattr(args, k) for k in ("words", "methods", "concepts", "layers", "samples", "test", "ablated")
        },
        "in short": in_short(found, made.values["main"]),
        "evaluations": found,
        "tests": made.values["tests"],
        "curves": made.values["curves"],
        "mean best AUROC of colour, action, place, by layer and by K": {
            w: truth_by_dictionary(home / w.replace(" ", "-"), factors) for w in made.evaluations
        },
        "ablation of semi-nmf": ablations,
        "seconds for the comparison": seconds,
        "seconds for one study": seconds_for(
            args.timed, lmm, home / first.replace(" ", "-"), scorers, samples, held_out, factors
        )
        if args.timed
        else None,
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    five_digits = json.loads(json.dumps(plain(result)), parse_float=lambda text: float(f"{float(text):.5g}"))
    write_json(args.result, five_digits)
    print((home / "comparison.md").read_text(encoding="utf-8"))
    if args.keep is None:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
