"""Examples as a batch with teacher-forced answers."""

from __future__ import annotations

import dataclasses

import torch

from vitrail.finetuning.forcing import teacher_forced
from vitrail.samples.examples import Example


def test_answers_are_taught_where_they_stand(lmm, samples):
    answers = ["a dog", "a small dog on the grass"]
    inputs, labels = lmm.taught([s.open() for s in samples[:2]], [lmm.prompt] * 2, answers)
    for row, ids, answer in zip(labels, inputs["input_ids"], answers, strict=True):
        taught = row != -100
        assert row[taught].tolist() == ids[taught].tolist()
        assert lmm.tokenizer.decode(row[taught]).strip() == f"{answer}</s>"
        first = int(taught.nonzero()[0])
        assert ids[:first].tolist()[-1] == lmm.tokenizer.convert_tokens_to_ids("<assistant>")


def test_an_example_of_a_question_is_asked_with_it(lmm, samples, monkeypatch):
    asked, original = [], type(lmm).taught

    def taught(self, images, requests, answers):
        asked.extend(requests)
        return original(self, images, requests, answers)

    monkeypatch.setattr(type(lmm), "taught", taught)
    question = Example(dataclasses.replace(samples[0], question="what is this ?"), "dog")
    found = teacher_forced(lmm, [question, Example(samples[1], "a cat")]).predictions(lmm)
    assert asked == ["what is this ?", lmm.prompt]
    assert torch.isfinite(found.logits).all()
    assert len(found.targets) == int(found.places.sum()) == 5  # dog, end; a, cat, end
