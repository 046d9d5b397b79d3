"""The viewer: a folder of studies in the browser, on one's own machine.

options.py      where it listens, and what it allows
collection.py   what lies below a folder: studies, comparisons, steerings, watches
jobs.py         the queue of the one model in memory
speaking.py     what the model says word by word, and the concepts behind each word
studies.py      what is told of a study: its page, the examples of a concept, its samples
pictures.py     images that people give, for as long as the viewer runs
routes.py       an endpoint is a method; its types are its check and its description (OpenAPI)
endpoints.py    all endpoints
guard.py        who is answered at all: host, origin, token; what every answer carries
application.py  all of these as one application of Starlette
run.py          `vitrail serve`: the application behind uvicorn

`static/` is the front end: ES modules and a style, as they are sent. Pages and their style come from `reports`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
