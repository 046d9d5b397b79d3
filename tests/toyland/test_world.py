"""The bundled world: scenes, pictures, language, and the data set on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vitrail.errors import ArtifactError, UsageError
from vitrail.samples import load_samples
from vitrail.toyland import dataset, world
from vitrail.toyland.draw import SIZE, draw
from vitrail.toyland.ground_truth import load_factors
from vitrail.toyland.language import (
    LEXICON,
    NAMES,
    PROMPTS,
    STYLES,
    caption,
    mentions,
    plural,
    questions,
    references,
    styled,
)
from vitrail.toyland.world import FACTORS, scene

SCENES = [scene(i) for i in range(1500)]


# ---- scenes ----------------------------------------------------------------------------------------------------------


def test_the_world_is_as_large_as_it_should_be() -> None:
    assert len(world.KINDS) >= 12
    assert set(world.GROUPS.values()) == {"animal", "vehicle", "person", "food"}
    assert "dog" in world.KINDS
    assert "hot dog" in world.KINDS
    assert all(len(world.COLOURS[g]) >= 6 for g in ("animal", "vehicle", "person"))
    assert len(world.ACTIONS) >= 5
    assert len(world.PLACES) >= 7
    assert len(world.COMPANIONS) >= 7  # six, and none


def test_a_seed_decides_the_scene_and_its_picture() -> None:
    assert scene(11) == scene(11)
    assert scene(11) != scene(12)
    assert np.array_equal(np.asarray(draw(scene(11))), np.asarray(draw(scene(11))))


def test_a_scene_is_the_same_in_another_process() -> None:
    code = "from vitrail.toyland.world import scene; print(scene(99))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == repr(scene(99))


def test_every_value_of_every_factor_occurs() -> None:
    for factor in FACTORS:
        values = Counter(getattr(s, factor) for s in SCENES)
        assert min(values.values()) >= 10, (factor, values)


def test_factors_are_independent_of_each_other() -> None:
    """Colour, place, light and mood of dogs: no pair shares more information than chance gives."""
    from sklearn.metrics import mutual_info_score

    dogs = [s for s in (scene(i) for i in range(8000)) if s.kind == "dog"]
    for a, b in (("colour", "place"), ("action", "place"), ("light", "mood"), ("colour", "action")):
        shared = mutual_info_score([getattr(s, a) for s in dogs], [getattr(s, b) for s in dogs])
        assert shared < 0.04, (a, b, shared)


def test_a_picture_is_small_and_in_colour() -> None:
    image = draw(SCENES[0])
    assert image.size == (SIZE, SIZE)
    assert 96 <= SIZE <= 128
    assert image.mode == "RGB"


@pytest.mark.parametrize(
    ("factor", "a", "b"),
    [
        ("light", "day", "night"),
        ("light", "day", "rain"),
        ("mood", "cheerful", "gloomy"),
        ("colour", "black", "white"),
        ("place", "grass", "snow"),
        ("action", "running", "sleeping"),
        ("kind", "dog", "cat"),
        ("companion", "none", "ball"),
        ("size", "small", "big"),
        ("count", 1, 3),
    ],
)
def test_every_factor_shows_in_the_picture(factor: str, a: object, b: object) -> None:
    from dataclasses import replace

    dogs = [s for s in SCENES if s.kind == "dog" and s.companion != "bird"][:10]
    for s in dogs:
        one, other = (np.asarray(draw(replace(s, **{factor: v})), float) for v in (a, b))
        assert np.abs(one - other).max() > 40, s


def test_gloom_is_darker_than_cheer() -> None:
    from dataclasses import replace

    means = {
        mood: np.mean([np.asarray(draw(replace(s, mood=mood))).mean() for s in SCENES[:40]])
        for mood in ("cheerful", "neutral", "gloomy")
    }
    assert means["gloomy"] < means["neutral"] - 5
    assert means["gloomy"] < means["cheerful"] - 5


# ---- language --------------------------------------------------------------------------------------------------------


def test_references_are_five_the_same_each_time_and_varied() -> None:
    assert references(SCENES[0]) == references(SCENES[0])
    assert all(len(references(s)) == 5 for s in SCENES[:20])
    different = [len(set(references(s))) for s in SCENES[:300]]
    assert np.mean(different) > 4.5


def test_captions_say_nothing_untrue() -> None:
    rng = np.random.default_rng(0)
    for s in SCENES:
        for style in STYLES:
            for factor, values in mentions(caption(s, style, rng)).items():
                truth = {str(getattr(s, factor))}
                if factor == "kind":
                    truth |= {s.companion}
                elif factor == "companion":
                    truth |= {s.kind}
                elif factor == "colour" and style == "colour":
                    continue  # names the colours of the ground, too
                assert values <= truth, (style, factor, values, s)


@pytest.mark.parametrize(("style", "factor"), [("colour", "colour"), ("place", "place"), ("mood", "mood")])
def test_a_style_always_says_what_it_is_about_and_the_plain_one_does_not(style: str, factor: str) -> None:
    said = [factor in mentions(styled(s, style)[0]) for s in SCENES[:400]]  # type: ignore[arg-type]
    plain = [factor in mentions(styled(s, "plain")[0]) for s in SCENES[:400]]
    assert all(said)
    assert np.mean(plain) < 0.75


def test_a_word_names_the_same_thing_wherever_it_stands_except_people_and_birds() -> None:
    double = {w: v for w, v in NAMES.items() if len(v) > 1}
    people = {w for kind in ("man", "woman", "bird") for n in LEXICON["kind"][kind] for w in (n, plural(n))}
    assert set(double) <= people


def test_requests_differ_by_style() -> None:
    assert len(set(PROMPTS.values())) == len(STYLES)


def test_every_type_of_question_is_asked_and_truly_answered() -> None:
    types = set()
    for s in SCENES[:300]:
        for q in questions(s, np.random.default_rng(s.seed)):
            types.add(q.type)
            if q.type == "count":
                assert q.answer == str(s.count)
            elif q.type in ("colour", "place", "action", "kind"):
                assert q.answer == LEXICON[q.type][getattr(s, q.type)][0]
            elif q.text == f"is there a {s.kind} ?":
                assert q.answer == "yes"
    assert types == {"yes/no", "colour", "count", "place", "kind", "action"}


def test_half_the_yes_no_questions_are_answered_yes() -> None:
    asked = [q for s in SCENES for q in questions(s, np.random.default_rng(s.seed)) if q.type == "yes/no"]
    assert 0.4 < np.mean([q.answer == "yes" for q in asked]) < 0.55


# ---- on disk ---------------------------------------------------------------------------------------------------------


def test_a_data_set_reads_back_through_the_loaders_of_real_ones(world: Path) -> None:
    train, val, test = (load_samples(world, split=s) for s in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (320, 40, 40)
    first = train[0]
    assert first.references == tuple(references(scene(3_000_000)))
    assert first.open().size == (SIZE, SIZE)
    asked = load_samples(world / "v2_OpenEnded_mscoco_val2014_questions.json")
    assert len(asked) > 200
    assert all(len(s.answers) == 10 for s in asked)
    assert asked[0].open().size == (SIZE, SIZE)


def test_a_picture_on_disk_is_the_one_of_its_scene(world: Path) -> None:
    stored = np.asarray(Image.open(world / dataset.image_name(5)), float)
    assert np.abs(stored - np.asarray(draw(scene(3_000_005)), float)).mean() < 6  # JPEG


def test_the_truth_is_on_disk_by_sample_id(world: Path) -> None:
    factors = load_factors(world)
    assert factors is not None
    ids = {s.id for s in load_samples(world)}
    assert set(factors) == ids
    assert factors["17"] == scene(3_000_017).factors()
    assert pq.read_table(world / "factors.parquet").num_rows == 400


def test_a_folder_without_truth_has_none(tmp_path: Path) -> None:
    assert load_factors(tmp_path) is None


def test_writing_again_gives_the_same_bytes_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dataset.write_dataset(tmp_path / "a", 20, 1, stop)
    dataset.write_dataset(tmp_path / "a", 20, 1)
    dataset.write_dataset(tmp_path / "b", 20, 1)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*") if p.is_file())
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="holds no Toyland"):
        dataset.write_dataset(tmp_path, 20)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_another_toyland_is_not_mixed_in(tmp_path: Path) -> None:
    dataset.write_dataset(tmp_path / "t", 10, 0)
    with pytest.raises(ArtifactError, match="another Toyland"):
        dataset.write_dataset(tmp_path / "t", 20, 0)


@pytest.mark.parametrize(("samples", "seed"), [(5, 0), (2_000_000, 0), (10, -1), (10, 1000)])
def test_sizes_and_seeds_out_of_range_are_refused(tmp_path: Path, samples: int, seed: int) -> None:
    with pytest.raises(UsageError, match=r"got -?\d+"):
        dataset.write_dataset(tmp_path / "t", samples, seed)


def test_a_full_disk_is_said_before_the_first_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "same_volume_free", lambda folder: 1000)
    with pytest.raises(ArtifactError, match="disk is too small"):
        dataset.write_dataset(tmp_path / "t", 100)
    assert not (tmp_path / "t").exists()


def test_annotators_mostly_agree(world: Path) -> None:
    path = world / "v2_mscoco_train2014_annotations.json"
    for annotation in json.loads(path.read_text())["annotations"][:200]:
        answers = Counter(a["answer"] for a in annotation["answers"])
        assert answers[annotation["multiple_choice_answer"]] >= 3
