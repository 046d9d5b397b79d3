"""A lens is the mean Jacobian of the model, against autograd's own; a run that stopped goes on; what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from PIL import Image
from tests.families.builders import llava, shaken

from vitrail.artifacts import verify, write_manifest
from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.lenses import LensOptions, fit_lens, open_lens
from vitrail.lenses import run as running
from vitrail.lmm import LMM, from_transformers, quieten
from vitrail.lmm.positions import among
from vitrail.samples import Sample

LAYER = 1


@cache
def tiny() -> LMM:
    """A random LLaVA of a few blocks."""
    quieten()
    network, processor = llava()
    return from_transformers(shaken(network), processor, "tiny")


@pytest.fixture(scope="module")
def noise() -> list[Sample]:
    """Fifteen samples of noise."""
    rng = np.random.default_rng(5)
    pictures = rng.integers(0, 256, (15, 40, 40, 3), dtype=np.uint8)
    return [Sample(str(i), Image.fromarray(pixels)) for i, pixels in enumerate(pictures)]


@pytest.fixture(scope="module")
def options() -> LensOptions:
    """All rows of the Jacobian of each sample."""
    return LensOptions((LAYER,), "jacobian", rows=10_000, max_new_tokens=6, batch_size=4)


@pytest.fixture(scope="module")
def lens(noise, options, tmp_path_factory):
    return fit_lens(tiny(), noise, options, out=tmp_path_factory.mktemp("lens") / "tiny", progress=False)


def jacobians_by_autograd(lmm: LMM, sample: Sample, number: int, options: LensOptions) -> tuple[np.ndarray, np.ndarray]:
    """(d, d) of the state at a position of the answer, and the mean over those at the image's tokens, by
    `torch.autograd.functional.jacobian` through plain hooks of torch."""
    inputs = lmm.prepare_samples([sample])
    ids = lmm.generate(inputs, options.max_new_tokens)[0].ids
    place = int(np.random.default_rng([options.seed, number]).integers(max(len(ids), 1)))
    batch = lmm.extended(inputs, [ids[:place]])
    here, blocks = batch["input_ids"].shape[1] - 1, lmm.parts.blocks
    image = among(batch["input_ids"][0], lmm.image_tokens).nonzero().flatten()
    read: dict[str, torch.Tensor] = {}

    def last_state(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        def put(_module, _args, output):
            tensor = output[0] if isinstance(output, tuple) else output
            read.setdefault("before", tensor.detach())
            changed = tensor.detach().clone()
            changed[0, places] = states
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        def keep(_module, _args, output):
            read["last"] = (output[0] if isinstance(output, tuple) else output)[0, here]

        handles = [blocks[LAYER - 1].register_forward_hook(put), blocks[-1].register_forward_hook(keep)]
        try:
            lmm.model(**batch)
        finally:
            for handle in handles:
                handle.remove()
        return read["last"]

    with torch.no_grad():
        last_state(torch.zeros(()), torch.tensor([], dtype=torch.long))
    before, found = read["before"][0], []
    for places in (torch.tensor([here]), image):
        slopes = torch.autograd.functional.jacobian(lambda s, p=places: last_state(s, p), before[places])
        found.append(slopes.mean(1).numpy().astype(float))
    return found[0], found[1]


def test_it_is_the_mean_of_the_jacobians_of_the_samples(lens, noise, options):
    fitted_on = [s for i, s in enumerate(noise) if i % 5 != 4]
    expected = [jacobians_by_autograd(tiny(), sample, n, options) for n, sample in enumerate(fitted_on)]
    text, image = (np.mean(found, axis=0) for found in zip(*expected, strict=True))
    np.testing.assert_allclose(lens.at(LAYER).matrix, text, atol=1e-4 * np.abs(text).max())
    np.testing.assert_allclose(lens.of_image(LAYER).matrix, image, atol=1e-4 * np.abs(image).max())
    spread = np.sqrt(sum(np.sum((one - text) ** 2) for one, _ in expected) / (len(expected) - 1) / len(expected))
    assert lens.fit[LAYER].error == pytest.approx(spread / np.linalg.norm(text), rel=1e-3)


def test_some_rows_of_each_sample_are_rows_of_it(lens, noise, options, tmp_path):
    """Each row is the mean over fewer samples: it lies within a few standard errors."""
    d = tiny().n_features
    some = fit_lens(tiny(), noise, replace(options, rows=d // 2), out=tmp_path / "some", progress=False)
    away = np.linalg.norm(some.at(LAYER).matrix - lens.at(LAYER).matrix) / np.linalg.norm(lens.at(LAYER).matrix)
    assert 0 < away < 2 * some.fit[LAYER].error
    assert some.fit[LAYER].error > lens.fit[LAYER].error


@pytest.mark.parametrize("method", ["jacobian", "regression"])
def test_the_lens_of_a_linear_map_is_that_map(noise, options, method, tmp_path):
    quieten()
    network, processor = llava()
    d, draw = network.config.text_config.hidden_size, torch.Generator().manual_seed(0)
    A, c = torch.randn(d, d, generator=draw) / d**0.5, torch.randn(d, generator=draw)
    shaken(network).get_decoder().layers[-1].forward = lambda states, *_, **__: states @ A.T + c
    linear = from_transformers(network, processor, "linear")
    before = linear.n_blocks - 1
    many = [replace(s, id=f"{s.id} {q}", question=q) for s in noise for q in ("a b", "b a c", "c c", "a c b a")]
    found = fit_lens(
        linear,
        many,
        replace(options, layers=(before,), method=method, rows=10_000 if method == "jacobian" else 0),
        out=tmp_path / "lens",
        progress=False,
    )
    A, c, fit = A.numpy(), c.numpy(), found.fit[before]
    exact = 1e-5 if method == "jacobian" else 0.02  # least squares has a penalty
    np.testing.assert_allclose(found.at(before).matrix, A, atol=exact * np.abs(A).max())
    assert fit.explained == pytest.approx(1, abs=1e-3)
    assert fit.agrees == 1
    Z = np.random.default_rng(1).standard_normal((5, len(A))).astype(np.float32)
    if method == "jacobian":
        assert fit.error < 1e-5
        np.testing.assert_allclose(found.at(before).states(Z), Z @ A.T + c, atol=1e-3)
    else:
        with pytest.raises(UsageError, match="fitted with 0 rows"):
            found.of_image(before)


def test_a_run_that_was_stopped_goes_on_to_the_same_lens(lens, noise, options, tmp_path, monkeypatch):
    out, parts = tmp_path / "lens", []
    whole = running._Fitting.of_part
    monkeypatch.setattr(running, "KEPT_EVERY", 0.0)

    def stops(self, start, part, held):
        parts.append((start, held))
        if len(parts) == 3:
            raise KeyboardInterrupt
        return whole(self, start, part, held)

    monkeypatch.setattr(running._Fitting, "of_part", stops)
    with pytest.raises(KeyboardInterrupt):
        fit_lens(tiny(), noise, options, out=out, progress=False)
    with pytest.raises(ArtifactError, match="did not finish"):
        open_lens(out)
    again = fit_lens(tiny(), noise, options, out=out, progress=False)
    assert parts == [(0, False), (4, False), (8, False), (8, False), (0, True)]
    for name, tensor in lens.tensors.items():
        np.testing.assert_allclose(again.tensors[name], tensor, atol=1e-6 * np.abs(tensor).max())
    assert sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) == ["lens.safetensors", "manifest.json"]
    fit_lens(tiny(), noise, options, out=out, progress=False)
    assert len(parts) == 5
    with pytest.raises(ArtifactError, match="seed is 0 there and 1 here"):
        fit_lens(tiny(), noise, replace(options, seed=1), out=out, progress=False)


def test_sums_that_are_damaged_are_made_again(lens, noise, options, tmp_path, caplog):
    out = tmp_path / "lens"
    write_manifest(out, "lens", {"parameters": lens.manifest["parameters"], "complete": False})
    (out / "sums.safetensors").write_bytes(b"no tensors")
    again = fit_lens(tiny(), noise, options, out=out, progress=False)
    assert "fitted from the first sample on" in caplog.text
    np.testing.assert_array_equal(again.at(LAYER).matrix, lens.at(LAYER).matrix)


def test_it_is_whole_and_says_what_it_is_of(lens):
    assert [one.condition for one in verify(lens.folder)] == ["whole"]
    opened = open_lens(lens.folder)
    assert (opened.layers, opened.options, opened.model.kind) == ((LAYER,), lens.options, tiny().describe().kind)
    assert opened._shown().rows[0][0] == LAYER
    opened.check(tiny())


def test_a_lens_of_another_model_or_layer_is_refused_by_name(lens, lmm):
    with pytest.raises(ArtifactError, match=r"is of the model 'tiny', not of .*toyland"):
        lens.check(lmm)
    with pytest.raises(UsageError, match="is of layer 1, not of layer 0"):
        lens.at(0)


@pytest.mark.parametrize(
    ("changed", "n", "error", "says"),
    [
        ({"layers": (-1,)}, 15, UsageError, "needs none"),
        ({"layers": ("final",)}, 15, UsageError, "needs none"),
        ({"layers": ("connector",)}, 15, UsageError, "no layer of the decoder"),
        ({"layers": ()}, 15, UsageError, "Name the layers"),
        ({"rows": 1}, 15, DataError, "not every one of its"),
        ({"rows": 0}, 15, UsageError, "needs rows"),
        ({}, 4, DataError, "at least 5 samples"),
    ],
)
def test_what_a_lens_cannot_be_fitted_on_is_refused(noise, options, tmp_path, changed, n, error, says):
    fitting = partial(fit_lens, tiny(), noise[:n], out=tmp_path / "lens", progress=False)
    with pytest.raises(error, match=says):
        fitting(replace(options, **changed))
    assert not (tmp_path / "lens" / "manifest.json").exists()


def test_images_that_cannot_be_read_are_left_out(noise, options, tmp_path, caplog):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    some = [Sample("broken", tmp_path / "broken.png"), *noise[:10]]
    fit_lens(tiny(), some, options, out=tmp_path / "lens", progress=False)
    assert "broken was left out" in caplog.text
