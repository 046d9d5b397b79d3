"""Reports: a study or a comparison as one HTML page that needs no other file, and one explanation as a picture.

page.py, content.py            the page of a study, and what it shows
evaluation.py, methods.py      the section on an evaluation; the page that compares methods
atlas.py                       the page that lists the words of a folder of many
comparison.py                  the page of a fine-tune
monitoring.py                  the page of a watch
charts.py, tables.py, layout.py        charts as SVG; tables, and how they are written
explanation.py                 one explanation, drawn as PNG, SVG or PDF
*.html.j2, *.css, script.js    the pages themselves
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
