"""One dictionary over words of Toyland, from a folder of many words and from single studies, and its page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vitrail import open_dictionary, share
from vitrail.activations import ExtractionOptions
from vitrail.artifacts import verify
from vitrail.concepts import LearningOptions
from vitrail.errors import UsageError
from vitrail.extraction import extract_words
from vitrail.reports.shared import PHOTOS, title_of
from vitrail.runs.share import states_of

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
    code, _, err = run("share", many.folder_of("dog"), "--out", tmp_path / "t")
    assert code == 2
    assert "two words or more, each once; got dog" in err
