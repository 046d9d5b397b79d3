"""Precision and placement: half precisions, weights that lie elsewhere until they run, adapters merged or not."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from families.builders import SIGHT, TEXT, llava, paligemma, shaken
from vitrail.errors import ModelError, UsageError
from vitrail.lmm import Placement, from_transformers, load, load_as
from vitrail.lmm.doctor import doctor

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


def test_what_is_said_is_most_likely_whatever_the_generation_configuration_says(plain, pictures):
    """A penalty that forbids every word to come twice, and sampling, as released models have them."""
    network, processor = llava()
    defaults = {"repetition_penalty": 100.0, "no_repeat_ngram_size": 1, "do_sample": True, "temperature": 5.0}
    network.generation_config.update(**defaults)
    said = from_transformers(shaken(network), processor, "LLaVA").caption(pictures[:2], max_new_tokens=8)
    assert said == plain.caption(pictures[:2], max_new_tokens=8)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_read_as_it_is_computed(folder, plain, pictures, dtype):
    half = load(folder, dtype=dtype, device="cpu")
    assert half.dtype == dtype
    assert half.describe().dtype == dtype
    found = doctor(half, [pictures[0], pictures[1]])
    assert found.passed, found.failed
    for layer, wide in states(plain, pictures).items():
        narrow = states(half, pictures)[layer]
        assert narrow.dtype == getattr(torch, dtype)
        torch.testing.assert_close(narrow.float(), wide, rtol=0.1, atol=0.1 * wide.abs().max().item())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_soft_capped_logits_are_those_of_the_model_in_half_precision(dtype, pictures):
    network, processor = paligemma()
    found = doctor(from_transformers(shaken(network).to(getattr(torch, dtype)), processor, "PaliGemma"))
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
    away = load(folder, device=Placement(device_map, offload_folder=tmp_path))
    assert any(p.is_meta for p in away.model.parameters())
    ours, theirs = states(away, pictures), states(plain, pictures)
    for layer, expected in theirs.items():
        torch.testing.assert_close(ours[layer], expected)
        torch.testing.assert_close(away.logits(ours[layer], layer), plain.logits(expected, layer))
    assert away.caption(pictures[:2], max_new_tokens=4) == plain.caption(pictures[:2], max_new_tokens=4)
    assert away.describe() == plain.describe()


def test_the_doctor_passes_a_model_whose_weights_come_and_go(folder, pictures, tmp_path):
    pytest.importorskip("accelerate")
    found = doctor(load(folder, device=Placement({"": "disk"}, offload_folder=tmp_path)), [pictures[0], pictures[1]])
    assert found.passed, found.failed


def test_spread_by_itself_on_a_machine_of_one_device_it_is_the_same(folder, plain, pictures):
    pytest.importorskip("accelerate")
    spread = load(folder, device=Placement(max_memory={"cpu": "1GiB"}))
    assert states(spread, pictures)[1].equal(states(plain, pictures)[1])


@pytest.mark.parametrize("device", ["cuda:99", "no such thing"])
def test_a_device_that_is_not_there_is_an_error_before_anything_is_loaded(folder, device):
    with pytest.raises(UsageError, match=f"There is no device '{device}' that torch can use here: "):
        load(folder, device=device)


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
    assert small.describe().quantization == dtype
    found = doctor(small, [pictures[0], pictures[1]])
    assert found.passed, found.failed
    expected = states(load(wide, device="cpu"), pictures)[1]
    error = (states(small, pictures)[1].float() - expected).norm() / expected.norm()
    assert 0 < error < 0.5


@pytest.mark.filterwarnings("ignore")  # of torchao, of kernels that were built for other machines
def test_weights_that_were_quantised_by_torchao_are_read(wide, pictures):
    torchao = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    from transformers import AutoProcessor, LlavaForConditionalGeneration, TorchAoConfig

    how = TorchAoConfig(torchao.Int8WeightOnlyConfig())
    small = from_transformers(
        LlavaForConditionalGeneration.from_pretrained(wide, quantization_config=how),
        AutoProcessor.from_pretrained(wide),
        "quantised",
    )
    assert small.describe().quantization == "torchao"
    found = doctor(small, [pictures[0], pictures[1]])
    assert found.passed, found.failed
    expected = states(load(wide, device="cpu"), pictures)[1]
    assert 0 < (states(small, pictures)[1].float() - expected).norm() / expected.norm() < 0.5


def compressed(network: nn.Module, scheme: str, out: Path) -> None:
    """Saves a model, its language model's weights rounded to the nearest, as compressed-tensors documents it."""
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.offload import update_offload_parameter
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
    from compressed_tensors.quantization.utils import calculate_qparams

    others = ["lm_head", "re:.*vision.*", "re:.*projector.*"]
    apply_quantization_config(network, QuantizationConfig(config_groups={scheme: ["Linear"]}, ignore=others))
    for module in network.modules():
        if (chosen := getattr(module, "quantization_scheme", None)) is None:
            continue
        size = chosen.weights.group_size
        groups = module.weight.data.unflatten(-1, (-1, size or module.weight.shape[-1]))
        scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), chosen.weights)
        update_offload_parameter(module, "weight_scale", scale)
        if hasattr(module, "weight_zero_point"):
            update_offload_parameter(module, "weight_zero_point", zero)
    compressor = ModelCompressor.from_pretrained_model(network)
    compressor.compress_model(network)
    network.save_pretrained(out)
    compressor.update_config(out)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("scheme", "most"), [("W8A16", 0.05), ("W4A16", 0.5)])
