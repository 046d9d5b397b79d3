"""Two models on the same images: where a fine-tune changed a model, before any word is asked for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from vitrail import scores, words
from vitrail.errors import UsageError
from vitrail.lmm import LMM, Generation, Layer, as_lmm
from vitrail.lmm.running import halving
from vitrail.progress import Progress, shown
from vitrail.samples import Sample, as_samples
from vitrail.samples.bounds import batches

#: At most so many words are listed.
MAX_LISTED = 25


@dataclass(frozen=True)
class WordFrequency:
    """In how many captions of each model a word occurs.

    `p` is the p-value of the exact sign test over the images where only one model says the word, corrected for the
    number of words (Benjamini & Hochberg).
    """

    word: str
    before: int
    after: int
    p: float


@dataclass(frozen=True)
class LayerMove:
    """How far the states of a layer moved on the same input: the mean of `‖h_b − h_a‖ / ‖h_a‖`, and the mean cosine."""

    layer: Layer
    relative: float
    cosine: float


@dataclass(frozen=True)
class Surprise:
    """A word that *a* says `n` times, the mean divergence (nats) just before it, and the word that *b* most often finds
    likeliest there."""

    word: str
    n: int
    divergence: float
    instead: str


@dataclass(frozen=True)
class ModelComparison:
    """Two models on the same images.

    Args:
        n_samples: number of images.
        changed_captions: number of images whose captions differ.
        divergence: mean of `KL(p_a ‖ p_b)`, in nats, over the next-token distributions after the same prefixes: the
            captions of *a*, from the prompt to their end. Its interval is over captions.
        by_position: the same at each position of the captions.
        frequencies: words that occur more or less often, the surest change first.
        layers: how far the states of each layer moved.
        surprises: words of *a* where *b* would say something else, the largest divergence first.
        examples: up to ten (sample id, caption by *a*, caption by *b*) that differ.
    """

    n_samples: int
    changed_captions: int
    divergence: scores.Estimate
    by_position: tuple[float, ...]
    frequencies: tuple[WordFrequency, ...]
    layers: tuple[LayerMove, ...]
    surprises: tuple[Surprise, ...]
    examples: tuple[tuple[str, str, str], ...]


def compare_models(
    a: LMM | str | Path,
    b: LMM | str | Path,
    samples: Sequence[Sample] | str | Path,
    *,
    max_new_tokens: int = 40,
    batch_size: int = 32,
    progress: Progress | bool = True,
) -> ModelComparison:
    """How the captions, next-token distributions and states of `b` differ from those of `a` on `samples`.

    Args:
        a: the model before, or its name or folder; `b` is the model after.
        samples: images, or their name, file or folder, as `load_samples` takes them.
        max_new_tokens: longest caption, in tokens.
        batch_size: samples per batch; it is halved when memory runs out.

    Raises:
        UsageError: the models have different tokenizers, widths or numbers of blocks, or there are no samples.
    """
    lmm_a, lmm_b, samples = as_lmm(a), as_lmm(b), as_samples(samples)
    check_models(lmm_a, lmm_b)
    if not samples:
        raise UsageError("The whole-model view needs samples to caption.")
    layers = [*range(lmm_a.n_blocks + 1), "final"]
    found: list[_Batch] = []
    with shown(progress) as tell:
        for places in batches([s.pixels() for s in samples], batch_size):
            part = samples[places.start : places.stop]
            found += halving(lambda batch: [_batch(lmm_a, lmm_b, batch, layers, max_new_tokens)], part)
            tell("whole", places.stop, len(samples))
    before, after = ([text for batch in found for text in batch.captions[side]] for side in (0, 1))
    kl = [k for batch in found for k in batch.kl]
    longest = max(map(len, kl))
    padded = np.array([[*k, *[np.nan] * (longest - len(k))] for k in kl])
    relative, cosine = np.concatenate([batch.moves for batch in found], axis=1).mean(1).T
    return ModelComparison(
        n_samples=len(samples),
        changed_captions=sum(x != y for x, y in zip(before, after, strict=True)),
        divergence=scores.estimate(np.array([k.mean() for k in kl])),
        by_position=tuple(np.nanmean(padded, axis=0).tolist()),
        frequencies=frequencies(before, after),
        layers=tuple(LayerMove(*move) for move in zip(layers, relative.tolist(), cosine.tolist(), strict=True)),
        surprises=_surprises([place for batch in found for place in batch.places]),
        examples=tuple((s.id, x, y) for s, x, y in zip(samples, before, after, strict=True) if x != y)[:10],
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
class _Place:
    """A position of a caption of *a*: the word that follows, the divergence there, and the likeliest word of *b*."""

    word: str
    divergence: float
    instead: str


@dataclass(frozen=True)
class _Batch:
    """Captions of both models, and for *a*'s: divergences (one array per caption), moves (layers, positions, 2)."""

    captions: tuple[list[str], list[str]]
    kl: list[np.ndarray]
    moves: np.ndarray
    places: list[_Place]


