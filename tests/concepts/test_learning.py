"""Concepts are those of the states that they were learned from, opened again to the last bit, or not at all."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import percentileofscore
from sklearn.metrics import r2_score
from tests import stored_states
from tests.resealing import reseal

from vitrail.activations import Activations, Counts, Store
from vitrail.artifacts import MANIFEST
from vitrail.concepts import describe_fit, learn, open_concepts, ordinary
from vitrail.concepts.learning import FILE
from vitrail.concepts.verdicts import of_concepts
from vitrail.errors import ArtifactError, NumericsError, UsageError
from vitrail.learners import LEARNERS, make_learner


def representations(n: int = 40, d: int = 12, seed: int = 0) -> np.ndarray:
    """Sums of five directions with non-negative weights, and noise."""
    rng = np.random.default_rng(seed)
    return (np.abs(rng.standard_normal((n, 5))) @ rng.standard_normal((5, d)) + 0.1 * rng.random((n, d))).astype("f4")


def stored(folder: Path, Z: np.ndarray, layers: tuple = (4,)) -> Activations:
    """Activations whose states are `Z` in every layer; sample ids are s0, s1, …"""
    parameters = {"model": stored_states.MODEL, "word": {"text": "dog", "forms": []}, "layers": list(layers)}
    store = Store(folder, parameters, 1)
    rows = [stored_states.row_of(f"s{i}") for i in range(len(Z))]
    store.write(0, {layer: torch.tensor(Z) for layer in layers}, rows, Counts(len(Z), len(Z)))
    return store.finish()


@pytest.fixture
def activations(tmp_path):  # in place of the one of conftest: no model is needed here
    return stored(tmp_path / "activations", representations())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", LEARNERS)
def test_concepts_are_those_of_the_learner_on_the_states_as_they_are(activations, tmp_path, method):
    found = learn(activations, out=tmp_path / "c", method=method, n_concepts=4, seed=3)
    learner = make_learner(method, 4, seed=3).fit(representations())
    np.testing.assert_array_equal(found.U, learner.components_)
    np.testing.assert_array_equal(found.V, learner.transform(representations()))
    assert found.U.shape == (4, 12)
    assert found.V.shape == (40, 4)
    assert len(found) == 4
    assert found.kept.all()
    assert found.layer == 4


@pytest.mark.parametrize("method", LEARNERS)
def test_concepts_opened_again_are_the_same_and_activate_new_states_alike(activations, tmp_path, method):
    made = learn(activations, out=tmp_path / "c", method=method, n_concepts=4)
    opened = open_concepts(tmp_path / "c", activations)
    for name in ("U", "V", "kept"):
        np.testing.assert_array_equal(getattr(opened, name), getattr(made, name))
    Z = representations(seed=1)
    np.testing.assert_array_equal(opened.learner.transform(Z), made.learner.transform(Z))
    assert opened.manifest == made.manifest
    assert f"<b>4 concepts</b> by {method} at layer 4" in opened._repr_html_()


def test_the_penalty_and_the_seed_reach_the_learner(activations, tmp_path):
    assert learn(activations, out=tmp_path / "a", n_concepts=4, penalty=0.75).learner.penalty == 0.75
    assert learn(activations, out=tmp_path / "b", n_concepts=4, seed=9).learner.random_state == 9


def test_rows_of_a_hundred_times_the_norm_are_dropped_and_named(tmp_path):
    Z = representations()
    Z[[7, 21]] *= 100
    found = learn(stored(tmp_path / "a", Z), out=tmp_path / "c", n_concepts=4)
    assert np.flatnonzero(~found.kept).tolist() == [7, 21]
    assert found.manifest["dropped"] == ["s7", "s21"]
    rest = learn(stored(tmp_path / "b", np.delete(Z, [7, 21], axis=0)), out=tmp_path / "d", n_concepts=4)
    np.testing.assert_array_equal(found.U, rest.U)
    np.testing.assert_array_equal(found.V, rest.V)
    np.testing.assert_array_equal(open_concepts(tmp_path / "c").kept, found.kept)


def test_a_row_is_an_outlier_above_ten_times_the_median_norm():
    Z = np.ones((9, 1)) * np.array([[1, 1, 1, 1, 1, 1, 9.9, 10.0, 10.1]]).T
    assert ordinary(Z).tolist() == [True] * 8 + [False]
    assert ordinary(np.zeros((3, 2))).all()


def test_more_concepts_than_samples_are_refused(tmp_path):
    Z = representations()
    Z[0] *= 1000  # is no sample to learn from
    activations = stored(tmp_path / "a", Z)
    with pytest.raises(UsageError, match=r"Cannot learn 40 concepts from 39 samples\. Ask for fewer"):
        learn(activations, out=tmp_path / "c", n_concepts=40)
    assert not (tmp_path / "c").exists()
    assert len(learn(activations, out=tmp_path / "c", n_concepts=39, method="simple")) == 39


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "nmf"}, "unknown learner 'nmf'"),
        ({"method": "pca", "penalty": 1.0}, "has no penalty"),
        ({"n_concepts": 0}, "n_concepts must be at least 1"),
        ({"layer": 3}, r"Layer 3 was not extracted; .* has \[4\]"),
    ],
)
def test_parameters_that_cannot_be_are_refused_and_nothing_is_left(activations, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        learn(activations, out=tmp_path / "c", **{"n_concepts": 4} | options)
    assert not (tmp_path / "c").exists()


def test_states_that_are_not_finite_are_refused(tmp_path):
    Z = representations()
    Z[3, 1], Z[8, 0] = np.nan, np.inf
    with pytest.raises(NumericsError, match="2 of 40 states of layer 4 are not finite"):
        learn(stored(tmp_path / "a", Z), out=tmp_path / "c", n_concepts=4)


def test_a_layer_counted_from_the_last_one_is_found(activations, tmp_path):
    assert learn(activations, out=tmp_path / "c", layer=-1, n_concepts=4).layer == 4


def test_where_several_layers_were_extracted_one_must_be_named(tmp_path):
    activations = stored(tmp_path / "a", representations(), layers=(2, "final"))
    with pytest.raises(UsageError, match=r"Several layers were extracted: \[2, 'final'\]"):
        learn(activations, out=tmp_path / "c", n_concepts=4)
    assert learn(activations, out=tmp_path / "c", layer="final", n_concepts=4).layer == "final"


def test_the_form_is_kept_and_folders_without_one_are_of_the_papers(activations, tmp_path):
    ours = learn(activations, out=tmp_path / "ours", n_concepts=4)
    papers = learn(activations, out=tmp_path / "papers", n_concepts=4, form="paper")
    assert ours.manifest["parameters"]["form"] == "centred"
    assert "form" not in papers.manifest["parameters"]  # as it was written before there were two
    for made in (ours, papers):
        assert open_concepts(made.folder).options == made.options
    assert papers.options.form == "paper"
    again = learn(activations, out=tmp_path / "papers", n_concepts=4, form="paper")
    assert again.manifest == papers.manifest
    with pytest.raises(ArtifactError, match='form is none there and "centred" here'):
        learn(activations, out=tmp_path / "papers", n_concepts=4)
    np.testing.assert_allclose(ours.mean, representations().mean(0), rtol=1e-6)
    assert papers.mean is None


def test_concepts_are_compared_by_strength_and_in_the_papers_form_as_they_are(activations, tmp_path):
    for method, form, standardised in (
        ("semi-nmf", "centred", True),
        ("pca", "centred", True),
        ("semi-nmf", "paper", False),
        ("pca", "paper", False),
        ("kmeans", "centred", False),  # the nearest centroid, in either form
    ):
        found = learn(activations, out=tmp_path / method / form, method=method, n_concepts=4, form=form)
        strengths = found.V / np.sqrt(np.mean(found.V.astype(float) ** 2, axis=0))
        np.testing.assert_allclose(found.strengths(found.V), strengths, rtol=1e-5)
        np.testing.assert_allclose(found.comparable(found.V), strengths if standardised else found.V, rtol=1e-5)


def test_the_share_of_the_mean_is_that_of_the_squared_norm(activations, tmp_path):
    Z = representations().astype(float)
    found = learn(activations, out=tmp_path / "c", n_concepts=4)
    assert found.scores["mean_share"] == pytest.approx(40 * np.sum(Z.mean(0) ** 2) / np.sum(Z**2), rel=1e-6)


# ---- scores ----------------------------------------------------------------------------------------------------------


class Given:
    """A learner whose reconstruction is given."""

    def __init__(self, reconstruction: np.ndarray):
        self.reconstruction = reconstruction

    def inverse_transform(self, V: np.ndarray) -> np.ndarray:
        return self.reconstruction


def test_scores_are_those_of_scikit_learn_and_of_the_definitions():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((30, 6)) + 3
    rebuilt = Z + 0.3 * rng.standard_normal(Z.shape)
    V = np.array([[0, 1.0, 0], [2, 1, 0], [0, 0, 0]] * 10)
    scores = describe_fit(Z, V, Given(rebuilt))
    assert scores["explained_variance"] == pytest.approx(r2_score(Z, rebuilt, multioutput="variance_weighted"))
    assert scores["relative_error"] == pytest.approx(np.linalg.norm(Z - rebuilt, "fro") / np.linalg.norm(Z, "fro"))
    assert scores["zeros"] == pytest.approx(6 / 9)
    assert scores["active"] == pytest.approx(1.0)
    assert scores["dead"] == 1


def test_a_perfect_reconstruction_explains_everything_and_the_mean_nothing():
    Z = representations()
    assert describe_fit(Z, Z, Given(Z))["explained_variance"] == 1
    assert describe_fit(Z, Z, Given(Z.mean(0)))["explained_variance"] == pytest.approx(0, abs=1e-6)
    assert describe_fit(Z[:1], Z[:1], Given(Z[:1]))["explained_variance"] == 1


def test_principal_components_explain_the_share_of_the_largest_singular_values(activations, tmp_path):
    Z = representations().astype(float)
    values = np.linalg.svd(Z - Z.mean(0), compute_uv=False) ** 2
    found = learn(activations, out=tmp_path / "c", method="pca", n_concepts=3)
    assert found.scores["explained_variance"] == pytest.approx(values[:3].sum() / values.sum(), rel=1e-4)


DEGENERATE = {
    "one state": (representations(1), 1, "There is one state at layer 4"),
    "all the same": (np.ones((30, 12), "f4"), 1, "All 30 states are the same at layer 4"),
    "few different": (np.repeat(representations(3), 9, axis=0), 4, "n_samples=27, of which 3 differ"),
    "large": (1e19 * representations(), 4, "States of layer 4: values so large .* that float32 cannot hold"),
    "small": (1e-30 * representations(), 4, "States of layer 4: values so small .* that float32 cannot hold"),
}


@pytest.mark.parametrize("method", LEARNERS)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_states_that_no_concepts_can_be_learned_from_are_refused_and_nothing_is_written(tmp_path, method, kind):
    Z, k, message = DEGENERATE[kind]
    with pytest.raises((UsageError, NumericsError), match=message):
        learn(stored(tmp_path / "a", Z), out=tmp_path / "c", method=method, n_concepts=k)
    assert not (tmp_path / "c" / MANIFEST).exists()


def test_concepts_that_no_sample_activates_are_no_finding(activations, tmp_path):
    with pytest.raises(UsageError, match="No sample activates any of the 4 concepts that Semi-NMF found in the states"):
        learn(activations, out=tmp_path / "c", n_concepts=4, penalty=1e6)
    assert not (tmp_path / "c" / MANIFEST).exists()


def test_concepts_that_are_the_same_are_counted_and_said(tmp_path):
    along = np.abs(np.random.default_rng(0).standard_normal((30, 1))).astype("f4") @ np.ones((1, 1), "f4")
    found = learn(stored(tmp_path / "a", along), out=tmp_path / "c", n_concepts=3)
    assert found.scores["equal"] == 1  # in one dimension there are two directions
    assert "1 the same as an earlier concept" in of_concepts(found)["equal"].text


@pytest.mark.parametrize("method", LEARNERS)
def test_stability_is_measured_where_nearly_every_sample_is_needed(tmp_path, method):
    found = learn(stored(tmp_path / "a", representations(5)), out=tmp_path / "c", method=method, n_concepts=4)
    assert np.isfinite(found.stability["resamples"]).all()


def test_percentiles_are_those_of_scipy(activations, tmp_path):
    found = learn(activations, out=tmp_path / "c", n_concepts=4)
    for v in (found.V[0], found.V[11], np.zeros(4), found.V.max(0) + 1, found.V.min(0) - 1):
        expected = [percentileofscore(column, a, kind="mean") for column, a in zip(found.V.T, v, strict=True)]
        np.testing.assert_allclose(found.percentile(v), expected)


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_learning_again_opens_what_is_there(activations, tmp_path, monkeypatch):
    made = learn(activations, out=tmp_path / "c", n_concepts=4)
    before = contents(tmp_path / "c")
    monkeypatch.setattr(type(made.learner), "fit", None)
    again = learn(activations, out=tmp_path / "c", n_concepts=4)
    np.testing.assert_array_equal(again.V, made.V)
    assert contents(tmp_path / "c") == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n_concepts": 5}, "n_concepts is 4 there and 5 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"method": "pca"}, 'method is "semi-nmf" there and "pca" here'),
        ({"penalty": 2.0}, r"penalty is none there and 2\.0 here"),
    ],
)
def test_other_parameters_need_another_folder(activations, tmp_path, change, named):
    learn(activations, out=tmp_path / "c", n_concepts=4)
    before = contents(tmp_path / "c")
    with pytest.raises(ArtifactError, match=f"belongs to another run: {named}"):
        learn(activations, out=tmp_path / "c", **{"n_concepts": 4} | change)
    assert contents(tmp_path / "c") == before


def test_concepts_of_activations_that_were_made_again_are_refused_and_learned_again(activations, tmp_path):
    learn(activations, out=tmp_path / "c", n_concepts=4)
    for path in activations.folder.iterdir():
        path.unlink()
    other = stored(activations.folder, representations(seed=5))
    with pytest.raises(ArtifactError, match=r"c was not made from .*activations: the activations there have changed"):
        open_concepts(tmp_path / "c", other)
    again = learn(other, out=tmp_path / "c", n_concepts=4)
    np.testing.assert_array_equal(again.U, make_learner("semi-nmf", 4).fit(representations(seed=5)).components_)
    assert len(open_concepts(tmp_path / "c", other)) == 4


@pytest.mark.parametrize("moment", ["save_file", "write_manifest"])
def test_learning_that_was_killed_can_be_run_again(activations, tmp_path, monkeypatch, moment):
    def die(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["vitrail.concepts.learning"], moment, die)
        with pytest.raises(KeyboardInterrupt):
            learn(activations, out=tmp_path / "c", n_concepts=4)
    if moment == "write_manifest":
        assert (tmp_path / "c" / FILE).exists()  # the worst moment: the concepts are there, and nothing says whose
    assert len(learn(activations, out=tmp_path / "c", n_concepts=4)) == 4
    assert len(open_concepts(tmp_path / "c", activations)) == 4


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "emptied"])
def test_a_damaged_file_is_refused(activations, tmp_path, damage):
    learn(activations, out=tmp_path / "c", n_concepts=4)
    path = tmp_path / "c" / FILE
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        half = len(whole) // 2
        flipped = whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]
        path.write_bytes({"truncated": whole[:half], "flipped": flipped, "emptied": b""}[damage])
    with pytest.raises(ArtifactError, match=r"concepts\.safetensors is (damaged|missing).*Remove .*c and learn again"):
        open_concepts(tmp_path / "c")
    learn(activations, out=tmp_path / "c", n_concepts=4)
    assert path.read_bytes() == whole


def test_a_folder_with_something_else_in_it_is_refused(activations, tmp_path):
    with pytest.raises(ArtifactError, match="holds activations, but concepts was expected"):
        learn(activations, out=activations.folder, n_concepts=4)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.tex").write_text("years of work")
    with pytest.raises(ArtifactError, match="is not empty and holds no concepts"):
        learn(activations, out=tmp_path / "c", n_concepts=4)
    with pytest.raises(ArtifactError, match="is a file"):
        learn(activations, out=tmp_path / "c" / "thesis.tex", n_concepts=4)
    assert (tmp_path / "c" / "thesis.tex").read_text() == "years of work"


def test_a_newer_schema_is_refused_and_both_numbers_named(activations, tmp_path):
    learn(activations, out=tmp_path / "c", n_concepts=4)
    path = tmp_path / "c" / MANIFEST
    reseal(path, schema=7)
    with pytest.raises(ArtifactError, match="has schema 7; this version of Vitrail reads up to 2"):
        open_concepts(tmp_path / "c")


def test_concepts_are_frozen(activations, tmp_path):
    found = learn(activations, out=tmp_path / "c", n_concepts=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.V = None


def test_learn_takes_the_folder_where_memory_is_short(tmp_path, monkeypatch, small_pieces):
    Z = stored_states.representations()
    Z[[7, 500]] *= 50
    activations = stored_states.stored(tmp_path / "a", Z, (300, 400))
    inside = learn(activations, out=tmp_path / "b", n_concepts=6, stability=0)
    monkeypatch.setattr("vitrail.concepts.learning.IN_MEMORY", 1)
    outside = learn(activations, out=tmp_path / "c", n_concepts=6, stability=0)
    assert (inside.manifest["engine"]["in_memory"], outside.manifest["engine"]["in_memory"]) == (True, False)
    np.testing.assert_array_equal(inside.U, outside.U)
    np.testing.assert_array_equal(inside.V, outside.V)
    assert outside.manifest["dropped"] == ["s7", "s500"]
    for name, value in inside.scores.items():
        assert outside.scores[name] == pytest.approx(value, rel=1e-9)
