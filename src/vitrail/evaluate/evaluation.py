"""Evaluation: concepts + held-out samples → scores, every one beside its controls."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.activations import Activations
from vitrail.artifacts import check_parent, is_current, parent, read_manifest, write_json, write_manifest
from vitrail.concepts import Concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.evaluate.ablation import Lexicon, ablate
from vitrail.evaluate.dictionary import dictionary_scores
from vitrail.evaluate.embeddings import Embeddings
from vitrail.evaluate.heldout import by_id, extract_noise, extract_test, noise_dictionary, samples_of
from vitrail.evaluate.measures import BertMeasure, ClipMeasure, Measure
from vitrail.evaluate.protocols import score_concepts, score_images
from vitrail.evaluate.released import released_scores
from vitrail.evaluate.truth import Factors, truth_scores
from vitrail.evaluate.wording import matched_words, random_words
from vitrail.ground import Grounding, allowed_words, check_model
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.scorers import ImageTextScorer, TextScorer

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
    factors: Factors | None = None,
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
    lists = [[w.word for w in c.words] for c in grounding.concepts]
    own = [[rows[s.row] for s in c.samples] for c in grounding.concepts]
    allowed = allowed_words(lmm, activations, **grounding.filter)
    random = random_words(lmm, concepts.layer, allowed, grounding.manifest["parameters"]["n_words"], n_random, seed)
    captions = [text for sample in rows for text in sample.references]
    matched = matched_words(lists, allowed.values(), captions, MATCHED, seed)
    noisy_concepts = noisy_images = None
    if noise:
        states = extract_noise(lmm, activations, known, out=shared / "noise", progress=_renamed(progress, "noise"))
        learned, grounded = noise_dictionary(lmm, states, concepts, grounding, out=out.parent)
        said = [[w.word for w in c.words] for c in grounded.concepts]
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
    n_words = grounding.manifest["parameters"]["n_words"]
    found["released"] = released_scores(lmm, concepts.U, space, held_out, V_test, n_words)
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


def _factors_hash(factors: Factors | None, *activations: Activations) -> str | None:
    """What is known of the samples in question: with other knowledge the scores are others."""
    known = [dict((factors or {}).get(row["sample_id"], {})) for a in activations for row in a.rows]
    return hashlib.sha256(json.dumps(known, default=str).encode()).hexdigest()[:16] if any(known) else None


def _renamed(progress: Progress, name: str) -> Progress:
    return lambda _what, done, total: progress(name, done, total)


def plain(value: Any) -> Any:
    """The value as JSON knows it: dataclasses as objects, NaN and infinity as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
