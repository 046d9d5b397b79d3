"""The trainer of transformers: a function that it calls along the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback


class AfterSteps(TrainerCallback):
    """Calls `after` with the number of each step when it has ended, and `end` when training has; in the first process
    alone."""

    def __init__(self, after: Callable[[int], object], end: Callable[[], object]) -> None:
        self.after, self.end = after, end

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step of the optimiser has ended."""
        if state.is_world_process_zero:
            self.after(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Training has ended."""
        if state.is_world_process_zero:
            self.end()
