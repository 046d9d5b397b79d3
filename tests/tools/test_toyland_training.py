"""The script that trains the bundled model: its packing, its checkpoints, and every stage for a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tools.toyland import build, evaluate, train
from tools.toyland.build import ASSISTANT, BOS, EOS, IMAGE, IMAGE_TOKENS, USER
from torch.nn import functional as F

from vitrail.toyland.world import scene


@pytest.fixture(scope="module")
def tok():
    return build.tokenizer(train.corpus(300))


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    return [train.branches(scene(i), rng, captions=2) for i in range(2)]


def test_a_packed_branch_is_read_as_if_it_were_alone(tok, pairs) -> None:
    """The loss of branches behind one picture equals that of each of them in a sequence of its own."""
    model = build.llava(len(tok), seed=0).eval()
    prefix = [BOS, USER] + [IMAGE] * IMAGE_TOKENS
    image = torch.randn(len(pairs), IMAGE_TOKENS, 256, generator=torch.Generator().manual_seed(0))
    losses = []
    with torch.no_grad():
        packed = train.language_loss(model, train.pack(tok, pairs, prefix), image)
        for row, seen in zip(pairs, image, strict=True):
            for request, answer in row:
                asked, said = (tok.encode(" " + t, add_special_tokens=False) for t in (request, answer))
                ids = torch.tensor([[*prefix, *asked, ASSISTANT, *said, EOS]])
                embeds = model.model.language_model.embed_tokens(ids)
                embeds[0, 2 : 2 + IMAGE_TOKENS] = seen
                logits = model.lm_head(model.model.language_model(inputs_embeds=embeds).last_hidden_state)[0]
                start = len(prefix) + len(asked)
                target = torch.tensor([*said, EOS])
                losses.append(F.cross_entropy(logits[start : start + len(target)], target, reduction="none"))
    assert packed.item() == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)


def test_the_template_asks_as_training_does(tok) -> None:
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what is this ?"}]}]
    text = tok.apply_chat_template(turns, chat_template=build.CHAT_TEMPLATE, add_generation_prompt=True, tokenize=False)
    asked = tok.encode(" what is this ?", add_special_tokens=False)
    assert tok.encode(text, add_special_tokens=False) == [BOS, USER, IMAGE, *asked, ASSISTANT]


def stop_at(step: int):
    def loss(self, patches, labels, count=[0], original=train.Sight.loss):  # noqa: B006
        if count[0] == step:
            raise KeyboardInterrupt
        count[0] += 1
        return original(self, patches, labels)

    return loss


def tower(seed: int = 0):
    return build.llava(300, seed).model.vision_tower


def test_a_stage_that_was_stopped_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(work: Path) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        return train.train_sight(tower(), work, steps=4, device="cpu", batch=3).state_dict()

    whole = run(tmp_path / "whole")
    saving = train.Trainer.run
    monkeypatch.setattr(train.Trainer, "run", lambda self, f: saving(self, f, save_every=0.0))
    with monkeypatch.context() as patch:
        patch.setattr(train.Sight, "loss", stop_at(2))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped")
    assert (tmp_path / "stopped" / "sight" / "checkpoint-2.safetensors").exists()
    resumed = run(tmp_path / "stopped")
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_every_stage_runs_and_the_model_loads_like_any_other(tok, tmp_path: Path) -> None:
    from vitrail.lmm import load
    from vitrail.toyland.draw import draw
    from vitrail.toyland.language import PROMPTS

    sight = train.train_sight(tower(), tmp_path, steps=1, device="cpu", batch=3)
    language = train.train_language(tok, tmp_path, seed=0, steps=1, device="cpu", batch=2)
    llava = train.train_joint(tok, sight, language, tmp_path, seed=0, steps=1, device="cpu", batch=2)
    train.save_half(llava, build.llava_processor(tok), tmp_path / "model")
    lmm = load(tmp_path / "model", device="cpu")
    assert lmm.dtype == "float32"
    assert lmm.prompt == PROMPTS["plain"]
    assert len(lmm.caption([draw(scene(0))], max_new_tokens=3)) == 1

    clip = train.train_clip(tok, llava.model.vision_tower, tmp_path, seed=0, steps=1, device="cpu", batch=3)
    train.save_half(clip, build.clip_processor(tok), tmp_path / "clip")
    text = train.train_text(tok, tmp_path, seed=0, steps=1, device="cpu", batch=3)
    train.save_half(text, build.scorer_tokenizer(tok), tmp_path / "text")
    scenes = [scene(i) for i in range(100)]
    assert evaluate.clip_figures(tmp_path / "clip", scenes).keys() >= {"kind", "colour", "caption of 100"}
    assert 0 <= evaluate.text_figures(tmp_path / "text", scenes[:3])["tokens guessed"] <= 1


def test_rescaling_scales_the_states_and_nothing_that_is_said(tok) -> None:
    model = build.llava(len(tok), seed=0).eval()
    for parameter in model.parameters():  # biases and norms start at 0 and 1, where an error would not show
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[BOS, USER, *[IMAGE] * IMAGE_TOKENS, *tok.encode(" what is this ?"), ASSISTANT]])
    batch = {"input_ids": ids, "pixel_values": train.pixels([scene(0)]), "output_hidden_states": True}
    with torch.no_grad():
        before = model(**batch)
        train.rescale(model, 1 / 32)
        after = model(**batch)
    assert torch.allclose(after.logits, before.logits, atol=1e-4 * before.logits.abs().max().item())
    for one, other in zip(before.hidden_states[:-1], after.hidden_states[:-1], strict=True):
        assert torch.allclose(other, one / 32, atol=1e-4 * one.abs().max().item())


def test_a_scorer_reads_what_people_write_as_toyland_writes_it(tok) -> None:
    reader = build.scorer_tokenizer(tok)
    own = tok.encode(" a photo is described by the words dog , black", add_special_tokens=False)
    assert reader.encode("A photo is described by the words dog, Black") == [BOS, *own, EOS]
    assert len(reader("dog " * 200, truncation=True)["input_ids"]) == build.LONGEST_TEXT
