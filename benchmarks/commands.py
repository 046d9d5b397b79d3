"""How long every command of the documentation takes, as it stands there.

    python -m benchmarks.commands [PAGE …]

Page by page, each in an empty folder, from top to bottom, as `tests/test_snippets.py` runs them, but whole and each
command in a process of its own: so the start of Python is in each figure. What goes on until it is stopped, and what
needs a model or data that are not here, is left out. Python blocks run here, one after the other.

Writes benchmarks/results/commands.json: page, command and seconds, the slowest first. With pages named, those of the
others stay.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from tests.test_snippets import BLOCKS, ENDLESS, RUNNING, Block, commands

from vitrail.artifacts import versions, write_json

HOME = Path(__file__).resolve().parent
RESULT = HOME / "results" / "commands.json"
#: The exit status of `monitor status` while an alarm stands.
ALARM = 3


def run(words: list[str]) -> None:
    """One command."""
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
    if done.returncode not in (0, ALARM if words[1:3] == ["monitor", "status"] else 0):
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}: {done.stderr[-400:]}")


def of_block(block: Block, space: dict[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What a block does, one thing after the other."""
    if block.language == "python":
        yield f"Python, line {block.line}", lambda: exec(compile(block.text, str(block), "exec"), space)
        return
    for words in commands(block):
        if words[0] == "vitrail" and words[1] not in ENDLESS:
            yield shlex.join(words), partial(run, words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    found = []
    for page in args.pages or RUNNING:
        space: dict[str, Any] = {"__name__": "page"}
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            for block in (block for block in BLOCKS if block.page == page and block.runs):
                for what, do in of_block(block, space):
                    start = time.perf_counter()
                    with redirect_stdout(io.StringIO()):
                        do()
                    found.append({"page": page, "command": what, "seconds": round(time.perf_counter() - start, 2)})
                    print(f"{found[-1]['seconds']:8.1f} s  {page}: {what[:90]}", flush=True)
            os.chdir(HOME)
    others = json.loads(args.out.read_text())["commands"] if args.pages and args.out.is_file() else []
    found += [one for one in others if one["page"] not in args.pages]
    found.sort(key=lambda one: -one["seconds"])
    machine = {"cpus": os.cpu_count(), "platform": platform.platform()}
    write_json(args.out, {"machine": machine | versions(), "commands": found})


if __name__ == "__main__":
    main()
