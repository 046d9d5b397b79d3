"""CoCa of open_clip (Yu et al. 2022) as an LMM, tiny and with random weights. open_clip needs torchvision."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers.utils import is_torchvision_available

from families import test_families as proofs
from families.builders import shaken, tokenizer
from families.test_protocol import Speaks
from vitrail.lmm import LMM, adopt, quieten

pytestmark = pytest.mark.skipif(
    not is_torchvision_available(), reason="open_clip imports torchvision, which is not installed here"
)


class OpenClipCoCa(Speaks):
    """open_clip's CoCa as a `Captioner`.

    Its text tower reads the text, with a token of its own at the end; what comes out of it for the text is layer 0. In
    its multimodal decoder a block reads the text and the next one looks at the image, in turns.
    """

    def __init__(self, coca: nn.Module, words, images) -> None:
        super().__init__()
        self.coca, self.tokenizer, self.images = coca, words, images
        decoder = coca.text_decoder
        pairs = zip(decoder.resblocks, decoder.cross_attn, strict=True)
        self.blocks = nn.ModuleList([block for pair in pairs for block in pair])
        self.norm = decoder.ln_final
        # a parameter there; here a module, which can be hooked
        self.unembedding = nn.Linear(*decoder.text_projection.shape, bias=False)
        self.unembedding.weight = nn.Parameter(decoder.text_projection.T.detach().clone())
        decoder.text_projection = None

    def prepare(self, images, requests) -> dict[str, Tensor]:
        """CoCa is asked nothing: a caption begins after the token that begins a text."""
        start = torch.full((len(images), 1), self.tokenizer.bos_token_id)
        pixels = torch.stack([self.images(image) for image in images])
        return {"input_ids": start, "attention_mask": torch.ones_like(start), "pixels": pixels}

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor) -> Tensor:
        return self.unembedding(self.coca(pixels, input_ids, output_labels=False)["logits"])


def coca() -> OpenClipCoCa:
    """In the shape of `coca_ViT-B-32`, but tiny."""
    open_clip = pytest.importorskip("open_clip")
    words = tokenizer()
    text = {"context_length": 76, "vocab_size": len(words), "width": 32, "heads": 4, "layers": 2}
    seen = {"image_size": 28, "patch_size": 14, "width": 32, "head_width": 16, "layers": 2, "output_tokens": True}
    network = open_clip.CoCa(
        embed_dim=32,
        multimodal_cfg=text,
        text_cfg={**text, "embed_cls": True, "output_tokens": True},
        vision_cfg={**seen, "attentional_pool": True, "attn_pooler_queries": 5, "attn_pooler_heads": 2},
        pad_id=words.pad_token_id,
    )
    return OpenClipCoCa(network, words, open_clip.image_transform(28, is_train=False))


@pytest.fixture(scope="module")
def family() -> SimpleNamespace:
    return SimpleNamespace(name="CoCa (open_clip)", proof="open_clip's own image transform; it is asked nothing")


@pytest.fixture(scope="module")
def tiny(family: SimpleNamespace) -> LMM:
    quieten()
    return adopt(shaken(coca()), family.name)


# What every family of transformers goes through, where it does not need the library's own states or files.
test_captions_of_a_batch_are_those_of_its_rows_alone = proofs.test_captions_of_a_batch_are_those_of_its_rows_alone
test_a_forced_answer_decodes_to_itself_and_ends = proofs.test_a_forced_answer_decodes_to_itself_and_ends
test_from_states_to_grounded_words = proofs.test_from_states_to_grounded_words


def test_states_are_the_librarys_hidden_states_of_the_whole_text(tiny, pictures):
    """Answers of different lengths in a batch, and each by itself, through open_clip's own modules."""
    answers = [tiny.continuation(tiny.prompt, text).ids for text in proofs.SAID[:2]]
    last = [len(answer) for answer in answers]
    ours = tiny.states(tiny.prepare(pictures[:2], ["", ""]), answers, last, range(tiny.n_blocks + 1))
    network, seen = tiny.model.coca, []
    decoder = network.text_decoder
    blocks = [block for k in range(len(decoder.resblocks)) for block in (decoder.resblocks[k], decoder.cross_attn[k])]
    handles = [b.register_forward_hook(lambda _module, _inputs, states: seen.append(states[0, -1])) for b in blocks]
    for i in range(2):
        seen.clear()
        with torch.no_grad():
            ids = torch.tensor([[tiny.tokenizer.bos_token_id, *answers[i]]])
            network(tiny.model.images(pictures[i])[None], ids, output_labels=False)
        for k, state in enumerate(seen, 1):
            torch.testing.assert_close(ours[k][i], state, rtol=1e-4, atol=1e-4)
    for handle in handles:
        handle.remove()


def test_the_doctor_finds_nothing(tiny, pictures, record_property):
    from vitrail.lmm.doctor import doctor

    found = doctor(tiny, [pictures[0], pictures[1], pictures[3]])
    assert found.passed, found.failed
    record_property("worst", max(c.error for c in found.checks if c.passed and c.error is not None))


def test_a_vector_steers_what_is_said(tiny, pictures):
    """As of every family; without a cache every token is a pass over all that stands before it."""
    direction = torch.randn(tiny.n_features, generator=torch.Generator().manual_seed(3)) * 1e4
    expected = int(tiny.logits(direction[None], tiny.n_blocks).argmax())
    assert expected not in tiny.ends
    inputs = tiny.prepare(pictures[:2], ["", ""])
    with tiny.edited([-1], lambda _k, states, now: states + now.mask("generated")[..., None] * direction) as edits:
        said = tiny.generate(inputs, 4)
    assert [set(g.ids) for g in said] == [{expected}] * 2
    assert edits.changed[str(tiny.n_blocks)] == 2 * (1 + 2 + 3 + 4)
    assert tiny.generate(inputs, 4) != said
