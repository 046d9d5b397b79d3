"""The parts of a model, found by structure: blocks, final norm, unembedding; vision encoder and connector."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.lmm import hooks
from vitrail.lmm.families import family_of

log = logging.getLogger(__name__)

#: The name of a part that is no module of the model: an `nn.Identity` in place of a norm.
ABSENT = "none"


@dataclass(frozen=True)
class Parts:
    """The modules that Vitrail reads, with the names under which they were found.

    `blocks` are the decoder's blocks 1..N, `norm` the final norm, `unembedding` `W_U` (vocabulary, features). Between
    the last block and the unembedding there is nothing but `norm`, which may be more than a norm (BERT's head), or an
    `nn.Identity` where the blocks end with their own.
    """

    blocks: nn.ModuleList
    norm: nn.Module
    unembedding: nn.Module
    names: dict[str, str]

    def within(self, model: nn.Module) -> Parts:
        """The parts of `model`, which has the structure of the model that these were found in."""
        there: dict[str, Any] = {part: model.get_submodule(name) for part, name in self.names.items() if name != ABSENT}
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
    return found[0] if found else str(settings.get("quant_method", "unknown"))


def find_parts(model: Any) -> Parts:
    """The decoder's blocks, final norm and unembedding, by structure and by transformers' own accessors.

    The final norm is the one module beside the blocks, or beside the unembedding, whose weight is a vector of the
    model's width and which is not called a norm of embeddings. Where names do not tell, a pass over a few tokens does:
    it is the norm whose output the unembedding reads.

    Raises:
        ModelError: a part was not found, two modules could be it, or the model has no single residual stream.
    """
    base, config = unwrapped(model), text_config(model)
    _check_one_stream(config, type(base).__name__)
    decoder = find_decoder(base)
    name, blocks = _blocks(decoder, config, type(base).__name__)
    unembedding = base.get_output_embeddings()
    if unembedding is None:
        raise ModelError(f"{type(base).__name__} has no output embeddings that transformers knows of.")
    names = {id(m): n for n, m in base.named_modules()}
    owner = decoder.get_submodule(name.rpartition(".")[0])
    norm = _final_norm(base, owner, names[id(unembedding)], config)
    return Parts.named(base, blocks, norm or _traced_norm(base, owner, unembedding, config), unembedding)


_HYPER = "several residual streams side by side (hyper-connections)"
#: A field of a configuration, and the least value by which a model has another residual stream → what it has.
OTHER_STREAMS = {
    ("hc_mult", 2): _HYPER,
    ("hc_count", 2): _HYPER,
    ("n_layers_per_attn_res_block", 1): "attention over the states of earlier blocks (attention residuals)",
}


def _check_one_stream(config: Any, kind: str) -> None:
    """Raises `ModelError` for a model whose last state is not one vector a token that gives its logits."""
    for (name, least), other in OTHER_STREAMS.items():
        if (getattr(config, name, None) or 0) >= least:
            raise ModelError(
                f"{kind} has {other}: what its last block puts out is not the one state a token that gives its logits, "
                "which Vitrail reads, learns from and edits. Such models are not read yet."
            )


def _blocks(decoder: nn.Module, config: Any, kind: str) -> tuple[str, nn.ModuleList]:
    """The decoder's only list of as many modules as it has layers, outside of blocks and of models inside it."""
    n = (config.is_encoder_decoder and _decoder_layers(config)) or config.num_hidden_layers
    sight = tuple(f"{name}." for name, m in decoder.named_modules() if name and _is_other(m, decoder))
    lists = [
        (name, m)
        for name, m in decoder.named_modules()
        if isinstance(m, nn.ModuleList) and len(m) == n and not name.startswith(sight)
    ]
    outside = [(name, m) for name, m in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    return _only("list of blocks", outside, kind)


def find_decoder(base: Any) -> Any:
    """The stack that holds the blocks: transformers' accessor, followed to its end (BLIP-2's decoder is a whole OPT).

    Raises:
        ModelError: transformers knows of none.
    """
    decoder = base.get_decoder()
    if decoder is None:
        raise ModelError(f"{type(base).__name__} has no decoder that transformers knows of.")
    while hasattr(decoder, "get_decoder") and (inner := decoder.get_decoder()) is not decoder:
        decoder = inner
    return decoder


def speaker(model: Any) -> Any:
    """The model that generates: itself, or the language model that it hands its inputs to (BLIP-2, Kosmos-2).

    A language model that generates by itself ends answers, and counts positions, by its own configuration.
    """
    base = unwrapped(model)
    if "generate" not in vars(type(base)):
        return base
    inner = (m for m in base.modules() if m is not base and hasattr(m, "generate") and hasattr(m, "generation_config"))
    return next(inner, base)


def find_sight(model: Any) -> dict[str, tuple[str, ...]]:
    """The names of the modules that are the vision encoder ("vision"), and of those that are the connector.

    Raises:
        ModelError: the decoder or a part of it was not found.
    """
    base = unwrapped(model)
    vision = _vision(base)
    decoder, parts = find_decoder(base), find_parts(base)
    # a decoder that holds the vision encoder (Idefics, GIT) holds the connector, too
    within = any(m is decoder and any(v.startswith(f"{name}.") for v in vision) for name, m in base.named_modules())
    spoken = [parts.blocks, parts.norm, parts.unembedding] if within else [decoder, parts.unembedding]
    read = base.get_input_embeddings() if within else None
    known = [*vision, *(name for name, m in base.named_modules() if any(m is s for s in spoken))]

    def is_known(name: str, module: nn.Module) -> bool:
        return name in known or (module is not decoder and read is not None and _holds(module, read))

    own = family_of(base.config.model_type).connector
    between = [f"{v}.{own}" for v in vision] if own else _outermost_between("", base, known, is_known)
    return {"vision": tuple(vision), "connector": tuple(between)}


def _vision(base: Any) -> list[str]:
    """The names of the vision models inside a model, but not of those inside another one."""
    own = [getattr(base.config, part, None) for part in ("vision_config", "vq_config")]
    found = [name for name, m in base.named_modules() if name and _is_vision(m, own)]
    return [name for name in found if not any(name.startswith(f"{other}.") for other in found)]


def _outermost_between(
    prefix: str, module: nn.Module, known: Sequence[str], is_known: Callable[[str, nn.Module], bool]
) -> list[str]:
    """The names of the largest modules with parameters that are not known, and that hold no known one."""
    found = []
    for child, m in module.named_children():
        name = prefix + child
        if is_known(name, m):
            continue
        if any(k.startswith(f"{name}.") for k in known):
            found += _outermost_between(f"{name}.", m, known, is_known)
        elif any(True for _ in m.parameters()):
            found.append(name)
    return found


def _holds(module: nn.Module, other: nn.Module) -> bool:
    """Whether `other` is inside `module`."""
    return any(m is other for m in module.modules())


def _is_vision(module: nn.Module, own: list[Any]) -> bool:
    """Whether a module is a vision model of its own: by its configuration (one of `own`), by that one's name, or by its
    main input."""
    config = getattr(module, "config", None)
    return config is not None and (
        any(config is c for c in own)
        or getattr(config, "base_config_key", "") in ("vision_config", "vq_config")
        or getattr(module, "main_input_name", None) == "pixel_values"
    )


def _is_other(module: nn.Module, decoder: nn.Module) -> bool:
    """Whether a module inside `decoder` is a model of another kind."""
    config = getattr(module, "config", None)
    return config is not None and type(config) is not type(decoder.config)


def _decoder_layers(config: Any) -> int | None:
    return getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", None)


def _final_norm(base: Any, owner: nn.Module, unembedding: str, config: Any) -> nn.Module | None:
    """The final norm by its place and name; None where they do not tell."""
    width = config.hidden_size
    beside = [(n, m) for n, m in owner.named_children() if _is_norm(m, width) and "emb" not in n]
    if not beside and (parent := unembedding.rpartition(".")[0]):  # a head with a norm of its own
        head = base.get_submodule(parent).named_children()
        beside = [
            (n, m) for n, m in head if f"{parent}.{n}" != unembedding and any(_is_norm(x, width) for x in m.modules())
        ]
    if not beside and family_of(config.model_type).post_norm:
        return nn.Identity()
    return beside[0][1] if len(beside) == 1 else None


#: The tokens of a pass that shows what a model does.
TOKENS = (1, 2, 3, 4)


def _traced_norm(base: Any, owner: nn.Module, unembedding: nn.Module, config: Any) -> nn.Module:
    """The norm beside the blocks whose output the unembedding reads, in a pass over a few tokens.

    Raises:
        ModelError: there is none, or there are several.
    """
    beside = {name: m for name, m in owner.named_children() if _is_norm(m, config.hidden_size)}
    seen: dict[str, Tensor] = {}
    if beside:
        try:
            with hooks.watch(
                {**beside, "": unembedding},
                lambda name, states: seen.update({name: states[0, -1].clone()}),
                inputs=frozenset({""}),
            ):
                text_pass(base)
        except Exception as error:  # whatever a model raises that needs an image
            log.debug("%s cannot be traced without an image: %s", type(base).__name__, error)
    read = seen.pop("", None)
    found = [(n, beside[n]) for n, states in seen.items() if read is not None and torch.equal(states, read)]
    if not found and len(beside) > 1:
        found = list(beside.items())
    return _only("final norm", found, type(base).__name__)[1]


@torch.inference_mode()
def text_pass(base: Any) -> Any:
    """What `base` gives for a few tokens, without an image."""
    ids = torch.tensor([TOKENS], device=place(base.get_input_embeddings())[0])
    own = {"decoder_input_ids": ids} if translates(base) else {}
    return base(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **own)


def _is_norm(module: nn.Module, width: int) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and tuple(weight.shape) == (width,)


def _only(what: str, found: list[tuple[str, Any]], model: str) -> tuple[str, Any]:
    if len(found) != 1:
        raise ModelError(f"Expected one {what} in {model}; found {[n for n, _ in found] or 'none'}.")
    return found[0]


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
