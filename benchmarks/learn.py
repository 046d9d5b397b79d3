"""Semi-NMF against other solvers, in the same run: seconds, objectives, medians, and the machine.

    python benchmarks/learn.py [--parts speed many toyland unpenalised stability] [--runs 5] [--samples 3000 …]

| part | against |
|---|---|
| speed | scikit-learn's DictionaryLearning as CoX-LMM's released code calls it: to convergence, and 50 iterations |
| many | the same with 100 concepts, 10 iterations |
| toyland | the same to convergence, on states of the bundled model |
| unpenalised | multiplicative updates (Ding, Li & Jordan, PAMI 2010), λ = 0, to equal error |
| stability | the other methods' stability, on states of the bundled model |
| gpu | with a CUDA device: the same fit on the host; a pass against the rates of reading and multiplying on it |

Each part that is run replaces its section of benchmarks/results/learn.json; the other sections stay.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import DictionaryLearning
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

from vitrail.artifacts import versions, write_json
from vitrail.concepts.stability import stability
from vitrail.learners import PCA, KMeans, SemiNMF, Simple, kkt_residual, objective
from vitrail.learners.descent import State
from vitrail.learners.starts import sums_with_codes

RESULT = Path(__file__).parent / "results" / "learn.json"
PENALTY = 2.0


def planted(n_samples: int, n_features: int, seed: int) -> np.ndarray:
    """Forty sparse non-negative directions, a mean and noise: (n_samples, n_features) float32."""
    rng = np.random.default_rng(seed)
    codes = rng.exponential(0.5, (n_samples, 40)) * (rng.random((n_samples, 40)) < 0.12)
    directions = rng.normal(size=(40, n_features))
    mean = rng.normal(size=n_features)
    return (codes @ directions + mean + rng.normal(size=(n_samples, n_features))).astype(np.float32)


def toyland_states() -> np.ndarray:
    """The states of the bundled model that predict "dog" in the captions of its world, from the last block."""
    import vitrail

    lmm = vitrail.load("toyland")
    with tempfile.TemporaryDirectory() as folder:
        found = vitrail.extract(
            lmm, vitrail.load_samples("toyland"), "dog", out=Path(folder) / "a", layers=[-1], require="truth"
        )
        return found.states(found.layers[0])


def ours(Z: np.ndarray, n_concepts: int, penalty: float, runs: int) -> dict[str, Any]:
    """Fit and codes in the paper's form, the problem that the others solve: once to warm up, then with `runs` seeds."""
    SemiNMF(n_concepts, penalty=penalty, form="paper").fit_transform(Z)
    found = []
    for seed in range(runs):
        start, used = time.perf_counter(), time.process_time()
        learner = SemiNMF(n_concepts, penalty=penalty, form="paper", random_state=seed)
        V = learner.fit_transform(Z)
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
        residual = float(kkt_residual(Z, learner.components_, V, penalty).max())
        value = objective(Z, learner.components_, V, penalty)
        found.append(
            {"seed": seed, "seconds": seconds, "cpu_seconds": cpu, "objective": value}
            | {"n_iter": learner.n_iter_, "kkt_residual": residual}
        )
        print("ours", found[-1], flush=True)
    return {"runs": found, **medians(found)}


def released(Z: np.ndarray, n_concepts: int, max_iter: int, runs: int) -> dict[str, Any]:
    """scikit-learn, as the released code calls it."""
    found = []
    for seed in range(runs):
        learner = DictionaryLearning(
            n_components=n_concepts,
            alpha=PENALTY / 2,
            positive_code=True,
            fit_algorithm="cd",
            transform_algorithm="lasso_cd",
            max_iter=max_iter,
            random_state=seed,
        )
        start, used = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            V = learner.fit_transform(Z)
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
        value = objective(Z, learner.components_, V, PENALTY)
        found.append(
            {"seed": seed, "seconds": seconds, "cpu_seconds": cpu, "objective": value, "n_iter": int(learner.n_iter_)}
        )
        print("scikit-learn", found[-1], flush=True)
    return {"max_iter": max_iter, "runs": found, **medians(found)}


