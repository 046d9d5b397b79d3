"""One dictionary over words of Toyland, from a folder of many words and from single studies, and its page."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
import torch

from vitrail import open_dictionary, share
from vitrail.activations import ExtractionOptions
from vitrail.artifacts import state_of, verify
from vitrail.comparison import ComparisonOptions
from vitrail.concepts import LearningOptions
from vitrail.errors import ArtifactError, UsageError
from vitrail.extraction import extract_words
from vitrail.reports.shared import PHOTOS, title_of
from vitrail.runs.compare import check_comparison, compare
from vitrail.runs.report import report
from vitrail.runs.share import states_of
from vitrail.steering import concept_vector
from vitrail.studies import open_study

LEARNING = LearningOptions(n_concepts=6, stability=1)


@pytest.fixture(scope="module")
def many(lmm, samples, tmp_path_factory):
    """The states of three words, and of one that nobody says, in one folder."""
    options = ExtractionOptions(layers=(-1,), require="truth")
    return extract_words(
        lmm, samples, ["dog", "cat", "bus"], out=tmp_path_factory.mktemp("many") / "s", options=options
    )


@pytest.fixture(scope="module")
def dictionary(lmm, many, tmp_path_factory):
    out = tmp_path_factory.mktemp("shared") / "s"
    return share([many.folder], out=out, learning=LEARNING, lmm=lmm, progress=False)


def test_a_folder_of_many_words_is_one_dictionary(dictionary, many):
    assert list(dictionary.concepts.words) == list(dictionary.groundings) == ["dog", "cat", "bus"]
    for part in many:
        word = part.word.text
        assert dictionary.concepts.words[word].V.shape == (len(part), 6)
        ids = set(part.sample_ids())
        assert all(s.sample_id in ids for c in dictionary.groundings[word].concepts for s in c.samples)
    assert {one.condition for one in verify(dictionary.concepts.folder)} == {"whole"}


def test_studies_of_single_words_make_the_same_dictionary(dictionary, many, lmm, tmp_path):
    parts = [part.folder.parent for part in many]
    again = share(parts, out=tmp_path / "s", learning=LEARNING, lmm=lmm, progress=False)
    np.testing.assert_array_equal(again.concepts.U, dictionary.concepts.U)
    assert [part.word.text for part in states_of([many.folder])] == ["dog", "cat", "bus"]


def test_it_opens_as_it_was_made(dictionary):
    opened = open_dictionary(dictionary.concepts.folder)
    assert opened.groundings["cat"].words == dictionary.groundings["cat"].words
    assert opened.concepts.uses == dictionary.concepts.uses
    assert opened.page == dictionary.page


def test_the_page_shows_every_concept_with_every_word(dictionary):
    page = dictionary.page.read_text(encoding="utf-8")
    assert page.count('<article class="shared') == 6
    shown = sum(min(PHOTOS, len(c.samples)) for grounding in dictionary.groundings.values() for c in grounding.concepts)
    assert page.count("<img ") == shown
    for k in range(6):
        assert title_of(dictionary.groundings, k) in page
    for uses in dictionary.concepts.uses.values():
        assert all(f'<td class="value">{use.strength:.2f}</td>' in page for use in uses)


def test_each_word_is_a_study_that_later_stages_take(dictionary, many, lmm, dogs, tmp_path):
    study = open_study(dictionary.concepts.folder / "words" / "dog")
    states = many.of("dog")
    np.testing.assert_array_equal(study.activations.states(8), states.states(8))
    assert study.activations.rows == states.rows
    np.testing.assert_allclose(study.concepts.mean, states.states(8).mean(axis=0), atol=1e-3)
    assert state_of(report(study, out=tmp_path / "page.html")) == "whole"
    image = next(s.image for s in dogs if "dog" in lmm.caption([s.open()])[0].split())
    explained = study.explain(image, lmm=lmm)
    assert all(c.words == tuple(study.grounding.words[c.index]) for c in explained.concepts)
    strongest = explained.concepts[0].index
    steering = concept_vector(lmm, study.activations, study.concepts, strongest, out=tmp_path / "steering")
    toward = torch.from_numpy(study.concepts.U[strongest])
    assert torch.cosine_similarity(steering.directions[8], toward, dim=0) > 0.999
    found = compare(study, study, lmm, lmm, out=tmp_path / "shift", options=ComparisonOptions(resamples=0))
    assert [c.match for c in found.concepts if c.match is not None] == [
        c.index for c in found.concepts if c.match is not None
    ]
    assert {c.change for c in found.concepts} <= {"refined", "faded"}


def test_a_comparison_that_would_learn_another_dictionary_is_refused_before_models_are_asked(dictionary, dog_study):
    study = open_study(dictionary.concepts.folder / "words" / "dog")
    with pytest.raises(UsageError, match=r"are shared by dog, cat, bus\. .*compare the two studies"):
        check_comparison(study, None, [], ComparisonOptions())
    with pytest.raises(UsageError, match=r"cannot be compared: shared is \['dog', 'cat', 'bus'\] in one, None in the"):
        check_comparison(study, dog_study, None, ComparisonOptions())


def test_states_that_are_gone_are_missed_by_name_and_laid_again_where_they_are(dictionary, many, lmm, tmp_path):
    parts = [shutil.copytree(many.folder, tmp_path / "many")]
    made = share(parts, out=tmp_path / "s", learning=LEARNING, lmm=lmm, progress=False)
    view = made.concepts.folder / "words" / "cat" / "activations"
    shutil.rmtree(view)
    with pytest.raises(ArtifactError, match=r"words/cat/activations holds no activations"):
        open_dictionary(tmp_path / "s")
    share(parts, out=tmp_path / "s", learning=LEARNING, lmm=lmm, progress=False)
    assert len(open_study(view.parent)) == 6
    shutil.rmtree(tmp_path / "many")
    with pytest.raises(ArtifactError, match=r"many/activations holds no activations"):
        open_study(view.parent)


def test_a_title_leaves_out_the_words_that_are_studied(dictionary):
    titles = [title_of(dictionary.groundings, k) for k in range(6)]
    assert not {"dog", "cat", "bus"} & {word for title in titles for word in title.split(" · ")}


def test_one_word_is_refused_before_a_model_is_loaded(many, tmp_path, monkeypatch):
    monkeypatch.setattr("vitrail.runs.share.load_as", None)
    with pytest.raises(UsageError, match="two words or more"):
        share([many.of("dog")], out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_the_command_line_shares(run, many, tmp_path):
    asked = ["share", many.folder, "--concepts", 4, "--stability", 0, "--out", tmp_path / "s"]
    code, out, err = run(*asked)
    assert code == 0, err
    assert (tmp_path / "s" / "shared.html").exists()
    assert "Strengths: 1 is as much as words have on average." in out
    code, out, err = run(*asked, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert list(found["uses"]) == ["dog", "cat", "bus"]
    assert found["stability"] is None
    named = ["--concepts", "auto", "--named", "grass", "--stability", 1, "--out", tmp_path / "named"]
    code, out, err = run("share", many.folder, *named)
    assert code == 0, err
    made = open_dictionary(tmp_path / "named")
    assert made.concepts.choice.reason.split(":")[0] in out
    page = made.page.read_text(encoding="utf-8")
    assert "0: grass (named)" in out
    assert "Named by you" in page
    assert 'id="choice"' in page
    assert all(not math.isnan(one.word_overlap) for one in made.concepts.choice.tried)
    assert {one.condition for one in verify(tmp_path / "named")} == {"whole"}
    code, _, err = run("share", many.folder_of("dog"), "--out", tmp_path / "t")
    assert code == 2
    assert "two words or more, each once; got dog" in err
