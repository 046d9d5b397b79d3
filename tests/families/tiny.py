"""A tiny, randomly initialised model of any architecture that transformers maps to image-text-to-text, generically.

Its configuration is the family's own default, with the fields made small that are known to be sizes; what images look
like (sizes of pictures and patches) stays, so that the family's own processor fits. Its tokenizer has the tokens that
the source of the processor names. What a family needs beside that is one line of `OWN`. The families of `builders` are
built there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
import transformers as t
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING_NAMES
from transformers.utils import is_torchvision_available

from families import builders
from families.builders import BOS, EOS, PAD, template, tokenizer

#: Every architecture: `model_type` → the name of its class.
ARCHITECTURES: Mapping[str, str] = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
#: `model_type` → a builder that was written by hand.
BY_HAND: dict[str, Callable[[], tuple[Any, Any]]] = {
    "aya_vision": builders.aya_vision,
    "blip-2": builders.blip_2,
    "chameleon": builders.chameleon,
    "florence2": builders.florence_2,
    "gemma3": builders.gemma3,
    "git": builders.git,
    "idefics": builders.idefics,
    "idefics2": builders.idefics2,
    "idefics3": builders.idefics3,
    "instructblip": builders.instructblip,
    "internvl": builders.internvl,
    "kosmos-2": builders.kosmos_2,
    "llava": builders.llava,
    "llava_next": builders.llava_next,
    "llava_onevision": builders.llava_onevision,
    "mistral3": builders.mistral3,
    "mllama": builders.mllama,
    "molmo2": builders.molmo2,
    "paligemma": builders.paligemma,
    "qwen2_5_vl": builders.qwen2_5_vl,
    "qwen2_vl": builders.qwen2_vl,
    "qwen3_vl": builders.qwen3_vl,
    "smolvlm": builders.smolvlm,
    "vision-encoder-decoder": builders.vit_gpt2,
}

WIDTH, HEADS, HEAD, INNER = 64, 4, 16, 96
#: Name of a field of a configuration → its small value.
SMALL: dict[str, int] = {
    **dict.fromkeys(
        (
            "hidden_size", "d_model", "embed_dim", "out_hidden_size", "projection_dim", "projector_hidden_size",
            "text_hidden_size", "vision_hidden_size", "encoder_hidden_size", "word_embed_proj_dim", "output_dim",
            "image_text_hidden_size", "projection_hidden_dim", "projection_hidden_size", "decoder_hidden_size",
            "moe_hidden_size", "pooler_output_size",
        ),
        WIDTH,
    ),
    **dict.fromkeys(
        (
            "intermediate_size", "d_ff", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "mlp_dim",
            "dense_intermediate_size", "shared_intermediate_size", "alignment_intermediate_size",
            "projection_intermediate_size", "intermediate_size_mlp",
        ),
        INNER,
    ),
    **dict.fromkeys(
        (
            "moe_intermediate_size", "shared_expert_intermediate_size", "shared_experts_intermediate_size",
            "moe_shared_expert_intermediate_size", "share_expert_dim",
        ),
        32,
    ),
    **dict.fromkeys(
        (
            "num_attention_heads", "attention_heads", "encoder_attention_heads", "decoder_attention_heads", "num_heads",
            "resampler_n_heads", "swa_num_attention_heads", "num_sliding_attention_heads", "mamba_num_heads",
            "linear_num_value_heads", "linear_num_heads", "index_n_heads",
        ),
        HEADS,
    ),
    **dict.fromkeys(("num_key_value_heads", "swa_num_key_value_heads", "linear_num_key_heads"), 2),
    **dict.fromkeys(
        (
            "head_dim", "d_kv", "swa_head_dim", "v_head_dim", "linear_key_head_dim", "linear_value_head_dim",
            "linear_head_dim", "mamba_head_dim", "resampler_head_dim", "resampler_dim_head", "query_pre_attn_scalar",
            "index_head_dim", "ssm_state_size",
        ),
        HEAD,
    ),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_nope_head_dim", "qk_rope_head_dim"), 8),
    "qk_head_dim": 16,
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk", "num_experts_per_token"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts"), 1),
    **dict.fromkeys(("num_hidden_layers", "decoder_layers", "num_decoder_layers", "layers", "n_layers"), 3),
    **dict.fromkeys(("encoder_layers", "num_layers", "depth", "resampler_depth"), 2),
    "max_position_embeddings": 4096,
    **dict.fromkeys(("resampler_n_latents", "resampler_num_latents", "latent_query_num"), 4),
}  # fmt: skip
#: A small VQGAN, as Chameleon, Emu3 and Janus have.
VQ = {"base_channels": 32, "channel_multiplier": [1, 1], "num_res_blocks": 1}
#: Fields that are sizes of the language model alone.
OF_WORDS = ("vocab_size", "vocab_size_per_layer_input")


@dataclass(frozen=True)
class Own:
    """What a family needs beside small sizes.

    Args:
        fields: dotted name of a field of the configuration, or after "text." of its decoder's → its value, or a
            function that gives it from the tokenizer.
        processor: the name of its processor's class, where transformers maps none.
        images: the name of its image processor's class, where transformers maps none.
        settings: of its image processor.
        videos: settings of its video processor.
        options: of its processor; what it is not made with is set afterwards.
        tokens: further special tokens.
        underscored: whether its tokenizer puts an underscore before each text, which its processor takes away again.
        asked: what stands for the image in its chat template; its image token by default. None for no template: its
            family is asked in plain text.
        none: why no tiny model of it can be built.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    processor: str | None = None
    images: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    videos: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()
    underscored: bool = False
    asked: str | None = ""
    none: str | None = None


