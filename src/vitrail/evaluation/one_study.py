"""The scores of one study, each beside its controls, and the folder that keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from vitrail.activations import Activations
from vitrail.artifacts import (
    MANIFEST,
    KeptParts,
    check_parent,
    file_hash,
    is_current,
    parent,
    read_finished,
    read_made,
    typed,
    write_json,
    write_manifest,
)
from vitrail.evaluation.ablation import Captioned, ablate, targets_of
from vitrail.evaluation.control_words import Controls, NoiseDictionary, matched_words, random_words
from vitrail.evaluation.dictionary_scores import score_dictionary
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.inputs import EvaluationData, Scorers
from vitrail.evaluation.map_parts import parts_of_study
from vitrail.evaluation.map_scores import MOST, MapJudge, map_scores
from vitrail.evaluation.measures import BertMeasure, ClipMeasure, Measure
from vitrail.evaluation.options import EvaluationOptions
from vitrail.evaluation.property_scores import Described, score_properties
from vitrail.evaluation.protocols import score_concepts, score_images
from vitrail.evaluation.released import released_scores
from vitrail.evaluation.results import (
    Ablation,
    DictionaryScore,
    EvaluationScores,
    MapScores,
    PropertyScores,
    ReleasedScores,
    Scored,
)
from vitrail.extraction import having
from vitrail.grounding import Grounding, check_model, word_reader
from vitrail.lmm import LMM
from vitrail.lmm.coordinates import Places
from vitrail.maps import question_of
from vitrail.notebook import Shown, View
from vitrail.progress import Progress, foretell, silent
from vitrail.samples import Sample
from vitrail.studies import Study, noise_activations, noise_study, samples_of_rows, unseen_activations
from vitrail.words import words_said

KIND = "evaluation"
FILE = "evaluation.json"
#: Lists of matched words per concept.
MATCHED = 20


@dataclass(frozen=True)
class Evaluation(Shown):
    """The scores of one study, and the manifest that says what made them."""

    folder: Path
    manifest: dict[str, Any]
    scores: EvaluationScores

    def _shown(self) -> View:
        return self.scores._shown()


@dataclass(frozen=True)
class EvaluationFolders:
    """Where an evaluation writes.

    Args:
        out: the scores; the dictionary of noise images lies beside it.
        shared: states of held-out samples (`test`) and of noise images (`noise`), which no dictionary changes.
        embeddings: of the scorers.
    """

    out: Path
    shared: Path
    embeddings: Path

    @classmethod
    def beside(cls, out: str | Path) -> EvaluationFolders:
        """Everything in the folder that `out` lies in."""
        home = Path(out).parent
        return cls(Path(out), home, home / "embeddings")


def score_study(
    study: Study,
    lmm: LMM,
    data: EvaluationData,
    scorers: Scorers,
    folders: EvaluationFolders,
    options: EvaluationOptions | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """The scores of a study: both protocols of CoX-LMM with controls, scores of the dictionary, and of the
    properties of samples.

    What is finished in `folders` is kept.

    Raises:
        DataError: a sample of the study is not in `data.samples`, or a test sample was learned from.
        ArtifactError: the artifacts do not belong together, or the folder holds another evaluation.
    """
    options = options or EvaluationOptions()
    check_model(lmm, study.activations)
    check_parent(study.concepts.folder, study.concepts.manifest, study.activations.folder, "activations")
    check_parent(study.grounding.folder, study.grounding.manifest, study.concepts.folder, "concepts")
    out = folders.out
    if not (out / MANIFEST).exists():
        word, require = study.activations.word, study.activations.options.require
        foretell(
            {
                "held-out samples": 3 * len(having(data.test_samples, word, require)),
                "noise images": 3 * len(study.activations) if options.noise else 0,
                "concepts taken out": 4 * len(study.concepts) * options.n_ablated,
                "maps judged": 200 * options.n_mapped,
            }
        )
    test = unseen_activations(study.activations, lmm, data.test_samples, out=folders.shared / "test", progress=progress)
    parameters = {
        "scorers": scorers.described(),
        **options.parameters(),
        "factors": _factors_hash(data, study.activations, test),
        "truth": "on new samples",
        **({"parts": _parts_hash(data)} if options.n_mapped else {}),
    }
    parents = {"grounding": parent(study.grounding.folder), "test": parent(test.folder)}
    parts = KeptParts(out, {"parameters": parameters, "parents": parents, "lexicon": data.lexicon})
    if not is_current(out, KIND, parameters, parents):
        embeddings = Embeddings(folders.embeddings, scorers, progress)
        found = _Scoring.of(study, lmm, data, options, test, embeddings, progress).scores(folders, parts)
        write_json(out / FILE, found)
        write_manifest(out, KIND, {"parameters": parameters, "parents": parents}, [FILE])
    parts.remove()
    return open_evaluation(out, study.grounding)


def open_evaluation(folder: str | Path, grounding: Grounding | None = None) -> Evaluation:
    """The evaluation in `folder`.

    Args:
        grounding: the one that the evaluation must be of; any for None.

    Raises:
        ArtifactError: missing, damaged, newer, or made from another grounding.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "evaluate")
    if grounding is not None:
        check_parent(folder, manifest, grounding.folder, "grounding")
    # an earlier version counted the truth on the samples learned from
    earlier = {} if "truth" in manifest["parameters"] else {"truth": None}
    scores = read_made(folder / FILE, lambda values: typed({**values, **earlier}, EvaluationScores), "evaluate")
    return Evaluation(folder, manifest, scores)


