"""The memory that extraction takes beside the model: photographs of 12 megapixels, and whether their number matters.

    python benchmarks/memory.py [--photographs 200 2000 --out benchmarks/results/memory.json]
    python benchmarks/memory.py --photographs 2000 20000 --width 112 --out benchmarks/results/memory_many.json

Makes JPEG files of 4000 × 3000 pixels (or another `--width`), each number of them in a folder of its own, and extracts
states of every one, in a process of its own. What counts is the peak of resident memory during extraction, less the
memory after the model was loaded. The bar is 1.5 GB, whatever the number of photographs.

Also the peak of the whole process for the largest number over that for the smallest: the bar is 1.05.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

#: Photographs that differ; the others are links to them.
DISTINCT = 8
BAR = 1.5
#: Of the peak for the largest number of photographs over that for the smallest.
GROWTH = 1.05


def write_photographs(folder: Path, n: int, width: int = 4000) -> None:
    """`n` photographs of `width` pixels with a caption each: coloured noise, as hard to compress as a photograph."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        path = folder / f"{i:05d}.jpg"
        if i < DISTINCT:
            small = Image.fromarray(rng.integers(0, 256, (width * 3 // 16, width // 4, 3), dtype=np.uint8))
            small.resize((width, width * 3 // 4), Image.Resampling.BICUBIC).save(path, quality=90)
        else:
            os.link(folder / f"{i % DISTINCT:05d}.jpg", path)
        path.with_suffix(".txt").write_text("a dog\n")


def resident(name: str) -> float:
    """VmRSS (now) or VmHWM (its peak) of this process, in GB."""
    (line,) = [x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e9


def extract_from(folder: Path, n: int) -> dict[str, Any]:
    """Extracts from the photographs in `folder`; in a process of its own, whose memory it is."""
    from vitrail.activations import ExtractionOptions
    from vitrail.extraction import extract_as
    from vitrail.lmm import load
    from vitrail.samples import load_samples

    lmm = load("toyland", device="cpu")
    lmm.caption([Image.new("RGB", (112, 112))])  # what is loaded with the first pass belongs to the model
    before = resident("VmRSS")
    samples = load_samples(folder, progress=False)
    # "a" is said of every image: each is asked for a caption, and its states are read
    found = extract_as(lmm, samples, "a", ExtractionOptions((-1,), require="predicted"), out=folder.parent / "states")
    return {
        "photographs": n,
        "megabytes_of_files": sum(p.stat().st_size for p in folder.glob("*.jpg")) / 1e6,
        "kept": found.counts.kept,
        "gigabytes_before": before,
        "gigabytes_beside_the_model": resident("VmHWM") - before,
        "gigabytes_at_the_peak": resident("VmHWM"),
    }


def measured(n: int, width: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        photographs = Path(home) / "photographs"
        write_photographs(photographs, n, width)
        child = subprocess.run(
            [sys.executable, __file__, "--folder", photographs, "--photographs", str(n)],
            check=True,
            capture_output=True,
            text=True,
        )
        return json.loads(child.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--width", type=int, default=4000, help="of a photograph, in pixels")
    parser.add_argument("--folder", type=Path, help="extract from this folder, in this process")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "memory.json")
    options = parser.parse_args()
    if options.folder is not None:
        print(json.dumps(extract_from(options.folder, options.photographs[0])))
        return
    rows = []
    for n in options.photographs:
        rows.append(measured(n, options.width))
        beside = rows[-1]["gigabytes_beside_the_model"]
        met = "met" if beside <= BAR else "NOT met"
        print(f"{n} photographs: {beside:.2f} GB beside the model; the bar of {BAR} GB is {met}")
        growth = rows[-1]["gigabytes_at_the_peak"] / rows[0]["gigabytes_at_the_peak"]
        found = {"bar": BAR, "width": options.width, "runs": rows, "growth": growth, "growth_bar": GROWTH}
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    met = "met" if growth <= GROWTH else "NOT met"
    print(f"the peak grows {growth:.3f} times from the first number to the last; the bar of {GROWTH} is {met}")


if __name__ == "__main__":
    main()
