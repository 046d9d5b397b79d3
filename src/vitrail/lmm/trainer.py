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
        self.on_step_end = self._stepped  # type: ignore[method-assign,assignment]
        self.on_train_end = self._ended  # type: ignore[method-assign,assignment]

    def _stepped(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.after(state.global_step)

    def _ended(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.end()
