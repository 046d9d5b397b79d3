"""The benchmark of parity calls a checkout of the published code, or says what is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.parity import CALLED, answers, check_checkout, page, solver

#: Stand-ins with the names, parameters and results of the two files that are called.
FILES = {
    "analysis/feature_decomposition.py": """
def decompose_activations(mat, num_concepts, decomposition_method="snmf", concepts=None, args=None):
    assert decomposition_method == "snmf" and args.dl_max_iter == 5000
    return mat[:num_concepts], mat[:, :num_concepts], "a fitted model"
""",
    "metrics/vqa_accuracy.py": """
class EvalAIAnswerProcessor:
    def __call__(self, item):
        return item.lower()
""",
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for module in (*CALLED, "analysis", "metrics"):
        sys.modules.pop(module, None)


def test_a_checkout_is_called_where_it_lies(checkout: Path) -> None:
    check_checkout(checkout)
    Z = np.arange(1200, dtype=np.float32).reshape(30, 40)
    U, V, against = solver(checkout, Z)
    assert (U.shape, V.shape, against) == ((20, 40), (30, 20), "released code")
    points = answers(checkout)
    assert points[0].theirs.startswith("7 of 10 odd answers differ: a.m., dont")
    assert "This page was made with a checkout." in page(points)
    assert "without a checkout" in page(answers(None))


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (None, "is no checkout of github.com/mshukor/xl-vlms: it lacks src/metrics/vqa_accuracy.py"),
        ("import nothing_of_the_kind", "EvalAIAnswerProcessor of .* cannot be called: No module named"),
        ("other = 1", "has no attribute 'EvalAIAnswerProcessor'"),
    ],
)
def test_what_cannot_be_called_is_named(checkout: Path, file: str | None, says: str) -> None:
    path = checkout / "src" / "metrics" / "vqa_accuracy.py"
    path.unlink() if file is None else path.write_text(file)
    with pytest.raises(SystemExit, match=says):
        check_checkout(checkout)
