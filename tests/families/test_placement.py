"""Precision and placement: half precisions, weights that lie elsewhere until they run, adapters merged or not."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import pytest
import torch

from families.builders import SIGHT, TEXT, llava, paligemma, shaken
from vitrail.doctor import doctor
from vitrail.errors import ModelError, UsageError
from vitrail.lmm import load

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
QUESTION = ["what is in the picture?", "a dog?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA on disk, as a hub would give it."""
    path = tmp_path_factory.mktemp("llava")
    network, processor = llava()
    shaken(network).save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def plain(folder):
    return load(folder, device="cpu")


def states(lmm, pictures):
    inputs = lmm.prepare(pictures[:2], QUESTION)
    position = inputs["input_ids"].shape[1] - 1
    return lmm.states(inputs, [(), ()], [position] * 2, [0, 1, -1 % (lmm.n_blocks + 1), "final"])


def test_a_model_without_begin_of_text_in_its_template_gets_one(plain, pictures):
    """As LLaVA 1.5's: what the template leaves out, the tokenizer adds; transformers' own pipeline does the same."""
    inputs = plain.prepare(pictures[:1], ["a dog?"])
    turns = [{"role": "user", "content": [{"type": "image", "image": pictures[0]}, {"type": "text", "text": "a dog?"}]}]
    own = plain.processor.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert inputs["input_ids"][0, 0] == plain.tokenizer.bos_token_id
    assert torch.equal(inputs["input_ids"], own["input_ids"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_read_as_it_is_computed(folder, plain, pictures, dtype):
    half = load(folder, dtype=dtype, device="cpu")
    assert half.dtype == dtype
    assert half.describe()["dtype"] == dtype
    found = doctor(half, [pictures[0], pictures[1]])
    assert found.passed, found.failed
    for layer, wide in states(plain, pictures).items():
        narrow = states(half, pictures)[layer]
        assert narrow.dtype == getattr(torch, dtype)
        torch.testing.assert_close(narrow.float(), wide, rtol=0.1, atol=0.1 * wide.abs().max().item())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_soft_capped_logits_are_those_of_the_model_in_half_precision(dtype, pictures):
    from vitrail.lmm.loading import as_read

    network, processor = paligemma()
    found = doctor(as_read(shaken(network).to(getattr(torch, dtype)), processor, "PaliGemma"))
    assert found.passed, found.failed


def a_map(**places: str) -> dict[str, str]:
    parts = {"sight": "model.vision_tower", "between": "model.multi_modal_projector", "text": "model.language_model"}
    return {name: places.get(part, "cpu") for part, name in {**parts, "head": "lm_head"}.items()}


@pytest.mark.parametrize(
    "device_map",
    [{"": "disk"}, a_map(between="disk", text="disk"), a_map(sight="disk", head="disk")],
    ids=["all", "text", "sight and head"],
)
def test_weights_on_the_disk_give_the_same_states_words_and_name(folder, plain, pictures, device_map, tmp_path):
    pytest.importorskip("accelerate")
    away = load(folder, device_map=device_map, offload_folder=tmp_path)
    assert any(p.is_meta for p in away.model.parameters())
    ours, theirs = states(away, pictures), states(plain, pictures)
    for layer, expected in theirs.items():
        torch.testing.assert_close(ours[layer], expected)
        torch.testing.assert_close(away.logits(ours[layer], layer), plain.logits(expected, layer))
    assert away.caption(pictures[:2], max_new_tokens=4) == plain.caption(pictures[:2], max_new_tokens=4)
    assert away.describe() == plain.describe()


def test_the_doctor_passes_a_model_whose_weights_come_and_go(folder, pictures, tmp_path):
    pytest.importorskip("accelerate")
    found = doctor(load(folder, device_map={"": "disk"}, offload_folder=tmp_path), [pictures[0], pictures[1]])
    assert found.passed, found.failed


def test_spread_by_itself_on_a_machine_of_one_device_it_is_the_same(folder, plain, pictures):
    pytest.importorskip("accelerate")
    spread = load(folder, device="auto", max_memory={"cpu": "1GiB"})
    assert states(spread, pictures)[1].equal(states(plain, pictures)[1])


def test_a_device_and_a_map_contradict(folder):
    with pytest.raises(UsageError, match="not both"):
        load(folder, device="cpu", device_map={"": "cpu"})


# ---- quantised -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA whose matrices have the multiples of 64 rows that four bits want on a CPU."""
    path = tmp_path_factory.mktemp("wide")
    sizes = {"hidden_size": 64, "intermediate_size": 128}
    network, processor = llava({**TEXT, **sizes, "num_key_value_heads": 4}, {**SIGHT, **sizes})
    shaken(network).save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_quantised_weights_need_bitsandbytes_and_are_read_with_it(wide, pictures, dtype):
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(ModelError, match=r"needs bitsandbytes: pip install 'vitrail\[quantized\]'"):
            load(wide, dtype=dtype)
        return
    small = load(wide, dtype=dtype, device="cpu")
    assert small.describe()["quantization"] == dtype
    found = doctor(small, [pictures[0], pictures[1]])
    assert found.passed, found.failed
    expected = states(load(wide, device="cpu"), pictures)[1]
    error = (states(small, pictures)[1].float() - expected).norm() / expected.norm()
    assert 0 < error < 0.5


# ---- adapters --------------------------------------------------------------------------------------------------------

OLD_NAME = ".is_gradient_checkpointing. is deprecated"  # PEFT still uses it


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory):
    peft = pytest.importorskip("peft")
    from transformers import LlavaForConditionalGeneration

    network = LlavaForConditionalGeneration.from_pretrained(folder)
    torch.manual_seed(1)
    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)", init_lora_weights=False)
    path = tmp_path_factory.mktemp("adapter")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OLD_NAME)
        peft.get_peft_model(network, config).save_pretrained(path)
    return path


@pytest.mark.filterwarnings(f"ignore:{OLD_NAME}")
def test_an_adapter_merged_is_the_adapter_on_top(folder, adapter, plain, pictures):
    on_top, merged = (load(folder, adapter=adapter, merge=merge, device="cpu") for merge in (False, True))
    assert not hasattr(merged.model, "peft_config") or not hasattr(merged.model, "get_base_model")
    ours, theirs = states(merged, pictures), states(on_top, pictures)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ours[1], states(plain, pictures)[1], rtol=1e-2)
    found = doctor(on_top, [pictures[0], pictures[1]])
    assert found.passed, found.failed


# ---- what is loaded --------------------------------------------------------------------------------------------------


def test_code_that_comes_with_a_model_does_not_run_unless_asked(folder, tmp_path):
    """A configuration that names code of its own: refused without a word from that code."""
    import json
    import shutil

    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForImageTextToText": "own.Own"},
    }
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    mark = tmp_path / "ran"
    (tmp_path / "model" / "own.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    with pytest.raises(ModelError):
        load(tmp_path / "model", device="cpu")
    assert not mark.exists()


def test_a_revision_is_passed_on_and_kept(folder):
    assert load(folder, revision="main", device="cpu").revision == "main"
