"""Maps by gradients: how a target changes with what the model sees of each piece, times what it sees there.

*At the connector's output* a piece is a token of the image: which tokens carry the concept. *At the pixels* it is a
patch, and the gradient goes through the vision encoder: which part of the picture put the concept there.

| method | share of a piece, with what enters `x`, a baseline `x₀` and a target `v` |
|---|---|
| gradient × input | `(x − x₀) · ∂v/∂x` (Shrikumar et al. 2016) |
| integrated gradients | `(x − x₀) · ∫₀¹ ∂v/∂x (x₀ + a (x − x₀)) da` (Sundararajan et al. 2017) |

Integrated gradients add up to `v(x) − v(x₀)`, but for the error of a sum of few steps in place of the integral.
The baseline is what an image without its contents gives: at the connector's output the mean of the image's own tokens;
at the pixels the image blurred, so that its colours stay and its shapes go.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageFilter
from torch import Tensor

from vitrail.lmm.sight import pixels_of
from vitrail.lmm.tracing import Entrance
from vitrail.maps.question import Question
from vitrail.samples import frames_of, replaced

#: The standard deviation of the blur, as a share of the image's longer side.
BLUR = 0.1


def gradient(question: Question, entrance: Entrance) -> Float[np.ndarray, "images targets height width"]:
    """Maps by gradient × input."""
    asked = question.asked()
    traced = question.lmm.trace(asked, entrance)
    entered = traced.entered.detach().float()
    slopes = traced.back(question.targets.gradients(traced.states))
    return _drawn(question, entrance, slopes * (entered - _baseline(question, entered, entrance)))


def integrated(question: Question, entrance: Entrance) -> Float[np.ndarray, "images targets height width"]:
    """Maps by integrated gradients, by the midpoint rule."""
    asked, steps = question.asked(), question.options.steps
    lmm, targets = question.lmm, question.targets
    traced = lmm.trace(asked, entrance)
    entered = traced.entered.detach().float()
    away = entered - (baseline := _baseline(question, entered, entrance))
    slopes = torch.zeros(())
    for step in range(steps):
        traced = lmm.trace(asked, entrance, baseline + (step + 0.5) / steps * away)
        slopes = slopes + traced.back(targets.gradients(traced.states)) / steps
    return _drawn(question, entrance, slopes * away)


def _baseline(question: Question, entered: Tensor, entrance: Entrance) -> Float[Tensor, "images views ..."]:
    """What an image without its contents gives; see the module."""
    if entrance == "connector":
        mean = entered.flatten(1, -2).mean(1)
        return mean.reshape(len(entered), *[1] * (entered.ndim - 2), entered.shape[-1]).expand_as(entered)
    blurred = [replaced(image, list(map(_blurred, frames_of(image)))) for image in question.images]
    pixels = pixels_of(question.lmm.prepare(blurred, question.requests))[1]
    return pixels.float().reshape(entered.shape)


def _blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(BLUR * max(image.size)))


def _drawn(
    question: Question, entrance: Entrance, shares: Float[Tensor, "targets images ..."]
) -> Float[np.ndarray, "images targets height width"]:
    """The shares of all numbers that entered, added up in each piece and drawn in the images."""
    places = question.places(entrance)
    of_images = shares.transpose(0, 1).cpu().numpy().astype(np.float64)
    if entrance == "connector":
        pieces = of_images.sum(-1).reshape(*of_images.shape[:2], -1)
    else:
        pieces = np.stack([places.sums(one) for one in of_images])
    return np.stack([places.raster(one, *question.shape) for one in pieces])


gradient_of_tokens = partial(gradient, entrance="connector")
integrated_of_tokens = partial(integrated, entrance="connector")
gradient_of_pixels = partial(gradient, entrance="pixels")
integrated_of_pixels = partial(integrated, entrance="pixels")
