"""The doctor finds what is wrong: each fault that reading a model can have is made on purpose."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from families.builders import idefics
from families.conftest import built
from vitrail.errors import ModelError, NumericsError
from vitrail.lmm import LMM, ModelDescription, from_transformers
from vitrail.lmm.doctor import Check, Diagnosis, doctor, noise, quick, relative
from vitrail.lmm.transformers_backend import TransformersBackend
from vitrail.words import Match, Word

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


clinic = sys.modules["vitrail.lmm.doctor"]  # `vitrail.doctor` is the function


@pytest.fixture
def llava() -> LMM:
    return built("LLaVA 1.5")


def failing(found: Diagnosis) -> set[str]:
    return {check.name for check in found.failed}


def with_parts(lmm: LMM, **changed) -> LMM:
    return replace(lmm, backend=replace(lmm.backend, parts=replace(lmm.parts, **changed)))


def test_a_whole_model_passes_and_says_what_was_taken_for_what(llava):
    found = doctor(llava)
    assert found.passed, found.failed
    assert found.modules == {
        "vision": "model.vision_tower",
        "connector": "model.multi_modal_projector",
        "blocks": "model.language_model.layers",
        "norm": "model.language_model.norm",
        "unembedding": "lm_head",
    }
    image = found.checks[0]
    # <s>, <user>, then four patches
    assert "at 4 positions of the text, 2 to 5" in image.says
    assert "✓" in found._repr_html_()


@pytest.mark.parametrize(
    ("family", "vision", "connector"),
    [
        ("Idefics", "model.vision_model", "model.perceiver_resampler, model.gated_cross_attn_layers"),
        ("GIT", "git.image_encoder", "git.visual_projection"),
        ("Chameleon", "model.vqmodel", "none"),
        ("BLIP-2 (OPT)", "vision_model", "qformer, language_projection"),
    ],
)
def test_vision_and_connector_are_named_inside_of_a_decoder_too(family, vision, connector):
    modules = built(family).modules
    assert (modules["vision"], modules["connector"]) == (vision, connector)


def test_another_norm_fails_the_logits(llava):
    other = nn.LayerNorm(llava.n_features)
    assert {"logits are the model's"} <= failing(doctor(with_parts(llava, norm=other)))


def test_the_vision_towers_blocks_are_not_the_decoders(llava):
    layers = llava.model.model.vision_tower.encoder.layers
    assert "states are the library's" in failing(doctor(with_parts(llava, blocks=layers)))


def test_blocks_in_another_order_are_found_out(llava):
    swapped = nn.ModuleList([llava.parts.blocks[i] for i in (1, 0, 2)])
    assert "states are the library's" in failing(doctor(with_parts(llava, blocks=swapped)))


def test_a_soft_cap_that_is_left_out_is_found_out(monkeypatch):
    model = built("PaliGemma")
    assert doctor(model).passed
    monkeypatch.setattr(TransformersBackend, "_final_logits", lambda self, logits: logits)
    assert failing(doctor(model)) == {"logits are the model's"}


@pytest.mark.parametrize("n_images", [2, 3])
def test_padding_that_moves_positions_is_found_out(n_images, monkeypatch):
    """GPT-2-like absolute positions: a padded row read without its own positions sees others."""
    model, images = built("BLIP-2 (OPT)"), noise(n_images)
    assert doctor(model, images).passed

    prepare = LMM.prepare

    def wrong(self, images, requests):
        batch = prepare(self, images, requests)
        return batch | {"attention_mask": torch.ones_like(batch["attention_mask"])}

    monkeypatch.setattr(LMM, "prepare", wrong)
    assert "left padding changes nothing" in failing(doctor(model, images))


def test_padding_is_looked_at_also_where_all_rows_ask_the_same(llava):
    """As in a run that asks for captions: the certificate of its first batch is of padded rows, too."""
    found = {c.name: c for c in quick(llava, noise(2), [llava.prompt] * 2).checks}
    assert found["left padding changes nothing"].passed


def test_states_read_one_position_late_are_found_out(llava, monkeypatch):
    states = LMM.states

    def late(self, inputs, continuations, positions, layers):
        return states(self, inputs, continuations, [p - 1 for p in positions], layers)

    monkeypatch.setattr(LMM, "states", late)
    assert {"states are the library's", "logits are the model's", "read at once is as spoken"} <= failing(doctor(llava))


def test_an_image_that_does_not_arrive_is_found_out(llava, monkeypatch):
    prepare = LMM.prepare

    def blind(self, images, requests):
        batch = prepare(self, images, requests)
        return batch | {"pixel_values": torch.zeros_like(batch["pixel_values"])}

    monkeypatch.setattr(LMM, "prepare", blind)
    assert failing(doctor(llava)) == {"image"}


def test_an_edit_that_misses_its_positions_is_found_out(llava, monkeypatch):
    from vitrail.lmm.positions import Pass

    monkeypatch.setattr(Pass, "mask", lambda self, positions: torch.ones_like(self.real))
    assert "a vector changes what it should" in failing(doctor(llava))


def test_rows_that_feel_each_other_are_found_out(llava, monkeypatch):
    """A batch whose rows are mixed a little, as a norm over the batch would do."""
    states = LMM.states

    def mixed(self, *args):
        return {k: v + 0.1 * v.mean(0) if len(v) > 1 else v for k, v in states(self, *args).items()}

    monkeypatch.setattr(LMM, "states", mixed)
    assert "a batch is its rows alone" in failing(doctor(llava))


def test_a_block_that_is_skipped_while_it_speaks_is_found_out(llava, monkeypatch):
    """As under compilation: no hook of the second block is called."""
    second, generate = llava.parts.blocks[1], LMM.generate

    def unhooked(self, inputs, max_new_tokens):
        hooks, second._forward_hooks = second._forward_hooks, type(second._forward_hooks)()
        try:
            return generate(self, inputs, max_new_tokens)
        finally:
            second._forward_hooks = hooks

    monkeypatch.setattr(LMM, "generate", unhooked)
    assert failing(doctor(llava)) == {"hooks are called"}


def test_an_edit_that_is_not_nothing_when_nothing_is_added_is_found_out(llava, monkeypatch):
    edited = LMM.edited

    def rounded(self, layers, change):
        return edited(self, layers, lambda k, states, now: change(k, states, now).half().float())

    monkeypatch.setattr(LMM, "edited", rounded)
    assert "a zero vector changes nothing" in failing(doctor(llava))


def test_a_vector_of_another_length_is_found_out(llava, monkeypatch):
    edited = LMM.edited

    def twice(self, layers, change):
        return edited(self, layers, lambda k, states, now: 2 * change(k, states, now) - states)

    monkeypatch.setattr(LMM, "edited", twice)
    assert failing(doctor(llava)) == {"a vector changes what it should"}


def test_a_word_matcher_that_misses_or_finds_too_much_is_found_out(llava, monkeypatch):
    monkeypatch.setattr(clinic, "Word", lambda text: Word(text, match_case=True))
    assert failing(doctor(llava)) == {"word: capitalised", "word: first in a sentence"}

    class Anywhere:
        def __init__(self, text):
            self.text = text

        def find(self, said):
            start = said.lower().find(self.text)
            return Match(self.text, start, start + len(self.text)) if start >= 0 else None

    monkeypatch.setattr(clinic, "Word", Anywhere)
    assert failing(doctor(llava)) == {"word: inside another word"}


def test_offsets_that_are_a_token_late_are_found_out(llava, monkeypatch):
    span = clinic.words.token_span
    monkeypatch.setattr(clinic.words, "token_span", lambda *args: tuple(i - 1 for i in span(*args)))
    assert {"word: plain", "word: in pieces"} <= failing(doctor(llava))


def test_a_check_that_cannot_run_fails_with_its_error(llava, monkeypatch):
    def broken(self, inputs, max_new_tokens):
        raise ModelError("it does not speak")

    monkeypatch.setattr(TransformersBackend, "generate", broken)
    found = doctor(llava)
    assert "read at once is as spoken" in failing(found)
    assert any("it does not speak" in check.says for check in found.failed)


def test_a_tokenizer_that_cannot_say_a_word_is_no_failure(llava, monkeypatch):
    monkeypatch.setattr(clinic, "SENTENCES", (("foreign", "ein Hund", "hund", True),))
    monkeypatch.setattr(clinic.words, "decode", lambda tokenizer, ids: "ein ⁇")
    check = doctor(llava).checks[-1]
    assert (check.passed, check.mark) == (None, "–")


def test_the_quick_part_refuses_a_model_that_would_be_read_wrongly(llava, pictures):
    assert quick(llava, pictures, ["one?", "two, and more?"]).passed
    other = nn.Linear(llava.n_features, llava.parts.unembedding.out_features)
    with pytest.raises(ModelError, match=r"is not what it computes \(logits are the model's: W_U · norm"):
        quick(with_parts(llava, unembedding=other), pictures, ["one?", "two, and more?"])


def test_states_that_are_not_finite_are_named_as_such(llava, pictures, monkeypatch):
    states = LMM.states

    def overflown(self, *args):
        return {k: v + torch.inf for k, v in states(self, *args).items()}

    monkeypatch.setattr(LMM, "states", overflown)
    with pytest.raises(NumericsError, match=r"not finite\. Load the model in a wider dtype"):
        quick(llava, pictures, ["one?", "two?"])


def test_an_error_is_relative_to_what_was_expected():
    assert relative(torch.tensor([1.0, 2.2]), torch.tensor([1.0, 2.0])) == pytest.approx(0.1)
    assert relative(torch.tensor([torch.nan]), torch.tensor([1.0])) == float("inf")


def test_a_certificate_is_plain_values():
    checks = (Check("a", True, 0.0, "b"), Check("c", None, None, "d"))
    model = ModelDescription("m", None, None, "M", "float32", 2, 8, {"norm": "n"}, "f")
    found = Diagnosis(model, {"norm": "n"}, checks, {})
    assert found.as_dict() == {**found.certificate(), "model": model.as_dict(), "versions": {}}
    assert found.certificate() == {
        "passed": True,
        "modules": {"norm": "n"},
        "checks": [
            {"name": "a", "passed": True, "error": 0.0, "says": "b"},
            {"name": "c", "passed": None, "error": None, "says": "d"},
        ],
    }


def test_a_template_in_the_tokenizer_of_a_family_that_is_asked_plainly_changes_nothing(monkeypatch):
    model, images = built("BLIP-2 (OPT)"), noise(1)
    before = model.prepare(images, ["a photo of"])["input_ids"]
    monkeypatch.setattr(model.tokenizer, "chat_template", "{{ messages[0]['content'] }}", raising=False)
    assert torch.equal(model.prepare(images, ["a photo of"])["input_ids"], before)


def test_padding_that_a_model_counts_is_found_on_the_model(llava):
    """Not by its name: its rows are then generated by length."""
    assert built("Kosmos-2").backend.moved_by_padding == "speaking"
    assert built("BLIP-2 (OPT)").backend.moved_by_padding == "never"
    assert llava.backend.moved_by_padding == "never"


def test_positions_that_padding_moves_are_found_out_also_where_all_ask_the_same(pictures):
    """By the quick part, which extraction runs."""
    model = built("Kosmos-2")
    assert quick(model, pictures, [model.prompt] * 2).passed
    moved = replace(model, backend=replace(model.backend, moved_by_padding="never"))
    with pytest.raises(ModelError, match="read at once is as spoken"):
        quick(moved, pictures, [model.prompt] * 2)


def test_a_block_per_cross_attention_leaves_the_blocks_found():
    """Idefics with one cross-attention before each layer has two lists of one length, and reads no text alone."""
    lmm = from_transformers(*idefics(cross_layer_interval=1), "idefics")
    assert lmm.parts.names["blocks"] == "model.layers"
    assert len(lmm.parts.blocks) == len(lmm.model.model.gated_cross_attn_layers)
