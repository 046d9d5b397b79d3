"""Dictionaries of SAELens, against what SAELens 6.54 itself computes with them (`saelens/expected.npz`)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vitrail.concepts import learn, open_concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.grounding import ground
from vitrail.importing import import_dictionary, open_dictionary
from vitrail.importing.dictionaries import learner_of
from vitrail.importing.options import ImportOptions
from vitrail.learners import load, save
from vitrail.runs.import_file import import_file

HOME = Path(__file__).parent / "saelens"
CASES = sorted(path.name for path in HOME.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def expected():
    with np.load(HOME / "expected.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", CASES)
def test_activations_and_reconstructions_are_those_of_saelens(name, expected):
    found = open_dictionary(HOME / name)
    learner = learner_of(found, range(12))
    V = learner.transform(expected["Z"])
    np.testing.assert_allclose(V, expected[f"{name}.V"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(learner.inverse_transform(V), expected[f"{name}.Z"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_some_features_have_the_activations_that_they_have_among_all(name, expected):
    some = [7, 2, 11]
    learner = learner_of(open_dictionary(HOME / name), some)
    np.testing.assert_allclose(learner.transform(expected["Z"]), expected[f"{name}.V"][:, some], rtol=1e-4, atol=1e-5)
    again = load(*save(learner))
    np.testing.assert_array_equal(again.transform(expected["Z"]), learner.transform(expected["Z"]))


@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_finite_differences(name, expected):
    learner, Z = learner_of(open_dictionary(HOME / name), range(12)), expected["Z"][:4].astype(np.float64)
    step, found = 1e-6, learner.derivatives(Z)
    V = learner.transform(Z)
    for j in range(Z.shape[1]):
        moved = Z.copy()
        moved[:, j] += step
        after = learner.transform(moved)
        stays = (after > 0) == (V > 0)
        np.testing.assert_allclose(((after - V) / step)[stays], found[:, :, j][stays], rtol=1e-3, atol=1e-3)


def written(folder: Path, d: int, m: int = 300) -> Path:
    """A TopK dictionary of the width of a model."""
    folder.mkdir()
    draw = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(m, d, generator=draw), dim=1)
    tensors = {"W_enc": decoder.T.contiguous(), "W_dec": decoder, "b_enc": torch.zeros(m), "b_dec": torch.zeros(d)}
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {"architecture": "topk", "k": 8, "metadata": {"hook_name": "blocks.8.hook_resid_post"}}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def test_a_dictionary_becomes_concepts_that_are_grounded(activations, lmm, tmp_path):
    path, layer = written(tmp_path / "sae", lmm.n_features), activations.layers[1]
    options = ImportOptions(activations=activations.folder, layer=layer, concepts=6)
    made = import_file(path, options, out=tmp_path / "concepts", model=None, samples=None)
    assert made.found[0] == "a dictionary of 300 features (topk)"
    assert made.found[-1] == "trained on blocks.8.hook_resid_post"
    concepts = open_concepts(tmp_path / "concepts", activations)
    assert len(concepts) == 6
    means = concepts.V.mean(0)
    assert (np.diff(means) <= 0).all()  # the strongest first
    assert means[-1] > 0
    V = learner_of(open_dictionary(path), range(300)).transform(activations.states(layer))
    assert np.isclose(np.sort(V.mean(0))[-6:].sum(), means.sum(), rtol=1e-4)
    grounding = ground(lmm, activations, concepts, out=tmp_path / "grounding")
    assert all(concept.words for concept in grounding.concepts)


def changed(folder: Path, change) -> Path:
    """A copy of the standard dictionary, of which `change` changes the configuration and the tensors."""
    shutil.copytree(HOME / "standard", folder)
    config, tensors = json.loads((folder / "cfg.json").read_text()), load_file(folder / "sae_weights.safetensors")
    change(config, tensors)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder


REFUSED = {
    "another architecture": (
        lambda c, t: c.update(architecture="temporal"),
        r"is a 'temporal'; these are read: standard",
    ),
    "normalised": (lambda c, t: c.update(normalize_activations="layer_norm"), "normalises what it reads"),
    "scaled": (lambda c, t: c.update(finetuning_scaling_factor=True), "finetuning_scaling_factor"),
    "heads": (lambda c, t: c["metadata"].update(hook_name="blocks.0.attn.hook_z"), "heads of attention"),
    "a k that is no number": (lambda c, t: c.update(architecture="topk", k=[3]), "how many of its 12 features"),
    "no k": (lambda c, t: c.update(activation_fn_str="topk"), "how many of its 12 features"),
    "a tensor missing": (lambda c, t: t.pop("b_enc"), "lacks the tensors b_enc"),
    "another shape": (lambda c, t: t.update(b_enc=torch.zeros(3)), r"b_enc should be finite, of shape \(12,\)"),
    "not finite": (lambda c, t: t.update(b_dec=torch.full((6,), torch.nan)), "b_dec should be finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_computed_is_refused(name, tmp_path):
    change, message = REFUSED[name]
    with pytest.raises(ArtifactError, match=message):
        open_dictionary(changed(tmp_path / "sae", change))


def test_an_earlier_way_to_write_topk_is_read(tmp_path, expected):
    def earlier(config, tensors):
        config.pop("architecture")
        config.update(activation_fn_str="topk", activation_fn_kwargs={"k": 3}, hook_name="blocks.1.hook_resid_post")
        tensors.update(load_file(HOME / "topk" / "sae_weights.safetensors"))

    learner = learner_of(open_dictionary(changed(tmp_path / "sae", earlier)), range(12))
    np.testing.assert_allclose(learner.transform(expected["Z"]), expected["topk.V"], rtol=1e-4, atol=1e-5)


def test_a_configuration_that_is_no_object_is_refused(tmp_path):
    folder = changed(tmp_path / "sae", lambda config, tensors: None)
    (folder / "cfg.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"cfg\.json should hold an object; it holds a list"):
        open_dictionary(folder)


def test_files_that_are_missing_or_damaged_are_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"no dictionary of SAELens: there is no cfg\.json"):
        open_dictionary(tmp_path)
    (tmp_path / "cfg.json").write_text("{")
    with pytest.raises(ArtifactError, match="is damaged"):
        open_dictionary(tmp_path)


def test_a_dictionary_of_another_model_and_options_without_use_are_refused(activations, tmp_path):
    with pytest.raises(UsageError, match="a width of 6, states"):
        import_dictionary(open_dictionary(HOME / "topk"), activations, out=tmp_path / "c", layer=activations.layers[1])
    with pytest.raises(UsageError, match="say by --activations"):
        import_file(HOME / "topk", out=tmp_path / "c", model=None, samples=None)
    with pytest.raises(UsageError, match="`word` has no use"):
        import_file(HOME / "topk", ImportOptions(word="dog"), out=tmp_path / "c", model=None, samples=None)


def test_a_dictionary_is_not_learned(activations, tmp_path):
    with pytest.raises(UsageError, match="are read, not learned: `vitrail import`"):
        learn(activations, method="sae", layer=activations.layers[1], out=tmp_path / "c")
