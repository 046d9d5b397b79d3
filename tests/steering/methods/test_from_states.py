"""Vectors from two sets of states, with and without a guard."""

from __future__ import annotations

import pytest
import torch

from vitrail.errors import UsageError
from vitrail.samples.examples import Example
from vitrail.steering import (
    TASKS,
    SteeringOptions,
    example_states,
    make_steering,
    make_vectors,
    open_steering,
    steer,
    tensor_vector,
)
from vitrail.steering.interchange import export_vectors, import_vectors
from vitrail.steering.methods.from_states import GUARDED
from vitrail.trials import (
    say,
)
from vitrail.trials.grid_search import candidates

YES_NO = TASKS["yes-no"]


def test_a_guarded_vector_lets_other_answers_alone(lmm, asked, tmp_path):
    both = make_steering(lmm, YES_NO, asked, SteeringOptions(layers=(-2, -1)), out=tmp_path / "g", method="guarded")
    plain = make_steering(lmm, YES_NO, asked, out=tmp_path / "m")
    torch.testing.assert_close(both.only(lmm.n_blocks).directions, plain.directions)
    one = open_steering(tmp_path / "g").only(lmm.n_blocks)
    guard = one.intervention(3.0)
    activation = guard.activation
    fires = [
        float(
            (activation.of(example_states(lmm, e, [-1], positions="last").by_layer[lmm.n_blocks]) > guard.threshold)
            .float()
            .mean()
        )
        for e in (YES_NO.away(asked), YES_NO.stay(asked))
    ]
    assert fires[0] > 0.8
    assert fires[1] < 0.1
    others = [e.sample for e in YES_NO.stay(asked)[:20]]
    before = say(lmm, others, max_new_tokens=4)

    def changes(intervention) -> int:
        with steer(lmm, intervention):
            return sum(a != b for a, b in zip(say(lmm, others, max_new_tokens=4), before, strict=True))

    assert changes(guard) < changes(plain.intervention(3.0))
    assert changes(one.intervention(0.0)) == 0
    assert [*candidates(both)] == [lmm.n_blocks - 1, lmm.n_blocks]
    assert (
        candidates(both)[lmm.n_blocks](3.0).threshold
        == guard.threshold
        != candidates(both)[lmm.n_blocks - 1](3.0).threshold
    )
    with pytest.raises(UsageError, match="one layer at a time"):
        both.intervention()
    with pytest.raises(UsageError, match=r"needs `others` to leave alone.*got 'guarded' with 0"):
        make_vectors(lmm, YES_NO.contrast(asked), out=tmp_path / "n", method=GUARDED)
    with pytest.raises(UsageError, match="other vectors take none; got 'mean' with 1"):
        make_vectors(lmm, YES_NO.guarded(asked), out=tmp_path / "n")
    with pytest.raises(UsageError, match="no place in a file of vectors"):
        export_vectors(one, tmp_path / "g.safetensors")


def test_several_layers_share_the_strength_of_one(lmm, asked, vector, tmp_path):
    toward, away = (
        example_states(lmm, e, [6, 8], positions="last").by_layer for e in (YES_NO.toward(asked), YES_NO.away(asked))
    )
    assert vector.share == 0.5
    for layer in (6, 8):
        whole = toward[layer].mean(0) - away[layer].mean(0)
        torch.testing.assert_close(vector.directions[layer], whole / 2, rtol=1e-3, atol=1e-3)
        alone = vector.only(layer)
        assert alone.share == 1
        torch.testing.assert_close(alone.directions[layer], whole, rtol=1e-3, atol=1e-3)
    assert torch.equal(vector.only(-1).directions[8], vector.only(8).directions[8])
    export_vectors(vector, tmp_path / "v.safetensors")
    again = tensor_vector(lmm, import_vectors(tmp_path / "v.safetensors"), asked, out=tmp_path / "again")
    assert again.share == 1  # what a file holds is added as it is
    for layer in (6, 8):
        torch.testing.assert_close(again.directions[layer], vector.directions[layer])


@pytest.mark.parametrize("method", ["mean", "probe", "pca", "random", "guarded"])
def test_two_sets_of_examples_with_the_same_mean_are_refused(lmm, asked, tmp_path, method):
    """The embedding of the last token of a prompt is the same whatever is asked."""
    with pytest.raises(UsageError, match=r"The vector of layer 0 is zero.*same mean state at the positions 'last'"):
        make_steering(lmm, YES_NO, asked[:40], SteeringOptions(layers=(0,)), out=tmp_path / "z", method=method)
    assert not (tmp_path / "z").exists()


@pytest.mark.parametrize("method", ["mean", "loreft"])
def test_a_layer_that_is_named_twice_is_refused(lmm, asked, tmp_path, method):
    with pytest.raises(UsageError, match="Layer 8 of toyland is named twice, as 8 and as -1"):
        make_steering(lmm, YES_NO, asked, SteeringOptions(layers=(8, -1)), out=tmp_path / "t", method=method)


def test_a_removal_starts_where_the_word_is_about_to_be_said(lmm, samples, tmp_path):
    neutral = TASKS["neutral"]
    made = make_steering(lmm, neutral, samples, SteeringOptions(layers=(6,)), out=tmp_path / "n")
    men = example_states(lmm, neutral.away(samples), [6], saying=neutral.words).by_layer[6]
    kids = example_states(lmm, neutral.toward(samples), [6], saying=neutral.instead).by_layer[6]
    torch.testing.assert_close(made.directions[6], kids.mean(0) - men.mean(0), rtol=1e-3, atol=1e-3)
    behind = make_steering(lmm, neutral, samples, SteeringOptions(layers=(6,)), out=tmp_path / "g", method="guarded")
    torch.testing.assert_close(behind.directions[6], made.directions[6])
    guard = behind.intervention()
    dogs = example_states(lmm, [Example(s, "a dog") for s in samples[:30]], [6]).by_layer[6]
    fires = [float((guard.activation.of(Z) > guard.threshold).float().mean()) for Z in (men, kids, dogs)]
    assert fires[0] > 0.8
    assert max(fires[1:]) < 0.2
    with pytest.raises(UsageError, match="'colour' only wants something said"):
        make_steering(lmm, TASKS["colour"], samples, out=tmp_path / "c", method="guarded")
    with pytest.raises(UsageError, match="leave out --whole"):
        make_steering(lmm, neutral, samples, SteeringOptions(saying=False), out=tmp_path / "c", method="guarded")
