"""Maps of Toyland's dogs: what they add up to, where they lie, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from vitrail.concepts import learn
from vitrail.errors import UsageError, WordError
from vitrail.extraction import extract
from vitrail.lmm.coordinates import Places
from vitrail.maps import MapOptions, Question, Targets, map_concepts, maps_of
from vitrail.maps.image_maps import shape_of
from vitrail.maps.methods.registry import METHODS
from vitrail.samples import Layout


@pytest.fixture(scope="module")
def saying_dog(lmm, activations, concepts, dogs):
    """Two samples of which the model says "dog"."""
    said = lmm.caption([s.open() for s in dogs[:6]])
    return [s for s, text in zip(dogs, said, strict=False) if "dog" in text][:2]


@pytest.fixture(scope="module")
def question(lmm, concepts, saying_dog):
    """The question of these two, of two concepts each and of the word, after "a photo of a"."""
    answer = lmm.continuation(lmm.prompt, "a brown dog on the grass")
    token = next(i for i in range(len(answer.ids)) if "dog" in lmm.tokenizer.decode(answer.ids[: i + 1]))
    targets = Targets(lmm, concepts.learner, concepts.layer, ((0, 1), (2, 3)), (answer.ids[token],) * 2)
    images = [s.open() for s in saying_dog]
    said = [answer.ids[:token]] * 2
    return Question(targets, images, [lmm.prompt] * 2, said, MapOptions(), shape_of(Layout.of(images[0])))


def test_derivatives_of_targets_are_those_by_finite_differences(question):
    states = question.states()
    step = {
        layer: 1e-2 * torch.randn(s.shape, generator=torch.Generator().manual_seed(1)) for layer, s in states.items()
    }
    up, down = ({layer: s + sign * step[layer] for layer, s in states.items()} for sign in (1, -1))
    expected = (question.targets.values(up) - question.targets.values(down)) / 2
    gradients = question.targets.gradients(states)
    found = sum((gradients[layer] * step[layer]).sum(-1) for layer in gradients)
    np.testing.assert_allclose(found, expected, atol=5e-3 * np.abs(expected).max())
    assert (np.abs(expected) > 0).any(axis=1)[-1]


@pytest.mark.parametrize(("method", "steps"), [("integrated-tokens", 12), ("integrated-gradients", 40)])
def test_integrated_gradients_add_up_to_the_change_from_the_baseline(question, method, steps, lmm):
    """Completeness (Sundararajan et al. 2017), of the word's logit, whose graph has no corners."""
    targets = replace(question.targets, concepts=((),), words=question.targets.words[:1])
    one = {n: getattr(question, n)[:1] for n in ("images", "requests", "continuations")}
    question = replace(question, targets=targets, **one)
    many = replace(question, options=replace(question.options, method=method, steps=steps))
    found = METHODS[method].make(many)[:, -1].sum((1, 2))
    asked = question.asked()
    traced = lmm.trace(asked, "connector" if method.endswith("tokens") else "pixels")
    entered = traced.entered.detach()
    if method.endswith("tokens"):
        baseline = entered.mean((1, 2), keepdim=True).expand_as(entered)
        other = lmm.trace(asked, "connector", baseline)
    else:
        blurred = [i.filter(ImageFilter.GaussianBlur(0.1 * 112)) for i in question.images]
        other = lmm.trace(
            asked, "pixels", lmm.prepare(blurred, question.requests)["pixel_values"].reshape(entered.shape)
        )
    change = (question.targets.values(traced.states) - question.targets.values(other.states))[-1]
    np.testing.assert_allclose(found, change, rtol=0.1, atol=0.2)


def test_the_state_that_is_traced_is_the_one_that_is_read(question, lmm):
    read, asked = question.states(), question.asked()
    for entrance in ("pixels", "connector"):
        traced = lmm.trace(asked, entrance)
        for layer, states in read.items():
            torch.testing.assert_close(traced.states[layer].detach(), states, rtol=1e-3, atol=1e-3)


def test_weights_take_no_gradient_and_are_left_as_they_were(question, lmm):
    weight = next(lmm.model.parameters())
    for taking in (True, False):
        weight.requires_grad_(taking)
        METHODS["gradient"].make(question)
        assert weight.requires_grad == taking
        assert weight.grad is None


def test_an_inactive_concept_has_an_empty_map(question, concepts):
    V = concepts.learner.transform(question.states()[concepts.layer].numpy())
    inactive = [tuple(int(k) for k in np.flatnonzero(v == 0)[:1]) for v in V]
    assert all(inactive)
    empty = replace(question, targets=replace(question.targets, concepts=tuple(inactive), words=None))
    assert not METHODS["gradient"].make(empty).any()


@pytest.mark.parametrize("method", METHODS)
def test_maps_are_in_the_coordinates_of_the_image(lmm, activations, concepts, saying_dog, method):
    """Of an image that is wider than high and was scaled up; the processor crops its middle."""
    wide = Image.new("RGB", (448, 224), (120, 160, 120))
    wide.paste(saying_dog[0].open().resize((224, 224)), (112, 0))
    sample = replace(saying_dog[0], image=wide)
    options = MapOptions(method, steps=1, cells=4)
    found = maps_of(lmm, activations, concepts, [sample], lambda v, _: np.argsort(-v)[:1], options)
    for one in found:  # the model need not say "dog" of it
        assert one.shares.shape == (2, 56, 112)
        if method != "occlusion":  # what is cropped off has no share
            assert not one.shares[:, :, :26].any()
            assert not one.shares[:, :, -26:].any()
        assert one.shares[:, :, 28:84].any()
    assert found


def test_a_map_says_what_it_is_of(lmm, activations, concepts, grounding, saying_dog):
    options = MapOptions("gradient")
    found = map_concepts(lmm, activations, concepts, grounding, saying_dog[0].image, n_concepts=2, options=options)
    values = found.as_dict()
    assert [m["concept"] for m in values["maps"]][-1] is None
    assert values["maps"][-1]["title"] == ["dog"]
    strengths = [m.value for m in found.maps[:-1]]
    assert strengths == sorted(strengths, reverse=True)
    np.testing.assert_allclose(values["maps"][0]["shares"], found.maps[0].shares, rtol=1e-3)


def test_states_that_no_map_is_made_of_are_refused(lmm, dogs, concepts, activations, grounding, saying_dog, tmp_path):
    means = extract(lmm, dogs[:8], "dog", out=tmp_path / "a", require="truth", read_at="said", progress=False)
    few = learn(means, out=tmp_path / "c", n_concepts=2, stability=0, progress=False)
    with pytest.raises(UsageError, match="word's own state"):
        maps_of(lmm, means, few, saying_dog, lambda v, _: [0], MapOptions())
    with pytest.raises(UsageError, match="no method 'attention'"):
        map_concepts(lmm, activations, concepts, grounding, saying_dog[0].image, options=MapOptions("attention"))
    with pytest.raises(WordError, match="nothing to map"):
        map_concepts(lmm, activations, concepts, grounding, Image.new("RGB", (112, 112)))


def test_a_raster_adds_up_to_the_shares_of_the_pieces_in_the_image():
    places = Places(np.zeros((1, 1), int), np.array([[[0, 0, 0.5, 0.3]], [[0.25, 0.1, 1, 1]], [[np.nan] * 4]]))
    drawn = places.raster(np.array([[2.0, -3.0, 7.0]]), 10, 16)
    np.testing.assert_allclose(drawn.sum(), -1)
    np.testing.assert_allclose(drawn[0, 0, :8], 2 / 24)
    np.testing.assert_allclose(drawn[0, -1, 4:], -3 / 9 / 12)