def _spare(i: int) -> Callable[[Any], int]:
    """The id of a spare token, for one that transformers' default configuration does not name."""
    return lambda words: words.convert_tokens_to_ids(f"<spare_{i}>")


def _id(token: str) -> Callable[[Any], int]:
    """The id of a token, for a field of the configuration that is called otherwise; a spare one, for text alone."""
    return lambda words: words.get_vocab().get(token, _spare(0)(words))


def _sam(side: int) -> dict[str, Any]:
    """The fields of a vision encoder of SAM before another one, which is as wide as SAM's output."""
    sam = {"downsample_channels": [32, WIDTH], "image_size": side}
    return {f"vision_config.sam_config.{name}": value for name, value in sam.items()}


OF_SIGHT = {f"{name}_token_id": _spare(i) for i, name in enumerate(("vision_start", "vision_end"))}
AXIS = {"rope_type": "default", "rope_theta": 10000.0}
PERCEPTION = {"embed_dim": WIDTH, "depth": 2, "num_heads": 4, "img_size": [56, 56], "ref_feat_shape": [4, 4]}
HALF = {**AXIS, "partial_rotary_factor": 0.5}
GLM = {"text.rope_parameters": {**AXIS, "mrope_section": [2, 3, 3]}}
SIDE = {"height": 384, "width": 384}
SMALL_SIDE = {"height": 56, "width": 56}
GRIDS = [[56, 112], [112, 56], [112, 112]]
TILES = {"size": {"shortest_edge": 56}, "crop_size": SMALL_SIDE, "image_grid_pinpoints": GRIDS}
LLAMA4_PROJECTOR = ("projector_input_dim", "projector_output_dim", "vision_output_dim")
SLICED = {"patch_size": 16, "scale_resolution": 64}
MERGED = {"vision_config.insert_layer_id": 0}
OWN: dict[str, Own] = {
    "minicpm_ocr": Own(settings=SLICED),
    "minicpmv4_6": Own(MERGED, settings=SLICED),
    "minicpmv4_7": Own(
        {
            **MERGED,
            **{f"{name}_id": _id(f"<{name}>") for name in ("image_start", "image_end", "slice_start", "slice_end")},
        },
        settings=SLICED,
    ),
    "vipllava": Own({"vision_feature_layers": [-2, -1, 0, 1, -1]}),
    "deepseek_vl": Own(settings={"size": SIDE}),
    "deepseek_vl_hybrid": Own(settings={"size": SIDE}),
    "cohere_compass": Own(
        {"text.rope_parameters": {"full_attention": AXIS, "sliding_attention": AXIS}}, settings={"patch_size": 16}
    ),
    "deepseek_ocr2": Own(
        {"text.mlp_layer_types": ["dense", "sparse", "sparse"], "text.num_experts_per_tok": 2, **_sam(768)},
        settings={"size": {"height": 768, "width": 768}},
    ),
    "unlimited_ocr": Own(_sam(128), settings={"size": {"height": 128, "width": 128}}),
    "aria": Own({"projector_patch_to_query_dict": {900: 256}}),
    "nemotron_h_omni": Own({"text.n_groups": 2}),
    "kimi_k25": Own({"text.head_dim": 8, "text.first_k_dense_replace": 1}),
    "emu3": Own(
        {
            "vocabulary_map": lambda words: words.get_vocab(),
            **{f"vq_config.{k}": v for k, v in VQ.items()},
            "vq_config.channel_multiplier": [1] * 4,
            "vq_config.hidden_size": 32,
            "vq_config.codebook_size": 16,
        },
        # pictures of one size: it pads those of several sizes, and its encoder looks at the padding
        settings={"min_pixels": 64**2, "max_pixels": 64**2},
        tokens=("<|extra_200|>", *[f"<|visual token {i:06}|>" for i in range(16)]),
    ),
    "ernie4_5_vl_moe": Own(
        {"text.rope_parameters": {**AXIS, "mrope_section": [3, 3, 2]}, "text.moe_intermediate_size": [32, 32]},
        videos={"draw_on_frames": False},
    ),
    "gemma3n": Own({"vision_config.architecture": "test_vit", "text.num_kv_shared_layers": 0}),
    "got_ocr2": Own({"image_token_id": _id("<imgpad>")}, options={"num_image_tokens": 36}, asked="<img><imgpad></img>"),
    "llama4": Own(
        {
            "image_token_id": _id("<|patch|>"),
            "vision_config.intermediate_size": 4 * WIDTH,  # its pixel shuffle puts four patches into one
            **dict.fromkeys([f"vision_config.{name}" for name in LLAMA4_PROJECTOR], WIDTH),
        }
    ),
    "muse_glimmer": Own({"image_token_id": _id("<|patch|>"), "out_hidden_size": 4 * WIDTH}),
    "muse_spark": Own({"out_hidden_size": 4 * WIDTH}),
    "gemma4": Own(settings={"max_soft_tokens": 70}),
    "gemma4_unified": Own(
        {"vision_config.mm_embed_dim": WIDTH, "vision_config.output_proj_dims": WIDTH}, settings={"max_soft_tokens": 70}
    ),
    "llava_next_video": Own({"image_grid_pinpoints": GRIDS}, settings=TILES),
    "shieldgemma2": Own(
        {"mm_tokens_per_image": 4, "vision_config.patch_size": 14},
        settings={"size": SMALL_SIDE},
        options={"image_seq_length": 4, "policy_definitions": {"dangerous": "No dangerous content."}},
        asked="<boi>",
    ),
    "t5gemma2": Own(
        {
            "encoder.mm_tokens_per_image": 4,
            "encoder.vision_config.image_size": 56,
            "encoder.vision_config.patch_size": 14,
        },
        settings={"size": SMALL_SIDE},
        options={"image_seq_length": 4},
        asked="<boi>",
    ),
    "granite4_vision": Own(
        {
            "deepstack_layer_map": [[-2, 0], [-1, 1]],
            "downsample_rate": "1/2",
            "spatial_target_layers": [2],
            "vision_config.patch_size": 14,
            "image_grid_pinpoints": GRIDS,
        },
        settings=TILES,
        options={"patch_size": 14, "downsample_rate": "1/2"},
    ),
    "hunyuan_vl": Own(
        {"text.head_dim": HEAD, "text.rope_parameters": {**AXIS, "mrope_section": [2, 2, 2, 2]}},
        asked="<image_start><image><image_end>",
    ),
    "janus": Own({f"vq_config.{k}": v for k, v in VQ.items()}),
    "perception_lm": Own(
        {"vision_config.architecture": "vit_pe_core_large_patch14_336", "vision_config.model_args": PERCEPTION},
        settings={"tile_size": 56},
        options={"patch_size": 14, "pooling_ratio": 1},
    ),
    "dots3_note": Own(
        {
            "text.per_layer_config": None,
            "vision_config.per_layer_config": None,
            "text.rope_parameters": dict.fromkeys(("indexed_attention", "sliding_attention"), HALF),
            "vision_config.adapter_in_dim": WIDTH,
            "vision_config.adapter_out_dim": WIDTH,
            "audio_config.adapter_input_size": WIDTH,
            "audio_config.adapter_out_dim": WIDTH,
        },
        settings={"temporal_patch_size": 1},
    ),
    "kosmos-2.5": Own(processor="Kosmos2_5Processor", options={"num_image_tokens": 4}, asked=None),
    "fast_vlm": Own(
        {"vision_config.architecture": "test_convnext", "vision_config.model_args": {}},
        processor="LlavaProcessor",
        images="CLIP",
        options={"patch_size": 32},
    ),
    "glm46v": Own(GLM),
    "glm4v": Own(GLM),
    "glm_ocr": Own(GLM, processor="Glm46VProcessor", images="Glm46V"),
    "glmga": Own(GLM, processor="Glm46VProcessor"),
    "glm4v_moe": Own({"text.rope_parameters": {**HALF, "mrope_section": [1, 1, 2]}}, images="Glm4v"),
    "qwen3_vl_moe": Own(images="Qwen2VL"),
    "cosmos3_omni": Own(processor="Qwen3VLProcessor"),
    "diffusion_gemma": Own(images="Gemma4"),
    "fuyu": Own(tokens=("|SPEAKER|", "|NEWLINE|", "<0x04>"), underscored=True, asked=None),
    "blip": Own(asked=None),
    "pix2struct": Own(asked=None),
    "udop": Own(asked=None),
    "instructblipvideo": Own(
        {"video_token_index": _id("<video>")},
        videos={"size": {"height": 224, "width": 224}},
        options={"num_query_tokens": 32},
        asked=None,
    ),
    "pp_formulanet": Own(asked=None),
    "mistral_large4": Own({"text.head_dim": 8, "image_token_id": _id("[IMG]")}, options={"spatial_merge_size": 2}),
    "step3p7": Own(
        {"text.sliding_window": 8, "image_token_id": _id("<im_patch>")},
        settings={"size": {"height": 112, "width": 112}, "patch_size": 56},
        asked="<im_patch>",
    ),
    "minimax_m3_vl": Own(
        {"image_token_id": _id("]<]image[>["), "merged_hidden_size": 4 * WIDTH},
        tokens=("]<]image[>[", "]<]start of image[>[", "]<]end of image[>["),
    ),
    "ovis2": Own(
        {"image_token_id": _id("<IMG_ATOM>")}, settings={"size": SMALL_SIDE}, options={"image_seq_length": 16}
    ),
    "pp_chart2table": Own(settings={"size": {"height": 128, "width": 128}}, asked="<image>" * 4),
    "qianfan_ocr": Own(
        {"image_token_id": _id("<context_image>")},
        settings={"size": SMALL_SIDE},
        options={"image_seq_length": 4},
        asked="<image>",
    ),
    "paddleocr_vl": Own({"text.rope_parameters": {**AXIS, "mrope_section": [2, 3, 3]}}),
    "qwen2_5_omni_thinker": Own({**OF_SIGHT, "text.rope_parameters": {**AXIS, "mrope_section": [2, 3, 3]}}),
    "qwen3_omni_moe_thinker": Own(OF_SIGHT),
}


