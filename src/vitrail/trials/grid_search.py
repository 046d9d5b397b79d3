"""Where to steer and how strongly: every layer and strength on one half of the samples, the choice on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.artifacts import write_json, write_manifest
from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.steering.apply import steer
from vitrail.steering.interventions import Intervention
from vitrail.trials.outcome import Judge, Narrowness, Outcome, narrowness
from vitrail.trials.tasks import Task, say

KIND = "steering search"
FILE = "search.json"
ALPHAS = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Point:
    """One layer and one strength, and what came of it on the half that chooses."""

    layer: Layer
    alpha: float
    outcome: Outcome

    def as_dict(self) -> dict[str, Any]:
        return {"layer": self.layer, "alpha": self.alpha, **self.outcome.as_dict()}


@dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        points: all that was tried, on the half that chooses.
        picked: the one with the largest effect within the budget; None when none is within it.
        held_out: what it does on the other half; None without a pick.
        plain: no steering, on the other half.
        unsteered: no steering, on the half that chooses.
        front: the places in `points` of those that no other beats in both effect and cost.
    """

    task: str
    budget: float
    points: tuple[Point, ...]
    picked: Point | None
    held_out: Outcome | None
    plain: Outcome
    unsteered: Outcome
    front: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "budget": self.budget,
            "points": [p.as_dict() for p in self.points],
            "picked": None if self.picked is None else self.picked.as_dict(),
            "held_out": None if self.held_out is None else self.held_out.as_dict(),
            "plain": self.plain.as_dict(),
            "unsteered": self.unsteered.as_dict(),
            "front": list(self.front),
        }


def halves(samples: Sequence[Sample], seed: int = 0) -> tuple[list[Sample], list[Sample]]:
    """Two halves with no image in both: one to choose on, one to report on.

    Raises:
        UsageError: fewer than two images.
    """
    names = sorted({s.name for s in samples})
    if len(names) < 2:
        raise UsageError(
            "A search needs samples of two images or more: it chooses on one half and reports on the other."
        )
    first = set(np.random.default_rng([seed, 5]).permutation(names)[: len(names) // 2].tolist())
    return [s for s in samples if s.name in first], [s for s in samples if s.name not in first]


def search(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    made: Mapping[Layer, Callable[[float], Intervention]],
    *,
    alphas: Sequence[float] = ALPHAS,
    budget: float = 0.10,
    scorer: ImageTextScorer | None = None,
    batch_size: int = 32,
    seed: int = 0,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> Found:
    """The layer and strength with the largest effect whose cost (`Outcome.cost`) is at most `budget`.

    It is chosen on one half of `samples`, and what is reported of it, and of no steering, is of the other half
    (Wu et al. 2025, AxBench).

    Args:
        made: layer → from a strength to the intervention that is tried.
        out: a folder for `search.json`, if it is to be kept.
    """
    if not made or not alphas:
        raise UsageError("A search needs layers and strengths to try.")
    choose, report = halves(samples, seed)
    limit = task.max_new_tokens
    at_first = say(lmm, choose, max_new_tokens=limit, batch_size=batch_size)
    judge = Judge(task, choose, at_first, lmm, scorer)
    points: list[Point] = []
    tries = [(layer, alpha) for layer in made for alpha in alphas]
    for layer, alpha in tries:
        with steer(lmm, made[layer](alpha)):
            said = say(lmm, choose, max_new_tokens=limit, batch_size=batch_size)
        points.append(Point(layer, alpha, judge.judge(said)))
        progress("search", len(points), len(tries))
    picked = _pick(points, budget)
    before = say(lmm, report, max_new_tokens=limit, batch_size=batch_size)
    final = Judge(task, report, before, lmm, scorer)
    held_out = None
    if picked is not None:
        with steer(lmm, made[picked.layer](picked.alpha)):
            said = say(lmm, report, max_new_tokens=limit, batch_size=batch_size)
        held_out = final.judge(said)
    unsteered = judge.judge(at_first)
    found = Found(task.name, budget, tuple(points), picked, held_out, final.judge(before), unsteered, pareto(points))
    if out is not None:
        write_json(Path(out) / FILE, found.as_dict())
        write_manifest(
            Path(out), KIND, {"parameters": {"task": task.name, "budget": budget, "model": lmm.describe().as_dict()}}
        )
    return found


def _pick(points: Sequence[Point], budget: float) -> Point | None:
    allowed = [p for p in points if p.outcome.cost <= budget]
    return max(allowed, key=lambda p: (p.outcome.effect["mean"], -p.outcome.cost), default=None)


def pareto(points: Sequence[Point]) -> tuple[int, ...]:
    """Places of the points that no other beats: none has as much effect at less cost, or more at as little."""
    pairs = [(p.outcome.effect["mean"], p.outcome.cost) for p in points]
    return tuple(
        i for i, (e, c) in enumerate(pairs)
        if not any(e2 >= e and c2 <= c and (e2, c2) != (e, c) for e2, c2 in pairs)
    )  # fmt: skip


@dataclass(frozen=True)
class Ranked:
    """The intervention at `place` among those that were ranked, and how narrow its effect is."""

    place: int
    narrowness: Narrowness


def rank_by_narrowness(
    lmm: LMM,
    samples: Sequence[Sample],
    interventions: Sequence[Intervention],
    *,
    max_new_tokens: int = 8,
    batch_size: int = 32,
    progress: Progress = silent,
) -> list[Ranked]:
    """Interventions, such as fine vectors, in the order of how narrow their effect surely is (`Narrowness.low`).

    One that changed a single text has shown little, one that changed nothing comes last; see `outcome.narrowness`.
    """
    before = say(lmm, samples, max_new_tokens=max_new_tokens, batch_size=batch_size)
    found = []
    for place, one in enumerate(interventions):
        with steer(lmm, one):
            said = say(lmm, samples, max_new_tokens=max_new_tokens, batch_size=batch_size)
        found.append(Ranked(place, narrowness(said, before)))
        progress("rank", len(found), len(interventions))
    return sorted(found, key=lambda f: -f.narrowness.low)
