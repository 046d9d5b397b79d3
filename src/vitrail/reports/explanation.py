"""One explanation as a picture: the image, its caption, and its concepts as bars."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from vitrail.artifacts import write_whole
from vitrail.errors import UsageError
from vitrail.explanation import Explanation
from vitrail.scores.verdicts import percent

#: The colours of the page, for a white background.
GLASS = ("#b3202f", "#1f4fb0", "#9a5d00", "#12784f", "#6b3fa0", "#0c6f7d", "#b02a6b")
SUFFIXES = (".png", ".svg", ".pdf")
INK, SOFT = "#1d1b22", "#615d69"


def explanation_figure(explanation: Explanation) -> Figure:
    """The explanation as a figure: on the left the image and its caption, on the right a bar for each concept, with its
    title, its strength and its percentile among the training samples."""
    rows = max(len(explanation.concepts), 3)
    figure = Figure(figsize=(9, 1.5 + 0.62 * rows), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.9))
    _show_image(left, explanation)
    _show_bars(right, explanation)
    return figure


def draw_explanation(explanation: Explanation, out: str | Path) -> Path:
    """Draws the explanation to the file `out`, in the format of its suffix: .png, .svg or .pdf.

    Raises:
        UsageError: `out` has another suffix.
        ArtifactError: `out` cannot be written.
    """
    return save_figure(lambda: explanation_figure(explanation), out)


def save_figure(make: Callable[[], Figure], out: str | Path) -> Path:
    """Writes a figure to the file `out`, in the format of its suffix; see `draw_explanation`."""
    out = Path(out)
    kind = out.suffix.lower()
    if kind not in SUFFIXES:
        raise UsageError(f"Cannot draw to {out.name!r}: the suffix must be one of {', '.join(SUFFIXES)}.")
    figure = make()
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(kind)

    def write(path: Path) -> None:
        with matplotlib.rc_context({"svg.hashsalt": "vitrail"}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # words may be in any script; boxes stand for those
            figure.savefig(path, format=kind[1:], dpi=150, metadata=dates)

    write_whole(out, write)
    return out


def _show_image(axes: Axes, explanation: Explanation) -> None:
    axes.set_axis_off()
    if explanation.thumbnail:
        axes.imshow(Image.open(io.BytesIO(explanation.thumbnail)), interpolation="lanczos")
    plain_text(axes.set_title(f"“{explanation.word}”", fontsize=15, loc="left", color=INK))
    caption = textwrap.fill(explanation.caption, 34, max_lines=5)
    plain_text(axes.text(0, -0.04, caption, transform=axes.transAxes, va="top", fontsize=9.5, color=SOFT))


def _show_bars(axes: Axes, explanation: Explanation) -> None:
    concepts = explanation.concepts
    said = f"explained: {percent(explanation.explained_variance)} ({explanation.verdict.text})"
    axes.set_title(said, fontsize=9.5, loc="right", color=SOFT)
    axes.set_axis_off()
    values = [c.strength for c in concepts]
    axes.barh(range(len(concepts)), values, height=0.4, color=[GLASS[c.index % len(GLASS)] for c in concepts])
    low, high = min([0.0, *values]), max([0.0, *values])
    span = (high - low) or 1.0
    axes.vlines(np.zeros(len(concepts)), np.arange(len(concepts)) - 0.24, np.arange(len(concepts)) + 0.24, color=SOFT)
    axes.set(xlim=(low - 0.01 * span, low + 1.01 * span), ylim=(max(len(concepts), 3) - 0.3, -0.75))
    for row, concept in enumerate(concepts):
        words = " · ".join(concept.title or concept.words[:3])
        label = f"{concept.index}  {textwrap.shorten(words, 48, placeholder=' …')}"
        plain_text(axes.text(0.008, row - 0.3, label, transform=axes.get_yaxis_transform(), fontsize=10.5, color=INK))
        numbers = f"{concept.strength:.1f} ×   {_ordinal(round(concept.percentile))} percentile"
        axes.text(1, row - 0.3, numbers, transform=axes.get_yaxis_transform(), ha="right", fontsize=9, color=SOFT)
    if not concepts:
        axes.text(0.5, 0.5, "no concept is active", transform=axes.transAxes, ha="center", color=SOFT)


def plain_text(text: Text) -> None:
    """Shows the text as it is: a dollar sign in a caption starts no formula."""
    text.set_parse_math(False)


def _ordinal(n: int) -> str:
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
