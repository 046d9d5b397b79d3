"""Reading and changing the residual stream while a model runs. Nothing else in Vitrail registers a hook."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vitrail.errors import ModelError

Select = Callable[[Tensor], Tensor]
#: (name of the module, its states (batch, positions, features)) → the states to put in their place.
Change = Callable[[str, Tensor], Tensor]


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


#: Takes a module's states; gives those to put in their place, or None to leave them.
See = Callable[[Tensor], "Tensor | None"]
#: (what a module puts out, its name) → the states in it.
StatesOf = Callable[[object, str], Tensor]


def _hook(module: nn.Module, name: str, see: See, of_input: bool, states_of: StatesOf = residual) -> RemovableHandle:
    """Shows `see` what `module` puts out in every call, or what goes into it, and puts what it gives in its place."""

    def before(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        new = see(states_of(args[0] if args else kwargs.get("hidden_states"), name))
        if new is None:
            return None
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": new})

    def after(_module: nn.Module, _args: object, output: object) -> object:
        new = see(states_of(output, name))
        return (new, *output[1:]) if new is not None and isinstance(output, tuple) else new

    if of_input:
        return module.register_forward_pre_hook(before, with_kwargs=True)
    return module.register_forward_hook(after)


@contextmanager
def _removed(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Removes our own handles at the end of the block, however it ends."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Captured(dict[str, Tensor]):
    """Name → states that `capture` kept, filled while the model runs."""


@contextmanager
def capture(
    modules: Mapping[str, nn.Module],
    select: Select,
    *,
    inputs: frozenset[str] = frozenset(),
    states_of: StatesOf = residual,
    graph: bool = False,
) -> Iterator[Captured]:
    """Captures what `modules` put out, `select`ed at once, during exactly one forward pass inside the `with` block.

    The forward pass ends (silently) after the last module needed. Only our own handles are removed.

    Args:
        modules: name → module whose output (batch, positions, features) is wanted.
        select: what to keep of it; called inside the hook, so that nothing else stays in memory.
        inputs: names of those whose *input* is wanted instead.
        states_of: finds the states in what a module puts out.
        graph: whether what is kept stays in the graph of autograd, so that it can be differentiated.

    Raises:
        ModelError: a module was not called exactly once. That happens under compilation, or when a module was
            mistaken for another; states would be missing or stale.
    """
    captured = Captured()
    calls = dict.fromkeys(modules, 0)

    def keep(name: str, states: Tensor) -> None:
        calls[name] += 1
        kept = select(states)
        captured[name] = (kept if graph else kept.detach()).clone()
        if all(calls.values()):
            raise _Enough

    handles = [_hook(module, name, partial(keep, name), name in inputs, states_of) for name, module in modules.items()]
    with _removed(handles), suppress(_Enough):
        yield captured
    wrong = {name: n for name, n in calls.items() if n != 1}
    if wrong:
        raise ModelError(f"Expected every captured module to run once; it ran otherwise: {wrong}.")


@contextmanager
def watch(
    modules: Mapping[str, nn.Module],
    see: Callable[[str, Tensor], None],
    *,
    inputs: frozenset[str] = frozenset(),
    states_of: StatesOf = residual,
) -> Iterator[None]:
    """Shows `see(name, states)` what `modules` put out, in every forward pass inside the `with` block; nothing changes.

    Args:
        modules: name → module whose output (batch, positions, features) is shown.
        see: must keep a copy of what it wants: a model may write into its states later.
        inputs: names of those whose *input* is shown instead.
        states_of: finds the states in what a module puts out.
    """
    handles = [_hook(module, name, partial(see, name), name in inputs, states_of) for name, module in modules.items()]
    with _removed(handles):
        yield


@contextmanager
def passes(entrances: Iterable[nn.Module], begin: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Calls `begin` with the arguments, by name, of every forward pass through `entrances` inside the `with` block."""
    handles = [e.register_forward_pre_hook(partial(_tell, begin), with_kwargs=True) for e in entrances]
    with _removed(handles):
        yield


def _tell(begin: Callable[[dict[str, Any]], None], module: nn.Module, args: tuple, kwargs: dict) -> None:
    by_place = inspect.signature(module.forward).parameters if args else ()  # asking takes time at every token
    begin({**dict(zip(by_place, args, strict=False)), **kwargs})


