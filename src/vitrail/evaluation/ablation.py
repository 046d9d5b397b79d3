"""Does the model use a concept? The concept is taken out of the state while the model generates captions, and words
that are lost are counted; the control takes out a random vector of the same norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.activations import ExtractionOptions
from vitrail.artifacts import KeptParts
from vitrail.concepts import Concepts
from vitrail.evaluation.inputs import Lexicon
from vitrail.evaluation.measures import WordList
from vitrail.evaluation.results import (
    AblatedConcept,
    Ablation,
    AblationCounts,
    AblationEffect,
    FactorValue,
    PropertyScores,
)
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.samples.bounds import batches
from vitrail.scores import estimate, paired_p
from vitrail.words import Word
from vitrail.words.captions import spoken


@dataclass(frozen=True)
class Target:
    """What is looked for in captions when a concept is taken out: its words, and the names of its factor value."""

    words: WordList
    factor: str | None = None
    value: FactorValue | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Captioned:
    """Held-out samples, their activations `V` and the captions that the model gives them.

    Args:
        most: samples per concept: those that activate it most.
    """

    samples: Sequence[Sample]
    V: Float[np.ndarray, "n k"]
    captions: Sequence[str]
    most: int = 16

    def strongest(self, k: int) -> list[int]:
        """The numbers of the samples that activate concept `k` most; those that do not activate it are left out."""
        return [int(i) for i in np.argsort(-self.V[:, k], kind="stable")[: self.most] if self.V[i, k] > 0]


def targets_of(lists: Sequence[WordList], truth: PropertyScores | None, lexicon: Lexicon | None) -> list[Target]:
    """A target for each concept: its words, and the value that it matches best where `lexicon` has names for it."""
    best = {b.concept: b for b in truth.concepts} if truth else {}
    targets = []
    for k, words in enumerate(lists):
        match = best.get(k)
        names = (lexicon or {}).get(match.factor, {}).get(str(match.value), ()) if match else ()
        targets.append(Target(words, match.factor, match.value, names) if match and names else Target(words))
    return targets


def ablate(
    lmm: LMM,
    options: ExtractionOptions,
    concepts: Concepts,
    targets: Sequence[Target],
    held_out: Captioned,
    *,
    seed: int = 0,
    parts: KeptParts | None = None,
    progress: Progress = silent,
) -> Ablation:
    """What captions lose when each concept is removed from the state at every position that generates.

    From a state `h` with activations `v` the share of the concept is removed, `h ← h − (ẑ(v) − ẑ(v | v_k = 0))`. That
    is `v_k u_k` for Semi-NMF and PCA, and the step to the next prototype where concepts are prototypes. The control
    removes `‖…‖ r` for a random unit vector `r`, a new one for every image.

    Args:
        options: how the captions of `held_out` were generated.
        targets: what is looked for in captions, for each concept.
        parts: keeps each concept that is done.
    """
    asked = lmm if options.prompt is None else replace(lmm, prompt=options.prompt)
    rng, parts = np.random.default_rng(seed), parts or KeptParts(None, {})
    found = []
    for k, target in enumerate(targets):
        progress("ablate", k + 1, len(targets))
        rows = held_out.strongest(k)
        if not rows or not target.words:
            continue
        samples = [held_out.samples[i] for i in rows]
        noise = rng.standard_normal((len(rows), lmm.n_features))

        def said(k: int = k, samples: list[Sample] = samples, noise: np.ndarray = noise) -> dict[str, list[str]]:
            texts: dict[str, list[str]] = {"removed": [], "random": []}
            for name, places in product(texts, batches([s.pixels() for s in samples], len(samples))):
                part = slice(places.start, places.stop)
                change = without_concept(concepts, k, noise[part] if name == "random" else None)
                texts[name] += _captions(asked, concepts.layer, samples[part], options.max_new_tokens, change)
            return texts

        texts = parts.value(f"without concept {k}", said, dict[str, list[str]])
        found.append(_ablated(k, target, {"before": [held_out.captions[i] for i in rows], **texts}))
    return Ablation(
        _effect([f.words for f in found], seed),
        _effect([f.values for f in found if f.values is not None], seed),
        tuple(found),
    )


def _ablated(k: int, target: Target, texts: dict[str, list[str]]) -> AblatedConcept:
    """The counts of one concept; `texts` are its captions, named as the fields of `AblationCounts`."""
    words = AblationCounts(**{name: _words_per_text(target.words, t) for name, t in texts.items()})
    values = AblationCounts(**{name: _share_with(target.names, t) for name, t in texts.items()})
    n = len(texts["before"])
    if not target.names:
        return AblatedConcept(k, n, words)
    return AblatedConcept(k, n, words, target.factor, target.value, values)


def _effect(counts: Sequence[AblationCounts], seed: int) -> AblationEffect | None:
    """Means over concepts, and the gain of removing the concept over removing a random vector."""
    if not counts:
        return None
    before, removed, random = (np.array([getattr(c, n) for c in counts]) for n in ("before", "removed", "random"))
    return AblationEffect(
        estimate(before, seed),
        estimate(removed, seed),
        estimate(random, seed),
        estimate(random - removed, seed),
        paired_p(random, removed, seed=seed),
    )


def _words_per_text(words: WordList, texts: Sequence[str]) -> float:
    """How many of `words` a text has, on average."""
    patterns = [Word(w) for w in words]
    return float(np.mean([sum(bool(p.find(text)) for p in patterns) for text in texts]))


def _share_with(words: Sequence[str], texts: Sequence[str]) -> float:
    """The share of texts that have one of `words`."""
    patterns = [Word(w) for w in words]
    return float(np.mean([any(p.find(text) for p in patterns) for text in texts]))


@dataclass(frozen=True)
class Reworded:
    """A caption of an image, and the words that it lost and gained against the one that is usual, in their order."""

    caption: str
    lost: tuple[str, ...]
    gained: tuple[str, ...]

    @classmethod
    def of(cls, caption: str, usual: str) -> Reworded:
        """`caption` against the `usual` one."""
        said, before = spoken(caption), spoken(usual)
        lost, gained = ([w for w in a if w not in b] for a, b in ((before, said), (said, before)))
        return cls(caption.strip(), tuple(dict.fromkeys(lost)), tuple(dict.fromkeys(gained)))


@dataclass(frozen=True)
class Counterfactual:
    """What a model says of an image without one concept.

    Args:
        concept: the row of the concept in `U`.
        removed: what is said without it.
        random: the control: what is said without a random vector of the same norm.
    """

    concept: int
    removed: Reworded
    random: Reworded


def counterfactuals(
    lmm: LMM,
    options: ExtractionOptions,
    concepts: Concepts,
    sample: Sample,
    caption: str,
    chosen: Sequence[int],
    seed: int = 0,
) -> list[Counterfactual]:
    """What the model says of `sample` when one concept is removed from the state at every position that generates; for
    each of the `chosen` concepts, beside its control.

    Args:
        options: how the states of the concepts were extracted.
        caption: what the model says of the sample with all concepts.
        seed: of the random vectors.
    """
    if not chosen:
        return []
    asked = lmm if options.prompt is None else replace(lmm, prompt=options.prompt)
    noise = np.random.default_rng(seed).standard_normal((len(chosen), lmm.n_features))
    removed, random = (
        _captions(
            asked,
            concepts.layer,
            [sample] * len(chosen),
            options.max_new_tokens,
            without_concept(concepts, list(chosen), directions),
        )
        for directions in (None, noise)
    )
    return [
        Counterfactual(k, Reworded.of(without, caption), Reworded.of(control, caption))
        for k, without, control in zip(chosen, removed, random, strict=True)
    ]


def without_concept(
    concepts: Concepts, k: int | Sequence[int], noise: Float[np.ndarray, "n d"] | None = None
) -> Callable[[Float[Tensor, "n d"]], Float[Tensor, "n d"]]:
    """A change of states: they lose concept `k`, or each another one, or a vector of the same norm along `noise`."""
    learner = concepts.learner
    units = None if noise is None else noise / np.linalg.norm(noise, axis=1, keepdims=True)

    def change(states: Tensor) -> Tensor:
        h = states.float().cpu().numpy()
        v = np.asarray(learner.transform(h))
        rest = v.copy()
        rest[np.arange(len(rest)), k] = 0
        share = np.asarray(learner.inverse_transform(v)) - np.asarray(learner.inverse_transform(rest))
        if units is not None:
            share = np.linalg.norm(share, axis=1, keepdims=True) * units
        return states - torch.from_numpy(share).to(states.device, states.dtype)

    return change


def _captions(
    lmm: LMM, layer: Layer, samples: Sequence[Sample], max_new_tokens: int, change: Callable[[Tensor], Tensor]
) -> list[str]:
    """The captions of `samples` while `change` is made to the state at every position that generates."""

    def at_last(_layer: Layer, states: Tensor, _pass: object) -> Tensor:
        return torch.cat([states[:, :-1], change(states[:, -1])[:, None]], dim=1)

    inputs = lmm.prepare_samples(samples)
    with lmm.edited([layer], at_last):
        return [g.text for g in lmm.generate(inputs, max_new_tokens)]