def test_weights_of_compressed_tensors_are_read(tmp_path, pictures, scheme, most):
    """Packed until the first pass; the model is the same before and after it."""
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
    sizes = {"hidden_size": 128, "intermediate_size": 128}
    network, processor = llava({**TEXT, **sizes, "num_key_value_heads": 4}, {**SIGHT, **sizes})
    shaken(network).save_pretrained(tmp_path / "whole")
    compressed(network, scheme, tmp_path / "small")
    for name in ("whole", "small"):
        processor.save_pretrained(tmp_path / name)
    small = load(tmp_path / "small", device="cpu")
    before = small.describe()
    assert before.quantization == "compressed-tensors"
    found = doctor(small, [pictures[0], pictures[1]])
    assert found.passed, found.failed
    assert small.describe() == before
    expected = states(load(tmp_path / "whole", device="cpu"), pictures)[1]
    assert 0 < (states(small, pictures)[1].float() - expected).norm() / expected.norm() < most


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
def test_a_described_adapter_is_put_on_again(folder, adapter, plain):
    worn = load(folder, adapter=adapter, device="cpu").describe()
    assert load_as(worn, device="cpu").describe() == worn != plain.describe()
    assert load_as(dataclasses.replace(worn, adapter=None), device="cpu").describe() == plain.describe()


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


#: The code that comes with a model, by file: `mark` is what it writes when it runs.
CONFIGURATION = """
from transformers import AutoConfig, CLIPVisionConfig, LlavaConfig
class OwnTowerConfig(CLIPVisionConfig):
    model_type = "own_tower"
AutoConfig.register("own_tower", OwnTowerConfig, exist_ok=True)
class OwnConfig(LlavaConfig):
    model_type = "own"
"""
MODEL = """
from transformers import AutoModel, CLIPVisionModel, LlavaForConditionalGeneration
open({mark!r}, "w").close()
class OwnTower(CLIPVisionModel):
    config_class = OwnTowerConfig
AutoModel.register(OwnTowerConfig, OwnTower, exist_ok=True)
class Own(LlavaForConditionalGeneration):
    config_class = OwnConfig
"""
LAYOUTS = {
    "in one file": ("own", {"own": CONFIGURATION + MODEL}),
    "in two files": (
        "modeling",
        {"configuration": CONFIGURATION, "modeling": "from .configuration import OwnConfig, OwnTowerConfig\n" + MODEL},
    ),
}


