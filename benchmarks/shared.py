"""One dictionary over words against a dictionary for each, on Toyland.

    python -m benchmarks.shared [--words dog,cat,horse,bus,train,boat]

From the last block; λ = .02 for all. Judged on new samples of another seed: AUROC of the best single concept for every
value of a word's factors (chosen on the word's samples learned from), of a probe on all activations, and explained
variance; stability over other seeds and bootstrap resamples. "elsewhere": the best concept is chosen on the samples of
the other words alone, which only a shared dictionary can do. Writes benchmarks/results/shared.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.named import Judge, states_of

from vitrail import scores
from vitrail.artifacts import plain, versions, write_json
from vitrail.concepts.stability import stability
from vitrail.learners import SemiNMF, nonnegative_lasso
from vitrail.lmm import load, quieten

RESULT = Path(__file__).parent / "results" / "shared.json"
PENALTY = 0.02
RUNS = 2


def judged(judge: Judge, U: np.ndarray, weight: float) -> dict[str, float]:
    """What the directions `U` hold of a word: codes are exact, with `weight` = λ σ."""
    mean = judge.Z.mean(axis=0)
    V, V_new = (nonnegative_lasso(Z - mean, U, weight) for Z in (judge.Z, judge.Z_new))
    told = judge.told(V, V_new)
    explained = scores.explained_variance(judge.Z_new, V_new @ U + mean, mean).mean
    return {
        "AUROC, best concept": told["best concept"].mean,
        "AUROC, all activations": told["dictionary"].mean,
        "explained variance, new": explained,
        "active": float((V > 0).sum(axis=1).mean()),
    }


def elsewhere(judges: Mapping[str, Judge], U: np.ndarray, weight: float) -> dict[str, float]:
    """Word → the mean AUROC on its new samples of the concept that tells a value best in the other words."""
    found: dict[str, dict[tuple[str, Any], np.ndarray]] = {}
    for word, judge in judges.items():
        V = nonnegative_lasso(judge.Z - judge.Z.mean(axis=0), U, weight)
        match = scores.matches(V, judge.properties)[0]
        found[word] = dict(zip(judge.properties.names, match.T, strict=True))
    means = {}
    for word, judge in judges.items():
        V_new = nonnegative_lasso(judge.Z_new - judge.Z.mean(axis=0), U, weight)
        others = [[f[n] for w, f in found.items() if w != word and n in f] for n in judge.properties.names]
        known = [j for j, told in enumerate(others) if told]
        best = [int(np.mean(others[j], axis=0).argmax()) for j in known]
        means[word] = float(scores.separation(V_new[:, best], judge.of_new.of(np.array(known))).auroc.mean())
    return means


def spread_of(X: np.ndarray) -> float:
    return float(np.sqrt((X.astype(np.float64) ** 2).sum(axis=1).mean()))


def stabilities(learner: SemiNMF, X: np.ndarray) -> dict[str, float]:
    found = stability(learner, X, n_runs=RUNS)
    return {"over seeds": float(found.seeds.mean()), "over resamples": float(found.resamples.mean())}


def separate(judges: Mapping[str, Judge], k: int) -> dict[str, Any]:
    """A dictionary of `k` concepts for each word."""
    words, stable = {}, []
    for word, judge in judges.items():
        X = (judge.Z - judge.Z.mean(axis=0)).astype(np.float32)
        learner = SemiNMF(k, penalty=PENALTY).fit(X)
        words[word] = judged(judge, learner.components_, PENALTY * spread_of(X))
        stable.append(stabilities(learner, X))
    means = {name: float(np.mean([one[name] for one in stable])) for name in stable[0]}
    return {"concepts in all": k * len(judges), "means": averages(words), "stability": means, "words": words}


def shared(judges: Mapping[str, Judge], k: int) -> dict[str, Any]:
    """One dictionary of `k` concepts for all words."""
    X = np.concatenate([judge.Z - judge.Z.mean(axis=0) for judge in judges.values()]).astype(np.float32)
    learner, weight = SemiNMF(k, penalty=PENALTY).fit(X), PENALTY * spread_of(X)
    words = {word: judged(judge, learner.components_, weight) for word, judge in judges.items()}
    for word, auroc in elsewhere(judges, learner.components_, weight).items():
        words[word]["AUROC, best concept elsewhere"] = auroc
    return {"concepts in all": k, "means": averages(words), "stability": stabilities(learner, X), "words": words}


def averages(words: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    names = next(iter(words.values()))
    return {name: float(np.mean([scored[name] for scored in words.values()])) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", default="dog,cat,horse,bus,train,boat")
    parser.add_argument("--samples", type=int, default=5000, help="scenes; four of five are learned from")
    parser.add_argument("--new", type=int, default=9000, help="scenes of another seed, to judge on")
    parser.add_argument("--keep", type=Path, help="keep the states in this folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    quieten()
    lmm, home = load("toyland"), args.keep or Path(tempfile.mkdtemp())
    judges = {}
    for word in args.words.split(","):
        learned = states_of(lmm, args.samples, 0, "train", home / word / "learned", word)
        judges[word] = Judge(learned, states_of(lmm, args.new, 1, None, home / word / "new", word))
    result: dict[str, Any] = {
        "parameters": {"words": list(judges), "samples": args.samples, "new": args.new, "penalty": PENALTY},
        "states": {word: {"learned from": len(j.Z), "new": len(j.Z_new)} for word, j in judges.items()},
        "values": {word: len(j.properties.values) for word, j in judges.items()},
    }
    for k in (20, 40):
        result[f"separate, K = {k} each"] = separate(judges, k)
    for k in (20, 40, 60, 80):
        result[f"shared, K = {k}"] = shared(judges, k)
    result["machine"] = {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()}
    rounded = json.loads(json.dumps(plain(result)), parse_float=lambda text: float(f"{float(text):.4g}"))
    write_json(args.result, rounded)
    print(
        json.dumps({k: v if "means" not in v else [v["means"], v["stability"]] for k, v in rounded.items()}, indent=1)
    )


if __name__ == "__main__":
    main()
