"""A PEFT adapter is put on the model that it was made for, and on no other."""

from __future__ import annotations

import os
import pickle
import shutil
import warnings

import pytest
import torch
from PIL import Image
from transformers import (
    LlavaForConditionalGeneration,
)

from vitrail.errors import ModelError
from vitrail.lmm import load

REQUEST = ["describe the image ."]
OLD_NAME = ".is_gradient_checkpointing. is deprecated"  # PEFT still uses it


@pytest.fixture(scope="module")
def adapter(other_model, tmp_path_factory):
    """A LoRA adapter of `other_model` that changes what it says."""
    peft = pytest.importorskip("peft")
    network = LlavaForConditionalGeneration.from_pretrained(other_model)
    config = peft.LoraConfig(r=2, target_modules=r".*language_model.*\.(q_proj|v_proj)", init_lora_weights=False)
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("adapter")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", OLD_NAME)
        peft.get_peft_model(network, config).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings(f"ignore:{OLD_NAME}")
def test_parts_are_found_under_an_adapter_and_read_as_the_library_does(other, other_model, adapter, images):
    adapted = load(other_model, adapter=adapter, device="cpu")
    assert adapted.parts.names == other.parts.names
    differing = {k for k, v in vars(adapted.describe()).items() if v != getattr(other.describe(), k)}
    assert differing == {"active", "adapter", "fingerprint"}
    inputs = adapted.prepare(images[:1], REQUEST)
    position = inputs["input_ids"].shape[1] - 1
    found = adapted.states(inputs, [()], [position], [1, "final"])
    with torch.no_grad():
        out = adapted.model(**inputs, output_hidden_states=True)
    torch.testing.assert_close(found[1], out.hidden_states[1][:, -1])
    torch.testing.assert_close(adapted.logits(found["final"], "final"), out.logits[:, -1])
    assert not torch.allclose(found[1], other.states(inputs, [()], [position], [1])[1], rtol=1e-2)
    assert len(adapted.generate(inputs, 3)) == 1


@pytest.mark.filterwarnings(f"ignore:{OLD_NAME}")
def test_an_adapter_for_another_model_is_refused(adapter):
    with pytest.raises(ModelError, match="is not an adapter for this model"):
        load("toyland", adapter=adapter, device="cpu")


def test_a_folder_without_an_adapter_is_refused(other_model, tmp_path):
    with pytest.raises(ModelError, match=r"is not an adapter: Can't find 'adapter_config.json'"):
        load(other_model, adapter=tmp_path, device="cpu")


#: What became of an adapter's files → what is said of it.
DAMAGED = {
    "truncated": (lambda f: os.truncate(f / "adapter_model.safetensors", 1000), "is not an adapter for this model"),
    "empty": (lambda f: os.truncate(f / "adapter_model.safetensors", 0), "is not an adapter for this model"),
    "pickled": (lambda f: _pickled(f), "is not an adapter for this model"),
    "no configuration": (lambda f: (f / "adapter_config.json").write_text("[[["), "is not an adapter"),
}


class _Attack:
    def __reduce__(self):
        return pytest.fail, ("code of an adapter ran",)


def _pickled(folder):
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(_Attack()))


@pytest.mark.parametrize(("damage", "says"), DAMAGED.values(), ids=DAMAGED)
def test_an_adapter_whose_files_are_damaged_is_refused_and_none_of_its_code_runs(tmp_path, damage, says):
    from vitrail.toyland import adapter_path

    folder = shutil.copytree(adapter_path("place"), tmp_path / "adapter")
    (folder / "manifest.json").unlink(missing_ok=True)  # which would tell at once
    damage(folder)
    with pytest.raises(ModelError, match=says):
        load("toyland", device="cpu", adapter=folder)


#: A chat template → how it ends.
TEMPLATES = {
    "{{ ''.__class__.__mro__ }}": "SecurityError",
    "{% for i in range(10**12) %}x{% endfor %}": "OverflowError",
    "{{ 1 / 0 }}": "ZeroDivisionError",
    "{{ raise_exception('no') }}": "TemplateError: no",
    "{% include 'x' %}": "TypeError",
    "{{ broken": "TemplateSyntaxError",
    "{% for i in range(9**5) %}{% for j in range(9**5) %}{% endfor %}{% endfor %}": "TimeoutError: it works for longer",
}


@pytest.mark.parametrize(("template", "says"), TEMPLATES.items())
def test_a_chat_template_that_attacks_or_breaks_is_blamed_and_no_image(lmm, monkeypatch, template, says):
    monkeypatch.setattr(lmm.processor, "chat_template", template)
    monkeypatch.setattr("vitrail.lmm.prompts.PATIENCE", 0.5)
    with pytest.raises(ModelError, match=rf"chat template ends in an error \({says}"):
        lmm.prepare([Image.new("RGB", (8, 8))], [lmm.prompt])
