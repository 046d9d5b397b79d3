"""Moments that are accumulated in the pass are those of the states that `extract` stores."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vitrail.activations import ExtractionOptions, Moments, open_moments
from vitrail.activations.moments import Sums
from vitrail.artifacts import verify
from vitrail.errors import ArtifactError, UsageError, WordError
from vitrail.extraction import extract_words_as, reduce_as
from vitrail.learners import PCA
from vitrail.lmm import LMM
from vitrail.samples import Sample
from vitrail.words import Word

WORDS = [Word("dog"), Word("grass"), Word("sand")]
OPTIONS = ExtractionOptions((2, -1), require="truth", shard_size=5)
ALL = ("mean", "covariance", "gram")
ORACLES = {
    "mean": lambda Z: Z.mean(0),
    "covariance": lambda Z: np.cov(Z, rowvar=False),
    "gram": lambda Z: Z.T @ Z,
}


def reduced(lmm: LMM, samples: Sequence[Sample], out: Path, reducers: Sequence[str] = ALL) -> Moments:
    return reduce_as(lmm, samples, WORDS, reducers, out=out, options=OPTIONS)


@pytest.fixture(scope="module")
def some(samples):
    return samples[:80]


@pytest.fixture(scope="module")
def stored(lmm, some, tmp_path_factory):
    return extract_words_as(lmm, some, WORDS, OPTIONS, out=tmp_path_factory.mktemp("stored"))


@pytest.fixture(scope="module")
def made(lmm, some, tmp_path_factory):
    return reduced(lmm, some, tmp_path_factory.mktemp("made") / "moments")


def test_they_are_those_of_the_stored_states_to_one_in_a_million(made, stored):
    assert made.counts == stored.counts
    for word in WORDS:
        assert made.n(word.text) == stored.kept[word.text] > 2
        for layer in made.layers:
            Z = stored.of(word.text).states(layer).astype(np.float64)
            for name, oracle in ORACLES.items():
                found, expected = made.of(word.text, layer, name).value, oracle(Z)
                assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_no_state_is_stored(made):
    assert {path.name for path in made.folder.iterdir()} == {"manifest.json", "moments.safetensors"}
    assert [one.condition for one in verify(made.folder)] == ["whole"]


def test_principal_components_are_learned_from_a_covariance_as_from_the_states(made, stored):
    Z = stored.of("grass").states(8)
    expected, found = PCA(3).fit(Z), PCA(3).fit_covariance(made.of("grass", 8, "covariance"))
    np.testing.assert_allclose(found.explained_variance_, expected.explained_variance_, rtol=1e-4)
    V = expected.transform(Z)
    np.testing.assert_allclose(found.transform(Z), V, atol=1e-3 * np.abs(V).max())


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bytes(lmm, some, made, monkeypatch, tmp_path):
    adds, add = [], Sums.add

    def counted(self, *args):
        if len(adds) == 2:
            raise RuntimeError("stopped")
        adds.append(1)
        add(self, *args)

    monkeypatch.setattr(Sums, "add", counted)
    with pytest.raises(RuntimeError, match="stopped"):
        reduced(lmm, some, tmp_path / "moments")
    with pytest.raises(ArtifactError, match="did not finish"):
        open_moments(tmp_path / "moments")
    monkeypatch.setattr(Sums, "add", lambda self, *args: adds.append(1) or add(self, *args))
    reduced(lmm, some, tmp_path / "moments")
    n = len([s for s in some if any(word.find(text) for word in WORDS for text in s.said)])
    assert len(adds) == -(-n // OPTIONS.shard_size) > 3  # no shard was read twice
    for name in ("moments.safetensors", "manifest.json"):
        assert (tmp_path / "moments" / name).read_bytes() == (made.folder / name).read_bytes()


def test_a_finished_folder_is_taken_as_it_is_and_refused_for_other_samples_or_options(lmm, some, made, monkeypatch):
    monkeypatch.setattr(LMM, "states", None)
    assert reduced(lmm, some, made.folder).manifest == made.manifest
    with pytest.raises(ArtifactError, match="reduce is"):
        reduced(lmm, some, made.folder, ["mean"])
    others = [dataclasses.replace(some[0], references=(*some[0].references, "a dog")), *some[1:]]
    with pytest.raises(ArtifactError, match="other samples"):
        reduced(lmm, others, made.folder)


def test_what_was_not_accumulated_is_refused_with_what_there_is(made):
    for wrong in (("cow", 8, "mean"), ("dog", 3, "mean"), ("dog", 8, None)):
        with pytest.raises(UsageError, match=r"words dog, grass, sand, layers 2, 8, and mean, covariance, gram"):
            made.of(*wrong)


def test_words_that_no_sample_has_leave_nothing(lmm, some, tmp_path):
    with pytest.raises(WordError, match="zebra"):
        reduce_as(lmm, some, [Word("zebra")], ["mean"], out=tmp_path / "moments", options=OPTIONS)
    assert not (tmp_path / "moments" / "moments.safetensors").exists()


def test_the_command_says_of_how_many_states(run, world, tmp_path):
    given = ("--data", world, "--limit", 40, "--word", "dog,grass", "--require", "truth", "--layers", "2")
    code, out, _ = run("extract", *given, "--reduce", "mean,gram", "--out", tmp_path, "--json")
    told = json.loads(out)
    assert code == 0
    assert told["reduce"] == ["mean", "gram"]
    made = open_moments(tmp_path / "moments")
    assert told["words"] == {word.text: made.of(word.text, 2, "mean").n for word in made.words}
    assert (made.manifest["data"]["samples"], made.manifest["data"]["captioned"]) == (40, 40)
    for more, says in (
        (("--reduce", "median"), "mean, covariance, gram"),
        (("--reduce", "mean", "--world-size", 2, "--rank", 0), "in another order, rounding gives other sums"),
        (("--reduce", "mean", "--engine", "ray"), "Let ranks or workers make the texts"),
    ):
        code, _, err = run("extract", *given, *more, "--out", tmp_path / "b")
        assert code == 2
        assert says in err
