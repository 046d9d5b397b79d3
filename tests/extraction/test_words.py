"""Many words in one pass: each word has the rows and states of a run of its own."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from vitrail.activations import Activations, ExtractionOptions, WordStore, open_activations, open_words, study_folder
from vitrail.activations.rows import ShardRows
from vitrail.artifacts import verify
from vitrail.concepts import learn
from vitrail.errors import ArtifactError, UsageError, WordError
from vitrail.extraction import extract_as, extract_words
from vitrail.samples import Sample
from vitrail.words import Word

CLOSE = {"rtol": 1e-3, "atol": 1e-3}
TRUTH = ExtractionOptions(layers=(1, 3), require="truth", shard_size=4)
WORDS = (Word("dog"), Word("grass", ("lawn",)), Word("hot dog"), Word("black"))


@pytest.fixture(scope="module")
def store(lmm, samples, tmp_path_factory) -> WordStore:
    """Words of sixty samples, in several shards. Read only."""
    return extract_words(lmm, samples[:60], WORDS, out=tmp_path_factory.mktemp("words") / "s", options=TRUTH)


@pytest.mark.parametrize("require", ["truth", "both", "predicted"])
def test_each_word_has_the_rows_and_states_of_a_run_of_its_own(lmm, samples, tmp_path, require):
    options = ExtractionOptions(layers=(1, "final"), require=require, shard_size=4, max_new_tokens=12)
    some = samples[:40]
    store = extract_words(lmm, some, ["dog", "black", "white"], out=tmp_path / "s", options=options)
    assert sum(store.kept.values()) == store.counts.kept > 4
    for word, n in store.kept.items():
        found = store.of(word)
        assert len(found) == n == len(found.rows)
        if not n:
            continue
        alone = extract_as(lmm, some, word, options, out=tmp_path / word)
        assert found.rows == alone.rows
        assert found.counts.kept == alone.counts.kept
        assert found.counts.scanned == alone.counts.scanned == len(some)
        for layer in options.layers:
            own = found.layers[options.layers.index(layer)]
            np.testing.assert_allclose(found.states(own), alone.states(own), **CLOSE)


def test_a_sample_has_a_row_for_each_of_its_words(store, samples):
    held = {s.id: {w.text for w in WORDS if any(w.find(text) for text in s.said)} for s in samples[:60]}
    found = {(row.sample_id, word.text) for word in WORDS for row in store.of(word.text).rows}
    assert found == {(i, word) for i, words in held.items() for word in words}
    assert any(len(words) > 2 for words in held.values())


def test_the_rows_of_a_word_are_read_without_those_of_others(store, monkeypatch):
    """Learning out of core reads just the word's states, piece by piece."""
    found = store.of("black")
    rows = ShardRows(found, 3, rows=7)
    pieces = np.concatenate([rows[i] for i in range(len(rows.lengths))])
    np.testing.assert_array_equal(pieces, found.states(3))
    assert sum(rows.lengths) == len(found)
    assert found.sample_ids() == [row.sample_id for row in found.rows]


def test_the_folder_of_each_word_is_that_of_a_study(store):
    for word in WORDS:
        folder = store.folder_of(word.text)
        opened = open_activations(folder / "activations")
        assert opened.word == word
        assert opened.rows == store.of(word.text).rows
        assert study_folder(store.folder, word.text) == folder
    assert store.folder_of("hot dog").name == "hot-dog"
    assert {c.condition for c in verify(store.folder)} == {"whole"}


def test_concepts_are_learned_of_a_word_of_many(store):
    found = store.of("black")
    learned = learn(found, out=store.folder_of("black") / "concepts", layer=3, n_concepts=3, stability=0)
    assert learned.V.shape == (len(found), 3)


