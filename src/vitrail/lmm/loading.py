"""Loading: from the hub or a folder, in a precision, on one device or several, with an adapter on top."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from PIL import Image
from torch import nn

from vitrail.errors import ModelError, UsageError, VitrailError
from vitrail.lmm.adapters import check_adapter, check_trained, put_on
from vitrail.lmm.description import ModelDescription
from vitrail.lmm.families import DEFAULT_PROMPT, Plain, family_of
from vitrail.lmm.films import check_films
from vitrail.lmm.finding import check_readable, find_parts
from vitrail.lmm.generating import greedy_configuration, one_by_one
from vitrail.lmm.logits import after_unembedding
from vitrail.lmm.messages import first_line, quiet_loading
from vitrail.lmm.model import LMM
from vitrail.lmm.options import DType, Layer, Videos, own_layers
from vitrail.lmm.padding import counts_by_itself, moved_by_padding
from vitrail.lmm.parts import Parts, speaker, translates, unwrapped
from vitrail.lmm.placement import Placement, device_of
from vitrail.lmm.prompts import is_jinja
from vitrail.lmm.transformers_backend import TransformersBackend

#: Loads a model, in whatever process it is called.
Loader: TypeAlias = Callable[[], LMM]


def load(
    model: str | Path,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    merge: bool = False,
    dtype: DType = "auto",
    device: str | Placement | None = None,
    prompt: str | None = None,
    prompt_template: str | None = None,
    videos: Videos = "frames",
    parts: Mapping[str, str] | None = None,
    trust_remote_code: bool = False,
) -> LMM:
    """The image-text-to-text model `model`, ready to be read.

    >>> lmm = load("toyland")
    >>> lmm.n_blocks, lmm.n_features
    (8, 256)

    Args:
        model: "toyland", a folder, or the name of a model on the hub (with `revision`).
        revision: a branch, tag or commit on the hub; the commit is kept.
        adapter: a PEFT adapter's folder or name, put on top; "toyland:place" is one that comes with Toyland.
        merge: whether the adapter's weights are added to the model's, which is faster and cannot be undone.
        dtype: of the weights; "auto" is what the model's configuration says. "int8" and "int4" quantise them
            (bitsandbytes), all but the unembedding.
        device: "cpu", "cuda", "cuda:1" …; by default the accelerator if there is one. "auto", or a `Placement`, spreads
            the model over several devices.
        prompt: the request for a caption; by default the model's own (`caption_prompt` in its configuration), its
            family's, or `DEFAULT_PROMPT`.
        prompt_template: how the model is asked, by default by its chat template or as its family is: a chat template in
            Jinja, or text with {request} in it, as "USER: {image} {request} ASSISTANT: {answer}". {image} is the
            image's token, {start} the token that begins a text, and {answer} stands where the answer begins.
        videos: how the model is given a video: "frames", each as an image, or "whole", as one video under its own video
            token, at the times of its frames, by the family's own video processor, which needs torchvision.
        parts: part → the name of its module, for what is not found or not what you mean: "blocks", "norm" ("none" for
            none), "unembedding" or "head", "vision", "connector"; see `find_parts`.
        trust_remote_code: whether code that comes with the model may run. It may do anything on this machine.

    Raises:
        ModelError: neither a model nor a name on the hub, or not an image-text-to-text model, or a part was not found;
            or it takes no video as a whole.
        UsageError: there is no such device, or the template has no place for the request.
    """
    check_template(prompt_template)
    check_model(
        model,
        revision=revision,
        adapter=adapter,
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    path = _location(model)
    check_trained(Path(path))
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    place = _place(device)
    placement = _placement(dtype, place)
    processor = _processor(path, model, options)
    if videos == "whole" and prompt_template is None:  # before the weights are read
        check_films(processor, str(model))
    with quiet_loading():
        network = _network(path, model, {**placement, **options})
    if adapter is not None:
        network = put_on(network, adapter)
        network = network.merge_and_unload() if merge else network
    if "device_map" not in placement:
        network = network.to(place)
    asked: dict[str, Any] = {"prompt_template": prompt_template, "videos": videos, "parts": parts}
    lmm = from_transformers(network, processor, str(model), prompt, **asked)
    return replace(lmm, revision=_commit(path, revision) or revision, adapter=None if adapter is None else str(adapter))


def check_model(
    model: str | Path,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    dtype: DType = "auto",
    device: str | Placement | None = None,
    trust_remote_code: bool = False,
    layers: Iterable[Layer] = (),
) -> None:
    """Raises what loading and reading a model would raise, as far as that is known before its weights are read.

    Args:
        model: this and the following as in `load`.
        layers: those that will be read or changed; checked where the model's configuration says how many it has.

    Raises:
        ModelError: there is no such model or adapter, it is no image-text-to-text model, or a library is missing.
        UsageError: there is no such device or layer.
    """
    place = _place(device)
    _placement(dtype, place)
    if adapter is not None:
        check_adapter(adapter)
    config = _configuration(_location(model), model, {"revision": revision, "trust_remote_code": trust_remote_code})
    check_readable(config, str(model))
    n_blocks = n_blocks_of(config)
    if n_blocks is not None:
        own_layers(layers, n_blocks, str(model))


def n_blocks_of(config: Any) -> int | None:
    """The number of the decoder's blocks by the configuration of a model; None where it does not say."""
    text = config.get_text_config(decoder=True)
    # where there is an encoder, too, "num_hidden_layers" may be its number
    found = (getattr(text, name, None) for name in ("decoder_layers", "num_decoder_layers", "num_hidden_layers"))
    return next((n for n in found if isinstance(n, int)), None)


