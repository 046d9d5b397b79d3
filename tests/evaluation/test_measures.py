"""CLIPScore and BERTScore, written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.fakes import Counting, photo

from vitrail import scores
from vitrail.evaluation.measures import BertMeasure, ClipMeasure


def test_clip_measure_is_the_published_formula(tmp_path):
    fake = Counting()
    samples = [photo(3, ("a dog", "the dog")), photo(5)]
    found = ClipMeasure(fake.embeddings(tmp_path)).words(samples, [["dog", "black"], []])
    image = fake.image.images([samples[0].image])[0][0]
    text = fake.image.texts(["A photo is described by the words dog, black"])[0][0]
    assert found[0, 0] == pytest.approx(2.5 * max(float(image @ text), 0), abs=1e-6)
    assert np.isnan(found[:, 1]).all()
    captions = ClipMeasure(fake.embeddings(tmp_path)).captions(samples)
    each = [
        2.5 * max(float(image @ fake.image.texts([f"A photo depicts {t}"])[0][0]), 0) for t in samples[0].references
    ]
    assert captions[0] == pytest.approx(np.mean(each), abs=1e-6)
    assert np.isnan(captions[1])


@pytest.mark.parametrize(("over", "together"), [("mean", np.mean), ("best", np.max)])
def test_bert_measure_is_the_mean_over_captions_or_the_best_and_leaves_one_out_for_people(tmp_path, over, together):
    fake = Counting()
    samples = [photo(1, ("a black dog", "two cats", "a dog")), photo(2), photo(3, ("a cat",))]
    measure = BertMeasure(fake.embeddings(tmp_path), over)
    found = measure.words(samples, [["black", "dog"], ["cat"]])

    def f1(candidate: str, reference: str) -> float:
        return scores.bert_score(fake.text.texts([candidate]), fake.text.texts([reference])).f1.item()

    assert found[0, 0] == pytest.approx(together([f1("black, dog", t) for t in samples[0].references]))
    assert found[2, 1] == pytest.approx(f1("cat", "a cat"))
    assert np.isnan(found[1]).all()
    people = measure.captions(samples)
    a, b, c = samples[0].references
    expected = [together(pair) for pair in ([f1(a, b), f1(a, c)], [f1(b, a), f1(b, c)], [f1(c, a), f1(c, b)])]
    assert people[0] == pytest.approx(np.mean(expected))
    assert np.isnan(people[1:]).all()
