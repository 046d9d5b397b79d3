"""Trains the connector and the LoRA on Flickr8k's training photographs.

    python -m benchmarks.real.train [--cache DIR --name RUN --device cuda] [--rank 16 --epochs 8 …]
    torchrun --nproc-per-node 2 -m benchmarks.real.train …      # two processes of one thread: a busy machine's best

Needs the features and the small language model (features.py, vocabulary.py). A run has a folder: `settings.json`,
`log.jsonl`, `checkpoint.pt` (to go on after a kill, by the same command) and `best.safetensors`: the trained weights
that said the dev photographs best, by CIDEr-D. Every random number comes from the seed and the step, so that a run that
was killed ends as one that was not.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from benchmarks.real.cache import default_cache, new_file
from benchmarks.real.captioner import Captioner, Connector, load_language
from benchmarks.real.features import file_of
from benchmarks.real.packing import Packed, pack
from benchmarks.real.photographs import names_a_side
from benchmarks.real.scores import corpus, rewards
from benchmarks.real.vocabulary import Examples, Small, examples, vocabulary
from safetensors.torch import load_file, save_file
from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """What a run is made by; nothing else decides its weights.

    Args:
        seed: of everything random.
        grid: image positions per side.
        views: of each photograph.
        rank: of the LoRA.
        alpha: of the LoRA, divided by its rank.
        lora_dropout: of what the LoRA reads.
        feature_dropout: of the features of the image.
        lora_rate: the LoRA's highest learning rate.
        connector_rate: the connector's.
        weight_decay: of both.
        epochs: passes over the training photographs.
        most: steps at most; 0 for no limit.
        batch: photographs a step, each with all its captions.
        warmup: steps until the learning rate is highest; from there it falls as a cosine.
        average: how much of the mean of the weights over the steps is kept at each step; the mean is what is evaluated.
        evaluate: steps between evaluations; there is one at the end, too.
        dev: photographs of the dev split that an evaluation uses.
        begin: the run whose best weights this one begins with; by default none.
        samples: captions to draw of each photograph. 0 trains on people's captions. Otherwise a caption that was drawn
            is made likelier by how much better its CIDEr-D is than that of the others (self-critical training; Rennie
            et al. 2017, with the mean of the others as in Luo 2020).
    """

    seed: int = 0
    grid: int = 4
    views: int = 8
    rank: int = 16
    alpha: int = 2
    lora_dropout: float = 0.1
    feature_dropout: float = 0.2
    lora_rate: float = 6e-4
    connector_rate: float = 1e-3
    weight_decay: float = 0.05
    epochs: int = 6
    most: int = 0
    batch: int = 64
    warmup: int = 60
    average: float = 0.99
    evaluate: int = 94
    dev: int = 1000
    begin: str = ""
    samples: int = 0


#: Photographs beside those of a step, from whose captions CIDEr-D knows which words are rare.
OTHERS = 300


@dataclass(frozen=True)
class Split:
    """Photographs with their features and captions.

    Args:
        features: (photographs, views, positions, features), read from disk as needed.
        captions: as token ids.
        texts: as text.
        sided: (photographs,) whether a caption says left or right.
    """

    features: np.ndarray
    captions: list[list[list[int]]]
    texts: list[list[str]]
    sided: np.ndarray

    @classmethod
    def of(cls, found: Examples, features: np.ndarray, first: int | None = None) -> Split:
        """The `first` photographs of a split, or all."""
        sided = np.array([names_a_side(texts) for texts in found.texts[:first]])
        return cls(features[:first], found.captions[:first], found.texts[:first], sided)

    def seen(self, rows: np.ndarray, views: np.ndarray) -> Tensor:
        """(rows, positions, features) in float32: photograph `rows[i]` in view `views[i]`."""
        return torch.from_numpy(self.features[rows, views]).float()


def batches(split: Split, settings: Settings, epoch: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The steps of an epoch: which photographs, and each in which view. Photographs of about as many tokens
    go together.

    A photograph whose captions say left or right is never mirrored.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    length = np.array([sum(map(len, each)) for each in split.captions])
    order = rng.permutation(len(length))
    pool = settings.batch * 8
    sorted_ = [p[np.argsort(length[p], kind="stable")] for p in np.split(order, range(pool, len(order), pool))]
    steps = [p[i : i + settings.batch] for p in sorted_ for i in range(0, len(p), settings.batch)]
    found = []
    for k in rng.permutation(len(steps)):
        views = rng.integers(split.features.shape[1], size=len(steps[k]))
        found.append((steps[k], np.where(split.sided[steps[k]], views // 2 * 2, views)))
    return found


def rate(step: int, steps: int, warmup: int) -> float:
    """The share of the highest learning rate at a step: up in a line, down as a cosine to 1 %."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


