"""Concepts along training: what is read, what is left alone, what is told."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch

import vitrail
from vitrail.errors import ArtifactError, DataError
from vitrail.lmm import LMM, load
from vitrail.monitoring import Follow, FollowOptions, Turn, read_followed
from vitrail.monitoring.following import _became, strongest_in_turn

QUICK = FollowOptions(every=2, n_samples=12)


@pytest.fixture
def pupil() -> LMM:
    """A model of its own, to be trained."""
    return load("toyland", device="cpu")


def test_the_first_reading_is_what_the_study_has(lmm, dog_study, dogs, tmp_path):
    follow = Follow(dog_study, lmm, dogs, out=tmp_path, options=QUICK)
    rows = [dog_study.activations.sample_ids().index(i) for i in follow.ids]
    assert len(rows) == 12
    expected = dog_study.activations.states(dog_study.learned.layer)[rows]
    np.testing.assert_allclose(follow._before["states"], expected, rtol=1e-3, atol=1e-3)


def test_nothing_moves_while_nothing_is_learned(lmm, dog_study, dogs, tmp_path):
    told: list[Turn] = []
    follow = Follow(dog_study, lmm, dogs, out=tmp_path, options=QUICK, tell=[told.append])
    found = [follow(step) for step in range(1, 6)]
    assert [r and r.step for r in found] == [None, 2, None, 4, None]
    assert {fate.became for fate in follow.readings[-1].fates} == {"stays"}
    assert all(fate.before == fate.now and fate.q == 1 for fate in follow.readings[-1].fates)
    assert told == follow.turns == []


@pytest.mark.parametrize(
    ("before", "now", "shift", "least", "became"),
    [
        (1.0, 0.8, 0.0, 0.1, "fades"),
        (1.0, 0.8, 0.0, math.inf, "stays"),
        (1.0, 0.95, 0.1, 0.1, "stays"),
        (1.0, 1.2, 0.9, 0.1, "emerges"),
        (0.0, 0.004, 0.0, 0.1, "stays"),
        (0.0, 0.2, 0.0, 0.1, "emerges"),
        (1.0, 1.05, 0.6, 0.1, "shifts"),
    ],
)
def test_what_became_of_a_concept(before, now, shift, least, became):
    assert _became(before, now, shift, least) == became


def forget(lmm: LMM, direction: torch.Tensor) -> None:
    """Nothing that writes to the residual stream writes along `direction` any more."""
    direction = direction / direction.norm()
    model = lmm.model.model
    writers = [part for block in lmm.parts.blocks for part in (block.self_attn.o_proj, block.mlp.down_proj)]
    with torch.no_grad():
        for linear in [*writers, model.multi_modal_projector.linear_2]:
            linear.weight -= torch.outer(direction, direction @ linear.weight)
            if linear.bias is not None:
                linear.bias -= direction * (direction @ linear.bias)
        table = model.language_model.embed_tokens.weight
        table -= torch.outer(table @ direction, direction)


def test_a_concept_that_the_model_forgets_is_said_to_fade(pupil, dog_study, dogs, tmp_path):
    options = FollowOptions(every=1, n_samples=64)
    follow = Follow(dog_study, pupil, dogs, out=tmp_path, options=options)
    concept = int(np.argmax((dog_study.learned.V > 0).mean(axis=0)))
    forget(pupil, torch.tensor(dog_study.learned.U[concept]))
    reading = follow(1)
    fate = reading.fates[concept]
    assert (fate.stream.concept, fate.became) == (concept, "fades")
    assert fate in follow.turns[0].moved


def test_what_a_damaged_model_loses_is_told_once(pupil, dog_study, dogs, tmp_path):
    told: list[Turn] = []
    options = FollowOptions(every=1, n_samples=64)
    follow = Follow(dog_study, pupil, dogs, out=tmp_path, options=options, tell=[told.append])
    with torch.no_grad():
        for block in pupil.parts.blocks:
            block.mlp.down_proj.weight.mul_(0.3)
    follow(1)
    follow(2)
    (turn,) = told
    assert turn.step == 1
    assert {f.became for f in turn.moved} <= {"fades", "emerges"}
    assert [f.q for f in turn.moved] == sorted(f.q for f in turn.moved)
    assert all(f.q <= 0.05 and abs(f.now - f.before) >= 0.1 * f.before for f in turn.moved)
    assert follow.readings[0].moved == turn.moved == follow.readings[1].moved
    assert read_followed(tmp_path).turns == (turn,)


def test_rare_concepts_are_in_the_probe():
    V = np.zeros((50, 3))
    V[:, 0], V[7, 1], V[9, 2] = np.arange(50, 0, -1), 1, 1
    assert strongest_in_turn(V, 4) == [0, 7, 9, 1]


def test_reading_leaves_training_as_it_was(pupil, dog_study, dogs, tmp_path):
    follow = Follow(dog_study, pupil, dogs, out=tmp_path, options=QUICK)
    pupil.model.train()
    pupil.parts.blocks[0].eval()
    before = {name: p.clone() for name, p in pupil.model.named_parameters()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    follow(2)
    assert torch.equal(torch.rand(3), expected)
    assert torch.is_grad_enabled()
    assert pupil.model.training
    assert not pupil.parts.blocks[0].training
    assert all(torch.equal(p, before[name]) and p.grad is None for name, p in pupil.model.named_parameters())


def test_it_goes_on_where_it_stopped(lmm, dog_study, dogs, tmp_path):
    first = Follow(dog_study, lmm, dogs, out=tmp_path, options=QUICK)
    first(2)
    again = Follow(dog_study, lmm, dogs, out=tmp_path, options=QUICK)
    assert again(2) is None
    assert again(4) is not None
    assert [r.step for r in read_followed(tmp_path).readings] == [2, 4]
    with pytest.raises(ArtifactError, match=r"followed something else: .*every"):
        Follow(dog_study, lmm, dogs, out=tmp_path, options=FollowOptions(every=3, n_samples=12))


def test_what_cannot_be_followed_is_refused(lmm, pupil, dog_study, dogs, tmp_path):
    with pytest.raises(DataError, match="needs 8 at least"):
        Follow(dog_study, lmm, dogs[:3], out=tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").write_text("")
    with pytest.raises(ArtifactError):
        Follow(dog_study, lmm, dogs, out=tmp_path / "b")
    with torch.no_grad():
        pupil.parts.blocks[0].mlp.down_proj.weight.mul_(2)
    with pytest.raises(ArtifactError):
        Follow(dog_study, pupil, dogs, out=tmp_path / "c")


def test_the_trainer_of_transformers_is_followed(pupil, dog_study, dogs, tmp_path):
    """Two steps of `Trainer` with the callback; afterwards `compare` opens the study of what was trained."""
    from transformers import Trainer, TrainingArguments

    pupil.parts.blocks[-1].requires_grad_(True)
    images = [s.open() for s in dogs[:4]]
    inputs, labels = pupil.taught(images, [pupil.request(s) for s in dogs[:4]], [s.references[0] for s in dogs[:4]])
    rows = [{**{name: value[i] for name, value in inputs.items()}, "labels": labels[i]} for i in range(4)]
    options = FollowOptions(every=1, n_samples=12, study_after=True)
    follow = Follow(dog_study, pupil, dogs, out=tmp_path / "followed", options=options)
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "trainer"),
        max_steps=2,
        per_device_train_batch_size=2,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the trainer's own
        Trainer(model=pupil.model, args=arguments, train_dataset=rows, callbacks=[follow.callback()]).train()
    assert [reading.step for reading in follow.readings] == [1, 2]
    assert any(fate.before != fate.now for fate in follow.readings[-1].fates)
    pupil.model.eval()
    base = load("toyland", device="cpu")
    found = vitrail.compare(
        dog_study, tmp_path / "followed" / "after", base, pupil, out=tmp_path / "shift", progress=False
    )
    assert len(found.concepts) == len(dog_study.learned)
