"""The parts of a model: blocks, final norm, unembedding; who speaks; and where weights are. `finding` finds them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vitrail.errors import ModelError

#: The name of a part that is no module of the model: an `nn.Identity` in place of a norm.
ABSENT = "none"


@dataclass(frozen=True)
class Parts:
    """The modules that Vitrail reads, with the names under which they were found.

    `blocks` are the decoder's blocks 1..N, `norm` the final norm, `unembedding` `W_U` (vocabulary, features). Between
    the last block and the unembedding there is nothing but `norm`, which may be more than a norm (BERT's head), or an
    `nn.Identity` where the blocks end with their own. `names` has the vision encoder and the connector ("vision",
    "connector"), too, where a user named them.
    """

    blocks: nn.ModuleList
    norm: nn.Module
    unembedding: nn.Module
    names: dict[str, str]

    def within(self, model: nn.Module) -> Parts:
        """The parts of `model`, which has the structure of the model that these were found in."""
        own = {part: name for part, name in self.names.items() if hasattr(self, part) and name != ABSENT}
        there: dict[str, Any] = {part: model.get_submodule(name) for part, name in own.items()}
        return replace(self, **there)

    @classmethod
    def named(cls, model: nn.Module, blocks: nn.ModuleList, norm: nn.Module, unembedding: nn.Module) -> Parts:
        """These modules, with their names inside `model`; "none" for one that is not inside it."""
        names = {id(m): name for name, m in model.named_modules()}
        found = {"blocks": blocks, "norm": norm, "unembedding": unembedding}
        return cls(blocks, norm, unembedding, {part: names.get(id(m), ABSENT) for part, m in found.items()})


def unwrapped(model: Any) -> Any:
    """The model under a PEFT adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def text_config(model: Any) -> Any:
    """The configuration of the decoder that speaks."""
    config = unwrapped(model).config
    if config.model_type == "vision-encoder-decoder":
        return config.decoder
    return config.get_text_config(decoder=True)


def translates(model: Any) -> bool:
    """Whether an encoder reads the prompt, so that the decoder starts with a token of its own."""
    return bool(text_config(model).is_encoder_decoder or unwrapped(model).config.is_encoder_decoder)


def quantisation(config: Any) -> str:
    """The dtype that `load` takes for weights of such a quantisation, or the method's name."""
    settings = config if isinstance(config, dict) else config.to_dict()
    kinds = {"load_in_8bit": "int8", "load_in_4bit": "int4"}
    found = [kind for name, kind in kinds.items() if settings.get(name)]
    method = settings.get("quant_method", "unknown")
    return found[0] if found else str(getattr(method, "value", method))  # some name it by an enumeration


def speaker(model: Any) -> Any:
    """The model that generates: itself, or the language model that it hands its inputs to (BLIP-2, Kosmos-2).

    A language model that generates by itself ends answers, and counts positions, by its own configuration.
    """
    base = unwrapped(model)
    if "generate" not in vars(type(base)):
        return base
    inner = (m for m in base.modules() if m is not base and hasattr(m, "generate") and hasattr(m, "generation_config"))
    return next(inner, base)


def embeddings_of(model: Any) -> nn.Module | None:
    """The module of a model's token embeddings; None where transformers does not know which one that is."""
    try:
        found: nn.Module | None = model.get_input_embeddings()
    except NotImplementedError:  # PP-FormulaNet
        return None
    return found


#: The tokens of a pass that shows what a model does.
TOKENS = (1, 2, 3, 4)


@torch.inference_mode()
def text_pass(base: Any) -> Any:
    """What `base` gives for a few tokens, without an image."""
    ids = torch.tensor([TOKENS], device=place(embeddings_of(base) or base)[0])
    own = {"decoder_input_ids": ids} if translates(base) else {}
    return base(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **own)


# ---- weights ---------------------------------------------------------------------------------------------------------


def compiled_around(model: nn.Module, block: nn.Module) -> str | None:
    """The class of a compiled module that has `block` inside it; None where there is none."""
    for module in model.modules():
        compiled = (
            hasattr(module, "_orig_mod")
            or module._compiled_call_impl is not None
            or hasattr(module.forward, "_torchdynamo_orig_callable")
        )
        if compiled and module is not block and any(inner is block for inner in module.modules()):
            return type(getattr(module, "_orig_mod", module)).__name__
    return None


def stored(model: nn.Module, name: str, parameter: Tensor) -> Tensor:
    """The values of a parameter, which accelerate may keep elsewhere (CPU, disk) until its module runs.

    Args:
        model: the module that has the parameter.
        name: the parameter's name inside it.
        parameter: the parameter, perhaps without its values.

    Raises:
        ModelError: its values cannot be found.
    """
    if not parameter.is_meta:
        return parameter
    owner, _, own = name.rpartition(".")
    while True:
        hook = getattr(model.get_submodule(owner), "_hf_hook", None)
        weights = getattr(hook, "weights_map", None)
        if weights is not None and own in weights:
            return weights[own]
        if not owner:
            raise ModelError(f"The values of the weight {name} cannot be found; load the model without off-loading.")
        owner, _, last = owner.rpartition(".")
        own = f"{last}.{own}"


def place(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """The device and dtype that `module` computes in; accelerate brings an off-loaded module to its hook's device."""
    hook = getattr(module, "_hf_hook", None)
    weight = next((p for p in module.parameters() if p.is_floating_point()), None)
    dtype = torch.float32 if weight is None else weight.dtype
    device = getattr(hook, "execution_device", None)
    if device is None:
        device = torch.device("cpu") if weight is None else weight.device
    return torch.device(device), dtype