@dataclass
class Built:
    """A tiny model with what makes its inputs.

    Args:
        network: random, as transformers makes it.
        processor: of images and texts; of texts alone where `why` says why its own cannot be built here.
        why: why no images are put in; None where its own processor does.
    """

    network: Any
    processor: Any
    why: str | None = None


def build(model_type: str, *, text_alone: str | None = None) -> Built:
    """A tiny model of an architecture.

    Args:
        model_type: of `ARCHITECTURES`.
        text_alone: why the processor shall be one of texts alone; None for the family's own, where it can be built.

    Raises:
        Exception: whatever transformers raises where the configuration or the network cannot be built.
    """
    own = OWN.get(model_type, Own())
    if own.none:
        raise NotImplementedError(own.none)
    if model_type in BY_HAND and text_alone is None:
        return Built(*BY_HAND[model_type]())
    processor, words = None, tokenizer(*[f"<spare_{i}>" for i in range(SPARE)], image_token="<image>")
    if text_alone is None:
        try:
            processor, words = _processor(model_type, own)
        except Exception as error:  # a processor that needs what is not here
            text_alone = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    config = small(_default(model_type), words)
    if processor is not None:
        _fit_images(config, processor)
    for name, value in dict(own.fields).items():
        holder = config
        if name.startswith("text."):
            holder, name = config.get_text_config(decoder=True), name.removeprefix("text.")
        _set(holder, name, value(words) if callable(value) else value)
    torch.manual_seed(0)
    network = getattr(t, ARCHITECTURES[model_type])(config)
    return Built(network, processor or TextAlone(words), text_alone)


