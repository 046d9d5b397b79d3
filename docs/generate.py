"""Writes the pages that come from the code.

`docs/cli.md` comes from `--help`, `docs/python.md` from the docstrings of the public names, `docs/families.md` from the
tests' results, the list of files in `docs/architecture.md` from the docstrings of the modules, and the tables in
`docs/scale.md` from what was measured (`sizes.py`).

`--check` says whether they are stale.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sizes import tables
from typer.testing import CliRunner

HERE = Path(__file__).parent
#: What stands before the tables in `scale.md`, and after them.
COMPUTED, NEXT = "<!-- computed by docs/sizes.py -->\n\n", "\n## "


CLI_NOTES = """What `--help` says; written by `make docs`.

- `vitrail --install-completion` makes the tab key complete commands, options, their values, and the names of learners
  and steering methods, in bash, zsh, fish and PowerShell; `--show-completion` prints the script instead.
- Results go to stdout, progress to stderr. `--json` prints the result as JSON. A terminal shows tables drawn, as wide
  as it is; a file or pipe gets them 200 columns wide, and the scores of `evaluate` as Markdown.
- Exit code 0: done. 1: it failed, and one line says why. 2: something was typed that cannot be. 130: stopped by Ctrl-C.
- Everything that can be known without a model is checked before it is loaded: options, files, words, layers."""


def cli_reference() -> str:
    """The command line in Markdown: what `--help` says, for every command."""
    from vitrail.cli import app

    runner = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"})

    def shown(*arguments: str) -> list[str]:
        result = runner.invoke(app, [*arguments, "--help"], prog_name="vitrail")
        if result.exit_code:
            raise RuntimeError(f"vitrail {' '.join(arguments)} --help failed: {result.output}")
        return ["```text", *(line.rstrip() for line in result.output.strip().splitlines()), "```", ""]

    lines = ["# Command line", "", *CLI_NOTES.splitlines(), "", "## vitrail", "", *shown()]
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        lines += [f"## vitrail {name}", "", *shown(name)]
    for group in app.registered_groups:
        lines += [f"## vitrail {group.name}", "", *shown(str(group.name))]
        for command in group.typer_instance.registered_commands:  # type: ignore[union-attr]
            name = command.name or command.callback.__name__  # type: ignore[union-attr]
            lines += [f"## vitrail {group.name} {name}", "", *shown(str(group.name), name)]
    return "\n".join(lines).rstrip() + "\n"


TESTS = {
    "test_captions_of_a_batch_are_those_of_its_rows_alone": "captions in batches",
    "test_states_are_the_librarys_hidden_states_of_the_whole_text": "capture",
    "test_a_folder_is_loaded_as_it_was_saved": "load",
    "test_from_states_to_grounded_words": "learn and ground",
    "test_a_vector_steers_what_is_said": "steer",
    "test_the_doctor_finds_nothing": "doctor",
}


def families() -> str:
    """Which families were proven, and how, from what their tests wrote (`make families` and `make torchvision`)."""
    runs: dict[str, Any] = json.loads((HERE / "families.json").read_text(encoding="utf-8"))
    lines = [
        "# Families",
        "",
        "The families of transformers were proven twice; CoCa, the last one, needs torchvision:",
        "",
    ]
    for name, run in sorted(runs.items(), reverse=True):  # without torchvision first
        versions = ", ".join(f"{library} {version}" for library, version in run["versions"].items())
        lines.append(f"- {name}, on {run['date']} with {versions};")
    lines[-1] = lines[-1].removesuffix(";") + "."
    lines += [
        "",
        "Written from the tests' results: `make families` proves them without torchvision, `make torchvision` with it.",
        "",
        "Every family goes through the same code; there is no class per model. A family is proven with a tiny model of",
        "its own configuration and random weights: captions of a batch are those of its rows alone, states are the",
        "library's hidden states, concepts are learned and grounded, a vector steers, and the doctor finds nothing.",
        "The error is the doctor's largest relative one. `vitrail doctor MODEL` proves a model with its own weights.",
        "",
        "“States” says how extraction gets them where the model itself speaks: they are kept while it does, where the",
        "doctor finds that they are those of another pass over its answers; else they are read again in such a pass.",
        "",
        "In each cell the run without torchvision comes first, then the run with it, where images go through it; – is",
        "what could not run.",
        "",
        f"| family | class | {' | '.join(TESTS.values())} | largest error | states | inputs |",
        f"|---|---|{'---|' * len(TESTS)}---|---|---|",
    ]
    ordered = [{f["family"]: f for f in run["families"]} for _, run in sorted(runs.items(), reverse=True)]
    known = {name: f for found in ordered for name, f in found.items()}
    marks = {"passed": "✓", "failed": "✗"}
    proofs = list(dict.fromkeys(f["proof"] for found in ordered for f in found.values()))

    def cell(name: str, shown: Callable[[dict[str, Any]], str]) -> str:
        return " ".join(shown(found[name]) if name in found else "–" for found in ordered)

    for name, f in known.items():
        done = [cell(name, lambda f, test=test: marks.get(f["tests"].get(test), "–")) for test in TESTS]
        error = cell(name, lambda f: f"{f['worst']:.0e}" if "worst" in f else "–")
        states = cell(name, lambda f: {True: "kept", False: "read again"}.get(f.get("live"), "–"))
        proof = cell(name, lambda f: str(proofs.index(f["proof"]) + 1))
        lines.append(f"| {name} | `{f['class']}` | {' | '.join(done)} | {error} | {states} | {proof} |")
    lines += ["", "Inputs:", "", *(f"{i}. {proof}" for i, proof in enumerate(proofs, 1))]
    lines += ["", "## What was taken for what", "", "| family | vision | connector | blocks | norm | unembedding |"]
    lines.append("|---|---|---|---|---|---|")
    for name, f in known.items():
        parts = [f["modules"].get(part, "none") for part in ("vision", "connector", "blocks", "norm", "unembedding")]
        lines.append(f"| {name} | {' | '.join(parts)} |")
    return "\n".join([*lines, *every_architecture()]) + "\n"


#: What came of an architecture → what that means, as a sentence goes on after how many they are.
OUTCOMES = {
    "passes": "pass every check, {images} of them with images through their own processor, the others on text alone",
    "refused": "are refused at load, by name and with the reason",
    "fails": "fail a check, which the doctor says",
    "not built": "could not be built small",
}


def every_architecture() -> list[str]:
    """Every architecture that transformers maps to image-text-to-text, from what `families.census` found."""
    found: dict[str, Any] = json.loads((HERE / "architectures.json").read_text(encoding="utf-8"))
    all_of_them: dict[str, Any] = found["architectures"]
    versions = ", ".join(f"{library} {version}" for library, version in found["versions"].items())
    lines = [
        "",
        "## Every architecture of transformers",
        "",
        f"The {len(all_of_them)} architectures that transformers maps to image-text-to-text, each as a tiny model with",
        f"random weights, built generically (`tests/families/tiny.py`), with {versions}:",
        "",
    ]
    for outcome, meaning in OUTCOMES.items():
        those = [one for one in all_of_them.values() if one["outcome"] == outcome]
        if those:
            lines.append(f"- {len(those)} {meaning.format(images=sum(one.get('image', False) for one in those))};")
    lines[-1] = lines[-1].removesuffix(";") + "."
    lines += [
        "",
        "The checks are those of `vitrail doctor`, also with rows of unequal length: states are the library's, logits",
        "are the model's, padding and batches change nothing, what is said is the most likely, states while it speaks",
        "are as read, hooks are called, vectors change what they should, words are found. On text alone all but those",
        "of images are made; “no image” says what was missing here. Under “image”, “✓, several” is a family that",
        "is asked about several images at once, each of which reaches its words.",
        "",
        "| `model_type` | outcome | image | checks | largest error | special blocks | what is said |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in all_of_them.items():
        checks = list(one.get("checks", {}).values())
        error = f"{one['worst']:.0e}" if one.get("worst") is not None else "–"
        lacking = f"no image: {one['reason_without_image']}" if "reason_without_image" in one else ""
        why = one.get("reason") or lacking
        passed = f"{sum(c is True for c in checks)} of {sum(c is not None for c in checks)}" if checks else "–"
        several = ", several" if one.get("checks", {}).get("several images") else ""
        image = f"✓{several}" if one.get("image") else "–"
        said = why.replace("|", "\\|").replace("<", "&lt;")[:200]
        blocks = ", ".join(one.get("blocks", ()))
        lines.append(f"| {name} | {one['outcome']} | {image} | {passed} | {error} | {blocks} | {said} |")
    return lines


def architecture() -> str:
    """The page on the shape of the code, with one line per file: the first sentence of its docstring."""
    page = (HERE / "architecture.md").read_text(encoding="utf-8")
    head, _, _ = page.partition("## The files\n")
    return f"{head}## The files\n\n```text\n{file_tree()}```\n"


def file_tree() -> str:
    """Every module of the package, of `tools/` and of `benchmarks/`, in folders."""
    lines: list[str] = []

    def walk(folder: Path, name: str, depth: int) -> None:
        pad = "  " * depth
        lines.append(f"{pad}{name}/")
        for path in sorted(folder.glob("*.py"), key=lambda p: (p.name != "__init__.py", p.name)):
            lines.append(f"{pad}  {path.name:<24} {first_sentence(path)}".rstrip())
        for inner in sorted(p for p in folder.iterdir() if any(p.rglob("*.py"))):
            walk(inner, inner.name, depth + 1)

    for folder in ("src/vitrail", "tools", "benchmarks"):
        walk(HERE.parent / folder, folder, 0)
    return "\n".join(lines) + "\n"


def first_sentence(path: Path) -> str:
    """What a module says of itself: its docstring up to the first full stop, without line breaks."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<!\bal)\.(?:\s|$)", paragraph)[0]  # "et al." ends no sentence


