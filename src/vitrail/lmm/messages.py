"""Errors of other libraries, as Vitrail's own errors quote them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vitrail.progress import someone_watches


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0]


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keeps transformers' reports off the terminal while a model is loaded, since what is amiss with its weights is an
    error of ours; and its bars, unless someone watches. Afterwards its settings are as before."""
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    if not someone_watches():
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
