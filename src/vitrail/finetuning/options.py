"""How a model is trained on examples."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from vitrail.errors import DataError, ModelError
from vitrail.options import Above, Count, CountOrNone, Options, Seed, Within

Method = Literal["lora", "full"]
#: Peak rates that fine-tuning uses unless it is told others.
RATES: dict[Method, float] = {"lora": 2e-3, "full": 1e-4}

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitrail.samples.examples import Example

Self = TypeVar("Self", bound="TrainingOptions")


@dataclass(frozen=True)
class TrainingOptions(Options):
    """How training goes. Its defaults are those of small functions and adapters.

    Args:
        steps: of the optimiser, at most.
        batch_size: examples in a batch.
        rate: AdamW's peak rate; it warms up over a twentieth of the steps and falls to zero linearly. None is the
            default rate of what is trained.
        checkpoints: how many are written along the way, evenly.
        measure_every: steps between two measurements of the loss on held-out examples.
        patience: measurements without a new best after which training stops.
        seed: of the first weights and of the order of the examples.
    """

    steps: Count = 100
    batch_size: Count = 16
    rate: Annotated[float, Above(0), Within(1000)] | None = None
    checkpoints: CountOrNone = 0
    measure_every: Count = 20
    patience: Count = 3
    seed: Seed = 0

    def with_rate(self: Self, rate: float) -> Self:
        """The same options with the peak rate `rate`, where they have none."""
        return self if self.rate else replace(self, rate=rate)

    def rate_at(self, step: int) -> float:
        """The rate of step 0, 1, …: up over the first twentieth of the steps, then down to zero."""
        assert self.rate is not None
        warm = max(1, self.steps // 20)
        return self.rate * min((step + 1) / warm, (self.steps - step) / max(self.steps - warm, 1), 1.0)

    def checkpoint_steps(self) -> list[int]:
        """The steps after which a checkpoint is written; the last one is `steps`."""
        n = min(self.checkpoints, self.steps)
        return sorted({round(self.steps * (i + 1) / n) for i in range(n)}) if n else []


@dataclass(frozen=True)
class FineTuneOptions(TrainingOptions):
    """How a model is fine-tuned, beside what `TrainingOptions` has; kept in the manifest.

    Args:
        method: "lora" trains an adapter (Hu et al. 2021), "full" the decoder's linear layers themselves.
        rank: of the adapter's matrices.
        scale: LoRA's α over its rank.
        dtype: of the adapter's weights on disk.
    """

    steps: Count = 150
    batch_size: Count = 32
    checkpoints: CountOrNone = 5
    measure_every: Count = 25
    method: Method = "lora"
    rank: Count = 4
    scale: Annotated[float, Above(0)] = 2.0
    dtype: Literal["float32", "float16"] = "float16"

    def as_parameters(self, own_dtype: str) -> dict[str, Any]:
        """Values for a manifest. What belongs to adapters is null in full training, which keeps the model's dtype."""
        values = asdict(self)
        if self.method != "lora":
            values |= {"rank": None, "scale": None, "dtype": own_dtype}
        return {key: values[key] for key in ("method", "rank", "scale", "dtype")} | values


def check_training(examples: Sequence[Example], options: FineTuneOptions) -> None:
    """Raises unless a model can be trained on these examples; no model is needed.

    Raises:
        DataError: the examples are of fewer than two samples.
        ModelError: an adapter is asked for, and PEFT is not installed.
    """
    if len(ids := {e.sample.id for e in examples}) < 2:
        raise DataError(f"Training needs examples of two samples or more, to hold some out; got {len(ids)}.")
    if options.method == "lora" and find_spec("peft") is None:
        raise ModelError("LoRA needs PEFT: pip install 'vitrail[peft]'.")
