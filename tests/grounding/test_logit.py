"""What concepts hold of the logit of their word is what the unembedding says of states and of rebuilt states."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vitrail.concepts import LearningOptions, learn, learn_as
from vitrail.grounding import WordReader, ground, open_grounding, word_logit


@pytest.fixture(scope="module")
def past_the_norm(activations, tmp_path_factory):
    """Four concepts of the states past the norm, where a logit is a product with a row of the unembedding."""
    return learn(activations, layer="final", n_concepts=4, stability=0, out=tmp_path_factory.mktemp("final") / "c")


def reader(lmm, concepts):
    """What reads the logits of the layer of `concepts`; which words may stand for them does not matter."""
    return WordReader(lmm, concepts.layer, {}).logits


def test_it_is_the_product_with_the_row_of_the_unembedding(lmm, activations, past_the_norm):
    found = word_logit(reader(lmm, past_the_norm), activations, past_the_norm)
    W = lmm.model.get_output_embeddings().weight.detach().numpy().astype(float)
    rows = [row.token_ids[row.token] for row in activations.rows]
    assert {lmm.tokenizer.decode([i]).strip() for i in rows} <= {"dog", "dogs"}
    Z = activations.states("final").astype(float)
    rebuilt = past_the_norm.V.astype(float) @ past_the_norm.U + past_the_norm.mean
    own, again = (np.sum(X * W[rows], axis=1) for X in (Z, rebuilt))
    assert found.states == pytest.approx(own.mean(), rel=1e-4)
    assert found.concepts == pytest.approx(again.mean(), rel=1e-4)
    assert found.mean == pytest.approx((Z.mean(axis=0) @ W[rows].T).mean(), rel=1e-4)
    left = np.sum((own - again) ** 2) / np.sum((own - own.mean()) ** 2)
    assert found.held.mean == pytest.approx(1 - left, abs=1e-3)
    assert found.samples == len(rows)
    assert found.named is None


def test_states_of_a_block_go_through_the_norm(lmm, activations, concepts):
    found = word_logit(reader(lmm, concepts), activations, concepts)
    past = activations.states("final").astype(float)
    W = lmm.model.get_output_embeddings().weight.detach().numpy().astype(float)
    own = [z @ W[row.token_ids[row.token]] for z, row in zip(past, activations.rows, strict=True)]
    assert found.states == pytest.approx(np.mean(own), rel=1e-3)


def test_concepts_that_rebuild_all_hold_all_and_those_that_are_silent_nothing(lmm, activations, past_the_norm):
    Z = activations.states("final")

    class Same:
        def inverse_transform(self, V):
            return Z

    class Silent:
        def inverse_transform(self, V):
            return np.broadcast_to(Z.mean(axis=0), Z.shape)

    whole = word_logit(reader(lmm, past_the_norm), activations, dataclasses.replace(past_the_norm, learner=Same()))
    assert whole.held.mean == pytest.approx(1)
    assert whole.concepts == whole.states
    silent = word_logit(reader(lmm, past_the_norm), activations, dataclasses.replace(past_the_norm, learner=Silent()))
    assert silent.held.mean <= 0
    assert silent.concepts == pytest.approx(silent.mean, rel=1e-5)


def test_named_concepts_are_read_by_themselves_and_a_grounding_keeps_it(lmm, activations, tmp_path):
    labels = {"half": [row.sample_id for row in activations.rows[::2]]}
    options = LearningOptions(-1, n_concepts=3, stability=0)
    concepts = learn_as(activations, options, out=tmp_path / "concepts", labels=labels)
    made = ground(lmm, activations, concepts, out=tmp_path / "grounding").word_logit
    assert made.named.mean < made.held.mean
    assert open_grounding(tmp_path / "grounding", concepts).word_logit == made


def test_states_that_read_the_word_do_not_say_it(lmm, activations, past_the_norm):
    options = dataclasses.replace(activations.options, alignment="reads")
    reads = dataclasses.replace(activations)
    object.__setattr__(reads, "options", options) if "options" in vars(reads) else reads.__dict__.update(
        options=options
    )
    assert word_logit(reader(lmm, past_the_norm), reads, past_the_norm) is None


def test_of_many_samples_some_are_read(lmm, activations, past_the_norm, monkeypatch):
    monkeypatch.setattr("vitrail.grounding.logit.MOST_SAMPLES", 9)
    assert word_logit(reader(lmm, past_the_norm), activations, past_the_norm).samples == 9
