"""Large multimodal models: the one file that knows transformers. Load, parts, prompts, batches, generation."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from vitrail import hooks, words
from vitrail.errors import ModelError, UsageError

log = logging.getLogger(__name__)

DEFAULT_PROMPT = "Provide a one-sentence caption of the image."
#: 0 are the embeddings, 1..N the residual stream after a block, −1..−N counted from the last one, or "final".
Layer = int | str
DType = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Parts:
    """The modules that Vitrail reads, with the names under which they were found.

    `blocks` are the decoder's blocks 1..N, `norm` the final norm, `unembedding` `W_U` (vocabulary, features).
    """

    blocks: nn.ModuleList
    norm: nn.Module
    unembedding: nn.Module
    names: dict[str, str]


@dataclass(frozen=True)
class Generation:
    """What the model said of one image: the ids without prompt, padding and end token, and their text."""

    ids: tuple[int, ...]
    text: str


@dataclass
class LMM:
    """A model, its processor and what Vitrail knows of them. Made by `load`."""

    model: Any
    processor: Any
    name: str
    parts: Parts
    revision: str | None = None
    adapter: str | None = None
    prompt: str = field(default=DEFAULT_PROMPT)

    @property
    def tokenizer(self) -> Any:
        return self.processor.tokenizer

    @property
    def n_blocks(self) -> int:
        return len(self.parts.blocks)

    @property
    def n_features(self) -> int:
        return int(_text_config(self.model).hidden_size)

    @property
    def dtype(self) -> str:
        return str(self.model.dtype).removeprefix("torch.")

    def describe(self) -> dict[str, Any]:
        """What a manifest says of the model: whatever would make its states others."""
        return {
            "name": self.name,
            "revision": self.revision,
            "adapter": self.adapter,
            "class": type(_unwrapped(self.model)).__name__,
            "dtype": self.dtype,
            "n_blocks": self.n_blocks,
            "n_features": self.n_features,
            "parts": self.parts.names,
            "fingerprint": fingerprint(self.model),
        }

    # ---- layers ------------------------------------------------------------------------------------------------------

    def layer(self, layer: Layer) -> Layer:
        """The layer by its own name: −1 becomes N. 0 are the embeddings, k the residual stream after block k.

        Raises:
            UsageError: there is no such layer; the range is named.
        """
        n = self.n_blocks
        if layer == "final":
            return layer
        if not isinstance(layer, int) or not -n <= layer <= n:
            raise UsageError(
                f"Layer {layer!r} does not exist: {self.name} has layers 0 to {n}, −1 to −{n}, and 'final'."
            )
        return layer if layer >= 0 else n + 1 + layer

    def _module(self, layer: Layer) -> nn.Module:
        if layer == "final":
            return self.parts.norm
        return self.parts.blocks[max(int(layer) - 1, 0)]

    # ---- inputs and text ---------------------------------------------------------------------------------------------

    def _template(self, request: str, answer: str | None = None) -> str:
        turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": request}]}]
        if answer is not None:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        try:
            return self.processor.apply_chat_template(turns, add_generation_prompt=answer is None, tokenize=False)
        except (ValueError, AttributeError) as error:
            raise ModelError(f"{self.name} has no chat template, so a request cannot be put to it: {error}") from error

    def prepare(self, images: Sequence[Image.Image], requests: Sequence[str]) -> dict[str, Tensor]:
        """A left-padded batch: each image with its request, through the model's chat template."""
        batch = self.processor(
            images=list(images),
            text=[self._template(request) for request in requests],
            padding=True,
            return_tensors="pt",
            add_special_tokens=False,  # the template has them
        )
        return {k: self._placed(v) for k, v in batch.items()}

    def continuation(self, request: str, answer: str) -> Generation:
        """`answer` as the model would have generated it after `request`: what the template puts there, in tokens."""
        prompt, whole = self._template(request), self._template(request, answer)
        if not whole.startswith(prompt):
            raise ModelError(
                f"The chat template of {self.name} does not continue its prompt; answers cannot be forced."
            )
        ids = self.tokenizer.encode(whole[len(prompt) :], add_special_tokens=False)
        return self._generation(ids, _end_ids(self.model, self.tokenizer))

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.model.device, self.model.dtype if tensor.is_floating_point() else None)

    @torch.inference_mode()
    def generate(self, inputs: dict[str, Tensor], max_new_tokens: int) -> list[Generation]:
        """Greedy continuations of a batch made by `prepare`."""
        pad = self.tokenizer.pad_token_id
        out = self.model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=self.tokenizer.eos_token_id if pad is None else pad,
        )
        ends = _end_ids(self.model, self.tokenizer)
        return [self._generation(row, ends) for row in out[:, inputs["input_ids"].shape[1] :].tolist()]

    def _generation(self, row: list[int], ends: set[int]) -> Generation:
        length = next((i for i, token in enumerate(row) if token in ends), len(row))
        ids = tuple(row[:length])
        return Generation(ids, words.decode(self.tokenizer, ids))

    def caption(
        self,
        images: Sequence[Image.Image],
        *,
        prompt: str | None = None,
        max_new_tokens: int = 40,
        batch_size: int = 32,
    ) -> list[str]:
        """What the model says of each image, greedily."""
        request = self.prompt if prompt is None else prompt
        texts = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            inputs = self.prepare(batch, [request] * len(batch))
            texts += [g.text.strip() for g in self.generate(inputs, max_new_tokens)]
        return texts

    # ---- states ------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def states(
        self,
        inputs: dict[str, Tensor],
        continuations: Sequence[Sequence[int]],
        positions: Sequence[int],
        layers: Sequence[Layer],
    ) -> dict[Layer, Tensor]:
        """Layer → (batch, features): the state at one position of each row, the continuation being teacher-forced.

        Args:
            inputs: a batch made by `prepare`, of width P.
            continuations: token ids that follow each prompt.
            positions: for each row an index in P + its continuation; P + j is the state that reads token j of it.
            layers: which layers, in any order; each read once in the same pass, which ends after the last one.
        """
        batch = self._with(inputs, continuations)
        rows = torch.arange(len(positions))
        wanted = {str(layer): self._module(layer) for layer in layers}
        select = hooks.at(rows, torch.as_tensor(positions))
        with hooks.capture(wanted, select, inputs=frozenset({"0"} & wanted.keys())) as captured:
            self.model(**batch, use_cache=False)
        return {layer: captured[str(layer)].cpu() for layer in layers}

    def _with(self, inputs: dict[str, Tensor], continuations: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        """`inputs` with `continuations` after the prompts, padded on the right, where causality hides the padding."""
        width = max(map(len, continuations), default=0)
        fill = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*c, *[fill] * (width - len(c))] for c in continuations], dtype=torch.long)
        real = torch.tensor([[1] * len(c) + [0] * (width - len(c)) for c in continuations], dtype=torch.long)
        added = {"input_ids": ids, "attention_mask": real}
        prompt_shape = inputs["input_ids"].shape
        extended = dict(inputs)
        for key, tensor in inputs.items():
            if tensor.shape == prompt_shape and not tensor.is_floating_point():
                # any other per-token tensor marks what a token is (image, text): the continuation is text
                more = added.get(key, torch.zeros_like(ids))
                extended[key] = torch.cat([tensor, more.to(tensor.device, tensor.dtype)], dim=1)
        return extended

    @torch.inference_mode()
    def logits(self, states: Tensor, layer: Layer) -> Tensor:
        """(n, vocabulary) float32: what `states` (n, features) of `layer` say through the final norm and `W_U`.

        States of layer "final" are past the norm already. Soft-capped as the model does it.
        """
        weight = next(self.parts.unembedding.parameters())
        states = states.to(weight.device, weight.dtype)
        if layer != "final":
            states = self.parts.norm(states)
        logits = self.parts.unembedding(states).float()
        cap = getattr(_text_config(self.model), "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)


# ---- loading ---------------------------------------------------------------------------------------------------------


def load(
    model: str | Path,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    dtype: DType = "auto",
    device: str | None = None,
    prompt: str | None = None,
    trust_remote_code: bool = False,
) -> LMM:
    """The image-text-to-text model `model`, ready to be read.

    Args:
        model: "toyland", a folder, or the name of a model on the hub (with `revision`).
        adapter: a PEFT adapter's folder or name, put on top.
        dtype: of the weights; "auto" is what the model's configuration says.
        device: "cpu", "cuda", "cuda:1" …; by default the accelerator if there is one.
        prompt: the request for a caption; by default the model's own (`caption_prompt` in its configuration), or
            `DEFAULT_PROMPT`.

    Raises:
        ModelError: neither a model nor a name on the hub, or not an image-text-to-text model, or a part was not found.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

    path = _location(model)
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(path, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{model} is neither a model folder nor a model on the hub that can be reached: {_first_line(error)}"
        ) from error
    if type(config) not in AutoModelForImageTextToText._model_mapping and not trust_remote_code:
        raise ModelError(f"{model} is not an image-text-to-text model: it is of type {config.model_type!r}.")
    try:
        network: Any = AutoModelForImageTextToText.from_pretrained(path, dtype=dtype, **options)
        processor = AutoProcessor.from_pretrained(path, **options)
    except Exception as error:
        raise ModelError(f"{model} could not be loaded: {_first_line(error)}") from error
    if not hasattr(processor, "tokenizer"):
        raise ModelError(f"{model} has no processor of images and text beside it; it has {type(processor).__name__}.")
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    if adapter is not None:
        network = _with_adapter(network, adapter)
    network = network.to(torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    network.eval().requires_grad_(False)
    _forget_sampling(network)
    own_prompt = getattr(config, "caption_prompt", DEFAULT_PROMPT)
    return LMM(
        model=network,
        processor=processor,
        name=str(model),
        parts=find_parts(network),
        revision=revision or getattr(config, "_commit_hash", None),
        adapter=None if adapter is None else str(adapter),
        prompt=own_prompt if prompt is None else prompt,
    )


def quieten() -> None:
    """Keeps transformers' own warnings and progress bars off the terminal."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _location(model: str | Path) -> str:
    if str(model) == "toyland":
        from vitrail import toyland

        return str(toyland.model_path())
    return str(model)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]