def multiplicative(Z: np.ndarray, n_concepts: int, goal: float, patience: float, seed: int) -> dict[str, Any]:
    """Semi-NMF by the multiplicative updates of Ding, Li & Jordan, `Z ≈ G F` with `G ≥ 0`, until the squared error is
    at most `goal` or `patience` seconds are over. `F = (GᵀG)⁻¹ GᵀZ`, `G ← G √((A⁺ + G B⁻) / (A⁻ + G B⁺))` with
    `A = Z Fᵀ`, `B = F Fᵀ`."""
    rng = np.random.default_rng(seed)
    G = rng.random((len(Z), n_concepts)).astype(Z.dtype)
    squares, start, error, iterations = float(np.sum(Z.astype(np.float64) ** 2)), time.perf_counter(), np.inf, 0
    while error > goal and time.perf_counter() - start < patience:
        GG, GZ = G.T @ G, G.T @ Z
        F = np.linalg.solve(GG + 1e-9 * np.trace(GG) * np.eye(n_concepts), GZ).astype(Z.dtype)
        A, B = Z @ F.T, F @ F.T
        positive = np.maximum(A, 0) + G @ np.maximum(-B, 0)
        negative = np.maximum(-A, 0) + G @ np.maximum(B, 0)
        G *= np.sqrt(positive / np.maximum(negative, 1e-9))
        iterations += 1
        error = float(squares - 2 * np.sum(A * G, dtype=np.float64) + np.sum((G.T @ G).astype(np.float64) * B))
    seconds = time.perf_counter() - start
    return {"seed": seed, "seconds": seconds, "objective": error, "n_iter": iterations, "reached": error <= goal}


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {f"median_{k}": statistics.median(run[k] for run in runs) for k in ("seconds", "objective")}


def compared(mine: dict[str, Any], others: dict[str, dict[str, Any]], shape: tuple, n_concepts: int) -> dict[str, Any]:
    """Both sides, and the ratios of their medians."""
    ratios = {
        name: {
            "times_faster": other["median_seconds"] / mine["median_seconds"],
            "objective_over_theirs": mine["median_objective"] / other["median_objective"],
            "worst_over_theirs": max(run["objective"] for run in mine["runs"]) / other["median_objective"],
        }
        for name, other in others.items()
    }
    print(json.dumps(ratios, indent=1), flush=True)
    return {"samples": shape[0], "features": shape[1], "concepts": n_concepts, "ours": mine, **others, "ratios": ratios}


def speed(args: argparse.Namespace) -> dict[str, Any]:
    Z = planted(args.samples, args.features, 0)
    mine = ours(Z, args.concepts, PENALTY, args.runs)
    others = {"scikit_learn_50": released(Z, args.concepts, 50, args.their_runs)}
    if args.converged:
        others["scikit_learn"] = released(Z, args.concepts, 5000, args.their_runs)
    return compared(mine, others, Z.shape, args.concepts)


def many(args: argparse.Namespace) -> dict[str, Any]:
    Z = planted(args.samples, args.features, 0)
    k = min(100, args.samples // 2)
    mine = ours(Z, k, PENALTY, args.runs)
    return compared(mine, {"scikit_learn_10": released(Z, k, 10, 1)}, Z.shape, k)


def toyland(args: argparse.Namespace) -> dict[str, Any]:
    Z = toyland_states()
    mine = ours(Z, args.concepts, PENALTY, args.runs)
    others = {"scikit_learn_50": released(Z, args.concepts, 50, args.their_runs)}
    if args.converged:
        others["scikit_learn"] = released(Z, args.concepts, 5000, 1)
    return compared(mine, others, Z.shape, args.concepts)


def unpenalised(args: argparse.Namespace) -> dict[str, Any]:
    Z = planted(args.samples, args.features, 0)
    mine = ours(Z, args.concepts, 0.0, args.runs)
    found = [multiplicative(Z, args.concepts, 1.001 * mine["median_objective"], args.patience, s) for s in range(2)]
    print("multiplicative", found, flush=True)
    return compared(mine, {"multiplicative": {"runs": found, **medians(found)}}, Z.shape, args.concepts)


def stabilities(args: argparse.Namespace) -> dict[str, Any]:
    Z = toyland_states()
    found = {}
    for learner in (SemiNMF(args.concepts), KMeans(args.concepts), PCA(args.concepts), Simple(args.concepts)):
        result = stability(learner.fit(Z), Z, n_runs=5)
        name = type(learner).__name__
        found[name] = {"seeds": float(result.seeds.mean()), "resamples": float(result.resamples.mean())}
        print(name, found[name], flush=True)
    return {"samples": len(Z), "features": Z.shape[1], "concepts": args.concepts, **found}


def gpu(args: argparse.Namespace) -> dict[str, Any] | None:
    """Nothing where there is no CUDA device."""
    import torch

    if not torch.cuda.is_available():
        print("gpu: there is no CUDA device, the part stays as it is")
        return None
    host = planted(args.samples, args.features, 0)
    there = torch.from_numpy(host).cuda()
    SemiNMF(args.concepts, form="paper").fit_transform(there)
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(), "concepts": args.concepts}
    for name, Z in (("host", host), ("gpu", there)):
        seconds, fitted = seconds_of(lambda Z=Z: SemiNMF(args.concepts, form="paper").fit(Z), args.runs)
        codes, _ = seconds_of(lambda fitted=fitted, Z=Z: fitted.transform(Z), args.runs)
        found[name] = {"fit_seconds": seconds, "transform_seconds": codes, "objective": fitted.objective_}
    found["objective_over_host"] = found["gpu"]["objective"] / found["host"]["objective"]
    del there
    return found | {"pass": pass_on_gpu(args.gpu_rows, args.features, args.concepts)}


