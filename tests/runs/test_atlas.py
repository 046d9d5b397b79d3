"""An atlas: the line for every word of a folder of many, and a page that lists them."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from vitrail.activations import ExtractionOptions
from vitrail.artifacts import verify
from vitrail.concepts import LearningOptions
from vitrail.errors import ArtifactError, WordError
from vitrail.extraction import extract_words
from vitrail.runs.atlas import FEWEST, atlas
from vitrail.studies import open_study

LEARNING = LearningOptions(n_concepts=3, stability=1)
WORDS = ("black", "grass", "<b>sheep</b>", "hot dog")


@pytest.fixture(scope="module")
def store(lmm, samples, tmp_path_factory):
    """Words with many states and with few; the captions of some samples hold one that is markup."""
    from dataclasses import replace

    some = [replace(s, references=(*s.references, "<b>sheep</b>")) if i % 4 == 0 else s for i, s in enumerate(samples)]
    options = ExtractionOptions(layers=(8,), require="truth", shard_size=16)
    return extract_words(lmm, some[:100], WORDS, out=tmp_path_factory.mktemp("atlas") / "words", options=options)


@pytest.fixture(scope="module")
def made(lmm, store):
    return atlas(lmm, store, learning=LEARNING)


def test_every_word_with_enough_states_has_a_study_with_its_report(made, store):
    enough = {word for word, n in store.kept.items() if n >= FEWEST}
    assert {"black", "<b>sheep</b>"} <= enough < set(WORDS)
    assert {entry.word for entry in made.entries if entry.made} == enough
    for entry in made.entries:
        assert entry.n_samples == store.kept[entry.word]
        if entry.made:
            study = open_study(store.folder_of(entry.word))
            assert (store.folder / entry.report).is_file()
            assert len(study) == entry.n_concepts == 3
            assert entry.explained_variance == study.learned.scores["explained_variance"]
            assert set(entry.titles) <= set(study.titles)
            assert 0 <= entry.agreeing <= 1
    assert {c.condition for c in verify(store.folder)} == {"whole"}


def test_the_page_links_each_report_and_lets_no_word_become_markup(made):
    page = made.page.read_text()
    links = re.findall(r'<th scope="row"[^>]*><a href="([^"]+)">', page)
    assert len(links) == sum(entry.made for entry in made.entries)
    assert all((made.folder / link).is_file() for link in links)
    assert "<b>sheep</b>" not in page
    assert "&lt;b&gt;sheep&lt;/b&gt;" in page
    assert page.count("too few samples to learn from") == sum(not entry.made for entry in made.entries)
    assert [json.loads((made.folder / "atlas.json").read_text())["entries"][i]["word"] for i in range(4)] == list(WORDS)


def test_a_run_that_goes_on_makes_nothing_again(lmm, store, made, monkeypatch):
    monkeypatch.setattr("vitrail.learners.semi_nmf.SemiNMF.fit", None)
    before = made.page.read_bytes()
    assert atlas(lmm, store.folder, learning=LEARNING).entries == made.entries
    assert made.page.read_bytes() == before


def test_only_some_words_may_be_asked_for(lmm, store, tmp_path):
    copy = shutil.copytree(store.folder, tmp_path / "words")
    found = atlas(lmm, copy, words=["grass"], learning=LEARNING)
    assert [entry.word for entry in found.entries] == ["grass"]
    with pytest.raises(WordError, match="'gras' is none of the 4 words"):
        atlas(lmm, copy, words=["gras"], learning=LEARNING)


def test_a_page_of_somebody_else_is_not_overwritten(lmm, store, tmp_path):
    copy = shutil.copytree(store.folder, tmp_path / "words")
    (copy / "atlas.html").write_text("mine")
    with pytest.raises(ArtifactError, match=r"atlas\.html"):
        atlas(lmm, copy, learning=LEARNING)
    assert (copy / "atlas.html").read_text() == "mine"


def test_another_model_is_refused(changed_lmm, store, tmp_path):
    copy = shutil.copytree(store.folder, tmp_path / "words")
    shutil.rmtree(copy / "words" / "black" / "grounding", ignore_errors=True)
    with pytest.raises(ArtifactError, match="fingerprint"):
        atlas(changed_lmm, copy, words=["black"], learning=LEARNING)