class Training:
    """A run: its model, its optimizer, and where it stands.

    Args:
        model: what is trained.
        train: photographs to train on.
        settings: see there.
        device: "cpu" or "cuda"; on the latter the language model computes in bfloat16.
    """

    def __init__(self, model: Captioner, train: Split, settings: Settings, small: Small, device: str = "cpu") -> None:
        self.model, self.data, self.settings, self.small, self.device = model.to(device), train, settings, small, device
        if device != "cpu":
            for p in model.language.parameters():
                p.data = p.data if p.requires_grad else p.data.bfloat16()
        self.parameters = model.trained()
        groups = [
            {"params": [p for n, p in self.parameters.items() if n.startswith("connector.") == connector], "rate": high}
            for connector, high in ((True, settings.connector_rate), (False, settings.lora_rate))
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.98), weight_decay=settings.weight_decay)
        self.mean = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.step, self.best = 0, -math.inf
        self.plan: tuple[int, list[tuple[np.ndarray, np.ndarray]]] | None = None  # an epoch and its steps
        self.rank, self.processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.per_epoch = math.ceil(len(train.captions) / settings.batch)
        self.steps = self.per_epoch * settings.epochs
        if settings.most:
            self.steps = min(self.steps, settings.most)

    def packed(self, captions: list[list[list[int]]]) -> Packed:
        """The captions of some photographs as a batch on the device."""
        small, positions = self.small, self.data.features.shape[2]
        return pack(captions, positions=positions, start=small.start, prompt=small.prompt, end=small.end).to(
            self.device
        )

    def autocast(self) -> Any:
        """Where matrix products are of bfloat16, on an accelerator."""
        return torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.device != "cpu")

    def advance(self) -> float:
        """One step; returns its loss, or its mean CIDEr-D where captions are drawn."""
        number, index = divmod(self.step, self.per_epoch)
        if self.plan is None or self.plan[0] != number:
            self.plan = (number, batches(self.data, self.settings, number))
        rows, views = (each[self.rank :: self.processes] for each in self.plan[1][index])
        torch.manual_seed((self.settings.seed * 1_000_003 + self.step) * 64 + self.rank)
        features = self.data.seen(rows, views).to(self.device)
        with self.autocast():
            loss, shown = (self._reward if self.settings.samples else self._likelihood)(features, rows)
        loss.backward()
        self._share_gradients()
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * rate(self.step, self.steps, self.settings.warmup)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(self.settings.average, self.step / (self.step + 10))
        with torch.no_grad():
            means = list(self.mean.values())
            torch._foreach_lerp_(means, [p.detach() for p in self.parameters.values()], 1 - keep)
        return float(shown)

    def _likelihood(self, features: Tensor, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """The loss of people's captions, in nats a token, twice."""
        self.model.train()
        loss = self.model(features, self.packed([self.data.captions[i] for i in rows])).mean()
        return loss, loss.detach()

    def _reward(self, features: Tensor, rows: np.ndarray) -> tuple[Tensor, float]:
        """The loss whose gradient makes captions with a high CIDEr-D likelier, and the mean CIDEr-D."""
        self.model.eval()
        n = self.settings.samples
        said = self.model.say(features, samples=n)
        captions = [said[i : i + n] for i in range(0, len(said), n)]
        rng = np.random.default_rng([self.settings.seed, self.step, self.rank])
        others = rng.permutation(np.setdiff1d(np.arange(len(self.data.texts)), rows))[:OTHERS]
        scored = rewards(
            [[self.small.text(ids) for ids in each] for each in captions],
            [self.data.texts[i] for i in rows],
            [self.data.texts[i] for i in others],
        )
        advantage = torch.from_numpy((scored - scored.mean(1, keepdims=True)) * n / (n - 1)).float().to(self.device)
        packed = self.packed(captions)
        losses = self.model(features, packed)
        return (losses * advantage[packed.row, packed.caption]).sum() / len(said), scored.mean()

    def _share_gradients(self) -> None:
        """Averages the gradients over the processes."""
        if self.processes == 1:
            return
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        whole = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(whole)
        for gradient, shared in zip(gradients, whole.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(shared.view_as(gradient) / self.processes)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model with the mean of its weights over the steps."""
        now = {name: p.detach().clone() for name, p in self.parameters.items()}
        self._put(self.mean)
        try:
            yield
        finally:
            self._put(now)

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, p in self.parameters.items():
            p.copy_(weights[name])

    @torch.no_grad()
    def evaluate(self, split: Split) -> dict[str, float]:
        """The loss in nats a token, CIDEr-D and BLEU-4 on a split, with averaged weights."""
        self.model.eval()
        said: list[str] = []
        total, count, every = 0.0, 0, np.arange(len(split.captions))
        with self.averaged(), self.autocast():
            for rows in np.split(every, range(50, len(every), 50)):
                packed = self.packed([split.captions[i] for i in rows])
                total += self.model(self._whole(split, rows), packed).sum().item()
                count += len(packed.target)
            for rows in np.split(every, range(500, len(every), 500)):
                said += [self.small.text(ids) for ids in self.model.say(self._whole(split, rows))]
        return {"loss": total / count, **corpus(said, split.texts)}

    def _whole(self, split: Split, rows: np.ndarray) -> Tensor:
        """The features of the whole photographs."""
        return split.seen(rows, np.zeros_like(rows)).to(self.device)

    def save(self, path: Path) -> None:
        """All that is needed to go on."""
        with new_file(path) as made:
            torch.save(
                {
                    "trained": {n: p.detach() for n, p in self.parameters.items()},
                    "mean": self.mean,
                    "optimizer": self.optimizer.state_dict(),
                    "step": self.step,
                    "best": self.best,
                },
                made,
            )

    def resume(self, path: Path) -> None:
        """Goes on from a file that `save` wrote."""
        read = torch.load(path, map_location=self.device, weights_only=True)
        self._put(read["trained"])
        self.mean = read["mean"]
        self.optimizer.load_state_dict(read["optimizer"])
        self.step, self.best = read["step"], read["best"]

    def save_best(self, path: Path) -> None:
        """The averaged weights, and the statistics of the connector."""
        connector = self.model.connector
        statistics = {"connector.mean": connector.mean, "connector.std": connector.std}
        with new_file(path) as made:
            save_file({n: w.contiguous().cpu() for n, w in (self.mean | statistics).items()}, made)


def begin(model: Captioner, path: Path) -> None:
    """Gives a model the weights of a file that `save_best` wrote."""
    state = model.state_dict()
    stored = load_file(path)
    if missing := sorted(stored.keys() - state.keys()) + sorted(model.trained().keys() - stored.keys()):
        raise ValueError(f"{path} is not of a run with the same LoRA, see {missing[0]}.")
    model.load_state_dict(stored, strict=False)


def build(settings: Settings, folder: Path, train: Split, small: Small) -> Captioner:
    """The untrained model: its weights are drawn by the seed, its connector scaled to the language model.

    Args:
        settings: of the run.
        folder: of the language model with the small vocabulary.
        train: photographs whose features give mean and scale.
        small: the vocabulary.
    """
    torch.manual_seed(settings.seed)
    language = load_language(folder)
    rows = np.arange(0, len(train.captions), max(1, len(train.captions) // 500))
    features = train.seen(rows, np.zeros_like(rows))
    mean, std = features.mean((0, 1)), features.std((0, 1)).clamp_min(0.05)
    connector = Connector(mean, std, language.config.hidden_size, settings.feature_dropout)
    embedding = language.get_input_embeddings()
    with torch.no_grad():
        tokens = torch.tensor(sorted({t for each in train.captions for caption in each for t in caption}))
        rms = embedding(tokens).pow(2).mean().sqrt().item()
    connector.eval().scale_to(features, rms)
    return Captioner(
        language,
        connector,
        rank=settings.rank,
        alpha=settings.alpha * settings.rank,
        dropout=settings.lora_dropout,
        start=small.start,
        prompt=small.prompt,
        end=small.end,
    )


def run(
    training: Training, dev: Split, folder: Path, *, every: float = 600.0, say: Callable[[str], None] = print
) -> None:
    """Trains to the end, from where the run's folder says it stopped.

    Args:
        training: see there.
        dev: photographs to evaluate on.
        folder: of the run.
        every: seconds between checkpoints.
        say: what is done with a line of the log.
    """
    checkpoint, first = folder / "checkpoint.pt", training.rank == 0
    if checkpoint.exists():
        training.resume(checkpoint)
        say(json.dumps({"resumed": training.step}))
    began = saved = time.perf_counter()
    done, shown = training.step, []
    while training.step < training.steps:
        shown.append(training.advance())
        last = training.step == training.steps
        if training.step % 25 == 0:
            each = (time.perf_counter() - began) / (training.step - done)
            line = {"step": training.step, "of": training.steps, "mean": round(float(np.mean(shown[-25:])), 4)}
            say(json.dumps(line | {"seconds_a_step": round(each, 3)}))
        if first and (last or training.step % training.settings.evaluate == 0):
            found = training.evaluate(dev)
            say(json.dumps({"step": training.step, "dev": found, "seconds": round(time.perf_counter() - began, 1)}))
            if found["cider_d"] > training.best:
                training.best = found["cider_d"]
                training.save_best(folder / "best.safetensors")
            saved = -math.inf
        if first and time.perf_counter() - saved > every:
            training.save(checkpoint)
            saved = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=default_cache())
    parser.add_argument("--name", default="run", help="of the run")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of each process, on the CPU")
    for f in fields(Settings):
        parser.add_argument(f"--{f.name.replace('_', '-')}", type=type(f.default), default=f.default)
    arguments = vars(parser.parse_args())
    cache, device, folder = arguments["cache"], arguments["device"], arguments["cache"] / "runs" / arguments["name"]
    settings = Settings(**{f.name: arguments[f.name] for f in fields(Settings)})
    torch.set_num_threads(arguments["threads"])
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo", timeout=timedelta(hours=2))
    kept = folder / "settings.json"
    if kept.exists() and json.loads(kept.read_text()) != asdict(settings):
        raise SystemExit(f"{folder} was begun with other settings, see its settings.json. Give another --name.")
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(asdict(settings), indent=1))

    reduced = cache / "reduced"
    small = vocabulary(reduced)
    stored = {
        split: np.load(file_of(cache, split, views, settings.grid), mmap_mode="r")
        for split, views in (("train", settings.views), ("dev", 1))
    }
    train = Split.of(examples(reduced, "train"), stored["train"])
    dev = Split.of(examples(reduced, "dev"), stored["dev"], settings.dev)
    model = build(settings, reduced, train, small)
    if settings.begin:
        begin(model, cache / "runs" / settings.begin / "best.safetensors")
    training = Training(model, train, settings, small, device)

    def say(line: str) -> None:
        if training.rank == 0:
            print(line, flush=True)
            with (folder / "log.jsonl").open("a") as log:
                log.write(line + "\n")

    size = {
        part: sum(p.numel() for n, p in training.parameters.items() if n.startswith(part)) for part in ("conn", "lang")
    }
    say(json.dumps({"connector": size["conn"], "lora": size["lang"], "steps": training.steps}))
    run(training, dev, folder, say=say)


if __name__ == "__main__":
    main()
