"""What a model says of samples, and how probable texts are to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from vitrail.finetuning.forcing import teacher_forced
from vitrail.lmm import LMM
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
    said: list[str] = []
    for start in range(0, len(samples), batch_size):
        inputs = lmm.prepare_samples(samples[start : start + batch_size])
        said += [g.text.strip() for g in lmm.generate(inputs, max_new_tokens)]
        progress("say", len(said), len(samples))
    return said


@torch.inference_mode()
def surprise(
    lmm: LMM, samples: Sequence[Sample], texts: Sequence[str], *, batch_size: int = 32
) -> Float[np.ndarray, " n"]:
    """The mean negative log-likelihood per token (nats) of each text after its sample's request, end token included.

    `exp` of the mean is the perplexity. Outside a `steer` block, it is that of the unsteered model.
    """
    found: list[float] = []
    examples = [Example(s, t) for s, t in zip(samples, texts, strict=True)]
    for start in range(0, len(examples), batch_size):
        predicted = teacher_forced(lmm, examples[start : start + batch_size]).predictions(lmm)
        places = predicted.places.cpu()
        losses = torch.zeros(places.shape)
        losses[places] = torch.nn.functional.cross_entropy(predicted.logits, predicted.targets, reduction="none").cpu()
        found += (losses.sum(1) / places.sum(1)).tolist()
    return np.array(found)
