"""A campaign of faults: damage to every file of a study before every later stage, edits of every manifest, bad input to
every command, kills at random moments, races.

    python -m benchmarks.faults [--kills 40] [--out benchmarks/results/faults.json]
    python -m benchmarks.faults --quick       # a tenth of it, in minutes

Each fault ends in one of these. Only the first two are right:

| outcome | what it means |
|---|---|
| refused by name | an error of ours, or a finding of `vitrail verify`, that names what is wrong |
| same result | the result is what it would have been without the fault |
| silently different | another result, and not a word |
| traceback | an exception that is none of ours, or a traceback at the command line |
| fault of ours | the command line blames itself |
| unnamed | an error that does not say which file it is about |
| read as edited | another result, of what was edited and sealed anew, which no digest can tell |
| waits | no end after a minute |
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import pickle
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.artifacts import EDITS, READERS, edited, places, write_again
from PIL import Image

from benchmarks import artifacts
from vitrail import cli
from vitrail.activations import ExtractionOptions
from vitrail.artifacts import file_hash, verify
from vitrail.comparison import ComparisonOptions
from vitrail.errors import VitrailError
from vitrail.evaluation import EvaluationOptions
from vitrail.extraction import extract_as
from vitrail.finetuning import FineTuneOptions, finetune
from vitrail.lmm import load
from vitrail.runs.compare import compare
from vitrail.runs.evaluate import evaluate
from vitrail.runs.report import report
from vitrail.runs.study import study
from vitrail.samples import load_samples
from vitrail.samples.examples import captions_about
from vitrail.studies import open_study, same_study
from vitrail.toyland.dataset import write_dataset

OUTCOMES = (
    *("refused by name", "same result", "silently different", "traceback"),
    *("fault of ours", "unnamed", "waits", "read as edited"),
)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
Tally = dict[str, Counter[str]]
#: The models of studies, by the adapters on them.
Models = dict[str | None, Any]
ADAPTER = "toyland:colour"


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
        return "refused by name" if any(name in str(error) for name in names) else "unnamed"
    except Exception:
        return "traceback"
    return "same result" if found == expected else "silently different"


def stands_alone(path: Path) -> bool:
    """Whether a file is a page, a table or a summary, which no manifest names, and from which nothing is made."""
    return path.suffix in (".html", ".md") or not path.with_name("manifest.json").exists()


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
            alone = what == "missing" and stands_alone(made / file)
            tally["damage, then verify"][
                "refused by name" if seen else "same result" if alone else "silently different"
            ] += 1
            (made / file).write_bytes(whole)


class Endless(BaseException):
    """A command that has not ended after a minute."""


@contextlib.contextmanager
def in_a_minute() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Endless

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def said(models: Models, *arguments: Any) -> tuple[int, str, str]:
    """What a command says in this process, with models that are loaded already: exit code, stdout, stderr."""
    out, err, code = io.StringIO(), io.StringIO(), 0

    def of_study(_choice: Any, activations: Any) -> Any:
        return models[activations.model.adapter]

    with (
        mock.patch.object(sys, "argv", ["vitrail", *map(str, arguments)]),
        mock.patch("vitrail.cli.watch", return_value=lambda: None),
        mock.patch("vitrail.cli.choices.StudyModel.load", of_study),
        mock.patch("vitrail.cli.choices.ModelChoice.load", return_value=models[None]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        in_a_minute(),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception:  # click ends its own way
            err.write(f"\nTraceback\n{traceback.format_exc()}")
    return code, out.getvalue(), err.getvalue()


def of_command(models: Models, names: Iterable[str], expected: str | None, *arguments: Any) -> str:
    """The outcome of a command: `expected` is what it writes to stdout where nothing is wrong; None if it must fail."""
    try:
        code, out, err = said(models, *arguments)
    except Endless:
        return "waits"
    flat = "".join(character for character in out + err if not character.isspace() and character not in "│╭╮╰╯─")
    if "Traceback" in flat:
        return "traceback"
    if "faultofours" in flat:
        return "fault of ours"
    if code in (0, 3):
        return "same result" if out == expected else "silently different"
    return "refused by name" if any(name in flat for name in names) else "unnamed"


def contents_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def restore(folder: Path, whole: dict[Path, bytes]) -> None:
    for path in [p for p in folder.rglob("*") if p.is_file() and p not in whole]:
        path.unlink()
    for path, data in whole.items():
        path.write_bytes(data)


@dataclass(frozen=True)
class Line:
    """A command that reads an artifact: the artifact's folder, what is typed, and what it writes elsewhere."""

    folder: Path
    typed: list[Any]
    out: Path | None = None