# ---- configurations --------------------------------------------------------------------------------------------------


def _default(model_type: str) -> Any:
    """The family's default configuration, and a vision encoder's in it, where the default model has none."""
    kind = t.CONFIG_MAPPING[model_type]
    config = kind()
    return kind(vision_config={}) if getattr(config, "vision_config", ...) is None else config


def small(config: Any, words: Any) -> Any:
    """The configuration with every field small that is known to be a size, and with the tokens of `words`."""
    for value in list(vars(config).values()):
        if isinstance(value, t.PretrainedConfig):
            small(value, words)
    n = _layers(config)
    for name, value in list(vars(config).items()):
        if name in SMALL and isinstance(value, int) and not isinstance(value, bool) and value > 0:
            _set(config, name, min(SMALL[name], value) if name != "max_position_embeddings" else SMALL[name])
        elif name in OF_WORDS and isinstance(value, int):
            _set(config, name, len(words))
        elif isinstance(value, list | tuple) and n and len(value) == n[0] > n[1]:
            _set(config, name, _shortened(list(value), n[1]))
        elif isinstance(value, dict) and "mrope_section" in str(value):
            _set(config, name, _rope(value, config))
        elif isinstance(value, dict):
            _set(config, name, _shrunk(value))
    if vars(config).get("kv_lora_rank") and "num_key_value_heads" in vars(config):
        config.num_key_value_heads = vars(config)["num_attention_heads"]  # of latent attention
    _name_tokens(config, words)
    return config


