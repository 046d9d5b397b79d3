"""The project as a whole: which part may know which, what names mean, what imports cost, and whether pages are true."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "vitrail"
MODULES = sorted(SOURCE.rglob("*.py"))

#: The parts of the package, from the lowest to the highest. A part may import those before it, and no other.
LAYERS = (
    "errors",
    "visible",
    "notebook",
    "options",
    "progress",
    "artifacts",
    "work",
    "scores",
    "words",
    "toyland",
    "learners",
    "samples",
    "lmm",
    "saying",
    "activations",
    "concepts",
    "extraction",
    "lenses",
    "grounding",
    "explanation",
    "maps",
    "studies",
    "monitoring",
    "sweep",
    "evaluation",
    "finetuning",
    "comparison",
    "steering",
    "trials",
    "importing",
    "sharing",
    "reports",
    "runs",
    "serving",
    "cli",
)
#: Functions that may have up to 12 parameters; all others have at most 8.
VERBS = {"extract", "learn", "ground", "study", "evaluate", "load"}


def part(path: Path) -> str:
    """The part of the package that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


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


def modules_imported(path: Path, names: set[str]) -> set[str]:
    """The modules among `names` that a file imports, or imports a name from."""
    stub = path.with_suffix(".pyi")  # of a package whose names are imported when they are first used
    if stub.exists():
        code = ast.parse(stub.read_text(encoding="utf-8"))
        return {f"{name_of(path)}.{n.module}" for n in ast.walk(code) if isinstance(n, ast.ImportFrom)} & names
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & names) | ({str(node.module)} if inside - names else set())
    return found & names


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def short(path: Path) -> str:
    return str(path.relative_to(SOURCE))


# ---- which part may know which ---------------------------------------------------------------------------------------


def test_every_part_has_a_layer() -> None:
    assert {part(p) for p in MODULES} - {"__init__", "__main__"} == set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_a_module_imports_its_own_part_and_those_below(path: Path) -> None:
    if part(path) in ("__init__", "__main__"):
        return
    own = LAYERS.index(part(path))
    known = {name.split(".")[1] for name in imports(path) if name.startswith("vitrail.")} & set(LAYERS)
    above = {name for name in known if LAYERS.index(name) > own}
    assert not above, f"{path} imports {above}, which stand above {LAYERS[own]}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {name_of(p) for p in MODULES}
    graph = {name_of(p): modules_imported(p, names) for p in MODULES}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle of imports: {' → '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for other in sorted(graph[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_only_lmm_knows_transformers() -> None:
    knowing = {part(p) for p in MODULES if any(n.split(".")[0] == "transformers" for n in imports(p))}
    assert knowing == {"lmm"}


def test_only_hooks_registers_hooks() -> None:
    assert {p.name for p in MODULES if "register_forward" in p.read_text()} == {"hooks.py"}


def test_nothing_is_pickled() -> None:
    released = SOURCE / "importing" / "files.py"  # reads pickles of plain values, and refuses everything else
    outside = {SOURCE / "steering" / "interchange.py", released}  # other tools keep their tensors so
    for path in MODULES:
        pickling = imports(path) & {"pickle", "joblib", "dill", "cloudpickle"}
        assert not pickling - ({"pickle"} if path == released else set()), path
        if path not in outside:
            assert not re.search(r"torch\.(save|load)\(", path.read_text()), path
    loads = re.findall(r"torch\.load\(.*", "".join(path.read_text() for path in outside))
    assert all("weights_only=True" in line or line.startswith("torch.load(file)") for line in loads)  # runs no code
    assert set(re.findall(r"pickle\.(?:U\w+|loads?\()", released.read_text())) == {
        "pickle.Unpickler",  # whose `find_class` refuses every name
        "pickle.UnpicklingError",
        "pickle.load(",  # in a message
    }


# ---- names and signatures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=short)
def test_no_name_of_a_package_hides_a_module_in_it(path: Path) -> None:
    """`import vitrail.x.y as m` must give the module y, not a function of that name."""
    modules = {p.stem for p in path.parent.glob("*.py")} | {p.parent.name for p in path.parent.glob("*/__init__.py")}
    package = importlib.import_module(name_of(path))
    names = [n for n in getattr(package, "__all__", ()) if not isinstance(getattr(package, n), types.ModuleType)]
    assert not modules & set(names)


def test_no_function_has_more_than_eight_parameters() -> None:
    long = []
    for path in MODULES:
        for node in functions(path):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            n = len([a for a in arguments if a.arg not in ("self", "cls")])
            most = 12 if node.name in VERBS else 8
            if n > most and part(path) != "cli":
                long.append(f"{short(path)}: {node.name} has {n}")
    assert not long, "\n".join(long)


def test_no_public_function_swallows_unknown_options() -> None:
    for path in MODULES:
        for node in functions(path):
            if not node.name.startswith("_"):
                assert node.args.kwarg is None, f"{path}: {node.name} takes **{node.args.kwarg.arg}"


def test_no_line_is_kept_from_the_formatter() -> None:
    assert not [short(p) for p in MODULES if "# fmt:" in p.read_text(encoding="utf-8")]


def test_public_names_are_functions_and_classes_and_nothing_else_is_listed() -> None:
    code = (
        "import vitrail, types\n"
        "assert dir(vitrail) == sorted(vitrail.__all__), set(dir(vitrail)) ^ set(vitrail.__all__)\n"
        "bad = [n for n in vitrail.__all__ if isinstance(getattr(vitrail, n), types.ModuleType)]\n"
        "assert not bad, bad\n"
        "print(len(vitrail.__all__))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert int(out.stdout) >= 20


def test_an_unknown_name_is_an_attribute_error() -> None:
    import vitrail

    with pytest.raises(AttributeError, match=r"No vitrail attribute extrac|no attribute 'extrac'"):
        _ = vitrail.extrac


OPTIONS = [name_of(p) for p in MODULES if p.name == "options.py"]


@pytest.mark.parametrize("module", ["vitrail", "vitrail.cli", *OPTIONS])
def test_importing_costs_nothing(module: str) -> None:
    heavy = ["torch", "transformers", "sklearn", "scipy", "numpy", "pyarrow", "matplotlib", "PIL"]
    code = f"import sys, {module}; print(*[m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ""


def python_beside_the_package() -> list[Path]:
    scripts = [p for folder in ("benchmarks", "tools", "tests") for p in (ROOT / folder).rglob("*.py")]
    return [*scripts, *(ROOT / "docs").rglob("*.py")]


def test_what_lies_beside_the_package_uses_names_that_it_has() -> None:
    wrong = []
    for path in python_beside_the_package():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vitrail":
                wrong += [f"{path}: {node.module}.{a.name}" for a in node.names if not has(node.module, a.name)]
    assert wrong == []


def has(module: str, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(module), name) or find_spec(f"{module}.{name}") is not None
    except ModuleNotFoundError:
        return False


WITH_EXAMPLES = [p for p in MODULES if ">>>" in p.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=short)
def test_examples_in_docstrings_are_true(
    path: Path, toyland_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRAIL_CACHE", str(toyland_cache))
    module = importlib.import_module(name_of(path))
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_every_module_says_what_it_is() -> None:
    assert not [short(p) for p in MODULES if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))]


# ---- pages -----------------------------------------------------------------------------------------------------------


def test_tests_mirror_the_source_tree() -> None:
    """A folder of tests has the name of a part, or of a folder beside the source."""
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= {*LAYERS, "benchmarks", "docs", "families", "tools"}


def test_pages_that_come_from_the_code_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
