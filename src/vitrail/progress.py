"""How a long call reports its progress: to a function, as bars where someone watches, or not at all.

    vitrail.study("toyland", "toyland", "dog")                          # bars in a terminal and in a notebook
    vitrail.study("toyland", "toyland", "dog", progress=False)          # nothing
    vitrail.study("toyland", "toyland", "dog", progress=my_function)    # my_function("extract", 32, 480), …

Bars go to stderr. In a batch job, a pipe or a test nobody watches, and nothing is written.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vitrail.visible import visible

log = logging.getLogger(__name__)

#: What a run will take, said before it starts. The command line shows it.
foretold = logging.getLogger("vitrail.foretold")

#: Is called with (the name of the step, how many units are done, how many there are).
Progress = Callable[[str, int, int], None]

_FORMAT = "{desc:<10} {bar:30} {n_fmt}/{total_fmt} {rate_fmt} {elapsed} < {remaining}"


def silent(what: str, done: int, total: int) -> None:
    """Reports nothing."""


class Tally:
    """Tells `progress` of a step that consists of parts: `within` a part, and when a part is done.

    Args:
        progress: is told.
        what: the name of the step.
        total: how many units there are in all parts.
    """

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self.progress, self.what, self.total = progress, what, total
        self.done = 0
        if total:
            self.within(0)

    def within(self, n: int) -> None:
        """`n` units of the part that is under way are done."""
        self.progress(self.what, self.done + n, self.total)

    def add(self, n: int) -> None:
        """A part of `n` units is done."""
        self.done += n
        self.within(0)


@contextmanager
def shown(progress: Progress | bool) -> Iterator[Progress]:
    """What a call reports to: `progress` itself if it is a function; for True bars, if someone watches; else nothing.

    The bars, one for each step, are closed at the end of the `with` block, also after an exception.
    """
    if callable(progress):
        yield progress
    elif not progress or not someone_watches():
        yield silent
    else:
        bars = _Bars()
        try:
            yield bars
        finally:
            bars.close()


def announce(message: str, progress: Progress | bool) -> None:
    """Logs `message`, and writes it to stderr where `progress` shows bars."""
    log.info("%s", message)
    if progress is True and someone_watches():
        sys.stderr.write(f"{visible(message)}\n")


def foretell(work: Mapping[str, float]) -> None:
    """Says before a long piece of work which of its parts take longest; nothing where no part has work.

    Args:
        work: part → about how many passes of the model over a sample it takes.
    """
    total = sum(work.values())
    longest = sorted((name for name in work if work[name]), key=lambda name: -work[name])
    if longest:
        shares = ", ".join(f"{name} {work[name] / total:.0%}" for name in longest)
        foretold.info("About %.0f passes over a sample, the longest part first: %s", total, shares)


def someone_watches() -> bool:
    """Whether stderr is a terminal, or the code runs in a notebook."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython and ipython.get_ipython()
    return "IPKernelApp" in getattr(shell, "config", ())


class _Bars:
    """A bar of tqdm for each step: a widget in a notebook that has widgets, text everywhere else."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tqdm warns of a notebook without widgets, and takes text
            from tqdm.auto import tqdm
        self._new, self._bars = tqdm, dict[str, Any]()

    def __call__(self, what: str, done: int, total: int) -> None:
        bar = self._bars.get(what)
        if bar is None:
            bar = self._bars[what] = self._new(desc=what, total=total, unit="", bar_format=_FORMAT, file=sys.stderr)
        if done < bar.n or total != bar.total:  # the same step once more
            bar.reset(total)
        bar.update(done - bar.n)
        if done >= total:
            bar.refresh()

    def close(self) -> None:
        for bar in self._bars.values():
            bar.close()
