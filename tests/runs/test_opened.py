"""A study as users hold it."""

from __future__ import annotations

import html
import re
import shutil

import pytest


@pytest.fixture
def study(activations, concepts, grounding, tmp_path):
    from vitrail.runs.opened import open_study

    for part in (activations, concepts, grounding):
        shutil.copytree(part.folder, tmp_path / part.folder.name)
    return open_study(tmp_path)


def test_a_study_shows_its_page_in_a_notebook_in_a_frame_of_its_own(study, tmp_path):
    shown = study.show(height=500)._repr_html_()
    assert shown.count("<iframe") == shown.count("</iframe>") == 1
    assert 'sandbox="allow-scripts"' in shown  # no access to the notebook around it
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', shown).group(1))
    assert study.report(out=tmp_path / "report.html").read_text().startswith(page)
    assert "<table" not in shown.replace(html.escape(page), "")
