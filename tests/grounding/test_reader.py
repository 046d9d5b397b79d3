"""Words of directions of a middle layer through a lens, and the grounding that says which lens it was."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vitrail.artifacts import file_hash
from vitrail.concepts import learn
from vitrail.errors import ArtifactError, UsageError
from vitrail.grounding import GroundingOptions, WordReader, ground, open_grounding, word_reader
from vitrail.lenses import LensMap, LensOptions, fit_lens
from vitrail.scores import unit
from vitrail.words import Word


@pytest.fixture(scope="module")
def lens(lmm, dogs, tmp_path_factory):
    """A lens of layer 3 by regression."""
    options = LensOptions((3,), rows=0, max_new_tokens=12)
    return fit_lens(lmm, dogs[:20], options, out=tmp_path_factory.mktemp("lens") / "toyland", progress=False)


@pytest.fixture(scope="module")
def middle(activations, tmp_path_factory):
    """Concepts of layer 3."""
    return learn(activations, layer=3, n_concepts=4, stability=0, out=tmp_path_factory.mktemp("middle") / "concepts")


def test_a_direction_is_read_where_the_lens_maps_it(lmm):
    """With `A(h) = b + J (h − m)`, the words of `u` beside `μ` are those that the last block has of `J u` beside
    `A(μ)`."""
    rng, d = np.random.default_rng(0), lmm.n_features
    J, m, b, mean = rng.standard_normal((d, d)), *rng.standard_normal((3, d))
    U = unit(rng.standard_normal((3, d)))
    through = WordReader.of(lmm, 3, Word("dog"), lens=LensMap(J, m, b))
    last = WordReader.of(lmm, 8, Word("dog"))
    assert through.words(U) == last.words(unit(U @ J.T))
    assert through.beside(mean).words(U) == last.beside(b + J @ (mean - m)).words(unit(U @ J.T))
    assert through.of_states(U) == last.of_states(b + (U - m) @ J.T)
    assert through.words(U) != last.words(U)


def test_a_grounding_says_through_which_lens_and_grounds_so_again(lmm, activations, middle, lens, tmp_path):
    found = ground(lmm, activations, middle, out=tmp_path / "grounding", lens=lens)
    assert found.options == GroundingOptions(lens=str(lens.folder))
    assert found.manifest["parents"]["lens"]["manifest_sha256"] == file_hash(lens.folder / "manifest.json")
    reader = word_reader(lmm, activations, 3, found.options).beside(middle.mean)
    active = [c.index for c in found.concepts if c.samples]
    assert [found.words[k] for k in active] == [reader.words(middle.U)[k] for k in active]
    assert [w.word for w in found.mean.words] == [w.word for w in reader.beside(None).of_states(middle.mean[None])[0]]
    alone = ground(lmm, activations, middle, out=tmp_path / "alone")
    assert found.words != alone.words
    assert found.word_logit.states > alone.word_logit.states + 1  # the lens knows that the word comes next
    assert "lens" not in alone.manifest["parameters"]
    again = ground(lmm, activations, middle, out=tmp_path / "grounding", lens=lens.folder)
    assert again.manifest == found.manifest
    assert open_grounding(tmp_path / "grounding", middle).words == found.words


def test_a_lens_that_is_not_of_this_layer_or_not_there_is_refused(lmm, activations, concepts, middle, lens, tmp_path):
    with pytest.raises(UsageError, match="is of layer 3, not of layer 8"):
        ground(lmm, activations, concepts, out=tmp_path / "g", lens=lens)
    with pytest.raises(ArtifactError, match="holds no lens"):
        GroundingOptions(lens=str(tmp_path)).check_lens()
    with pytest.raises(ArtifactError, match="holds no lens"):
        ground(lmm, activations, middle, out=tmp_path / "g", lens=tmp_path)
    assert not (tmp_path / "g" / "grounding.json").exists()
    assert json.loads(json.dumps(GroundingOptions(lens="here").parameters()))["lens"].endswith("/here")
