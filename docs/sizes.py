"""What runs of any size cost, computed from measured parts: `docs/scale.md` has the tables.

Every number comes from `benchmarks/results/`: samples per second of models of real size on one GPU, and seconds and
memory of learning out of core on one machine. What is computed is a product of them; nothing of this size was run.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
#: Samples of data sets that people use.
RUNS = {"COCO, train 2017": 118_287, "a million": 1_000_000, "LAION-400M": 400_000_000}
#: The share of samples that have a word of interest, for the sizes of what is kept.
SHARE = 0.01
#: Bytes of a number in a state, and about those of a row's picture and texts, as the check of the disk counts them.
NUMBER, ROW = 2, 8_000
DAY = 86_400
#: Width of the states of a model of seven billion parameters.
WIDTH = 4096


def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def speeds() -> list[tuple[str, str, dict[str, float]]]:
    """(model, device, way → samples per second) of every model, at the batch where speaking and reading is fastest."""
    found = []
    for name, model in read("extract_large").items():
        batches = [b["ways"] for b in model["batches"] if "live" in b["ways"]]
        if batches:
            best = max(batches, key=lambda ways: ways["live"]["samples_per_second"])
            found.append((name, model["device"], {way: best[way]["samples_per_second"] for way in ("live", "read")}))
    return found


def of_models() -> list[str]:
    """The table of time: one row for each model and size."""
    lines = [
        "| model | samples | it speaks, states are kept: GPU hours | GPUs for one day | said before, read: GPU hours | "
        "GPUs for one day |",
        "|---|---|---|---|---|---|",
    ]
    for name, _, rates in speeds():
        for run, n in RUNS.items():
            cells = [(n / rate / 3600, math.ceil(n / rate / DAY)) for rate in rates.values()]
            told = " | ".join(f"{hours:,.1f} | {gpus:,}" for hours, gpus in cells)
            lines.append(f"| {name} | {run} ({n:,}) | {told} |")
    rates = "; ".join(f"{name} on one {device}: {r['live']:.1f} and {r['read']:.1f}" for name, device, r in speeds())
    return [*lines, "", f"From samples per second, speaking and reading: {rates}."]


def of_disk() -> list[str]:
    """The table of disk and learning: one row for each size."""
    big = read("learn")["big"]
    run = max(big["runs"], key=lambda r: r["rows"])
    each = run["seconds_per_pass"] / (run["rows"] * run["features"])
    lines = [
        "| samples | states of the word | a layer of it | pictures and texts | a pass of learning, one layer "
        f"| the activations of {big['concepts']} concepts |",
        "|---|---|---|---|---|---|",
    ]
    for name, n in RUNS.items():
        rows = round(n * SHARE)
        sizes = (size(rows * WIDTH * NUMBER), size(rows * ROW), duration(rows * WIDTH * each))
        kept = size(rows * big["concepts"] * 4)
        lines.append(f"| {name} | {rows:,} | {sizes[0]} | {sizes[1]} | {sizes[2]} | {kept} |")
    memory = ", ".join(f"{r['peak_resident_gib']:.2f} GiB with {r['rows']:,} rows" for r in big["runs"])
    return [
        *lines,
        "",
        f"For a word that {SHARE:.0%} of the samples have, and states of {WIDTH:,} numbers of {NUMBER} bytes.",
        f"Learning takes {each * 1e9:.1f} s per 10⁹ numbers and pass on {big['cpus']} cores. Its",
        f"memory hardly grows with the rows: {memory}, of {run['features']:,} numbers each.",
    ]


def size(n: float) -> str:
    """Bytes, in the unit in which they are fewer than a thousand."""
    power = min(4, int(math.log10(n) // 3))
    return f"{n / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def duration(seconds: float) -> str:
    """Seconds, in a unit that fits."""
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 3600 else f"{seconds / 3600:.2g} h"


def tables() -> str:
    """Both tables, in Markdown."""
    return "\n".join([*of_models(), "", *of_disk()])


if __name__ == "__main__":
    print(tables())  # noqa: T201
