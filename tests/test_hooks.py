"""Capturing reads what modules put out, once, and leaves the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.hooks import at, capture, residual


class Block(nn.Module):
    """Adds one to (batch, positions, features) and counts its calls; `wrap` makes of the sum what it returns."""

    def __init__(self, wrap=lambda states: states):
        super().__init__()
        self.wrap, self.calls = wrap, 0

    def forward(self, hidden_states: Tensor) -> object:
        self.calls += 1
        return self.wrap(hidden_states + 1)


def run(blocks, states, *, by_name=False):
    for block in blocks:
        states = block(hidden_states=states) if by_name else block(states)
        states = states[0] if isinstance(states, tuple) else states
    return states


def everything(states: Tensor) -> Tensor:
    return states


def hooks_of(*modules):
    return [hook for m in modules for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]


Z = torch.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: (s,), lambda s: (s, "cache", None)])
def test_a_tensor_and_the_first_of_a_tuple_are_captured_alike(wrap):
    blocks = [Block(wrap), Block(wrap)]
    with capture({"1": blocks[0], "2": blocks[1]}, everything) as captured:
        run(blocks, Z)
    torch.testing.assert_close(dict(captured), {"1": Z + 1, "2": Z + 2})


@pytest.mark.parametrize("by_name", [False, True])
def test_what_goes_into_a_module_can_be_captured_however_it_is_passed(by_name):
    blocks = [Block(), Block()]
    with capture({"0": blocks[0], "1": blocks[0]}, everything, inputs=frozenset({"0"})) as captured:
        run(blocks, Z, by_name=by_name)
    torch.testing.assert_close(dict(captured), {"0": Z, "1": Z + 1})


@pytest.mark.parametrize(
    ("output", "came"),
    [
        (Z[0], r"\(3, 4\)"),
        (Z[None], r"\(1, 2, 3, 4\)"),
        ((), "tuple"),
        (("cache", Z), "str"),
        ([Z], "list"),
        (None, "NoneType"),
    ],
)
def test_anything_but_batch_positions_features_is_refused(output, came):
    with pytest.raises(ModelError, match=rf"\(batch, positions, features\) from block 7; it returned {came}"):
        residual(output, "block 7")
    block = Block(lambda states: output)
    with pytest.raises(ModelError, match="from 7; it returned"), capture({"7": block}, everything):
        block(Z)
    assert not hooks_of(block)


def test_the_first_of_a_batch_is_never_taken_for_the_whole():
    assert residual(Z, "here").shape == (2, 3, 4)


def test_only_own_handles_are_removed():
    blocks, seen = [Block(), Block()], []
    others = blocks[0].register_forward_hook(lambda *_: seen.append("after"))
    before = blocks[0].register_forward_pre_hook(lambda *_: seen.append("before"))
    with capture({"0": blocks[0], "2": blocks[1]}, everything, inputs=frozenset({"0"})):
        assert len(hooks_of(*blocks)) == 4
        run(blocks, Z)
    assert others.id in blocks[0]._forward_hooks
    assert before.id in blocks[0]._forward_pre_hooks
    assert len(hooks_of(*blocks)) == 2
    run(blocks, Z)
    assert seen == ["before", "after"] * 2


def test_own_handles_are_removed_when_the_model_fails():
    def fail(_states):
        raise ZeroDivisionError

    blocks = [Block(fail), Block()]
    with pytest.raises(ZeroDivisionError), capture({"2": blocks[1]}, everything):
        run(blocks, Z)
    assert not hooks_of(*blocks)


def test_own_handles_are_removed_when_the_selection_fails():
    block = Block()
    with pytest.raises(IndexError), capture({"1": block}, at(torch.tensor([0]), torch.tensor([99]))):
        block(Z)
    assert not hooks_of(block)


def test_a_module_that_is_not_called_is_an_error():
    blocks = [Block(), Block()]
    with (
        pytest.raises(ModelError, match=r"run once; it ran otherwise: \{'2': 0\}"),
        capture({"1": blocks[0], "2": blocks[1]}, everything),
    ):
        run(blocks[:1], Z)


def test_a_module_that_is_called_twice_is_an_error():
    blocks = [Block(), Block()]
    with (
        pytest.raises(ModelError, match=r"run once; it ran otherwise: \{'1': 2\}"),
        capture({"1": blocks[0], "2": blocks[1]}, everything),
    ):
        run([blocks[0], blocks[0], blocks[1]], Z)


def test_the_forward_pass_ends_after_the_last_module_wanted():
    blocks = [Block() for _ in range(4)]
    ended = True
    with capture({"2": blocks[1], "1": blocks[0]}, everything):
        run(blocks, Z)
        ended = False
    assert ended
    assert [block.calls for block in blocks] == [1, 1, 0, 0]


def test_the_module_whose_input_is_wanted_last_is_not_run():
    blocks = [Block(), Block()]
    with capture({"in": blocks[1]}, everything, inputs=frozenset({"in"})) as captured:
        run(blocks, Z)
    assert [block.calls for block in blocks] == [1, 0]
    torch.testing.assert_close(captured["in"], Z + 1)


def test_selection_happens_inside_the_hook_and_keeps_nothing_else():
    selected_after, blocks = [], [Block(), Block()]

    def select(states: Tensor) -> Tensor:
        selected_after.append([block.calls for block in blocks])
        return states[:, :1]

    with capture({"1": blocks[0], "2": blocks[1]}, select) as captured:
        run(blocks, Z)
    assert selected_after == [[1, 0], [1, 1]]
    for kept in captured.values():
        assert kept.shape == (2, 1, 4)
        assert kept.untyped_storage().nbytes() == 2 * 4 * 4  # a view would keep all positions in memory


def test_what_was_captured_is_not_changed_by_what_the_model_does_next():
    blocks = [Block(), Block(lambda states: states)]

    def spoil(_module, args):
        args[0].zero_()

    blocks[1].register_forward_pre_hook(spoil)
    with capture({"1": blocks[0], "2": blocks[1]}, everything) as captured:
        run(blocks, Z.clone())
    torch.testing.assert_close(captured["1"], Z + 1)


def test_captured_states_carry_no_gradient():
    block = Block()
    with capture({"1": block}, everything) as captured:
        block(Z.clone().requires_grad_())
    assert not captured["1"].requires_grad


def test_one_position_per_row_is_selected():
    selected = at(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 2]))(Z)
    torch.testing.assert_close(selected, torch.stack([Z[0, 2], Z[1, 0], Z[1, 2]]))
