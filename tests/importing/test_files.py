"""Files of the published code are told apart, and nothing in them is run."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.decomposition import DictionaryLearning

from vitrail.errors import ArtifactError
from vitrail.importing import open_released

MADE = {
    "features": {"hidden_states": [{"language_model.model.norm": torch.zeros(1, 1, 4)}], "image": ["a.jpg"]},
    "analysis": {"concepts": np.eye(2, dtype=np.float32), "activations": np.ones((3, 2))},
    "vectors": {"steering_vector": torch.ones(4), "steering_vector_concept_0_to_1": torch.ones(4)},
    "network": {"encoder.weight": torch.ones(2, 4), "encoder.bias": torch.ones(2), "decoder.weight": torch.ones(4, 2)},
}


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("kind", MADE)
def test_each_kind_of_file_is_known_by_its_content(tmp_path, kind):
    torch.save(MADE[kind], tmp_path / "file.pth")
    found = open_released(tmp_path / "file.pth")
    assert found.kind == kind
    assert set(found.content) == set(MADE[kind])


def test_an_analysis_with_a_fitted_estimator_opens_without_it(tmp_path):
    Z = np.random.default_rng(0).standard_normal((6, 4))
    fitted = DictionaryLearning(2, max_iter=2, tol=1e9).fit(Z)
    torch.save({**MADE["analysis"], "analysis_model": fitted}, tmp_path / "analysis.pth")
    found = open_released(tmp_path / "analysis.pth").content
    np.testing.assert_array_equal(found["concepts"], np.eye(2))
    assert type(found["analysis_model"]).__module__.startswith("vitrail.")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pkl"])
def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path, suffix):
    path, target = tmp_path / f"hostile{suffix}", tmp_path / "written"
    content = {**MADE["vectors"], "more": Hostile(target)}
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps([Hostile(target)]))
    else:
        torch.save(content, path)
    with pytest.raises(ArtifactError, match="could run code"):
        open_released(path)
    assert not target.exists()


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "sklearn_evil.run", "numpy.testing.run_module_suite"])
def test_a_pickle_that_names_a_function_is_refused(tmp_path, name):
    module, _, function = name.rpartition(".")
    path = tmp_path / "ids.pkl"
    path.write_bytes(f"c{module}\n{function}\n(S'true'\ntR.".encode())
    with pytest.raises(ArtifactError, match="could run code"):
        open_released(path)


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_a_damaged_or_missing_file_is_named(tmp_path, suffix):
    path = tmp_path / f"file{suffix}"
    with pytest.raises(ArtifactError, match="no file"):
        open_released(path)
    path.write_bytes(b"\x80nonsense")
    with pytest.raises(ArtifactError, match=r"damaged|could run code"):
        open_released(path)


def test_another_file_is_refused_with_what_it_holds(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(ArtifactError, match="it holds the keys weights"):
        open_released(tmp_path / "other.pth")


@pytest.mark.parametrize("number", [b"r]]]]", b"p1566399837\n"], ids=["in binary", "in text"])
def test_a_pickle_that_numbers_its_values_without_end_is_damaged(tmp_path, number):
    """Memory is taken up to the number of a value that is kept: of 15 bytes it would be 12 GB."""
    path = tmp_path / "ids.pkl"
    path.write_bytes(b"]" + number + b".")
    with pytest.raises(ArtifactError, match=r"ids\.pkl is damaged .*numbers a value 1566399837"):
        open_released(path)