def lines(made: Path, later: Path, data: Path, image: Path) -> dict[str, Line]:
    """The commands whose input is damaged, by name: those that read a study, and those that read what comes after.

    Those that write to what is damaged make it again."""
    out, after = made.parent / "out", made.parent / "after"
    some = ["--data", data, "--split", "train"]
    return {
        "learn": Line(made, ["learn", made, "--concepts", 2, "--json"]),
        "ground": Line(made, ["ground", made, "--json"]),
        "explain": Line(made, ["explain", made, image, "--json"]),
        "steer make": Line(made, ["steer", "make", "--study", made, "--to", 0, "--out", out, "--json"], out),
        "steer make --shift": Line(
            later / "comparison",
            ["steer", "make", "--study", made, "--to", 0, "--shift", later / "comparison", "--out", out, "--json"],
            out,
        ),
        "compare": Line(
            later / "comparison",
            ["compare", "--a", made, "--b", after, "--out", later / "comparison", "--words", 4, "--json"],
        ),
        "evaluate": Line(
            made / "evaluation", ["evaluate", made, "--data", data.parent, "--no-noise", "--random", 4, "--json"]
        ),
        "evaluate, of embeddings": Line(
            made / "embeddings", ["evaluate", made, "--data", data.parent, "--no-noise", "--random", 4, "--json"]
        ),
        "learn a word of many": Line(
            later / "many", ["learn", later / "many", "--word", "cat", "--concepts", 2, "--stability", 1, "--json"]
        ),
        "share": Line(
            later / "many", ["share", later / "many", "--concepts", 2, "--stability", 0, "--out", out, "--json"], out
        ),
        "extract --said": Line(
            later / "texts",
            ["extract", "--word", "dog", *some, "--limit", 60, "--said", later / "texts", "--out", out, "--json"],
            out,
        ),
        "steer apply": Line(
            later / "vectors", ["steer", "apply", later / "vectors", *some, "--limit", 2, "--task", "colour", "--json"]
        ),
        "monitor status": Line(later / "watch", ["monitor", "status", later / "watch", "--json"]),
        "monitor check": Line(
            later / "reference",
            ["monitor", "check", later / "observed", "--reference", later / "reference", "--out", out, "--json"],
            out,
        ),
        "monitor merge": Line(
            later / "watch", ["monitor", "merge", later / "watch", "--out", out / "all.parquet", "--json"], out
        ),
    }


def stages(lines: dict[str, Line], models: Models, tally: Tally, share: float) -> None:
    """Every file of an artifact damaged × every command that reads it."""
    chosen = random.Random(2)
    for name, line in lines.items():
        whole = contents_of(line.folder)
        if line.out is not None:  # what the command before wrote there
            shutil.rmtree(line.out, ignore_errors=True)
        code, expected, err = said(models, *line.typed)
        assert code in (0, 3), (name, err)  # 3: an alarm stands
        restore(line.folder, whole)
        for path in sorted(whole):
            for what, fault in faults_of(path):
                if line.out is not None:
                    shutil.rmtree(line.out, ignore_errors=True)
                if chosen.random() >= share or (what == "missing" and path.parent == line.folder):
                    continue
                fault()
                file = path.relative_to(line.folder)
                found = of_command(models, (file.name, file.parts[0]), expected, *line.typed)
                tally[f"damage, then {name}"][found] += 1
                if found not in OUTCOMES[:2]:
                    print(found, name, file, what, file=sys.__stderr__)
                restore(line.folder, whole)


