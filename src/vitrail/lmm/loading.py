"""Loading: from the hub or a folder, in a precision, on one device or several, with an adapter on top."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitrail.errors import ModelError, UsageError
from vitrail.lmm.adapters import first_line, put_on
from vitrail.lmm.model import LMM, DType
from vitrail.lmm.parts import find_parts, speaker, translates, unwrapped
from vitrail.lmm.prompts import DEFAULT_PROMPT, PLAIN

log = logging.getLogger(__name__)

#: Defaults of a generation configuration that would make generation anything else than the most likely token.
NOT_GREEDY = (
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "length_penalty",
    "early_stopping",
)


def load(
    model: str | Path,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    merge: bool = False,
    dtype: DType = "auto",
    device: str | None = None,
    device_map: Mapping[str, int | str] | None = None,
    max_memory: Mapping[int | str, int | str] | None = None,
    offload_folder: str | Path | None = None,
    prompt: str | None = None,
    trust_remote_code: bool = False,
) -> LMM:
    """The image-text-to-text model `model`, ready to be read.

    Args:
        model: "toyland", a folder, or the name of a model on the hub (with `revision`).
        adapter: a PEFT adapter's folder or name, put on top; "toyland:place" is one that comes with Toyland.
        merge: whether the adapter's weights are added to the model's, which is faster and can no longer be undone.
        dtype: of the weights; "auto" is what the model's configuration says. "int8" and "int4" quantise them
            (bitsandbytes), all but the unembedding.
        device: "cpu", "cuda", "cuda:1" …; by default the accelerator if there is one. "auto" spreads the model over all
            devices, and what does not fit over the CPU's memory and the disk (accelerate).
        device_map: which module goes where, instead of `device`; as accelerate takes it.
        max_memory: with "auto", the most of each device, such as `{0: "20GiB", "cpu": "60GiB"}`.
        offload_folder: where weights lie that go to the disk.
        prompt: the request for a caption; by default the model's own (`caption_prompt` in its configuration), its
            family's, or `DEFAULT_PROMPT`.
        trust_remote_code: whether code that comes with the model may run. It may do anything on this machine.

    Raises:
        ModelError: neither a model nor a name on the hub, or not an image-text-to-text model, or a part was not found.
        UsageError: `device` and `device_map` together, or no such device.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    if device is not None and device_map is not None:
        raise UsageError("Give a device or a device_map, not both.")
    path = _location(model)
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(path, **options)
    except (OSError, ValueError, KeyError) as error:
        raise _refused(
            model, error, f"{model} is neither a model folder nor a model on the hub that can be reached"
        ) from error
    if type(config) not in AutoModelForImageTextToText._model_mapping and not trust_remote_code:
        raise ModelError(f"{model} is not an image-text-to-text model: it is of type {config.model_type!r}.")
    mapped: Any = dict(device_map) if device_map is not None else "auto" if device == "auto" else None
    place = _device(device) if mapped is None else None
    placement = _placement(dtype, mapped, place, max_memory, offload_folder)
    try:
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            path, output_loading_info=True, **placement, **options
        )
    except Exception as error:
        raise _refused(model, error, f"{model} could not be loaded") from error
    network, told = loaded
    if lost := sorted(told["missing_keys"]):
        raise ModelError(
            f"{model} lacks {len(lost)} of the weights of a {type(network).__name__}, such as {lost[0]}; they would be "
            "random. Were its files written by another class, or not all of them copied?"
        )
    processor = _processor(path, model, options)
    if adapter is not None:
        network = put_on(network, adapter)
        network = network.merge_and_unload() if merge else network
    if mapped is None and "quantization_config" not in placement:
        network = network.to(place)
    lmm = as_read(network, processor, str(model), prompt)
    lmm.revision = _commit(path, revision) or revision
    lmm.adapter = None if adapter is None else str(adapter)
    return lmm


def as_read(network: Any, processor: Any, name: str, prompt: str | None = None) -> LMM:
    """An LMM around a model of transformers in memory: still, without gradients, generating greedily, its tokenizer
    padding where generation needs it (an encoder's prompt is padded on the right). `prompt` is as in `load`."""
    network.eval().requires_grad_(False)
    _forget_sampling(network)
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "right" if translates(network) else "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    config = unwrapped(network).config
    family = PLAIN[config.model_type].caption if config.model_type in PLAIN else DEFAULT_PROMPT
    own = getattr(config, "caption_prompt", family)
    return LMM(network, processor, name, find_parts(network), prompt=own if prompt is None else prompt)


def quieten() -> None:
    """Keeps transformers' own warnings and progress bars off the terminal."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _device(device: str | None) -> torch.device:
    """The device of that name, or the accelerator if there is one.

    Raises:
        UsageError: this machine, or this torch, has none of that name.
    """
    try:
        found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"There is no device {device!r} that torch can use here: {first_line(error)}") from error
    return found


def _placement(
    dtype: DType,
    mapped: Any,
    place: torch.device | None,
    max_memory: Mapping[int | str, int | str] | None,
    offload_folder: str | Path | None,
) -> dict[str, Any]:
    """What `from_pretrained` is told of precision and place."""
    found: dict[str, Any] = {"dtype": dtype}
    if dtype in ("int8", "int4"):
        try:
            import bitsandbytes  # noqa: F401
        except ImportError as error:
            raise ModelError(f"dtype {dtype!r} needs bitsandbytes: pip install 'vitrail[quantized]'.") from error
        from transformers import BitsAndBytesConfig

        kind = "load_in_8bit" if dtype == "int8" else "load_in_4bit"
        found = {"dtype": "auto", "quantization_config": BitsAndBytesConfig(**{kind: True})}
        mapped = mapped or {"": place}
    if mapped is not None:
        found["device_map"] = mapped
    if max_memory is not None:
        found["max_memory"] = dict(max_memory)
    if offload_folder is not None:
        found["offload_folder"] = str(offload_folder)
    return found


@dataclass
class _Pair:
    """An image processor and a tokenizer that lie side by side without a processor around them (ViT-GPT2)."""

    image_processor: Any
    tokenizer: Any
    chat_template: str | None = None


def _processor(path: str, model: str | Path, options: dict[str, Any]) -> Any:
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


def _forget_sampling(network: Any) -> None:
    """Clears sampling defaults of the model's generation configuration: we generate greedily, and say so once."""
    for model in (unwrapped(network), speaker(network)):
        config = getattr(model, "generation_config", None)
        for name in NOT_GREEDY if config is not None else ():
            setattr(config, name, None)


# ---- adapters --------------------------------------------------------------------------------------------------------


def _location(model: str | Path) -> str:
    if str(model) == "toyland":
        from vitrail import toyland

        return str(toyland.model_path())
    return str(model)


def _commit(path: str, revision: str | None) -> str | None:
    """The commit of a model that came from the hub: a branch moves on, its commit does not. None of a folder."""
    from huggingface_hub import try_to_load_from_cache

    found = None if Path(path).exists() else try_to_load_from_cache(path, "config.json", revision=revision)
    return Path(found).parent.name if isinstance(found, str) else None


def _refused(model: str | Path, error: BaseException, what: str) -> ModelError:
    """The error that says `what`, and why; or that the model has code of its own, which transformers did not run."""
    if isinstance(error, ValueError) and "trust_remote_code" in str(error):
        return ModelError(
            f"{model} comes with code of its own, which may do anything on this machine. Read it, and if you trust it, "
            "load the model with trust_remote_code=True (--trust-remote-code)."
        )
    return ModelError(f"{what}: {first_line(error)}")
