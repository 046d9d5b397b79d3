"""The documentation: its site has every page, and its page of errors every error, in words that the package says."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from vitrail import errors

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)


def test_the_site_lists_every_page_once() -> None:
    listed = re.findall(r'= "([^"]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    notebooks = [f"notebooks/{p.stem}.md" for p in (ROOT / "notebooks").glob("*.ipynb")]  # `make docs` writes these
    assert sorted(listed) == sorted([*(p.name for p in (ROOT / "docs").glob("*.md")), *notebooks])


def texts(node: ast.AST) -> str:
    """The text of a string, with … for what is filled in; empty for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(texts(v) or "…" for v in node.values) if isinstance(node, ast.JoinedStr) else ""


@pytest.fixture(scope="module")
def messages() -> list[str]:
    """Every text in the package, whitespace as one space."""
    modules = (ROOT / "src").rglob("*.py")
    return [" ".join(texts(node).split()) for path in modules for node in ast.walk(ast.parse(path.read_text("utf-8")))]


def test_every_error_has_a_section_and_no_section_is_of_another() -> None:
    names = {n for n, c in inspect.getmembers(errors, inspect.isclass) if c is not errors.VitrailError}
    assert {n for n in re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) if n.endswith("Error")} == names


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_message_that_the_page_quotes_is_one_of_ours(quoted: str, messages: list[str]) -> None:
    parts = [re.escape(part.strip()) for part in re.sub(r"\[.*?\]", "[…]", quoted).split("…")]
    pattern = re.compile(".*".join(parts))
    assert any(pattern.search(message) for message in messages), quoted


def test_the_page_quotes_messages() -> None:
    assert len(QUOTED) > 8
