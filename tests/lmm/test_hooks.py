"""Capturing reads what modules put out, once, and editing changes it; both leave the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.lmm.hooks import at, capture, edit, residual


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


# ---- edit ------------------------------------------------------------------------------------------------------------


def double(_name: str, states: Tensor) -> Tensor:
    return 2 * states


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: (s,), lambda s: (s, "cache", None)])
def test_what_a_module_puts_out_is_changed_in_every_pass(wrap):
    blocks = [Block(wrap), Block(wrap)]
    with edit({"1": blocks[0]}, double) as edits:
        for _ in range(3):
            torch.testing.assert_close(run(blocks, Z), 2 * (Z + 1) + 1)
            assert type(blocks[0](Z)) is type(wrap(Z))
    assert edits.calls == {"1": 6}
    assert edits.changed == {"1": 6 * 2 * 3}
    torch.testing.assert_close(run(blocks, Z), Z + 2)


@pytest.mark.parametrize("by_name", [False, True])
def test_what_goes_into_a_module_is_changed_however_it_is_passed(by_name):
    blocks = [Block(), Block()]
    with edit({"0": blocks[0]}, double, inputs=frozenset({"0"})):
        torch.testing.assert_close(run(blocks, Z, by_name=by_name), 2 * Z + 2)


def test_positions_that_differ_are_counted():
    def first(_name: str, states: Tensor) -> Tensor:
        new = states.clone()
        new[:, 0] += 1
        return new

    block = Block()
    with edit({"1": block}, first) as edits:
        run([block], Z)
    assert edits.changed == {"1": 2}
    with edit({"1": block}, lambda _name, states: states) as edits:
        run([block], Z)
    assert (edits.calls, edits.changed) == ({"1": 1}, {"1": 0})


def test_edits_see_those_before_them_and_gradients_flow_through():
    blocks, seen = [Block(), Block()], []
    weight = torch.tensor(3.0, requires_grad=True)

    def change(name: str, states: Tensor) -> Tensor:
        seen.append((name, float(states.detach().max())))
        return weight * states

    with edit({"1": blocks[0], "2": blocks[1]}, change):
        run(blocks, torch.zeros(1, 1, 1)).sum().backward()
    assert seen == [("1", 1.0), ("2", 4.0)]
    assert float(weight.grad) == 7.0  # d/dw of w (w + 1)


def test_capture_inside_an_edit_sees_what_was_changed():
    block = Block()
    with edit({"1": block}, double), capture({"1": block}, everything) as captured:
        run([block], Z)
    torch.testing.assert_close(captured["1"], 2 * (Z + 1))


def test_edit_removes_its_own_handles_and_no_other_whatever_happens():
    block = Block()
    others = block.register_forward_hook(lambda *_: None)
    with pytest.raises(ZeroDivisionError), edit({"1": block}, lambda _n, _s: 1 / 0):
        run([block], Z)
    with pytest.raises(KeyError), edit({"1": block}, double):
        raise KeyError
    assert list(block._forward_hooks) == [others.id]
    assert not block._forward_pre_hooks


@pytest.mark.parametrize("wrong", [lambda s: s[:, :1], lambda s: s.double()])
def test_a_change_of_shape_or_dtype_is_refused(wrong):
    block = Block()
    with pytest.raises(ModelError, match="keep shape, dtype and device"), edit({"7": block}, lambda _n, s: wrong(s)):
        run([block], Z)


def test_a_block_that_a_pass_leaves_out_is_an_error():
    blocks, begun = [Block(), Block()], []

    class Whole(nn.Module):
        def forward(self, states: Tensor, skip: bool = False) -> object:
            return run(blocks[:1] if skip else blocks, states)

    whole = Whole()
    modules = {"1": blocks[0], "2": blocks[1]}
    with edit(modules, double, entrances=[whole], begin=begun.append):
        whole(Z)
        with pytest.raises(ModelError, match=r"these ran otherwise: \{'2': 0\}"):
            whole(Z, skip=True)
    assert [sorted(arguments) for arguments in begun] == [["states"], ["skip", "states"]]
