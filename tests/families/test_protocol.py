"""Models that are not of transformers: a captioner in the shape of CoCa, and an any-to-any encoder–decoder in the
manner of 4M. Both are written out here; each needs only the seven members of `Captioner`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from families.builders import PAD, SENTENCES, shaken, tokenizer
from vitrail.concepts import learn
from vitrail.errors import ModelError
from vitrail.extraction import extract
from vitrail.grounding import ground
from vitrail.lmm import LMM, Captioner, adopt
from vitrail.lmm.adapters import trainable_lora
from vitrail.lmm.doctor import doctor
from vitrail.samples import Sample

WIDTH, HEADS, SIDE = 32, 4, 28


class Block(nn.Module):
    """Pre-norm attention to itself, perhaps to `seen`, and an MLP."""

    def __init__(self, across: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.across = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) if across else None
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: Tensor, mask: Tensor | None = None, seen: Tensor | None = None) -> Tensor:
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=mask, need_weights=False)[0]
        if self.across is not None:
            x = x + self.across(self.norm2(x), seen, seen, need_weights=False)[0]
        return x + self.mlp(self.norm3(x))


def causal(real: Tensor) -> Tensor:
    """(batch · heads, positions, positions), True where attention is forbidden: ahead, and to padding. A padded
    position sees itself, so that no row is empty."""
    n = real.shape[1]
    ahead = torch.ones(n, n, dtype=torch.bool).triu(1)
    forbidden = (ahead | ~real.bool()[:, None, :]) & ~torch.eye(n, dtype=torch.bool)
    return forbidden.repeat_interleave(HEADS, dim=0)


def places(real: Tensor) -> Tensor:
    return (real.cumsum(1) - 1).clamp(min=0)


def pixels(images) -> Tensor:
    rows = [torch.tensor(list(image.convert("RGB").resize((SIDE, SIDE)).tobytes())) for image in images]
    return torch.stack(rows).float().view(len(rows), SIDE, SIDE, 3).permute(0, 3, 1, 2) / 127.5 - 1


class Speaks(nn.Module):
    """Greedy generation without a cache, for the two models below."""

    def generate(self, inputs: dict[str, Tensor], max_new_tokens: int) -> Tensor:
        batch, done = dict(inputs), torch.zeros(len(inputs["input_ids"]), dtype=torch.bool)
        for _ in range(max_new_tokens):
            token = self(**batch)[:, -1].argmax(-1).masked_fill(done, PAD)
            batch["input_ids"] = torch.cat([batch["input_ids"], token[:, None]], 1)
            batch["attention_mask"] = torch.cat([batch["attention_mask"], torch.ones_like(token)[:, None]], 1)
            done |= token == self.tokenizer.eos_token_id
        return batch["input_ids"]

    def prepare(self, images, requests) -> dict[str, Tensor]:
        self.tokenizer.padding_side = "left"
        asked = self.tokenizer([f"<user> {r}<assistant>" for r in requests], padding=True, return_tensors="pt")
        return {"input_ids": asked["input_ids"], "attention_mask": asked["attention_mask"], "pixels": pixels(images)}


class TinyCoCa(Speaks):
    """A text decoder of two halves: the first reads text alone, the second looks at the image across (CoCa,
    Yu et al. 2022). The residual stream runs through both."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = tokenizer()
        self.patches = nn.Conv2d(3, WIDTH, 14, 14)
        self.sight = Block()
        self.words = nn.Embedding(len(self.tokenizer), WIDTH)
        self.place = nn.Embedding(64, WIDTH)
        self.unimodal = nn.ModuleList([Block(), Block()])
        self.multimodal = nn.ModuleList([Block(across=True), Block(across=True)])
        self.blocks = nn.ModuleList([*self.unimodal, *self.multimodal])
        self.norm = nn.LayerNorm(WIDTH)
        self.unembedding = nn.Linear(WIDTH, len(self.tokenizer), bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor) -> Tensor:
        seen = self.sight(self.patches(pixels).flatten(2).transpose(1, 2))
        x = self.words(input_ids) + self.place(places(attention_mask))
        mask = causal(attention_mask)
        for block in self.unimodal:
            x = block(x, mask)
        for block in self.multimodal:
            x = block(x, mask, seen)
        return self.unembedding(self.norm(x))


