"""Reports: a study as one HTML page that needs nothing else, and one explanation as a picture.

page.py      the file: what belongs together, the template filled in
content.py   what the page says, as plain values
charts.py    histograms and bars, as SVG that takes its colours from the page
picture.py   one explanation, drawn as PNG or SVG
page.html.j2, style.css, script.js   the page itself
"""

from vitrail.reports.evaluation import comparison_report
from vitrail.reports.explanation import draw_explanation, explanation_figure
from vitrail.reports.page import study_page

__all__ = ["comparison_report", "draw_explanation", "explanation_figure", "study_page"]
