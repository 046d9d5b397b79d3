"""Other ways to learn a dictionary against Semi-NMF: which one recovers the factors of Toyland's samples?

    python -m benchmarks.recovery [--word dog --concepts 20,40 --seeds 10]

All learn the same number K of directions of norm 1 from the same centred states of the last block. Codes are the exact
non-negative lasso on these directions, with the same λ (a share of the spread); those of exclusive groups add their own
penalty. Each method runs with ten seeds, and with ten bootstrap resamples. Judged on new samples of another seed: AUROC
of the best single concept for every value of the factors (chosen on the samples learned from), and of a probe on all
codes. Writes benchmarks/results/recovery.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.named import Judge, states_of
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from vitrail import scores, toyland
from vitrail.activations import Activations
from vitrail.artifacts import plain, versions, write_json
from vitrail.concepts.stability import consensus
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.inputs import Scorers
from vitrail.evaluation.measures import ClipMeasure
from vitrail.grounding import GroundingOptions, most_activating, word_reader
from vitrail.learners import SemiNMF, nonnegative_lasso
from vitrail.learners.codes import sweep
from vitrail.learners.descent import Problem, Run, State, Stopping, descend
from vitrail.learners.starts import revive, sums_with_codes
from vitrail.lmm import LMM, load, quieten
from vitrail.samples import Sample, load_samples

RESULT = Path(__file__).parent / "results" / "recovery.json"
STEPS = 3000  # of training the autoencoder
PENALTY = {20: 0.1, 40: 0.005}  # K → λ: the default, and what `--concepts auto` chooses for "dog"

Array = np.ndarray


@dataclass(frozen=True)
class Learned:
    """Directions of norm 1, and how states are activated by them."""

    U: Array
    codes: Callable[[Array], Array]


def with_lasso(U: Array, weight: float) -> Learned:
    """Directions with the exact non-negative lasso as codes."""
    U = scores.unit(U).astype(np.float32)
    return Learned(U, lambda X: nonnegative_lasso(X, U, weight))


def polished(X: Array, U: Array, weight: float) -> Array:
    """The directions after Semi-NMF's descent from `U`."""
    U = scores.unit(U)
    state = State(U[None], nonnegative_lasso(X, U, weight).T[None].astype(X.dtype))
    lengths = (X.astype(np.float64) ** 2).sum(axis=1)
    problem = Problem(weight, float(lengths.sum()), float(np.finfo(X.dtype).eps))
    end = descend(
        [Run()],
        state,
        lambda s: sums_with_codes(X, s, weight, 3),
        problem,
        Stopping(1000, 1e-6, 8),
        revive=lambda s: revive(X, lengths, s, weight),
    )
    return end.U[0]


# ---- the methods: (centred states, K, λ σ, seed) → directions and codes -------------------------------------------


def semi_nmf(X: Array, k: int, weight: float, seed: int) -> Learned:
    """Ours, with its own starts."""
    spread = float(np.sqrt((X.astype(np.float64) ** 2).sum(axis=1).mean()))
    return with_lasso(SemiNMF(k, penalty=weight / spread, random_state=seed).fit(X).components_, weight)