def _batch(a: LMM, b: LMM, samples: Sequence[Sample], layers: Sequence[Layer], max_new_tokens: int) -> _Batch:
    images, requests = [s.open() for s in samples], [a.request(s) for s in samples]
    inputs, inputs_b = a.prepare(images, requests), b.prepare(images, requests)
    said, said_b = a.generate(inputs, max_new_tokens), b.generate(inputs_b, max_new_tokens)
    start = inputs["input_ids"].shape[1] - 1
    rows = [i for i, g in enumerate(said) for _ in range(len(g.ids) + 1)]
    positions = [start + j for g in said for j in range(len(g.ids) + 1)]
    ids = [g.ids for g in said]
    states_a = a.states(inputs, ids, positions, layers, rows)
    states_b = b.states(inputs_b, ids, positions, layers, rows)
    log_a, log_b = (m.logits(s["final"], "final").log_softmax(-1) for m, s in ((a, states_a), (b, states_b)))
    log_b = log_b.to(log_a.device)
    kl = (log_a.exp() * (log_a - log_b)).sum(-1).cpu().numpy()
    return _Batch(
        ([g.text.strip() for g in said], [g.text.strip() for g in said_b]),
        np.split(kl, np.cumsum([len(g.ids) + 1 for g in said])[:-1]),
        np.array([_moves(states_a[layer].double(), states_b[layer].double()) for layer in layers]),
        _places(b, said, kl, log_b.argmax(-1).tolist()),
    )


def _moves(x: Tensor, y: Tensor) -> np.ndarray:
    """(n, 2): `‖y − x‖ / ‖x‖` and the cosine of each state `x` of *a* and `y` of *b*."""
    relative = (y - x).norm(dim=1) / x.norm(dim=1).clamp_min(1e-12)
    return torch.stack([relative, torch.cosine_similarity(x, y, dim=1)], dim=1).numpy()


def _places(b: LMM, said: Sequence[Generation], kl: np.ndarray, likeliest: Sequence[int]) -> list[_Place]:
    """Every position of the captions of *a*; `likeliest` are the token ids that *b* finds likeliest there."""

    def piece(token: int) -> str:
        return b.tokenizer.decode([token]).strip()

    following = [piece(t) if t is not None else "(end)" for g in said for t in (*g.ids, None)]
    ends = b.tokenizer.all_special_ids
    return [
        _Place(word, float(k), "(end)" if t in ends else piece(t))
        for word, k, t in zip(following, kl, likeliest, strict=True)
    ]


def _surprises(places: Sequence[_Place], least: int = 5) -> tuple[Surprise, ...]:
    """The words of *a* with the largest mean divergence before them, of those said at least `least` times."""
    groups: dict[str, list[_Place]] = {}
    for place in places:
        groups.setdefault(place.word, []).append(place)
    listed = [
        Surprise(
            word,
            len(at),
            float(np.mean([place.divergence for place in at])),
            Counter(place.instead for place in at).most_common(1)[0][0],
        )
        for word, at in groups.items()
        if len(at) >= least
    ]
    return tuple(sorted(listed, key=lambda s: (-s.divergence, s.word))[:MAX_LISTED])


def frequencies(before: Sequence[str], after: Sequence[str]) -> tuple[WordFrequency, ...]:
    """The words (`words.is_word`) whose frequency changed between captions of the same images, the surest change
    first."""
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
