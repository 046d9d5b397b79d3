"""Every notebook runs from its first cell to its last, in an empty folder, and is kept without outputs."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def run(code: str, space: dict[str, Any], name: str) -> None:
    """A cell: its statements, and its last expression shown as a notebook would show it."""
    *body, last = ast.parse(f"pass\n{code}").body
    if isinstance(last, ast.Expr):
        exec(compile(ast.Module(body, []), name, "exec"), space)
        value = eval(compile(ast.Expression(last.value), name, "eval"), space)
        assert value is None or getattr(value, "_repr_html_", value.__repr__)()
    else:
        exec(compile(ast.Module([*body, last], []), name, "exec"), space)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_from_top_to_bottom(path, toyland_cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITRAIL_CACHE", str(toyland_cache))
    space: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells(path, "code"):
        run("".join(cell["source"]), space, f"{path.name}, {cell['id']}")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_kept_without_outputs_and_opens_in_colab_by_its_own_name(path):
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells(path, "code"))
    assert f"/notebooks/{path.name})" in "".join(cells(path, "markdown")[0]["source"])


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 5
