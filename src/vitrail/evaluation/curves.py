"""Curves: how well words and images of concepts agree by depth (CoX-LMM, figure on layers), and what K changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vitrail import scores
from vitrail.activations import Activations
from vitrail.concepts import learn
from vitrail.evaluation.control_words import random_words
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.held_out import by_id, samples_of
from vitrail.evaluation.measures import BertMeasure, ClipMeasure, Measure
from vitrail.evaluation.protocols import score_concepts
from vitrail.grounding import ground, word_reader
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.samples import Sample


def by_layer(
    lmm: LMM,
    activations: Activations,
    samples: Sequence[Sample],
    space: Embeddings,
    layers: Sequence[int | str],
    *,
    out: Path,
    method: str,
    n_concepts: int,
    n_random: int,
    seed: int = 0,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """For each layer protocol (a): `{"layer", "explained variance", "clip": {"score", "random", "p"}, "bert": …}`.

    At every layer the words go through the final norm and `W_U`, and the random words are of that layer, too.
    """
    found = []
    rows = samples_of(activations, by_id(samples))
    measures: list[Measure] = [ClipMeasure(space), BertMeasure(space)]
    for i, layer in enumerate(layers):
        home = out / f"layer-{layer}"
        concepts = learn(
            activations,
            out=home / "concepts",
            layer=layer,
            method=method,
            n_concepts=n_concepts,
            seed=seed,
            stability=0,
        )
        grounding = ground(lmm, activations, concepts, out=home / "grounding")
        lists = grounding.words
        own = [[rows[s.row] for s in c.samples] for c in grounding.concepts]
        random = random_words(word_reader(lmm, activations, layer, grounding.options), n_random, seed)
        entry: dict[str, Any] = {"layer": layer, "explained variance": concepts.scores["explained_variance"]}
        for measure in measures:
            scored = score_concepts(measure, lists, own, random, (), seed=seed)
            against = scored.against["random"]
            entry[measure.name] = {
                "score": asdict(scored.score),
                "random": asdict(against.level),
                "gain": asdict(against.gain),
                "p": against.p,
            }
        found.append(entry)
        progress("layers", i + 1, len(layers))
    q = [scores.corrected([entry[m.name]["p"] for entry in found]) for m in measures]
    for i, entry in enumerate(found):
        for values, measure in zip(q, measures, strict=True):
            entry[measure.name]["q"] = values[i]
    return found


def by_concepts(
    lmm: LMM,
    activations: Activations,
    test: Activations,
    n_concepts: Sequence[int],
    *,
    out: Path,
    method: str,
    layer: int | str,
    n_random: int,
    seed: int = 0,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """For each K `{"n_concepts", "explained variance", "explained variance, held out", "overlap", "overlap, random",
    "active"}`, the fewest first; a K larger than the number of samples is left out."""
    found = []
    for i, k in enumerate(sorted(set(n_concepts))):
        if k > len(activations):
            continue
        home = out / f"concepts-{k}"
        concepts = learn(
            activations, out=home / "concepts", layer=layer, method=method, n_concepts=k, seed=seed, stability=0
        )
        grounding = ground(lmm, activations, concepts, out=home / "grounding")
        lists = grounding.words
        Z = activations.states(layer)[concepts.kept]
        Z_test = test.states(layer)
        rebuilt = concepts.learner.inverse_transform(np.asarray(concepts.learner.transform(Z_test)))
        mean = Z.astype(np.float64).mean(axis=0)
        reader = word_reader(lmm, activations, layer, grounding.options, max(map(len, lists)))
        random = random_words(reader, max(n_random, k), seed)
        found.append(
            {
                "n_concepts": k,
                "explained variance": concepts.scores["explained_variance"],
                "explained variance, held out": asdict(scores.explained_variance(Z_test, rebuilt, mean, seed)),
                "overlap": scores.overlap(lists),
                "overlap, random": scores.overlap(random[:k]),
                "active": concepts.scores["active"],
            }
        )
        progress("K", i + 1, len(n_concepts))
    return found