def _place(device: str | Placement | None) -> Placement | torch.device:
    """Where a model goes: `device` as `load` takes it."""
    return Placement() if device == "auto" else device if isinstance(device, Placement) else device_of(device)


def load_as(
    description: ModelDescription,
    *,
    model: str | Path | None = None,
    device: str | Placement | None = None,
    prompt: str | None = None,
    trust_remote_code: bool = False,
) -> LMM:
    """The model that `description` describes: its weights at its revision, in its precision, under its adapter.

    Args:
        description: of a model that was loaded before, as a manifest keeps it.
        model: a folder or name where the model is now; the name in the description for None. The LMM is called as the
            description calls it.
        device: as in `load`.
        prompt: as in `load`.
        trust_remote_code: as in `load`; that code ran before does not mean that it may run again.

    Raises:
        ModelError: it cannot be loaded.
        UsageError: there is no such device.
    """
    lmm = load(
        model or description.name,
        revision=description.revision,
        adapter=description.adapter,
        dtype=cast(DType, description.weights_dtype),
        device=device,
        prompt=prompt,
        prompt_template=description.prompt_template,
        videos=cast(Videos, description.videos or "frames"),
        parts=description.parts,
        trust_remote_code=trust_remote_code,
    )
    if description.generation is not None and not description.generation.get("greedy", True):
        lmm = lmm.with_own_generation()
    return lmm if model is None else replace(lmm, name=description.name)


def loader_of(model: LMM | Loader) -> Loader:
    """A function that loads `model` in another process; it holds no weights. One that is given stays as it is."""
    return partial(_the_same, model.describe(), model.prompt) if isinstance(model, LMM) else model


def _the_same(description: ModelDescription, prompt: str) -> LMM:
    """The model that `description` describes.

    Raises:
        ModelError: it cannot be loaded; or what is loaded is another one, as of a model that was changed in memory.
    """
    lmm = load_as(description, prompt=prompt)
    if differing := lmm.differences(description):
        raise ModelError(
            f"A worker cannot load {description.name} as it is here: {'; '.join(differing)}. Save the model to a "
            "folder that all workers see, and load that one."
        )
    return lmm


def as_lmm(model: LMM | str | Path) -> LMM:
    """`model` itself, or the model of that name or folder, as `load` finds it.

    Raises:
        ModelError: it cannot be loaded.
    """
    return load(model) if isinstance(model, str | Path) else model


def check_template(prompt_template: str | None) -> None:
    """Raises `UsageError` if text that shall be a prompt template has no place for the request; see `load`."""
    if prompt_template is not None and not is_jinja(prompt_template):
        Plain.written(prompt_template)


def from_transformers(
    network: Any,
    processor: Any,
    name: str,
    prompt: str | None = None,
    *,
    prompt_template: str | None = None,
    videos: Videos = "frames",
    parts: Mapping[str, str] | None = None,
) -> LMM:
    """An LMM around a model of transformers that is in memory.

    The model is put in evaluation mode, asks for no gradient, and gets a fresh generation configuration, for greedy
    generation (`LMM.with_own_generation` goes back to its own). Its tokenizer pads where generation needs it: on the
    left, or on the right for an encoder's prompt.

    Args:
        network: the image-text-to-text model.
        processor: of images and texts; it has a `tokenizer` and an `image_processor`.
        name: what manifests call it.
        prompt: this and the following as in `load`.

    Raises:
        ModelError: a part was not found, the model generates no text, or it takes no video as a whole.
        UsageError: the template has no place for the request.
    """
    check_template(prompt_template)
    check_readable(unwrapped(network).config, type(unwrapped(network)).__name__)
    if not hasattr(speaker(network), "generate"):
        raise ModelError(f"{type(unwrapped(network)).__name__} generates no text, so it has no words to read.")
    network.eval().requires_grad_(False)
    tokenizer = processor.tokenizer
    own = _set_greedy(network, tokenizer)
    tokenizer.padding_side = "right" if translates(network) else "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if prompt_template is not None and is_jinja(prompt_template):
        processor.chat_template = prompt_template
    if videos == "whole":
        if prompt_template is not None and not is_jinja(prompt_template):
            raise UsageError("A video goes to a model as a whole by a chat template; give one in Jinja.")
        check_films(processor, name)
    prompt = _own_prompt(unwrapped(network).config) if prompt is None else prompt
    nothing = Parts(nn.ModuleList(), nn.Identity(), nn.Identity(), {})  # until they are found
    backend = TransformersBackend(network, processor, nothing, own, prompt_template=prompt_template, videos=videos)
    return LMM(_looked_at(backend, prompt, parts), name, prompt=prompt)


