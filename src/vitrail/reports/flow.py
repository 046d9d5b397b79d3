"""The flow of samples from the concepts before to the concepts after, as an inline SVG that takes its colours from the
page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from markupsafe import Markup, escape

from vitrail.reports.charts import TONES

WIDTH, NODE, GAP, LABELS = 960, 14, 7, 280
X_LEFT, X_RIGHT = LABELS, WIDTH - LABELS - NODE
#: Height of all samples together, in pixels.
HEIGHT = 560
#: A flow with a smaller share of its concept than this is not drawn: it would be too thin to see.
SMALLEST = 0.04


@dataclass(frozen=True)
class _Node:
    """A concept in the picture: its place, its number of samples, and its height in pixels."""

    k: int
    y: float
    n: int
    height: float


def flow_picture(
    flow: Int[np.ndarray, "k_a k_b"],
    linked: Bool[np.ndarray, "k_a k_b"],
    before: Sequence[str],
    after: Sequence[str],
    *,
    emerged: Collection[int] = (),
) -> Markup:
    """Concepts before (left) and after (right), joined by ribbons; heights are numbers of samples.

    Args:
        flow: counts of the samples that go from one concept to another.
        linked: which ribbons are drawn strongly.
        before: the title of each concept; `after` likewise.
        emerged: concepts after that are marked as new.
    """
    if not flow.sum():
        return Markup("")
    unit = HEIGHT / flow.sum()
    sizes_before, sizes_after = flow.sum(1), flow.sum(0)
    order_before = sorted(range(len(sizes_before)), key=lambda i: (-sizes_before[i], i))
    rank = {i: n for n, i in enumerate(order_before)}
    order_after = sorted(range(len(sizes_after)), key=lambda j: _centre(flow[:, j], rank))
    left, right = _column(order_before, sizes_before, unit), _column(order_after, sizes_after, unit)
    parts = _ribbons(flow, linked, left, right)
    parts += [_node_before(node, before[node.k]) for node in left]
    parts += [_node_after(node, after[node.k], node.k in emerged) for node in right]
    height = max(_end(left), _end(right)) + 4
    label = f"how the samples of {flow.shape[0]} concepts before go to {flow.shape[1]} concepts after"
    return Markup(
        f'<svg class="chart flow" role="group" aria-label="{label}" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}">'
        + "".join(parts)
        + "</svg>"
    )


def _centre(column: np.ndarray, rank: dict[int, int]) -> float:
    """The mean rank of the concepts that a concept's samples come from: sorted by it, few ribbons cross."""
    total = column.sum()
    return float(sum(rank[i] * n for i, n in enumerate(column)) / total) if total else float(len(rank))


def _column(order: Sequence[int], sizes: np.ndarray, unit: float) -> list[_Node]:
    """The nodes of one side from top to bottom, each with room for its label."""
    nodes: list[_Node] = []
    for k in order:
        nodes.append(_Node(k, _end(nodes) if nodes else 4.0, int(sizes[k]), sizes[k] * unit))
    return nodes


def _end(nodes: Sequence[_Node]) -> float:
    """Where the next node below may begin."""
    return nodes[-1].y + max(nodes[-1].height, 13.0) + GAP


def _ribbons(flow: np.ndarray, linked: np.ndarray, left: Sequence[_Node], right: Sequence[_Node]) -> list[str]:
    unit = HEIGHT / flow.sum()
    next_left, next_right = {a.k: a.y for a in left}, {b.k: b.y for b in right}
    parts = []
    for a in left:
        for b in right:
            n = int(flow[a.k, b.k])
            height, y_left, y_right = n * unit, next_left[a.k], next_right[b.k]
            next_left[a.k] += height
            next_right[b.k] += height
            if n and (linked[a.k, b.k] or n >= SMALLEST * min(a.n, b.n)):
                strong = " linked" if linked[a.k, b.k] else ""
                parts.append(
                    f'<path class="ribbon tone-{a.k % TONES}{strong}" d="{_ribbon(y_left, y_right, height)}">'
                    f"<title>{a.k} → {b.k}: {n} samples</title></path>"
                )
    return parts


def _ribbon(y_left: float, y_right: float, height: float) -> str:
    """The path of a ribbon between the two columns; `y_left` and `y_right` are its upper ends."""
    x0, x1 = X_LEFT + NODE, X_RIGHT
    middle = (x0 + x1) / 2
    low_left, low_right = y_left + height, y_right + height
    return (
        f"M{x0:.1f} {y_left:.1f}C{middle:.1f} {y_left:.1f} {middle:.1f} {y_right:.1f} {x1:.1f} {y_right:.1f}"
        f"v{height:.1f}C{middle:.1f} {low_right:.1f} {middle:.1f} {low_left:.1f} {x0:.1f} {low_left:.1f}z"
    )


def _node_before(node: _Node, title: str) -> str:
    return (
        f'<a href="#concept-{node.k}"><title>concept {node.k} before: {node.n} samples</title>'
        f"{_rectangle(node, X_LEFT, f'tone-{node.k % TONES}')}{_label(node, X_LEFT - 8, 'end', title)}</a>"
    )


def _node_after(node: _Node, title: str, new: bool) -> str:
    look, note = ("after new", " (new)") if new else ("after", "")
    return (
        f"<a><title>concept {node.k} after: {node.n} samples</title>"
        f"{_rectangle(node, X_RIGHT, look)}{_label(node, X_RIGHT + NODE + 8, 'start', title, note)}</a>"
    )


def _rectangle(node: _Node, x: float, look: str) -> str:
    height = max(node.height, 2.0)
    return f'<rect class="node {look}" x="{x}" y="{node.y:.1f}" width="{NODE}" height="{height:.1f}"/>'


def _label(node: _Node, x: float, anchor: str, title: str, note: str = "") -> str:
    text = escape(f"{node.k}  {title}{note}")
    y = node.y + max(node.height, 13) / 2 + 4
    return f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" font-size="12">{text}</text>'
