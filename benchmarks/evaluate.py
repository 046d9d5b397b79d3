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

from vitrail import toyland
from vitrail.activations import open_activations
from vitrail.artifacts import plain, versions, write_json
from vitrail.concepts import open_concepts
from vitrail.evaluation import (
    EvaluationData,
    EvaluationFolders,
    EvaluationScores,
    MethodComparison,
    MethodOptions,
    Scorers,
    open_evaluation,
    score_study,
)
from vitrail.evaluation.ablation import Captioned, ablate, targets_of
from vitrail.evaluation.results import Ablation, PropertyScores, Scored
from vitrail.grounding import open_grounding
from vitrail.lmm import LMM, load, quieten
from vitrail.lmm.scorers import load_image_scorer, load_text_scorer
from vitrail.runs.compare_methods import compare_methods
from vitrail.samples import Sample, load_samples
from vitrail.scores import COMMON, factor_properties, matches, separation
from vitrail.studies import Study, samples_of_rows
from vitrail.toyland.ground_truth import load_factors
from vitrail.toyland.language import LEXICON

RESULT = Path(__file__).parent / "results" / "evaluate.json"
CAPTIONED = ("colour", "action", "place")


def summary(scores: EvaluationScores) -> dict[str, Any]:
    """The scores of one evaluation, without the values of single concepts and images, for the result's JSON."""

    def in_short(scored: Scored) -> dict[str, Any]:
        return {"score": scored.score, "against": scored.against}

    released = vars(scores.released)
    return {
        "n_samples": scores.n_samples,
        "n_test": scores.n_test,
        "concepts": {m: in_short(s) for m, s in scores.concepts.items()},
        "concepts better than random words (q < .05)": {
            m: sum(q < 0.05 for q in s.unit_q) for m, s in scores.concepts.items()
        },
        "images": {m: {top: in_short(s) for top, s in by_top.items()} for m, by_top in scores.images.items()},
        "dictionary": scores.dictionary,
        "released": {name: value for name, value in released.items() if name != "words"},
        "truth": factors_in_short(truth_of(scores)),
    }


def truth_of(scores: EvaluationScores) -> PropertyScores:
    """The scores against known factors: the factors of Toyland are known."""
    assert scores.truth is not None
    return scores.truth


def factors_in_short(truth: PropertyScores) -> dict[str, Any]:
    """What states, dictionary and best concepts hold of the factors, and of those that captions name."""
    return {
        "all": truth.mean,
        "colour, action, place: best concepts": mean_auroc(truth),
        "by_factor": truth.by_factor,
        "by chance": truth.by_chance,
        "lost": truth.lost,
        "recovery": truth.recovery,
    }


def mean_auroc(truth: PropertyScores) -> float:
    """The mean over the values of the factors that captions name of the AUROC of the best concept, on new samples."""
    return float(np.mean([v.told.concept.mean for v in truth.values if v.factor in CAPTIONED]))


def in_short(comparison: MethodComparison) -> dict[str, Any]:
    """What the benchmark is run for: the p-values of the main method's words against random ones, (a) on concepts and
    (b) on test images by their most active concept; and how well each method recovers colour, action and place."""
    main = comparison.main
    chance = {
        word: {
            f"{measure}, {protocol}": scored.against["random"].p
            for measure in ("clip", "bert")
            for protocol, scored in (
                ("a", by_method[main].concepts[measure]),
                ("b", by_method[main].images[measure][1]),
            )
        }
        for word, by_method in comparison.evaluations.items()
    }
    recovered: dict[str, dict[str, float]] = {}
    for word, by_method in comparison.evaluations.items():
        for method, scores in by_method.items():
            recovered.setdefault(method, {})[word] = mean_auroc(truth_of(scores))
    return {
        f"p of {main} against random words": chance,
        "mean AUROC of colour, action, place on new samples, best concepts": {
            method: {**by_word, "mean": float(np.mean(list(by_word.values())))} for method, by_word in recovered.items()
        },
    }


def truth_by_dictionary(home: Path, factors: dict[str, Any]) -> dict[str, float]:
    """Dictionary of another layer or size → mean over the values of colour, action and place of the AUROC of the best
    concept, chosen on the samples learned from, on new samples."""
    activations, test = open_activations(home / "activations"), open_activations(home / "test")
    ids = np.array(activations.sample_ids())
    found = {}
    for folder in sorted((home / "curves").glob("*")):
        concepts = open_concepts(folder / "concepts", activations)
        learned = factor_properties([factors[i] for i in ids[concepts.kept]])
        new = factor_properties([factors[i] for i in test.sample_ids()], learned.names)
        captioned = np.array([factor in CAPTIONED for factor in learned.groups])
        chosen = np.flatnonzero(learned.enough(COMMON) & new.enough() & captioned)
        match, sign = matches(concepts.V, learned.of(chosen), concepts.learner.signed)
        best = match.argmax(axis=0)
        V = np.asarray(concepts.learner.transform(test.states(concepts.layer)))
        told = V[:, best] * sign[best, np.arange(len(best))]
        found[folder.name] = float(separation(told, new.of(chosen)).auroc.mean())
    return found


