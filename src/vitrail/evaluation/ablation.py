"""Is a concept what the model uses? It is taken out of the state while the model speaks, and we look at what it no
longer says; a random vector of the same norm, taken out in the same way, is the control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vitrail.activations import Activations
from vitrail.concepts import Concepts
from vitrail.evaluation.measures import WordList
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.scores import estimate, paired_p
from vitrail.words import Word

#: factor → value → the words that name it.
Lexicon = Mapping[str, Mapping[str, Sequence[str]]]


def ablate(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    lists: Sequence[WordList],
    samples: Sequence[Sample],
    V: np.ndarray,
    said: Sequence[str],
    *,
    n_images: int = 16,
    values: Sequence[tuple[str, str] | None] = (),
    lexicon: Lexicon | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """What captions lose when each concept is removed from the state at every position that generates.

    Of a state `h` with activations `v` that share is removed which its model loses without the concept,
    `h ← h − (ẑ(v) − ẑ(v | v_k = 0))`: `v_k u_k` for Semi-NMF and PCA, and the step to the next prototype where concepts
    are prototypes. The control removes `‖…‖ r` for a random unit vector `r`, another one for every image.

    Args:
        lists: the words of each concept.
        samples: held-out samples; `V` (n_samples, n_concepts) their activations; `said` their captions as they are.
        n_images: for each concept the so many samples that activate it most.
        values: for each concept the factor and the value that it matches best, None for none.
        lexicon: words of factor values; without it values are not looked for.

    Returns:
        `{"words": …, "values": …, "concepts": […]}`: how many of the concept's words (and whether its value) a caption
        has before, after, and after the random removal; `gain` is random minus removed, positive where the concept
        matters more than chance, with interval and p (paired over concepts).
    """
    asked = replace(lmm, prompt=activations.parameters["prompt"])
    length = activations.parameters["max_new_tokens"]
    rng = np.random.default_rng(seed)
    found = []
    for k in range(len(concepts)):
        best = [int(i) for i in np.argsort(-V[:, k], kind="stable")[:n_images] if V[i, k] > 0]
        progress("ablate", k + 1, len(concepts))
        if not best or not lists[k]:
            continue
        some = [samples[i] for i in best]
        noise = rng.standard_normal((len(best), lmm.n_features))
        removed = _say(asked, concepts.layer, some, length, _without(concepts, k))
        random = _say(asked, concepts.layer, some, length, _without(concepts, k, noise))
        texts = {"before": [said[i] for i in best], "removed": removed, "random": random}
        counts = {name: _count(lists[k], t) for name, t in texts.items()}
        entry: dict[str, Any] = {"concept": k, "images": len(best), "words": counts}
        value = values[k] if k < len(values) else None
        if value is not None and lexicon is not None:
            names = lexicon.get(value[0], {}).get(str(value[1]), ())
            if names:
                said_so = {name: float(np.mean([_any(names, text) for text in t])) for name, t in texts.items()}
                entry |= {"factor": value[0], "value": value[1], "values": said_so}
        found.append(entry)
    return {"words": _gain(found, "words", seed), "values": _gain(found, "values", seed), "concepts": found}


def _gain(found: Sequence[Mapping[str, Any]], what: str, seed: int) -> dict[str, Any] | None:
    """The means over concepts, and the gain of removing the concept over removing a random vector."""
    rows = [entry[what] for entry in found if what in entry]
    if not rows:
        return None
    columns = {name: np.array([row[name] for row in rows]) for name in ("before", "removed", "random")}
    gain = columns["random"] - columns["removed"]
    return {name: asdict(estimate(values, seed)) for name, values in columns.items()} | {
        "gain": asdict(estimate(gain, seed)),
        "p": paired_p(columns["random"], columns["removed"], seed=seed),
    }


def _count(words: WordList, texts: Sequence[str]) -> float:
    """How many of `words` a text has, on average."""
    patterns = [Word(w) for w in words]
    return float(np.mean([sum(bool(p.find(text)) for p in patterns) for text in texts]))


def _any(words: Sequence[str], text: str) -> bool:
    return any(Word(w).find(text) for w in words)


def _without(concepts: Concepts, k: int, noise: np.ndarray | None = None) -> Callable[[Tensor], Tensor]:
    """(n, features) states → the same without concept `k`, or without as much of `noise` (n, features)."""
    learner = concepts.learner
    units = None if noise is None else noise / np.linalg.norm(noise, axis=1, keepdims=True)

    def change(states: Tensor) -> Tensor:
        h = states.float().cpu().numpy()
        v = np.asarray(learner.transform(h))
        rest = v.copy()
        rest[:, k] = 0
        share = np.asarray(learner.inverse_transform(v)) - np.asarray(learner.inverse_transform(rest))
        if units is not None:
            share = np.linalg.norm(share, axis=1, keepdims=True) * units
        return states - torch.from_numpy(share).to(states.device, states.dtype)

    return change


def _say(
    lmm: LMM, layer: Layer, samples: Sequence[Sample], max_new_tokens: int, change: Callable[[Tensor], Tensor]
) -> list[str]:
    """What the model says of `samples` while `change` is made to the state of every position that generates."""

    def at_last(_layer: Layer, states: Tensor, _pass: object) -> Tensor:
        return torch.cat([states[:, :-1], change(states[:, -1])[:, None]], dim=1)

    inputs = lmm.prepare([s.open() for s in samples], [lmm.request(s) for s in samples])
    with lmm.edited([layer], at_last):
        return [g.text for g in lmm.generate(inputs, max_new_tokens)]