@pytest.fixture(params=LAYOUTS)
def own(request, folder, tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A model with code of its own, and the file that this code writes when it runs."""
    main, files = LAYOUTS[request.param]
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [p for p in sys.path if not (Path(p) / "transformers_modules").is_dir()])
    for module in [name for name in sys.modules if name.startswith("transformers_modules")]:
        monkeypatch.delitem(sys.modules, module)
    model, mark = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(folder, model)
    configuration = next(name for name, code in files.items() if "class OwnConfig" in code)
    names = {"AutoConfig": f"{configuration}.OwnConfig", "AutoModelForImageTextToText": f"{main}.Own"}
    config = json.loads((folder / "config.json").read_text()) | {"model_type": "own", "auto_map": names}
    config["vision_config"]["model_type"] = "own_tower"
    (model / "config.json").write_text(json.dumps(config))
    for name, code in files.items():
        (model / f"{name}.py").write_text(code.format(mark=str(mark)))
    network = shaken(llava()[0])  # by the names of its parameters; transformers saves LLaVA's by older ones
    save_file(network.state_dict(), model / "model.safetensors", metadata={"format": "pt"})
    return model, mark


def test_code_that_comes_with_a_model_does_not_run_unless_asked(own, plain, pictures):
    """Refused without a word from that code; asked for, it is the model that it says."""
    model, mark = own
    with pytest.raises(ModelError, match=r"comes with code of its own.*--trust-remote-code"):
        load(model, device="cpu")
    assert not mark.exists()
    trusted = load(model, device="cpu", trust_remote_code=True)
    assert mark.exists()
    assert type(trusted.model).__name__ == "Own"
    assert states(trusted, pictures)[1].equal(states(plain, pictures)[1])


def test_its_code_runs_again_only_where_it_is_asked_for_again(own, pictures, tmp_path, run):
    """As typed: every command that loads the model, a study's own one too, needs the word anew."""
    model, mark = own
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    lines = [json.dumps({"image": f"{i}.png", "caption": "a dog"}) for i in range(4)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    out, word = tmp_path / "s", ("--word", "dog", "--require", "truth", "--device", "cpu")
    extracting = ("extract", "--model", model, "--data", tmp_path / "data.jsonl", "--out", out, *word)
    code, _, err = run(*extracting)
    assert (code, mark.exists()) == (1, False)
    assert "--trust-remote-code" in err
    assert run(*extracting, "--trust-remote-code")[0] == 0
    assert run("learn", out, "--concepts", 2, "--stability", 0)[0] == 0
    mark.unlink()
    code, _, err = run("ground", out)
    assert (code, mark.exists()) == (1, False)
    assert "comes with code of its own" in err
    code, _, err = run("ground", out, "--trust-remote-code")
    assert code == 0, err


#: Every command that takes a model by name or folder, with what it cannot do without.
LOADING = {
    "study": ("--word", "dog", "--out", "s"),
    "extract": ("--word", "dog", "--out", "s"),
    "doctor": (),
    "finetune": ("--out", "f", "--words", "dog"),
    "evaluate": ("--words", "dog"),
    "steer make": ("--task", "colour", "--out", "v"),
}


@pytest.mark.parametrize("command", LOADING)
def test_a_command_passes_on_whether_code_may_run(command, own, run, monkeypatch, tmp_path):
    """Without leave a model with code of its own is refused before it is loaded; with it, `load` hears so."""
    heard = []

    def load(model, **options):
        heard.append((str(model), options["trust_remote_code"]))
        raise ModelError("enough")

    monkeypatch.setattr("vitrail.lmm.load", load)
    monkeypatch.chdir(tmp_path)
    typed = [*command.split(), *LOADING[command], *((own[0],) if command == "doctor" else ("--model", own[0]))]
    code, _, err = run(*typed)
    assert (code, heard) == (1, [])
    assert "comes with code of its own" in err
    assert run(*typed, "--trust-remote-code")[0] == 1
    assert heard == [(str(own[0]), True)]


def test_a_model_whose_weights_are_not_all_there_is_refused(folder, tmp_path):
    """transformers would make up what is missing at random, and only warn."""
    shutil.copytree(folder, tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    (lost,) = [name for name in weights if name.endswith("layers.1.mlp.up_proj.weight") and "language" in name]
    del weights[lost]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of the weights .*layers\.1\.mlp\.up_proj\.weight; .*random"):
        load(tmp_path / "model", device="cpu")


# ---- a hub, stood in for by its cache on disk ------------------------------------------------------------------------


@pytest.fixture
def hub(folder, tmp_path, monkeypatch) -> dict[str, str]:
    """A hub with the model `org/tiny` in two revisions; branch → commit."""
    commits = {"main": "a" * 40, "v1": "b" * 40}
    there = tmp_path / "hub" / "models--org--tiny"
    (there / "refs").mkdir(parents=True)
    for branch, commit in commits.items():
        (there / "refs" / branch).write_text(commit)
        shutil.copytree(folder, there / "snapshots" / commit)
    network, _ = llava()
    shaken(network).lm_head.weight.data.mul_(2)
    network.save_pretrained(there / "snapshots" / commits["v1"])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return commits


def test_a_model_comes_from_the_hub_by_name_and_revision_and_its_commit_is_kept(hub, plain):
    newest, first = load("org/tiny", device="cpu"), load("org/tiny", revision="v1", device="cpu")
    assert (newest.name, newest.revision, first.revision) == ("org/tiny", hub["main"], hub["v1"])
    assert newest.describe().fingerprint == plain.describe().fingerprint != first.describe().fingerprint
    by_commit = load("org/tiny", revision=hub["v1"], device="cpu")
    assert by_commit.describe() == first.describe()


def test_a_model_or_a_revision_that_the_hub_lacks_is_an_error(hub):
    for name, revision in (("org/tiny", "v7"), ("org/other", None)):
        with pytest.raises(ModelError, match=f"{name} is neither a model folder nor a model on the hub"):
            load(name, revision=revision, device="cpu")


def test_a_model_is_loaded_as_it_was_described(hub):
    """Its revision and precision come from the description, not from what is newest."""
    described = load("org/tiny", revision="v1", dtype="bfloat16", device="cpu").describe()
    again = load_as(described, device="cpu", prompt="what is it ?")
    assert again.describe() == described
    assert (again.revision, again.dtype, again.prompt) == (hub["v1"], "bfloat16", "what is it ?")


def test_a_model_that_moved_is_still_called_as_it_was_described(hub, folder, tmp_path):
    described = load("org/tiny", device="cpu").describe()
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert load_as(described, model=moved, device="cpu").describe() == described


def test_a_folders_revision_is_kept_as_it_was_given(folder):
    assert load(folder, revision="main", device="cpu").revision == "main"