def _factors_hash(data: EvaluationData, *activations: Activations) -> str | None:
    """A hash of the known factors of the samples: scores depend on which factors are known. None where none is."""
    known = data.known([i for a in activations for i in a.sample_ids()])
    return hashlib.sha256(json.dumps(known, default=str).encode()).hexdigest()[:16] if any(known) else None


def _parts_hash(data: EvaluationData) -> str | None:
    """A hash of what says which part of an image a map should show; None where nothing does."""
    if data.objects is not None:
        return file_hash(data.objects.path)[:16]
    return None if data.masks is None else file_hash(data.masks.path)[:16]


@dataclass(frozen=True)
class _Scoring:
    """What all scores of a study are computed from."""

    study: Study
    lmm: LMM
    data: EvaluationData
    options: EvaluationOptions
    test: Activations
    embeddings: Embeddings
    progress: Progress
    rows: Sequence[Sample]  # the sample of every row of the study's activations
    held_out: Sequence[Sample]  # the sample of every row of the test activations
    V_test: Float[np.ndarray, "n k"]

    @classmethod
    def of(
        cls,
        study: Study,
        lmm: LMM,
        data: EvaluationData,
        options: EvaluationOptions,
        test: Activations,
        embeddings: Embeddings,
        progress: Progress,
    ) -> _Scoring:
        rows, held_out = samples_of_rows(study.activations, data.samples), samples_of_rows(test, data.test_samples)
        V_test = np.asarray(study.concepts.learner.transform(test.states(study.concepts.layer)))
        return cls(study, lmm, data, options, test, embeddings, progress, rows, held_out, V_test)

    @property
    def own(self) -> list[list[Sample]]:
        """The most activating samples of each concept."""
        return [[self.rows[s.row] for s in c.samples] for c in self.study.grounding.concepts]

    def scores(self, folders: EvaluationFolders, parts: KeptParts) -> EvaluationScores:
        study, seed, lists = self.study, self.options.seed, self.study.grounding.words
        # first: there may be none for this family of models
        maps = parts.value("maps", self.maps, MapScores) if self.options.n_mapped else None
        concepts, layer, own = study.concepts, study.concepts.layer, self.own
        measures: list[Measure] = [
            ClipMeasure(self.embeddings),
            BertMeasure(self.embeddings, self.options.over_captions),
        ]
        controls = cache(lambda: self.controls(folders))  # not needed by what is kept
        V_test = concepts.comparable(self.V_test)

        def of_dictionary() -> dict[str, DictionaryScore]:
            Z, Z_test = study.activations.states(layer)[concepts.kept], self.test.states(layer)
            return score_dictionary(concepts, Z, Z_test, lists, controls().random, own, seed)

        def of_released() -> ReleasedScores:
            n_words = study.grounding.options.n_words
            return released_scores(self.lmm, concepts.U, self.embeddings, self.held_out, self.V_test, n_words)

        def of_concepts(m: Measure) -> Scored:
            return parts.value(f"concepts {m.name}", lambda: score_concepts(m, lists, own, controls(), seed), Scored)

        def of_images(m: Measure) -> dict[int, Scored]:
            return parts.value(
                f"images {m.name}",
                lambda: score_images(m, lists, self.held_out, V_test, controls(), seed),
                dict[int, Scored],
            )

        self.progress("score", 0, 4)
        by_concept = {m.name: of_concepts(m) for m in measures}
        self.progress("score", 1, 4)
        by_image = {m.name: of_images(m) for m in measures}
        self.progress("score", 2, 4)
        dictionary = parts.value("dictionary", of_dictionary, dict[str, DictionaryScore])
        released = parts.value("released", of_released, ReleasedScores)
        self.progress("score", 3, 4)
        truth = parts.value("truth", self.truth, PropertyScores | None)
        self.progress("score", 4, 4)
        return EvaluationScores(
            word=study.activations.word.text,
            model=study.activations.model.name,
            layer=layer,
            method=concepts.options.method,
            n_concepts=len(concepts),
            n_samples=int(concepts.kept.sum()),
            n_test=len(self.test),
            test_from=self.data.test_from,
            words=lists,
            concepts=by_concept,
            images=by_image,
            dictionary=dictionary,
            released=released,
            truth=truth,
            ablation=self.ablation(truth, parts) if self.options.n_ablated else None,
            maps=maps,
        )

    def controls(self, folders: EvaluationFolders) -> Controls:
        study, options = self.study, self.options
        reader = word_reader(self.lmm, study.activations, study.concepts.layer, study.grounding.options)
        reader = reader.beside(study.concepts.mean)
        random = random_words(reader, options.n_random, options.seed)
        captions = [text for sample in self.rows for text in sample.references]
        matched = matched_words(study.grounding.words, reader.allowed.values(), captions, MATCHED, options.seed)
        return Controls(random, matched, self.noise(folders) if options.noise else None)

    def noise(self, folders: EvaluationFolders) -> NoiseDictionary:
        """The dictionary of noise images, learned and grounded as the study was."""
        activations, samples = self.study.activations, self.data.samples
        states = noise_activations(
            activations, self.lmm, samples, out=folders.shared / "noise", progress=self._noise_progress
        )
        made = noise_study(self.study, states, self.lmm, out=folders.out.parent)
        pictures = samples_of_rows(states, samples)
        own = [[pictures[s.row] for s in c.samples] for c in made.grounding.concepts]
        Z_test = self.test.states(self.study.concepts.layer)
        V_test = made.concepts.comparable(np.asarray(made.concepts.learner.transform(Z_test)))
        return NoiseDictionary(made.grounding.words, own, V_test)

    def _noise_progress(self, _stage: str, done: int, total: int) -> None:
        self.progress("noise", done, total)

    def truth(self) -> PropertyScores | None:
        """What states, dictionary and concepts hold of the samples, judged on pictures that were not learned from."""
        study, concepts = self.study, self.study.concepts
        kept, seen = np.flatnonzero(concepts.kept), {row.thumbnail for row in study.activations.rows}
        new = np.array([i for i, row in enumerate(self.test.rows) if row.thumbnail not in seen], int)
        return score_properties(
            self.described(study.activations, kept, concepts.V),
            self.described(self.test, new, self.V_test[new]),
            [[s.id for s in mine] for mine in self.own],
            self.data,
            signed=concepts.learner.signed,
            seed=self.options.seed,
        )

    def described(
        self, activations: Activations, rows: Int[np.ndarray, " n"], V: Float[np.ndarray, "n k"]
    ) -> Described:
        """The chosen rows of activations, whose activations of the concepts are `V`."""
        chosen = [activations.rows[i] for i in rows]
        return Described(
            [row.sample_id for row in chosen],
            words_said(row.references for row in chosen),
            activations.states(self.study.concepts.layer)[rows],
            V,
            activations.word,
            self.study.grounding.options.language,
        )

    def maps(self) -> MapScores:
        """How right maps are, on the first held-out images that have concepts."""
        study, options = self.study, self.options
        activations, concepts, V = self.test, study.concepts, self.V_test
        part_of, judge = parts_of_study(study, self.data), MapJudge([options.mapping.method], seed=options.seed)
        order = np.argsort(-concepts.comparable(V), axis=1, kind="stable")[:, :MOST]
        chosen = [tuple(int(k) for k in ks if V[i, k] > 0) for i, ks in enumerate(order)]
        some = [i for i, ks in enumerate(chosen) if ks][: options.n_mapped]
        known: dict[tuple[Any, ...], Places] = {}
        for done, i in enumerate(some):
            self.progress("map", done, len(some))
            image = [self.held_out[i].open()]
            rows, ks = [activations.rows[i]], [chosen[i]]
            asked = question_of(self.lmm, activations, concepts, rows, image, ks, options.mapping)
            of_targets = [*chosen[i], None][: len(asked.targets)]
            judge.judge(replace(asked, known=known), [part_of(self.held_out[i], k, asked.shape) for k in of_targets])
        self.progress("map", len(some), len(some))
        return map_scores(judge.maps, options.mapping.method, options.seed)

    def ablation(self, truth: PropertyScores | None, parts: KeptParts) -> Ablation:
        study = self.study
        return ablate(
            self.lmm,
            study.activations.options,
            study.concepts,
            targets_of(study.grounding.words, truth, self.data.lexicon),
            Captioned(self.held_out, self.V_test, [row.text for row in self.test.rows], self.options.n_ablated),
            seed=self.options.seed,
            parts=parts,
            progress=self.progress,
        )