def later_kinds(later: Path, tally: Tally, share: float) -> None:
    """Every file of the artifacts that come after a study damaged, then read and verified; and every name in their JSON
    taken away or given a value of another type, and sealed anew, then read."""
    chosen = random.Random(4)
    for name, read in READERS.items():
        folder = later / name
        whole, expected = contents_of(folder), read(folder)
        restore(folder, whole)
        hashes = {path: file_hash(path) for path in whole if path.suffix == ".json"}
        for path, data in sorted(whole.items()):
            where = path.relative_to(folder)
            names = (where.name, where.parts[0], where.stem)
            for what, fault in faults_of(path):
                fault()
                seen = any(c.condition != "whole" for c in verify(folder))
                alone = what == "missing" and stands_alone(path)
                found = "refused by name" if seen else "same result" if alone else "silently different"
                _count(tally, "damage of later kinds, then verify", found, name, where, what)
                found = outcome(lambda: read(folder), expected, names)  # noqa: B023 – called at once
                _count(tally, "damage of later kinds, then read", found, name, where, what)
                restore(folder, whole)
            for place in places(json.loads(data)) if path in hashes else ():
                for how in EDITS:
                    if chosen.random() < share:
                        write_again(path, edited(json.loads(data), place, how), hashes)
                        found = outcome(lambda: read(folder), expected, names)  # noqa: B023
                        found = "read as edited" if found == "silently different" else found
                        _count(tally, "edited and sealed anew, then read", found, name, where, place, how)
                        restore(folder, whole)


def _count(tally: Tally, what: str, found: str, *where: Any) -> None:
    tally[what][found] += 1
    if found not in (*OUTCOMES[:2], OUTCOMES[-1]):
        print(found, what, *where, file=sys.__stderr__)


# ---- bad input -------------------------------------------------------------------------------------------------------

#: The name of a file that no command can use → what makes it.
BAD: dict[str, Callable[[Path], Any]] = {
    "empty.jsonl": lambda p: p.write_bytes(b""),
    "blank.json": lambda p: p.write_text("  \n"),
    "deep.json": lambda p: p.write_text("[" * 100_000),
    "digits.json": lambda p: p.write_text('{"images": [' + "9" * 5000 + "]}"),
    "twice.jsonl": lambda p: p.write_text('{"image": "a.png", "image": "b.png", "caption": "a dog"}\n'),
    "latin.jsonl": lambda p: p.write_bytes('{"image": "é.png", "caption": "a dog"}'.encode("latin-1")),
    "nan.json": lambda p: p.write_text('{"images": [NaN]}'),
    "html.json": lambda p: p.write_text("<html><body>404</body></html>"),
    "list.jsonl": lambda p: p.write_text("[1, 2]\n"),
    "nul.csv": lambda p: p.write_bytes(b"image,caption\n\x00\x00,a dog\n"),
    "short.csv": lambda p: p.write_text("image,caption\na.png\n"),
    "half.parquet": lambda p: p.write_bytes(b"PAR1" + bytes(range(256))),
    "none.tar": lambda p: p.write_bytes(b"no tar at all" * 100),
    "surrogate.jsonl": lambda p: p.write_text('{"image": "a.png", "caption": "a dog \\ud800"}\n'),
    "gone.jsonl": lambda p: p.write_text('{"image": "gone.png", "caption": "a red dog"}\n'),
    "thin.jsonl": lambda p: [
        Image.new("1", (1, 100_000)).save(p.with_suffix(".png")),
        p.write_text('{"image": "thin.png", "caption": "a red dog"}\n'),
    ],
    "fifo.jsonl": os.mkfifo,
    "folder.jsonl": lambda p: p.mkdir(),
    "dangling.jsonl": lambda p: p.symlink_to("nowhere"),
    "device.jsonl": lambda p: p.symlink_to("/dev/zero"),
    "pickle.pth": lambda p: p.write_bytes(pickle.dumps(os.system)),
    "missing.json": lambda p: None,
}