class TinyFourM(Speaks):
    """An encoder over tokens of any modality and a decoder that is told which modality to write (4M, Mizrahi et al.
    2023): image tokens by vector quantisation, text tokens beside them, one vocabulary for all."""

    CODES = 16

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = tokenizer()
        n = len(self.tokenizer)
        self.patches = nn.Conv2d(3, WIDTH, 7, 7)
        self.codebook = nn.Embedding(self.CODES, WIDTH)
        self.tokens = nn.Embedding(n + self.CODES, WIDTH)
        self.place = nn.Embedding(64, WIDTH)
        self.modality = nn.Embedding(2, WIDTH)  # image, text
        self.encoder = nn.ModuleList([Block(), Block()])
        self.blocks = nn.ModuleList([Block(across=True) for _ in range(3)])
        self.norm = nn.LayerNorm(WIDTH)
        self.unembedding = nn.Linear(WIDTH, n, bias=False)

    def quantised(self, pixels: Tensor) -> Tensor:
        """(batch, patches): the nearest code of each patch."""
        features = self.patches(pixels).flatten(2).transpose(1, 2)
        return torch.cdist(features, self.codebook.weight[None].expand(len(features), -1, -1)).argmin(-1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor) -> Tensor:
        image = self.quantised(pixels)
        where = torch.arange(image.shape[1], device=image.device)
        x = self.tokens(image + len(self.tokenizer)) + self.place(where) + self.modality.weight[0]
        for block in self.encoder:
            x = block(x)
        y = self.tokens(input_ids) + self.place(places(attention_mask)) + self.modality.weight[1]
        mask = causal(attention_mask)
        for block in self.blocks:
            y = block(y, mask, x)
        return self.unembedding(self.norm(y))


@pytest.fixture(scope="module", params=[TinyCoCa, TinyFourM], ids=["CoCa", "4M"])
def foreign(request) -> LMM:
    torch.manual_seed(0)
    return adopt(shaken(request.param()), request.param.__name__, prompt="what is in the picture?")


def test_it_is_a_captioner_and_becomes_an_lmm(foreign):
    assert isinstance(foreign.model, Captioner)
    assert isinstance(foreign, LMM)
    assert not any(p.requires_grad for p in foreign.model.parameters())
    assert foreign.describe().n_features == WIDTH
    assert foreign.describe().parts["norm"] == "norm"


def test_the_doctor_finds_nothing(foreign, pictures):
    found = doctor(foreign, [pictures[0], pictures[1], pictures[3]])
    assert found.passed, found.failed
    compared = {c.name for c in found.checks if c.passed}
    assert {"logits are the model's", "left padding changes nothing", "read at once is as spoken"} <= compared


def test_captions_of_a_batch_are_those_of_its_rows_alone(foreign, pictures):
    together = foreign.caption(pictures, max_new_tokens=5, batch_size=4)
    assert together == [foreign.caption([p], max_new_tokens=5)[0] for p in pictures]


def test_states_are_those_that_a_hook_of_torch_sees(foreign, pictures):
    inputs = foreign.prepare(pictures[:2], ["a", "what is it?"])
    answers = [foreign.continuation("", text).ids for text in SENTENCES[:2]]
    width = inputs["input_ids"].shape[1]
    ours = foreign.states(inputs, answers, [width + 1, width + 2], [0, 1, -1 % (foreign.n_blocks + 1), "final"])
    seen: dict[str, Tensor] = {}
    handle = foreign.parts.blocks[0].register_forward_hook(lambda m, a, out: seen.update(first=out, zero=a[0]))
    foreign.run(foreign.extended(inputs, answers))
    handle.remove()
    for i, position in enumerate((width + 1, width + 2)):
        torch.testing.assert_close(ours[1][i], seen["first"][i, position])
        torch.testing.assert_close(ours[0][i], seen["zero"][i, position])


