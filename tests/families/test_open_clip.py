"""CoCa of open_clip (Yu et al. 2022) as an LMM, with random weights. open_clip needs torchvision."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import CLIPTokenizer
from transformers.utils import is_torchvision_available

from vitrail.doctor import doctor
from vitrail.lmm import adopt

pytestmark = pytest.mark.skipif(
    not is_torchvision_available(), reason="open_clip imports torchvision, which is not installed here"
)


class Coca(nn.Module):
    """open_clip's CoCa as a `Captioner`: its text tower, then its multimodal decoder, are one residual stream."""

    def __init__(self, coca, tokenizer, images) -> None:
        super().__init__()
        self.coca, self.tokenizer, self.images = coca, tokenizer, images
        self.blocks = nn.ModuleList([*coca.text_decoder.resblocks])
        self.norm = coca.text_decoder.ln_final
        self.unembedding = nn.Linear(*reversed(coca.text_decoder.text_projection.shape), bias=False)
        self.unembedding.weight = nn.Parameter(coca.text_decoder.text_projection.T.detach().clone())

    def prepare(self, images, requests):
        start = torch.full((len(images), 1), self.tokenizer.bos_token_id)
        pixels = torch.stack([self.images(image) for image in images])
        return {"input_ids": start, "attention_mask": torch.ones_like(start), "pixels": pixels}

    def forward(self, input_ids, attention_mask, pixels):
        return self.coca(pixels, input_ids)["logits"]

    def generate(self, inputs, max_new_tokens):
        batch = dict(inputs)
        for _ in range(max_new_tokens):
            token = self(**batch)[:, -1:].argmax(-1)
            batch["input_ids"] = torch.cat([batch["input_ids"], token], 1)
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        return batch["input_ids"]


@pytest.fixture(scope="module")
def coca(tmp_path_factory):
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    model, _, images = open_clip.create_model_and_transforms("coca_base", pretrained=None)
    words = {w: i for i, w in enumerate(["<|startoftext|>", "<|endoftext|>", "a</w>", "dog</w>"])}
    tokenizer = CLIPTokenizer(vocab=words, merges=[])
    return adopt(Coca(model, tokenizer, images), "CoCa")


def test_the_doctor_finds_nothing(coca, pictures):
    found = doctor(coca, [pictures[0], pictures[1]])
    assert found.passed, found.failed