def _with_adapter(network: Any, adapter: str | Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError("An adapter needs PEFT: pip install 'vitrail[peft]'.") from error
    try:
        return PeftModel.from_pretrained(network, str(adapter))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"{adapter} is not an adapter for this model: {_first_line(error)}") from error


def _forget_sampling(network: Any) -> None:
    """Clears sampling defaults of the model's generation configuration: we generate greedily, and say so once."""
    for name in ("temperature", "top_p", "top_k"):
        setattr(network.generation_config, name, None)


def _unwrapped(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _text_config(model: Any) -> Any:
    return _unwrapped(model).config.get_text_config(decoder=True)


def _end_ids(model: Any, tokenizer: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return {i for i in (*ends, tokenizer.eos_token_id, tokenizer.pad_token_id) if i is not None}


def fingerprint(model: nn.Module) -> str:
    """A hash of both ends of every parameter, in float32: other weights under the same name are another model."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        flat = parameter.detach().flatten()
        ends = torch.cat([flat[:64], flat[-64:]]).float().cpu().numpy()
        digest.update(name.encode() + ends.tobytes())
    return digest.hexdigest()[:16]


def find_parts(model: Any) -> Parts:
    """The decoder's blocks, final norm and unembedding, by structure and by transformers' own accessors.

    The blocks are the only list of N = `num_hidden_layers` modules in the decoder; the final norm is the one module
    beside them whose weight is a vector of the model's width.

    Raises:
        ModelError: a part was not found, or two things could be it.
    """
    base = _unwrapped(model)
    config = _text_config(model)
    decoder = base.get_decoder()
    if decoder is None:
        raise ModelError(f"{type(base).__name__} has no decoder that transformers knows of.")
    lists = [
        (n, m)
        for n, m in decoder.named_modules()
        if isinstance(m, nn.ModuleList) and len(m) == config.num_hidden_layers
    ]
    # lists inside a block are no candidates
    lists = [(n, m) for n, m in lists if not any(n.startswith(f"{other}.") for other, _ in lists)]
    name, blocks = _only("list of blocks", lists, type(base).__name__)
    owner = decoder.get_submodule(name.rpartition(".")[0])
    norms = [
        (n, m)
        for n, m in owner.named_children()
        if isinstance(weight := getattr(m, "weight", None), Tensor) and tuple(weight.shape) == (config.hidden_size,)
    ]
    _, norm = _only("final norm", norms, type(base).__name__)
    unembedding = base.get_output_embeddings()
    if unembedding is None:
        raise ModelError(f"{type(base).__name__} has no output embeddings that transformers knows of.")
    found = {"blocks": blocks, "norm": norm, "unembedding": unembedding}
    names = {id(m): n for n, m in base.named_modules()}
    return Parts(blocks, norm, unembedding, {part: names[id(module)] for part, module in found.items()})


def _only(what: str, found: list[tuple[str, Any]], model: str) -> tuple[str, Any]:
    if len(found) != 1:
        raise ModelError(f"Expected one {what} in {model}; found {[n for n, _ in found] or 'none'}.")
    return found[0]
