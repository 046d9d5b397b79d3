"""Finds the parts of a model: by transformers' accessors and by structure; where these do not tell, in a forward pass.

A pass shows what each module was given and what it gave, at the last position. The head is the module whose output the
logits are, up to a scale or a cap. The blocks are the list whose last module's output is what the head was given, or
what the final norm made that of. Names are only a hint, for modules that such a pass does not tell apart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeAlias

import torch
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.lmm import hooks
from vitrail.lmm.families import family_of
from vitrail.lmm.parts import ABSENT, Parts, embeddings_of, text_config, text_pass, unwrapped

log = logging.getLogger(__name__)

#: Runs a model once, on whatever it reads, and gives what it puts out; `.logits` are among it.
Look: TypeAlias = Callable[[], Any]
#: The parts that a user can name; the head is another name of the unembedding.
NAMES = ("blocks", "norm", "unembedding", "vision", "connector")
_ALSO = {"head": "unembedding"}


def find_parts(model: Any, said: Mapping[str, str] | None = None, look: Look | None = None) -> Parts:
    """The decoder's blocks, final norm and unembedding.

    By structure, the final norm is the one module beside the blocks, or beside the unembedding, whose weight is a
    vector of the model's width and which is not called a norm of embeddings. Where structure leaves no candidate for a
    part, or several, a pass decides, over a few tokens of text, or by `look`.

    Args:
        model: of transformers, perhaps under an adapter.
        said: part ("blocks", "norm", "unembedding" or "head", "vision", "connector") → the name of its module, or
            several by commas for the last two; "none" as the norm of a model without one. The rest is found. Where a
            pass can be made, it proves what is said.
        look: runs the model on an image; for models that read no text alone.

    Raises:
        ModelError: a part was not found, several modules could be it, a module that was named is not the part, or the
            model has no single residual stream. Names that would fit are told.
    """
    base = unwrapped(model)
    check_readable(base.config, type(base).__name__)
    named = _said(base, said or {})
    guessed, why = _by_structure(base)
    fixed: dict[str, nn.Module] = {part: m for part, m in named.items() if part in _MODULES}
    missing = [part for part in _MODULES if part not in guessed and part not in fixed]
    found = {**guessed, **fixed}
    if missing or fixed:
        seen = _seen(base, look)
        if seen is None and missing:
            raise ModelError(f"{why[missing[0]]} {_how_to_say(base, missing[0])}")
        if seen is not None:
            found = _traced(base, seen, fixed, guessed, why)
    parts = Parts.named(base, found["blocks"], found["norm"], found["unembedding"])
    sight = {side: name for side, name in (said or {}).items() if side in ("vision", "connector")}
    return Parts(parts.blocks, parts.norm, parts.unembedding, {**parts.names, **sight})


_MODULES = ("blocks", "norm", "unembedding")
_HYPER = "several residual streams side by side (hyper-connections)"
#: A field of a configuration, and the least value by which a model has another residual stream → what it has.
OTHER_STREAMS = {
    ("hc_mult", 2): _HYPER,
    ("hc_count", 2): _HYPER,
    ("altup_num_inputs", 2): "several predictions of its residual stream side by side (AltUp)",
    ("n_layers_per_attn_res_block", 1): "attention over the states of earlier blocks (attention residuals)",
}


def check_readable(config: Any, kind: str) -> None:
    """Checks by its configuration that a model is one that Vitrail reads.

    Raises:
        ModelError: its family writes no text of images, word after word; or its last state is not one vector a token
            that gives its logits.
    """
    if refused := family_of(config.model_type).refused:
        raise ModelError(f"{kind} ({config.model_type}) {refused}, so it has no words of images to read.")
    text = config.get_text_config(decoder=True)
    for (name, least), other in OTHER_STREAMS.items():
        if (getattr(text, name, None) or 0) >= least:
            raise ModelError(
                f"{kind} has {other}: what its last block puts out is not the one state a token that gives its logits, "
                "which Vitrail reads, learns from and edits. Such models are not read yet."
            )


# ---- by structure ----------------------------------------------------------------------------------------------------


def _by_structure(base: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """The parts that accessors and structure tell, and for each other one why they do not."""
    config, kind = text_config(base), type(base).__name__
    found: dict[str, Any] = {}
    why: dict[str, str] = {}

    def keep(part: str, find: Callable[[], Any]) -> None:
        try:
            found[part] = find()
        except ModelError as error:
            why[part] = str(error)

    keep("unembedding", lambda: _head(base))
    keep("blocks", lambda: _blocks(find_decoder(base), config, kind))
    if "blocks" in found:
        keep("norm", lambda: _final_norm(base, found["blocks"], found.get("unembedding"), config))
    else:
        why["norm"] = why["blocks"]
    return found, why


def _head(base: Any) -> nn.Module:
    head = base.get_output_embeddings()
    if head is None:
        raise ModelError(f"{type(base).__name__} has no output embeddings that transformers knows of.")
    return head


def _blocks(decoder: nn.Module, config: Any, kind: str) -> nn.ModuleList:
    """The decoder's only list of as many modules as it has layers, outside of blocks and of models inside it."""
    n = (config.is_encoder_decoder and _decoder_layers(config)) or getattr(config, "num_hidden_layers", None)
    sight = tuple(f"{name}." for name, m in decoder.named_modules() if name and _is_other(m, decoder))
    lists = [
        (name, m)
        for name, m in decoder.named_modules()
        if isinstance(m, nn.ModuleList) and len(m) == n and not name.startswith(sight)
    ]
    outside = [(name, m) for name, m in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    return _only("list of blocks", outside, kind)[1]


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


def _is_other(module: nn.Module, decoder: nn.Module) -> bool:
    """Whether a module inside `decoder` is a model of another kind."""
    config = getattr(module, "config", None)
    return config is not None and type(config) is not type(decoder.config)


def _decoder_layers(config: Any) -> int | None:
    return getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", None)


def _final_norm(base: Any, blocks: nn.Module, unembedding: nn.Module | None, config: Any) -> nn.Module:
    """The final norm by its place and name; an identity where the blocks of the family end with their own.

    Raises:
        ModelError: they do not tell.
    """
    width, names = config.hidden_size, {id(m): n for n, m in base.named_modules()}
    owner, head = base.get_submodule(names[id(blocks)].rpartition(".")[0]), names.get(id(unembedding), "")
    beside = [(n, m) for n, m in owner.named_children() if _is_norm(m, width) and "emb" not in n]
    if not beside and (parent := head.rpartition(".")[0]):  # a head with a norm of its own
        children = base.get_submodule(parent).named_children()
        beside = [
            (n, m) for n, m in children if f"{parent}.{n}" != head and any(_is_norm(x, width) for x in m.modules())
        ]
    if not beside and family_of(config.model_type).post_norm:
        return nn.Identity()
    return _only("final norm", beside, type(base).__name__)[1]


def _is_norm(module: nn.Module, width: int) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and tuple(weight.shape) == (width,)


def _only(what: str, found: Sequence[tuple[str, Any]], model: str) -> tuple[str, Any]:
    if len(found) != 1:
        raise ModelError(f"Expected one {what} in {model}; found {[n for n, _ in found] or 'none'}.")
    return found[0]


# ---- by what a user says ---------------------------------------------------------------------------------------------


def _said(base: Any, said: Mapping[str, str]) -> dict[str, Any]:
    """Part → the module that a user named.

    Raises:
        ModelError: there is no such part or module, or the module is not of the kind; names that would fit are told.
    """
    modules = dict(base.named_modules())
    found: dict[str, Any] = {}
    for given, name in said.items():
        part = _ALSO.get(given, given)
        if part not in NAMES:
            raise ModelError(f"{given!r} is no part of a model. Name {', '.join([*NAMES, *_ALSO])}.")
        if part in found:
            raise ModelError(f"The part {part} is named twice.")
        if part == "norm" and name == ABSENT:
            found[part] = nn.Identity()
            continue
        absent = [one for one in name.split(", ") if one not in modules]
        if part in ("vision", "connector") and name == ABSENT:
            continue
        if absent or not _is_kind(part, modules[name.split(", ")[0]]):
            what = f"has no module {absent[0]!r}" if absent else f"has at {name!r} what cannot be the part {part}"
            raise ModelError(f"{type(base).__name__} {what}. {_fitting(base, part)}")
        found[part] = modules.get(name)
    return found


def _is_kind(part: str, module: nn.Module) -> bool:
    """Whether a module may be that part at all."""
    if part == "blocks":
        return isinstance(module, nn.ModuleList) and len(module) > 0
    return part != "unembedding" or getattr(getattr(module, "weight", None), "ndim", 0) == 2


def _fitting(base: Any, part: str) -> str:
    """A sentence with names of modules that could be the part, outside of blocks."""
    width = getattr(text_config(base), "hidden_size", 0)
    lists = [f"{name}." for name, m in base.named_modules() if isinstance(m, nn.ModuleList)]
    kinds: dict[str, Callable[[nn.Module], bool]] = {
        "blocks": lambda m: _is_kind("blocks", m),
        "norm": lambda m: _is_norm(m, width),
        "unembedding": lambda m: isinstance(m, nn.Linear) and m.in_features == width < m.out_features,
    }
    fits = kinds.get(part, lambda m: any(True for _ in m.parameters()))
    names = [n for n, m in base.named_modules() if n and fits(m) and not n.startswith(tuple(lists))]
    return f"As {part} would fit: {', '.join(names[:12]) or 'none'}."


def _how_to_say(base: Any, part: str) -> str:
    return f"Name it: parts={{{part!r}: …}} (--part {part}=…). {_fitting(base, part)}"


# ---- by a pass -------------------------------------------------------------------------------------------------------


class _Call(NamedTuple):
    """What a module was given and what it gave, at the last position; empty where that was no tensor."""

    given: Tensor
    gave: Tensor


@dataclass(frozen=True)
class _Seen:
    """What a pass showed: the last call of each module, in the order in which they ended, and the logits."""

    calls: Mapping[str, _Call]
    logits: Tensor


def _seen(base: Any, look: Look | None) -> _Seen | None:
    """A pass over a few tokens of text, or over what `look` gives the model; None where neither can be made."""
    for run in (partial(text_pass, base), look):
        try:
            if run is not None:
                return _watched(base, run)
        except Exception as error:  # whatever a model raises that needs an image, or that writes no text
            log.debug("%s shows nothing in this pass: %s", type(base).__name__, error)
    return None


@torch.inference_mode()
def _watched(base: Any, run: Look) -> _Seen:
    nothing, given, gave = torch.empty(0), dict[str, Tensor](), dict[str, Tensor]()

    def last(output: object, _where: str) -> Tensor:
        tensor = output[0] if isinstance(output, tuple) and output else output
        floats = isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.ndim > 1 and tensor.numel() > 0
        return tensor.flatten(0, -2)[-1].float().cpu().clone() if floats else nothing  # type: ignore[union-attr]

    def see(name: str, vector: Tensor) -> None:
        before, _, own = name.partition(" ")
        if before:
            gave.pop(before, None)  # in the order in which they end
            gave[before] = vector
        else:
            given[own] = vector

    modules = {name: m for name, m in base.named_modules() if name}
    inputs = {f" {name}": m for name, m in modules.items()}
    with hooks.watch({**modules, **inputs}, see, inputs=frozenset(inputs), states_of=last):
        out = run()
    calls = {name: _Call(given.get(name, nothing), vector) for name, vector in gave.items()}
    return _Seen(calls, last(out.logits, ""))


def _traced(
    base: Any,
    seen: _Seen,
    fixed: Mapping[str, nn.Module],
    hints: Mapping[str, nn.Module],
    why: Mapping[str, str],
) -> dict[str, Any]:
    """The parts that a pass shows, with those that are `fixed`.

    Raises:
        ModelError: the pass shows none, or several that no hint tells apart.
    """
    kind, modules = type(base).__name__, dict(base.named_modules())
    names = {id(m): name for name, m in modules.items()}
    heads = [name for name, call in seen.calls.items() if _is_head(modules[name], call, seen.logits)]
    own = fixed.get("unembedding", hints.get("unembedding"))
    if "unembedding" in fixed or names.get(id(own)) in heads:
        heads = [h for h in heads if modules[h] is own]
    if len(heads) != 1:
        _refuse(base, seen, "unembedding", fixed, heads, why)
    read = seen.calls[heads[0]].given
    found = [
        (blocks, norm)
        for blocks in _lists(modules, seen)
        for norm in _between(modules, seen, blocks, read)
        if modules[blocks] is fixed.get("blocks", modules[blocks]) and _is_said(fixed.get("norm"), modules.get(norm))
    ]
    for part, place_of in (("blocks", 0), ("norm", 1)):
        hinted = [pair for pair in found if modules.get(pair[place_of]) is hints.get(part, base)]
        found = hinted or found
    blocks = list(dict.fromkeys(pair[0] for pair in found))
    if len(blocks) != 1:
        _refuse(base, seen, "blocks" if "blocks" in fixed or "norm" not in fixed else "norm", fixed, blocks, why)
    norm = modules.get(found[0][1], nn.Identity())
    log.debug("%s: a pass shows blocks %s, norm %s, head %s", kind, blocks[0], found[0][1], heads[0])
    return {"blocks": modules[blocks[0]], "norm": norm, "unembedding": modules[heads[0]]}


def _refuse(
    base: Any, seen: _Seen, part: str, fixed: Mapping[str, nn.Module], found: Sequence[str], why: Mapping[str, str]
) -> NoReturn:
    """Raises the error that `part` was not found in a pass, or several times."""
    kind = type(base).__name__
    if fixed:
        names = {id(m): name for name, m in base.named_modules()}
        said = ", ".join(f"{p}={names.get(id(m), ABSENT)}" for p, m in fixed.items())
        try:
            shown = Parts.named(base, **_traced(base, seen, {}, {}, why)).names
            fits = f"A pass shows {', '.join(f'{p}={name}' for p, name in shown.items())}."
        except ModelError:
            fits = _fitting(base, part)
        raise ModelError(
            f"The logits of {kind} do not come from {said}: from what the last block puts out, through the norm, "
            f"through the head. {fits}"
        )
    several = f"A pass shows several that could be the {part}: {', '.join(found)}." if found else ""
    raise ModelError(
        f"{why.get(part, next(iter(why.values())))} {several or 'A pass shows none, either.'} {_how_to_say(base, part)}"
    )


def _is_head(module: nn.Module, call: _Call, logits: Tensor) -> bool:
    """Whether the logits are what a module gave, up to what keeps the order of words: a scale, a cap."""
    n = min(len(call.gave), len(logits))
    if any(True for _ in module.children()) or len(call.gave) < max(2, len(logits)) or not len(call.given):
        return False
    real = logits[:n] > -1e30
    before, after = call.gave[:n][real], logits[:n][real]
    ranks = torch.stack([values.argsort().argsort().double() for values in (before, after)])
    return bool(torch.corrcoef(ranks)[0, 1] > 0.999)


def _lists(modules: Mapping[str, nn.Module], seen: _Seen) -> Iterator[str]:
    """The lists of modules whose last module ran."""
    for name, module in modules.items():
        if isinstance(module, nn.ModuleList) and len(module) and f"{name}.{len(module) - 1}" in seen.calls:
            yield name


def _between(modules: Mapping[str, nn.Module], seen: _Seen, blocks: str, read: Tensor) -> Iterator[str]:
    """The names of the modules that make what the last of the `blocks` gave into what the head `read`: "none" where it
    is the same, and of several inside each other the innermost."""
    last = f"{blocks}.{len(modules[blocks]) - 1}"  # type: ignore[arg-type]
    state = seen.calls[last].gave
    if _same(state, read):
        yield ABSENT
        return
    for name, call in seen.calls.items():
        if _same(call.given, state) and _same(call.gave, read) and not name.startswith(f"{blocks}."):
            yield name
            return


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two vectors are one, up to the rounding of a cast."""
    return one.shape == other.shape and len(one) > 0 and bool((one - other).norm() <= 1e-2 * other.norm())


def _is_said(said: nn.Module | None, module: nn.Module | None) -> bool:
    """Whether a module, None for no norm, is the one that was said, where one was said."""
    return said is None or (module is None and isinstance(said, nn.Identity)) or module is said


# ---- the image's side ------------------------------------------------------------------------------------------------


def find_sight(model: Any, parts: Parts) -> dict[str, tuple[str, ...]]:
    """The names of the modules that are the vision encoder ("vision"), and of those that are the connector;
    those that a user named, where one did."""
    base = unwrapped(model)
    vision = _vision(base)
    owner = base.get_submodule(parts.names["blocks"].rpartition(".")[0])
    decoder = owner if base.get_decoder() in (None, base) else find_decoder(base)
    # a decoder that holds the vision encoder (Idefics, GIT) holds the connector, too
    within = any(m is decoder and any(v.startswith(f"{name}.") for v in vision) for name, m in base.named_modules())
    spoken = [parts.blocks, parts.norm, parts.unembedding] if within else [decoder, parts.unembedding]
    read = embeddings_of(base) if within else None
    known = [*vision, *(name for name, m in base.named_modules() if any(m is s for s in spoken))]

    def is_known(name: str, module: nn.Module) -> bool:
        return name in known or (module is not decoder and read is not None and _holds(module, read))

    own = family_of(base.config.model_type).connector
    between = [f"{v}.{own}" for v in vision] if own else _outermost_between("", base, known, is_known)
    found = {"vision": tuple(vision), "connector": tuple(between)}
    said = {side: tuple(parts.names[side].split(", ")) for side in found if side in parts.names}
    return found | {side: () if names == (ABSENT,) else names for side, names in said.items()}


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
