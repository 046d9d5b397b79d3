"""The page that compares methods."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from tests.resealing import reseal

from vitrail import scores
from vitrail.evaluation import (
    open_method_comparison,
)
from vitrail.evaluation.results import LayerContrast
from vitrail.reports import methods_page
from vitrail.reports.terms import SCORES


def test_the_page_of_a_comparison_is_one_file(side_by_side, tmp_path):
    page = methods_page(side_by_side, out=tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3
    assert "Semi-NMF" in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page.replace(f'href="{SCORES}', 'href="'))
    assert methods_page(side_by_side, out=tmp_path / "again.html").read_text() == page


def test_hostile_words_stay_text(side_by_side, tmp_path):
    text = (side_by_side.folder / "comparison.json").read_text()
    (tmp_path / "comparison.json").write_text(text.replace('"dog"', '"<script>alert(1)</script>"'))
    reseal(tmp_path / "comparison.json")
    page = methods_page(open_method_comparison(tmp_path), out=tmp_path / "page.html").read_text()
    assert "<script>alert" not in page


def test_a_curve_with_one_layer_of_no_score_is_drawn(side_by_side, tmp_path):
    """No words at a layer: nothing is scored there, and the chart has a gap."""
    curves = side_by_side.curves["dog"]
    nothing = scores.Estimate(np.nan, np.nan, np.nan, np.nan, 0)
    empty = LayerContrast(nothing, nothing, nothing, np.nan, np.nan)
    layers = (dataclasses.replace(curves.layers[0], clip=empty, bert=empty), *curves.layers[1:])
    changed = dataclasses.replace(side_by_side, curves={"dog": dataclasses.replace(curves, layers=layers)})
    page = methods_page(changed, out=tmp_path / "page.html").read_text()
    assert f"the gain is largest at {curves.layers[1].layer}" in page
