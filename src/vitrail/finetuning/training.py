"""The training loop: batches in an order that the seed decides, the loss of the answers' tokens, checkpoints, and an
early stop.

Vitrail has its own loop, because transformers' `Trainer` pickles its arguments and its optimiser's state.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vitrail.artifacts import write_json, write_whole
from vitrail.errors import ArtifactError, DataError, NumericsError
from vitrail.finetuning.forcing import count_tokens, teacher_forced
from vitrail.finetuning.options import TrainingOptions
from vitrail.lmm import LMM
from vitrail.progress import Progress
from vitrail.samples.bounds import batches
from vitrail.samples.examples import Example
from vitrail.scores.verdicts import Verdict, loss_fell

log = logging.getLogger(__name__)

STATE, CURVE = "state.safetensors", "loss.json"
#: The loss is measured on at most this many held-out examples.
MAX_HELD_OUT = 128
#: The share of samples, in percent, whose examples are held out to measure the loss.
HELD_OUT_PERCENT = 10


@dataclass(frozen=True)
class LossCurve:
    """The loss along the way, per token in nats.

    Args:
        training: of the batch of every step.
        held_out: (step, loss) of the held-out examples; step 0 is before training.
        stopped: whether training stopped early.
    """

    training: list[float]
    held_out: list[tuple[int, float]]
    stopped: bool = False

    @property
    def best(self) -> int:
        """The step with the smallest held-out loss."""
        return min(self.held_out, key=lambda measured: measured[1])[0]

    @property
    def first(self) -> float:
        """The held-out loss before training."""
        return self.held_out[0][1]

    @property
    def lowest(self) -> float:
        """The smallest held-out loss."""
        return min(loss for _, loss in self.held_out)

    @property
    def verdict(self) -> Verdict:
        """Whether the held-out loss fell."""
        return loss_fell(self.first, self.lowest)


def split_examples(examples: Sequence[Example], seed: int) -> tuple[list[Example], list[Example]]:
    """The examples to learn from, and the held-out ones: those of a tenth of the samples (at least one), by `seed`.

    Raises:
        DataError: the examples are of fewer than two samples.
    """
    ids = sorted({e.sample.id for e in examples})
    if len(ids) < 2:
        raise DataError(f"Training needs examples of two samples or more, to hold some out; got {len(ids)}.")
    n = max(1, len(ids) * HELD_OUT_PERCENT // 100)
    aside = set(np.random.default_rng([seed, 2]).permutation(ids)[:n].tolist())
    learned_from = [e for e in examples if e.sample.id not in aside]
    rest = [e for e in examples if e.sample.id in aside]
    return learned_from, [rest[i] for i in np.random.default_rng([seed, 3]).permutation(len(rest))]


def _digest(tensors: Mapping[str, Tensor], curve: str) -> str:
    """sha256 of a state that training goes on from."""
    found = hashlib.sha256(curve.encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _decodable(examples: Sequence[Example], most: int) -> Iterator[Sequence[Example]]:
    """Examples in parts of at most `most`, whose images are decoded together; see `samples.bounds.batches`."""
    for part in batches([e.sample.pixels() for e in examples], most):
        yield examples[part.start : part.stop]


def nothing(step: int) -> None:
    """Does nothing after a step."""


class Training:
    """Training under way: `run` takes it to its end. It goes on from `folder` if it was stopped there.

    Args:
        lmm: the model whose loss is minimised.
        parameters: name → what is trained, in place.
        examples: images with the answers to learn.
        options: how training goes; they have a rate.
        folder: where the state is kept between checkpoints, and where the loss curve is written.
        save: writes a checkpoint of the parameters after a step.
        after: is told of each step when it has ended.

    Raises:
        DataError: too few examples to hold some out.
        ArtifactError: the kept state is damaged.
    """

    def __init__(
        self,
        lmm: LMM,
        parameters: dict[str, nn.Parameter],
        examples: Sequence[Example],
        options: TrainingOptions,
        folder: Path,
        save: Callable[[int], None] = nothing,
        after: Callable[[int], object] = nothing,
    ) -> None:
        assert options.rate is not None
        self.lmm, self.parameters, self.options, self.folder = lmm, parameters, options, folder
        self.save, self.after = save, after
        self.examples, held_out = split_examples(examples, options.seed)
        self.held_out = held_out[:MAX_HELD_OUT]
        self.optimizer = torch.optim.AdamW(parameters.values(), lr=options.rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.best = self._copy()
        self.curve = LossCurve([], [])
        self._resume()

    def run(self, progress: Progress) -> None:
        """Trains to the last step or the early stop, and leaves the best weights in place.

        Raises:
            NumericsError: the loss is not finite.
        """
        options = self.options
        if not self.curve.held_out:
            self._measure(0)
        checkpoints = set(options.checkpoint_steps())
        self.lmm.model.train()
        while len(self.curve.training) < options.steps and not self.curve.stopped:
            step = len(self.curve.training)
            self.curve.training.append(self._step(step))
            step += 1
            progress("finetune", step, options.steps)
            self.after(step)
            if step % options.measure_every == 0 or step == options.steps:
                self._measure(step)
            if step in checkpoints:
                self.save(step)
                self._keep()
        self._restore(self.best)
        self.lmm.model.eval()

    def _step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate_at(step)
        self.optimizer.zero_grad(set_to_none=True)
        batch = self._batch(step)
        n_tokens, total = count_tokens(self.lmm, batch), 0.0
        for part in _decodable(batch, len(batch)):  # gradients add up
            loss, _ = self._loss(part)
            if not torch.isfinite(loss):
                raise NumericsError(f"The loss of step {step} is {float(loss)}: use a smaller rate, or a wider dtype.")
            (loss / n_tokens).backward()
            total += float(loss.detach())
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        return total / n_tokens

    def _batch(self, step: int) -> list[Example]:
        """Examples of step 0, 1, …: each epoch goes through all of them in an order of its own."""
        size, n = self.options.batch_size, len(self.examples)
        places = range(step * size, (step + 1) * size)
        orders = {
            epoch: np.random.default_rng([self.options.seed, epoch]).permutation(n)
            for epoch in {p // n for p in places}
        }
        return [self.examples[int(orders[p // n][p % n])] for p in places]

    def _loss(self, batch: Sequence[Example]) -> tuple[Tensor, int]:
        """The summed cross-entropy of the answers' tokens, and their number."""
        with torch.autocast(self.lmm.device.type, dtype=torch.bfloat16):
            found = teacher_forced(self.lmm, batch).predictions(self.lmm)
        return nn.functional.cross_entropy(found.logits, found.targets, reduction="sum"), len(found.targets)

    @torch.no_grad()
    def _measure(self, step: int) -> None:
        """Adds a measurement to the curve; keeps the weights if they are the best; decides whether to stop."""
        self.lmm.model.eval()
        parts = _decodable(self.held_out, self.options.batch_size)
        sums = [(float(loss), n) for loss, n in map(self._loss, parts)]
        self.lmm.model.train()
        self.curve.held_out.append((step, sum(s for s, _ in sums) / sum(n for _, n in sums)))
        if self.curve.best == step:
            self.best = self._copy()
        since = sum(s > self.curve.best for s, _ in self.curve.held_out)
        self.curve = replace(self.curve, stopped=since >= self.options.patience)
        log.debug("step %d: held-out loss %.4f", *self.curve.held_out[-1])

    def _copy(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def _restore(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])

    # ---- stopping and going on ---------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Writes the state from which training can go on."""
        tensors = {f"now.{k}": v for k, v in self._copy().items()} | {f"best.{k}": v for k, v in self.best.items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"moments.{i}.{k}": v.clone() for k, v in moments.items()}
        curve = json.dumps(asdict(self.curve))
        metadata = {"curve": curve, "sha256": _digest(tensors, curve)}
        write_whole(self.folder / STATE, lambda path: save_file(tensors, path, metadata))

    def _resume(self) -> None:
        path = self.folder / STATE
        if not path.exists():
            return
        from safetensors import SafetensorError, safe_open

        try:
            tensors = load_file(path, device=str(self.lmm.device))
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
            if metadata["sha256"] != _digest(tensors, metadata["curve"]):
                raise ValueError("its contents are not what was written")
            curve = json.loads(metadata["curve"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged ({error}). Remove {self.folder} and fine-tune again.") from error
        self._restore({k: tensors[f"now.{k}"] for k in self.parameters})
        self.best = {k: tensors[f"best.{k}"] for k in self.parameters}
        state = self.optimizer.state_dict()
        for key, tensor in tensors.items():
            if key.startswith("moments."):
                _, index, name = key.split(".", 2)
                state["state"].setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict(state)
        self.curve = LossCurve(curve["training"], [(s, v) for s, v in curve["held_out"]], curve["stopped"])

    def finish(self) -> LossCurve:
        """Writes the loss curve and removes the kept state; gives the curve back."""
        write_json(self.folder / CURVE, {**asdict(self.curve), "best": self.curve.best})
        (self.folder / STATE).unlink(missing_ok=True)
        return self.curve
