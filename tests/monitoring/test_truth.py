"""Evidence for a word: what it is fitted to, what it says, and where it appears."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.monitoring.conftest import observations

import vitrail
from vitrail.concepts import open_evidence
from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.monitoring import fit_evidence


def answers(n: int = 400, seed: int = 0):
    """Answers of which those that are true have a strong concept 4 and less novelty; id → whether it is true."""
    rng = np.random.default_rng(seed)
    found, true = [], {}
    for one in observations(n, seed):
        real = bool(rng.random() < 0.5)
        strengths = list(one.strengths)
        strengths[4] = max(0.0, rng.normal(2.0 if real else 0.5, 0.7))
        true[one.sample] = real
        found.append(replace(one, strengths=tuple(strengths), error=float(rng.gamma(4, 0.05 if real else 0.07))))
    return found, true


@pytest.fixture(scope="module")
def evidence(dog_study, tmp_path_factory):
    found, true = answers()
    return fit_evidence(dog_study, found, true, out=tmp_path_factory.mktemp("evidence") / "dog")


def test_it_tells_true_answers_from_others_better_than_novelty_alone(evidence):
    assert evidence.n == 200
    assert evidence.auroc.n == evidence.novelty.n == 200
    assert evidence.auroc.mean > 0.9 > evidence.novelty.mean > 0.5
    assert evidence.auroc.low < evidence.auroc.mean < evidence.auroc.high
    assert int(np.argmax(np.abs(evidence.weights))) == 4


def test_its_probabilities_are_those_of_new_answers(evidence):
    found, true = answers(3000, 9)
    p = evidence(np.array([o.strengths for o in found]), np.array([o.error for o in found]))
    real = np.array([true[o.sample] for o in found])
    for low, high in ((0.0, 0.2), (0.4, 0.6), (0.8, 1.0)):
        bin_ = (p >= low) & (p < high)
        assert real[bin_].mean() == pytest.approx(p[bin_].mean(), abs=0.1)


def test_it_is_what_scikit_learn_predicts(dog_study, tmp_path):
    from sklearn.linear_model import LogisticRegression

    found, true = answers(300, 3)
    made = fit_evidence(dog_study, found, true, out=tmp_path / "a")
    X = np.column_stack([[o.strengths for o in found], np.log([o.error for o in found])])
    model = LogisticRegression().fit(X, [true[o.sample] for o in found])
    model.coef_ = np.array(made.weights)[None] / made.scale
    model.intercept_ = np.array([made.bias]) - model.coef_[0] @ made.centre
    expected = model.predict_proba(X)[:, 1]
    np.testing.assert_allclose(made(X[:, :-1], np.exp(X[:, -1])), expected, rtol=1e-6)


def test_it_is_read_again_and_belongs_to_its_concepts(evidence, dog_study, tmp_path):
    found, true = answers()
    made = fit_evidence(dog_study, found, true, out=tmp_path / "dog")
    assert made == evidence == open_evidence(tmp_path / "dog", dog_study.learned)
    with pytest.raises(ArtifactError):
        fit_evidence(dog_study, found, true, out=tmp_path / "dog")
    (tmp_path / "dog" / "evidence.json").write_text("{}")
    with pytest.raises(ArtifactError, match="damaged"):
        open_evidence(tmp_path / "dog", dog_study.learned)


def test_a_sample_counts_once(dog_study, evidence, tmp_path):
    found, true = answers()
    assert fit_evidence(dog_study, [*found, *found], true, out=tmp_path / "dog").weights == evidence.weights


def test_answers_of_one_kind_alone_are_refused(dog_study, tmp_path):
    found, true = answers(100)
    with pytest.raises(DataError, match=r"of both are needed\. A beginning"):
        fit_evidence(dog_study, found, dict.fromkeys(true, True), out=tmp_path / "dog")
    with pytest.raises(DataError, match="Of 0 answers"):
        fit_evidence(dog_study, [replace(o, word="cat") for o in found], true, out=tmp_path / "dog")


def test_a_monitor_and_explain_say_the_same(lmm, dog_study, evidence, new_dogs):
    observed: list[vitrail.Observation] = []
    with vitrail.monitor(lmm, dog_study, sink=observed.extend, evidence=[evidence]) as watching:
        watching.caption(new_dogs[:12])
    assert observed
    one = observed[0]
    image = next(s for s in new_dogs if s.id == one.sample).open()
    parts = (lmm, dog_study.activations, dog_study.concepts, dog_study.grounding)
    explained = vitrail.explain(*parts, image, evidence=evidence)
    assert explained.evidence == pytest.approx(one.evidence, abs=1e-3)
    assert 0 < one.evidence < 1
    assert vitrail.explain(*parts, image).evidence is None
    assert explained.as_dict()["evidence"] == explained.evidence


def test_evidence_for_another_word_is_refused(lmm, dog_study, evidence, new_dogs):
    other = replace(evidence, word="cat")
    with pytest.raises(UsageError, match="evidence for cat, and no study of it"):
        vitrail.monitor(lmm, dog_study, evidence=[other])
    parts = (lmm, dog_study.activations, dog_study.concepts, dog_study.grounding)
    with pytest.raises(UsageError, match="for 'cat', and the study is of 'dog'"):
        vitrail.explain(*parts, new_dogs[0].open(), evidence=other)


def test_an_answer_can_be_made_to_begin(lmm, dog_study, new_dogs):
    observed: list[vitrail.Observation] = []
    with vitrail.monitor(lmm, dog_study, sink=observed.extend) as watching:
        texts = watching.caption(new_dogs[:6], begin="a ball and a")
    assert all(text and not text.startswith("a ball and a") for text in texts)
    assert observed
    assert all("dog" in (o.caption or "") for o in observed)


def test_evidence_at_the_command_line(run, lmm, dog_study, world, tmp_path, monkeypatch):
    from vitrail.monitoring.sinks.files import ToJsonl
    from vitrail.samples import load_samples

    found, _ = answers(320)
    samples = load_samples(world, split="train")
    ToJsonl(str(tmp_path / "a.jsonl")).write([replace(o, sample=s.id) for o, s in zip(found, samples, strict=False)])
    arguments = ("--observations", tmp_path / "a.jsonl", "--data", world, "--split", "train", "--json")
    code, out, err = run("monitor", "evidence", dog_study.folder, *arguments, "--out", tmp_path / "dog")
    assert code == 0, err
    assert json.loads(out)["word"] == "dog"
    code, out, err = run(
        *("monitor", "run", dog_study.folder, "--data", world, "--split", "test", "--evidence", tmp_path / "dog"),
        *("--sink", f"parquet:{tmp_path / 'seen'}", "--begin", "this is a", "--json"),
    )
    assert code == 0, err
    assert all(0 < (o.evidence or 0) < 1 for o in vitrail.read_observations(tmp_path / "seen"))
