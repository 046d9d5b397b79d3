"""Semi-NMF from an activations folder, out of core: seconds per pass, and peak resident memory.

    python benchmarks/learn_big.py [--rows 250000 1000000 --features 1024 --concepts 64]

Writes planted states in float16 and learns from them, each number of rows in a process of its own. The time of a pass
is compared with a lower bound: reading the file once, plus the floating-point operations, at rates that are measured on
the same machine just before. The result becomes the section `big` of benchmarks/results/learn.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SHARD = 2**16


def write_states(folder: Path, n_rows: int, n_features: int) -> None:
    """An activations folder of `n_rows` planted states, float16, in shards of `SHARD` rows."""
    import torch

    from vitrail.activations import Counts, Row, Store

    rng = np.random.default_rng(0)
    directions, mean = rng.normal(size=(60, n_features)), rng.normal(size=n_features)
    n_shards = -(-n_rows // SHARD)
    parameters = {"model": {"name": "planted", "n_blocks": 1}, "word": {"text": "word", "forms": []}, "layers": [1]}
    store = Store(folder, parameters, n_shards)
    for number in range(n_shards):
        n = min(SHARD, n_rows - number * SHARD)
        codes = rng.exponential(0.5, (n, 60)) * (rng.random((n, 60)) < 0.12)
        Z = (codes @ directions + mean).astype(np.float32)
        Z += rng.standard_normal((n, n_features), dtype=np.float32)
        rows = [Row(str(number * SHARD + i), "", (), "", "", "", 0, 0, (), 0, 0, b"") for i in range(n)]
        store.write(number, {1: torch.from_numpy(Z.astype(np.float16))}, rows, Counts(n, n))
    store.finish()


def peak_resident() -> float:
    """The peak resident memory of this process in GiB; `getrusage` would include that of its parent."""
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM:")]
    return int(line.split()[1]) / 2**20


def learn_from(folder: Path, n_concepts: int) -> dict[str, Any]:
    """Learns from a folder, and returns times and memory; in a process of its own, whose peak is that of learning."""
    import vitrail.concepts
    from vitrail.activations import open_activations

    before = peak_resident()
    start = time.perf_counter()
    activations = open_activations(folder)
    opened = time.perf_counter() - start
    told: list[tuple[str, float]] = []
    start = time.perf_counter()
    found = vitrail.concepts.learn(
        activations,
        out=folder.parent / "concepts",
        n_concepts=n_concepts,
        stability=0,
        progress=lambda what, *_: told.append((what, time.perf_counter() - start)),
    )
    seconds = time.perf_counter() - start
    passes = [at for what, at in told if what == "passes"]
    starts = max(at for what, at in told if what == "starts")
    return {
        "rows": len(activations),
        "features": int(found.U.shape[1]),
        "seconds": seconds,
        "hashing_seconds": opened,
        "starts_until_seconds": starts,
        "passes": len(passes),
        "seconds_per_pass": statistics.median(np.diff(passes)) if len(passes) > 1 else passes[0] - starts,
        "objective": found.learner.objective_,
        "in_memory": found.manifest["engine"]["in_memory"],
        "peak_resident_gib": peak_resident(),
        "resident_before_gib": before,
    }


def rates(folder: Path, n_features: int, n_concepts: int) -> dict[str, float]:
    """The rates of this machine: bytes of the file read, and float32 operations done, per second."""
    path = next(folder.glob("*.safetensors"))
    path.read_bytes()
    start = time.perf_counter()
    size = len(path.read_bytes())
    reading = size / (time.perf_counter() - start)
    A, B = np.ones((8192, n_features), np.float32), np.ones((n_features, n_concepts), np.float32)
    A @ B
    start = time.perf_counter()
    for _ in range(20):
        A @ B
    return {"bytes_per_s": reading, "flop_per_s": 20 * 2 * A.size * n_concepts / (time.perf_counter() - start)}


def in_memory(folder: Path, n_concepts: int) -> float:
    """The objective of a fit in memory."""
    from vitrail.activations import open_activations
    from vitrail.learners import SemiNMF

    return SemiNMF(n_concepts).fit(open_activations(folder).states(1)).objective_


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--concepts", type=int, default=64)
    parser.add_argument("--folder", type=Path, help="internal: learn from this folder and print the result")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "learn.json")
    args = parser.parse_args()
    if args.folder is not None:
        print(json.dumps(learn_from(args.folder, args.concepts)))
        return
    runs = []
    for n_rows in sorted(args.rows):
        with tempfile.TemporaryDirectory() as folder:
            activations = Path(folder) / "activations"
            write_states(activations, n_rows, args.features)
            command = [sys.executable, __file__, "--folder", str(activations), "--concepts", str(args.concepts)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            run = json.loads(done.stdout.splitlines()[-1])
            best = rates(activations, args.features, args.concepts)
            operations = n_rows * args.concepts * (4 * args.features + 2 * args.concepts)
            bound = 2 * n_rows * args.features / best["bytes_per_s"] + operations / best["flop_per_s"]
            run |= {**best, "bound_per_pass": bound, "fraction_of_bound": bound / run["seconds_per_pass"]}
            if n_rows == min(args.rows):
                run["objective_over_in_memory"] = run["objective"] / in_memory(activations, args.concepts)
            runs.append(run)
            print(run, flush=True)
    from learn import machine
    from vitrail.artifacts import write_json

    ratio = runs[-1]["seconds_per_pass"] / runs[0]["seconds_per_pass"]
    result = json.loads(args.out.read_text()) if args.out.exists() else {}
    result["big"] = {"concepts": args.concepts, "runs": runs, "ratio_of_passes": ratio, "machine": machine()}
    result["big"]["cpus"] = os.cpu_count()
    write_json(args.out, result)


if __name__ == "__main__":
    main()
