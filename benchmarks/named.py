"""What states, dictionaries and named concepts hold of Toyland's factors, judged on new samples.

    python benchmarks/named.py [--samples 5000 --new 18000]

Writes benchmarks/results/named.json: for "dog" in the last block, of dictionaries that were found and of named concepts
by several directions and ways to activate them: AUROC on samples of another seed, explained variance, and stability;
and of the number of concepts that `--concepts auto` chooses.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression

from vitrail import scores, toyland
from vitrail.activations import Activations, open_activations
from vitrail.artifacts import plain, versions, write_json
from vitrail.concepts import Judged, LearningOptions, choose, measure_all
from vitrail.concepts.choosing import choices_for
from vitrail.concepts.named import stability_of_named
from vitrail.concepts.stability import stability
from vitrail.extraction import extract
from vitrail.grounding import GroundingOptions, overlap_of
from vitrail.learners import Learner, Named, NamedSemiNMF, SemiNMF, nonnegative_lasso
from vitrail.lmm import LMM, load, quieten
from vitrail.samples import load_samples
from vitrail.samples.vocabulary import having
from vitrail.scores import Properties
from vitrail.toyland.ground_truth import load_factors
from vitrail.toyland.language import LEXICON
from vitrail.words import whole_words, words_said

RESULT = Path(__file__).parent / "results" / "named.json"
WORD = "dog"


def states_of(
    lmm: LMM, n: int, seed: int, split: str | None, out: Path, word: str = WORD
) -> tuple[Activations, list[dict[str, Any]]]:
    """The states of a word in the last block, of `n` scenes, and the factors of these; what is in `out` is kept."""
    world = toyland.dataset_path(n, seed=seed)
    factors = load_factors(world)
    assert factors is not None
    samples = having(load_samples(world, split=split), [word])
    named = [replace(s, id=f"{seed}-{s.id}") for s in samples]
    made = extract(lmm, named, word, out=out, layers=[-1])
    return made, [factors[i.partition("-")[2]] for i in made.sample_ids()]


def said(activations: Activations, properties: Properties) -> tuple[np.ndarray, np.ndarray]:
    """The columns of the properties that captions name, and which samples' captions name each."""
    columns, has = [], []
    for j, (factor, value) in enumerate(properties.names):
        words = LEXICON.get(factor, {}).get(str(value))
        if words:
            find = whole_words(words).search
            found = np.array([any(find(text) for text in row.references) for row in activations.rows])
            if scores.FEWEST <= found.sum() <= len(found) - scores.FEWEST:
                columns.append(j)
                has.append(found)
    return np.array(columns), np.array(has).T


def directions(kind: str, X: np.ndarray, has: np.ndarray) -> np.ndarray:
    """Directions of properties in centred states, of norm 1: by the difference of means, by linear discriminants with
    a shrunken covariance, or by logistic regression."""
    found = []
    for mine in has.T:
        difference = X[mine].mean(axis=0) - X[~mine].mean(axis=0)
        if kind == "difference of means":
            found.append(difference)
        elif kind == "linear discriminant":
            within = X - np.where(mine[:, None], X[mine].mean(axis=0), X[~mine].mean(axis=0))
            found.append(np.linalg.solve(ledoit_wolf(within)[0], difference))
        else:
            spread = (X**2).sum(axis=1).mean()
            found.append(LogisticRegression(C=X.shape[1] / spread, max_iter=500).fit(X, mine).coef_[0])
    return scores.unit(np.array(found))


class Judge:
    """Judges dictionaries on new samples."""

    def __init__(self, learned: tuple[Activations, list], new: tuple[Activations, list]) -> None:
        (activations, rows), (others, new_rows) = learned, new
        layer = activations.layers[0]
        self.Z, self.Z_new = activations.states(layer), others.states(layer)
        properties = scores.factor_properties(rows)
        of_new = scores.factor_properties(new_rows, properties.names)
        chosen = np.flatnonzero(properties.enough(scores.COMMON) & of_new.enough())
        self.properties, self.of_new = properties.of(chosen), of_new.of(chosen)
        self.said, self.has = said(activations, self.properties)

    def told(self, V: np.ndarray, V_new: np.ndarray) -> dict[str, Any]:
        """AUROCs on new samples: of the dictionary, and of its best concepts over all properties and those said."""
        best = scores.matches(V, self.properties)[0].argmax(axis=0)
        concept = scores.separation(V_new[:, best], self.of_new)
        dictionary = scores.separation(scores.probe(V, self.properties, V_new), self.of_new)
        return {
            "dictionary": dictionary.mean(),
            "best concept": concept.mean(),
            "best concept, values that captions say": concept.mean([int(j) for j in self.said]),
        }

    def learner(self, fitted: Learner) -> dict[str, Any]:
        """A learner, with the variance of new samples that it explains."""
        V, V_new = fitted.transform(self.Z), fitted.transform(self.Z_new)
        mean = self.Z.mean(axis=0)
        held = scores.explained_variance(self.Z_new, fitted.inverse_transform(V_new), mean)
        return {**self.told(V, V_new), "explained variance, new samples": held}


