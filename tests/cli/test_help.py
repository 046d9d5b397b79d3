"""Help shows what can be typed: every example is taken by its command, and every option that is named exists."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.offered import commands, options

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "vitrail"
#: The log is of what was tried, also with other programs.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES.remove(ROOT / "docs" / "log.md")
COMMANDS = dict(commands())
#: Options of the application itself, and of other programs that our texts name.
OTHERS = {"--debug", "--version", "--help", "--install-completion", "--show-completion", "--control-vector"}
EVERY = OTHERS.union(*map(options, COMMANDS.values()))
#: Options of the scripts beside the package, which our pages name, too.
SCRIPTS = {
    option
    for folder in ("benchmarks", "tools", "docs")
    for path in (ROOT / folder).rglob("*.py")
    for option in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_its_examples(name):
    of = COMMANDS[name]
    assert of.examples
    of.callback = lambda **_: None
    for example in of.examples:
        typed = shlex.split(example)
        start = ["vitrail", *name.split()]
        assert typed[: len(start)] == start
        of.main(typed[len(start) :], standalone_mode=False)


def test_an_example_that_cannot_be_typed_would_be_found():
    of = COMMANDS["study"]
    of.callback = lambda **_: None
    for wrong in (["--word", "dog", "--out", "x", "--lambda", "3"], ["--word", "dog"], ["--word", "dog", "--out"]):
        with pytest.raises(Exception, match=r"No such option|Missing parameter|requires an argument"):
            of.main(wrong, standalone_mode=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples_and_panels(run, name):
    code, out, _ = run(*name.split(), "--help")
    assert code == 0
    assert "Example" in out
    assert all(example.split(" --")[0] in out for example in COMMANDS[name].examples)


def test_commands_are_shown_by_the_step_of_the_line(run):
    _, out, _ = run("--help")
    titles = ["In one go", "Before you start", "Step by step", "Measure and compare", "Change the model"]
    places = [out.index(f" {title} ") for title in titles]
    assert places == sorted(places)
    assert " Commands " not in out  # every command has a title


# ---- options that texts name -----------------------------------------------------------------------------------------

OPTION = re.compile(r"(?<!var\()(?<![\w`-])(--[a-z][a-z-]*[a-z])\b(?!-)|`(--[a-z][a-z-]*[a-z])\b(?!-)")


def named(text: str) -> list[str]:
    """The options that a text names."""
    return [a or b for a, b in OPTION.findall(text)]


def texts(path: Path) -> Iterator[tuple[str, str]]:
    """The texts of a module, with the line where each stands; docstrings included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield f"{path.relative_to(SOURCE)}:{node.lineno}", node.value


def typed_commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of ours that a text shows (`vitrail steer make --task …`), with the options given to each."""
    joined = text.replace("\\\n", " ")
    for name, rest in re.findall(r"\bvitrail ((?:steer )?[a-z]+)\b([^\n`;|]*)", joined):
        if name in COMMANDS:
            yield name, named(rest.split("  # ")[0])  # without the comment of a shell


def foreign(line: str) -> bool:
    """Whether a line of a page types another program's command."""
    return bool(re.search(r"(^|\s|`)(pip|pytest|make|python|git|chromium|sbatch|srun|ray|ruff|mypy)\b", line))


def test_every_option_in_the_texts_of_the_package_exists():
    wrong = [f"{where}: {o}" for p in SOURCE.rglob("*.py") for where, t in texts(p) for o in named(t) if o not in EVERY]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_option_on_a_page_exists(page):
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    known = EVERY | SCRIPTS
    wrong = [f"{page.name}:{i}: {o}" for i, line in lines for o in named(line) if o not in known and not foreign(line)]
    assert wrong == []


def test_commands_in_texts_have_the_options_that_are_given_to_them():
    shown = [(p.name, p.read_text(encoding="utf-8")) for p in PAGES]
    shown += [found for p in SOURCE.rglob("*.py") for found in texts(p)]
    given = [(where, name, o) for where, text in shown for name, found in typed_commands(text) for o in found]
    assert len(given) > 50
    assert [g for g in given if g[2] not in options(COMMANDS[g[1]])] == []


@pytest.mark.parametrize("path", sorted((SOURCE / "cli").rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_command_names_its_own_options(path):
    """What a command says names options that it, or a command of the same module, has."""
    module = "vitrail." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    own = [of for of in COMMANDS.values() if of.callback.__module__ == module]
    if own:
        known = set().union(*map(options, own)) | {"--debug", "--help"}
        others = {o for _, t in texts(path) for _, found in typed_commands(t) for o in found}
        wrong = [f"{where}: {o}" for where, t in texts(path) for o in named(t) if o not in known | others]
        assert wrong == []