def any_size() -> str:
    """The page on size, with the tables that are computed from measured parts."""
    page = (HERE / "scale.md").read_text(encoding="utf-8")
    head, mark, rest = page.partition(COMPUTED)
    return f"{head}{mark}{tables()}\n\n## {rest.partition(NEXT)[2]}"


def python_reference() -> str:
    """The public names of `vitrail`, by the step of the line, with the first sentence of each docstring."""
    import vitrail

    lines = [
        "# Python",
        "",
        "What `vitrail` has, by the step of the line; written by `make docs`. `help(vitrail.study)` says more, as does",
        "the [API](api.md) of the documentation's site. What is needed less often is in its sub-package:",
        "`vitrail.steering`, `vitrail.samples`, `vitrail.learners` …",
        "",
    ]
    for title, public in public_names().items():
        lines += [f"## {title}", "", "| name | what it is |", "|---|---|"]
        lines += [f"| `{n}` | {summary(getattr(vitrail, n))} |" for n in public]
        lines.append("")
    return "\n".join(lines)


def public_names() -> dict[str, list[str]]:
    """Step of the line → the public names of it."""
    stub = (HERE.parent / "src" / "vitrail" / "__init__.pyi").read_text(encoding="utf-8")
    steps = re.findall(r"^# (.+)\n((?:(?!# ).*\n?)+)", stub, re.MULTILINE)
    found = {title: re.findall(r"\b(\w+) as \1\b", names) for title, names in steps}
    return {title: names for title, names in found.items() if names}


def api_reference() -> str:
    """Where the site shows the whole docstring of every public name; a reader of Markdown has `python.md`."""
    import vitrail

    lines = ["# API", "", "The docstrings of all public names. [Python](python.md) is the short list.", ""]
    for title, public in public_names().items():
        lines += [f"## {title}", ""]
        for name in public:
            if not isinstance(value := getattr(vitrail, name), dict):
                lines += [f"::: {value.__module__}.{value.__qualname__}", ""]
    return "\n".join(lines).rstrip() + "\n"


def summary(value: Any) -> str:
    """The first sentence of a docstring, as a cell of a table."""
    if isinstance(value, dict):
        return f"Words by name: {', '.join(value)}"
    text = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
    return re.split(r"(?<!\bal)\.(?:\s|$)", text)[0].replace("|", "\\|")


PAGES = {
    "cli.md": cli_reference,
    "families.md": families,
    "architecture.md": architecture,
    "scale.md": any_size,
    "python.md": python_reference,
    "api.md": api_reference,
}


def main() -> int:
    """Writes the pages, or with `--check` says which ones are out of date."""
    stale = []
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if "--check" in sys.argv:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(name)
        else:
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"Out of date: {', '.join(stale)}. Run `make docs`.\n")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
