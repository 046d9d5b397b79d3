"""Every snippet on our pages runs as it stands: page by page, from top to bottom, each page in an empty folder.

A block is Python (```python) or commands (```sh). One whose first line ends in ": checked, not run" needs what is not
here (a model of a hub, a data set) or is a sketch: its options, arguments and names are checked instead.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

import vitrail
from vitrail.cli import app
from vitrail.steering import METHODS

ROOT = Path(__file__).parent.parent
GENERATED = {"api.md", "cli.md", "families.md", "architecture.md", "python.md"}
#: Pages whose commands are run by tests of their own (`test_pages.py`), which also hold what they do.
OWN_TEST = {"docs/steering.md"}
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]
FENCE = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"# \S.*: checked, not run")
#: What is added to a command of a page, or said otherwise, so that the test takes seconds; all else is as it stands.
SMALLER = {
    "finetune": ["--steps", "4"],
    "compare": ["--whole", "8"],
    "evaluate": ["--no-noise", "--random", "20"],
    "lens": ["--limit", "20"],
}

#: Commands that go on until they are stopped: they are checked, and tested elsewhere.
ENDLESS = {"serve"}


@dataclass(frozen=True)
class Block:
    """A snippet: where it stands, its language, its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def runs(self) -> bool:
        return MARK.fullmatch(self.text.split("\n", 1)[0]) is None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str, text: str | None = None) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8") if text is None else text
    return [Block(page, text.count("\n", 0, m.start()) + 2, m[1], m[2]) for m in FENCE.finditer(text)]


def commands(block: Block) -> list[list[str]]:
    """The words of each command; comments are left out, and lines that end in a backslash go on."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUNNING = [page for page in PAGES if any(b.runs for b in BLOCKS if b.page == page)]


# ---- run -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", RUNNING)
def test_the_snippets_of_a_page_run_one_after_the_other(page, toyland_cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRAIL_CACHE", str(toyland_cache))
    monkeypatch.setattr("vitrail.steering.methods.registry.METHODS", METHODS)
    known = dict(METHODS)
    space: dict[str, Any] = {"__name__": "page"}
    try:
        for block in (b for b in BLOCKS if b.page == page and b.runs):
            if block.language == "python":
                exec(compile(block.text, str(block), "exec"), space)
            elif page in OWN_TEST:
                continue
            for words in commands(block) if block.language == "sh" else ():
                check(words, block)
                run(words, block, monkeypatch, capsys)
            missing = [out for out in made_by(block) if not Path(out).exists()]
            assert not missing, f"{block} does not write {missing}"
    finally:
        METHODS.clear()
        METHODS.update(known)


def run(words: list[str], block: Block, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs a command of ours; others, which set things up, are checked alone."""
    if words[0] != "vitrail" or words[1] in ENDLESS:
        return
    monkeypatch.setattr(sys, "argv", [*words, *SMALLER.get(words[1], ())])  # the last of two counts
    code: Any = 0
    try:
        vitrail.cli.main()
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert not code, f"{block}: {' '.join(words)}\n{err}"
    assert out.strip(), f"{block}: {' '.join(words)} says nothing"


def made_by(block: Block) -> list[str]:
    """The folders and files that a block says it writes."""
    if block.language == "sh":
        runs = [words for words in commands(block) if "--plan" not in words]
        return [words[i + 1] for words in runs for i, w in enumerate(words) if w in ("--out", "--gallery")]
    return re.findall(r"\bout=\"([^\"]+)\"", block.text)


# ---- checked ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [b for b in BLOCKS if not b.runs or b.page in OWN_TEST], ids=str)
def test_what_is_not_run_names_options_arguments_and_names_that_exist(block):
    if block.language == "sh":
        for words in commands(block):
            check(words, block)
    else:
        assert list(wrong_names(block.text)) == []


def check(words: list[str], block: Block) -> None:
    """Fails if a command cannot be typed: its program, its target, its options or their values."""
    match words:
        case ["vitrail", *rest]:
            parse(rest)
        case ["srun", *rest] if "vitrail" in rest:
            check(rest[rest.index("vitrail") :], block)
        case ["make", target, *_]:
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert target in targets, f"{block}: there is no `make {target}`"
        case ["pip", "install", *packages]:
            assert any(extras_exist(p) for p in packages), f"{block}: {words}"
        case ["git", "clone", *_] | ["cd", *_] | ["open", *_]:
            pass
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), f"{block}: there is no {module}"
        case ["python", script, *_]:
            assert (ROOT / script).is_file(), f"{block}: there is no {script}"
        case _:
            pytest.fail(f"{block}: what is {' '.join(words)}?")


