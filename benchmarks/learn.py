"""Semi-NMF against scikit-learn's DictionaryLearning, as CoX-LMM's released code calls it, in one run.

    python benchmarks/learn.py [--samples 3000 --features 1024 --concepts 20 --iterations 50 --runs 3]

Writes benchmarks/results/learn.json: every run's seconds and objective, medians, and the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.decomposition import DictionaryLearning
from sklearn.exceptions import ConvergenceWarning

from vitrail.artifacts import versions, write_json
from vitrail.learners import SemiNMF, objective

RESULT = Path(__file__).parent / "results" / "learn.json"


def planted(n_samples: int, n_features: int, seed: int) -> np.ndarray:
    """Forty sparse non-negative directions, a mean and noise: (n_samples, n_features) float32."""
    rng = np.random.default_rng(seed)
    codes = rng.exponential(3.0, (n_samples, 40)) * (rng.random((n_samples, 40)) < 0.15)
    directions = rng.normal(size=(40, n_features))
    mean = rng.normal(size=n_features)
    return (codes @ directions + mean + 0.5 * rng.normal(size=(n_samples, n_features))).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--concepts", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=50, help="cap on scikit-learn's iterations")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    penalty = 2.0
    runs = []
    for seed in range(args.runs):
        Z = planted(args.samples, args.features, seed)
        start = time.perf_counter()
        ours = SemiNMF(args.concepts, penalty=penalty, random_state=seed).fit(Z)
        V = ours.transform(Z)
        seconds = time.perf_counter() - start
        peer = DictionaryLearning(
            n_components=args.concepts,
            alpha=penalty / 2,
            positive_code=True,
            fit_algorithm="cd",
            transform_algorithm="lasso_cd",
            max_iter=args.iterations,
            random_state=seed,
        )
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            codes = peer.fit_transform(Z)
        runs.append(
            {
                "seed": seed,
                "vitrail_seconds": seconds,
                "vitrail_objective": objective(Z, ours.components_, V, penalty),
                "sklearn_seconds": time.perf_counter() - start,
                "sklearn_objective": objective(Z, peer.components_, codes, penalty),
            }
        )
        print(runs[-1])
    ratio = statistics.median(r["sklearn_seconds"] for r in runs) / statistics.median(
        r["vitrail_seconds"] for r in runs
    )
    result = {
        "parameters": vars(args) | {"penalty": penalty},
        "runs": runs,
        "ratio_of_medians": ratio,
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    write_json(RESULT, result)
    print(json.dumps({"ratio_of_medians": ratio}))


if __name__ == "__main__":
    main()
