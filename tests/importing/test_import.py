"""Imported files become artifacts that the rest of Vitrail takes."""

from __future__ import annotations

import dataclasses
import pickle
import re

import numpy as np
import pytest
import torch

from vitrail.concepts import open_concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.grounding import ground
from vitrail.importing import (
    import_concepts,
    import_features,
    import_ids,
    import_network,
    import_vector,
    open_released,
)
from vitrail.importing.options import ImportOptions
from vitrail.importing.steerings import Place
from vitrail.learners import nonnegative_lasso
from vitrail.runs.import_file import import_file
from vitrail.steering import open_steering
from vitrail.words import Word


def saved(folder, name, content):
    torch.save(content, folder / name)
    return open_released(folder / name)


def features_of(activations):
    """The states of `activations` as the published code would save them, with samples that lack the word between."""
    Z, last = (torch.from_numpy(activations.states(layer)) for layer in (activations.layers[1], "final"))
    states, mask, images, said, true = [], [], [], [], []
    for i, row in enumerate(activations.rows):
        for held in (True, False):
            states.append(
                {
                    f"language_model.model.layers.{activations.layers[1] - 1}": Z[i].reshape(1, 1, -1).half(),
                    "language_model.model.norm": torch.stack([last[i] - 1, last[i] + 1])[None],
                }
            )
            mask.append(torch.tensor([held]))
            images.append([f"/data/coco/{row.sample_id}-{held}.jpg"])
            said.append([row.text])
            true.append(["$$".join(row.references)])
    return {
        "hidden_states": states,
        "token_of_interest_mask": torch.cat(mask),
        "image": images,
        "model_predictions": said,
        "targets": true,
    }


@pytest.fixture(scope="module")
def imported(lmm, activations, tmp_path_factory):
    """The features of `activations`, imported."""
    folder = tmp_path_factory.mktemp("features")
    file = saved(folder, "save_hidden_states_dog.pth", features_of(activations))
    made = import_features(file, lmm, Word("dog"), out=folder / "activations")
    from vitrail.activations import open_activations

    return made, open_activations(made.folder)


def test_features_become_activations_of_the_samples_in_the_mask(imported, activations):
    made, found = imported
    layer = activations.layers[1]
    assert found.layers == [layer, "final"]
    assert len(found) == len(activations)
    assert found.counts.scanned == 2 * len(activations)
    np.testing.assert_allclose(found.states(layer), activations.states(layer), rtol=2e-3, atol=1e-2)
    np.testing.assert_allclose(found.states("final"), activations.states("final"), atol=1e-5)  # the mean of both
    for mine, theirs in zip(found.rows, activations.rows, strict=True):
        assert (mine.text, mine.references) == (theirs.text, theirs.references)
        assert mine.sample_id == f"{theirs.sample_id}-True"
        assert mine.text[mine.start : mine.end] == mine.form
    assert f"{len(found)} of {2 * len(found)} samples" in made.found
    assert not any("captions" in what or "said" in what for what in made.missing)


def test_imported_states_are_learned_from_and_grounded(imported, lmm, tmp_path):
    from vitrail.concepts import learn

    _, found = imported
    concepts = learn(found, out=tmp_path / "concepts", layer="final", n_concepts=3, stability=0, progress=False)
    assert len(ground(lmm, found, concepts, out=tmp_path / "grounding").concepts) == 3


def test_what_a_file_lacks_is_said(lmm, activations, tmp_path):
    content = features_of(activations)
    bare = saved(tmp_path, "bare.pth", {"hidden_states": content["hidden_states"]})
    made = import_features(bare, lmm, Word("dog"), out=tmp_path / "a")
    assert {"ids and images", "captions of people", "what the model said", "the mask: all samples are taken"} <= {
        *made.missing
    }


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"token_of_interest_mask": torch.ones(3)}, ArtifactError, "and 3 in"),
        ({"token_of_interest_mask": torch.zeros(1, dtype=torch.bool)}, ArtifactError, "no sample holds the word"),
        ({"hidden_states": [{"lm_head": torch.ones(1, 1, 256)}]}, UsageError, "None of the modules lm_head"),
        ({"hidden_states": [{"model.norm": torch.ones(1, 1, 7)}]}, UsageError, "have 256 features"),
    ],
)
def test_features_that_do_not_fit_are_refused(lmm, tmp_path, change, error, said):
    content = {"hidden_states": [{"model.norm": torch.ones(1, 1, 256)}], "token_of_interest_mask": torch.ones(1)}
    file = saved(tmp_path, "f.pth", content | change)
    with pytest.raises(error, match=said):
        import_features(file, lmm, Word("dog"), out=tmp_path / "a")


