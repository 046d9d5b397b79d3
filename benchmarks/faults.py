"""A campaign of faults: damage to every file of a study, edits of every manifest, kills at random moments, races.

    python benchmarks/faults.py [--kills 40] [--out benchmarks/results/faults.json]

Each fault ends in one of these. Only the first two are right:

| outcome | what it means |
|---|---|
| refused by name | an error of ours, or a finding of `vitrail verify`, that names what is wrong |
| same result | the result is what it would have been without the fault |
| silently different | another result, and not a word |
| traceback | an exception that is none of ours, or a traceback at the command line |
| fault of ours | the command line blames itself |
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vitrail.activations import ExtractionOptions
from vitrail.artifacts import verify
from vitrail.errors import VitrailError
from vitrail.extraction import extract_as
from vitrail.lmm import load
from vitrail.runs.report import report
from vitrail.runs.study import study
from vitrail.samples import load_samples
from vitrail.studies import open_study
from vitrail.toyland.dataset import write_dataset

OUTCOMES = ("refused by name", "same result", "silently different", "traceback", "fault of ours")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
Tally = dict[str, Counter[str]]


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def faults_of(path: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    for place in (0.0, 0.3, 0.5, 0.9, 1.0):
        yield f"flip at {place}", lambda place=place: flip(path, place)
    for keep in (0.0, 0.5, 0.99):
        yield f"cut to {keep}", lambda keep=keep: path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    yield "missing", path.unlink


def digest(folder: Path) -> str:
    """A hash of all that a study says: states, concepts, activations, words, explanations, factors."""
    found = open_study(folder)
    a, c = found.activations, found.concepts
    parts = [repr(a.rows), repr(found.grounding.concepts), repr(found.explanations), repr(found.factors), str(c.scores)]
    parts += [a.states(layer).tobytes().hex() for layer in a.layers] + [c.U.tobytes().hex(), c.V.tobytes().hex()]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def outcome(run: Callable[[], str], expected: str, names: tuple[str, ...]) -> str:
    try:
        found = run()
    except VitrailError as error:
        return "refused by name" if any(name in str(error) for name in names) else "traceback"
    except Exception:
        return "traceback"
    return "same result" if found == expected else "silently different"


def damage(made: Path, tally: Tally) -> None:
    """Every file of a study × every fault × opening it, reporting it, verifying it."""
    expected = digest(made)
    page = Path(tempfile.mkdtemp()) / "page.html"
    shown = report(made, out=page).read_bytes().hex()
    for file in sorted(p.relative_to(made) for p in made.rglob("*") if p.is_file()):
        for what, fault in faults_of(made / file):
            whole = (made / file).read_bytes()
            fault()
            if (made / file).exists() and (made / file).read_bytes() == whole:
                continue
            names = (file.name, file.parts[0])
            tally["damage, then open"][outcome(lambda: digest(made), expected, names)] += 1
            tally["damage, then report"][outcome(lambda: report(made, out=page).read_bytes().hex(), shown, names)] += 1
            seen = any(c.condition not in ("whole",) for c in verify(made))
            beside = (made / file).with_name("manifest.json").exists()
            alone = what == "missing" and not beside  # a page or a summary, from which nothing is made
            tally["damage, then verify"][
                "refused by name" if seen else "same result" if alone else "silently different"
            ] += 1
            (made / file).write_bytes(whole)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def edits(made: Path, tally: Tally, most: int) -> None:
    """Values of every manifest changed, one at a time, without a new digest."""
    expected, chosen = digest(made), random.Random(0)
    for manifest in sorted(made.rglob("manifest.json")):
        text = manifest.read_text()
        everywhere = [*places(json.loads(text))]
        for path in chosen.sample(everywhere, min(most, len(everywhere))):
            for new in (0.99, None, "x"):
                values = json.loads(text)
                inside = values
                for key in path[:-1]:
                    inside = inside[key]
                if inside[path[-1]] == new:
                    continue
                inside[path[-1]] = new
                manifest.write_text(json.dumps(values))
                tally["edited manifest, then open"][outcome(lambda: digest(made), expected, ("manifest.json",))] += 1
        manifest.write_text(text)


def again(made: Path, lmm: Any, samples: Any, tally: Tally) -> None:
    """Every file of finished activations damaged, then the same extraction run again."""
    folder = made / "activations"

    def run() -> str:
        options = ExtractionOptions((-1,), require="truth", shard_size=4)
        extract_as(lmm, samples, "dog", options, out=folder)
        return "".join(hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("part-*")))

    expected = run()
    for file in sorted(folder.iterdir()):
        for _what, fault in faults_of(file):
            whole = {p: p.read_bytes() for p in folder.iterdir()}
            fault()
            tally["damage, then extract again"][outcome(run, expected, (file.name, "activations"))] += 1
            for p, data in whole.items():
                p.write_bytes(data)


def call(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vitrail", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


def ended(process: subprocess.Popen[str], right: Callable[[int, str], bool]) -> str:
    _, err = process.communicate(timeout=600)
    if "Traceback" in err or "Exception ignored" in err:
        return "traceback"
    if "fault of ours" in err:
        return "fault of ours"
    return "refused by name" if right(process.returncode, err) else "silently different"


def kills(data: Path, n: int, tally: Tally) -> None:
    """Commands stopped at random moments, then run to their end: the result is that of an undisturbed run."""
    chosen = random.Random(1)
    home = Path(tempfile.mkdtemp())
    common = ["--data", data, "--split", "train", "--limit", 60]
    lines = {
        "extract": ["extract", "--word", "dog", "--require", "truth", "--batch-size", 2],
        "study": ["study", "--word", "dog", "--require", "truth", "--concepts", 2],
        "finetune": ["finetune", "--words", "dog", "--steps", 12, "--batch-size", 2, "--checkpoints", 3],
    }

    def contents(folder: Path) -> dict[str, bytes]:
        files = (p for p in folder.rglob("*") if p.is_file() and p.name != "summary.json")
        return {str(p.relative_to(folder)): p.read_bytes() for p in files}

    wholes = {}
    for name, line in lines.items():
        start = time.monotonic()
        call(*line, *common, "--out", home / name).communicate()
        wholes[name] = contents(home / name), time.monotonic() - start
    for i in range(n):
        name = [*lines][i % len(lines)]
        whole, seconds = wholes[name]
        out, number = home / f"{name}-{i}", SIGNALS[chosen.randrange(3)]
        process = call(*lines[name], *common, "--out", out)
        time.sleep(0.3 + chosen.random() * seconds)
        process.send_signal(number)
        codes = {0, -number if number == signal.SIGKILL else 128 + number}
        kind = "killed" if number == signal.SIGKILL else "stopped"
        tally[kind][ended(process, lambda code, _err, codes=codes: code in codes)] += 1
        call(*lines[name], *common, "--out", out).communicate()
        tally[f"{kind}, then run again"]["same result" if contents(out) == whole else "silently different"] += 1


def races(data: Path, n: int, tally: Tally) -> None:
    """Two words extracted into one folder at a time: one of the two is refused."""
    for i in range(n):
        out = Path(tempfile.mkdtemp()) / f"r{i}"
        line = ["extract", "--require", "truth", "--data", data, "--split", "train", "--out", out, "--word"]
        both = [call(*line, word) for word in ("dog", "cat")]
        said = [p.communicate() for p in both]
        codes = sorted(p.returncode for p in both)
        bad = any("Traceback" in err for _, err in said)
        tally["two writers"][
            "traceback" if bad else "refused by name" if codes == [0, 1] else "silently different"
        ] += 1


def write(tally: Tally, out: Path) -> dict[str, dict[str, int]]:
    """Writes what is known so far."""
    rows = {what: {name: count[name] for name in OUTCOMES} for what, count in sorted(tally.items())}
    out.write_text(json.dumps(rows, indent=2) + "\n")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--races", type=int, default=6)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "faults.json")
    options = parser.parse_args()
    tally: Tally = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stderr(open(os.devnull, "w")):
        world = write_dataset(Path(home) / "world", 200, seed=3)
        lmm, samples = load("toyland", device="cpu"), load_samples(world, split="train")
        made = Path(home) / "study"
        extraction = ExtractionOptions((-1,), require="truth", shard_size=4)
        study(lmm, samples, "dog", out=made, extraction=extraction, n_concepts=2, progress=False)
        damage(made, tally)
        write(tally, options.out)
        edits(made, tally, options.edits)
        write(tally, options.out)
        apart = Path(home) / "apart"
        extract_as(lmm, samples, "dog", extraction, out=apart / "activations")
        again(apart, lmm, samples, tally)
        write(tally, options.out)
        races(world / "dataset_coco.json", options.races, tally)
        write(tally, options.out)
        kills(world / "dataset_coco.json", options.kills, tally)
    rows = write(tally, options.out)
    print("| fault | tried | " + " | ".join(OUTCOMES) + " |\n|---|" + "---|" * (len(OUTCOMES) + 1))
    for what, row in rows.items():
        print(f"| {what} | {sum(row.values())} | " + " | ".join(str(row[name]) for name in OUTCOMES) + " |")


if __name__ == "__main__":
    main()