def parse(words: list[str]) -> None:
    """Parses a command as the command line does, without running it."""
    command, context = typer.main.get_command(app), None
    rest = list(words)
    while True:
        names = [rest[0]] if rest and hasattr(command, "commands") else []
        shown = "--help" in rest[: len(names) + 1]
        if not names or shown:
            break
        context = command.make_context(names[0], [], parent=context, resilient_parsing=True)
        command = command.commands[rest.pop(0)]
    if "--help" not in rest:
        command.make_context(command.name, rest, parent=context)


def extras_exist(package: str) -> bool:
    """Whether this is our package, with extras that it has."""
    found = re.fullmatch(r"vitrail(?:\[([\w,-]+)\])?", package)
    extras = importlib.metadata.metadata("vitrail").get_all("Provides-Extra") or []
    return package == "." or (found is not None and set(filter(None, (found[1] or "").split(","))) <= {*extras})


def wrong_names(code: str) -> Iterator[str]:
    """What Python code imports, names or passes by keyword that `vitrail` does not have."""
    tree = ast.parse(code)
    known: dict[str, Any] = {"vitrail": vitrail}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "vitrail":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if hasattr(module, alias.name):
                    known[alias.asname or alias.name] = getattr(module, alias.name)
                else:
                    yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and resolve(node.value, known) is not None:
            owner = resolve(node.value, known)
            if inspect.ismodule(owner) and not hasattr(owner, node.attr):
                yield ast.unparse(node)
        if isinstance(node, ast.Call) and callable(called := resolve(node.func, known)):
            try:
                inspect.signature(called).bind_partial(**{str(k.arg): None for k in node.keywords})
            except TypeError as error:
                yield f"{ast.unparse(node)}: {error}"


def resolve(node: ast.expr, known: dict[str, Any]) -> Any:
    """What a dotted name stands for, if it begins with a name that is known; None for anything else."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(resolve(node.value, known), node.attr, None)
    return None


# ---- the checks themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [p for p in PAGES if Path(p).name not in GENERATED])
def test_no_command_or_python_stands_outside_a_block_that_is_tested(page):
    outside = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    assert re.findall(r"^ {4}(?:vitrail|make|pip|python|import|from) .*", outside, re.MULTILINE) == []
    assert set(re.findall(r"^```(\w*)$", outside, re.MULTILINE)) <= {"text", ""}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("vitrail studdy --word dog", "studdy"),
        ("vitrail study --wrod dog", "wrod"),
        ("vitrail study --word dog --out x --concepts many", "got 'many'"),
        ("make dmo", "dmo"),
        ("pip install 'vitrail[pft]'", "pft"),
        ("python -m tools.toyland.tran", "tran"),
        ("rm -rf studies", "what is"),
    ],
)
def test_a_command_that_cannot_be_typed_is_found(command, says):
    with pytest.raises((Exception, pytest.fail.Exception), match=says):
        check(shlex.split(command), Block("a page", 1, "sh", command))


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("import vitrail\nvitrail.lode('toyland')", "vitrail.lode"),
        ("import vitrail\nvitrail.load('toyland', devise='cpu')", "devise"),
        ("from vitrail.lmm import loud", "vitrail.lmm.loud"),
        ("import vitrail\nvitrail.load('toyland', device='cpu').caption([])", ""),
    ],
)
def test_python_that_names_what_does_not_exist_is_found(code, wrong):
    found = list(wrong_names(code))
    assert bool(found) == bool(wrong)
    assert wrong in "".join(found)


def test_a_mark_is_seen_on_the_page_and_says_what_is_needed():
    page = "```sh\n# needs COCO: checked, not run\nvitrail words --data coco\n```\n\n```python\nx = 1\n```\n"
    marked, plain = blocks_of("a page", page)
    assert (marked.runs, marked.line, plain.runs, plain.line) == (False, 2, True, 7)
