"""An image is explained by the exact codes of its own state, held against the training samples."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import cdist
from scipy.stats import percentileofscore
from tests.resealing import reseal

from vitrail.artifacts import file_hash
from vitrail.errors import ArtifactError, DataError, UsageError, WordError
from vitrail.explanation import FILE, explain, explain_samples, open_explanations, save_explanations
from vitrail.extraction import extract
from vitrail.lmm import LMM
from vitrail.samples import thumbnail
from vitrail.words import Word

CLOSE = {"rtol": 1e-2, "atol": 1e-2}  # a batch of one is not a batch of eight to the last bit


@pytest.fixture
def study(lmm, activations, concepts, grounding):
    return lmm, activations, concepts, grounding


@pytest.fixture
def explained(study, dogs, saying):
    """`explained(i, …)`: the explanation of training sample `i` when the model says what it was made to say there."""

    def run(i: int, **options):
        saying(study[1].rows[i].text.strip())
        return explain(*study, dogs[i].image, **options)

    return run


@pytest.mark.parametrize("i", [0, 9, 23])
def test_a_training_image_is_explained_by_its_own_activations(explained, study, dogs, i):
    _, activations, concepts, grounding = study
    found = explained(i, n_concepts=6)
    state = activations.states(concepts.layer)[i : i + 1]
    v = concepts.learner.transform(state)[0]
    np.testing.assert_allclose(v, concepts.V[i], rtol=1e-4, atol=1e-4)
    rms = np.sqrt(np.square(concepts.V).mean(0))
    shown = {c.index: c for c in found.concepts}
    dense = np.array([shown[k].activation if k in shown else 0 for k in range(len(concepts))])
    np.testing.assert_allclose(dense, v, **CLOSE)
    strengths = [c.strength for c in found.concepts]
    np.testing.assert_allclose(strengths, [v[c.index] / rms[c.index] for c in found.concepts], **CLOSE)
    assert strengths == sorted(strengths, reverse=True)
    assert all(strength > 0 for strength in strengths)
    for c in found.concepts:
        assert c.words == tuple(w.word for w in grounding[c.index].words)
        assert c.samples == tuple(s.sample_id for s in grounding[c.index].samples)
    mean = activations.states(concepts.layer)[concepts.kept].mean(axis=0)
    rebuilt = mean + v @ concepts.U
    unexplained = np.sum((state - rebuilt) ** 2) / np.sum((state - mean) ** 2)
    assert found.explained_variance == pytest.approx(1 - unexplained, abs=1e-2)
    assert found.caption == activations.rows[i].text.strip()
    assert found.word == activations.rows[i].form
    assert found.image == str(dogs[i].image.name)
    assert found.thumbnail == thumbnail(dogs[i].open())


def test_percentiles_are_the_share_of_training_samples_below(explained, study):
    V = study[2].V
    for c in explained(4, n_concepts=6).concepts:
        assert c.percentile == pytest.approx(percentileofscore(V[:, c.index], c.activation, kind="mean"))


def test_look_alikes_are_the_nearest_training_samples_by_cosine(explained, study, dogs):
    _, activations, concepts, _ = study
    found = explained(4, n_concepts=6, n_look_alikes=len(activations))
    v = np.zeros((1, len(concepts)))
    for c in found.concepts:
        v[0, c.index] = c.strength
    with np.errstate(invalid="ignore"):
        distances = np.nan_to_num(
            cdist(v, concepts.strengths(concepts.V), "cosine")[0], nan=1
        )  # of no activation at all
    ids = [row.sample_id for row in activations.rows]
    assert sorted(found.look_alikes) == sorted(ids)
    ranked = [distances[ids.index(i)] for i in found.look_alikes]
    np.testing.assert_allclose(ranked, np.sort(distances), atol=1e-5)
    assert distances[ids.index(dogs[4].id)] == pytest.approx(distances.min(), abs=1e-3)


def test_dropped_rows_are_no_look_alikes(study, dogs, saying):
    lmm, activations, concepts, grounding = study
    kept = np.ones(len(activations), dtype=bool)
    kept[4] = False
    dropped = dataclasses.replace(concepts, kept=kept, V=concepts.V[kept])
    saying(activations.rows[4].text.strip())
    found = explain(lmm, activations, dropped, grounding, dogs[4].image, n_look_alikes=99)
    assert set(found.look_alikes) == {s.id for s in dogs} - {dogs[4].id}


def test_the_same_image_is_explained_alike_every_time(explained):
    assert explained(3) == explained(3)


def test_an_open_image_is_explained_as_its_file_is(study, explained, dogs, saying):
    from_file = explained(2)
    opened = explain(*study, Image.open(dogs[2].image))
    assert opened == dataclasses.replace(from_file, image="image")
    assert explain(*study, str(dogs[2].image)).concepts == from_file.concepts


def test_no_more_concepts_and_look_alikes_than_asked_for(explained, study):
    few = explained(0, n_concepts=1, n_look_alikes=2)
    assert len(few.concepts) == 1
    assert len(few.look_alikes) == 2
    assert explained(0, n_look_alikes=0).look_alikes == ()
    with pytest.raises(UsageError, match="n_concepts must be at least 1"):
        explained(0, n_concepts=0)
    with pytest.raises(UsageError, match="n_look_alikes at least 0"):
        explained(0, n_look_alikes=-1)


def test_an_image_without_the_word_is_an_error_that_quotes_the_caption(study, dogs, saying):
    saying("a cat in a catalogue of dogs")
    with pytest.raises(WordError, match=r"does not say 'dog' of .*\.jpg; it says: 'a cat in a catalogue of dogs'"):
        explain(*study, dogs[0].image)


def test_an_image_that_cannot_be_read_is_an_error(study, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x\.jpg"):
        explain(*study, tmp_path / "x.jpg")
    with pytest.raises(DataError, match="does not exist"):
        explain(*study, tmp_path / "none.jpg")


def test_another_model_is_refused_and_both_named(study, dogs):
    lmm, *rest = study
    with pytest.raises(ArtifactError, match="was made by the model 'toyland', not by 'another'"):
        explain(dataclasses.replace(lmm, name="another"), *rest, dogs[0].image)


def test_the_model_is_asked_what_it_was_asked_in_the_study(study, dogs, saying, monkeypatch):
    lmm, *rest = study
    saying("a dog")
    asked, prepare = set(), LMM.prepare

    def listen(self, images, requests):
        asked.update(requests)
        return prepare(self, images, requests)

    monkeypatch.setattr(LMM, "prepare", listen)
    here = explain(lmm, *rest, dogs[0].image)
    assert explain(dataclasses.replace(lmm, prompt="is it night ?"), *rest, dogs[0].image) == here
    assert asked == {lmm.prompt}


def test_of_several_samples_those_with_the_word_are_explained_in_order(study, dogs, saying):
    saying(["a dog", "a cat", "two dogs and a Dog"])
    found = explain_samples(*study, dogs[:3])
    assert [e.image for e in found] == [dogs[0].name, dogs[2].name]
    assert [e.word for e in found] == ["dog", "Dog"]
    assert explain_samples(*study, []) == []


# ---- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(study, dogs, saying, tmp_path):
    saying(["a brown dog", "the dog"])
    explanations = explain_samples(*study, dogs[:2])
    save_explanations(explanations, study[3], tmp_path / "e")
    return tmp_path / "e", explanations


def test_explanations_opened_again_are_the_same(saved, grounding, concepts):
    folder, explanations = saved
    assert len(explanations) == 2
    assert open_explanations(folder, grounding, concepts) == explanations


def test_explanations_that_have_no_strengths_yet_get_them(saved, grounding, concepts):
    folder, explanations = saved
    values = json.loads((folder / FILE).read_text())
    for explanation in values:
        for concept in explanation["concepts"]:
            del concept["strength"]
    (folder / FILE).write_text(json.dumps(values))
    reseal(folder, files={FILE: file_hash(folder / FILE)})
    assert open_explanations(folder, grounding, concepts) == explanations


def test_explanations_as_plain_values_leave_the_picture_out(saved):
    values = saved[1][0].as_dict()
    assert "thumbnail" not in values
    assert {"strength", "percentile"} < set(values["concepts"][0])
    assert "activation" not in values["concepts"][0]  # its unit is that of the states
    assert json.loads(json.dumps(values))["caption"] == "a brown dog"


def test_explanations_by_another_grounding_are_refused(saved, grounding, concepts, tmp_path):
    other = shutil.copytree(grounding.folder, tmp_path / "other")
    reseal(other, note="of another run")
    with pytest.raises(ArtifactError, match=r"e was not made from .*other"):
        open_explanations(saved[0], dataclasses.replace(grounding, folder=other), concepts)


@pytest.mark.parametrize("text", ["", "[{}]", "{", '[{"thumbnail": "%%"}]', "[1]"])
def test_a_damaged_file_is_refused(saved, grounding, concepts, text):
    (saved[0] / FILE).write_text(text)
    with pytest.raises(ArtifactError, match=r"explanations\.json is (damaged|missing)"):
        open_explanations(saved[0], grounding, concepts)


@pytest.mark.usefixtures("trained")
def test_the_bundled_model_explains_pictures_of_dogs_in_its_own_words(study, dogs):
    found = explain_samples(*study, dogs)
    assert len(found) > len(dogs) / 3
    for e in found:
        assert Word("dog").find(e.caption)
        assert e.concepts
        assert e.explained_variance < 1


def test_an_answer_without_the_positions_of_the_study_is_no_missing_word(lmm, dogs, study_by, saying, tmp_path):
    found = extract(lmm, dogs, "dog", out=tmp_path / "a", require="truth", read_at="answer:3", layers=[-1])
    study = study_by("kmeans", found, tmp_path, 2)
    saying("a dog")
    with pytest.raises(DataError, match="has no 'answer:3': 'a dog'"):
        explain(lmm, found, study.concepts, study.grounding, dogs[0].open())