@contextmanager
def around(owner: Any, method: str, begin: Callable[[], None], end: Callable[[Any], None]) -> Iterator[None]:
    """Calls `begin()` before every `owner.method(…)` inside the `with` block, and `end(result)` after it; a call that
    raises ends with None. The method stands on the object, not on its class; the block takes it off again."""
    inner, own = getattr(owner, method), vars(owner).get(method)

    @functools.wraps(inner)
    def _outer(*args: Any, **kwargs: Any) -> Any:
        begin()
        result = None
        try:
            result = inner(*args, **kwargs)
        finally:
            end(result)
        return result

    setattr(owner, method, _outer)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, method)
        else:
            setattr(owner, method, own)


def at(rows: Tensor, positions: Tensor) -> Select:
    """Selects one position per row: (batch, positions, features) → (rows, features)."""

    def select(states: Tensor) -> Tensor:
        return states[rows.to(states.device), positions.to(states.device)]

    return torch.no_grad()(select)


class Tally:
    """How many positions some masks marked. It is counted only when asked for: counting at every token takes time, and
    waits for the device."""

    KEPT = 512

    def __init__(self) -> None:
        self._counted, self._masks = 0, list[Tensor]()

    def add(self, mask: Tensor) -> None:
        self._masks.append(mask)
        if len(self._masks) > self.KEPT:
            self._counted = int(self)
            self._masks.clear()

    def __int__(self) -> int:
        return self._counted + sum(int(mask.sum()) for mask in self._masks)


class Edits:
    """What `edit` did so far: how often each module ran, and at how many positions its states were changed."""

    def __init__(self, names: Iterable[str]) -> None:
        self.calls = dict.fromkeys(names, 0)
        self._changed = {name: Tally() for name in self.calls}

    @property
    def changed(self) -> dict[str, int]:
        """Name → number of positions (over rows and calls) whose states differ from what the module put out."""
        return {name: int(tally) for name, tally in self._changed.items()}

    def _count(self, name: str, old: Tensor, new: Tensor) -> None:
        self.calls[name] += 1
        if new is not old:
            self._changed[name].add((new.detach() != old.detach()).any(dim=-1))


@contextmanager
def edit(
    modules: Mapping[str, nn.Module],
    change: Change,
    *,
    inputs: frozenset[str] = frozenset(),
    entrances: Sequence[nn.Module] = (),
    begin: Callable[[dict[str, Any]], None] | None = None,
    states_of: StatesOf = residual,
) -> Iterator[Edits]:
    """Puts `change(name, states)` in place of what `modules` put out, in every forward pass inside the `with` block.

    However the block ends, the model is as before afterwards; only our own handles are removed.

    Args:
        modules: name → module whose output (batch, positions, features) is changed. Under generation with a cache
            the first pass has the prompt's positions and each later one has a single position.
        change: gives the new states, of the same shape, dtype and device, in a new tensor; gradients flow through it.
            The same tensor object back means: nothing changed.
        inputs: names of those whose *input* is changed instead.
        entrances: the modules through which a forward pass of the whole model may begin, of which each pass takes at
            least one (adapters have an entrance of their own); each pass that ends must have run every module once.
        begin: called with a pass's arguments, by name, when it begins.
        states_of: finds the states in what a module puts out.

    Raises:
        ModelError: `change` gave another shape, dtype or device; or a pass ran a module otherwise than once, as happens
            under compilation, or when a module was mistaken for another.
    """
    edits = Edits(modules)

    def changed(name: str, states: Tensor) -> Tensor:
        new = change(name, states)
        came, wanted = ((tuple(t.shape), t.dtype, t.device) for t in (new, states))
        if came != wanted:
            raise ModelError(f"Expected a change of {name} to keep shape, dtype and device {wanted}; it gave {came}.")
        edits._count(name, states, new)
        return new

    handles = [handle for entrance in entrances for handle in _guard(entrance, edits, begin)]
    handles += [
        _hook(module, name, partial(changed, name), name in inputs, states_of) for name, module in modules.items()
    ]
    with _removed(handles):
        yield edits


def _guard(
    entrance: nn.Module, edits: Edits, begin: Callable[[dict[str, Any]], None] | None
) -> tuple[RemovableHandle, RemovableHandle]:
    """Tells `begin` of every pass through `entrance`, and refuses a pass that ran an edited module otherwise than
    once."""
    before_pass: dict[str, int] = {}

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        before_pass.update(edits.calls)
        if begin is not None:
            _tell(begin, module, args, kwargs)

    def leave(_module: nn.Module, _args: object, _output: object) -> None:
        ran = {name: n - before_pass[name] for name, n in edits.calls.items()}
        wrong = {name: n for name, n in ran.items() if n != 1}
        if wrong:
            raise ModelError(
                f"Expected every edited module to run once in a forward pass; these ran otherwise: {wrong}."
            )

    return entrance.register_forward_pre_hook(enter, with_kwargs=True), entrance.register_forward_hook(leave)