def _shrunk(value: Any) -> Any:
    """A dictionary of settings, or of dictionaries of them, with small sizes."""
    if not isinstance(value, dict):
        return value
    return {k: min(SMALL[k], v) if k in SMALL and isinstance(v, int) else _shrunk(v) for k, v in value.items()}


def _layers(config: Any) -> tuple[int, int] | None:
    """How many layers a configuration has, and how many it will have."""
    for name in ("num_hidden_layers", "depth", "num_layers"):
        if isinstance(value := getattr(config, name, None), int):
            return value, min(SMALL[name], value)
    return None


def _shortened(values: list[Any], n: int) -> list[Any]:
    """`n` of the values, every kind of them if they are so many, in their order."""
    first = list({repr(v): i for i, v in reversed(list(enumerate(values)))}.values())
    more = [i for i in range(len(values)) if i not in first]
    return [values[i] for i in sorted([*sorted(first)[:n], *more][:n])]


def _rope(value: dict[str, Any], config: Any) -> dict[str, Any]:
    """Settings of rotary positions whose sections fill half a small head."""
    if any(isinstance(inner, dict) for inner in value.values()):
        return {k: _rope(v, config) if isinstance(v, dict) else v for k, v in value.items()}
    half = (
        int(HEAD * float(value.get("partial_rotary_factor", getattr(config, "partial_rotary_factor", 1.0) or 1.0))) // 2
    )
    n = len(value["mrope_section"]) if "mrope_section" in value else 0
    if not n:
        return value
    sections = [half // n] * n
    sections[-1] += half - sum(sections)
    return {**value, "mrope_section": sections}


def _name_tokens(config: Any, words: Any) -> None:
    """Gives every token that a configuration names an id inside the vocabulary: that of the tokenizer's token of the
    same name, or one of its spare tokens."""
    spare = iter(words.convert_tokens_to_ids([f"<spare_{i}>" for i in range(SPARE)]))
    for name, value in list(vars(config).items()):
        stem = re.sub(r"_(id|index)$", "", name)
        if stem == name or not re.search("token|image|video|audio|patch|im_", stem):
            continue
        if not isinstance(value, int) and not (value is None and stem == "image_token"):  # which a checkpoint names
            continue
        fixed = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "sep_token": EOS, "decoder_start_token": BOS}
        own = getattr(words, f"{stem}_id", None)
        if own is None:
            own = next((i for token, i in words.get_added_vocab().items() if token.strip("<|>[]/") == stem), None)
        _set(config, name, fixed.get(stem, own if own is not None else next(spare)))
    for name in ("eos_token_id", "bos_token_id", "pad_token_id"):
        if isinstance(getattr(config, name, None), list):
            _set(config, name, {"eos": EOS, "bos": BOS, "pad": PAD}[name[:3]])


