"""What a model says of samples, and how probable texts are to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from vitrail.finetuning.forcing import teacher_forced
from vitrail.lmm import LMM
from vitrail.lmm.running import in_batches
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.samples.examples import Example


def say(
    lmm: LMM,
    samples: Sequence[Sample],
    *,
    max_new_tokens: int = 40,
    batch_size: int = 32,
    progress: Progress = silent,
) -> list[str]:
    """What the model says of each sample, to its question or to the request for a caption."""

    def answers(batch: Sequence[Sample]) -> list[str]:
        return [g.text.strip() for g in lmm.generate(lmm.prepare_samples(batch), max_new_tokens)]

    return in_batches(
        answers, samples, batch_size, pixels=Sample.pixels, step=lambda n: progress("say", n, len(samples))
    )


@torch.inference_mode()
def surprise(
    lmm: LMM, samples: Sequence[Sample], texts: Sequence[str], *, batch_size: int = 32
) -> Float[np.ndarray, " n"]:
    """The mean negative log-likelihood per token (nats) of each text after its sample's request, end token included.

    `exp` of the mean is the perplexity. Outside a `steer` block, it is that of the unsteered model.
    """

    def losses(batch: Sequence[Example]) -> list[float]:
        predicted = teacher_forced(lmm, batch).predictions(lmm)
        places = predicted.places.cpu()
        each = torch.zeros(places.shape)
        each[places] = torch.nn.functional.cross_entropy(predicted.logits, predicted.targets, reduction="none").cpu()
        return (each.sum(1) / places.sum(1)).tolist()

    examples = [Example(s, t) for s, t in zip(samples, texts, strict=True)]
    return np.array(in_batches(losses, examples, batch_size, pixels=lambda e: e.sample.pixels()))
