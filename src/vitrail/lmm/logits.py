"""What a model does to its logits around the unembedding: nothing, a scale, a soft cap. Found on the model itself.

Configurations name such numbers, and do not say whether a model multiplies by them, divides, or uses them at all
(`logits_scaling` divides in Granite, multiplies in HyperCLOVA X, and does nothing in a LLaVA over Granite).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from vitrail.lmm import hooks
from vitrail.lmm.finding import Look
from vitrail.lmm.parts import Parts, place, text_config, text_pass, translates, unwrapped

log = logging.getLogger(__name__)

#: What configurations call a factor of the logits, and a cap.
FACTORS = (
    "logits_scaling",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scale",
    "logits_mup_width_multiplier",
)
CAPS = ("final_logit_softcapping", "logit_softcap", "softcap")
#: The largest relative error of logits that are the model's, by the dtype of its weights.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}


@dataclass(frozen=True)
class AfterUnembedding:
    """The model's logits from `W_U · final state`; a scale may stand before the unembedding (muP, T5) or after it.

    A scale changes no order of words, and no ratio of their differences. A cap keeps their order, and shrinks the
    differences of large logits.

    Args:
        scale: what they are multiplied by.
        cap: what they are bent to stay below, `cap · tanh(logit / cap)`; None for no cap.
    """

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        scaled = logits if self.scale == 1 else self.scale * logits
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)

    def __str__(self) -> str:
        said = [] if self.scale == 1 else [f"scaled by {self.scale:g}, which changes no order of words"]
        if self.cap is not None:
            said.append(f"capped at {self.cap:g} (tanh), which shrinks the differences of large logits")
        return "; ".join(said)


_known: WeakKeyDictionary[nn.Module, AfterUnembedding] = WeakKeyDictionary()


def after_unembedding(model: Any, parts: Parts, look: Look | None = None) -> AfterUnembedding:
    """What `model` does to `W_U` times what its final norm gives, to get its logits.

    Where its configuration names a factor or a cap, or an encoder reads its requests (T5 has a factor that no
    configuration names), one pass over four tokens, or `look` for a model that cannot read text without an image, shows
    what becomes of them, the first time. A model that runs neither is taken to use the cap alone, and the doctor checks
    that.
    """
    base = unwrapped(model)
    if base not in _known:
        _known[base] = _found(base, parts, look)
    return _known[base]


def _found(base: Any, parts: Parts, look: Look | None) -> AfterUnembedding:
    factors, caps = _numbers(base, FACTORS), _numbers(base, CAPS)
    if not factors and not caps and not translates(base):
        return AfterUnembedding()
    usual = AfterUnembedding(cap=caps[0] if caps else None)
    seen = None
    for run in (partial(text_pass, base), look):
        try:
            seen = seen or (None if run is None else _pass(run, parts))
        except Exception as error:  # whatever a model raises that needs an image
            log.debug("the logits of %s could not be looked at: %s", type(base).__name__, error)
    if seen is None:
        return usual
    before, after = seen
    real = after > -1e30  # some models forbid tokens
    measured = float((after[real] @ before[real]) / (before[real] @ before[real]).clamp_min(1e-9))
    tolerance = _TOLERANCE.get(place(parts.unembedding)[1], 3e-2)
    errors = {choice: _error(choice(before), after) for choice in _choices(factors, caps)}
    best = min(errors, key=lambda choice: errors[choice])
    if errors[best] > tolerance:  # no number of the configuration explains it
        best, errors = AfterUnembedding(measured), {AfterUnembedding(measured): _error(measured * before, after)}
    return best if errors[best] <= tolerance else usual


def _numbers(base: Any, names: tuple[str, ...]) -> list[float]:
    """The values that the configurations of a model have under these names."""
    values = [getattr(config, name, None) for config in (text_config(base), base.config) for name in names]
    return list(dict.fromkeys(float(v) for v in values if isinstance(v, int | float) and v not in (0, True, False)))


def _choices(factors: list[float], caps: list[float]) -> Iterator[AfterUnembedding]:
    """What a model may do with these numbers; nothing comes first."""
    for scale, cap in product([1.0, *factors, *(1 / f for f in factors)], [None, *caps]):
        yield AfterUnembedding(scale, cap)


@torch.inference_mode()
def _pass(run: Look, parts: Parts) -> tuple[Tensor, Tensor]:
    """(vocabulary,) float32 of the last token of a pass: `W_U` times the final state, and the model's logits."""
    seen: list[Tensor] = []
    final = parts.blocks[-1] if isinstance(parts.norm, nn.Identity) else parts.norm
    with hooks.watch({"final": final}, lambda _, states: seen.append(states[0, -1].clone())):
        out = run()
    device, dtype = place(parts.unembedding)
    before, after = parts.unembedding(seen[-1].to(device, dtype)).float().cpu(), out.logits[0, -1].float().cpu()
    n = min(len(before), len(after))
    return before[:n], after[:n]


def _error(found: Tensor, expected: Tensor) -> float:
    real = expected > -1e30  # some models forbid tokens
    scale = expected[real].abs().max().clamp_min(1e-9)
    return float((found[real] - expected[real]).abs().max() / scale)
