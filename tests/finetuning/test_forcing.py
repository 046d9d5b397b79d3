"""Examples as a batch with teacher-forced answers."""

from __future__ import annotations

import dataclasses

import torch

from vitrail.finetuning.training import Training
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


def test_an_example_of_a_question_is_asked_with_it(lmm, samples):
    asked = []
    example = Example(dataclasses.replace(samples[0], question="what is this ?"), "dog")
    training = Training.__new__(Training)
    training.lmm = lmm
    original = lmm.taught

    class Spy:
        device = lmm.device
        prompt = lmm.prompt
        run = staticmethod(lmm.run)

        def taught(self, images, requests, answers):
            asked.extend(requests)
            return original(images, requests, answers)

    training.lmm = Spy()
    loss, n = training._loss([example, Example(samples[1], "a cat")])
    assert asked == ["what is this ?", lmm.prompt]
    assert torch.isfinite(loss)
    assert n == 5  # dog, end; a, cat, end
