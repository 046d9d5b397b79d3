"""Maps that others draw, to compare with: they look at the tokens of the image, not at what changes the target."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitrail.lmm.coordinates import Places
from vitrail.maps.question import Question


def projection(question: Question) -> Float[np.ndarray, "images targets height width"]:
    """Maps by projection: the states of the image's own tokens in the concepts' layer along each concept, less the mean
    over the image. The word's own direction there is that which its logit grows in."""
    places, where = _tokens(question)
    rows, positions = (found.tolist() for found in where.nonzero(as_tuple=True))
    targets = question.targets
    read = question.lmm.states(question.inputs, question.continuations, positions, targets.layers, rows)
    states = {layer: s.float().reshape(len(question.images), len(places.boxes), -1) for layer, s in read.items()}
    along = torch.from_numpy(targets.learner.components_[np.array(targets.concepts)]).float()
    found = torch.einsum("npd,ntd->ntp", states[targets.layer], along)
    if targets.words is not None:
        word = question.lmm.logit_derivatives(states["final"][:, 0], targets.words).float()
        found = torch.cat([found, torch.einsum("npd,nd->np", states["final"], word)[:, None]], dim=1)
    found = found - found.mean(-1, keepdim=True)
    return np.stack([places.raster(one, *question.shape) for one in found.double().numpy()])


def rollout(question: Question) -> Float[np.ndarray, "images targets height width"]:
    """Maps by attention rollout (Abnar & Zuidema 2020): the attention from the word's state to each token of the image,
    with the residual stream as half of it, multiplied over the blocks. It is the same for every target."""
    places, where = _tokens(question)
    asked = question.asked()
    batch = question.lmm.extended(question.inputs, question.continuations)
    flows = None
    for attention in question.lmm.attentions(batch):
        mean = attention.float().mean(1)
        step = (mean + torch.eye(mean.shape[-1], device=mean.device)) / 2
        step = step / step.sum(-1, keepdim=True)
        flows = step if flows is None else step @ flows
    assert flows is not None
    found = torch.stack([flow[at][at_image] for flow, at, at_image in zip(flows, asked.positions, where, strict=True)])
    drawn = np.stack([places.raster(one[None].double().cpu().numpy(), *question.shape) for one in found])
    return np.repeat(drawn, len(question.targets), axis=1)


def _tokens(question: Question) -> tuple[Places, Bool[Tensor, "images positions"]]:
    """The pieces of the image that its tokens stand for, and where these tokens are."""
    asked = (question.inputs, question.continuations, question.requests)
    return question.places("tokens"), question.lmm.whole(*asked, "image")
