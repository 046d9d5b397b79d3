"""Which experts of a mixture work on a token: against the router's own logits."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from families.builders import shaken
from families.conftest import built
from families.tiny import build
from vitrail.activations import ExtractionOptions, open_activations
from vitrail.errors import UsageError
from vitrail.extraction import extract_as
from vitrail.lmm import from_transformers
from vitrail.samples import Sample

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
#: Architectures with experts in every block, and in some.
MIXED = ("qwen3_vl_moe", "glm4v_moe")


@cache
def mixture(name: str):
    made = build(name, text_alone="experts work on tokens of the text as on those of images")
    return from_transformers(shaken(made.network), made.processor, name)


@pytest.fixture(scope="module")
def photographs():
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(3)]


@pytest.mark.parametrize("name", MIXED)
def test_experts_are_those_of_the_routers_largest_scores(name, photographs):
    lmm = mixture(name)
    requests = [lmm.prompt, "what is it? where is the dog?", lmm.prompt]
    inputs = lmm.prepare(photographs, requests)
    answers = [(5, 6, 7), (8,), ()]
    width = inputs["input_ids"].shape[1]
    positions, rows = [width + 2, width - 1, width, width - 3], [0, 0, 1, 2]
    found = lmm.experts(inputs, answers, positions, rows)
    scores: dict[int, torch.Tensor] = {}
    routers = {
        k: module
        for k, block in enumerate(lmm.parts.blocks)
        for path, module in block.named_modules()
        if path.endswith(("mlp.gate", "router"))
    }
    handles = [
        m.register_forward_hook(lambda _m, _i, out, k=k: scores.update({k: out[0] if isinstance(out, tuple) else out}))
        for k, m in routers.items()
    ]
    batch = lmm.extended(inputs, answers)
    with torch.inference_mode():
        lmm.run(batch)
    for handle in handles:
        handle.remove()
    assert scores
    n, total = batch["input_ids"].shape
    for experts, position, row in zip(found, positions, rows, strict=True):
        assert len(experts) == lmm.n_blocks
        assert [bool(of_block) for of_block in experts] == [k in scores for k in range(lmm.n_blocks)]
        for k, logits in scores.items():
            of_token = logits.reshape(n, total, -1)[row, position]
            assert set(experts[k]) == set(of_token.topk(len(experts[k])).indices.tolist())


def options(**more) -> ExtractionOptions:
    return ExtractionOptions(require="truth", **more)


def test_rows_keep_their_experts(photographs, tmp_path):
    lmm = mixture("qwen3_vl_moe")
    samples = [Sample(str(i), picture, (f"{'a ' * i}dog",)) for i, picture in enumerate(photographs)]
    made = extract_as(lmm, samples, "dog", options(experts=True, batch_size=3), out=tmp_path / "a")
    alone = extract_as(lmm, samples, "dog", options(experts=True, batch_size=1), out=tmp_path / "b")
    assert [row.experts for row in open_activations(tmp_path / "a").rows] == [row.experts for row in alone.rows]
    assert all(len(row.experts) == lmm.n_blocks and all(row.experts) for row in made.rows)
    plain = extract_as(lmm, samples, "dog", options(batch_size=3), out=tmp_path / "c")
    assert all(row.experts == () for row in plain.rows)
    np.testing.assert_array_equal(plain.states(lmm.n_blocks), made.states(lmm.n_blocks))


def test_a_model_without_experts_is_refused_before_it_reads(photographs, tmp_path):
    samples = [Sample("a", photographs[0], ("a dog",))]
    with pytest.raises(UsageError, match="has no mixture of experts"):
        extract_as(built("LLaVA 1.5"), samples, "dog", options(experts=True), out=tmp_path / "a")
    assert not (tmp_path / "a" / "manifest.json").exists()


def test_experts_are_of_one_token():
    with pytest.raises(UsageError, match="Experts work on one token"):
        options(experts=True, read_at="answer")
