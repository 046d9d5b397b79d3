"""Reports: a study or a comparison as one HTML page that needs no other file, and one explanation as a picture.

page.py, content.py            the page of a study, and what it shows
evaluation.py, methods.py      the section on an evaluation; the page that compares methods
comparison.py                  the page of a fine-tune
charts.py, tables.py, layout.py        charts as SVG; tables, and how they are written
explanation.py                 one explanation, drawn as PNG, SVG or PDF
*.html.j2, *.css, script.js    the pages themselves
"""

from vitrail.reports.explanation import draw_explanation, explanation_figure
from vitrail.reports.methods import methods_page
from vitrail.reports.page import study_page

__all__ = ["draw_explanation", "explanation_figure", "methods_page", "study_page"]