def test_words_whose_folders_would_have_one_name_have_two(lmm, samples, tmp_path):
    some = [Sample(s.id, s.image, ("a hot dog", "a hot-dog", "HOT dog")) for s in samples[:2]]
    words = [Word("hot dog"), Word("hot-dog"), Word("HOT dog", match_case=True)]
    store = extract_words(lmm, some, words, out=tmp_path / "s", options=TRUTH)
    assert len({store.folder_of(word.text).name.lower() for word in words}) == 3
    assert [len(activations) for activations in store] == [2, 2, 2]


def test_a_run_that_was_stopped_goes_on_and_gives_the_same_bytes(lmm, samples, store, tmp_path):
    def stop(what, done, total):
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_words(lmm, samples[:60], WORDS, out=tmp_path / "s", options=TRUTH, progress=stop)
    with pytest.raises(ArtifactError, match="did not finish"):
        open_words(tmp_path / "s")
    found = extract_words(lmm, samples[:60], WORDS, out=tmp_path / "s", options=TRUTH)
    names = [p.relative_to(store.folder) for p in store.folder.glob("activations/*")]
    assert len(names) > 6
    assert all((found.folder / name).read_bytes() == (store.folder / name).read_bytes() for name in names)


def test_other_words_are_another_run(lmm, samples, store):
    with pytest.raises(ArtifactError, match="belongs to another run: words is "):
        extract_words(lmm, samples[:60], WORDS[:2], out=store.folder, options=TRUTH)


def test_a_store_without_a_word_is_refused_and_the_words_are_named(store):
    with pytest.raises(UsageError, match=r"holds the states of 4 words \(dog, grass, hot dog, black\)\. Name one"):
        open_activations(store.folder / "activations")
    with pytest.raises(WordError, match=r"'dgo' is none of the 4 words .* Words in it: dog"):
        store.of("dgo")


def test_the_states_of_one_word_are_no_store(activations):
    with pytest.raises(UsageError, match="holds the states of 'dog' alone"):
        open_words(activations.folder.parent)
    assert study_folder(activations.folder.parent, "dog") == activations.folder.parent
    with pytest.raises(UsageError, match="holds the states of 'dog', not of 'cat'"):
        study_folder(activations.folder.parent, "cat")


@pytest.mark.parametrize("damage", ["states", "table", "manifest"])
def test_a_word_of_a_damaged_store_is_refused(store, tmp_path, damage):
    copy = shutil.copytree(store.folder, tmp_path / "s")
    name = {"states": "part-00001.safetensors", "table": "part-00001.parquet", "manifest": "manifest.json"}[damage]
    path = copy / "activations" / name
    path.write_bytes(path.read_bytes()[:-8] + b"01234567")
    with pytest.raises(ArtifactError, match="damaged"):
        open_activations(copy / "words" / "dog" / "activations")


def test_a_store_that_moves_as_a_whole_opens(store, tmp_path):
    moved = shutil.copytree(store.folder, tmp_path / "elsewhere")
    found = open_activations(moved / "words" / "black" / "activations")
    np.testing.assert_array_equal(found.states(1), store.of("black").states(1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "There are no words to extract"),
        (["dog", "cat", "dog"], "'dog' is named more than once"),
        (["dog", "zebrafish"], "No sample has 'zebrafish' in its references"),
    ],
)
def test_words_that_cannot_be_are_refused_before_a_model_is_loaded(samples, tmp_path, words, message):
    with pytest.raises((UsageError, WordError), match=message):
        extract_words("no such model", samples, words, out=tmp_path / "s")


def test_a_word_that_the_model_never_says_has_no_rows(lmm, samples, saying, tmp_path):
    saying("a black dog")
    some = [s for s in samples if all(any(word.find(text) for text in s.said) for word in WORDS[:2])]
    store = extract_words(lmm, some[:3], ["dog", "grass"], out=tmp_path / "s", options=ExtractionOptions(layers=(1,)))
    assert store.kept == {"dog": 3, "grass": 0}
    empty = store.of("grass")
    assert isinstance(empty, Activations)
    assert (len(empty), empty.rows, empty.states(1).shape) == (0, (), (0, lmm.n_features))
