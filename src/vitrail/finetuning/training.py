"""The loop of a fine-tune: batches in an order that the seed decides, loss on the answers' tokens, checkpoints, and
an early stop.

It is our own, because transformers' `Trainer` pickles its arguments and its optimiser's state, and we never pickle.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vitrail.artifacts import write_json, write_whole
from vitrail.errors import ArtifactError, NumericsError
from vitrail.lmm import LMM
from vitrail.lmm.positions import forced, prompt_width
from vitrail.progress import Progress
from vitrail.samples.examples import Example

log = logging.getLogger(__name__)

STATE, CURVE = "state.safetensors", "loss.json"
#: Examples that the loss is measured on, at most.
MAX_HELD_OUT = 128


@dataclass(frozen=True)
class Plan:
    """How a fine-tune goes.

    Args:
        steps: of the optimiser, at most.
        rate: AdamW's peak rate; it warms up over a twentieth of the steps and falls to zero linearly.
        checkpoints: how many are written along the way, evenly.
        measure_every: steps between two measurements of the loss on held-out examples.
        patience: measurements without a new best after which training stops.
        seed: of the adapter's first weights and of the order of the examples.
    """

    steps: int
    batch_size: int
    rate: float
    checkpoints: int
    measure_every: int
    patience: int
    seed: int

    def rate_at(self, step: int) -> float:
        """The rate of step 0, 1, …: up over the first twentieth, then down to zero."""
        warm = max(1, self.steps // 20)
        return self.rate * min((step + 1) / warm, (self.steps - step) / max(self.steps - warm, 1), 1.0)

    def checkpoint_steps(self) -> list[int]:
        """The steps after which a checkpoint is written; the last one is `steps`."""
        n = min(self.checkpoints, self.steps)
        return sorted({round(self.steps * (i + 1) / n) for i in range(n)}) if n else []


@dataclass
class Curve:
    """The loss along the way: of every step's batch, and of the held-out examples (step 0 is before training)."""

    training: list[float]
    held_out: list[tuple[int, float]]
    stopped: bool = False

    @property
    def best(self) -> int:
        """The step with the smallest held-out loss."""
        return min(self.held_out, key=lambda point: point[1])[0]


class Training:
    """A fine-tune on its way: `run` it to the end; it goes on from `folder` where it was stopped.

    `parameters` (name → tensor) are what is trained, in place; `save(step)` writes a checkpoint of them.
    """

    def __init__(
        self,
        lmm: LMM,
        parameters: dict[str, nn.Parameter],
        examples: Sequence[Example],
        held_out: Sequence[Example],
        plan: Plan,
        folder: Path,
        save: Callable[[int], None],
    ) -> None:
        self.lmm, self.parameters, self.plan, self.folder, self.save = lmm, parameters, plan, folder, save
        self.examples, self.held_out = examples, held_out[:MAX_HELD_OUT]
        self.optimizer = torch.optim.AdamW(parameters.values(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.best = self._copy()
        self.curve = Curve([], [])
        self._resume()

    def run(self, progress: Progress) -> Curve:
        """Trains to the last step or the early stop, and leaves the best weights in place."""
        plan, curve = self.plan, self.curve
        if not curve.held_out:
            self._measure(0)
        checkpoints = set(plan.checkpoint_steps())
        self.lmm.model.train()
        while len(curve.training) < plan.steps and not curve.stopped:
            step = len(curve.training)
            curve.training.append(self._step(step))
            step += 1
            progress("finetune", step, plan.steps)
            if step % plan.measure_every == 0 or step == plan.steps:
                self._measure(step)
            if step in checkpoints:
                self.save(step)
                self._keep()
        self._restore(self.best)
        self.lmm.model.eval()
        return curve

    def _step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate_at(step)
        self.optimizer.zero_grad(set_to_none=True)
        loss, n_tokens = self._loss(self._batch(step))
        if not torch.isfinite(loss):
            raise NumericsError(f"The loss of step {step} is {float(loss)}: use a smaller rate, or a wider dtype.")
        (loss / n_tokens).backward()
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        return float(loss.detach()) / n_tokens

    def _batch(self, step: int) -> list[Example]:
        """Examples of step 0, 1, …: each epoch goes through all of them in an order of its own."""
        size, n = self.plan.batch_size, len(self.examples)
        places = range(step * size, (step + 1) * size)
        orders = {
            epoch: np.random.default_rng([self.plan.seed, epoch]).permutation(n) for epoch in {p // n for p in places}
        }
        return [self.examples[int(orders[p // n][p % n])] for p in places]

    def _loss(self, batch: Sequence[Example]) -> tuple[Tensor, int]:
        """Summed cross-entropy of the answers' tokens, and how many there are."""
        lmm = self.lmm
        inputs, labels = lmm.taught(
            [e.sample.open() for e in batch],
            [lmm.request(e.sample) for e in batch],
            [e.answer for e in batch],
        )
        # steering may be for the answers alone
        with forced(prompt_width(labels)), torch.autocast(lmm.device.type, dtype=torch.bfloat16):
            logits = lmm.run(inputs).logits
        logits = logits[:, -labels.shape[1] : -1]  # from the end: a model may put its image before the text
        wanted = labels[:, 1:] != -100
        target = labels[:, 1:][wanted]
        return nn.functional.cross_entropy(logits[wanted].float(), target, reduction="sum"), len(target)

    @torch.no_grad()
    def _measure(self, step: int) -> None:
        """Adds a point to the curve; keeps the weights if they are the best; decides whether to stop."""
        self.lmm.model.eval()
        size = self.plan.batch_size
        batches = [self.held_out[i : i + size] for i in range(0, len(self.held_out), size)]
        sums = [(float(loss), n) for loss, n in map(self._loss, batches)]
        self.lmm.model.train()
        self.curve.held_out.append((step, sum(s for s, _ in sums) / sum(n for _, n in sums)))
        if self.curve.best == step:
            self.best = self._copy()
        since = sum(s > self.curve.best for s, _ in self.curve.held_out)
        self.curve.stopped = since >= self.plan.patience
        log.debug("step %d: held-out loss %.4f", *self.curve.held_out[-1])

    def _copy(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def _restore(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(weights[name])

    # ---- stopping and going on ---------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Writes all that is needed to go on from here."""
        tensors = {f"now.{k}": v for k, v in self._copy().items()} | {f"best.{k}": v for k, v in self.best.items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"moments.{i}.{k}": v.clone() for k, v in moments.items()}
        metadata = {"curve": json.dumps(asdict(self.curve))}
        write_whole(self.folder / STATE, lambda path: save_file(tensors, path, metadata))

    def _resume(self) -> None:
        path = self.folder / STATE
        if not path.exists():
            return
        from safetensors import SafetensorError, safe_open

        try:
            tensors = load_file(path, device=str(self.lmm.device))
            with safe_open(path, framework="pt") as file:
                curve: dict[str, Any] = json.loads(file.metadata()["curve"])
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
        self.curve = Curve(curve["training"], [(s, v) for s, v in curve["held_out"]], curve["stopped"])

    def finish(self) -> dict[str, Any]:
        """Removes what was kept to go on from, and writes the loss curve; gives it back."""
        loss = {**asdict(self.curve), "best": self.curve.best}
        write_json(self.folder / CURVE, loss)
        (self.folder / STATE).unlink(missing_ok=True)
        return loss
