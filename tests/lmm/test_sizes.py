"""A tokenizer, the embeddings and the unembedding may be of different sizes: what does not fit is named."""

from __future__ import annotations

import pytest
import torch

from vitrail.errors import ModelError
from vitrail.extraction import extract
from vitrail.grounding import WordReader
from vitrail.lmm import from_transformers, load
from vitrail.samples import Sample
from vitrail.words import Word


@pytest.fixture
def own():
    return load("toyland", device="cpu")


@pytest.mark.parametrize("rows", [64, -50])
def test_words_are_those_that_the_tokenizer_has_and_the_model_can_say(own, rows):
    n = len(own.tokenizer) + rows
    own.model.resize_token_embeddings(n)
    if rows > 0:
        with torch.no_grad():  # whatever the new ones are
            own.model.lm_head.weight[-rows:] = 9
    resized = from_transformers(own.model, own.processor, "toyland")
    (found,) = WordReader.of(resized, -1, Word("dog")).grounded(torch.ones(1, 256).numpy())
    assert len(found) == 10
    assert all(word.token < min(n, len(own.tokenizer)) and word.word for word in found)


TEXTS = {
    "request": lambda lmm, sample, out: lmm.prepare([sample.open()], ["zebra"]),
    "answer": lambda lmm, sample, out: lmm.taught([sample.open()], [lmm.prompt], ["a zebra"]),
    "reference": lambda lmm, sample, out: extract(
        lmm, [Sample("1", sample.image, ("a zebra",))], "zebra", out=out, require="truth", alignment="reads"
    ),
}


@pytest.mark.parametrize("where", TEXTS)
def test_a_token_that_the_model_has_no_embedding_for_is_an_error_that_names_it(own, samples, tmp_path, where):
    own.tokenizer.add_tokens(["zebra"])
    message = r"makes the token 'zebra' \(720\) of a text, .* embeddings of 720 tokens"
    with pytest.raises(ModelError, match=message):
        TEXTS[where](own, samples[0], tmp_path / "a")
