"""Concepts that are named by words of captions or by labels, in a folder of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.learners.test_named import planted
from tests.stored_states import MODEL, row_of

from vitrail.activations import Activations, Counts, Store
from vitrail.concepts import LearningOptions, learn_as, open_concepts
from vitrail.concepts.named import cross_fitted
from vitrail.errors import UsageError
from vitrail.scores import Properties, separation

OPTIONS = LearningOptions(n_concepts=4, stability=2)


@pytest.fixture
def activations(tmp_path: Path) -> Activations:
    """States with two planted properties: captions say "black" or "dark" for the first, "tall" for the second; "lucky"
    is said at random, and "the" always."""
    Z, has, _ = planted(400)
    rng = np.random.default_rng(7)
    rows = []
    for i, (black, tall) in enumerate(has):
        words = ["the", *(["black"] if black and i % 2 else ["dark"] if black else []), *(["tall"] if tall else [])]
        words += ["lucky"] if rng.random() < 0.3 else []
        rows.append(replace(row_of(f"s{i}"), references=(" ".join([*words, "dog"]),)))
    parameters = {
        "model": MODEL,
        "word": {"text": "dog", "forms": [], "match_case": False},
        "layers": [4],
    }
    store = Store(tmp_path / "activations", parameters, 1)
    store.write(0, {4: torch.tensor(Z)}, rows, Counts(400, 400))
    return store.finish()


@pytest.mark.parametrize(
    ("named", "names"),
    [
        (("black/dark",), ["black/dark"]),
        (("tall", "black"), ["tall", "black"]),
        (("captions",), ["tall"]),  # half of "black" and of "dark" are the other word: told, but for .8 hardly
        (("black/dark", "captions"), ["black/dark", "tall"]),
    ],
)
def test_concepts_are_named_by_words_of_captions(activations, tmp_path, named, names):
    made = learn_as(activations, replace(OPTIONS, named=named), out=tmp_path / "concepts")
    found = [one.name for one in made.named]
    assert [name for name in found if name not in ("black", "dark")] == [n for n in names if n != "black"]
    assert "lucky" not in found
    assert "the" not in found
    assert len(made) == 4 + len(found)
    assert made.learner.n_named == len(found)
    assert 0 < made.scores["named_variance"] < made.scores["explained_variance"]
    opened = open_concepts(tmp_path / "concepts", activations)
    assert opened.named == made.named
    assert opened.options.named == named
    again = learn_as(activations, opened.options, out=tmp_path / "concepts")
    np.testing.assert_array_equal(again.V, made.V)


def test_a_named_concept_says_how_well_samples_left_out_are_told(activations, tmp_path):
    made = learn_as(activations, replace(OPTIONS, named=("black/dark", "lucky")), out=tmp_path / "concepts")
    told, lucky = made.named
    _, has, _ = planted(400)
    assert told.samples == has[:, 0].sum()
    assert told.auroc.mean > 0.99
    assert lucky.auroc.low < 0.55  # a probe that was judged on its own samples would tell luck
    assert made.stability is not None
    assert made.stability["seeds"][:2] == pytest.approx([1, 1])
    assert made.stability["resamples"][0] > 0.95 > 0.9 > made.stability["resamples"][1]


def test_readings_of_samples_left_out_tell_no_luck():
    rng = np.random.default_rng(0)
    has = rng.random((200, 3)) < 0.4
    found = separation(
        cross_fitted(rng.standard_normal((200, 50)), has), Properties(("",) * 3, tuple("abc"), has, has | True)
    )
    assert found.auroc.max() < 0.6  # judged on their own samples, these probes tell all of it


def test_concepts_are_named_by_labels_of_samples(activations, tmp_path):
    _, has, _ = planted(400)
    labels = {"black": [f"s{i}" for i in np.flatnonzero(has[:, 0])]}
    made = learn_as(activations, OPTIONS, out=tmp_path / "concepts", labels=labels)
    words = learn_as(activations, replace(OPTIONS, named=("black/dark",)), out=tmp_path / "words")
    assert [one.name for one in made.named] == ["black"]
    np.testing.assert_array_equal(made.U, words.U)
    assert open_concepts(tmp_path / "concepts", activations).options == replace(OPTIONS, layer=4)
    with pytest.raises(Exception, match="labels is"):
        learn_as(activations, OPTIONS, out=tmp_path / "concepts", labels={"black": ["s1"]})


def test_learning_from_a_sample_of_many_states_names_by_that_sample(activations, tmp_path, monkeypatch):
    from vitrail.concepts import learning
    from vitrail.learners import rows

    monkeypatch.setattr(learning, "IN_MEMORY", 0)
    monkeypatch.setattr(rows, "_SAMPLE", 24 * 200)
    made = learn_as(activations, replace(OPTIONS, named=("black/dark",)), out=tmp_path / "concepts")
    directions = planted(400)[2]
    assert abs(made.U[0] @ directions[0]) > 0.95
    assert made.named[0].auroc.n == 200
    assert len(made.V) == 400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (replace(OPTIONS, named=("unicorn",)), "cannot be named 'unicorn': 0 of 400 samples have it"),
        (replace(OPTIONS, named=("the",)), "cannot be named 'the': 400 of 400 samples have it"),
        (LearningOptions(method="kmeans", named=("tall",)), "k-means has no named concepts"),
        (replace(OPTIONS, named=("captions:xx",)), "xx"),
    ],
)
def test_what_cannot_be_named_is_refused(activations, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        learn_as(activations, options, out=tmp_path / "concepts")
    assert not (tmp_path / "concepts" / "manifest.json").exists()


def test_options_without_names_are_written_as_before():
    assert "named" not in OPTIONS.parameters()
    assert LearningOptions.from_manifest({"n_concepts": 4, "named": ["a"]}).named == ("a",)
