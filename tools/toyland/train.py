"""Trains Toyland's models from nothing: `python -m tools.toyland.train --out DIR --work DIR`.

The models are a LLaVA, and two scorers: a CLIP and a text encoder. There are five stages, each with scenes of its own:

1. ``sight``     the vision tower alone, on the factors of the scenes, by one attentive query per factor;
2. ``language``  the decoder alone, on text;
3. ``joint``     connector, decoder and vision tower together, on captions and questions, as LLaVA is trained;
4. ``clip``      images against texts (contrastive), from the tower of `joint`;
5. ``text``      the text encoder, on captions with masked tokens, as BERT is trained.

Stage 1 is there because captions and contrast teach the tower colours and places quickly, but shapes very slowly
(`docs/log.md`). The image is the most expensive part of a sequence. So stage 3 puts several captions and questions
behind one image, as branches: each attends to the image and to itself, but not to the other branches, and has the
positions that it would have alone.

A stage writes a checkpoint every few minutes into ``--work``, and resumes from it when the script is started again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedTokenizerFast

from tools.toyland import build
from tools.toyland.build import ASSISTANT, BOS, EOS, IMAGE, IMAGE_TOKENS, MASK, PAD, USER
from vitrail.toyland.draw import draw
from vitrail.toyland.language import LEXICON, PROMPTS, STYLES, Style, caption, questions
from vitrail.toyland.world import ACTIONS, COMPANIONS, KINDS, LIGHTS, MOODS, PLACES, SIZES, Scene, scene

Tok = PreTrainedTokenizerFast
#: Step → (loss, figures to log).
LossOfStep = Callable[[int], tuple[torch.Tensor, dict[str, float]]]

#: Scenes of training start here; the scenes of data sets lie far below.
TRAINING_SEEDS = 10**9
#: Seeds of the stages do not overlap.
STAGE_SEEDS = {"sight": 0, "clip": 10**8, "language": 2 * 10**8, "joint": 3 * 10**8, "text": 4 * 10**8}
#: Learning rate of Muon divided by that of AdamW, for updates of equal size (root mean square); see `docs/log.md`.
MUON_RATIO = 8.0
#: Factor → its values, in the order of their numbers.
VALUES: dict[str, tuple] = {
    "kind": KINDS,
    "colour": tuple(LEXICON["colour"]),
    "size": SIZES,
    "action": (None, *ACTIONS),
    "place": PLACES,
    "light": LIGHTS,
    "companion": COMPANIONS,
    "count": (1, 2, 3, 4),
    "mood": MOODS,
}
#: Stage → steps; together a little over an hour on two cores.
STEPS = {"sight": 2000, "language": 150, "joint": 1200, "clip": 300, "text": 600}
STYLE_ODDS = {"plain": 0.7, "colour": 0.1, "place": 0.1, "mood": 0.1}
MEAN, STD = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])


def pixels(scenes: list[Scene]) -> torch.Tensor:
    """The images of scenes as CLIP's processor returns them: (n, 3, SIZE, SIZE), float32."""
    images = np.stack([np.asarray(draw(s)) for s in scenes])
    return torch.from_numpy(((images / 255.0 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32))


def _style(rng: np.random.Generator) -> Style:
    return STYLES[int(rng.choice(len(STYLES), p=[STYLE_ODDS[s] for s in STYLES]))]


def corpus(n_scenes: int) -> Iterator[str]:
    """The texts that the tokenizer is learned from."""
    rng = np.random.default_rng(0)
    for i in range(n_scenes):
        s = scene(TRAINING_SEEDS + i)
        for style in (*STYLES, "plain", "plain"):
            yield f" {PROMPTS[style]} {caption(s, style, rng)}"
        for q in questions(s, rng):
            yield f" {q.text} {q.answer}"


class Trainer:
    """Trains a stage, in bfloat16, with Muon for the matrices of transformer blocks and AdamW for all else.

    It writes checkpoints, and resumes from them. `rates` are pairs of a module and AdamW's peak rate for it. The rate
    warms up, stays, and falls to zero over the last 30 % of the steps, so that a stage can be resumed with another
    number of steps.
    """

    def __init__(
        self, name: str, model: nn.Module, rates: list[tuple[nn.Module, float]], steps: int, work: Path, device: str
    ) -> None:
        self.name, self.model, self.steps, self.device = name, model.to(device), steps, device
        self.path = work / name
        self.path.mkdir(parents=True, exist_ok=True)
        matrices, rest = [], []
        for module, rate in rates:
            parts: tuple[list, list] = ([], [])
            for key, parameter in module.named_parameters():
                parts["layers." in key and parameter.ndim == 2].append(parameter)
            rest.append({"params": parts[0], "lr": rate})
            if parts[1]:
                matrices.append({"params": parts[1], "lr": rate * MUON_RATIO})
        self.optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.02)]
        if matrices:
            self.optimizers.append(torch.optim.Muon(matrices, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"))
        self.peaks = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.step, self.seconds = 0, 0.0
        self._resume()

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {f"model.{k}": v for k, v in self.model.named_parameters()}
        for n, optimizer in enumerate(self.optimizers):
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{n}.{i}.{k}": v for k, v in state.items()}
        return {k: v.detach().clone().contiguous() for k, v in tensors.items()}

    def save(self) -> None:
        save_file(self._tensors(), self.path / "checkpoint.tmp")
        (self.path / "checkpoint.tmp").rename(self.path / f"checkpoint-{self.step}.safetensors")
        (self.path / "state.tmp").write_text(json.dumps({"step": self.step, "seconds": self.seconds}))
        (self.path / "state.tmp").rename(self.path / "state.json")
        for old in self.path.glob("checkpoint-*.safetensors"):
            if old.name != f"checkpoint-{self.step}.safetensors":
                old.unlink()

    def _resume(self) -> None:
        if not (self.path / "state.json").exists():
            return
        state = json.loads((self.path / "state.json").read_text())
        self.step, self.seconds = state["step"], state["seconds"]
        tensors = load_file(self.path / f"checkpoint-{self.step}.safetensors", device=self.device)
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"model.{name}"])
        for n, optimizer in enumerate(self.optimizers):
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for key, tensor in tensors.items():
                if key.startswith(f"optimizer.{n}."):
                    *_, index, name = key.split(".")
                    moments.setdefault(int(index), {})[name] = tensor
            state_dict = optimizer.state_dict()
            state_dict["state"] = moments
            optimizer.load_state_dict(state_dict)
        print(f"{self.name}: resumes at step {self.step}", flush=True)

    def run(self, loss_of_step: LossOfStep, log_every: int = 50, save_every: float = 240.0) -> Any:
        """Runs the remaining steps of the stage, and returns the trained model."""
        self.model.train()
        started = saved = time.monotonic()
        before = self.seconds
        sums: dict[str, float] = {}
        while self.step < self.steps:
            warm = min(1.0, (self.step + 1) / min(100, 0.1 * self.steps + 1))
            decay = min(1.0, (self.steps - self.step) / (0.3 * self.steps))
            for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = peak * warm * decay
            with torch.autocast(self.device, dtype=torch.bfloat16):
                loss, figures = loss_of_step(self.step)
            self.model.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
            self.step += 1
            for k, v in {"loss": loss.item(), **figures}.items():
                sums[k] = sums.get(k, 0.0) + v
            self.seconds = before + time.monotonic() - started
            if self.step % log_every == 0:
                shown = "  ".join(f"{k} {v / log_every:.3f}" for k, v in sums.items())
                print(f"{self.name} {self.step}/{self.steps}  {shown}  {self.seconds:.0f}s", flush=True)
                sums = {}
            if time.monotonic() - saved > save_every:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.model


