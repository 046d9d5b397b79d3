"""A model whose blocks are compiled by themselves is read as before; one that is compiled as a whole is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from vitrail.errors import ModelError
from vitrail.lmm import LMM, from_transformers, load

pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's compiler


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def compiled(module: Any) -> Any:
    return torch.compile(module, backend="eager")  # the graph is traced as ever; no compiler of C++ is needed


def blocks_in_place(lmm: LMM) -> LMM:
    for block in lmm.parts.blocks:
        block.compile(backend="eager")
    return lmm


def blocks_wrapped(lmm: LMM) -> LMM:
    layers = lmm.model.model.language_model.layers
    for i in range(len(layers)):
        layers[i] = compiled(layers[i])
    return from_transformers(lmm.model, lmm.processor, lmm.name)


@pytest.mark.parametrize("compile_blocks", [blocks_in_place, blocks_wrapped])
def test_blocks_compiled_by_themselves_give_the_same_states_captions_and_identity(lmm, samples, compile_blocks):
    fast = compile_blocks(load("toyland", device="cpu"))
    assert fast.differences(lmm.describe()) == []
    pictures = [s.open() for s in samples[:2]]
    assert fast.caption(pictures, max_new_tokens=4) == lmm.caption(pictures, max_new_tokens=4)

    def states(model: LMM, factor: float) -> dict:
        inputs = model.prepare(pictures, [model.prompt] * 2)
        position = inputs["input_ids"].shape[1] - 1
        with model.edited([4], lambda layer, h, _: h * factor):
            return model.states(inputs, [(), ()], [position] * 2, [0, 3, 4, 8, "final"])

    for factor in (1.0, 1.5):  # the second time, blocks are compiled already
        found, expected = states(fast, factor), states(lmm, factor)
        for layer, tensor in expected.items():
            torch.testing.assert_close(found[layer], tensor, rtol=1e-4, atol=1e-4)


def whole(lmm: LMM) -> Any:
    return compiled(lmm.model)


def whole_in_place(lmm: LMM) -> Any:
    lmm.model.compile(backend="eager")
    return lmm.model


def decoder_in_place(lmm: LMM) -> Any:
    lmm.model.model.language_model.compile(backend="eager")
    return lmm.model


def forward(lmm: LMM) -> Any:
    lmm.model.forward = compiled(lmm.model.forward)
    return lmm.model


@pytest.mark.parametrize("make", [whole, whole_in_place, decoder_in_place, forward])
@pytest.mark.parametrize(
    "use",
    [lambda lmm, model: from_transformers(model, lmm.processor, "m"), lambda lmm, model: lmm.with_model(model)],
    ids=["from_transformers", "with_model"],
)
def test_what_is_compiled_around_the_blocks_is_refused_by_name(make: Callable[[LMM], Any], use) -> None:
    lmm = load("toyland", device="cpu")
    with pytest.raises(ModelError, match=r"(Llava|Llama)\w+ is compiled as a whole.*block\.compile\(\)"):
        use(lmm, make(lmm))


def test_a_model_that_is_compiled_after_it_was_loaded_is_an_error_that_says_so(samples):
    lmm = load("toyland", device="cpu")
    lmm.model.compile(backend="eager")
    picture = [samples[0].open()]
    inputs = lmm.prepare(picture, [lmm.prompt])
    with pytest.raises(ModelError, match="is compiled as a whole"):
        lmm.states(inputs, [()], [3], [2])
    with pytest.raises(ModelError, match="is compiled as a whole"), lmm.edited([2], lambda layer, h, _: h):
        pass