@pytest.mark.parametrize("method", ["snmf", "kmeans", "pca", "simple"])
def test_an_analysis_becomes_concepts_of_the_imported_features(imported, tmp_path, method):
    _, found = imported
    Z = found.states("final")
    U = Z[:3] if method in ("kmeans", "simple") else np.linalg.qr(Z[:3].T)[0].T
    V = nonnegative_lasso(Z, U, 2.0) if method == "snmf" else np.zeros((len(Z), 3))
    content = {"concepts": torch.from_numpy(U), "activations": V, "decomposition_method": method}
    file = saved(tmp_path, "analysis.pth", content)
    made = import_concepts(file, found, out=tmp_path / "concepts", layer="final")
    concepts = open_concepts(made.folder, found)
    np.testing.assert_allclose(concepts.U, U, rtol=1e-6)
    if method == "snmf":
        np.testing.assert_allclose(concepts.V, V, atol=1e-3)
        assert float(re.search(r"by (\S+) % \(norm", made.found[1])[1]) < 0.01


def test_an_analysis_of_other_samples_or_without_a_method_is_refused(imported, tmp_path):
    _, found = imported
    content = {"concepts": np.eye(2, 256, dtype=np.float32), "activations": np.ones((3, 2))}
    file = saved(tmp_path, "analysis.pth", content | {"decomposition_method": "snmf"})
    with pytest.raises(ArtifactError, match="Import the features"):
        import_concepts(file, found, out=tmp_path / "c", layer="final")
    with pytest.raises(ArtifactError, match="--method"):
        import_concepts(saved(tmp_path, "b.pth", content), found, out=tmp_path / "c", layer="final")


@pytest.fixture
def place(dogs):
    return Place(4, dogs[:2])


def test_a_vector_is_taken_by_its_key_and_a_fine_one_is_said_to_point_backwards(lmm, place, tmp_path):
    U = torch.randn(2, 256)
    content = {
        "steering_vector": (U[:, None] - U[None]),
        "steering_vector_concept_0_to_1": U[0] - U[1],
        "steering_vector_shift_of_means": U[0],
        "concepts1": U,
    }
    file = saved(tmp_path, "fine.pth", content)
    made = import_vector(file, lmm, place, out=tmp_path / "s", key="steering_vector_concept_0_to_1")
    torch.testing.assert_close(open_steering(made.folder).directions[4], U[0] - U[1])
    assert any("from concept 1 to concept 0" in note for note in made.found)
    with pytest.raises(ArtifactError, match=r"no single vector 'steering_vector'.*steering_vector_shift_of_means"):
        import_vector(file, lmm, place, out=tmp_path / "t")


def test_a_network_predicts_what_it_did(lmm, place, tmp_path):
    into, bias, decoder = torch.randn(5, 256), torch.randn(5), torch.randn(256, 5)
    content = {"encoder.weight": into, "encoder.bias": bias, "decoder.weight": decoder}
    made = import_network(saved(tmp_path, "net.pt", content), lmm, place, out=tmp_path / "s")
    steering, h = open_steering(made.folder), torch.randn(3, 256)
    expected = torch.tanh(h @ into.T + bias) @ decoder.T
    torch.testing.assert_close(steering.functions()[4](h), expected, rtol=1e-4, atol=1e-4)
    assert steering.parameters["context"] == 4
    small = {"encoder.weight": into[:, :9], "encoder.bias": bias, "decoder.weight": decoder[:9]}
    with pytest.raises(UsageError, match="9 features"):
        import_network(saved(tmp_path, "small.pt", small), lmm, place, out=tmp_path / "t")


@pytest.mark.parametrize(
    ("content", "key"), [([7, 8], None), (["7", "8"], None), ({"red": [7, 8], "blue": [9]}, "red")]
)
def test_ids_become_a_text_file(tmp_path, content, key):
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps(content))
    made = import_ids(open_released(tmp_path / "ids.pkl"), out=tmp_path / "ids.txt", key=key)
    assert made.folder.read_text().split() == ["7", "8"]


def test_ids_under_names_need_a_key(tmp_path):
    (tmp_path / "ids.pkl").write_bytes(pickle.dumps({"red": [7]}))
    with pytest.raises(ArtifactError, match=r"several lists: red.*--key"):
        import_ids(open_released(tmp_path / "ids.pkl"), out=tmp_path / "ids.txt")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"hidden_states": []}, "--word"),
        ({"steering_vector": torch.ones(256)}, "--layer"),
        ({"concepts": np.eye(2), "activations": np.eye(2)}, "--activations"),
    ],
)
def test_what_a_file_does_not_say_must_be_told(tmp_path, content, said):
    def never():
        raise AssertionError("nothing is loaded before")

    torch.save(content, tmp_path / "f.pth")
    with pytest.raises(UsageError, match=said):
        import_file(tmp_path / "f.pth", ImportOptions(), out=tmp_path / "o", model=never, samples=never)


def test_the_command_imports_a_vector(run, tmp_path, world):
    torch.save({"steering_vector": torch.ones(256)}, tmp_path / "v.pth")
    code, out, _ = run("import", tmp_path / "v.pth", "--layer", "4", "--data", world, "--out", tmp_path / "s")
    assert code == 0
    assert "holds vectors" in out
    assert open_steering(tmp_path / "s").directions[4].shape == (256,)
    assert dataclasses.asdict(ImportOptions())["applied_at"] == open_steering(tmp_path / "s").applied_at