def chosen(lmm: LMM, activations: Activations, judge: Judge) -> dict[str, Any]:
    """What `--concepts auto` chooses, how it is judged, and what else it tried."""
    options = LearningOptions(n_concepts="auto")
    judged = Judged.of(judge.Z, words_said(row.references for row in activations.rows), activations.word)
    overlap = overlap_of(lmm, activations, options, GroundingOptions())
    choice = choose(measure_all(choices_for(options, judge.Z), judged, overlap))
    fitted = choice.of(options).learner().fit(judge.Z)
    stable = stability(fitted, judge.Z, n_runs=4)
    return judge.learner(fitted) | {
        "choice": choice,
        "stability over seeds": float(stable.seeds.mean()),
        "stability over resamples": float(stable.resamples.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=5000, help="scenes; four of five are learned from")
    parser.add_argument("--new", type=int, default=18000, help="scenes of another seed, to judge on")
    parser.add_argument("--keep", type=Path, help="keep the states in this folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    quieten()
    lmm, home = load("toyland"), args.keep or Path(tempfile.mkdtemp())
    judge = Judge(
        states_of(lmm, args.samples, 0, "train", home / "learned"), states_of(lmm, args.new, 1, None, home / "new")
    )
    Z, mean = judge.Z, judge.Z.mean(axis=0)
    X, X_new = Z - mean, judge.Z_new - mean
    state = scores.separation(scores.probe(Z, judge.properties, judge.Z_new), judge.of_new)
    found: dict[str, Any] = {
        f"K = {k}, {form} form": judge.learner(SemiNMF(k, form=form).fit(Z))
        for form in ("centred", "paper")
        for k in (20, 40, 55)
    }
    found["K and λ chosen"] = chosen(lmm, open_activations(home / "learned"), judge)
    spread = float(np.sqrt((X**2).sum(axis=1).mean()))
    fixed: dict[str, Any] = {}
    for kind in ("difference of means", "linear discriminant", "logistic regression"):
        U = directions(kind, X, judge.has)
        alone = scores.separation(X_new @ U.T, judge.of_new.of(judge.said))
        fixed[kind] = {"the direction by itself": alone.mean()} | {
            f"lasso on all of them, λ = {share:g}": judge.told(
                nonnegative_lasso(X, U, share * spread), nonnegative_lasso(X_new, U, share * spread)
            )
            for share in (0.0, 0.02, 0.1)
        }
    captions, truth = Named.fit(Z, judge.has), Named.fit(Z, judge.properties.has[:, judge.said])
    named = {
        "by captions": judge.learner(NamedSemiNMF(20 + len(judge.said), named=captions).fit(Z))
        | {"stability of the named": float(stability_of_named(captions, Z, judge.has, 4).mean())},
        "by the factors": judge.learner(NamedSemiNMF(20 + len(judge.said), named=truth).fit(Z)),
    }
    result = {
        "parameters": {"samples": args.samples, "new": args.new, "word": WORD},
        "states": {"learned from": len(Z), "new": len(X_new)},
        "values": {"all": len(judge.properties.values), "that captions say": len(judge.said)},
        "a probe on the states": state.mean(),
        "found": found,
        "fixed directions, in one lasso": fixed,
        "named, readings of probes, and 20 found beside them": named,
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), **versions()},
    }
    write_json(args.result, json.loads(json.dumps(plain(result)), parse_float=lambda text: float(f"{float(text):.5g}")))
    print(json.dumps(plain(result), indent=1))


if __name__ == "__main__":
    main()
