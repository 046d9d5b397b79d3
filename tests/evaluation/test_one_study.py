"""One study, evaluated: whole, kept, and refused where it does not belong."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from tests.evaluation.fakes import Counting
from tests.killing import content, killed_after_each_part
from tests.resealing import reseal

from vitrail.activations import open_activations
from vitrail.artifacts import file_hash, plain
from vitrail.concepts import open_concepts
from vitrail.errors import ArtifactError, DataError
from vitrail.evaluation import (
    EvaluationData,
    EvaluationFolders,
    EvaluationOptions,
    open_evaluation,
    score_study,
)
from vitrail.grounding import GroundedConcept, open_grounding
from vitrail.samples import Sample

CONTROLS = {"random", "frequency", "shuffled", "noise", "captions"}


def again(study, lmm, data, out, scorers=None, **options):
    """The evaluation that the fixture `evaluation` is, or one with other options, in the folder `out`."""
    asked = EvaluationOptions(**{"n_random": 30} | options)
    return score_study(study, lmm, data, scorers or Counting().scorers, EvaluationFolders.beside(out), asked)


def test_an_evaluation_is_whole_and_opens_again(evaluation, grounding):
    written = json.loads((evaluation.folder / "evaluation.json").read_text())
    assert written == plain(evaluation.scores)
    assert plain(open_evaluation(evaluation.folder, grounding).scores) == written
    scores = evaluation.scores
    for measure in ("clip", "bert"):
        assert len(scores.concepts[measure].units) == len(grounding)
        assert set(scores.concepts[measure].against) == CONTROLS
        for scored in scores.images[measure].values():
            assert set(scored.against) == CONTROLS
            assert all(0 < contrast.p <= 1 for contrast in scored.against.values())
    assert scores.truth.n_new == scores.n_test
    expected = ["embeddings", "evaluation", "noise", "noise-concepts", "noise-grounding", "test"]
    assert sorted(p.name for p in evaluation.folder.parent.iterdir()) == expected


def test_the_names_in_the_file_are_those_of_version_0_1_0(evaluation):
    written = json.loads((evaluation.folder / "evaluation.json").read_text())
    head = {"word", "model", "layer", "method", "n_concepts", "n_samples", "n_test", "words"}
    since = {"test_from"}
    assert set(written) == head | since | {"concepts", "images", "dictionary", "released", "truth", "ablation", "maps"}
    assert set(written["images"]["clip"]) == {"1", "3", "5"}
    assert set(written["images"]["clip"]["1"]["against"]["noise"]["gain"]) == {"mean", "std", "low", "high", "n"}
    assert "explained variance, held out" in written["dictionary"]
    assert set(written["released"]) == {"words", "overlap", "top_1_mean", "top_1_std", "top_3_mean", "top_3_std"}


def test_an_evaluation_of_an_earlier_version_opens_without_its_truth_and_is_not_continued(
    evaluation, dog_study, lmm, data, tmp_path
):
    """It counted the truth on the samples learned from."""
    folder = tmp_path / "evaluation"
    shutil.copytree(evaluation.folder, folder)
    written = json.loads((folder / "evaluation.json").read_text())
    written["truth"] = {"best": {"colour": 0.9}, "by_chance": {}, "held_out": {}, "values": [], "concepts": []}
    del written["test_from"]
    (folder / "evaluation.json").write_text(json.dumps(written))
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["parameters"]["truth"]
    hashes = {"evaluation.json": file_hash(folder / "evaluation.json")}
    reseal(folder, parameters=manifest["parameters"], files=hashes)
    opened = open_evaluation(folder).scores
    assert opened.truth is None
    assert opened.n_test == evaluation.scores.n_test
    with pytest.raises(ArtifactError, match="truth is none there"):
        again(dog_study, lmm, data, folder)


def test_a_file_without_an_ablation_and_with_nulls_opens(evaluation, tmp_path):
    """Version 0.1.0 left the ablation out where there was none, and wrote null for what is not a number."""
    written = json.loads((evaluation.folder / "evaluation.json").read_text())
    del written["ablation"]
    written["concepts"]["clip"]["score"]["low"] = None
    (tmp_path / "evaluation.json").write_text(json.dumps(written))
    shutil.copy(evaluation.folder / "manifest.json", tmp_path)
    reseal(tmp_path, files={"evaluation.json": file_hash(tmp_path / "evaluation.json")})
    opened = open_evaluation(tmp_path).scores
    assert opened.ablation is None
    assert np.isnan(opened.concepts["clip"].score.low)


def test_every_score_is_of_its_own_words_and_pictures(evaluation, concepts, grounding, dogs, held_out):
    """By hand from what the stages left: a held-out image with its strongest concept, a concept with its own images,
    and a concept of noise with the pictures whose noise it was."""
    fake, home = Counting(), evaluation.folder.parent
    tested, known = ({s.id: s for s in samples} for samples in (held_out, dogs))

    def clip(sample: Sample, grounded: GroundedConcept) -> float:
        text = "A photo is described by the words " + ", ".join(w.word for w in grounded.words)
        return 2.5 * max(float(fake.image.images([sample.open()])[0][0] @ fake.image.texts([text])[0][0]), 0)

    def own(grounded: GroundedConcept) -> float:
        return float(np.mean([clip(known[s.sample_id], grounded) for s in grounded.samples]))

    test = open_activations(home / "test")
    V = concepts.learner.transform(test.states(concepts.layer)) / np.sqrt(np.square(concepts.V).mean(0))
    assert set(test.sample_ids()) <= set(tested)
    expected = [
        clip(tested[row.sample_id], grounding[int(v.argmax())]) if v.max() > 0 else np.nan
        for row, v in zip(test.rows, V, strict=True)
    ]
    np.testing.assert_allclose(evaluation.scores.images["clip"][1].units, expected, atol=1e-5)
    of_concepts = evaluation.scores.concepts["clip"]
    assert of_concepts.units == pytest.approx([own(c) for c in grounding.concepts], abs=1e-5)
    learned = open_concepts(home / "noise-concepts", open_activations(home / "noise"))
    assert learned.parameters == concepts.parameters | {"stability": 0}
    of_noise = [own(c) for c in open_grounding(home / "noise-grounding", learned).concepts if c.samples]
    assert of_concepts.against["noise"].level.mean == pytest.approx(np.mean(of_noise), abs=1e-5)


def test_the_second_run_encodes_nothing(evaluation, dog_study, lmm, data):
    fake = Counting()
    found = again(dog_study, lmm, data, evaluation.folder, fake.scorers)
    assert plain(found.scores) == plain(evaluation.scores)
    assert (fake.images, fake.texts) == ([], [])


def test_other_options_in_the_same_folder_are_refused(evaluation, dog_study, lmm, data):
    with pytest.raises(ArtifactError, match="n_random is 30 there and 31 here"):
        again(dog_study, lmm, data, evaluation.folder, n_random=31)
    with pytest.raises(ArtifactError, match="scorers"):
        again(dog_study, lmm, data, evaluation.folder, Counting("other").scorers)


def test_scores_with_other_known_factors_are_refused(evaluation, dog_study, lmm, data):
    with pytest.raises(ArtifactError, match="factors is"):
        again(dog_study, lmm, dataclasses.replace(data, factors=None), evaluation.folder)


def test_test_samples_that_were_learned_from_are_refused(dog_study, lmm, dogs, tmp_path):
    with pytest.raises(DataError, match=r"were learned from.*--split"):
        again(dog_study, lmm, EvaluationData(dogs, dogs[:3]), tmp_path / "evaluation")


def test_an_evaluation_that_is_damaged_or_missing_is_named(evaluation, tmp_path):
    with pytest.raises(ArtifactError, match="holds no evaluation"):
        open_evaluation(tmp_path)
    (tmp_path / "evaluation.json").write_text("{")
    (tmp_path / "manifest.json").write_text((evaluation.folder / "manifest.json").read_text())
    with pytest.raises(ArtifactError, match=r"evaluation\.json is damaged"):
        open_evaluation(tmp_path)


def test_a_picture_that_was_learned_from_is_not_new_under_another_id(dog_study, lmm, data, dogs, held_out, tmp_path):
    again_seen = [dataclasses.replace(s, id=f"copy-{s.id}") for s in dogs[:5]]
    factors = data.factors | {s.id: data.factors[s.id.removeprefix("copy-")] for s in again_seen}
    mixed = EvaluationData(dogs, [*held_out, *again_seen], factors)
    found = again(dog_study, lmm, mixed, tmp_path / "evaluation", noise=False).scores
    assert found.truth.n_new == found.n_test - 5


def test_killed_after_every_part_it_ends_with_the_same_bytes(dog_study, lmm, data, saying, monkeypatch, tmp_path):
    saying("a brown dog on the grass")

    def run(out: str):
        folder = tmp_path / out / "evaluation"
        return again(dog_study, lmm, data, folder, noise=False, n_random=5, n_ablated=2, over_captions="best")

    made = run("whole")
    n = killed_after_each_part(lambda: run("killed"), monkeypatch)
    assert n == 2 + 2 + 3 + len(made.scores.ablation.concepts)  # by concept, by image, dictionary …
    assert made.scores.ablation.concepts
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