def elsewhere(n: int) -> tuple[list[Sample], dict[str, Any]]:
    """`n` scenes that nothing was learned from, with their factors: another seed's, so that rare words have as many."""
    world = toyland.dataset_path(n, seed=1)
    factors = load_factors(world)
    assert factors is not None
    samples = [replace(s, id=f"held-out-{s.id}") for s in load_samples(world)]
    return samples, {f"held-out-{i}": known for i, known in factors.items()}


def study_of_semi_nmf(home: Path) -> Study:
    """The study of Semi-NMF in the folder of a word."""
    activations = open_activations(home / "activations")
    concepts = open_concepts(home / "semi-nmf" / "concepts", activations)
    return Study(home / "semi-nmf", activations, concepts, open_grounding(home / "semi-nmf" / "grounding", concepts))


def seconds_for(n: int, lmm: LMM, home: Path, scorers: Scorers, data: EvaluationData) -> dict[str, Any]:
    """Seconds to evaluate the study of Semi-NMF in `home` from nothing, controls and known factors included, on `n`
    test images that have the word: the model's captions and states of these, the states of noise, and all scores."""
    having_word = set(open_activations(home / "test").sample_ids())
    some = [s for s in data.test_samples if s.id in having_word][:n]
    parts: dict[str, float] = {}
    before = time.perf_counter()

    def part(what: str, done: int, total: int) -> None:
        """Adds the time since the last report to the part that reports now."""
        nonlocal before
        now = time.perf_counter()
        parts[what] = parts.get(what, 0.0) + now - before
        before = now

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        folders = EvaluationFolders.beside(Path(folder) / "evaluation")
        few = replace(data, test_samples=some)
        found = score_study(study_of_semi_nmf(home), lmm, few, scorers, folders, progress=part)
        seconds = time.perf_counter() - start
    return {"test images with the word": found.scores.n_test, "seconds": seconds, "parts": parts}


def ablation(n: int, lmm: LMM, home: Path, data: EvaluationData) -> Ablation:
    """What captions lose without the concepts of Semi-NMF, on `n` test images per concept."""
    study, test = study_of_semi_nmf(home), open_activations(home / "test")
    scores = open_evaluation(home / "semi-nmf" / "evaluation").scores
    V = np.asarray(study.concepts.learner.transform(test.states(study.concepts.layer)))
    held_out = Captioned(samples_of_rows(test, data.test_samples), V, [row.text for row in test.rows], n)
    targets = targets_of(scores.words, scores.truth, data.lexicon)
    return ablate(lmm, study.activations.options, study.concepts, targets, held_out)


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
    data = EvaluationData(samples, held_out, factors, LEXICON)
    scorers = Scorers(load_image_scorer(args.image_scorer), load_text_scorer(args.text_scorer))
    options = MethodOptions(
        args.methods.split(","),
        layers=[*range(lmm.n_blocks + 1), "final"] if args.layers == "all" else [],
        n_concepts=[int(k) for k in args.concepts.split(",")],
    )
    home = args.keep or Path(tempfile.mkdtemp())
    start = time.perf_counter()
    words = args.words.split(",")
    made = compare_methods(
        lmm,
        data,
        words,
        scorers=scorers,
        out=home,
        options=options,
        progress=lambda what, done, total: print(what, total) if done == total else None,
    )
    seconds = time.perf_counter() - start
    homes = {w: home / w.replace(" ", "-") for w in words}
    ablations = {w: ablation(args.ablated, lmm, homes[w], data) for w in words if args.ablated}
    result = {
        "parameters": {
            k: getattr(args, k) for k in ("words", "methods", "concepts", "layers", "samples", "test", "ablated")
        },
        "in short": in_short(made),
        "evaluations": {w: {m: summary(e) for m, e in by_method.items()} for w, by_method in made.evaluations.items()},
        "tests": made.tests,
        "curves": made.to_json()["curves"],
        "mean AUROC of colour, action, place on new samples, best concepts, by layer and by K": {
            w: truth_by_dictionary(homes[w], factors) for w in made.evaluations
        },
        "ablation of semi-nmf": ablations,
        "seconds for the comparison": seconds,
        "seconds for one study": seconds_for(args.timed, lmm, homes[words[0]], scorers, data) if args.timed else None,
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    five_digits = json.loads(json.dumps(plain(result)), parse_float=lambda text: float(f"{float(text):.5g}"))
    write_json(args.result, five_digits)
    print((home / "comparison.md").read_text(encoding="utf-8"))
    if args.keep is None:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