def bad_input(made: Path, image: Path, models: Models, tally: Tally, share: float) -> None:
    """Every bad file × every place of the command line where a file is named."""
    home, chosen = Path(tempfile.mkdtemp()), random.Random(3)
    out = home / "out"
    takers: dict[str, Callable[[Path], list[Any]]] = {
        "words --data": lambda p: ["words", "--data", p],
        "extract --data": lambda p: ["extract", "--word", "dog", "--require", "truth", "--data", p, "--out", out],
        "study --data": lambda p: ["study", "--word", "dog", "--concepts", 1, "--data", p, "--out", out],
        "finetune --data": lambda p: ["finetune", "--words", "dog", "--data", p, "--out", out],
        "evaluate --data": lambda p: ["evaluate", made, "--data", p],
        "steer make --data": lambda p: ["steer", "make", "--task", "colour", "--data", p, "--out", out],
        "extract --ids": lambda p: ["extract", "--word", "dog", "--ids", p, "--out", out],
        "explain image": lambda p: ["explain", made, p],
        "report": lambda p: ["report", p],
        "learn": lambda p: ["learn", p],
        "verify": lambda p: ["verify", p],
        "compare --a": lambda p: ["compare", "--a", p, "--b", made, "--out", out],
        "steer apply": lambda p: ["steer", "apply", p, "--task", "colour", "--strength", 1],
        "steer make --tensor": lambda p: ["steer", "make", "--tensor", p, "--layers", 4, "--out", out],
        "import": lambda p: ["import", p, "--out", out, "--word", "dog", "--model", "toyland"],
    }
    captions_alone = ("gone.jsonl", "thin.jsonl", "nul.csv")  # that is all that `words` reads
    fine = {("verify", "folder.jsonl"), *(("words --data", name) for name in captions_alone)}
    for name, make in BAD.items():
        for taker, command in takers.items():
            if chosen.random() >= share or (taker, name) in fine:
                continue
            folder = home / taker.replace(" ", "-") / name.partition(".")[0]
            folder.mkdir(parents=True)
            make(folder / name)
            found = of_command(models, (name, name.partition(".")[0]), None, *command(folder / name))
            tally["bad input"][found] += 1
            if found not in OUTCOMES[:2]:
                print(found, taker, name, file=sys.__stderr__)
            shutil.rmtree(out, ignore_errors=True)


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


def code_of(number: signal.Signals) -> int:
    """The exit code of a command that was stopped by a signal."""
    return -number if number == signal.SIGKILL else 128 + number


