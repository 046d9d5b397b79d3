"""Evaluation: concepts + held-out samples → scores, every one beside its controls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.activations import Activations
from vitrail.artifacts import check_parent, is_current, parent, plain, read_manifest, write_json, write_manifest
from vitrail.concepts import Concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.evaluation.ablation import Lexicon, ablate
from vitrail.evaluation.control_words import matched_words, random_words
from vitrail.evaluation.dictionary_scores import dictionary_scores
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.factor_scores import truth_scores
from vitrail.evaluation.held_out import by_id, extract_noise, extract_test, noise_dictionary, samples_of
from vitrail.evaluation.measures import BertMeasure, ClipMeasure, Measure
from vitrail.evaluation.protocols import score_concepts, score_images
from vitrail.evaluation.released import released_scores
from vitrail.grounding import Grounding, check_model, word_reader
from vitrail.lmm import LMM
from vitrail.lmm.scorers import ImageTextScorer, TextScorer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.scores import KnownFactors

KIND = "evaluation"
FILE = "evaluation.json"
#: Lists of words of the same frequency per concept.
MATCHED = 20


@dataclass(frozen=True)
class Evaluation:
    """The scores of one dictionary, as plain values (`scores`), with what made them (`manifest`)."""

    folder: Path
    manifest: dict[str, Any]
    scores: dict[str, Any]


def evaluate(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    grounding: Grounding,
    samples: Sequence[Sample],
    test_samples: Sequence[Sample],
    *,
    image_scorer: ImageTextScorer,
    text_scorer: TextScorer,
    out: str | Path,
    shared: str | Path | None = None,
    embeddings: str | Path | None = None,
    factors: KnownFactors | None = None,
    lexicon: Lexicon | None = None,
    noise: bool = True,
    n_random: int = 200,
    n_ablated: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Both protocols of CoX-LMM with controls, dictionary scores, and the truth where it is known, in the folder `out`.

    Args:
        samples: those that the study was made of; their images and captions are those of the concepts' groundings.
        test_samples: held-out samples; the states of those that have the word are extracted as the study's were.
        shared: folder of what does not depend on the dictionary (`test`, `noise`); by default that of `out`.
        embeddings: folder of the scorers' embeddings; by default `embeddings` in `shared`.
        factors: sample id → factor → value, where the truth is known.
        lexicon: factor → value → words, for the ablation.
        noise: whether to make the dictionary of noise images, too.
        n_random: lists of random words; p-values per concept go down to 1 / (1 + n_random).
        n_ablated: images per concept for the ablation; none by default.

    Raises:
        DataError: samples of the study that are not in `samples`, or test samples that were learned from.
        ArtifactError: artifacts that do not belong together.
    """
    if n_random < 1 or n_ablated < 0:
        raise UsageError("n_random must be at least 1, and n_ablated at least 0.")
    out = Path(out)
    shared = Path(shared or out.parent)
    check_model(lmm, activations)
    check_parent(concepts.folder, concepts.manifest, activations.folder, "activations")
    check_parent(grounding.folder, grounding.manifest, concepts.folder, "concepts")
    test = extract_test(lmm, activations, test_samples, out=shared / "test", progress=progress)
    parameters = {
        "scorers": {"clip": _named(image_scorer), "bert": _named(text_scorer) | {"layer": text_scorer.layer}},
        "noise": noise,
        "n_random": n_random,
        "n_ablated": n_ablated,
        "seed": seed,
        "factors": _factors_hash(factors, activations, test),
    }
    parents = {"grounding": parent(grounding.folder), "test": parent(test.folder)}
    if is_current(out, KIND, parameters, parents, FILE):
        return open_evaluation(out, grounding)
    known = by_id(samples)
    space = Embeddings(Path(embeddings or shared / "embeddings"), image_scorer, text_scorer, progress)
    measures: list[Measure] = [ClipMeasure(space), BertMeasure(space)]
    rows = samples_of(activations, known)
    held_out = samples_of(test, by_id(test_samples))
    Z, Z_test = activations.states(concepts.layer)[concepts.kept], test.states(concepts.layer)
    V_test = np.asarray(concepts.learner.transform(Z_test))
    lists = grounding.words
    own = [[rows[s.row] for s in c.samples] for c in grounding.concepts]
    reader = word_reader(lmm, activations, concepts.layer, grounding.options)
    random = random_words(reader, n_random, seed)
    captions = [text for sample in rows for text in sample.references]
    matched = matched_words(lists, reader.allowed.values(), captions, MATCHED, seed)
    noisy_concepts = noisy_images = None
    if noise:
        states = extract_noise(lmm, activations, known, out=shared / "noise", progress=_renamed(progress, "noise"))
        learned, grounded = noise_dictionary(lmm, states, concepts, grounding, out=out.parent)
        said = grounded.words
        noisy_concepts = (said, [[known[s.sample_id] for s in c.samples] for c in grounded.concepts])
        noisy_images = (said, np.asarray(learned.learner.transform(Z_test)))
    progress("score", 0, 4)
    found: dict[str, Any] = {
        **_about(activations, concepts, test),
        "words": lists,
        "concepts": {m.name: score_concepts(m, lists, own, random, matched, noisy_concepts, seed) for m in measures},
    }
    progress("score", 1, 4)
    found["images"] = {
        m.name: score_images(m, lists, held_out, V_test, random, matched, noisy_images, seed) for m in measures
    }
    progress("score", 2, 4)
    found["dictionary"] = dictionary_scores(concepts, Z, Z_test, lists, random, own, seed)
    found["released"] = released_scores(lmm, concepts.U, space, held_out, V_test, grounding.options.n_words)
    progress("score", 3, 4)
    ids = [activations.rows[i]["sample_id"] for i in np.flatnonzero(concepts.kept)]
    ids_test = [row["sample_id"] for row in test.rows]
    own_ids = [[s.id for s in mine] for mine in own]
    found["truth"] = truth_scores(concepts.V, ids, V_test, ids_test, own_ids, factors, seed)
    progress("score", 4, 4)
    if n_ablated:
        best = found["truth"]["concepts"] if found["truth"] else []
        found["ablation"] = ablate(
            lmm, activations, concepts, lists, held_out, V_test, [row["text"] for row in test.rows], n_images=n_ablated,
            values=[(b["factor"], b["value"]) for b in best], lexicon=lexicon, seed=seed, progress=progress,
        )  # fmt: skip
    values = plain(found)
    write_json(out / FILE, values)
    return Evaluation(out, write_manifest(out, KIND, {"parameters": parameters, "parents": parents}), values)