def test_from_states_to_grounded_words(foreign, pictures, tmp_path):
    said = [s for s in SENTENCES if "dog" in s][:4]
    samples = [Sample(str(i), p, (s,)) for i, (p, s) in enumerate(zip(pictures, said, strict=True))]
    states = extract(foreign, samples, "dog", out=tmp_path / "a", require="truth", batch_size=3)
    assert len(states) == 4
    concepts = learn(states, out=tmp_path / "c", n_concepts=2)
    assert all(c.words for c in ground(foreign, states, concepts, out=tmp_path / "g", n_words=3).concepts)


def test_a_vector_steers_what_it_says(foreign, pictures):
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)) * 1e4
    expected = int(foreign.logits(direction[None], foreign.n_blocks).argmax())
    inputs = foreign.prepare(pictures[:1], ["what is it?"])

    def push(_layer, states, now):
        return states + now.mask("generated")[..., None] * direction

    plain = foreign.generate(inputs, 4)
    with foreign.edited([-1], push):
        said = foreign.generate(inputs, 4)
    assert said[0].ids == (expected,) * 4
    assert foreign.generate(inputs, 4) == plain != said


def test_what_was_generated_stays_steered_though_nothing_is_cached(foreign, pictures):
    """At a middle layer later tokens look back at earlier ones: those must be as they were when they were steered."""
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)) * 3
    inputs = foreign.prepare(pictures[:1], ["what is it?"])
    width = inputs["input_ids"].shape[1]
    seen = []

    def push(_layer, states, now):
        seen.append(now.mask("generated")[0].nonzero().flatten().tolist())
        return states + now.mask("generated")[..., None] * direction

    with foreign.edited([2], push):
        foreign.generate(inputs, 3)
    assert seen == [list(range(width - 1, width + k)) for k in range(3)]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing. is deprecated")
def test_under_an_adapter_it_speaks_and_is_steered_as_without(foreign, pictures):
    """An untrained LoRA changes nothing; generation enters under the adapter, a pass of ours above it."""
    pytest.importorskip("peft")
    inputs = foreign.prepare(pictures[:2], ["what is it?"] * 2)
    direction = torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)) * 3

    def steered(lmm):
        with lmm.edited([2], lambda _layer, states, now: states + now.mask("generated")[..., None] * direction):
            return lmm.generate(inputs, 3), lmm.run(inputs).logits

    said, logits = steered(foreign)
    targets = r"blocks\.\d+\.mlp\.0|multimodal\.\d+\.mlp\.0"
    with trainable_lora(foreign, targets, rank=1) as (pupil, parameters):
        assert parameters
        assert pupil.describe().kind == foreign.describe().kind
        found, theirs = steered(pupil)
        assert found == said
        torch.testing.assert_close(theirs, logits)


def test_what_is_no_captioner_is_refused_and_told_what_it_lacks():
    with pytest.raises(ModelError, match=r"Linear is no vitrail\.lmm\.Captioner; missing: blocks, norm, unembedding"):
        adopt(nn.Linear(2, 2), "line")


def test_parts_outside_the_module_are_refused():
    model = TinyCoCa()
    object.__setattr__(model, "norm", None)
    model.__dict__.pop("norm")
    del model._modules["norm"]
    object.__setattr__(model, "norm", nn.LayerNorm(WIDTH))
    with pytest.raises(ModelError, match="norm of TinyCoCa should be modules inside it"):
        adopt(model, "lost")


def test_padding_on_the_right_is_refused(pictures):
    class Right(TinyCoCa):
        def prepare(self, images, requests):
            batch = super().prepare(images, requests)
            return batch | {"attention_mask": batch["attention_mask"].flip(1)}

    with pytest.raises(ModelError, match="should pad on the left"):
        adopt(Right(), "right").prepare(pictures[:2], ["a", "a longer one"])
