"""States that are kept while the model speaks are those that another pass over its answers reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitrail.activations import ExtractionOptions
from vitrail.errors import UsageError
from vitrail.extraction import Reader, extract, extract_words
from vitrail.lmm import LMM
from vitrail.lmm.doctor import LIVE, REPLAYED, keeps_states, quick
from vitrail.words import Word

CLOSE = {"rtol": 1e-3, "atol": 1e-3}
WORDS = (Word("dog"), Word("the"), Word("black"))


@pytest.mark.parametrize("alignment", ["predicts", "reads"])
@pytest.mark.parametrize("longest", [5, 20])
def test_states_kept_while_it_speaks_are_those_that_another_pass_reads(lmm, dogs, alignment, longest):
    """Answers that end by themselves, and answers that are cut: the last token of those was never read."""
    layers = lmm.layers((0, 3, -1, "final"))
    options = ExtractionOptions(layers, alignment, "predicted", None, max_new_tokens=longest, batch_size=8)
    live, again = (Reader(lmm, WORDS, options, live=live).read(dogs[:20]) for live in (True, False))
    assert live.rows == again.rows
    assert live.said == again.said
    assert len({row.word for row in live.rows}) > 1
    for layer in layers:
        np.testing.assert_allclose(live.states[layer].numpy(), again.states[layer].numpy(), **CLOSE)


def test_a_model_that_speaks_is_not_read_again(lmm, dogs, tmp_path, monkeypatch):
    passes = []
    states = LMM.states

    def counted(self, inputs, *more):
        passes.append(len(inputs["input_ids"]))
        return states(self, inputs, *more)

    monkeypatch.setattr(LMM, "states", counted)
    found = extract(lmm, dogs[:8], "dog", out=tmp_path / "a", max_new_tokens=12, batch_size=8)
    assert len(found) > 2
    assert max(passes) == 2  # the doctor's
    assert keeps_states(found.manifest["doctor"])


def test_a_model_whose_states_differ_while_it_speaks_is_read_again(lmm, dogs, tmp_path, monkeypatch):
    """As in a family whose cache is not what its blocks would compute again."""
    from vitrail.lmm.watching import Spoken

    at = Spoken.at
    monkeypatch.setattr(Spoken, "at", lambda *where: at(*where) * 1.1)
    inputs = dogs[:2]
    found = quick(lmm, [s.open() for s in inputs], [lmm.prompt] * 2)
    (check,) = [c for c in found.checks if c.name == LIVE]
    assert check.passed is None
    assert check.error > 0.05
    assert REPLAYED in check.says
    assert found.passed
    kept = extract(lmm, dogs[:8], "dog", out=tmp_path / "a", max_new_tokens=12)
    monkeypatch.undo()
    assert not keeps_states(kept.manifest["doctor"])
    live = extract(lmm, dogs[:8], "dog", out=tmp_path / "b", max_new_tokens=12)
    np.testing.assert_allclose(kept.states(8), live.states(8), **CLOSE)


def test_what_generates_by_its_own_configuration_is_read_again(lmm, dogs):
    own = lmm.with_own_generation()
    (check,) = [c for c in quick(own, [s.open() for s in dogs[:2]], [own.prompt] * 2).checks if c.name == LIVE]
    assert check.passed is None
    assert "its own generation configuration" in check.says


def test_beams_are_read_again(lmm, dogs):
    """Passes that do not read one token each cannot be told apart, so nothing is kept of them."""
    own = lmm.with_own_generation()
    own.backend.own.num_beams = 2
    try:
        options = ExtractionOptions((3,), require="predicted", max_new_tokens=12)
        live, again = (Reader(own, WORDS[:1], options, live=live).read(dogs[:6]) for live in (True, False))
    finally:
        own.backend.own.num_beams = 1
    assert live.rows == again.rows
    assert live.rows
    np.testing.assert_array_equal(live.states[3].numpy(), again.states[3].numpy())


def test_a_run_that_goes_on_reads_as_it_began(lmm, dogs, tmp_path):
    """The certificate in the manifest says how, so that all shards are of one kind."""

    def stop(what, done, total):
        if done > 4:
            raise KeyboardInterrupt

    options = replace(ExtractionOptions(), max_new_tokens=12, shard_size=4)
    with pytest.raises(KeyboardInterrupt):
        extract_words(lmm, dogs[:12], ["dog", "black"], out=tmp_path / "a", options=options, progress=stop)
    found, fresh = (extract_words(lmm, dogs[:12], ["dog", "black"], out=tmp_path / n, options=options) for n in "ab")
    for name in ("part-00000.safetensors", "part-00002.safetensors", "part-00001.parquet"):
        both = [(s.folder / "activations" / name).read_bytes() for s in (found, fresh)]
        assert both[0] == both[1]


@pytest.mark.parametrize("alignment", ["predicts", "reads"])
def test_a_text_that_ends_at_its_words_has_the_same_states_and_fewer_tokens(lmm, dogs, alignment):
    options = ExtractionOptions(lmm.layers((3, -1)), alignment, "predicted", batch_size=8)
    words = (Word("dog"), Word("a"))
    whole, live, again = (
        Reader(lmm, words, replace(options, stop_at_word=stop), live=live).read(dogs[:16])
        for stop, live in ((False, True), (True, True), (True, False))
    )
    assert live.said == again.said
    assert [(r.sample_id, r.word, r.token, r.position) for r in live.rows] == [
        (r.sample_id, r.word, r.token, r.position) for r in whole.rows
    ]
    for layer in options.layers:
        np.testing.assert_allclose(live.states[layer].numpy(), whole.states[layer].numpy(), **CLOSE)
        np.testing.assert_allclose(again.states[layer].numpy(), whole.states[layer].numpy(), **CLOSE)
    shorter = 0
    for text, full in zip(live.said, whole.said, strict=True):
        assert full.startswith(text)
        both = all(word.find(full) for word in words)
        shorter += both and len(text) < len(full)
        assert both or text == full  # one of the words was not said: nothing ends it
    assert shorter > 2


def test_a_word_that_may_still_become_another_ends_nothing(lmm):
    reader = Reader(lmm, (Word("dog"),), ExtractionOptions(stop_at_word=True, require="predicted"))
    said = {"a dog": False, "a dog ": True, "a dog.": True, "a doghouse": False, "a dog\ufffd": False, "a cat ": False}
    assert {text: reader._all_said(text) for text in said} == said


@pytest.mark.parametrize("more", [{"require": "truth"}, {"read_at": "answer"}])
def test_texts_are_not_cut_where_more_than_their_word_is_read(more):
    with pytest.raises(UsageError, match="stop_at_word ends what the model says at the word"):
        ExtractionOptions(stop_at_word=True, **more)