def _named(scorer: ImageTextScorer | TextScorer) -> dict[str, Any]:
    return {"name": scorer.name, "fingerprint": scorer.fingerprint}


def _about(activations: Activations, concepts: Concepts, test: Activations) -> dict[str, Any]:
    return {
        "word": activations.parameters["word"]["text"],
        "model": activations.parameters["model"]["name"],
        "layer": concepts.layer,
        "method": concepts.parameters["method"],
        "n_concepts": len(concepts),
        "n_samples": int(concepts.kept.sum()),
        "n_test": len(test),
    }


def _factors_hash(factors: KnownFactors | None, *activations: Activations) -> str | None:
    """A hash of the factors that are known of the samples: scores depend on which factors are known."""
    known = [dict((factors or {}).get(row["sample_id"], {})) for a in activations for row in a.rows]
    return hashlib.sha256(json.dumps(known, default=str).encode()).hexdigest()[:16] if any(known) else None


def _renamed(progress: Progress, name: str) -> Progress:
    return lambda _what, done, total: progress(name, done, total)


def open_evaluation(folder: str | Path, grounding: Grounding | None = None) -> Evaluation:
    """The evaluation in `folder`; when `grounding` is given, it must be the one that it was made from.

    Raises:
        ArtifactError: missing, damaged, newer, or made from another grounding.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND)
    if grounding is not None:
        check_parent(folder, manifest, grounding.folder, "grounding")
    try:
        return Evaluation(folder, manifest, json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{folder / FILE} is damaged or missing ({error}). Remove {folder} and evaluate again."
        ) from error
