"""Trains parameters by the loss of answers, while the model is steered or not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from vitrail.finetuning import TrainingOptions
from vitrail.finetuning.training import Training
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.samples.examples import Example
from vitrail.steering.apply import steer
from vitrail.steering.interventions import Intervention

log = logging.getLogger(__name__)


def train_by_answers(
    lmm: LMM,
    parameters: dict[str, nn.Parameter],
    examples: Sequence[Example],
    options: TrainingOptions,
    *,
    out: Path,
    edits: Sequence[Intervention] = (),
    progress: Progress = silent,
) -> None:
    """Trains `parameters` in place by the loss of the examples' answers, while `edits` steer `lmm`.

    Args:
        parameters: name → what is trained.
        out: the folder of the loss curve and of the state from which a stopped run goes on.

    Raises:
        DataError: too few examples to hold some out.
        NumericsError: the loss is not finite.
    """
    if edits:
        with steer(lmm, *edits):
            return train_by_answers(lmm, parameters, examples, options, out=out, progress=progress)
    training = Training(lmm, parameters, examples, options, out)
    training.run(progress)
    if training.finish().best == 0:
        log.warning(
            "%s: training did not lower the loss on held-out examples, so that what is kept changes nothing. Try "
            "another layer, other positions, more steps, or more samples.",
            out,
        )
    return None
