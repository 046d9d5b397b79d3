"""Backends whose weights are here: their states are read and changed by hooks on the decoder's blocks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.lmm import batches, hooks
from vitrail.lmm.backend import Backend, Generation
from vitrail.lmm.batches import Batch
from vitrail.lmm.generating import Ending
from vitrail.lmm.identity import active_adapters, tokenizer_digest
from vitrail.lmm.options import Layer
from vitrail.lmm.parts import Parts, compiled_around, place, quantisation, unwrapped
from vitrail.lmm.positions import Follower, Pass, forced
from vitrail.lmm.watching import Recorder, Told

#: (layer, its states (batch, positions, features), the pass) → the states to put in their place.
LayerChange = Callable[[Layer, Tensor, Pass], Tensor]
B = TypeVar("B", bound="TorchBackend")


@dataclass(frozen=True, eq=False)
class TorchBackend(Backend):
    """A torch module that speaks, and the parts of it that are read.

    Args:
        model: the module, perhaps under a PEFT adapter.
        processor: what makes inputs of images and texts.
        parts: the module's blocks, final norm and unembedding.
    """

    model: Any
    processor: Any
    parts: Parts

    def __post_init__(self) -> None:
        self._check_compiled()

    def _check_compiled(self) -> None:
        """Raises `ModelError` where a compiled module has the blocks inside it."""
        if len(self.parts.blocks) and (around := compiled_around(self.model, self.parts.blocks[0])):
            raise ModelError(
                f"{around} is compiled as a whole: once it runs, nothing reads or changes states inside it. Compile "
                "its blocks by themselves, `for block in lmm.parts.blocks: block.compile()`."
            )

    # ---- what it is --------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name of the model's class."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Width of the residual stream."""

    @property
    @abstractmethod
    def dtype(self) -> str:
        """Of the weights, as "float32"."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where inputs belong."""

    @property
    def quantization(self) -> str | None:
        """How the weights are quantised: the dtype that `load` takes, or the method's name; None if they are not."""
        config = getattr(getattr(unwrapped(self.model), "config", None), "quantization_config", None)
        return None if config is None else quantisation(config)

    def identity(self) -> dict[str, Any]:
        """What decides its states beside its weights, by the names of `ModelDescription`."""
        return {"active": active_adapters(self.model), "tokenizer": tokenizer_digest(self.tokenizer)}

    @property
    def modules(self) -> dict[str, str]:
        """Which modules were taken for what, by name."""
        return self.parts.names

    @property
    def sight(self) -> dict[str, tuple[str, ...]]:
        """The names of the modules that are the "vision" encoder and the "connector"; none where that is not known."""
        return {}

    @property
    def image_tokens(self) -> frozenset[int]:
        """The ids that stand for a piece of an image among the input ids."""
        return frozenset()

    def with_model(self: B, model: Any) -> B:
        """The same backend around `model`: a copy of its model, or its model under an adapter."""
        return replace(self, model=model, parts=self.parts.within(unwrapped(model)))

    def with_own_generation(self: B) -> B:
        """The same backend, which generates as the model's own generation configuration says.

        Raises:
            ModelError: it has none.
        """
        raise ModelError(f"{type(self).__name__} has no generation configuration of its own.")

    @property
    def translates(self) -> bool:
        """Whether an encoder reads the prompt, so that the decoder starts with a token of its own."""
        return False

    @property
    def never_said(self) -> frozenset[int]:
        """The tokens that generation leaves out, however likely they are."""
        return frozenset()

    @property
    def forced_first(self) -> bool:
        """Whether the first token of an answer is always the same one, which the model is made to say."""
        return False

    # ---- what the model itself does ----------------------------------------------------------------------------------

    @abstractmethod
    def run(self, batch: Batch, output_hidden_states: bool = False) -> Any:
        """What the model puts out for a batch in one pass without a cache; `.logits` are among it."""

    def attentions(self, batch: Batch) -> tuple[Float[Tensor, "batch heads positions positions"], ...]:
        """The attention of every block of the decoder in one pass.

        Raises:
            ModelError: the backend does not give it.
        """
        raise ModelError(f"{type(self).__name__} gives no attention. Use another method.")

    @abstractmethod
    def _greedy(
        self, inputs: Batch, max_new_tokens: int, ending: Ending | None = None
    ) -> Int[Tensor, "batch positions"]:
        """Greedy continuations, with or without the prompts before them; a backend that can ends rows at `ending`."""

    def _entrances(self) -> list[nn.Module]:
        """The modules through which a forward pass may begin: the model, and what is under its adapter."""
        base = unwrapped(self.model)
        return [base] if base is self.model else [self.model, base]

    def _text_of(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a forward pass that are about the text which is continued."""
        return arguments

    def _final_logits(self, logits: Tensor) -> Tensor:
        """The model's own logits, from `W_U` times the final state."""
        return logits

    # ---- text --------------------------------------------------------------------------------------------------------

    def together(self, inputs: Batch) -> list[list[int]]:
        """The rows of a batch that are generated together: all of them."""
        return [list(range(len(inputs["input_ids"])))]

    @torch.inference_mode()
    def generate(
        self, inputs: Batch, max_new_tokens: int, until: Callable[[str], bool] | None = None
    ) -> list[Generation]:
        said: dict[int, Generation] = {}
        for rows in self.together(inputs):
            part = inputs if len(rows) == len(inputs["input_ids"]) else batches.without_padding(inputs, rows)
            ending = None if until is None else Ending(until, self.generation)
            answers = self._answers(part, max_new_tokens, ending).tolist()
            if ending is not None:
                answers = ending.cut(answers)
            said |= {i: self.generation(ids) for i, ids in zip(rows, answers, strict=True)}
        return [said[i] for i in sorted(said)]

    def _answers(
        self, inputs: Batch, max_new_tokens: int, ending: Ending | None = None
    ) -> Int[Tensor, "batch positions"]:
        """Greedy continuations without the prompts."""
        prompt = inputs["input_ids"]
        width = prompt.shape[1]
        with forced(width):  # a model without a cache reads its prompt again with every token
            out = self._greedy(inputs, max_new_tokens, ending)
        repeated = out.shape[1] >= width and torch.equal(out[:, :width], prompt.to(out.device))
        return out[:, width:] if repeated else out

    def extended(self, inputs: Batch, continuations: Sequence[Sequence[int]]) -> Batch:
        """`inputs` with `continuations` after the prompts, padded on the right."""
        return batches.extended(inputs, continuations, fill=self.tokenizer.pad_token_id or 0)

    # ---- states ------------------------------------------------------------------------------------------------------

    def _module(self, layer: Layer) -> nn.Module:
        if layer == "final" and not isinstance(self.parts.norm, nn.Identity):
            return self.parts.norm
        return self.parts.blocks[-1] if layer == "final" else self.parts.blocks[max(int(layer) - 1, 0)]

    @torch.inference_mode()
    def states(
        self,
        inputs: Batch,
        continuations: Sequence[Sequence[int]],
        positions: Sequence[int],
        layers: Sequence[Layer],
        rows: Sequence[int] | None = None,
    ) -> dict[Layer, Float[Tensor, "n d"]]:
        """See `LMM.states`."""
        self._check_compiled()
        batch = self.extended(inputs, continuations)
        places = torch.arange(len(positions)) if rows is None else torch.as_tensor(rows)
        wanted = {str(layer): self._module(layer) for layer in layers}
        # from the end: a model may put its image before the text, where no token stands for it (GIT)
        select = hooks.at(places, torch.as_tensor(positions) - batch["input_ids"].shape[1])
        embeddings = frozenset({"0"} & wanted.keys())
        with forced(inputs["input_ids"].shape[1]), hooks.capture(wanted, select, inputs=embeddings) as captured:
            self.run(batch)
        return {layer: captured[str(layer)].cpu() for layer in layers}

    @contextmanager
    def edited(self, layers: Sequence[Layer], change: LayerChange) -> Iterator[hooks.Edits]:
        """See `LMM.edited`; `layers` go by their own names."""
        self._check_compiled()
        follower = Follower(self.ends, self.image_tokens)
        named = {str(layer): layer for layer in layers}

        def change_text(name: str, states: Tensor) -> Tensor:
            before = states.shape[1] - follower.now.width
            if before <= 0:
                return change(named[name], states, follower.now)
            old = states[:, before:]
            new = change(named[name], old, follower.now)
            return states if new is old else torch.cat([states[:, :before], new], dim=1)

        with hooks.edit(
            {name: self._module(layer) for name, layer in named.items()},
            change_text,
            inputs=frozenset({"0"} & named.keys()),
            entrances=self._entrances(),
            begin=lambda arguments: follower.see(self._text_of(arguments)),
        ) as edits:
            yield edits

    @contextmanager
    def watched(self, layers: Sequence[Layer], told: Told) -> Iterator[None]:
        """See `LMM.watched`; `layers` go by their own names."""
        recorder = Recorder(layers, told)
        named = {str(layer): layer for layer in layers}
        with ExitStack() as stack:
            stack.enter_context(
                hooks.passes(self._entrances(), lambda given: recorder.see_pass(self._text_of(given).get("input_ids")))
            )
            stack.enter_context(
                hooks.watch(
                    {name: self._module(layer) for name, layer in named.items()},
                    lambda name, states: recorder.see_states(named[name], states),
                    inputs=frozenset({"0"} & named.keys()),
                )
            )
            for owner in dict.fromkeys((self.model, unwrapped(self.model))):
                stack.enter_context(hooks.around(owner, "generate", recorder.begin, recorder.end))
            yield

    @torch.inference_mode()
    def logits(self, states: Float[Tensor, "n d"], layer: Layer) -> Float[Tensor, "n vocabulary"]:
        """See `LMM.logits`."""
        device, dtype = place(self.parts.unembedding)
        states = states.to(device, dtype)
        if layer != "final":
            states = self.parts.norm(states).to(device)
        return self._final_logits(self.parts.unembedding(states).float())

    def logit_derivatives(self, states: Float[Tensor, "n d"], tokens: Sequence[int]) -> Float[Tensor, "n d"]:
        """See `LMM.logit_derivatives`."""
        device, dtype = place(self.parts.unembedding)
        with torch.enable_grad():
            final = states.detach().to(device, dtype).clone().requires_grad_()  # they may come from inference
            logits = self._final_logits(self.parts.unembedding(final).float())
            chosen = logits[torch.arange(len(final)), torch.as_tensor(tokens)].sum()
            return torch.autograd.grad(chosen, final)[0]
