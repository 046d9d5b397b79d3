"""An LMM is one frozen value over a backend, and a backend that only answers is enough for what only asks."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from vitrail.errors import ModelError
from vitrail.extraction import extract
from vitrail.lmm import LMM, Backend, Generation
from vitrail.lmm.doctor import doctor
from vitrail.lmm.torch_backend import TorchBackend
from vitrail.samples import Sample

WORDS = ["", "</s>", "a", "red", "green", "picture"]


class Words:
    """A tokenizer of the words above, which spaces separate."""

    eos_token_id, pad_token_id, all_special_ids = 1, 0, [0, 1]

    def encode(self, text, add_special_tokens=True):
        return [WORDS.index(word) for word in text.split()] + [1] * add_special_tokens

    def decode(self, ids, skip_special_tokens=False, clean_up_tokenization_spaces=False):
        return " ".join(WORDS[i] for i in ids)

    def get_vocab(self):
        return {word: i for i, word in enumerate(WORDS)}


class Answering(Backend):
    """As a client of an inference server would be: it says which colour a picture has, and nothing of how it knows."""

    tokenizer, family = Words(), "answering"

    def prepare(self, images, requests):
        self.asked = list(requests)
        return {"pixels": torch.tensor([image.getpixel((0, 0)) for image in images])}

    def generate(self, inputs, max_new_tokens):
        colours = ["red" if r > g else "green" for r, g, _ in inputs["pixels"].tolist()]
        said = [[*self.tokenizer.encode(f"a {colour} picture", add_special_tokens=False), 1, 5] for colour in colours]
        return [self.generation(ids) for ids in said]


@pytest.fixture
def answering() -> LMM:
    return LMM(Answering(), "far away", prompt="what is it ?")


@pytest.fixture
def coloured() -> list[Image.Image]:
    return [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "red")]


# ---- one frozen class ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*(f.name for f in dataclasses.fields(LMM)), "model", "processor", "parts"])
def test_nothing_of_an_lmm_can_be_set(lmm, name):
    with pytest.raises(AttributeError):
        setattr(lmm, name, None)


@pytest.mark.parametrize("name", ["model", "processor", "parts"])
def test_nothing_of_a_backend_can_be_set(lmm, name):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(lmm.backend, name, None)


def test_an_lmm_is_final():
    with pytest.raises(TypeError, match=r"LMM is final\. Write a subclass of vitrail\.lmm\.Backend"):
        type("Other", (LMM,), {})


def test_another_request_makes_another_lmm_around_the_same_weights(lmm):
    asked = dataclasses.replace(lmm, prompt="is it night ?")
    assert (asked.prompt, asked.name) == ("is it night ?", lmm.name)
    assert asked.model is lmm.model
    assert lmm.prompt != asked.prompt


def test_an_lmm_around_a_copy_reads_the_parts_of_the_copy(lmm):
    """Otherwise its states would be those of the model that was copied."""
    import copy

    copied = lmm.with_model(copy.deepcopy(lmm.model))
    assert copied.parts.names == lmm.parts.names
    assert copied.parts.unembedding is copied.model.get_output_embeddings() is not lmm.parts.unembedding
    assert copied.parts.blocks[0] is not lmm.parts.blocks[0]
    with torch.no_grad():
        copied.parts.norm.weight.zero_()
    states = torch.ones(1, lmm.n_features)
    assert not copied.logits(states, -1 % (lmm.n_blocks + 1)).any()
    assert lmm.logits(states, lmm.n_blocks).any()
    assert dataclasses.replace(copied, backend=lmm.backend) == lmm


def test_equal_lmms_are_one_key(lmm):
    assert {lmm: "here"}[dataclasses.replace(lmm)] == "here"
    assert dataclasses.replace(lmm, name="other") not in {lmm}


def test_an_lmm_shows_itself_in_a_line(lmm):
    assert repr(lmm).startswith("LMM(name='toyland', revision=None, adapter=None, prompt=")


# ---- a backend that only answers -------------------------------------------------------------------------------------


def test_a_backend_that_only_answers_captions(answering, coloured):
    assert answering.caption(coloured, batch_size=2) == ["a red picture", "a green picture", "a red picture"]
    assert answering.backend.asked == ["what is it ?"]


def test_a_backend_that_only_answers_is_asked_what_a_sample_asks(answering, coloured):
    samples = [Sample("0", coloured[0]), Sample("1", coloured[1], question="which colour ?")]
    inputs = answering.prepare_samples(samples)
    assert answering.backend.asked == ["what is it ?", "which colour ?"]
    red = Generation((2, 3, 5), "a red picture")
    assert answering.generate(inputs, 9)[0] == red == answering.continuation("what is it ?", "a red picture")


@pytest.mark.parametrize(
    "use",
    [
        lambda lmm: lmm.states({}, [()], [0], [1]),
        lambda lmm: lmm.edited([1], None).__enter__(),
        lambda lmm: lmm.logits(torch.zeros(1, 2), "final"),
        lambda lmm: lmm.run({}),
        lambda lmm: lmm.taught([Image.new("RGB", (4, 4))], ["what ?"], ["red"]),
        lambda lmm: lmm.layer(-1),
        lambda lmm: lmm.describe(),
        lambda lmm: lmm.with_model(None),
        lambda lmm: lmm.device,
        lambda lmm: lmm.parts,
        lambda lmm: doctor(lmm),
    ],
)
def test_what_needs_states_says_that_there_are_none(answering, use):
    with pytest.raises(ModelError, match="far away answers requests, but gives no access to its states: Answering is"):
        use(answering)


def test_an_extraction_from_a_backend_that_only_answers_is_refused(answering, coloured, tmp_path):
    samples = [Sample(str(i), image, ("a red picture",)) for i, image in enumerate(coloured)]
    with pytest.raises(ModelError, match="no access to its states"):
        extract(answering, samples, "red", out=tmp_path / "a", require="truth")


@pytest.mark.parametrize("lacking", ["tokenizer", "family", "prepare", "generate"])
def test_a_backend_must_have_its_four_members(lacking):
    members = {name: value for name, value in vars(Answering).items() if name != lacking and not name.startswith("_")}
    with pytest.raises(TypeError, match=lacking):
        type("Lacking", (Backend,), members)()


def test_a_torch_backend_must_say_how_its_module_runs():
    with pytest.raises(TypeError, match="run"):
        TorchBackend(SimpleNamespace(), None, None)
