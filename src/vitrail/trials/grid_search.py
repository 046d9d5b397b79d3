"""Where to steer and how strongly: every layer and strength on one half of the samples, the choice on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.artifacts import one_writer, read_finished, read_made, typed, write_manifest, write_sealed
from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.positions import Positions
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.steering.apply import steer
from vitrail.steering.artifact import Steering
from vitrail.steering.interventions import Intervention
from vitrail.steering.tasks import Task
from vitrail.trials.judge import Judge
from vitrail.trials.options import SearchOptions
from vitrail.trials.outcome import Outcome
from vitrail.trials.texts import say

KIND = "steering search"
FILE = "search.json"
#: From a strength to the intervention that is tried.
AtStrength = Callable[[float], Intervention]


@dataclass(frozen=True)
class Trial:
    """One layer and one strength, and the outcome on the half that chooses."""

    layer: Layer
    alpha: float
    outcome: Outcome

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"layer": self.layer, "alpha": self.alpha, **self.outcome.as_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trial:
        """The trial whose `as_dict` is `values`."""
        layer: Layer = typed(values["layer"], Layer)  # type: ignore[arg-type]
        return cls(layer, typed(values["alpha"], float), Outcome.from_dict(values))


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Args:
        task: its name.
        budget: the largest cost that may be picked.
        trials: all that was tried, on the half that chooses; "points" in JSON.
        picked: the one with the largest effect within the budget whose texts are not broken; None where there is none.
        held_out: the outcome of the picked one on the other half; None without one.
        plain: no steering, on the other half.
        unsteered: no steering, on the half that chooses.
        front: the places in `trials` of those that no other beats in both effect and cost.
    """

    task: str
    budget: float
    trials: tuple[Trial, ...]
    picked: Trial | None
    held_out: Outcome | None
    plain: Outcome
    unsteered: Outcome
    front: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """The content of `search.json`."""
        return {
            "task": self.task,
            "budget": self.budget,
            "points": [t.as_dict() for t in self.trials],
            "picked": None if self.picked is None else self.picked.as_dict(),
            "held_out": None if self.held_out is None else self.held_out.as_dict(),
            "plain": self.plain.as_dict(),
            "unsteered": self.unsteered.as_dict(),
            "front": list(self.front),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchResult:
        """The result whose `as_dict` is `values`."""
        picked, held_out = values["picked"], values["held_out"]
        return cls(
            typed(values["task"], str),
            typed(values["budget"], float),
            tuple(map(Trial.from_dict, values["points"])),
            None if picked is None else Trial.from_dict(picked),
            None if held_out is None else Outcome.from_dict(held_out),
            Outcome.from_dict(values["plain"]),
            Outcome.from_dict(values["unsteered"]),
            typed(values["front"], tuple[int, ...]),
        )


def open_search(folder: str | Path) -> SearchResult:
    """The search in `folder`.

    Raises:
        ArtifactError: missing, damaged or newer.
    """
    folder = Path(folder)
    read_finished(folder, KIND, "search")
    return read_made(folder / FILE, SearchResult.from_dict, "search")


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


def candidates(steering: Steering, positions: Positions | None = None) -> dict[Layer, AtStrength]:
    """Layer → what a search tries there: each vector of `steering` by itself, or its learned functions together."""

    def at_strength(one: Steering) -> AtStrength:
        return lambda alpha: one.intervention(alpha, positions=positions)

    if not steering.method.is_vector:
        return {steering.layers[0]: at_strength(steering)}
    return {layer: at_strength(steering.only(layer)) for layer in steering.layers}


@dataclass(frozen=True)
class _Half:
    """One half of the samples, with what the unsteered model says of it, and its judge."""

    lmm: LMM
    samples: Sequence[Sample]
    before: Sequence[str]
    judge: Judge
    batch_size: int

    def unsteered(self) -> Outcome:
        return self.judge.judge(self.before)

    def steered(self, intervention: Intervention) -> Outcome:
        limit = self.judge.task.max_new_tokens
        with steer(self.lmm, intervention):
            said = say(self.lmm, self.samples, max_new_tokens=limit, batch_size=self.batch_size)
        return self.judge.judge(said)  # outside the block: perplexity is that of the unsteered model


def _half(lmm: LMM, task: Task, samples: Sequence[Sample], scorer: ImageTextScorer | None, batch_size: int) -> _Half:
    before = say(lmm, samples, max_new_tokens=task.max_new_tokens, batch_size=batch_size)
    return _Half(lmm, samples, before, Judge(task, samples, before, lmm, scorer, batch_size), batch_size)


@one_writer
def search(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    tried: Mapping[Layer, AtStrength],
    options: SearchOptions | None = None,
    *,
    scorer: ImageTextScorer | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """The layer and strength with the largest effect whose cost is within the budget and whose texts are not broken.

    It is chosen on one half of `samples`; its outcome and that of no steering are reported on the other half (Wu et al.
    2025, AxBench).

    Args:
        tried: layer → from a strength to an intervention; see `candidates`.
        scorer: for CLIPScore; None leaves it out.
        out: a folder for `search.json`; None writes nothing.

    Raises:
        UsageError: nothing to try, a layer that is named twice, or samples of a single image.
        DataError: no sample of a half counts for the task.
    """
    options = options or SearchOptions()
    grid = {(layer, a): tried[layer](a) for layer in lmm.own_names(tried).values() for a in options.alphas}
    if not grid:
        raise UsageError("A search needs layers and strengths to try.")
    choosing, reporting = halves(samples, options.seed)
    first = _half(lmm, task, choosing, scorer, options.batch_size)
    trials: list[Trial] = []
    for (layer, alpha), intervention in grid.items():
        trials.append(Trial(layer, alpha, first.steered(intervention)))
        progress("search", len(trials), len(grid))
    picked = pick(trials, options.budget)
    second = _half(lmm, task, reporting, scorer, options.batch_size)
    held_out = None if picked is None else second.steered(grid[picked.layer, picked.alpha])
    plain, unsteered = second.unsteered(), first.unsteered()
    found = SearchResult(
        task.name, options.budget, tuple(trials), picked, held_out, plain, unsteered, pareto_front(trials)
    )
    if out is not None:
        _write(Path(out), found, lmm)
    return found


def _write(out: Path, found: SearchResult, lmm: LMM) -> None:
    write_sealed(out / FILE, found.as_dict())
    parameters = {"task": found.task, "budget": found.budget, "model": lmm.describe().as_dict()}
    write_manifest(out, KIND, {"parameters": parameters}, [FILE])


def pick(trials: Sequence[Trial], budget: float) -> Trial | None:
    """The trial with the largest effect within the budget, of several the cheapest; broken texts are never picked. None
    where there is none."""
    allowed = [t for t in trials if t.outcome.cost <= budget and not t.outcome.loss.broken]
    return max(allowed, key=lambda t: (t.outcome.effect.mean, -t.outcome.cost), default=None)


def pareto_front(trials: Sequence[Trial]) -> tuple[int, ...]:
    """Places of the trials that no other beats: none has as much effect at less cost, or more at as little."""
    pairs = [(t.outcome.effect.mean, t.outcome.cost) for t in trials]

    def beaten(effect: float, cost: float) -> bool:
        return any(e >= effect and c <= cost and (e, c) != (effect, cost) for e, c in pairs)

    return tuple(i for i, pair in enumerate(pairs) if not beaten(*pair))
