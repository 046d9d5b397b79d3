"""The tables of `docs/scale.md` follow from what was measured, and stand there as they are computed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def sizes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sizes", ROOT / "docs" / "sizes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables(sizes):
    assert sizes.tables() in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_the_hours_are_samples_over_the_measured_rate(sizes):
    measured = json.loads((ROOT / "benchmarks" / "results" / "extract_large.json").read_text())["llava-1.5-7b"]
    rate = max(b["ways"]["live"]["samples_per_second"] for b in measured["batches"])
    row = next(line for line in sizes.of_models() if line.startswith("| llava-1.5-7b | LAION-400M"))
    cells = [cell.strip().replace(",", "") for cell in row.split("|")[3:5]]
    assert float(cells[0]) == pytest.approx(400_000_000 / rate / 3600, abs=0.05)
    assert int(cells[1]) - 1 < 400_000_000 / rate / 86_400 <= int(cells[1])


@pytest.mark.parametrize(
    ("n", "expected"), [(999, "999 bytes"), (1000, "1 kB"), (9_690_000, "9.69 MB"), (3.2e13, "32 TB")]
)
def test_sizes_have_their_unit(sizes, n, expected):
    assert sizes.size(n) == expected


@pytest.mark.parametrize(("n", "expected"), [(0.07, "0.07 s"), (234, "3.9 min"), (7200, "2 h")])
def test_times_have_their_unit(sizes, n, expected):
    assert sizes.duration(n) == expected
