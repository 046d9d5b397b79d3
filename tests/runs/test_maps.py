"""The images that activate concepts most, mapped, kept with the study, and shown in its report."""

from __future__ import annotations

import base64
import io
import logging
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.grounding import ground
from vitrail.maps import MapOptions, maps_of_rows
from vitrail.reports.maps import OPACITY, per_hundredth, where
from vitrail.runs.opened import Study

OPTIONS = MapOptions("gradient-tokens")


@pytest.fixture(scope="module")
def study(dog_study, lmm, dogs, tmp_path_factory) -> Study:
    """The session's dogs in a folder of their own, with maps of the two most activating images of each concept."""
    home = tmp_path_factory.mktemp("study")
    for artifact in (dog_study.activations, dog_study.learned, dog_study.grounding):
        shutil.copytree(artifact.folder, home / artifact.folder.name)
    made = Study.open(home)
    assert made.sample_maps is None
    assert 'id="where"' not in made.report().read_text()
    made.map_samples(dogs, n_images=2, options=OPTIONS, lmm=lmm, progress=False)
    return made


def test_maps_of_a_study_are_those_of_its_most_activating_images(study, lmm, dogs):
    maps = study.sample_maps
    assert set(maps.shares) == {(c.index, s.sample_id) for c in study for s in c.samples[:2]}
    concept = study[0]
    first = concept.samples[0]
    row, k = study.activations.rows[first.row], concept.index
    image = next(s for s in dogs if s.id == first.sample_id).open()
    ((values, shares),) = maps_of_rows(lmm, study.activations, study.learned, [row], [image], [(k,)], OPTIONS)
    unit = study.learned.typical[k]
    np.testing.assert_allclose(maps.shares[k, first.sample_id], shares[0] / unit, rtol=1e-3, atol=1e-6)
    assert maps.values[k, first.sample_id] == pytest.approx(values[0] / unit, rel=1e-3)
    assert maps.values[k, first.sample_id] == pytest.approx(first.activation / unit, rel=1e-3)
    assert maps.options == OPTIONS


def test_kept_maps_open_again_and_are_not_made_again(study, dogs):
    again = Study.open(study.folder)
    for key, shares in study.sample_maps.shares.items():
        np.testing.assert_array_equal(again.sample_maps.shares[key], shares)
    kept = again.map_samples(dogs, n_images=2, options=OPTIONS, lmm="no model is needed", progress=False)
    assert kept.values == study.sample_maps.values
    with pytest.raises(ArtifactError, match="n_images is 2 there and 3 here"):
        again.map_samples(dogs, n_images=3, options=OPTIONS, progress=False)


def test_the_page_shows_where_by_a_toggle_with_a_scale_for_each_concept(study):
    page = Study.open(study.folder).report().read_text()  # made again from the folder alone
    assert page.count('<input type="checkbox" id="where">') == 1
    pictures = re.findall(r'class="where" src="data:image/png;base64,([^"]+)" alt="It comes from: ([^"]+)"', page)
    assert len(pictures) == len(study.sample_maps.shares)
    scale = max(per_hundredth(shares).max() for (k, _), shares in study.sample_maps.shares.items() if k == 0)
    assert re.search(
        rf"<span>{f'{scale:.3f}'.lstrip('0')} × typical activation" if scale < 1 else f"{scale:.2f} ×", page
    )
    concept = study[0]
    shares = study.sample_maps.shares[0, concept.samples[0].sample_id]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[0][0]))))
    assert drawn.shape == (*shares.shape, 4)
    expected = 255 * OPACITY * np.sqrt(np.clip(per_hundredth(shares) / scale, 0, 1))
    np.testing.assert_allclose(drawn[..., 3], expected, atol=0.51)
    assert pictures[0][1] == where(shares)


def test_maps_of_other_concepts_are_left_out_with_a_warning(study, lmm, tmp_path, caplog):
    shutil.copytree(study.folder, tmp_path / "copy")
    other = Study.open(tmp_path / "copy")
    assert other.sample_maps is not None
    shutil.rmtree(tmp_path / "copy" / "grounding")
    ground(lmm, other.activations, other.learned, out=tmp_path / "copy" / "grounding", n_words=3)
    caplog.set_level(logging.WARNING)
    assert Study.open(tmp_path / "copy").sample_maps is None
    assert "The study is without maps" in caplog.text


def test_what_cannot_be_mapped_is_refused_before_a_model_is_loaded(study, dogs):
    with pytest.raises(UsageError, match="n_images must be at least 1"):
        study.map_samples(dogs, n_images=0)
    with pytest.raises(UsageError, match="no method 'attention'"):
        study.map_samples(dogs, options=MapOptions("attention"))
    shutil.rmtree(study.folder / "maps")
    with pytest.raises(DataError, match="not in these data"):
        study.map_samples(dogs[:2], options=OPTIONS, progress=False)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (np.zeros((3, 3)), "nowhere"),
        (np.ones((9, 9)), "top left 11 %, top 11 %, top right 11 %"),
        (-np.eye(3), "nowhere"),
        (np.diag([0.0, 4.0, 1.0]), "middle 80 %, bottom right 20 %"),
    ],
)
def test_a_map_in_words_names_its_strongest_fields(shares, expected):
    assert where(shares) == expected