def stopped_viewer(folder: Path, number: signal.Signals, after: float) -> str:
    """How the viewer of a folder ends some seconds after its start, if it answers then with connections that are open:
    within two seconds, and the connections with it."""
    process = call("serve", folder, "--port", 0)
    ends = time.monotonic() + 0.3 + after
    assert process.stdout is not None
    told = process.stdout.readline() if select.select([process.stdout], [], [], 0.3 + after)[0] else ""
    found = re.search(r":(\d+)/", told)
    asked = (b"", b"GET /api/library HT", b"GET /api/library HTTP/1.1\r\nHost: localhost\r\n\r\n")
    opened = [socket.create_connection(("127.0.0.1", int(found[1])), timeout=10) for _ in asked] if found else []
    for connection, text in zip(opened, asked, strict=False):
        connection.sendall(text)
    time.sleep(max(ends - time.monotonic(), 0))
    process.send_signal(number)
    begun = time.monotonic()
    outcome = ended(process, lambda code, _err: code == code_of(number) and time.monotonic() - begun < 2)
    closed = [_is_closed(connection) for connection in opened]
    return outcome if all(closed) else "silently different"


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other end closes a connection, after what it still sends."""
    with connection, contextlib.suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return True


def kills(data: Path, n: int, tally: Tally) -> None:
    """Commands stopped at random moments, then run to their end: the result is that of an undisturbed run."""
    chosen = random.Random(1)
    home = Path(tempfile.mkdtemp())
    common = ["--data", data, "--split", "train", "--limit", 60]
    lines = {
        "say": ["say", "--batch-size", 2],
        "extract": ["extract", "--word", "dog", "--require", "truth", "--batch-size", 2],
        "study": ["study", "--word", "dog", "--require", "truth", "--concepts", 2],
        "finetune": ["finetune", "--words", "dog", "--steps", 12, "--batch-size", 2, "--checkpoints", 3],
        "search": ["steer", "search", home / "steering", "--task", "colour", "--strengths", "0.5,1", "--batch-size", 4],
    }
    call("steer", "make", "--task", "colour", *common, "--layers", "4,8", "--out", home / "steering").communicate()

    def contents(folder: Path) -> dict[str, bytes]:
        files = (p for p in folder.rglob("*") if p.is_file() and p.name != "summary.json")
        return {str(p.relative_to(folder)): p.read_bytes() for p in files}

    wholes = {}
    for name, line in lines.items():
        start = time.monotonic()
        call(*line, *common, "--out", home / name).communicate()
        wholes[name] = contents(home / name), time.monotonic() - start
    for i in range(n):
        number = SIGNALS[chosen.randrange(3)]
        kind = "killed" if number == signal.SIGKILL else "stopped"
        name = [*lines, "serve"][i % (len(lines) + 1)]
        if name == "serve":
            tally[kind][stopped_viewer(home / "study", number, 3 * chosen.random())] += 1
            continue
        whole, seconds = wholes[name]
        out = home / f"{name}-{i}"
        process = call(*lines[name], *common, "--out", out)
        time.sleep(0.3 + chosen.random() * seconds)
        process.send_signal(number)
        codes = {0, code_of(number)}
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


#: Parts of the campaign that run processes of their own: they run beside the others, on another core.
BESIDE = ("races", "kills")
PARTS = ("damage", "edits", "again", "later", "stages", "input", *BESIDE)


def options() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--races", type=int, default=6)
    parser.add_argument("--edits", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "faults.json")
    parser.add_argument("--share", type=float, default=1.0, help="of the faults before later stages, and of bad input")
    parser.add_argument("--only", nargs="+", default=[*PARTS], choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.kills, chosen.races, chosen.edits, chosen.share = 4, 1, 4, 0.1
    return chosen


def world(home: Path, lmm: Any) -> tuple[Path, list[Any]]:
    """Captions of 200 scenes, and their samples."""
    folder = write_dataset(home / "world", 200, seed=3)
    return folder / "dataset_coco.json", load_samples(folder, split="train")


def reading(home: Path, data: Path, samples: list[Any], lmm: Any, asked: argparse.Namespace, tally: Tally) -> None:
    """The parts of the campaign that run in this process."""
    made, later, apart = home / "study", home / "later", home / "apart"
    models: Models = {None: lmm, ADAPTER: load("toyland", adapter=ADAPTER, device="cpu")}
    extraction = ExtractionOptions((-1,), require="truth", shard_size=4)
    opened = study(lmm, samples, "dog", out=made, extraction=extraction, n_concepts=2, progress=False)
    dogs = (s for s in samples if any("dog" in text.split() for text in s.said))
    image = next(s.image for s in dogs if "dog" in lmm.caption([s.open()])[0].split())
    extract_as(lmm, samples, "dog", extraction, out=apart / "activations")
    artifacts.make(later, lmm, samples, opened)
    shutil.copytree(made, later / "study")
    after = same_study(opened, models[ADAPTER], samples, out=home / "after")
    compare(
        opened,
        after,
        lmm,
        models[ADAPTER],
        out=later / "comparison",
        options=ComparisonOptions(n_words=4),
        progress=False,
    )
    evaluate(opened, lmm, data.parent, options=EvaluationOptions(noise=False, n_random=4), progress=False)
    shutil.copytree(made / "evaluation", later / "evaluation")
    examples = captions_about(samples[:40], ["dog", "cat"])
    tuned = FineTuneOptions(steps=2, batch_size=2, checkpoints=1, rank=1)
    finetune(lmm, examples, tuned, out=later / "finetune", progress=False)
    parts: dict[str, Callable[[], None]] = {
        "damage": lambda: damage(made, tally),
        "edits": lambda: edits(made, tally, asked.edits),
        "again": lambda: again(apart, lmm, samples, tally),
        "later": lambda: later_kinds(later, tally, asked.share),
        "stages": lambda: stages(lines(made, later, data, image), models, tally, asked.share),
        "input": lambda: bad_input(made, image, models, tally, asked.share),
    }
    for name in (name for name in asked.only if name in parts):
        start = time.monotonic()
        parts[name]()
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.__stderr__)
        write(tally, asked.out)


def main() -> None:
    # a shell that starts this in the background has it ignored, and commands would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked, tally = options(), defaultdict(Counter)
    beside = [name for name in asked.only if name in BESIDE]
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stderr(open(os.devnull, "w")):
        home = Path(place)
        lmm = load("toyland", device="cpu")
        data, samples = world(home, lmm)
        thread_tally: Tally = defaultdict(Counter)

        def run_beside() -> None:
            for name in beside:
                start = time.monotonic()
                {"races": races, "kills": kills}[name](data, getattr(asked, name), thread_tally)
                print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.__stderr__)

        try:
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(run_beside)
                if len(beside) < len(asked.only):
                    reading(home, data, samples, lmm, asked, tally)
                waiting.result()
        finally:  # what was counted is kept, also where a part cannot go on
            rows = write(tally | thread_tally, asked.out)
    print("| fault | tried | " + " | ".join(OUTCOMES) + " |\n|---|" + "---|" * (len(OUTCOMES) + 1))
    for what, row in rows.items():
        print(f"| {what} | {sum(row.values())} | " + " | ".join(str(row[name]) for name in OUTCOMES) + " |")


if __name__ == "__main__":
    main()