def pass_on_gpu(n_rows: int, n_features: int, n_concepts: int, sweeps: int = 3) -> dict[str, float]:
    """One pass over `n_rows` states, against the two ceilings: the bytes it reads, and its floating-point operations,
    at the rates that a copy and a large product reach on the same device."""
    import torch

    Z = torch.randn(n_rows, n_features, device="cuda")
    U = torch.nn.functional.normalize(torch.randn(n_concepts, n_features, device="cuda", dtype=torch.float64))
    state = State(U, torch.zeros(n_concepts, n_rows, device="cuda"))
    seconds, _ = seconds_of(lambda: sums_with_codes(Z, state, PENALTY, sweeps), 20)
    copied, _ = seconds_of(lambda: Z.clone(), 20)
    A = torch.randn(8192, 8192, device="cuda")
    multiplied, _ = seconds_of(lambda: A @ A, 20)
    bandwidth, rate = 8 * Z.numel() / copied, 2 * 8192**3 / multiplied
    n_bytes = 4 * (2 * Z.numel() + n_rows * n_concepts**2 * sweeps)
    n_operations = 4 * Z.numel() * n_concepts + 2 * n_rows * n_concepts**2 * (1 + sweeps)
    bound = max(n_bytes / bandwidth, n_operations / rate)
    return {
        "rows": n_rows,
        "features": n_features,
        "seconds": seconds,
        "bytes_per_s": bandwidth,
        "flop_per_s": rate,
        "bound_seconds": bound,
        "fraction_of_bound": bound / seconds,
    }


def seconds_of(call: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """The median time of a call on the device, after one to warm up, and what it returned."""
    import torch

    found, seconds = call(), []
    for _ in range(runs):
        torch.cuda.synchronize()
        start = time.perf_counter()
        found = call()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), found


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any] | None]] = {
    "speed": speed,
    "many": many,
    "toyland": toyland,
    "unpenalised": unpenalised,
    "stability": stabilities,
    "gpu": gpu,
}


def machine() -> dict[str, Any]:
    threads = {library["internal_api"]: library["num_threads"] for library in threadpool_info()}
    return {"cpus": os.cpu_count(), "threads": threads, "platform": platform.platform(), **versions()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--features", type=int, default=4096)
    parser.add_argument("--concepts", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5, help="of ours, each with its own seed")
    parser.add_argument(
        "--their-runs", type=int, default=1, help="of scikit-learn, which ends where it began: with SVD"
    )
    parser.add_argument("--patience", type=float, default=60.0, help="seconds for multiplicative updates")
    parser.add_argument("--converged", action=argparse.BooleanOptionalAction, default=True, help="six minutes and more")
    parser.add_argument("--gpu-rows", type=int, default=200_000, help="of the pass on a CUDA device")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    result = json.loads(args.out.read_text()) if args.out.exists() else {}
    for name in args.parts:
        part = PARTS[name](args)
        if part is None:
            continue
        result[name] = {**part, "penalty": 0.0 if name == "unpenalised" else PENALTY, "machine": machine()}
        write_json(args.out, result)


if __name__ == "__main__":
    main()
