"""Vectors in other tools' formats."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vitrail.errors import ArtifactError, UsageError
from vitrail.samples.examples import Example
from vitrail.steering import (
    TASKS,
    example_states,
    tensor_vector,
)
from vitrail.steering.interchange import export_vectors, import_vectors

YES_NO = TASKS["yes-no"]


def test_an_impossible_strength_is_refused_and_a_zero_vector_is_not_taken_in(lmm, asked, vector, tmp_path):
    with pytest.raises(UsageError, match="got nan"):
        export_vectors(vector, tmp_path / "v.pt", alpha=float("nan"))
    zero = {6: torch.zeros(lmm.n_features)}
    with pytest.raises(UsageError, match="vector of layer 6 is zero"):
        tensor_vector(lmm, zero, asked, out=tmp_path / "zero")
    twice = {8: torch.ones(lmm.n_features), -1: torch.ones(lmm.n_features)}
    with pytest.raises(UsageError, match="named twice, as 8 and as -1"):
        tensor_vector(lmm, twice, asked, out=tmp_path / "twice")


@pytest.mark.parametrize("suffix", [".gguf", ".pt", ".safetensors"])
def test_vectors_go_out_and_come_back(lmm, asked, vector, tmp_path, suffix):
    path = export_vectors(vector, tmp_path / f"v{suffix}", alpha=2.0, model="llama")
    back = import_vectors(path)
    assert set(back) == set(vector.layers)
    for layer, v in back.items():
        torch.testing.assert_close(v, 2 * vector.directions[layer])
    made = tensor_vector(lmm, back, asked, out=tmp_path / "made", source=path.name)
    shown = [Example(s, s.answers[0]) for s in asked[:64]]
    unit = example_states(lmm, shown, [6], positions="generated").medians[6]
    assert made.norms[6] == pytest.approx(2 * float(vector.directions[6].norm()) / unit)
    assert tensor_vector(lmm, back, asked, out=tmp_path / "made", source=path.name).manifest == made.manifest
    with pytest.raises(ArtifactError, match="sha256"):
        tensor_vector(lmm, {6: back[6], 8: -back[8]}, asked, out=tmp_path / "made", source=path.name)


def test_a_control_vector_is_what_llama_cpp_reads(vector, tmp_path):
    import gguf

    reader = gguf.GGUFReader(export_vectors(vector, tmp_path / "v.gguf", model="llama"))
    # as llama.cpp's common_control_vector_load_one wants it: 1-D float32 tensors "direction.k", k ≥ 1
    assert sorted(t.name for t in reader.tensors) == ["direction.5", "direction.7"]
    assert all(t.tensor_type == gguf.GGMLQuantizationType.F32 and len(t.shape) == 1 for t in reader.tensors)
    fields = {
        name: reader.get_field(name).contents()
        for name in ("general.architecture", "controlvector.model_hint", "controlvector.layer_count")
    }
    assert fields == {
        "general.architecture": "controlvector",
        "controlvector.model_hint": "llama",
        "controlvector.layer_count": 2,
    }


def test_a_pt_file_is_what_steering_vectors_reads(vector, tmp_path):
    # `SteeringVector(layer_activations=…)` of steering-vectors 0.12: blocks counted from 0
    found = torch.load(export_vectors(vector, tmp_path / "v.pt"), weights_only=True)
    assert list(found) == [5, 7]
    torch.testing.assert_close(found[5], vector.directions[6])
    save_file({"direction.5": vector.directions[6]}, tmp_path / "v.safetensors")
    torch.testing.assert_close(import_vectors(tmp_path / "v.safetensors")[6], vector.directions[6])  # by its block, too
    torch.save(vector.directions[6], tmp_path / "bare.pt")
    torch.testing.assert_close(import_vectors(tmp_path / "bare.pt", layer=6)[6], vector.directions[6])


def test_what_cannot_be_exchanged_is_refused(lmm, asked, vector, tmp_path):
    with pytest.raises(UsageError, match="no place for layer 1"):
        export_vectors({1: torch.ones(3)}, tmp_path / "v.gguf")
    with pytest.raises(UsageError, match=r"no place for layer 0: its layers are 1 to N"):
        export_vectors({0: torch.ones(3)}, tmp_path / "v.pt")
    with pytest.raises(UsageError, match=r"\.gguf or \.pt or \.safetensors"):
        export_vectors(vector, tmp_path / "v.bin")
    (tmp_path / "code.pt").write_bytes(pickle.dumps({1: Example}, protocol=2))  # a pickle that would import
    with pytest.raises(ArtifactError, match="damaged"):
        import_vectors(tmp_path / "code.pt")
    torch.save({}, tmp_path / "empty.pt")
    with pytest.raises(ArtifactError, match="no vectors"):
        import_vectors(tmp_path / "empty.pt")
    torch.save({0: torch.ones(2, 2)}, tmp_path / "wide.pt")
    with pytest.raises(ArtifactError, match=r"one vector per layer.*\(2, 2\)"):
        import_vectors(tmp_path / "wide.pt")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    with pytest.raises(ArtifactError, match="damaged"):
        import_vectors(tmp_path / "bad.gguf")
    np.save(tmp_path / "v.npy", np.ones(lmm.n_features, np.float32))
    with pytest.raises(UsageError, match="does not say its layer"):
        import_vectors(tmp_path / "v.npy")
    assert import_vectors(tmp_path / "v.npy", layer=4)[4].shape == (lmm.n_features,)
    with pytest.raises(UsageError, match="finite numbers"):
        tensor_vector(lmm, {4: torch.ones(3)}, asked, out=tmp_path / "wrong")