def _set(config: Any, name: str, value: Any) -> None:
    """Sets a field of a configuration, or of what is inside it: "text_config.hidden_size"."""
    owner, _, last = name.rpartition(".")
    for part in owner.split(".") if owner else []:
        config = config[part] if isinstance(config, dict) else getattr(config, part)
    if isinstance(config, dict):
        config[last] = value
    else:
        setattr(config, last, value)


# ---- processors ------------------------------------------------------------------------------------------------------

SPARE = 24


class TextAlone:
    """A processor that puts in the text and leaves out the image."""

    image_processor = None

    def __init__(self, words: Any) -> None:
        self.tokenizer = words
        self.chat_template = template("")

    def apply_chat_template(self, turns: Any, **options: Any) -> Any:
        return self.tokenizer.apply_chat_template(turns, chat_template=self.chat_template, **options)

    def __call__(self, images: Any = None, text: Any = None, **options: Any) -> Any:
        return self.tokenizer(text, **options)


class Underscored(t.PreTrainedTokenizerFast):
    """A tokenizer that puts an underscore before each text, as one of SentencePiece does."""

    def __call__(self, text: Any = None, **options: Any) -> Any:
        before = f"_{text}" if isinstance(text, str) else [f"_{one}" for one in text]
        return super().__call__(before, **options)


