"""Captions that are not written in Latin letters, through the whole line: wherever the tokenizer can say them."""

from __future__ import annotations

import pytest

from families.conftest import built
from vitrail import words
from vitrail.concepts import learn
from vitrail.extraction import extract
from vitrail.samples import Sample
from vitrail.words import Word

CAPTIONS = {
    "собака": ["собака бежит по снегу", "чёрная собака на траве", "это Собака и кошка", "собаковод и кошка"],
    "σκύλος": ["ένας σκύλος στο χιόνι", "ο μαύρος σκύλος", "Σκύλος και γάτα", "μια γάτα"],
    "كلب": ["كلب على العشب", "هذا كلب أسود", "قطة و كلب", "قطة"],
    "कुत्ता": ["घास पर कुत्ता", "काला कुत्ता", "कुत्ता और बिल्ली", "बिल्ली"],
}


@pytest.mark.parametrize("word", list(CAPTIONS))
def test_states_of_a_word_in_another_script(word, pictures, tmp_path):
    lmm = built("LLaVA 1.5")
    samples = [Sample(str(i), p, (c,)) for i, (p, c) in enumerate(zip(pictures, CAPTIONS[word], strict=True))]
    states = extract(lmm, samples, word, out=tmp_path / "a", require="truth", batch_size=3)
    assert [row.sample_id for row in states.rows] == ["0", "1", "2"]
    for row in states.rows:
        ids, text = row.token_ids, row.text
        assert text[row.start : row.end].lower() == word
        first, last = words.token_span(words.token_offsets(lmm.tokenizer, ids), Word(word).find(text))
        assert row.token == first
        assert last > first  # in pieces of less than a character
        assert word in words.decode(lmm.tokenizer, ids[first : last + 1]).lower()
    assert len(learn(states, out=tmp_path / "c", n_concepts=2)) == 2
