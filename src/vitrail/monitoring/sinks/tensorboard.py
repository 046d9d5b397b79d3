"""Curves and histograms in TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vitrail.artifacts import check_target
from vitrail.monitoring.observation import Observation
from vitrail.monitoring.sinks.base import Notice, Watched, needed

#: So many observations make a point of the curves.
TOGETHER = 100


class ToTensorBoard:
    """Writes event files: for each hundred observations the share of answers in which a concept is active, its mean
    strength, the histogram of its strengths, and the novelty. The step is the number of observations so far.

    Args:
        address: the folder of the event files; what is there stays.

    Raises:
        UsageError: TensorBoard is not installed.
        ArtifactError: the address is a file.
    """

    def __init__(self, address: str) -> None:
        needed("tensorboard", "tensorboard")
        folder = Path(address)
        check_target(folder)
        self._writer = needed("torch.utils.tensorboard", "tensorboard").SummaryWriter(folder)
        self._names: dict[str, tuple[str, ...]] = {}
        self._held: dict[str, list[Observation]] = {}
        self._steps: dict[str, int] = {}

    def begin(self, watched: Sequence[Watched]) -> None:
        """Keeps the names of the concepts."""
        self._names |= {f"{one.word}@{one.layer}": one.names for one in watched}

    def write(self, observations: Sequence[Observation]) -> None:
        """Holds them until there are enough for a point."""
        for one in observations:
            if not one.ordinary:
                continue
            key = f"{one.word}@{one.layer}"
            held = self._held.setdefault(key, [])
            held.append(one)
            if len(held) >= TOGETHER:
                self._point(key)

    def _point(self, key: str) -> None:
        held = self._held.pop(key)
        step = self._steps[key] = self._steps.get(key, 0) + len(held)
        strengths, at = np.array([one.strengths for one in held]), held[-1].time
        names = self._names.get(key, ("",) * strengths.shape[1])
        self._writer.add_scalar(f"{key}/novelty", float(np.mean([one.error for one in held])), step, at)
        for k, (name, column) in enumerate(zip(names, strengths.T, strict=True)):
            label = f"{k} {name}".strip()
            self._writer.add_scalar(f"{key}/active/{label}", float((column != 0).mean()), step, at)
            self._writer.add_scalar(f"{key}/strength/{label}", float(column.mean()), step, at)
            self._writer.add_histogram(f"{key}/strengths/{label}", column, step, walltime=at)

    def alarm(self, notice: Notice) -> None:
        """Writes it as a text."""
        key = f"{notice.word}@{notice.layer}"
        self._writer.add_text(f"{key}/alarms", notice.text, self._steps.get(key, 0), notice.time)

    def flush(self) -> None:
        """Writes a point of those that are held."""
        for key in list(self._held):
            self._point(key)
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()
