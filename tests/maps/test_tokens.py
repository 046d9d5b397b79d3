"""The words of an image's tokens: by the unembedding, through a lens, and in the coordinates of the image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vitrail.errors import ArtifactError, UsageError
from vitrail.lenses import LensOptions, fit_lens
from vitrail.maps import token_words
from vitrail.words import lemma, word_tokens


@pytest.fixture(scope="module")
def lens(lmm, dogs, tmp_path_factory):
    """A lens of layer 7, by a few samples."""
    options = LensOptions((7,), rows=128, max_new_tokens=12)
    return fit_lens(lmm, dogs[:5], options, out=tmp_path_factory.mktemp("lens") / "toyland", progress=False)


def nearest(lmm, logits: np.ndarray) -> list[str]:
    """The lemma of the word with the largest logit in each row."""
    allowed = word_tokens(lmm.tokenizer)
    ids = np.array(list(allowed))
    return [lemma(allowed[int(i)].lower()) for i in ids[logits[:, ids].argmax(1)]]


def test_they_are_the_words_that_the_unembedding_says_of_the_states(lmm, dogs, library_states):
    found = token_words(lmm, dogs[0].open())
    ids, states = library_states(lmm, dogs[0].open(), lmm.prompt, "a dog")
    at_image = np.isin(ids, list(lmm.image_tokens))
    W = lmm.model.get_output_embeddings().weight.detach().numpy()
    expected = nearest(lmm, states[-1].numpy()[at_image] @ W.T)
    assert [lemma(token.words[0].word) for token in found.tokens] == expected
    assert len(set(expected)) > 3
    assert sum(found.counts.values()) == len(expected) == 64
    logits = [word.logit for word in found.tokens[5].words]
    assert logits == sorted(logits, reverse=True)


def test_through_a_lens_they_are_those_of_what_the_token_changes(lmm, dogs, library_states, lens):
    found = token_words(lmm, dogs[0].open(), 7, lens=lens.folder)
    ids, states = library_states(lmm, dogs[0].open(), lmm.prompt, "a dog")
    Z = states[7].numpy()[np.isin(ids, list(lmm.image_tokens))]
    changed = (Z - lens.tensors["7.image_mean"]) @ lens.tensors["7.image_matrix"].T
    norm, W = lmm.parts.norm.weight.detach().numpy(), lmm.model.get_output_embeddings().weight.detach().numpy()
    expected = nearest(lmm, changed * norm @ W.T)  # the length of a state changes no order
    assert np.mean([lemma(t.words[0].word) == e for t, e in zip(found.tokens, expected, strict=True)]) > 0.98
    assert found.read_by == str(lens.folder)
    assert found.counts != token_words(lmm, dogs[0].open(), 7).counts


def test_tokens_lie_where_the_processor_takes_them_from(lmm):
    """Of an image twice as wide as high, of which the processor crops the middle."""
    found = token_words(lmm, Image.new("RGB", (400, 200), (90, 140, 90)))
    boxes = np.array([token.box for token in found.tokens])
    assert boxes[:, 0].min() == pytest.approx(0.25, abs=0.02)
    assert boxes[:, 2].max() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(boxes[:, 2] - boxes[:, 0], 0.5 / 8, atol=0.01)
    np.testing.assert_allclose(boxes[8] - boxes[0], [0, 1 / 8, 0, 1 / 8], atol=0.02)
    values = found.as_dict()
    assert [token["box"] for token in values["tokens"]] == [pytest.approx(box, abs=1e-3) for box in boxes.tolist()]
    assert "picture" not in values


def test_a_lens_of_another_layer_or_model_is_refused(lmm, dogs, lens, monkeypatch):
    with pytest.raises(UsageError, match="is of layer 7, not of layer 5"):
        token_words(lmm, dogs[0].image, 5, lens=lens)
    monkeypatch.setattr(type(lmm), "differences", lambda *_: ["fingerprint is a there and b here"])
    with pytest.raises(ArtifactError, match="Fit one of this model"):
        token_words(lmm, dogs[0].image, 7, lens=lens)
