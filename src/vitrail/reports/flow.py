"""The flow of samples from the concepts before to the concepts after, as an inline SVG that takes its colours from the
page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from vitrail.reports.charts import TONES

WIDTH, NODE, GAP, LABELS = 960, 14, 7, 280
#: Pixels of height that all samples share.
HEIGHT = 560
#: A flow of a smaller share of its concept than this is not drawn: it would be a hair.
SMALLEST = 0.04


def flow_picture(
    flow: np.ndarray,
    linked: np.ndarray,
    before: Sequence[Sequence[str]],
    after: Sequence[Sequence[str]],
    *,
    emerged: Sequence[int] = (),
) -> Markup:
    """Concepts before (left) and after (right), as high as they have samples, and ribbons as wide as the samples that
    go from one to the other.

    Args:
        flow: (K_a, K_b) counts; `linked` (K_a, K_b) says which ribbons are drawn strongly.
        before: the words of each concept, of which three are shown; `after` likewise.
        emerged: concepts after that are marked as new.
    """
    if not flow.sum():
        return Markup("")
    unit = HEIGHT / flow.sum()
    left = sorted(range(flow.shape[0]), key=lambda i: (-flow[i].sum(), i))
    rank = {i: n for n, i in enumerate(left)}
    right = sorted(range(flow.shape[1]), key=lambda j: _centre(flow[:, j], rank))
    y_left, end_left = _places(left, flow.sum(1) * unit)
    y_right, end_right = _places(right, flow.sum(0) * unit)
    x_left, x_right = LABELS, WIDTH - LABELS - NODE
    parts = _ribbons(flow, linked, left, right, dict(y_left), dict(y_right), unit, x_left + NODE, x_right)
    for side, order, places, words, x in (
        ("before", left, y_left, before, x_left),
        ("after", right, y_right, after, x_right),
    ):
        sizes = flow.sum(1) if side == "before" else flow.sum(0)
        for k in order:
            new = side == "after" and k in emerged
            parts.append(_node(side, k, places[k], sizes[k], unit, x, words[k][:3], new))
    height = max(end_left, end_right) + 4
    label = f"how the samples of {flow.shape[0]} concepts before go to {flow.shape[1]} concepts after"
    return Markup(
        f'<svg class="chart flow" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}">'
        + "".join(parts)
        + "</svg>"
    )


def _centre(column: np.ndarray, rank: dict[int, int]) -> float:
    """Where the samples of a concept come from, so that ribbons cross little."""
    total = column.sum()
    return float(sum(rank[i] * n for i, n in enumerate(column)) / total) if total else float(len(rank))


def _places(order: Sequence[int], heights: np.ndarray) -> tuple[dict[int, float], float]:
    """The top of each node, and where the last one ends; a node has room for its label."""
    places, y = {}, 4.0
    for k in order:
        places[k] = y
        y += max(heights[k], 13.0) + GAP
    return places, y


def _ribbons(
    flow: np.ndarray, linked: np.ndarray, left: Sequence[int], right: Sequence[int], y_left: dict[int, float],
    y_right: dict[int, float], unit: float, x0: float, x1: float,
) -> list[str]:  # fmt: skip
    parts = []
    middle = (x0 + x1) / 2
    for i in left:
        for j in right:
            n = flow[i, j]
            if not n:
                continue
            h, top, bottom = n * unit, y_left[i], y_right[j]
            y_left[i] += h
            y_right[j] += h
            if n < SMALLEST * min(flow[i].sum(), flow[:, j].sum()) and not linked[i, j]:
                continue
            path = (
                f"M{x0:.1f} {top:.1f}C{middle:.1f} {top:.1f} {middle:.1f} {bottom:.1f} {x1:.1f} {bottom:.1f}"
                f"v{h:.1f}C{middle:.1f} {bottom + h:.1f} {middle:.1f} {top + h:.1f} {x0:.1f} {top + h:.1f}z"
            )
            strong = " linked" if linked[i, j] else ""
            parts.append(
                f'<path class="ribbon tone-{i % TONES}{strong}" d="{path}"><title>{i} → {j}: {n} samples</title></path>'
            )
    return parts


def _node(
    side: str, k: int, y: float, n: int, unit: float, x: float, words: Sequence[str], new: bool
) -> str:  # fmt: skip
    height = max(n * unit, 2.0)
    tone = f"tone-{k % TONES}" if side == "before" else "after"
    at, anchor = (x - 8, "end") if side == "before" else (x + NODE + 8, "start")
    text = escape(f"{k} · {', '.join(words)}" + (" (new)" if new else ""))
    link = f' href="#concept-{k}"' if side == "before" else ""
    return (
        f"<a{link}><title>concept {k} {side}: {n} samples</title>"
        f'<rect class="node {tone}{" new" if new else ""}" x="{x}" y="{y:.1f}" width="{NODE}" height="{height:.1f}"/>'
        f'<text x="{at}" y="{y + max(height, 13) / 2 + 4:.1f}" text-anchor="{anchor}" font-size="12">{text}</text></a>'
    )
