"""The page of a watch: its alarms with their causes and pictures, and every stream over time against the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator, PercentFormatter

from vitrail.monitoring import Alarm, Status, Window
from vitrail.monitoring.alarms import Moved, Picture
from vitrail.monitoring.streams import Stream
from vitrail.reports.charts import INK, STYLE, TONE, TONES, figure_of, svg_of
from vitrail.reports.content import data_uri
from vitrail.reports.page import template, write_page
from vitrail.scores.verdicts import SIGNIFICANT, Verdict, percent


@dataclass(frozen=True)
class StreamView:
    """A stream as the page shows it: its chart, and what follows from its last window."""

    number: int
    stream: Stream
    chart: Markup
    verdict: Verdict
    moved: int

    @property
    def tone(self) -> int:
        """The number of its colour: that of the concept on every page."""
        return (self.stream.concept if self.stream.concept is not None else 1) % TONES


def watch_page(status: Status, windows: Sequence[Window], *, out: str | Path) -> Path:
    """A watch as one self-contained HTML page, `out`.

    Raises:
        ArtifactError: the page cannot be written.
    """
    write_page(Path(out), template("monitoring.html.j2").render(watch_view(status, windows)))
    return Path(out)


def watch_view(status: Status, windows: Sequence[Window]) -> dict[str, Any]:
    """The values of the template of a watch's page; see `watch_page`."""
    views = [_view(i, status, windows) for i in range(len(status.baseline.streams))]
    return {
        "status": status,
        "windows": [(number, window, _moved_names(status, window)) for number, window in enumerate(windows)],
        "said": verdict_of(status),
        "when": when,
        "data_uri": data_uri,
        "pictures": _pictures,
        "alarms": [(a, [(m, direction(m)) for m in a.moved]) for a in reversed(status.alarms)],
        "groups": {
            "Concepts and novelty": sorted((v for v in views if v.stream.kind != "word"), key=lambda v: -v.moved),
            "Words of the captions": sorted((v for v in views if v.stream.kind == "word"), key=lambda v: -v.moved),
        },
        "significant": SIGNIFICANT,
    }


def verdict_of(status: Status) -> Verdict:
    """What follows from a watch."""
    n = len(status.standing)
    if n:
        return Verdict("bad", f"{n} alarm{'s' if n > 1 else ''} stand{'' if n > 1 else 's'}")
    if status.alarms:
        return Verdict("note", "all alarms are acknowledged")
    return Verdict("good", f"no alarm; a false one ever comes with a probability of {status.options.alpha:g} at most")


def direction(moved: Moved) -> str:
    """A stream's change in words."""
    return "rises" if moved.rises else "falls"


def when(seconds: float) -> str:
    """A moment as people read it, in UTC.

    >>> when(0)
    '1970-01-01 00:00'
    """
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M") if math.isfinite(seconds) else "–"


def _pictures(alarm: Alarm) -> list[tuple[str, tuple[Picture, ...]]]:
    first = alarm.moved[0]
    kind = "highest" if first.rises else "lowest"
    return [
        ("Reference, from low to high", alarm.before),
        (f"Since the change, the {kind}", alarm.now),
    ]


def _moved_names(status: Status, window: Window) -> list[str]:
    """The streams that a window test finds changed, those with the smallest false discovery rate first."""
    order = np.argsort([q if math.isfinite(q) else 1.0 for q in window.q], kind="stable")
    return [str(status.baseline.streams[i]) for i in order if window.q[i] <= SIGNIFICANT]


def _view(i: int, status: Status, windows: Sequence[Window]) -> StreamView:
    stream = status.baseline.streams[i]
    known = [window for window in windows if math.isfinite(window.q[i])]
    moved = [window for window in known if window.q[i] <= SIGNIFICANT]
    if not known:
        verdict = Verdict("unclear", "no window yet")
    elif not moved:
        verdict = Verdict("note", "as in the reference")
    else:
        verdict = Verdict("warning", f"other than the reference in {len(moved)} of {len(known)} windows")
    return StreamView(i, stream, _chart(i, status, windows), verdict, len(moved))


def _chart(i: int, status: Status, windows: Sequence[Window]) -> Markup:
    """A stream over the windows, with the band in which 95 % of windows lie while nothing changes, pointwise."""
    base, stream = status.baseline, status.baseline.streams[i]
    is_rate = stream.kind != "novelty"
    values = np.array([w.rates[i] if is_rate else w.means[i] for w in windows])
    centre = base.rates[i] if is_rate else base.means[i]
    spread = math.sqrt(centre * (1 - centre)) if is_rate else base.spreads[i]
    half = np.array([1.96 * spread * math.sqrt(1 / base.n + 1 / max(w.n, 1)) for w in windows])
    at = np.arange(1, len(windows) + 1)
    changed = np.array([w.q[i] <= SIGNIFICANT for w in windows], bool)
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(300, 105)
        axes.fill_between(at, centre - half, centre + half, color=INK, alpha=0.12, linewidth=0, step="mid")
        axes.axhline(centre, color=INK, linewidth=0.6, linestyle=(0, (4, 3)))
        axes.plot(at, values, color=TONE, linewidth=1.6, marker="o", markersize=2.6)
        axes.plot(at[changed], values[changed], color=TONE, linestyle="", marker="o", markersize=6.5, fillstyle="none")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.set_xlim(0.5, max(len(windows), 2) + 0.5)
        axes.set_ylim(bottom=0)
        if is_rate:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        last = "" if not len(values) else f"; last {percent(values[-1]) if is_rate else f'{values[-1]:.2f}'}"
        reference = percent(centre) if is_rate else f"{centre:.2f}"
        return svg_of(figure, f"stream-{i}", f"{stream} over {len(windows)} windows; reference {reference}{last}")