def _looked_at(backend: TransformersBackend, prompt: str, parts: Mapping[str, str] | None) -> TransformersBackend:
    """The backend with its parts, and with all else that is seen in passes: now, while nothing else looks at them."""
    network, picture = backend.model, Image.linear_gradient("L").resize((112, 112)).convert("RGB")

    def look() -> Any:
        return backend.run(backend.prepare([picture], [prompt]))

    if backend.quantization is not None:
        look()  # in which some unpack their weights, which are other parameters from then on (compressed-tensors)
    _check_heard(backend, picture, prompt)
    found = replace(backend, parts=find_parts(network, parts, look))
    after_unembedding(network, found.parts, look)
    if found.translates or not counts_by_itself(unwrapped(network)):
        return found
    moved = moved_by_padding(found, picture, (prompt, f"{prompt} {DEFAULT_PROMPT}"))
    return replace(found, moved_by_padding=moved)


def _check_heard(backend: TransformersBackend, picture: Image.Image, prompt: str) -> None:
    """Raises `ModelError` if what is asked does not reach the model: some processors write prompts of their own."""
    if not backend.hears:
        return
    try:
        asked = [backend.prepare([picture], [request]) for request in (prompt, f"{prompt} {DEFAULT_PROMPT}")]
    except VitrailError:
        raise
    except Exception:  # whatever a processor raises; a request raises it again, and is told which image it was
        return
    ids = [batch.get("encoder_input_ids", batch["input_ids"]) for batch in asked]
    if ids[0].shape == ids[1].shape and bool((ids[0] == ids[1]).all()):
        raise ModelError(
            f"The processor of {backend.kind} writes its own prompt, whatever is asked: neither requests nor questions "
            "would reach the model."
        )


def _own_prompt(config: Any) -> str:
    """The request for a caption that a model's configuration names, or its family's."""
    plain = family_of(config.model_type).plain
    return getattr(config, "caption_prompt", DEFAULT_PROMPT if plain is None else plain.caption)


def quieten() -> None:
    """Keeps transformers' own warnings and progress bars off the terminal."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _placement(dtype: DType, place: Placement | torch.device) -> dict[str, Any]:
    """What `from_pretrained` is told about precision and place; no `device_map` for a whole model on one device."""
    spread = place.as_options() if isinstance(place, Placement) else {}
    if dtype not in ("int8", "int4"):
        return {"dtype": dtype, **spread}
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ModelError(f"dtype {dtype!r} needs bitsandbytes: pip install 'vitrail[quantized]'.") from error
    from transformers import BitsAndBytesConfig

    kind = "load_in_8bit" if dtype == "int8" else "load_in_4bit"
    return {
        "dtype": "auto",
        "quantization_config": BitsAndBytesConfig(**{kind: True}),
        **(spread or {"device_map": {"": place}}),
    }


def _configuration(path: str, model: str | Path, options: Mapping[str, Any]) -> Any:
    """The configuration of a model. Refuses what is no image-text-to-text model, before any weights are read."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    try:
        config = AutoConfig.from_pretrained(path, **options)
    except Exception as error:
        raise _configuration_error(path, model, options, error) from error
    if type(config) not in AutoModelForImageTextToText._model_mapping and not options["trust_remote_code"]:
        raise ModelError(f"{model} is not an image-text-to-text model: it is of type {config.model_type!r}.")
    return config


def _configuration_error(path: str, model: str | Path, options: Mapping[str, Any], error: Exception) -> ModelError:
    """Why a model's configuration cannot be used: it is not there, has a type that is not known, or a wrong value."""
    from transformers import PretrainedConfig, __version__
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        settings, _ = PretrainedConfig.get_config_dict(path, **options)
    except (OSError, ValueError, KeyError):
        settings = {}
    if not settings:
        return _refused(model, error, f"{model} is neither a model folder nor a model on the hub that can be reached")
    types = [("it", settings.get("model_type")), *_types_of_parts(settings)]
    unknown = [
        f"{name} has {kind!r}" for name, kind in types if kind and kind not in CONFIG_MAPPING and kind in str(error)
    ]
    if not unknown or "auto_map" in settings:
        return _refused(model, error, f"The configuration of {model} cannot be used")
    return ModelError(
        f"The configuration of {model} was read, but transformers {__version__} does not know a model type in it: "
        f"{', '.join(unknown)}. Is it a newer model? Then upgrade transformers. Is it your own? Then register it "
        "(`AutoConfig.register`, `AutoModel.register`) before you load it, or hand the network to "
        "`vitrail.lmm.from_transformers`."
    )


