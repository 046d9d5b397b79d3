"""All of it: parts, vocabulary, features, both trainings, the model folder, its captions, and the line on five words.

    python -m benchmarks.real --data FLICKR8K [--cache DIR --device cuda]

Every step keeps what it made, so that the same command goes on after a kill. Each can also be run by itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.real.cache import default_cache

#: The two trainings: on people's captions, then on the CIDEr-D of drawn ones.
LIKELIHOOD = ["--name", "likelihood"]
REWARD = [
    *("--name", "reward", "--begin", "likelihood", "--samples", "5", "--epochs", "1", "--batch", "16", "--most", "110"),
    *("--lora-rate", "5e-5", "--connector-rate", "5e-5", "--warmup", "5", "--weight-decay", "0", "--average", "0.95"),
    *("--evaluate", "55", "--dev", "200"),
]


def step(module: str, *arguments: str, processes: int = 1) -> None:
    """Runs a module of this folder in a process of its own, or in several that train together."""
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *launch, "-m", f"benchmarks.real.{module}", *arguments]
    print("$", *command, flush=True)
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"} if processes > 1 else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder of Flickr8k")
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--processes", type=int, help="that train together; by default the cores, 1 on cuda")
    a = parser.parse_args()
    data, cache = ["--data", a.data], ["--cache", str(a.cache)]
    processes = a.processes or (1 if a.device != "cpu" else os.cpu_count() or 1)
    step("parts", *cache)
    step("vocabulary", *data, *cache)
    step("features", *data, *cache, "--device", a.device)
    for settings in (LIKELIHOOD, REWARD):
        step("train", *cache, "--device", a.device, *settings, processes=processes)
    step("assemble", *cache)
    step("captions", *data, *cache)
    step("line", *data, *cache)


if __name__ == "__main__":
    main()
