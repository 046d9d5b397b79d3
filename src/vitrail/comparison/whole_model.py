"""The whole-model view: where a fine-tune changed a model, before anybody asks for a word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from vitrail import scores, words
from vitrail.errors import UsageError
from vitrail.lmm import LMM, Generation
from vitrail.lmm.batching import halving
from vitrail.progress import Progress, silent
from vitrail.samples import Sample

#: Words and prefixes that are listed, at most.
MAX_LISTED = 25


@dataclass(frozen=True)
class WordFrequency:
    """In how many captions of each model a word stands; `p` is that of the exact sign test over the captions that only
    one of the two models has it in, corrected for the number of words (Benjamini & Hochberg)."""

    word: str
    before: int
    after: int
    p: float


@dataclass(frozen=True)
class LayerMove:
    """How far the states of a layer moved on the same input: mean of `‖h_b − h_a‖ / ‖h_a‖`, and mean cosine."""

    layer: int | str
    relative: float
    cosine: float


@dataclass(frozen=True)
class Surprise:
    """A word that *a* says, the mean divergence where it is about to, and what *b* would rather say there."""

    word: str
    n: int
    divergence: float
    instead: str


@dataclass(frozen=True)
class Whole:
    """Two models on the same images.

    `divergence` is the mean of `KL(p_a ‖ p_b)`, in nats, over the next-token distributions after the same prefixes:
    the captions of *a*, from the prompt to the end; its interval is over captions.
    """

    n_samples: int
    changed_captions: int
    divergence: scores.Estimate
    by_position: tuple[float, ...]
    frequencies: tuple[WordFrequency, ...]
    layers: tuple[LayerMove, ...]
    surprises: tuple[Surprise, ...]
    examples: tuple[tuple[str, str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def whole_model(
    a: LMM,
    b: LMM,
    samples: Sequence[Sample],
    *,
    max_new_tokens: int = 40,
    batch_size: int = 32,
    progress: Progress = silent,
) -> Whole:
    """How the captions, next-token distributions and states of `b` differ from those of `a` on `samples`.

    Raises:
        UsageError: the models have different tokenizers or widths, or there are no samples.
    """
    check_models(a, b)
    if not samples:
        raise UsageError("The whole-model view needs samples to caption.")
    layers = [*range(a.n_blocks + 1), "final"]
    said: tuple[list[str], list[str]] = ([], [])
    kl: list[np.ndarray] = []
    moves: list[np.ndarray] = []
    instead: list[tuple[str, float, str]] = []
    for start in range(0, len(samples), batch_size):
        part = samples[start : start + batch_size]
        for found in halving(lambda batch: [_seen(a, b, batch, layers, max_new_tokens)], part):
            for mine, new in zip(said, found.said, strict=True):
                mine += new
            kl += found.kl
            moves.append(found.moves)
            instead += found.instead
        progress("whole", min(start + batch_size, len(samples)), len(samples))
    longest = max(map(len, kl))
    padded = np.array([[*k, *[np.nan] * (longest - len(k))] for k in kl])
    relative, cosine = np.concatenate(moves, axis=1).mean(1).T
    return Whole(
        n_samples=len(samples),
        changed_captions=sum(x != y for x, y in zip(*said, strict=True)),
        divergence=scores.estimate(np.array([k.mean() for k in kl])),
        by_position=tuple(np.nanmean(padded, axis=0).tolist()),
        frequencies=frequencies(*said),
        layers=tuple(LayerMove(*move) for move in zip(layers, relative.tolist(), cosine.tolist(), strict=True)),
        surprises=_surprises(instead),
        examples=tuple((s.id, x, y) for s, x, y in zip(samples, *said, strict=True) if x != y)[:10],
    )


def check_models(a: LMM, b: LMM) -> None:
    """Raises `UsageError` unless the two models have the same vocabulary and states of the same width and number."""
    for name, mine, other in (
        ("width of the states", a.n_features, b.n_features),
        ("number of blocks", a.n_blocks, b.n_blocks),
    ):
        if mine != other:
            raise UsageError(
                f"{a.name} and {b.name} cannot be compared: the {name} is {mine} in one, {other} in the other."
            )
    here, there = a.tokenizer.get_vocab(), b.tokenizer.get_vocab()
    if here != there:
        differing = sum(here.get(piece) != i for piece, i in there.items())
        raise UsageError(
            f"{a.name} and {b.name} cannot be compared: their tokenizers differ in {differing} of {len(there)} tokens. "
            "A shift is between a model and its own fine-tune."
        )


@dataclass(frozen=True)
class _Seen:
    said: tuple[list[str], list[str]]
    kl: list[np.ndarray]
    moves: np.ndarray
    instead: list[tuple[str, float, str]]


def _seen(a: LMM, b: LMM, samples: Sequence[Sample], layers: Sequence[int | str], max_new_tokens: int) -> _Seen:
    images, requests = [s.open() for s in samples], [s.question or a.prompt for s in samples]
    inputs = a.prepare(images, requests)
    mine = a.generate(inputs, max_new_tokens)
    inputs_b = b.prepare(images, requests)
    other = b.generate(inputs_b, max_new_tokens)
    start = inputs["input_ids"].shape[1] - 1
    rows = [i for i, g in enumerate(mine) for _ in range(len(g.ids) + 1)]
    positions = [start + j for g in mine for j in range(len(g.ids) + 1)]
    said = [g.ids for g in mine]
    states_a = a.states(inputs, said, positions, layers, rows)
    states_b = b.states(inputs_b, said, positions, layers, rows)
    log_a, log_b = (m.logits(s["final"], "final").log_softmax(-1) for m, s in ((a, states_a), (b, states_b)))
    log_b = log_b.to(log_a.device)
    kl = (log_a.exp() * (log_a - log_b)).sum(-1).cpu().numpy()
    moves = []
    for layer in layers:
        x, y = states_a[layer].double(), states_b[layer].double()
        relative = (y - x).norm(dim=1) / x.norm(dim=1).clamp_min(1e-12)
        moves.append(torch.stack([relative, torch.cosine_similarity(x, y, dim=1)], dim=1).numpy())
    ends = np.cumsum([len(g.ids) + 1 for g in mine])[:-1]
    return _Seen(
        ([g.text.strip() for g in mine], [g.text.strip() for g in other]),
        np.split(kl, ends),
        np.array(moves),
        _alternatives(b, mine, kl, log_b.argmax(-1).tolist()),
    )


def _alternatives(
    b: LMM, mine: Sequence[Generation], kl: np.ndarray, best: Sequence[int]
) -> list[tuple[str, float, str]]:
    """(token that *a* says, divergence before it, token that *b* finds likeliest there) for every position."""

    def piece(token: int) -> str:
        return b.tokenizer.decode([token]).strip()

    after = [piece(t) if t is not None else "(end)" for g in mine for t in (*g.ids, None)]
    ends = b.tokenizer.all_special_ids
    return [(word, float(k), "(end)" if t in ends else piece(t)) for word, k, t in zip(after, kl, best, strict=True)]


def _surprises(found: Sequence[tuple[str, float, str]], least: int = 5) -> tuple[Surprise, ...]:
    """Words of *a* before which *b* thinks most otherwise; those said fewer than `least` times are left out."""
    groups: dict[str, list[tuple[float, str]]] = {}
    for word, k, best in found:
        groups.setdefault(word, []).append((k, best))
    listed = [
        Surprise(word, len(at), float(np.mean([k for k, _ in at])), Counter(t for _, t in at).most_common(1)[0][0])
        for word, at in groups.items()
        if len(at) >= least
    ]
    return tuple(sorted(listed, key=lambda s: (-s.divergence, s.word))[:MAX_LISTED])


def frequencies(before: Sequence[str], after: Sequence[str]) -> tuple[WordFrequency, ...]:
    """Words (`words.is_word`) whose frequency rose or fell most, the surest first, from captions of the same images."""
    sets = [
        [{w for w in re.findall(r"\w+", text.lower()) if words.is_word(w)} for text in said] for said in (before, after)
    ]
    known = sorted(set().union(*sets[0], *sets[1]))
    pairs = list(zip(*sets, strict=True))
    lost = {w: sum(w in x and w not in y for x, y in pairs) for w in known}
    gained = {w: sum(w in y and w not in x for x, y in pairs) for w in known}
    tested = [w for w in known if lost[w] != gained[w]]
    if not tested:
        return ()
    p = [stats.binomtest(gained[w], lost[w] + gained[w]).pvalue for w in tested]
    rows = [
        WordFrequency(w, sum(w in x for x in sets[0]), sum(w in y for y in sets[1]), float(q))
        for w, q in zip(tested, stats.false_discovery_control(p), strict=True)
    ]
    return tuple(sorted(rows, key=lambda f: (f.p, -abs(f.after - f.before), f.word))[:MAX_LISTED])