def end_members(X: Array, k: int, weight: float, seed: int) -> Learned:
    """Semi-NMF from end members: states that reach furthest from those before (successive projection: Gillis & Vavasis,
    2014), among a random half of the states, so that seeds differ."""
    rng = np.random.default_rng(seed)
    left = X[rng.choice(len(X), len(X) // 2, replace=False)].astype(np.float64)
    found, own = [], left.copy()
    for _ in range(k):
        far = int(np.argmax((left**2).sum(axis=1)))
        found.append(own[far])
        direction = left[far] / np.linalg.norm(left[far])
        left -= np.outer(left @ direction, direction)
    return with_lasso(polished(X, np.array(found), weight), weight)


def archetypal(X: Array, k: int, weight: float, seed: int) -> Learned:
    """Directions that are convex combinations of states (archetypal analysis, Cutler & Breiman 1994; as in archetypal
    autoencoders, Fel et al. 2025): `U ∝ W X`, rows of `W` on the simplex, by projected gradients on `W`."""
    rng = np.random.default_rng(seed)
    wide = X.astype(np.float64)
    W = np.eye(len(X))[rng.choice(len(X), k, replace=False)]
    steepest = np.linalg.norm(wide, 2) ** 2
    for _ in range(60):
        atoms = W @ wide
        sizes = np.linalg.norm(atoms, axis=1)
        V = nonnegative_lasso(X, atoms / sizes[:, None], weight) / sizes
        VV, VX = V.T @ V, V.T @ wide
        step = 1 / (np.linalg.norm(VV, 2) * steepest)
        for _ in range(10):
            W = on_simplex(W - step * (VV @ (W @ wide) - VX) @ wide.T)
    return with_lasso(W @ wide, weight)


def on_simplex(W: Array) -> Array:
    """Every row at the nearest point whose entries are at least 0 and add up to 1 (Duchi et al. 2008)."""
    ordered = -np.sort(-W, axis=1)
    sums = (ordered.cumsum(axis=1) - 1) / np.arange(1, W.shape[1] + 1)
    last = (ordered > sums).sum(axis=1) - 1
    return np.maximum(W - sums[np.arange(len(W)), last][:, None], 0)


def bagged(X: Array, k: int, weight: float, seed: int) -> Learned:
    """The consensus of Semi-NMF over eight bootstrap resamples: means of matched directions."""
    rng = np.random.default_rng(seed)
    found = [semi_nmf(X[rng.integers(len(X), size=len(X))], k, weight, seed).U for _ in range(8)]
    return with_lasso(consensus(found), weight)


def exclusive(X: Array, k: int, weight: float, seed: int) -> Learned:
    """Groups of about five concepts that exclude each other, as the values of a factor do: `μ Σ_g (Σ_{k∈g} v_k)²` is
    added (exclusive lasso: Zhou et al. 2010). Groups are those whose codes go together least in Semi-NMF."""
    start = semi_nmf(X, k, weight, seed)
    together = np.corrcoef(start.codes(X).T + 1e-9 * np.random.default_rng(seed).standard_normal((k, len(X))))
    apart = np.clip(1 + together, 0, None)
    np.fill_diagonal(apart, 0)
    groups = fcluster(linkage(squareform(apart, checks=False), "average"), max(2, k // 5), "maxclust")
    same = (groups[:, None] == groups[None, :]).astype(float)
    U, wide = start.U.astype(np.float64), X.astype(np.float64)

    def codes_of(U: Array) -> Callable[[Array], Array]:
        gram = U @ U.T + 0.1 * same

        def codes(Z: Array) -> Array:
            C = U @ Z.T.astype(np.float64) - weight / 2
            V = np.maximum(C, 0) / np.diag(gram)[:, None]
            sweep(gram, C, V, 300)
            return V.T

        return codes

    for _ in range(20):
        V = codes_of(U)(X)
        ridge = 1e-6 * np.trace(V.T @ V) / k * np.eye(k)
        U = scores.unit(np.linalg.solve(V.T @ V + ridge, V.T @ wide + ridge @ U))
    return Learned(U, codes_of(U))


def batch_top_k(X: Array, k: int, weight: float, seed: int) -> Learned:
    """The decoder of a BatchTopK autoencoder (Bussmann et al. 2024) that is as sparse as Semi-NMF, with exact codes."""
    active = float((semi_nmf(X, k, weight, seed).codes(X) > 0).sum(axis=1).mean())
    torch.manual_seed(seed)
    data = torch.from_numpy(np.ascontiguousarray(X)) / float(np.sqrt((X**2).sum(axis=1).mean()))
    decoder = torch.nn.functional.normalize(torch.randn(k, X.shape[1]), dim=1).requires_grad_()
    encoder, bias = decoder.detach().clone().requires_grad_(), torch.zeros(k, requires_grad=True)
    optimiser, kept = torch.optim.Adam([encoder, bias, decoder], 3e-3), max(1, round(active * len(X)))
    for _ in range(STEPS):
        codes = torch.relu(data @ encoder.T + bias)
        least = codes.flatten().topk(kept).values[-1]
        top = codes * (codes >= least)
        left = data - top @ decoder
        dead = ~(top > 0).any(dim=0)
        loss = left.square().sum(dim=1).mean()
        if dead.any():  # unused directions learn what is left, as with the auxiliary loss of Gao et al. 2024
            revived = torch.relu(data @ encoder[dead].T + bias[dead] + 0.1) @ decoder[dead]
            loss = loss + (left.detach() - revived).square().sum(dim=1).mean() / 32
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
    return with_lasso(decoder.detach().numpy(), weight)


METHODS: dict[str, Callable[[Array, int, float, int], Learned]] = {
    "Semi-NMF": semi_nmf,
    "end-member starts": end_members,
    "archetypal": archetypal,
    "consensus over resamples": bagged,
    "exclusive groups": exclusive,
    "BatchTopK autoencoder": batch_top_k,
}


# ---- how they are judged -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Words:
    """What is needed to judge the words of directions."""

    lmm: LMM
    learned: Activations
    mean: Array
    samples: Sequence[Sample]
    clip: ClipMeasure

    def judged(self, U: Array, V: Array) -> dict[str, float]:
        """The overlap of words, and the CLIPScore of the words of each concept on its five most activating images."""
        reader = word_reader(self.lmm, self.learned, self.learned.layers[0], GroundingOptions()).beside(self.mean)
        lists = reader.words(U)
        own = [[self.samples[i] for i in most_activating(V[:, k], 5)] for k in range(len(U))]
        fits = [self.clip.words(mine, [words]).mean() for mine, words in zip(own, lists, strict=True) if mine]
        return {"overlap": scores.overlap(lists), "CLIPScore": float(np.mean(fits))}


def judged(method: str, judge: Judge, words: Words, k: int, seeds: int) -> dict[str, Any]:
    """A method with every seed and every resample: mean, standard deviation over seeds, and stabilities."""
    X, X_new = ((Z - words.mean).astype(np.float32) for Z in (judge.Z, judge.Z_new))
    weight = PENALTY[k] * float(np.sqrt((X.astype(np.float64) ** 2).sum(axis=1).mean()))
    total = ((X_new.astype(np.float64)) ** 2).sum()
    rows, found, again = [], [], []
    for seed in range(seeds):
        start = time.perf_counter()
        learned = METHODS[method](X, k, weight, seed)
        seconds = time.perf_counter() - start
        V, V_new = learned.codes(X), learned.codes(X_new)
        told = judge.told(V, V_new)
        rows.append(
            {
                "AUROC, best concept": told["best concept"].mean,
                "AUROC, all codes": told["dictionary"].mean,
                "explained variance, new": float(1 - ((X_new - V_new @ learned.U) ** 2).sum() / total),
                "active": float((V > 0).sum(axis=1).mean()),
                "seconds": seconds,
                **words.judged(learned.U, V),
            }
        )
        found.append(learned.U)
        drawn = np.random.default_rng(1000 + seed).integers(len(X), size=len(X))
        again.append(METHODS[method](X[drawn], k, weight, 0).U)
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    means["seconds"] = float(np.median([row["seconds"] for row in rows]))
    pairs = list(combinations(range(seeds), 2))
    means["stability over seeds"] = float(np.mean([scores.matched_cosine(found[i], found[j]) for i, j in pairs]))
    means["stability over resamples"] = float(np.mean([scores.matched_cosine(found[0], U) for U in again]))
    means["AUROC, best concept, deviation over seeds"] = float(np.std([row["AUROC, best concept"] for row in rows]))
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--word", default="dog")
    parser.add_argument("--concepts", default="20,40", help="numbers of concepts, by commas: 20 or 40")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--samples", type=int, default=5000, help="scenes; four of five are learned from")
    parser.add_argument("--new", type=int, default=9000, help="scenes of another seed, to judge on")
    parser.add_argument("--keep", type=Path, help="keep the states in this folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    quieten()
    lmm, home = load("toyland"), args.keep or Path(tempfile.mkdtemp())
    learned = states_of(lmm, args.samples, 0, "train", home / args.word / "learned", args.word)
    new = states_of(lmm, args.new, 1, None, home / args.word / "new", args.word)
    judge = Judge(learned, new)
    samples = {f"0-{s.id}": replace(s, id=f"0-{s.id}") for s in load_samples(toyland.dataset_path(args.samples))}
    own = [samples[i] for i in learned[0].sample_ids()]
    embeddings = Embeddings(home / "embeddings", Scorers.load())
    mean = judge.Z.mean(axis=0, dtype=np.float64)
    words = Words(lmm, learned[0], mean, own, ClipMeasure(embeddings))
    result: dict[str, Any] = {
        "parameters": {"word": args.word, "seeds": args.seeds, "samples": args.samples, "new": args.new},
        "states": {"learned from": len(judge.Z), "new": len(judge.Z_new)},
        "values": len(judge.properties.values),
        "a probe on the states": scores.separation(
            scores.probe(judge.Z, judge.properties, judge.Z_new), judge.of_new
        ).mean(),
        "concepts": {},
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    for k in map(int, args.concepts.split(",")):
        of_size = result["concepts"][f"K = {k}, λ = {PENALTY[k]:g}"] = {}
        for method in METHODS:
            of_size[method] = judged(method, judge, words, k, args.seeds)
            print(k, method, json.dumps(of_size[method]), flush=True)
            rounded = json.dumps(plain(result))
            write_json(args.result, json.loads(rounded, parse_float=lambda text: float(f"{float(text):.4g}")))


if __name__ == "__main__":
    main()
