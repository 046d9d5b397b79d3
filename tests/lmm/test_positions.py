"""One selection of positions: by name, mask or function, never padding, in one pass as in generation with a cache."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vitrail.errors import ModelError, UsageError
from vitrail.lmm.options import read_at
from vitrail.lmm.positions import Follower, Pass, check, forced, prompt_width

END, IMAGE = 9, 7
#: Two prompts of width 4, the second padded on the left.
PROMPT = {
    "input_ids": torch.tensor([[7, 7, 1, 2], [0, 7, 3, 4]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]]),
}


def passes(*calls: dict) -> list[Pass]:
    follower = Follower({END}, {IMAGE})
    seen = []
    for call in calls:
        follower.see(call)
        seen.append(follower.now)
    return seen


def generating(*tokens: list[int]) -> list[Pass]:
    """The passes of a generation that says `tokens[i]` in its step i."""
    calls, mask = [PROMPT], PROMPT["attention_mask"]
    for step in tokens:
        mask = torch.cat([mask, torch.ones(2, 1, dtype=torch.long)], 1)
        calls.append({"input_ids": torch.tensor(step)[:, None], "attention_mask": mask})
    return passes(*calls)


def marked(mask: torch.Tensor) -> list[list[int]]:
    return mask.int().tolist()


@pytest.mark.parametrize(
    ("name", "prefill", "decode"),
    [
        ("prompt", [[1, 1, 1, 1], [0, 1, 1, 1]], [[0], [0]]),
        ("image", [[1, 1, 0, 0], [0, 1, 0, 0]], [[0], [0]]),
        ("first", [[1, 0, 0, 0], [0, 1, 0, 0]], [[0], [0]]),
        ("last", [[0, 0, 0, 1], [0, 0, 0, 1]], [[0], [0]]),
        ("ends", [[1, 0, 0, 1], [0, 1, 0, 1]], [[0], [0]]),
        ("generated", [[0, 0, 0, 1], [0, 0, 0, 1]], [[1], [1]]),
        ("said", [[0, 0, 0, 0], [0, 0, 0, 0]], [[1], [1]]),
        ("all", [[1, 1, 1, 1], [0, 1, 1, 1]], [[1], [1]]),
    ],
)
def test_names_select_in_the_prompt_and_in_a_step_of_generation(name, prefill, decode):
    first, step = generating([5, 5])
    assert marked(first.mask(name)) == prefill
    assert marked(step.mask(name)) == decode


def test_a_row_that_has_ended_is_selected_no_more():
    passed = generating([5, END], [5, 0], [END, 0])
    assert [marked(p.mask("generated")) for p in passed[1:]] == [[[1], [0]], [[1], [0]], [[0], [0]]]


def test_one_pass_over_prompt_and_answer_selects_what_generation_does():
    stepwise = torch.cat([p.mask("generated") for p in generating([5, 6], [5, END], [END, 0])], 1)
    ids = torch.cat([PROMPT["input_ids"], torch.tensor([[5, 5, END], [6, END, 0]])], 1)
    mask = torch.cat([PROMPT["attention_mask"], torch.tensor([[1, 1, 1], [1, 1, 0]])], 1)
    with forced(4):
        (whole,) = passes({"input_ids": ids, "attention_mask": mask})
    assert marked(whole.mask("generated")) == marked(stepwise)
    (unsaid,) = passes({"input_ids": ids, "attention_mask": mask})
    assert marked(unsaid.mask("last")) == [[0] * 6 + [1], [0] * 7]


def test_a_mask_selects_in_the_prompt_but_no_padding():
    first, step = generating([5, 5])
    mask = torch.tensor([[True, False, False, True], [True, True, False, False]])
    assert marked(first.mask(mask)) == [[1, 0, 0, 1], [0, 1, 0, 0]]
    assert marked(step.mask(mask)) == [[0], [0]]


def test_a_function_selects_by_token():
    first, step = generating([5, 3])
    assert marked(first.mask(lambda p: p.ids == 3)) == [[0, 0, 0, 0], [0, 0, 1, 0]]
    assert marked(step.mask(lambda p: p.ids == 3)) == [[0], [1]]


def test_memory_lasts_for_one_generation():
    first, step = generating([5, 5])
    assert step.memory is first.memory
    assert passes(PROMPT)[0].memory is not first.memory


@pytest.mark.parametrize(
    ("positions", "what"),
    [("everywhere", "got 'everywhere'"), (torch.ones(2, 3, dtype=torch.bool), r"\(2, 4\)"),
     (torch.ones(2, 4), "bool mask"), (lambda p: p.real[:, :2], "Expected the selection")],
)  # fmt: skip
def test_what_cannot_be_a_selection_is_refused(positions, what):
    (first,) = passes(PROMPT)
    with pytest.raises(UsageError, match=what):
        first.mask(positions)


#: Prompts of width 4, of which the second is padded, and answers of three tokens and of one, with their end tokens.
WHOLE = {
    "input_ids": torch.tensor([[7, 7, 1, 2, 5, 5, 5, END], [0, 7, 3, 4, 5, END, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 0, 0]]),
}


@pytest.mark.parametrize(
    ("at", "marks"),
    [
        ("answer", ["00011100", "00010000"]),
        ("generated", ["00011110", "00011000"]),
        ("said", ["00001110", "00001000"]),
        ("said:0:-1", ["00001100", "00000000"]),
        ("answer:1:", ["00001100", "00000000"]),
        ("answer:0:2", ["00011000", "00010000"]),
        ("generated:-1", ["00000010", "00001000"]),
        ("image", ["11000000", "01000000"]),
        ("image:1", ["01000000", "00000000"]),
        ("prompt:-2:", ["00110000", "00110000"]),
        ("all:1:3", ["01100000", "00110000"]),
        ("question", ["00110000", "00010000"]),
        ("question:-1", ["00010000", "00010000"]),
        ("first", ["10000000", "01000000"]),
    ],
)
def test_prompts_with_their_answers_can_be_read_at_more_places(at, marks):
    with forced(4):
        (whole,) = passes(WHOLE)
    whole = replace(whole, question=torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1]], dtype=torch.bool))
    assert ["".join(map(str, row)) for row in marked(whole.read(at))] == marks


@pytest.mark.parametrize(
    ("at", "what"),
    [
        ("anywhere", "generated, said, all, or at a slice .* got 'anywhere'"),
        ("word:0", "word and patches have none"),
        ("answer:", "NAME:INDEX"),
        ("said:5:2", "There is no position from 5"),
        ("answer:2:2", "from 2 up to, but without, 2"),
        ("answer:-1:-3", "from -1"),
        ("answer:-2:0", "from -2"),
        ("answer:x", "whole numbers"),
        ("answer:1:2:3", "NAME:START:STOP"),
    ],
)
def test_places_that_cannot_be_read_are_refused(at, what):
    with pytest.raises(UsageError, match=what):
        read_at(at)


def test_a_wrong_name_is_refused_at_once():
    with pytest.raises(UsageError, match="'answer'"):
        check("answer")


def test_image_positions_must_be_known():
    follower = Follower({END}, ())
    follower.see(PROMPT)
    with pytest.raises(ModelError, match="image"):
        follower.now.mask("image")


def test_what_cannot_be_followed_is_refused():
    four = torch.ones(2, 1, 4, 4)
    with pytest.raises(ModelError, match="2D attention mask"):
        passes({"input_ids": PROMPT["input_ids"], "attention_mask": four})
    with pytest.raises(ModelError, match="pieces"):
        passes(PROMPT, {"input_ids": torch.ones(2, 3, dtype=torch.long), "attention_mask": torch.ones(2, 7)})
    with pytest.raises(ModelError, match="outside its forward pass"):
        _ = Follower({END}, ()).now


def test_without_a_mask_nothing_is_padding():
    (first,) = passes({"input_ids": PROMPT["input_ids"]})
    assert bool(first.mask("all").all())


def test_the_prompts_are_as_wide_as_the_positions_before_the_first_label(lmm, dogs):
    assert prompt_width(torch.tensor([[-100, -100, -100, 5], [-100, -100, 7, 8]])) == 2
    requests, answers = [lmm.prompt, "what color is the dog ?"], ["a dog", "brown"]
    images = [s.open() for s in dogs[:2]]
    _, labels = lmm.taught(images, requests, answers)
    assert prompt_width(labels) == lmm.prepare(images, requests)["input_ids"].shape[1]