def _types_of_parts(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The name and the type of every part of a configuration, parts of parts included."""
    for name, part in settings.items():
        if isinstance(part, dict):
            if "model_type" in part:
                yield f"its {name}", part["model_type"]
            yield from _types_of_parts(part)


def _network(path: str, model: str | Path, options: Mapping[str, Any]) -> Any:
    """The model with all of its weights from its files.

    Raises:
        ModelError: it cannot be loaded, or weights are missing.
    """
    from transformers import AutoModelForImageTextToText

    try:
        options = {**options, **_config_of_own_class(path, options)}
        loaded: Any = AutoModelForImageTextToText.from_pretrained(path, output_loading_info=True, **options)
    except Exception as error:
        raise _refused(model, error, f"{model} could not be loaded") from error
    network, told = loaded
    if lost := sorted(told["missing_keys"]):
        raise ModelError(
            f"{model} lacks {len(lost)} of the weights of a {type(network).__name__}, such as {lost[0]}; they would be "
            "random. Were its files written by another class, or not all of them copied?"
        )
    return network


def _config_of_own_class(path: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a model whose class comes with it, read by that class, as the option `config`.

    transformers runs each file of a folder's code under a name of its own, and the files that it imports with it. So a
    class of configurations that stands in a second file exists twice, and a model that is made of one does not know
    the other. What the model's own file imports is the one that fits.
    """
    from transformers import AutoModelForImageTextToText, PretrainedConfig
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    if not options["trust_remote_code"]:
        return {}
    settings, _ = PretrainedConfig.get_config_dict(path, revision=options["revision"])
    name = settings.get("auto_map", {}).get(AutoModelForImageTextToText.__name__)
    if name is None:
        return {}
    network: Any = get_class_from_dynamic_module(name, path, revision=options["revision"])
    return {"config": network.config_class.from_pretrained(path, revision=options["revision"])}


@dataclass
class _Pair:
    """An image processor and a tokenizer side by side, for a model without a processor around them (ViT-GPT2)."""

    image_processor: Any
    tokenizer: Any
    chat_template: str | None = None


def _processor(path: str, model: str | Path, options: Mapping[str, Any]) -> Any:
    """What makes inputs of images and texts.

    Raises:
        ModelError: there is none, or it needs a library that is not installed.
    """
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer

    try:
        processor = AutoProcessor.from_pretrained(path, **options)
        if not hasattr(processor, "tokenizer"):
            images = AutoImageProcessor.from_pretrained(path, **options)
            processor = _Pair(images, AutoTokenizer.from_pretrained(path, **options))
    except ImportError as error:
        raise ModelError(f"The processor of {model} needs a library that is not installed: {error}") from error
    except Exception as error:
        raise _refused(model, error, f"{model} has no processor of images and text beside it") from error
    return processor


def _set_greedy(network: Any, tokenizer: Any) -> Any:
    """Gives the model, and what inside it generates, a configuration for greedy generation; gives back its own one."""
    own = one_by_one(getattr(speaker(network), "generation_config", None))
    for model in (unwrapped(network), speaker(network)):
        if getattr(model, "generation_config", None) is not None:
            model.generation_config = greedy_configuration(model.generation_config, tokenizer)
    return own


def _location(model: str | Path) -> str:
    """The folder of the bundled model for "toyland", or `model` as it is."""
    if str(model) == "toyland":
        from vitrail import toyland

        return str(toyland.model_path())
    return str(model)


def _commit(path: str, revision: str | None) -> str | None:
    """The commit of a model that came from the hub, since a branch moves on; None for a folder."""
    from huggingface_hub import try_to_load_from_cache

    found = None if Path(path).exists() else try_to_load_from_cache(path, "config.json", revision=revision)
    return Path(found).parent.name if isinstance(found, str) else None


def _refused(model: str | Path, error: BaseException, what: str) -> ModelError:
    """The error that says `what`, and why; or that the model comes with code, which transformers did not run."""
    if isinstance(error, ValueError) and "trust_remote_code" in str(error):
        return ModelError(
            f"{model} comes with code of its own, which may do anything on this machine. Read it, and if you trust it, "
            "load the model with trust_remote_code=True (--trust-remote-code)."
        )
    return ModelError(f"{what}: {first_line(error)}")
