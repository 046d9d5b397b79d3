"""Which positions of a forward pass are meant: one selection for reading states and for changing them.

| name | positions |
|---|---|
| `"prompt"` | the prompt: image, request, template |
| `"image"` | the image's tokens |
| `"last"` | the last of the prompt, whose state predicts the first token of the answer |
| `"first"` | the first of the prompt that is no padding |
| `"ends"` | `"first"` and `"last"`: those that ReFT changes |
| `"generated"` | those whose states predict the answer and its end: `"last"`, and the tokens of the answer |
| `"said"` | the tokens of the answer, without the end token |
| `"all"` | prompt and answer |
| an `UntilSaid` | `"generated"`, until the row has said what is wanted |
| a bool tensor (batch, width of the prompt) | those that it marks, in prompts padded as they are |
| a function of a `Pass` | those that it marks in each pass, as a bool tensor (batch, width of the pass) |

Some can be read only, in a pass that holds prompts and answers (`Pass.read`):

| name | positions |
|---|---|
| `"answer"` | those whose states predict the tokens of the answer: `"generated"` but the last, which predicts the end |
| `"question"` | the tokens of the request in the prompt, without the template around it |
| `"NAME:START:STOP"` | a slice of positions in their order; `"NAME:INDEX"` is one of them |

Padding is never selected, nor is a row that has said its end token and waits for the others of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, get_args

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vitrail.errors import ModelError, UsageError
from vitrail.lmm.options import PositionName as Name
from vitrail.lmm.options import Positions, read_at

#: Width of the prompts where prompt and answer go through in one pass; see `forced`.
_FORCED: ContextVar[int | None] = ContextVar("forced", default=None)


@contextmanager
def forced(width: int) -> Iterator[None]:
    """Within the block, every pass that begins anew holds prompts of `width` positions, and the answers after them."""
    token = _FORCED.set(width)
    try:
        yield
    finally:
        _FORCED.reset(token)


def among(ids: Int[Tensor, "*shape"], tokens: Collection[int]) -> Bool[Tensor, "*shape"]:
    """Which of `ids` are one of `tokens`."""
    return torch.isin(ids, torch.tensor(sorted(tokens), dtype=torch.long, device=ids.device))


def prompt_width(labels: Int[Tensor, "batch positions"]) -> int:
    """Width of the prompts in a batch of `LMM.taught`: the first position that has a label."""
    return int((labels != -100).any(dim=0).nonzero()[0])


@dataclass(frozen=True)
class Pass:
    """One forward pass: what its positions are.

    Args:
        real: (batch, width) bool, False for padding and for rows that have ended.
        ids: (batch, width) token ids; None where the model was given embeddings.
        image: (batch, width) bool, the image's tokens; None where that is not known.
        start: how many positions went through before this pass, and lie in the cache.
        prompt: width of the prompts, padding included.
        memory: what an intervention notes for later passes of the same generation.
        question: (batch, prompt) bool, the tokens of the requests; None where they were not looked for.
    """

    real: Tensor
    ids: Tensor | None
    image: Tensor | None
    start: int
    prompt: int
    memory: dict[Any, Tensor] = field(default_factory=dict, repr=False)
    question: Tensor | None = None

    @property
    def width(self) -> int:
        """How many positions go through in this pass."""
        return self.real.shape[1]

    def mask(self, positions: Positions) -> Bool[Tensor, "batch width"]:
        """The positions that `positions` selects in this pass.

        Raises:
            UsageError: there is no such selection, or it gave a mask of another shape or type.
            ModelError: the positions of the image are not known here.
        """
        if isinstance(positions, Tensor):
            return self.real & self._of_prompt(positions)
        if not isinstance(positions, str):
            return self.real & self._of_function(positions)
        check(positions)
        if positions == "ends":
            return self.mask("first") | self.mask("last")
        return self.real & self._named(positions)

    def read(self, at: Positions | str) -> Bool[Tensor, "batch width"]:
        """The positions to read in this pass, which holds prompts and answers: as `mask`, or by a name that can be
        read only.

        Raises:
            UsageError: there are no such positions.
            ModelError: the positions of the image are not known here.
        """
        if not isinstance(at, str):
            return self.mask(at)
        name, part = read_at(at)
        match name:
            case "word" | "patches":
                raise UsageError(f"Where the {name} are cannot be told from a pass; name other positions.")
            case "question":
                assert self.question is not None, "whoever reads the question looks for it"
                marked = self.mask(self.question)
            case "answer":
                after = torch.nn.functional.pad(self.real, (0, 1))[:, 1:]
                marked = self.mask("generated") & after
            case _:
                marked = self.mask(name)  # type: ignore[arg-type]
        return marked if part == slice(None) else _part(marked, part)

    def _named(self, name: str) -> Tensor:
        """The positions of that name, padding and ended rows among them."""
        where = torch.arange(self.start, self.start + self.width, device=self.real.device)
        match name:
            case "generated":
                return where >= self.prompt - 1
            case "said":
                return where >= self.prompt
            case "last":
                return where == self.prompt - 1
            case "first":
                return (self.real.cumsum(dim=1) == 1) & (where < self.prompt) & (self.start == 0)
            case "prompt":
                return where < self.prompt
            case "image":
                if self.image is None:
                    raise ModelError("This model does not say which positions are the image's; select others.")
                return self.image
            case _:
                return self.real

    def _of_function(self, select: Callable[[Pass], Tensor]) -> Tensor:
        """The mask that a function of this pass gives."""
        marked = select(self)
        if marked.shape != self.real.shape or marked.dtype != torch.bool:
            raise UsageError(
                f"Expected the selection to give bool {tuple(self.real.shape)}; it gave {marked.dtype} "
                f"{tuple(marked.shape)}."
            )
        return marked.to(self.real.device)

    def _of_prompt(self, marked: Tensor) -> Tensor:
        """The part of a mask of the prompt that this pass holds."""
        if marked.dtype != torch.bool or marked.shape != (len(self.real), self.prompt):
            raise UsageError(
                f"Expected a bool mask of the prompt's shape {(len(self.real), self.prompt)}; "
                f"got {marked.dtype} {tuple(marked.shape)}."
            )
        here = torch.zeros_like(self.real)
        part = marked[:, self.start : self.start + self.width].to(here.device)
        here[:, : part.shape[1]] = part
        return here


def _part(marked: Bool[Tensor, "batch width"], part: slice) -> Bool[Tensor, "batch width"]:
    """The slice `part` of the marked positions of each row."""
    kept = torch.zeros_like(marked)
    for row, here in zip(marked, kept, strict=True):
        here[row.nonzero().flatten()[part]] = True
    return kept


class UntilSaid:
    """The selection `"generated"` of each row, until the row has said one of some phrases.

    Args:
        sequences: the token ids of each phrase.

    Raises:
        UsageError: there is no phrase.
    """

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        of_length: dict[int, list[tuple[int, ...]]] = {}
        for sequence in sorted({tuple(s) for s in sequences if len(s)}):
            of_length.setdefault(len(sequence), []).append(sequence)
        if not of_length:
            raise UsageError("There is nothing to be said that would end the selection.")
        self.of_length = {n: torch.tensor(sorted(found)) for n, found in of_length.items()}

    def __repr__(self) -> str:
        return f"UntilSaid({[s for sequences in self.of_length.values() for s in sequences.tolist()]})"

    def __call__(self, now: Pass) -> Tensor:
        if now.ids is None:
            raise ModelError("What was said is told by token ids; this pass came with embeddings.")
        before = now.memory.get((self, "ids"))
        answer = max(now.prompt - now.start, 0)
        ids = now.ids[:, answer:]
        ids = ids if before is None else torch.cat([before, ids], dim=1)
        now.memory[self, "ids"] = ids
        said = torch.zeros_like(ids, dtype=torch.bool)
        for n, sequences in self.of_length.items():
            if ids.shape[1] >= n:
                sequences = sequences.to(ids.device)
                if n == 1:
                    said |= torch.isin(ids, sequences)
                else:
                    windows = ids.unfold(1, n, 1)[:, :, None]
                    said[:, n - 1 :] |= (windows == sequences).all(-1).any(-1)
        ended = said.cummax(dim=1).values[:, ids.shape[1] - (now.width - answer) :]
        mask = now.mask("generated").clone()
        mask[:, answer:] &= ~ended.to(mask.device)
        return mask


def check(positions: Positions) -> None:
    """Refuses a name that is none of `Name`.

    Raises:
        UsageError: there is no selection of that name.
    """
    if isinstance(positions, str) and positions not in get_args(Name):
        raise UsageError(f"Positions are {', '.join(get_args(Name))}, a mask or a function; got {positions!r}.")


class Follower:
    """Follows the forward passes of a model by their arguments.

    Args:
        ends: ids of the tokens that end an answer.
        image: ids of the image's tokens.
    """

    def __init__(self, ends: Collection[int], image: Collection[int]) -> None:
        self.ends, self.image = ends, image
        self._now: Pass | None = None
        self._ended: Tensor | None = None

    @property
    def now(self) -> Pass:
        """The pass that is under way.

        Raises:
            ModelError: there is none.
        """
        if self._now is None:
            raise ModelError("The model's blocks ran outside its forward pass; which positions those are is not known.")
        return self._now

    def see(self, arguments: Mapping[str, Any]) -> None:
        """Takes note of a pass that begins, by its arguments.

        Raises:
            ModelError: prompt and answer cannot be told apart in it.
        """
        ids = arguments.get("input_ids")
        given = ids if ids is not None else arguments.get("inputs_embeds")
        if given is None:
            raise ModelError("A forward pass without input_ids and inputs_embeds cannot be followed.")
        attended = _attended(arguments, given)
        start = attended.shape[1] - given.shape[1]
        real = attended[:, start:].bool()
        self._now = self._step(ids, real, start) if start else self._first(ids, real)

    def _first(self, ids: Tensor | None, real: Tensor) -> Pass:
        """A pass with nothing in the cache: the prompts, and the answers too where they are `forced`."""
        width = real.shape[1]
        prompt = min(_FORCED.get() or width, width)
        image = among(ids, self.image) if ids is not None and self.image else None
        if ids is not None and prompt < width:  # an answer that has ended, in the same pass as its prompt
            ended = self._is_end(ids[:, prompt:]).cummax(dim=1).values
            real = torch.cat([real[:, :prompt], real[:, prompt:] & ~ended.to(real.device)], dim=1)
        self._ended = torch.zeros(len(real), 1, dtype=torch.bool, device=real.device)
        return Pass(real, ids, image, 0, prompt)

    def _step(self, ids: Tensor | None, real: Tensor, start: int) -> Pass:
        """A pass that goes on from the cache, with one new position of each row."""
        before = self.now
        if real.shape[1] > 1 or len(real) != len(before.real):
            raise ModelError(
                f"Expected one new position of {len(before.real)} rows after the prompt, as generation with a cache "
                f"gives; got {real.shape[1]} of {len(real)}. A prompt in pieces, or tokens guessed ahead, cannot be "
                "followed."
            )
        assert self._ended is not None
        if ids is not None:
            self._ended = self._ended | self._is_end(ids)
        image = torch.zeros_like(real) if before.image is not None else None
        return Pass(real & ~self._ended, ids, image, start, before.prompt, before.memory)

    def _is_end(self, ids: Tensor) -> Tensor:
        return among(ids, self.ends)


def _attended(arguments: Mapping[str, Any], given: Tensor) -> Tensor:
    """(batch, positions so far): the attention mask of a pass; nothing is padding where it has none."""
    attended = arguments.get("attention_mask")
    if attended is None:
        cache = arguments.get("past_key_values")
        so_far = 0 if cache is None else cache.get_seq_length()
        return given.new_ones(given.shape[0], so_far + given.shape[1], dtype=torch.long)
    if not isinstance(attended, Tensor) or attended.ndim != 2:
        raise ModelError("Positions are told by a 2D attention mask; this pass came with another kind of mask.")
    return attended
