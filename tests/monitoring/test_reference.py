"""A reference is of samples that nothing was learned from, and says what it can tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.monitoring.conftest import observations

from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.monitoring import ReferenceOptions, fit_reference, monitor, open_reference, reference_of


def test_a_reference_holds_the_values_of_its_observations(reference):
    found = observations(500, 1)
    again = open_reference(reference.folder)
    assert set(again.streams.words) == {"brown", "black", "street", "grass", "forest", "snow"}
    K = len(again.streams.titles)
    np.testing.assert_allclose(again.values[:, :K], [o.strengths for o in found], rtol=1e-6)
    np.testing.assert_allclose(again.values[:, K], [o.error for o in found], rtol=1e-6)
    for column, word in enumerate(again.streams.words, start=K + 1):
        assert again.values[:, column].tolist() == [float(word in o.caption.split()) for o in found]
    assert again.captions[7] == found[7].caption
    assert again.thumbnails[7] == found[7].thumbnail


def test_the_model_is_asked_until_there_are_enough(lmm, dog_study, new_dogs, tmp_path, monkeypatch):
    monkeypatch.setattr("vitrail.monitoring.reference.FEWEST", 2)
    monkeypatch.setattr("vitrail.monitoring.reference._BATCH", 2)
    options = ReferenceOptions(n_samples=3, n_words=2)
    made = fit_reference(dog_study, lmm, new_dogs, out=tmp_path / "r", options=options)
    assert len(made) == 3
    got: list = []
    with monitor(lmm, dog_study, sink=got.extend) as watching:
        watching.caption(new_dogs)
    np.testing.assert_allclose(made.values[:, :6], [o.strengths for o in got[:3]], rtol=1e-3, atol=1e-3)


def test_samples_that_concepts_were_learned_from_are_refused(lmm, dog_study, dogs, tmp_path):
    with pytest.raises(DataError, match="The concepts were learned from"):
        fit_reference(dog_study, lmm, dogs, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_the_image_decides_and_not_its_id(dog_study, tmp_path):
    learned = dog_study.activations.rows[0]
    new = observations(60)
    same_id = [replace(new[0], sample=learned.sample_id), *new[1:]]
    assert len(reference_of(dog_study, same_id, out=tmp_path / "a")) == 60
    same_image = [replace(new[0], thumbnail=learned.thumbnail), *new[1:]]
    with pytest.raises(DataError, match="learned from 1 of 60 samples, '0-0'"):
        reference_of(dog_study, same_image, out=tmp_path / "b")
    without_image = [replace(new[0], sample=learned.sample_id, thumbnail=None), *new[1:]]
    with pytest.raises(DataError, match="learned from 1 of 60"):
        reference_of(dog_study, without_image, out=tmp_path / "c")


def test_too_few_answers_other_words_and_attention_sinks_make_no_reference(dog_study, tmp_path, outlier):
    others = [replace(o, word="cat") for o in observations(60)]
    with pytest.raises(DataError, match="at least 50 answers that say 'dog'; 49 do"):
        reference_of(dog_study, [*observations(49), *others, outlier], out=tmp_path / "r")


def test_a_folder_with_something_else_is_not_overwritten(dog_study, reference):
    with pytest.raises(ArtifactError, match="holds an artifact already: reference"):
        reference_of(dog_study, observations(60), out=reference.folder)


def test_a_damaged_reference_is_refused(reference, tmp_path):
    import shutil

    shutil.copytree(reference.folder, tmp_path / "r")
    (tmp_path / "r" / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match="is damaged"):
        open_reference(tmp_path / "r")


def test_more_samples_detect_smaller_changes(reference, dog_study, tmp_path):
    small = reference_of(dog_study, observations(60), out=tmp_path / "small", options=ReferenceOptions(n_words=6))
    for name in ("rate_of_10", "rate_of_50", "superiority"):
        assert getattr(reference.detectable(), name) < getattr(small.detectable(), name)


def test_without_texts_words_are_not_watched(dog_study, tmp_path, reference):
    silent = [o.kept(text=False, images=True) for o in observations(60)]
    assert reference_of(dog_study, silent, out=tmp_path / "r").streams.words == ()
    with pytest.raises(UsageError, match="come without text"):
        reference.streams.values(silent)
