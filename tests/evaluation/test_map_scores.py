"""Maps judged: methods whose maps are known, on the bundled model; and scores of maps that were written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vitrail.evaluation.map_parts import FactorParts, Meaning, NamedParts, in_shape, meanings
from vitrail.evaluation.map_scores import STEPS, Judged, MapJudge, Part, map_scores
from vitrail.evaluation.results import MAP_CONTROLS
from vitrail.lmm import fingerprint
from vitrail.maps import MapOptions, Question, Targets
from vitrail.maps.image_maps import shape_of
from vitrail.maps.methods.registry import METHODS, MapMethod
from vitrail.samples import Layout, Sample
from vitrail.samples.objects import Objects, Thing
from vitrail.scores import paired_p
from vitrail.toyland.ground_truth import load_masks
from vitrail.words import Word


def brightness(question: Question) -> np.ndarray:
    """Maps that show where an image is bright, whatever the target: they follow the image exactly."""
    found = [np.asarray(image.resize(question.shape[::-1]).convert("L"), float) for image in question.images]
    return np.stack([np.stack([one] * len(question.targets)) for one in found])


@pytest.fixture
def asked(lmm, concepts, dogs, monkeypatch):
    """One dog, its two strongest concepts, and the method `brightness`."""
    monkeypatch.setitem(METHODS, "brightness", MapMethod(brightness, "Where is it bright?"))
    image, said = dogs[0].open(), lmm.continuation(lmm.prompt, "a brown dog")
    states = Targets(lmm, concepts.learner, concepts.layer, ((0, 1),))
    before = Question(states, [image], [lmm.prompt], [said.ids[:2]], MapOptions(), shape_of(Layout.of(image)))
    V = concepts.learner.transform(before.states()[concepts.layer].numpy())[0]
    return replace(before, targets=replace(states, concepts=(tuple(np.argsort(-V)[:2].tolist()),)))


def test_a_map_that_follows_the_image_and_shows_the_part_has_full_marks(asked, lmm):
    weights = fingerprint(lmm.model)
    mask = brightness(asked)[0, 0] == brightness(asked)[0, 0].max()
    judge = MapJudge(["brightness"])
    judge.judge(asked, [Part("bright", mask), None])
    assert fingerprint(lmm.model) == weights
    by_name = {name: [m for m in judge.maps if m.of == name] for name in ("brightness", *MAP_CONTROLS)}
    first, second = by_name["brightness"]
    assert first.values["pointing"] == 1
    assert first.values["flip"] == pytest.approx(1)
    assert first.values["shift"] == pytest.approx(1, abs=0.01)
    assert "pointing" not in second.values
    assert {name: len(found) for name, found in by_name.items()} == {
        "brightness": 2, "pieces": 2, "blob": 2, "other": 1, "direction": 2, "weights": 2
    }  # fmt: skip
    ends = {(m.curves.deletion[0], m.curves.deletion[-1], m.curves.insertion[-1], m.curves.insertion[0])
            for m in judge.maps if m.curves is not None and m in by_name["blob"] + by_name["brightness"]}  # fmt: skip
    assert len(ends) == 2  # of two concepts, whatever comes first
    for whole, gone, back, none in ends:
        assert (whole, gone) == (pytest.approx(back), pytest.approx(none))
        assert max(whole, gone) == pytest.approx(1)
    assert len(first.curves.deletion) == STEPS + 1


def test_the_curve_of_a_map_is_what_the_model_makes_of_blurred_images(asked):
    """By hand: with the left half blurred first, half of the way is the image with its left half blurred."""
    from PIL import ImageFilter

    left = np.broadcast_to(np.linspace(1, 0, asked.shape[1]), asked.shape)
    METHODS["brightness"] = MapMethod(lambda q: np.stack([np.stack([left] * len(q.targets))]), "")
    judge = MapJudge(["brightness"])
    judge.judge(asked, [None, None])
    image = asked.images[0]
    blurred = image.filter(ImageFilter.GaussianBlur(0.1 * max(image.size)))
    half = image.copy()
    half.paste(blurred.crop((0, 0, image.width // 2, image.height)))
    whole, expected, gone = asked.values([image, half, blurred], 0)[0]
    found = judge.maps[0].curves.deletion[STEPS // 2]
    assert found == pytest.approx(expected / max(whole, gone), abs=1e-4)


def test_what_takes_no_pass_is_measured_of_every_image(asked):
    judge = MapJudge(["brightness"])
    judge.judge(
        asked, [Part("all", np.ones(asked.shape, bool)), Part("none", np.zeros(asked.shape, bool))], whole=False
    )
    judge.judge(asked, [None, None], whole=False)
    assert {m.of for m in judge.maps} == {"brightness", "pieces", "blob", "other"}
    assert {m.image for m in judge.maps} == {0, 1}
    assert all(m.curves is None for m in judge.maps)
    assert [m.values for m in judge.maps if m.of == "brightness" and m.image == 0] == [
        {"pointing": 1.0, "energy": pytest.approx(1)}, {"pointing": 0.0, "energy": 0.0}
    ]  # fmt: skip


# ---- scores of maps --------------------------------------------------------------------------------------------------


def judged(of: str, image: int, name: str = "dog", **values: float) -> Judged:
    return Judged(of, image, Part(name, np.eye(4, dtype=bool)), values, np.linspace(0, values.get("pointing", 1), 19))


def test_scores_count_each_image_once_and_are_paired_with_controls():
    own = [judged("m", i, deletion=0.1 * (1 + i % 2), pointing=1.0) for i in range(12)]
    own += [judged("m", 0, deletion=0.5, pointing=0.0)]  # a second map of the first image
    control = [judged("pieces", i, deletion=0.6, pointing=0.5) for i in range(12)]
    METHODS["m"] = MapMethod(brightness, "Which?")
    try:
        found = map_scores([*own, *control], "m")
    finally:
        del METHODS["m"]
    deletion = found.measures["deletion"]
    expected = np.array([0.3, 0.2, *[0.1, 0.2] * 5])
    assert deletion.score.mean == pytest.approx(expected.mean())
    assert deletion.score.n == found.n_images == 12
    assert deletion.against["pieces"].gain.mean == pytest.approx(0.6 - expected.mean())  # less is better
    assert deletion.against["pieces"].p == paired_p(np.full(12, 0.6), expected)
    assert found.measures["pointing"].against["pieces"].gain.mean == pytest.approx((11 + 0.5) / 12 - 0.5)
    assert set(deletion.against) == {"pieces"}
    assert found.parts["dog"].maps == 13
    assert found.parts["dog"].area.mean == 0.25
    assert found.measures["overlap"].score.mean == pytest.approx(0.5 / 12 + 11 / 12)  # cut at the last


def test_parts_are_scored_by_themselves():
    METHODS["m"] = MapMethod(brightness, "Which?")
    try:
        found = map_scores([judged("m", i, ("dog", "sky")[i % 2], pointing=i % 2) for i in range(4)], "m")
    finally:
        del METHODS["m"]
    assert {name: part.measures["pointing"].score.mean for name, part in found.parts.items()} == {"dog": 0, "sky": 1}
    assert found.measures["pointing"].score.mean == 0.5


# ---- which part ------------------------------------------------------------------------------------------------------


def test_a_concept_should_show_the_part_of_the_factor_that_it_tells(world, concepts, samples, factors):
    masks, known = load_masks(world), [factors[s.id] for s in samples]
    V = np.zeros((len(samples), 6), np.float32)
    V[:, 2] = [f["colour"] == "brown" for f in known]
    V[:, 3] = [f["companion"] == "none" for f in known]  # nothing shows it
    V[:, 4] = [f["mood"] == "gloomy" for f in known]  # lies over all of the picture
    found = meanings(replace(concepts, V=V), known, masks)
    assert found == {2: ("colour", "brown", "subject")}
    part_of = FactorParts(masks, factors, {2: found[2], None: Meaning("kind", "dog", "subject")})
    brown, blue = (next(s for s in samples if factors[s.id]["colour"] == colour) for colour in ("brown", "blue"))
    np.testing.assert_array_equal(part_of(brown, 2, (112, 112)).mask, masks.of(brown.id, "subject"))
    assert part_of(brown, 2, (112, 112)).name == "subject: colour"
    assert part_of(blue, 2, (112, 112)) is None
    assert part_of(brown, 4, (112, 112)) is None
    dog, cat = (next(s for s in samples if factors[s.id]["kind"] == kind) for kind in ("dog", "cat"))
    assert part_of(dog, None, (112, 112)) is not None
    assert part_of(cat, None, (112, 112)) is None


def test_a_word_should_show_what_is_called_so(tmp_path):
    def draw(left: int):
        def mask(height: int, width: int) -> np.ndarray:
            drawn = np.zeros((height, width), bool)
            drawn[:, left : left + 10] = True
            return drawn

        return mask

    sample = Sample("1", Image.new("RGB", (40, 20)))
    things = Objects(tmp_path, {"1": [Thing(("dog",), draw(0)), Thing(("red frisbee",), draw(20))]})
    part_of = NamedParts(things, {None: (Word("dog", forms=("dogs",)),), 0: (Word("frisbee"),), 1: (Word("grass"),)})
    assert part_of(sample, None, (4, 8)).mask.nonzero()[1].tolist() == [0, 1] * 4
    assert part_of(sample, 0, (4, 8)).mask.nonzero()[1].tolist() == [4, 5] * 4
    assert part_of(sample, 1, (4, 8)) is None
    assert part_of(sample, 2, (4, 8)) is None


def test_a_very_small_mask_is_still_somewhere_in_a_map():
    mask = np.zeros((100, 100), bool)
    assert not in_shape(mask, (10, 10)).any()
    mask[33:35, 71:73] = True
    assert in_shape(mask, (10, 10)).nonzero() == (3, 7)
