"""What is said is the most likely, whatever a model's own generation configuration says; and it means something."""

from __future__ import annotations

import pytest
import torch
from transformers import GenerationConfig

from vitrail.errors import NumericsError
from vitrail.lmm import from_transformers, load
from vitrail.lmm.doctor import Examiner, doctor, noise
from vitrail.lmm.generating import greedy_configuration

#: Keys of `generation_config.json` that change what is said, or end in an error.
HOSTILE = {
    "min_new_tokens": 30,
    "min_length": 90,
    "guidance_scale": 4.0,
    "sequence_bias": [[[20], 50.0]],
    "max_time": 1e-9,
    "return_dict_in_generate": True,
    "output_scores": True,
    "stop_strings": ["a"],
    "penalty_alpha": 0.6,
    "repetition_penalty": 50.0,
    "encoder_repetition_penalty": 50.0,
    "no_repeat_ngram_size": 1,
    "do_sample": True,
    "temperature": 9.0,
    "num_beams": 4,
    "num_beam_groups": 2,
    "num_return_sequences": 2,
    "early_stopping": "never",
    "length_penalty": -9.0,
    "exponential_decay_length_penalty": [2, 9.0],
    "bad_words_ids": [[20, 21], [22, 23]],
    "renormalize_logits": True,
    "max_length": 3,
    "max_new_tokens": 2,
    "prompt_lookup_num_tokens": 3,
    "use_cache": False,
    "forced_eos_token_id": 3,
    "remove_invalid_values": True,
    "watermarking_config": {"bias": 9.0, "seeding_scheme": "selfhash"},
}


@pytest.fixture(scope="module")
def pictures():
    return noise(2)


@pytest.fixture(scope="module")
def plain(pictures):
    return load("toyland", device="cpu").caption(pictures, max_new_tokens=12)


@pytest.fixture(scope="module")
def mine():
    return load("toyland", device="cpu")


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_of_the_models_own_configuration_changes_nothing(mine, pictures, plain, key):
    own = GenerationConfig(bos_token_id=2, eos_token_id=3, pad_token_id=0)
    setattr(own, key, HOSTILE[key])
    mine.model.generation_config = own
    again = from_transformers(mine.model, mine.processor, "toyland", mine.prompt)
    assert again.caption(pictures, max_new_tokens=12) == plain


def test_what_belongs_to_a_model_is_taken_over():
    class Tokenizer:
        eos_token_id = 7

    own = GenerationConfig(
        bos_token_id=1,
        eos_token_id=[2, 3],
        pad_token_id=0,
        decoder_start_token_id=4,
        suppress_tokens=[9],
        bad_words_ids=[[8], [5, 6]],
        do_sample=True,
    )
    made = greedy_configuration(own, Tokenizer)
    assert made.eos_token_id == [2, 3, 7]
    assert (made.bos_token_id, made.pad_token_id, made.decoder_start_token_id) == (1, 0, 4)
    assert made.suppress_tokens == [8, 9]
    assert not made.do_sample


def test_the_models_own_generation_can_be_asked_for(mine, pictures, plain):
    mine.model.generation_config = GenerationConfig(bos_token_id=2, eos_token_id=3, pad_token_id=0, max_length=None)
    mine.model.generation_config.suppress_tokens = [mine.tokenizer.encode("a", add_special_tokens=False)[0]]
    mine.model.generation_config.min_new_tokens = 6
    own = from_transformers(mine.model, mine.processor, "toyland", mine.prompt).with_own_generation()
    said = own.caption(pictures, max_new_tokens=12)
    assert all(a != b for a, b in zip(said, plain, strict=True))
    found = {c.name: c for c in doctor(own, pictures).checks}["what is said is the most likely"]
    assert found.passed is None


def test_padding_that_is_also_a_word_cuts_no_caption(pictures, plain):
    """An end is known by its place: generation stops at an end token, never at padding."""
    lmm = load("toyland", device="cpu")
    word = lmm.tokenizer.convert_ids_to_tokens(lmm.continuation(lmm.prompt, plain[0]).ids[2])
    lmm.tokenizer.pad_token = word
    again = from_transformers(lmm.model, lmm.processor, "toyland", lmm.prompt)
    assert [again.caption([p], max_new_tokens=12)[0] for p in pictures] == plain


def test_logits_that_are_not_finite_are_an_error_where_only_captions_are_asked_for(pictures):
    lmm = load("toyland", device="cpu")
    lmm.parts.norm.weight.data[3] = torch.nan
    with pytest.raises(NumericsError, match=r"not finite.*--dtype bfloat16 or float32"):
        lmm.caption(pictures)


def test_the_quick_doctor_sees_what_is_not_the_most_likely(mine, pictures):
    mine.model.generation_config = GenerationConfig(bos_token_id=2, eos_token_id=3, pad_token_id=0)
    lmm = from_transformers(mine.model, mine.processor, "toyland", mine.prompt)
    quick = Examiner(lmm, pictures, [lmm.prompt] * 2)
    assert {c.name: c.passed for c in quick.few()}["what is said is the most likely"]
    lmm.model.generation_config.no_repeat_ngram_size = 1  # somebody meddles
    lmm.model.generation_config.repetition_penalty = 50.0
    lmm.model.generation_config.min_new_tokens = 6
    assert not {c.name: c.passed for c in quick.few()}["what is said is the most likely"]
