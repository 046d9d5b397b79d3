"""One dictionary over words: what words have in common is found as one concept, and each word has its own mean."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.stored_states import row_of

from vitrail.activations import Counts, Store, open_activations
from vitrail.artifacts import verify
from vitrail.concepts import LearningOptions, open_concepts, open_shared, share_as
from vitrail.concepts.shared import SharedConcepts, folder_of_word
from vitrail.errors import ArtifactError, UsageError
from vitrail.learners import ArrayRows
from vitrail.learners.rows import JoinedRows, here, mean_and_spread, sample

OPTIONS = LearningOptions(n_concepts=5, penalty=0.1, stability=1)
#: What captions call the planted directions.
NAMES = ("snow", "ball", "grass", "tree", "car")


@pytest.fixture(scope="module")
def planted() -> np.ndarray:
    """Five orthonormal directions (5, 16)."""
    return np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0][:5]


@pytest.fixture(scope="module")
def write(activations, planted):
    """Writes states of a word: of its own mean, and of those planted directions that it has; captions say these."""

    def states(folder, word: str, has=(0, 1, 2, 3, 4), n=150, seed=0, **changes):
        rng = np.random.default_rng(seed)
        codes = rng.gamma(9, 1, (n, 5)) * (rng.random((n, 5)) < 0.15) * np.isin(np.arange(5), has)
        Z = codes @ planted + 20 * rng.standard_normal(16) + 0.02 * rng.standard_normal((n, 16))
        named = {"text": word, "forms": [], "match_case": False}
        parameters = {**activations.parameters, "word": named, "layers": [8], **changes}
        store = Store(folder, parameters, 1)
        states_of = {parameters["layers"][0]: torch.tensor(Z, dtype=torch.float32)}
        said = [", ".join([f"a {word}", *(NAMES[k] for k in np.flatnonzero(row))]) for row in codes]
        rows = [dataclasses.replace(row_of(f"{word}{i}"), references=(text,)) for i, text in enumerate(said)]
        store.write(0, states_of, rows, Counts(n, n))
        return store.finish()

    return states


@pytest.fixture(scope="module")
def parts(write, tmp_path_factory):
    """Three words: "dog" has all directions, "boat" not the last one, "hot dog" not the first two."""
    folder = tmp_path_factory.mktemp("parts")
    has = {"dog": range(5), "boat": (0, 1, 2, 3), "hot dog": (2, 3, 4)}
    return [write(folder / word, word, list(of), seed=i) for i, (word, of) in enumerate(has.items())]


@pytest.fixture(scope="module")
def shared(parts, tmp_path_factory) -> SharedConcepts:
    """The dictionary of these words. Read only."""
    return share_as(parts, OPTIONS, out=tmp_path_factory.mktemp("shared") / "s")


def test_the_directions_of_all_words_are_found_once(shared, planted):
    cosines = np.abs(shared.U @ planted.T)
    np.testing.assert_allclose(np.sort(cosines.max(axis=1)), 1, atol=0.05)
    assert sorted(cosines.argmax(axis=1)) == [0, 1, 2, 3, 4]
    assert min(map(min, shared.stability.values())) > 0.95


def test_each_word_has_its_own_mean_and_the_same_concepts(shared, parts):
    for part in parts:
        concepts = shared.words[part.word.text]
        Z = part.states(8)
        np.testing.assert_array_equal(concepts.U, shared.U)
        np.testing.assert_allclose(concepts.mean, Z.mean(axis=0), atol=1e-3)
        np.testing.assert_allclose(concepts.learner.transform(Z), concepts.V, atol=1e-4)
        assert concepts.scores["explained_variance"] > 0.85
        assert concepts.stability == shared.stability
        laid = open_activations(concepts.folder.parent / "activations")
        assert laid.rows == part.rows
        opened = open_concepts(concepts.folder, laid)
        assert opened.options == dataclasses.replace(OPTIONS, layer=8)
        assert opened.parameters["shared"] == ["dog", "boat", "hot dog"]


def test_a_word_that_does_not_have_a_direction_does_not_use_its_concept(shared, planted):
    concept_of = np.abs(shared.U @ planted.T).argmax(axis=0)
    lacking = {"boat": [4], "hot dog": [0, 1]}
    for word, uses in shared.uses.items():
        for direction, k in enumerate(concept_of):
            if direction in lacking.get(word, []):
                assert uses[k].strength < 0.2
            else:
                assert 0.8 < uses[k].strength < 1.6
                assert uses[k].active > 0.1


def test_a_use_is_counted_over_the_samples_of_the_word_and_sized_by_those_of_all(shared):
    V = {"a": np.array([[2.0, 0.0], [0.0, 0.0]]), "b": np.array([[0.0, 3.0], [4.0, 1.0]])}
    one = next(iter(shared.words.values()))
    learner = type(one.learner)(2)
    learner.components_ = np.eye(2)
    words = {word: dataclasses.replace(one, V=v, learner=learner) for word, v in V.items()}
    uses = dataclasses.replace(shared, words=words).uses
    assert [(u.active, u.strongest) for u in uses["a"]] == [(0.5, 0.5), (0.0, 0.0)]
    assert [(u.active, u.strongest) for u in uses["b"]] == [(0.5, 0.5), (1.0, 0.5)]
    assert [u.strength for u in uses["a"]] == pytest.approx([np.sqrt(2 / 5), 0])  # roots of 4/2 over 20/4
    assert [u.strength for u in uses["b"]] == pytest.approx([np.sqrt(8 / 5), np.sqrt(5 / 2.5)])


def test_what_is_there_is_kept_and_what_a_killed_run_left_is_made_again(shared, parts, tmp_path, monkeypatch):
    monkeypatch.setattr("vitrail.concepts.shared._learn", None)
    again = share_as(parts, OPTIONS, out=shared.folder)
    np.testing.assert_array_equal(again.U, shared.U)
    monkeypatch.undo()
    made = share_as(parts[:2], OPTIONS, out=tmp_path / "s")
    (tmp_path / "s" / "manifest.json").unlink()
    assert len(share_as(parts[:2], OPTIONS, out=tmp_path / "s")) == len(made)
    assert {one.condition for one in verify(tmp_path / "s")} == {"whole"}
    with pytest.raises(ArtifactError, match="n_concepts"):
        share_as(parts[:2], dataclasses.replace(OPTIONS, n_concepts=4), out=tmp_path / "s")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="is not empty"):
        share_as(parts[:2], OPTIONS, out=tmp_path / "mine")


def test_states_that_changed_are_learned_from_again(write, tmp_path):
    parts = [write(tmp_path / "a", "dog"), write(tmp_path / "b", "cat", seed=1)]
    before = share_as(parts, OPTIONS, out=tmp_path / "s").words["cat"].V
    changed = write(tmp_path / "c", "cat", seed=2)
    assert not np.array_equal(share_as([parts[0], changed], OPTIONS, out=tmp_path / "s").words["cat"].V, before)
    with pytest.raises(ArtifactError, match="was not made from"):
        open_shared(tmp_path / "s", parts)


def test_a_word_with_fewer_samples_than_concepts_shares_them(write, tmp_path):
    parts = [write(tmp_path / "a", "dog"), write(tmp_path / "b", "cat", n=4, seed=1)]
    assert share_as(parts, OPTIONS, out=tmp_path / "s").words["cat"].V.shape == (4, 5)


@pytest.mark.parametrize(
    ("words", "changes", "options", "says"),
    [
        (["dog"], {}, {}, "two words or more, each once; got dog"),
        ([], {}, {}, "got none"),
        (["dog", "dog"], {}, {}, "each once; got dog, dog"),
        (["dog", "cat"], {}, {"method": "pca"}, "learned by semi-nmf in the centred form"),
        (["dog", "cat"], {}, {"form": "paper"}, "in the paper's form states keep their means"),
        (["dog", "cat"], {}, {"named": ("zebra",)}, "cannot be named 'zebra': 0 of 40 samples"),
        (["dog", "cat"], {"alignment": "reads"}, {}, "'dog' and 'cat' do not go together"),
        (["dog", "cat"], {"layers": [7]}, {}, "do not go together: layer 8"),
        (["dog", "cat"], {"fingerprint": "another"}, {}, "do not go together"),
    ],
)
def test_what_does_not_go_together_is_refused(write, activations, tmp_path, words, changes, options, says):
    if "fingerprint" in changes:
        changes = {"model": {**activations.parameters["model"], **changes}}
    parts = [write(tmp_path / f"{i}", word, n=20, **(changes if i else {})) for i, word in enumerate(words)]
    with pytest.raises(UsageError, match=says):
        share_as(parts, dataclasses.replace(OPTIONS, **options), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_what_is_named_is_one_concept_of_all_words_and_the_rest_is_found_beside_it(parts, planted, tmp_path):
    options = dataclasses.replace(OPTIONS, named=("grass",), n_concepts=4)
    made = share_as(parts, options, out=tmp_path / "s")
    assert [one.name for one in made.named] == ["grass"]
    assert made.named[0].samples == sum("grass" in row.references[0] for part in parts for row in part.rows)
    assert made.named[0].auroc.mean > 0.99
    cosines = np.abs(made.U @ planted.T)
    assert cosines[0, 2] > 0.97
    assert sorted(cosines[1:].argmax(axis=1)) == [0, 1, 3, 4]
    for part in parts:
        concepts, has = made.words[part.word.text], np.array(["grass" in row.references[0] for row in part.rows])
        V = concepts.learner.transform(part.states(8))
        np.testing.assert_allclose(V, concepts.V, atol=1e-4)
        assert roc_auc_score(has, V[:, 0]) > 0.99
        assert np.median(V[~has, 0]) < 0.1 * np.median(V[has, 0])  # its threshold is that of the word's own mean
        assert concepts.scores["explained_variance"] > 0.85
        assert concepts.named == made.named


def test_their_number_is_chosen_on_the_samples_of_all_words_none_of_which_is_told(parts, tmp_path):
    options, seen = dataclasses.replace(OPTIONS, n_concepts="auto"), []

    def overlap(learner) -> float:
        seen.append(learner.intercept)
        return 0.1

    made = share_as(parts[::2], options, out=tmp_path / "s", overlaps={"dog": overlap, "hot dog": overlap})
    assert made.choice.chosen.words == len(NAMES)  # of the captions, and neither "dog", nor "hot"
    assert made.choice.chosen.word_overlap == pytest.approx(0.1)
    assert len(made) == made.choice.chosen.n_concepts
    for part, mean in zip(parts[::2], seen, strict=False):  # beside the mean of its own word
        np.testing.assert_allclose(mean, part.states(8).mean(axis=0), atol=1e-3)
    one = made.words["dog"]
    assert one.options.n_concepts == len(made)
    assert one.choice == made.choice
    assert open_shared(made.folder, parts[::2]).choice == made.choice


def test_a_consensus_is_that_of_the_dictionary(parts, shared, tmp_path):
    made = share_as(parts, dataclasses.replace(OPTIONS, consensus=True), out=tmp_path / "s")
    assert np.abs(made.U @ shared.U.T).max(axis=1).min() > 0.95
    assert not np.array_equal(made.U, shared.U)


def test_words_that_look_alike_have_folders_of_their_own(tmp_path):
    words = ["hot dog", "Hot-Dog", "dog", "?"]
    names = [folder_of_word(tmp_path, words, word).name for word in words]
    assert names == ["hot-dog-1", "hot-dog-2", "dog", "word"]


def test_joined_rows_are_those_of_their_parts_one_after_the_other():
    Z = np.random.default_rng(0).standard_normal((90, 3))
    rows = JoinedRows((ArrayRows(Z[:20]), ArrayRows(Z[20:])))
    assert rows.lengths == [20, 70]
    assert rows.n_features == 3
    np.testing.assert_array_equal(np.concatenate([rows[0], rows[1]]), Z)
    np.testing.assert_array_equal(sample(rows, np.random.RandomState(0), here), Z)
    np.testing.assert_allclose(mean_and_spread(rows, here)[0], Z.mean(axis=0))
    with pytest.raises(IndexError):
        rows[2]


def test_from_pieces_and_from_memory_the_concepts_are_the_same(parts, shared, tmp_path, monkeypatch):
    monkeypatch.setattr("vitrail.concepts.shared.IN_MEMORY", 0)
    pieces = share_as(parts, OPTIONS, out=tmp_path / "s")
    np.testing.assert_allclose(pieces.U, shared.U, atol=1e-4)
