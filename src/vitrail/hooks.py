"""Reading the residual stream while a model runs. Nothing else in Vitrail registers a hook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vitrail.errors import ModelError

Select = Callable[[Tensor], Tensor]


class _Enough(Exception):
    """Ends a forward pass once everything wanted has been seen."""


def residual(output: object, where: str) -> Tensor:
    """The (batch, positions, features) tensor in what a block returns: the tensor itself, or the first of a tuple.

    Raises:
        ModelError: there is no such tensor; taking `[0]` of a tensor would silently keep the first sample alone.
    """
    tensor = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(tensor, Tensor) or tensor.ndim != 3:
        came = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ModelError(f"Expected (batch, positions, features) from {where}; it returned {came}.")
    return tensor


class Captured(dict[str, Tensor]):
    """Name → states that `capture` kept, filled while the model runs."""


@contextmanager
def capture(
    modules: Mapping[str, nn.Module], select: Select, *, inputs: frozenset[str] = frozenset()
) -> Iterator[Captured]:
    """Captures what `modules` put out, `select`ed at once, during exactly one forward pass inside the `with` block.

    Args:
        modules: name → module whose output (batch, positions, features) is wanted.
        select: what to keep of it; called inside the hook, so that nothing else stays in memory.
        inputs: names of those whose *input* is wanted instead.

    The forward pass ends (silently) after the last module needed. Only our own handles are removed.

    Raises:
        ModelError: a module was not called exactly once. That happens under compilation, or when a module was
            mistaken for another; states would be missing or stale.
    """
    captured = Captured()
    calls = dict.fromkeys(modules, 0)

    def keep(name: str, output: object) -> None:
        calls[name] += 1
        captured[name] = select(residual(output, name)).detach().clone()
        if all(calls.values()):
            raise _Enough

    handles = []
    for name, module in modules.items():
        if name in inputs:

            def before(_module: nn.Module, args: tuple, kwargs: dict, name: str = name) -> None:
                keep(name, args[0] if args else kwargs.get("hidden_states"))

            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        else:

            def after(_module: nn.Module, _args: object, output: object, name: str = name) -> None:
                keep(name, output)

            handles.append(module.register_forward_hook(after))
    try:
        yield captured
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    wrong = {name: n for name, n in calls.items() if n != 1}
    if wrong:
        raise ModelError(f"Expected every captured module to run once; it ran otherwise: {wrong}.")


def at(rows: Tensor, positions: Tensor) -> Select:
    """Selects one position per row: (batch, positions, features) → (rows, features)."""

    def select(states: Tensor) -> Tensor:
        return states[rows.to(states.device), positions.to(states.device)]

    return torch.no_grad()(select)
