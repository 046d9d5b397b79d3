"""What follows from the scores of an evaluation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitrail.evaluation.results import AblationEffect, Contrast, DictionaryScore, Difference, Scored
from vitrail.evaluation.verdicts import (
    comparison_to_json,
    of_ablation,
    of_controls,
    of_dictionary,
    of_difference,
    scores_to_json,
)
from vitrail.scores import Estimate

NAN = float("nan")


def about(mean: float) -> Estimate:
    return Estimate(mean, 0.04, mean - 0.01, mean + 0.01, 49)


def test_a_score_below_that_of_noise_images_says_so():
    """BERTScore of the most active concept, “dog” in Toyland: it stood unmarked beside its control."""
    against = {
        "random": Contrast(about(0.316), about(0.035), 0.086),
        "noise": Contrast(about(0.371), about(-0.020), 0.0008),
        "captions": Contrast(about(0.704), about(-0.353), 0.0002),
    }
    assert {name: str(v) for name, v in of_controls(Scored(about(0.351), against, ())).items()} == {
        "random": "? not told apart from random words (p = .086)",
        "noise": "✗ worse than noise images (p = .0008)",
        "captions": "· below human captions (p = .0002)",
    }


@pytest.mark.parametrize(
    ("name", "value", "control", "sentence"),
    [
        ("overlap", 0.27, 0.07, "✗ worse than chance (outside its 95 % interval)"),
        ("overlap", 0.02, 0.07, "✓ better than chance (outside its 95 % interval)"),
        ("explained variance", 0.86, 0.09, "✓ better than chance (outside its 95 % interval)"),
        (
            "active concepts per sample",
            12.0,
            20.0,
            "! not sparse: more than half of the concepts are active in a sample",
        ),
        ("dead concepts", 0.0, NAN, "✓ every concept is used"),
        ("stability over resamples", 0.6, 0.5, "✗ unstable over resamples: do not interpret"),
        ("stability over seeds", 0.95, 0.97, "✗ no more stable over seeds than random samples: do not interpret"),
    ],
)
def test_scores_of_a_dictionary_are_read_by_their_names(name, value, control, sentence):
    assert str(of_dictionary(name, DictionaryScore(about(value), control, "chance"))) == sentence


@pytest.mark.parametrize(
    ("gain", "p", "sentence"),
    [
        (0.5, 0.01, "✓ the model uses it: captions lose more than by a random vector (p = .010)"),
        (-0.5, 0.01, "✗ captions lose less than by a random vector (p = .010)"),
        (0.5, 0.4, "? not told apart from a random vector (p = .400)"),
    ],
)
def test_an_ablation_says_whether_the_model_uses_the_concept(gain, p, sentence):
    effect = AblationEffect(about(1.0), about(0.2), about(0.9), about(gain), p)
    assert str(of_ablation(effect)) == sentence


def test_differences_of_methods_take_no_side():
    test = Difference("dog", "clip", "images", "semi-nmf", "pca", about(-0.2), 0.001, q=0.01, real=True)
    assert str(of_difference(test)) == "· worse than PCA (q = .010)"
    assert str(of_difference(replace(test, second="random words"))) == "✗ worse than random words (q = .010)"


def test_json_has_a_verdict_beside_every_control_and_every_test(evaluation, side_by_side):
    values = scores_to_json(evaluation.scores)
    controls = [c for scored in values["concepts"].values() for c in scored["against"].values()]
    assert all(set(c["verdict"]) == {"kind", "text"} for c in controls + list(values["dictionary"].values()))
    compared = comparison_to_json(side_by_side)
    assert all("verdict" in test for test in compared["tests"])
    assert compared["evaluations"]["dog"]["kmeans"]["concepts"]["bert"]["against"]["random"]["verdict"]["text"]
