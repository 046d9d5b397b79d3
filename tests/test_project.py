"""The project as a whole: which module may know which, what importing costs, and whether the pages tell the truth."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "vitrail"
MODULES = sorted(SOURCE.rglob("*.py"))

# What each part may import of vitrail, beside `errors`. A part is a module or a folder.
ALLOWED = {
    "__init__": None,  # the public names
    "cli": None,
    "errors": set(),
    "progress": set(),
    "artifacts": set(),
    "scores": {"scores"},
    "scorers": {"lmm", "toyland"},
    "learners": {"learners", "progress"},
    "hooks": set(),
    "words": set(),
    "positions": set(),
    "samples": {"samples", "toyland"},
    "lmm": {"hooks", "lmm", "positions", "toyland", "words"},
    "activations": {"artifacts"},
    "doctor": {"artifacts", "hooks", "lmm", "words"},
    "vocabulary": {"samples", "words"},
    "extract": {"activations", "artifacts", "doctor", "lmm", "progress", "samples", "words"},
    "shards": {"activations"},
    "clusters": {"learners"},
    "stability": {"learners", "progress", "scores"},
    "concepts": {"activations", "artifacts", "clusters", "learners", "progress", "scores", "shards", "stability"},
    "sweep": {
        "activations",
        "artifacts",
        "concepts",
        "ground",
        "learners",
        "lmm",
        "progress",
        "scores",
        "stability",
        "words",
    },
    "ground": {"activations", "artifacts", "concepts", "lmm", "words"},
    "evaluate": {
        "activations",
        "artifacts",
        "concepts",
        "evaluate",
        "extract",
        "ground",
        "learners",
        "lmm",
        "progress",
        "samples",
        "scorers",
        "scores",
        "stability",
        "words",
    },
    "finetune": {"artifacts", "doctor", "finetune", "lmm", "positions", "progress", "samples", "words", "vocabulary"},
    "compare": {
        "activations",
        "artifacts",
        "compare",
        "concepts",
        "extract",
        "ground",
        "learners",
        "lmm",
        "progress",
        "samples",
        "study",
        "words",
    },
    "explain": {"activations", "artifacts", "concepts", "extract", "ground", "lmm", "samples"},
    "report": {
        "activations",
        "artifacts",
        "compare",
        "concepts",
        "evaluate",
        "explain",
        "ground",
        "report",
        "scores",
        "words",
    },
    "steer": {
        "activations",
        "artifacts",
        "compare",
        "concepts",
        "finetune",
        "ground",
        "hooks",
        "lmm",
        "positions",
        "progress",
        "report",
        "samples",
        "scorers",
        "scores",
        "steer",
        "vocabulary",
        "words",
    },
    "study": None,  # the line
    "toyland": None,  # a world of its own, with a script that evaluates the whole
}
# `samples` and `lmm` know where Toyland lies, and no more: its __init__ must not know them back.
TOYLAND_INIT = {"progress", "toyland"}


def part(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The dotted names that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def parts_imported(path: Path) -> set[str]:
    parts = {p.stem if p.parent == SOURCE else part(p) for p in MODULES}
    names = {name.split(".")[1] for name in imports(path) if name.startswith("vitrail.")}
    return names & parts - {"errors"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_module_imports_only_what_the_design_allows(path: Path) -> None:
    allowed = ALLOWED[part(path)]
    if path == SOURCE / "toyland" / "__init__.py":
        allowed = TOYLAND_INIT
    if allowed is not None:
        assert parts_imported(path) <= allowed


def test_nothing_imports_the_command_line() -> None:
    assert not [p for p in MODULES if part(p) != "cli" and any(n.startswith("vitrail.cli") for n in imports(p))]


def test_only_lmm_and_toyland_know_transformers() -> None:
    knowing = {part(p) for p in MODULES if any(n.split(".")[0] == "transformers" for n in imports(p))}
    assert knowing <= {"lmm", "scorers", "toyland"}


def test_only_hooks_registers_hooks() -> None:
    assert {p.name for p in MODULES if "register_forward" in p.read_text()} == {"hooks.py"}


def test_nothing_is_pickled() -> None:
    for path in MODULES:
        assert not imports(path) & {"pickle", "joblib", "dill", "cloudpickle"}, path
        if path != SOURCE / "steer" / "interchange.py":  # other tools keep their vectors so
            assert not re.search(r"torch\.(save|load)\(", path.read_text()), path
    loads = re.findall(r"torch\.load\(.*", (SOURCE / "steer" / "interchange.py").read_text())
    assert all("weights_only=True" in line or line.startswith("torch.load(file)") for line in loads)  # runs no code


def test_no_public_function_swallows_unknown_options() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                assert node.args.kwarg is None, f"{path}: {node.name} takes **{node.args.kwarg.arg}"


@pytest.mark.parametrize("module", ["vitrail", "vitrail.cli"])
def test_importing_costs_nothing(module: str) -> None:
    heavy = ["torch", "transformers", "sklearn", "scipy", "numpy", "pyarrow", "matplotlib", "PIL"]
    code = f"import sys, {module}; print(*[m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ""


def test_public_names_are_there_and_are_not_hidden_by_their_modules() -> None:
    code = (
        "import vitrail, vitrail.extract, vitrail.study, vitrail.ground, vitrail.explain, vitrail.report\n"
        "import types\n"
        "assert set(vitrail.__all__) <= set(dir(vitrail))\n"
        "bad = [n for n in vitrail.__all__ if isinstance(getattr(vitrail, n), types.ModuleType)]\n"
        "assert not bad, bad\n"
        "print(len(vitrail.__all__))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert int(out.stdout) >= 20


def test_an_unknown_name_is_an_attribute_error() -> None:
    import vitrail

    with pytest.raises(AttributeError, match="no attribute 'extrac'"):
        _ = vitrail.extrac


# ---- pages -----------------------------------------------------------------------------------------------------------


def tree_of_readme() -> set[str]:
    """Paths named in the README's file tree: two spaces of indentation per level, folders end in a slash."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## The files\n+```text\n(.*?)```", text, re.DOTALL)
    assert block, "the README has no file tree"
    stack: list[str] = []
    found = set()
    for line in block.group(1).splitlines():
        match = re.match(r"( *)(\S+)", line)
        assert match, line
        depth, name = len(match.group(1)) // 2, match.group(2)
        stack = [*stack[:depth], name.rstrip("/")]
        if not name.endswith("/"):
            found.add("/".join(stack))
        assert len(line[match.end() :].strip()) > 5 or name.endswith("/"), f"{name} has no line of its own"
    return found


def test_the_readme_names_every_file_and_no_other() -> None:
    listed = tree_of_readme()
    here = {
        str(p.relative_to(ROOT).as_posix())
        for folder, pattern in (("src/vitrail", "*"), ("tests", "*.py"), ("benchmarks", "*.py"), ("docs", "*"))
        for p in (ROOT / folder).rglob(pattern)
        if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".pyc" and not _is_data(p)
    }
    assert listed - here == {p for p in listed - here if (ROOT / p).is_file()}, "named, but not there"
    assert here - listed == set(), "there, but not named"


def _is_data(path: Path) -> bool:
    """Weights, adapters and pictures are named by their folder."""
    if path.parent.parent.name == "adapters":
        return True
    return path.parent.name in ("model", "clip", "text", "images")


def test_the_command_line_page_is_what_help_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