# ---- sight -----------------------------------------------------------------------------------------------------------


class Sight(nn.Module):
    """A vision tower, and for every factor a query that attends to the patches and predicts the value.

    A query finds the subject at any place, while a mean over patches would hide a small one. The queries are not kept.
    """

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower: Any = tower
        self.norm = nn.LayerNorm(192)
        self.queries = nn.Parameter(torch.randn(len(VALUES), 192) * 0.5)
        self.keys = nn.Linear(192, 192)
        self.values = nn.Linear(192, 192)
        self.heads = nn.ModuleList(nn.Linear(192, len(values)) for values in VALUES.values())

    def loss(self, patches: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """Sum of the factors' cross-entropies, and the share right of those that take long to learn.

        `patches` (n, patches, 192) are what the tower sees, without its class token; `labels` are `(n, factors)`.
        """
        patches = self.norm(patches)
        looks = (self.queries @ self.keys(patches).transpose(1, 2) / 192**0.5).softmax(-1)
        seen = looks @ self.values(patches)
        logits = [head(seen[:, i]).float() for i, head in enumerate(self.heads)]
        total = torch.stack([F.cross_entropy(one, labels[:, i]) for i, one in enumerate(logits)]).sum()
        right = {
            f: (logits[i].argmax(1) == labels[:, i]).float().mean().item()
            for i, f in enumerate(VALUES)
            if f in ("kind", "colour", "action", "count", "size", "companion")
        }
        return total, right


def patches_seen(tower: Any, images: torch.Tensor) -> torch.Tensor:
    """The tower's last states, (n, patches, 192), as the LLaVA uses them."""
    return tower(pixel_values=images).last_hidden_state[:, 1:]


def labels_of(scenes: list[Scene]) -> torch.Tensor:
    """The numbers of the factors' values, (n, factors)."""
    return torch.tensor([[v.index(getattr(s, f)) for f, v in VALUES.items()] for s in scenes])


class Pictures(Dataset):
    """Batches of images and of the numbers of their factors' values."""

    def __init__(self, first_seed: int, first_step: int, steps: int, batch: int) -> None:
        self.first_seed, self.first_step, self.steps, self.batch = first_seed, first_step, steps, batch

    def __len__(self) -> int:
        return self.steps - self.first_step

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.first_seed + (self.first_step + index) * self.batch
        scenes = [scene(first + i) for i in range(self.batch)]
        return pixels(scenes), labels_of(scenes)


def train_sight(tower: Any, work: Path, steps: int, device: str, batch: int = 128) -> Sight:
    model = Sight(tower)
    tower.set_attn_implementation("eager")  # on a CPU the gradient of fused attention is the slower one
    trainer = Trainer("sight", model, [(model, 1e-3)], steps, work, device)
    pictures = Pictures(TRAINING_SEEDS + STAGE_SEEDS["sight"], trainer.step, steps, batch)
    batches = iter(DataLoader(pictures, batch_size=None, num_workers=1, prefetch_factor=4))

    def loss_of_step(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        images, labels = (t.to(device) for t in next(batches))
        return model.loss(patches_seen(model.tower, images), labels)

    return trainer.run(loss_of_step)


# ---- language and joint ----------------------------------------------------------------------------------------------


def branches(s: Scene, rng: np.random.Generator, captions: int) -> list[tuple[str, str]]:
    """(request, answer) pairs about one scene: `captions` captions, four yes/no questions, and three others.

    Yes/no questions are more frequent because they take longest to learn.
    """
    pairs = []
    for _ in range(captions):
        style = _style(rng)
        pairs.append((PROMPTS[style], caption(s, style, rng)))
    asked = [*questions(s, rng), *questions(s, rng)]
    decided = [q for q in asked if q.type == "yes/no"]
    named = list({q.type: q for q in asked if q.type != "yes/no"}.values())
    some = [named[int(i)] for i in rng.permutation(len(named))[:3]]
    return pairs + [(q.text, q.answer) for q in (*decided, *some)]


def pack(tok: Tok, pairs: list[list[tuple[str, str]]], prefix: list[int]) -> dict[str, torch.Tensor]:
    """One sequence per scene, of `prefix` and branches: ids, positions, labels, and a boolean mask (n, 1, T, T).

    A label is −100 where nothing is to be predicted.
    """
    rows = []
    texts = [t for row in pairs for pair in row for t in pair]
    encoded = iter(tok([" " + t for t in texts], add_special_tokens=False)["input_ids"])
    for row in pairs:
        ids, positions, labels, segment = (
            list(prefix),
            list(range(len(prefix))),
            [-100] * len(prefix),
            [0] * len(prefix),
        )
        for number in range(1, len(row) + 1):
            request, answer = next(encoded), next(encoded)
            branch = [*request, ASSISTANT, *answer, EOS]
            ids += branch
            positions += range(len(prefix), len(prefix) + len(branch))
            # a label stands at the position that predicts it
            labels += [-100] * len(request) + [*answer, EOS] + [-100]
            segment += [number] * len(branch)
        rows.append((ids, positions, labels, segment))
    width = max(len(r[0]) for r in rows)

    def tensor(index: int, fill: int) -> torch.Tensor:
        return torch.tensor([r[index] + [fill] * (width - len(r[index])) for r in rows])

    segments = tensor(3, -1)
    same = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
    mask = same & torch.ones(width, width, dtype=torch.bool).tril()
    return {"ids": tensor(0, PAD), "positions": tensor(1, 0), "labels": tensor(2, -100), "mask": mask[:, None]}


def language_loss(model: Any, packed: dict[str, torch.Tensor], image: torch.Tensor | None) -> torch.Tensor:
    """The mean cross-entropy of the answers' tokens; `image` is (n, IMAGE_TOKENS, width), or None for text alone."""
    inner = model.model
    embeds = inner.language_model.embed_tokens(packed["ids"])
    if image is not None:
        where = (packed["ids"] == IMAGE)[..., None]
        embeds = embeds.masked_scatter(where, image.to(embeds.dtype))
    states = inner.language_model(
        inputs_embeds=embeds, attention_mask=packed["mask"], position_ids=packed["positions"], use_cache=False
    ).last_hidden_state
    labelled = packed["labels"] != -100
    logits = model.lm_head(states[labelled])
    return F.cross_entropy(logits.float(), packed["labels"][labelled])


def train_language(tok: Tok, work: Path, seed: int, steps: int, device: str, batch: int = 64) -> Any:
    model = build.llava(len(tok), seed)
    trainer = Trainer("language", model, [(model.model.language_model, 1e-3)], steps, work, device)

    def loss_of_step(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        first = TRAINING_SEEDS + STAGE_SEEDS["language"] + step * batch
        rng = np.random.default_rng([seed, 2, step])
        pairs = [branches(scene(first + i), rng, captions=5) for i in range(batch)]
        packed = {k: v.to(device) for k, v in pack(tok, pairs, [BOS, USER]).items()}
        return language_loss(model, packed, None), {}

    return trainer.run(loss_of_step)


#: Factor on the trained residual stream: Muon lets its norm grow to thousands, where such models usually have tens.
RESIDUAL_SCALE = 1 / 32


@torch.no_grad()
def rescale(llava: Any, factor: float) -> None:
    """Multiplies every state of the residual stream by `factor`, and leaves the outputs of the model unchanged.

    Every module that writes into the stream is scaled. The final norm is divided by the factor, for the (tied)
    unembedding. The other norms do not depend on the scale once their epsilon is scaled, too.
    """
    decoder = llava.model.language_model
    llava.config.text_config.rms_norm_eps *= factor**2
    for module in decoder.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = llava.config.text_config.rms_norm_eps
    written = [llava.model.multi_modal_projector.linear_2, decoder.embed_tokens]
    written += [part for layer in decoder.layers for part in (layer.self_attn.o_proj, layer.mlp.down_proj)]
    for module in written:
        for parameter in module.parameters():
            parameter.mul_(factor)
    decoder.norm.weight.div_(factor)


class Joint(nn.Module):
    """The LLaVA, and the queries of `Sight` on its tower: they keep the tower from forgetting shapes."""

    def __init__(self, llava: nn.Module, sight: Sight) -> None:
        super().__init__()
        self.llava: Any = llava
        self.sight = sight


def train_joint(
    tok: Tok, sight: Sight, language: Any, work: Path, seed: int, steps: int, device: str, batch: int = 48
) -> Any:
    model = build.llava(len(tok), seed)
    model.load_state_dict(language.state_dict())
    inner = model.model
    inner.vision_tower.load_state_dict(sight.tower.state_dict())
    inner.vision_tower.set_attn_implementation("eager")
    sight.tower = inner.vision_tower
    model.tie_weights()
    rates = [(inner.multi_modal_projector, 1.2e-3), (inner.language_model, 8e-4), (sight, 3e-4)]
    trainer = Trainer("joint", Joint(model, sight), rates, steps, work, device)

    def loss_of_step(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        first = TRAINING_SEEDS + STAGE_SEEDS["joint"] + step * batch
        rng = np.random.default_rng([seed, 3, step])
        scenes = [scene(first + i) for i in range(batch)]
        pairs = [branches(s, rng, captions=3) for s in scenes]
        packed = {k: v.to(device) for k, v in pack(tok, pairs, [BOS, USER] + [IMAGE] * IMAGE_TOKENS).items()}
        patches = patches_seen(inner.vision_tower, pixels(scenes).to(device))
        said = language_loss(model, packed, inner.multi_modal_projector(patches))
        seen, right = sight.loss(patches, labels_of(scenes).to(device))
        return said + 0.2 * seen, {"said": said.item(), **right}

    return trainer.run(loss_of_step).llava


# ---- clip ------------------------------------------------------------------------------------------------------------


def clip_text(s: Scene, rng: np.random.Generator) -> str:
    """A text for the contrastive stage: a caption, two of them, or a list of their words."""
    kind = rng.random()
    text = caption(s, _style(rng), rng)
    if kind < 0.35:
        return text
    text = f"{text} . {caption(s, 'plain', rng)}"
    if kind < 0.7:
        return text
    words = [w for w in dict.fromkeys(text.replace(",", "").replace(".", "").split()) if len(w) > 2]
    rng.shuffle(words)
    return "a photo is described by the words " + ", ".join(words[: int(rng.integers(3, 11))])


def train_clip(tok: Tok, tower: Any, work: Path, seed: int, steps: int, device: str, batch: int = 192) -> Any:
    model = build.clip(len(tok), seed)
    model.vision_model.load_state_dict(tower.state_dict())
    model.vision_model.set_attn_implementation("eager")
    projections = nn.ModuleList([model.visual_projection, model.text_projection])
    rates: list[tuple[nn.Module, float]] = [
        (model.text_model, 8e-4),
        (projections, 8e-4),
        (nn.ParameterList([model.logit_scale]), 8e-4),
        (model.vision_model, 2e-4),
    ]
    trainer = Trainer("clip", model, rates, steps, work, device)
    reader = build.scorer_tokenizer(tok)

    def loss_of_step(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        first = TRAINING_SEEDS + STAGE_SEEDS["clip"] + step * batch
        rng = np.random.default_rng([seed, 1, step])
        scenes = [scene(first + i) for i in range(batch)]
        texts = reader([clip_text(s, rng) for s in scenes], padding=True, truncation=True, return_tensors="pt")
        seen = model.vision_model(pixel_values=pixels(scenes).to(device)).pooler_output
        read = model.text_model(**texts.to(device)).pooler_output
        a = F.normalize(model.visual_projection(seen).float(), dim=-1)
        b = F.normalize(model.text_projection(read).float(), dim=-1)
        logits = model.logit_scale.exp().clamp(max=50) * a @ b.T
        target = torch.arange(batch, device=device)
        right = (logits.argmax(1) == target).float().mean()
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2, {"top1": right.item()}

    return trainer.run(loss_of_step)


# ---- text ------------------------------------------------------------------------------------------------------------


def train_text(tok: Tok, work: Path, seed: int, steps: int, device: str, batch: int = 256) -> Any:
    """The text encoder, trained on captions of all styles, of whose tokens one in five is masked."""
    model = build.text_encoder(len(tok), seed)
    trainer = Trainer("text", model, [(model, 1e-3)], steps, work, device)
    reader = build.scorer_tokenizer(tok)

    def loss_of_step(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        first = TRAINING_SEEDS + STAGE_SEEDS["text"] + step * batch
        rng = np.random.default_rng([seed, 4, step])
        texts = [caption(scene(first + i), _style(rng), rng) for i in range(batch)]
        inputs = reader(texts, padding=True, truncation=True, return_tensors="pt").to(device)
        truth = inputs["input_ids"]
        hidden = torch.from_numpy(rng.random(truth.shape) < 0.2).to(device) & (truth > EOS)
        logits = model(input_ids=truth.masked_fill(hidden, MASK), attention_mask=inputs["attention_mask"]).logits
        right = (logits[hidden].argmax(-1) == truth[hidden]).float().mean()
        return F.cross_entropy(logits[hidden].float(), truth[hidden]), {"right": right.item()}

    return trainer.run(loss_of_step)


# ---- all -------------------------------------------------------------------------------------------------------------


def save_half(model: Any, processor: Any, folder: Path) -> None:
    """Writes a model and its processor; weights are float16, but the configuration says float32.

    So files are half as large, and a model that is loaded with dtype="auto" computes in float32.
    """
    model = model.to("cpu").eval()
    model.half().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    for part in (config, *(v for v in config.values() if isinstance(v, dict))):
        if "dtype" in part:
            part["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    processor.save_pretrained(folder)
    model.float()


def main() -> None:
    """Runs the five stages and writes `OUT/model` (LLaVA), `OUT/clip` and `OUT/text`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the trained models go")
    parser.add_argument("--work", type=Path, required=True, help="where the checkpoints go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for stage, steps in STEPS.items():
        parser.add_argument(f"--{stage}-steps", type=int, default=steps)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    tok = build.tokenizer(corpus(4000))
    untrained = build.llava(len(tok), args.seed)
    sight = train_sight(untrained.model.vision_tower, args.work, args.sight_steps, args.device)
    language = train_language(tok, args.work, args.seed, args.language_steps, args.device)
    llava = train_joint(tok, sight, language, args.work, args.seed, args.joint_steps, args.device)
    rescale(llava, RESIDUAL_SCALE)
    save_half(llava, build.llava_processor(tok), args.out / "model")
    clip = train_clip(tok, llava.model.vision_tower, args.work, args.seed, args.clip_steps, args.device)
    save_half(clip, build.clip_processor(tok), args.out / "clip")
    text = train_text(tok, args.work, args.seed, args.text_steps, args.device)
    save_half(text, build.scorer_tokenizer(tok), args.out / "text")


if __name__ == "__main__":
    main()