def _processor(model_type: str, own: Own) -> tuple[Any, Any]:
    """The family's own processor around a small tokenizer with the tokens that its source names."""
    name = own.processor or PROCESSOR_MAPPING_NAMES.get(model_type)
    if name is None:
        raise NotImplementedError("transformers maps no processor of it")
    kind = getattr(t, name)
    source = inspect.getsource(inspect.getmodule(kind) or kind)
    found = re.findall(r"[\"'](<[^\s\"'{}<>]{1,40}>|\[[A-Z_]{2,20}\])[\"']", source)
    read = re.findall(r"tokenizer\.(\w+_token)\b", source)
    read += re.findall(r"\(tokenizer, \"(\w+_token)\", None\)", source)  # nothing stands in for it
    named = {
        attribute: f"<{attribute.removesuffix('_token')}>"
        for attribute in read
        if attribute not in ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    named |= {f"{m}_token": f"<{m}>" for m in ("image", "video") if f"{m}_token" not in named}
    # tokens that the processor names itself, whatever the tokenizer calls them
    named |= {f"{m}_token": token for m, token in re.findall(r"self\.(image|video)_token = \"(\S+)\"$", source, re.M)}
    for attribute in re.findall(r"self\.(\w+_token)\.content", source):
        named.pop(attribute, None)  # the processor makes it itself
    kept = [token for token in dict.fromkeys(found) if token not in (*builders.SPECIAL, *named.values())]
    words = tokenizer(*kept, *own.tokens, *[f"<spare_{i}>" for i in range(SPARE)], **named)
    if own.underscored:
        words.__class__ = Underscored
    unchecked = type(kind.__name__, (kind,), {"check_argument_for_proper_class": lambda *_: None})
    taken = inspect.signature(kind.__init__).parameters
    given: dict[str, Any] = {"tokenizer": words, **_of_config(model_type), **own.options}
    if "image_processor" in taken:
        given["image_processor"] = _images(model_type, own)
    given |= {name: None for name in ("video_processor", "feature_extractor", "audio_processor") if name in taken}
    if "video_processor" in taken:
        given["video_processor"] = _videos(model_type, own)
    if "qformer_tokenizer" in taken:
        given["qformer_tokenizer"] = tokenizer()
    processor = unchecked(**{name: value for name, value in given.items() if name in taken})
    for name, value in own.options.items():
        if name not in taken:
            setattr(processor, name, value)
    if own.asked is not None:
        processor.chat_template = template(own.asked or _place_of_image(processor, words))
    return processor, words


#: The longest side of a picture; what some processors call an edge is the number of its pixels (PaddleOCR-VL).
_LONGEST = 4096


def _fit_images(config: Any, processor: Any) -> None:
    """Makes the pictures of the vision encoder as large as the processor makes them."""
    images, vision = getattr(processor, "image_processor", None), getattr(config, "vision_config", None)
    size = getattr(images, "crop_size", None) or getattr(images, "size", None) or {}
    sides = [size.get("height"), size.get("shortest_edge")] if hasattr(size, "get") else []
    side = next((side for side in sides if side and side <= _LONGEST), None)
    if side is not None and isinstance(getattr(vision, "image_size", None), int):
        vision.image_size = side


def _of_config(model_type: str) -> dict[str, Any]:
    """What a processor must be told of its model: the size of patches, and which of them it keeps."""
    config = _default(model_type)
    patch = getattr(getattr(config, "vision_config", None), "patch_size", None)
    kept = getattr(config, "vision_feature_select_strategy", None)
    found = {"patch_size": patch, "vision_feature_select_strategy": kept}
    return {name: value for name, value in found.items() if value is not None} | {
        "num_additional_image_tokens": int(kept == "default")
    }


def _place_of_image(processor: Any, words: Any) -> str:
    image = getattr(processor, "image_token", None) or words.image_token
    around = [(f"<|{kind}_start|>", f"<|{kind}_end|>") for kind in ("vision", "image")] + [
        ("<|begin_of_image|>", "<|end_of_image|>")
    ]
    start, end = next((pair for pair in around if set(pair) <= set(words.get_added_vocab())), ("", ""))
    return f"{start}{image}{end}"


def _videos(model_type: str, own: Own) -> Any:
    """The family's video processor, through which no image passes; or what a processor reads of it, without
    torchvision."""
    name = VIDEO_PROCESSOR_MAPPING_NAMES.get(model_type, {}).get("torchvision")
    if is_torchvision_available() and name is not None:
        return getattr(t, name)(**_patches(model_type, name) | dict(own.videos))
    return SimpleNamespace(
        merge_size=2, temporal_patch_size=2, patch_size=14, num_frames=1, fps=1, slice_mode=False, downsample_mode="16x"
    )


def _images(model_type: str, own: Own) -> Any:
    if own.images:
        patches = _patches(model_type, f"{own.images}ImageProcessor{'' if is_torchvision_available() else 'Pil'}")
        return builders.image_processor(own.images, **patches | dict(own.settings))
    names = IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type, {})
    name = (names.get("torchvision") if is_torchvision_available() else None) or names.get("pil")
    if name is None:
        raise ImportError(
            "its image processor needs torchvision" if names else "transformers maps no image processor of it"
        )
    return getattr(t, name)(**_patches(model_type, name) | dict(own.settings))


def _patches(model_type: str, name: str) -> dict[str, int]:
    """Patches as large as those of the vision encoder, for a processor that cuts a picture into them itself."""
    size = getattr(getattr(_default(model_type), "vision_config", None), "patch_size", None)
    cut = getattr(getattr(t, name), "patch_size", None)
    return {"patch_size": size} if isinstance(size, int) and isinstance(cut, int) else {}
