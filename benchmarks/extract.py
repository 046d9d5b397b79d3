"""Extraction in batches against one image at a time, as in the released research code, in the same run.

    python benchmarks/extract.py [--samples 64 --batch 32 --runs 3]

Writes benchmarks/results/extract.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import vitrail
from vitrail.artifacts import versions, write_json

RESULT = Path(__file__).parent / "results" / "extract.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    lmm = vitrail.load("toyland")
    everything = vitrail.load_samples("toyland")
    samples = [s for s in everything if any(" dog" in r for r in s.references)][: args.samples]
    seconds: dict[str, list[float]] = {"one_by_one": [], "batched": []}
    for _ in range(args.runs):
        for name, batch in (("one_by_one", 1), ("batched", args.batch)):
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                vitrail.extract(lmm, samples, "dog", out=Path(folder) / "a", batch_size=batch)
                seconds[name].append(time.perf_counter() - start)
    ratio = statistics.median(seconds["one_by_one"]) / statistics.median(seconds["batched"])
    result = {
        "parameters": vars(args),
        "seconds": seconds,
        "ratio_of_medians": ratio,
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    write_json(RESULT, result)
    print(json.dumps({"ratio_of_medians": ratio}))


if __name__ == "__main__":
    main()
