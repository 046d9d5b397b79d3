"""One tiny, randomly initialised model per family, with the family's own processor where it can be built offline.

Nothing is downloaded: configurations are written here, and tokenizers are trained here on a few sentences. Where
torchvision is installed, every family has its own processor whole: its image processor through torchvision, as
transformers loads it then, and its video processor. Where there is none, images go through the PIL processors of
transformers, and a processor that cannot do without torchvision is built without its video part, through which no
image passes, or what it does with one image is written out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers as t
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers.utils import is_torchvision_available

SENTENCES = [
    "a photo of a dog on the grass",
    "a dog and a cat in the snow",
    "the black dog is running in the street",
    "a red bus in front of a house",
    "an image of a dog with a ball, at night",
    "what is in the picture? where is the dog?",
]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<user>", "<assistant>"]
PAD, BOS, EOS = 0, 1, 2
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
}
SIGHT: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
SIZE = {"height": 28, "width": 28}


@cache
def _trained(special: tuple[str, ...]) -> str:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[*SPECIAL, *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    return tokenizer.to_str()


def tokenizer(*special: str, **named: str) -> Any:
    """A byte-level tokenizer with `special` tokens, `named` ones among them as transformers wants them named."""
    made = Tokenizer.from_str(_trained((*special, *named.values())))
    return t.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=named,
    )


def template(image: str, start: str = "{{ bos_token }}", video: str | None = None) -> str:
    """A chat template in which `image` stands for the image, and `video` for a video, if it knows any."""
    moving = "" if video is None else "{% elif p['type'] == 'video' %}" + video
    return (
        start + "{% for m in messages %}<{{ m['role'] }}>{% for p in m['content'] %}{% if p['type'] == 'image' %}"
        + image + moving + "{% else %} {{ p['text'] }}{% endif %}{% endfor %}{% if m['role'] == 'assistant' %}"
        "{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )  # fmt: skip


def shaken(network: nn.Module) -> nn.Module:
    """Other weights than at birth, so that no norm is the identity, no gate is shut, and images matter."""
    generator = torch.Generator().manual_seed(0)
    for name, p in network.named_parameters():
        if p.ndim >= 2:
            p.data.normal_(0, 0.6 / p.shape[-1] ** 0.5 if p.ndim == 2 else 0.2, generator=generator)
        elif name.endswith("bias"):
            p.data.normal_(0, 0.1, generator=generator)
        else:
            p.data.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def image_processor(family: str, **options: Any) -> Any:
    """The image processor of a family as transformers loads it: through torchvision where that is installed."""
    return getattr(t, f"{family}ImageProcessor{'' if is_torchvision_available() else 'Pil'}")(**options)


def with_video(
    kind: type, family: str, *parts: Any, videos: dict[str, Any], stand_in: Any = None, **options: Any
) -> Any:
    """A processor of images, text and videos, which has the options `videos`; without torchvision, `stand_in` is in the
    video processor's place."""
    if is_torchvision_available():
        return kind(*parts, video_processor=getattr(t, f"{family}VideoProcessor")(**videos), **options)
    unchecked = type(kind.__name__, (kind,), {"check_argument_for_proper_class": lambda *_: None})
    return unchecked(*parts, video_processor=stand_in, **options)


OWN = "its own processor; of the ViT ones, which have none, image processor and tokenizer"


@dataclass(frozen=True)
class Family:
    """A family of models: what it is called, how it is built, and what must be known to read its results.

    Args:
        build: gives the network and its processor.
        without: how its inputs are made where there is no torchvision, if not by its own processor.
    """

    name: str
    build: Callable[[], tuple[Any, Any]]
    without: str | None = None

    @property
    def whole(self) -> bool:
        """Whether its own processor is whole here, so that it can be saved and loaded."""
        return self.without is None or is_torchvision_available()

    @property
    def proof(self) -> str:
        """How its inputs are made here."""
        return OWN if self.without is None or self.whole else self.without


def llava(text: dict[str, Any] = TEXT, sight: dict[str, Any] = SIGHT) -> tuple[Any, Any]:
    words = tokenizer(image_token="<image>")
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**sight),
        text_config=t.LlamaConfig(vocab_size=len(words), **text),
        image_token_id=words.image_token_id,
        image_seq_length=4,
        vision_feature_layer=-2,
    )
    processor = t.LlavaProcessor(
        image_processor("CLIP", size={"shortest_edge": 28}, crop_size=SIZE),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>\n", start=""),  # the released one has no begin-of-text either
    )
    return t.LlavaForConditionalGeneration(config), processor


def llava_next() -> tuple[Any, Any]:
    words = tokenizer(image_token="<image>")
    config = t.LlavaNextConfig(
        vision_config=t.CLIPVisionConfig(**SIGHT),
        text_config=t.MistralConfig(vocab_size=len(words), **TEXT),
        image_token_id=words.image_token_id,
        image_grid_pinpoints=[[28, 56], [56, 28], [56, 56]],
        vision_feature_layer=-2,
    )
    processor = t.LlavaNextProcessor(
        image_processor(
            "LlavaNext",
            size={"shortest_edge": 28},
            crop_size=SIZE,
            image_grid_pinpoints=[[28, 56], [56, 28], [56, 56]],
        ),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>\n"),
    )
    return t.LlavaNextForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    words = tokenizer(image_token="<image>", video_token="<video>")
    pinpoints = [[28, 28], [28, 56], [56, 28], [56, 56]]
    config = t.LlavaOnevisionConfig(
        vision_config=t.SiglipVisionConfig(**SIGHT),
        text_config=t.Qwen2Config(vocab_size=len(words), **TEXT),
        image_token_id=words.image_token_id,
        video_token_id=words.video_token_id,
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    processor = with_video(
        t.LlavaOnevisionProcessor,
        "LlavaOnevision",
        image_processor("LlavaOnevision", size=SIZE, image_grid_pinpoints=pinpoints),
        words,
        videos={"size": SIZE},
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=template("<image>\n", video="<video>\n"),
    )
    return t.LlavaOnevisionForConditionalGeneration(config), processor


def idefics(cross_layer_interval: int = 2) -> tuple[Any, Any]:
    words = tokenizer("<fake_token_around_image>", "<image>", "<end_of_utterance>")
    config = t.IdeficsConfig(
        vocab_size=len(words),
        additional_vocab_size=0,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        cross_layer_interval=cross_layer_interval,
        alpha_type="vector",
        use_resampler=True,
        vision_config={**_renamed(SIGHT, hidden_size="embed_dim")},
        perceiver_config={
            "use_resampler": True,
            "resampler_n_latents": 3,
            "resampler_depth": 2,
            "resampler_n_heads": 2,
            "resampler_head_dim": 8,
        },
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    return t.IdeficsForVisionText2Text(config), t.IdeficsProcessor(image_processor("Idefics", image_size=28), words)


def _renamed(values: dict[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(k, k): v for k, v in values.items()}


def idefics2() -> tuple[Any, Any]:
    words = tokenizer("<fake_token_around_image>", "<image>", "<end_of_utterance>")
    processor = t.Idefics2Processor(
        image_processor("Idefics2", size={"shortest_edge": 28, "longest_edge": 42}, do_image_splitting=False),
        words,
        image_seq_len=3,
        chat_template=template("<image>"),
    )
    config = t.Idefics2Config(
        vision_config={**SIGHT, "image_size": 56},
        perceiver_config={
            "hidden_size": 32,
            "resampler_n_latents": 3,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 8,
            "num_key_value_heads": 1,
        },
        text_config=t.MistralConfig(vocab_size=len(words), **TEXT),
        image_token_id=processor.image_token_id,
    )
    return t.Idefics2ForConditionalGeneration(config), processor


GRID = [f"<row_{i}_col_{j}>" for i in range(1, 4) for j in range(1, 4)]


def idefics3() -> tuple[Any, Any]:
    words = tokenizer("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", *GRID)
    processor = t.Idefics3Processor(
        image_processor("Idefics3", size={"longest_edge": 56}, max_image_size={"longest_edge": 28}),
        words,
        image_seq_len=1,
        chat_template=template("<image>"),
    )
    config = t.Idefics3Config(
        vision_config=dict(SIGHT),
        text_config=t.LlamaConfig(vocab_size=len(words), **TEXT),
        image_token_id=processor.image_token_id,
        scale_factor=2,
    )
    return t.Idefics3ForConditionalGeneration(config), processor


def smolvlm() -> tuple[Any, Any]:
    words = tokenizer(
        *GRID,
        fake_image_token="<fake_token_around_image>",
        image_token="<image>",
        end_of_utterance_token="<end_of_utterance>",
        global_image_token="<global-img>",
        video_token="<video>",
    )
    processor = with_video(
        t.SmolVLMProcessor,
        "SmolVLM",
        image_processor("SmolVLM", size={"longest_edge": 56}, max_image_size={"longest_edge": 28}),
        words,
        videos={"size": {"longest_edge": 28}, "max_image_size": {"longest_edge": 28}},
        stand_in=SimpleNamespace(num_frames=1, fps=1),
        image_seq_len=1,
        chat_template=template("<image>", video="<video>"),
    )
    config = t.SmolVLMConfig(
        vision_config=dict(SIGHT),
        text_config=t.LlamaConfig(vocab_size=len(words), **TEXT),
        image_token_id=words.image_token_id,
        scale_factor=2,
    )
    return t.SmolVLMForConditionalGeneration(config), processor


QWEN = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}

QWEN_SIGHT = {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
QWEN_WIDTHS = {"hidden_size": 16, "intermediate_size": 32, "out_hidden_size": 32}


def _qwen(config: type, text: type, network: type, processor: type, vision: dict[str, Any]) -> tuple[Any, Any]:
    words = tokenizer(**QWEN)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    if text is t.Qwen3VLTextConfig:
        rope["mrope_interleaved"] = True
    made = config(
        vision_config=vision,
        text_config=text(vocab_size=len(words), rope_parameters=rope, head_dim=8, **TEXT).to_dict(),
        **{f"{k}_id": getattr(words, f"{k}_id") for k in QWEN},
    )
    patch = vision["patch_size"]
    side = patch * vision["spatial_merge_size"]
    images = image_processor(
        "Qwen2VL",
        size={"shortest_edge": side * side, "longest_edge": 9 * side * side},
        patch_size=patch,
        temporal_patch_size=2,
        merge_size=vision["spatial_merge_size"],
    )
    shown = "<|vision_start|><|{}_pad|><|vision_end|>"
    later = network is t.Qwen3VLForConditionalGeneration  # it marks every frame by itself
    asked = template(shown.format("image"), video="<|video_pad|>" if later else shown.format("video"))
    videos = {"size": {"shortest_edge": side * side, "longest_edge": 36 * side * side}, "patch_size": patch}
    family = "Qwen3VL" if later else "Qwen2VL"
    return network(made), with_video(processor, family, images, words, videos=videos, chat_template=asked)


def qwen2_vl() -> tuple[Any, Any]:
    vision = {**QWEN_SIGHT, "embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    return _qwen(t.Qwen2VLConfig, t.Qwen2VLTextConfig, t.Qwen2VLForConditionalGeneration, t.Qwen2VLProcessor, vision)


def qwen2_5_vl() -> tuple[Any, Any]:
    vision = {**QWEN_SIGHT, **QWEN_WIDTHS, "window_size": 56, "fullatt_block_indexes": [1]}
    return _qwen(
        t.Qwen2_5_VLConfig, t.Qwen2_5_VLTextConfig, t.Qwen2_5_VLForConditionalGeneration, t.Qwen2_5_VLProcessor, vision
    )


def qwen3_vl() -> tuple[Any, Any]:
    vision = {**QWEN_SIGHT, **QWEN_WIDTHS, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    return _qwen(t.Qwen3VLConfig, t.Qwen3VLTextConfig, t.Qwen3VLForConditionalGeneration, t.Qwen3VLProcessor, vision)


def internvl() -> tuple[Any, Any]:
    words = tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    config = t.InternVLConfig(
        vision_config=t.InternVLVisionConfig(**{**SIGHT, "image_size": [28, 28], "patch_size": [14, 14]}),
        text_config=t.Qwen2Config(vocab_size=len(words), **TEXT),
        image_token_id=words.context_image_token_id,
        image_seq_length=1,
        downsample_ratio=0.5,
    )
    processor = with_video(
        t.InternVLProcessor,
        "InternVL",
        image_processor("GotOcr2", size=SIZE, max_patches=4),
        words,
        videos={"size": SIZE},
        image_seq_length=1,
        chat_template=template("<IMG_CONTEXT>\n", video="<video>\n"),
    )
    return t.InternVLForConditionalGeneration(config), processor


def gemma3() -> tuple[Any, Any]:
    words = tokenizer(image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>")
    config = t.Gemma3Config(
        vision_config=t.SiglipVisionConfig(**SIGHT),
        text_config=t.Gemma3TextConfig(
            vocab_size=len(words),
            head_dim=8,
            sliding_window=16,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            query_pre_attn_scalar=8,
            **TEXT,
        ),
        mm_tokens_per_image=4,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        image_token_index=words.image_token_id,
    )
    processor = t.Gemma3Processor(
        image_processor("Gemma3", size=SIZE), words, image_seq_length=4, chat_template=template("<start_of_image>")
    )
    return t.Gemma3ForConditionalGeneration(config), processor


def paligemma() -> tuple[Any, Any]:
    words = tokenizer(image_token="<image>")
    images = image_processor("Siglip", size=SIZE)
    images.image_seq_length = 4
    processor = t.PaliGemmaProcessor(images, words)
    config = t.PaliGemmaConfig(
        vision_config=t.SiglipVisionConfig(**SIGHT),
        text_config=t.Gemma2Config(
            vocab_size=len(words), head_dim=8, query_pre_attn_scalar=8, final_logit_softcapping=5.0, **TEXT
        ),
        image_token_id=words.image_token_id,
        vocab_size=len(words),
        projection_dim=32,
        hidden_size=32,
    )
    return t.PaliGemmaForConditionalGeneration(config), processor


def mllama() -> tuple[Any, Any]:
    words = tokenizer("<|python_tag|>", image_token="<|image|>")
    config = t.MllamaConfig(
        vision_config=t.MllamaVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_global_layers=1,
            attention_heads=2,
            image_size=28,
            patch_size=14,
            max_num_tiles=2,
            intermediate_layers_indices=[0],
            supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
            vision_output_dim=32,
        ),
        text_config=t.MllamaTextConfig(
            vocab_size=len(words),
            cross_attention_layers=[1, 3],
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            **{**TEXT, "num_hidden_layers": 4},
        ),
        image_token_index=words.image_token_id,
    )
    processor = t.MllamaProcessor(
        image_processor("Mllama", size=SIZE, max_image_tiles=2), words, chat_template=template("<|image|>")
    )
    return t.MllamaForConditionalGeneration(config), processor


class PixtralByHand:
    """What Pixtral's processor, which needs torchvision, does with images and text: the PIL image processor, and for
    every row of patches their tokens and a break."""

    def __init__(self, images: Any, words: Any, side: int, chat_template: str) -> None:
        self.image_processor, self.tokenizer, self.side, self.chat_template = images, words, side, chat_template

    def apply_chat_template(self, turns: Any, **options: Any) -> str:
        return self.tokenizer.apply_chat_template(turns, chat_template=self.chat_template, **options)

    def __call__(self, images: Any, text: list[str], **options: Any) -> t.BatchFeature:
        alone = [one for of in images for one in (of if isinstance(of, list) else [of])]
        seen = self.image_processor(alone, patch_size=self.side, return_tensors="pt")
        sizes = iter(seen["image_sizes"].tolist())

        def tokens(_: re.Match[str]) -> str:
            height, width = next(sizes)
            return "[IMG_BREAK]".join(["[IMG]" * (width // self.side)] * (height // self.side)) + "[IMG_END]"

        texts = [re.sub(r"\[IMG\]", tokens, asked) for asked in text]
        return t.BatchFeature({**self.tokenizer(texts, **options, return_token_type_ids=False), **seen})


def _pixtral(words: Any, merge: int) -> Any:
    images = image_processor("Pixtral", size={"longest_edge": 56}, patch_size=14)
    if not is_torchvision_available():
        return PixtralByHand(images, words, 14 * merge, template("[IMG]"))
    return t.PixtralProcessor(images, words, patch_size=14, spatial_merge_size=merge, chat_template=template("[IMG]"))


def mistral3() -> tuple[Any, Any]:
    words = tokenizer(image_token="[IMG]", image_break_token="[IMG_BREAK]", image_end_token="[IMG_END]")
    config = t.Mistral3Config(
        vision_config=t.PixtralVisionConfig(**{**SIGHT, "image_size": 112}, head_dim=8),
        text_config=t.MistralConfig(vocab_size=len(words), head_dim=8, **TEXT),
        image_token_index=words.image_token_id,
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    processor = _pixtral(words, 2)
    return t.Mistral3ForConditionalGeneration(config), processor


def pixtral() -> tuple[Any, Any]:
    words = tokenizer(image_token="[IMG]", image_break_token="[IMG_BREAK]", image_end_token="[IMG_END]")
    config = t.LlavaConfig(
        vision_config=t.PixtralVisionConfig(**{**SIGHT, "image_size": 112}, head_dim=8),
        text_config=t.MistralConfig(vocab_size=len(words), head_dim=8, **TEXT),
        image_token_id=words.image_token_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    processor = _pixtral(words, 1)
    return t.LlavaForConditionalGeneration(config), processor


def _blip(words: Any) -> dict[str, Any]:
    return {
        "vision_config": {**SIGHT, "initializer_range": 0.02},
        "qformer_config": {
            "vocab_size": len(words),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "encoder_hidden_size": 16,
            "cross_attention_frequency": 1,
        },
        "num_query_tokens": 3,
        "image_token_index": words.convert_tokens_to_ids("<image>"),
    }


def blip_2() -> tuple[Any, Any]:
    words = tokenizer()
    processor = t.Blip2Processor(image_processor("Blip", size=SIZE), words, num_query_tokens=3)
    text = t.OPTConfig(
        vocab_size=len(words),
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=128,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    config = t.Blip2Config(**_blip(words), text_config=text.to_dict())
    return t.Blip2ForConditionalGeneration(config), processor


def blip_2_t5() -> tuple[Any, Any]:
    words = tokenizer()
    processor = t.Blip2Processor(image_processor("Blip", size=SIZE), words, num_query_tokens=3)
    text = t.T5Config(
        vocab_size=len(words),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=3,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=PAD,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    config = t.Blip2Config(**_blip(words), text_config=text.to_dict())
    return t.Blip2ForConditionalGeneration(config), processor


def instructblip() -> tuple[Any, Any]:
    words = tokenizer()
    processor = t.InstructBlipProcessor(image_processor("Blip", size=SIZE), words, tokenizer(), num_query_tokens=3)
    text = t.LlamaConfig(vocab_size=len(words), **TEXT)
    config = t.InstructBlipConfig(**_blip(words), text_config=text.to_dict())
    return t.InstructBlipForConditionalGeneration(config), processor


class PatchesByHand:
    """What Molmo2's image processor, which needs torchvision, gives for one crop: the image twice, as 2 × 2 patches."""

    def fetch_images(self, images: Any) -> Any:
        return images

    def __call__(self, images: Any, **_: Any) -> t.BatchFeature:
        flat = [image for row in images for image in row]
        pixels = torch.stack([torch.tensor(np.asarray(image.resize((28, 28)))) for image in flat]).float() / 127.5 - 1
        patches = pixels.unfold(1, 14, 14).unfold(2, 14, 14).permute(0, 1, 2, 4, 5, 3).reshape(len(flat), 1, 4, -1)
        return t.BatchFeature(
            {
                "pixel_values": patches.expand(-1, 2, -1, -1).reshape(2 * len(flat), 4, -1),
                "image_token_pooling": torch.arange(8 * len(flat))[:, None],
                "image_grids": torch.tensor([[2, 2, 2, 2]] * len(flat)),
                "image_num_crops": torch.tensor([2] * len(flat)),
            }
        )


def molmo2() -> tuple[Any, Any]:
    named = {
        "image_start_token_id": "<im_start>",
        "low_res_image_start_token_id": "<low_res_im_start>",
        "image_end_token_id": "<im_end>",
        "image_patch_id": "<im_patch>",
        "frame_start_token_id": "<frame_start>",
        "frame_end_token_id": "<frame_end>",
    }
    words = tokenizer(*named.values(), "<im_col>", "<im_low>", image_token="<|image|>", video_token="<|video|>")
    ids = {name: words.convert_tokens_to_ids(token) for name, token in named.items()}
    config = t.Molmo2Config(
        vision_config=t.Molmo2VisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            image_size=[28, 28],
            patch_size=14,
            num_position_embeddings=4,
        ),
        adapter_config=t.Molmo2AdapterConfig(
            vision_feature_layer=[-1],
            hidden_size=16,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            intermediate_size=32,
            text_hidden_size=32,
        ),
        text_config=t.Molmo2TextConfig(vocab_size=len(words) - 8, additional_vocab_size=8, head_dim=8, **TEXT),
        **ids,
    )
    images = (
        t.Molmo2ImageProcessor(size=SIZE, max_crops=2, overlap_margins=[0, 0], pooling_size=[2, 2])
        if is_torchvision_available()
        else PatchesByHand()
    )
    asked = template("<|image|>", video="<|video|>")
    videos = {"size": SIZE, "pooling_size": [2, 2], "do_rescale": True, "do_normalize": True}
    processor = with_video(t.Molmo2Processor, "Molmo2", images, videos=videos, tokenizer=words, chat_template=asked)
    return t.Molmo2ForConditionalGeneration(config), processor


def aya_vision() -> tuple[Any, Any]:
    tiles = ["TILE", "TILE_GLOBAL", *[f"TILE_{i}" for i in range(1, 5)]]
    words = tokenizer(*tiles, "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<image>")
    config = t.AyaVisionConfig(
        vision_config=t.SiglipVisionConfig(**SIGHT),
        text_config=t.Cohere2Config(vocab_size=len(words), logit_scale=0.25, sliding_window=16, **TEXT),
        image_token_index=words.convert_tokens_to_ids("<|IMG_PATCH|>"),
        downsample_factor=2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        adapter_layer_norm_eps=1e-6,
    )
    processor = t.AyaVisionProcessor(
        image_processor("GotOcr2", size=SIZE, max_patches=2),
        words,
        patch_size=14,
        img_size=28,
        downsample_factor=2,
        chat_template=template("<image>"),
    )
    return t.AyaVisionForConditionalGeneration(config), processor


def git() -> tuple[Any, Any]:
    made = Tokenizer.from_str(_trained(()))
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    words = t.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", cls_token="<s>", sep_token="</s>", unk_token="<unk>"
    )
    config = t.GitConfig(
        vision_config=dict(SIGHT),
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=128,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )
    images = image_processor("CLIP", size={"shortest_edge": 28}, crop_size=SIZE)
    return t.GitForCausalLM(config), t.GitProcessor(images, words)


def chameleon() -> tuple[Any, Any]:
    named = {"image_token": "<image>", "boi_token": "<racm3:break>", "eoi_token": "<eoss>"}
    words = tokenizer(*[f"IMGIMG{c}Z" for c in "ABCDEFGH"], "<reserved08706>", **named)
    words.sep_token = "<reserved08706>"
    config = t.ChameleonConfig(
        vocab_size=len(words),
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 8,
            "latent_channels": 8,
            "resolution": 32,
            "base_channels": 32,
            "channel_multiplier": [1, 1, 1],
            "num_res_blocks": 1,
        },
        vocabulary_map=words.get_vocab(),
        **TEXT,
    )
    images = image_processor("Chameleon", size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return t.ChameleonForConditionalGeneration(config), t.ChameleonProcessor(images, words, image_seq_length=64)


def kosmos_2() -> tuple[Any, Any]:
    words = tokenizer()
    images = image_processor("CLIP", size={"shortest_edge": 28}, crop_size=SIZE)
    processor = t.Kosmos2Processor(images, words, num_patch_index_tokens=4)
    config = t.Kosmos2Config(
        text_config={
            "vocab_size": len(words),
            "embed_dim": 32,
            "layers": 3,
            "ffn_dim": 48,
            "attention_heads": 4,
            "max_position_embeddings": 256,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            "pad_token_id": PAD,
        },
        vision_config=dict(SIGHT),
        latent_query_num=64,
    )
    return t.Kosmos2ForConditionalGeneration(config), processor


@dataclass
class Pair:
    """An image processor beside a tokenizer, as vision encoder–decoders have them."""

    image_processor: Any
    tokenizer: Any


def vit_gpt2() -> tuple[Any, Any]:
    words = tokenizer()
    decoder = t.GPT2Config(
        vocab_size=len(words),
        n_embd=32,
        n_layer=3,
        n_head=4,
        n_positions=128,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return _encoder_decoder(decoder, words)


def vit_bert() -> tuple[Any, Any]:
    words = tokenizer()
    decoder = t.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        add_cross_attention=True,
        is_decoder=True,
        pad_token_id=PAD,
    )
    return _encoder_decoder(decoder, words)


def _encoder_decoder(decoder: Any, words: Any) -> tuple[Any, Any]:
    config = t.VisionEncoderDecoderConfig.from_encoder_decoder_configs(t.ViTConfig(**SIGHT), decoder)
    config.decoder_start_token_id, config.eos_token_id, config.pad_token_id = BOS, EOS, PAD
    images = image_processor("ViT", size=SIZE)
    return t.VisionEncoderDecoderModel(config=config), Pair(images, words)


def florence_2() -> tuple[Any, Any]:
    words = tokenizer(image_token="<image>")
    text = t.BartConfig(
        vocab_size=len(words),
        d_model=32,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=128,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
        decoder_start_token_id=EOS,
        forced_bos_token_id=BOS,
    )
    config = t.Florence2Config(
        text_config=text.to_dict(),
        vision_config={
            "depths": [1, 1],
            "patch_size": [7, 3],
            "patch_stride": [4, 2],
            "patch_padding": [3, 1],
            "patch_prenorm": [False, True],
            "embed_dim": [8, 16],
            "num_heads": [2, 2],
            "num_groups": [2, 2],
            "window_size": 4,
            "projection_dim": 32,
            "drop_path_rate": 0.0,
        },
        image_token_id=words.image_token_id,
    )
    images = image_processor("CLIP", size=SIZE, do_center_crop=False)
    images.image_seq_length = 17
    network = t.Florence2ForConditionalGeneration(config)
    network.generation_config.forced_bos_token_id = BOS
    network.generation_config.decoder_start_token_id = EOS
    return network, t.Florence2Processor(images, words)


BY_HAND = "its own image processor; text put together by hand, since its processor needs torchvision"
NO_VIDEO = "its own processor, built without the video part, which needs torchvision"
FAMILIES = [
    Family("LLaVA 1.5", llava),
    Family("LLaVA-NeXT", llava_next),
    Family("LLaVA-OneVision", llava_onevision, NO_VIDEO),
    Family("Idefics", idefics),
    Family("Idefics2", idefics2),
    Family("Idefics3", idefics3),
    Family("SmolVLM", smolvlm, NO_VIDEO),
    Family("Qwen2-VL", qwen2_vl, NO_VIDEO),
    Family("Qwen2.5-VL", qwen2_5_vl, NO_VIDEO),
    Family("Qwen3-VL", qwen3_vl, NO_VIDEO),
    Family("InternVL", internvl, NO_VIDEO),
    Family("Gemma 3", gemma3),
    Family("PaliGemma", paligemma),
    Family("Mllama", mllama),
    Family("Mistral 3", mistral3, BY_HAND),
    Family("Pixtral", pixtral, BY_HAND),
    Family("BLIP-2 (OPT)", blip_2),
    Family("BLIP-2 (T5)", blip_2_t5),
    Family("InstructBLIP", instructblip),
    Family("Molmo2", molmo2, "its own processor, with patches cut by hand; its image processor needs torchvision"),
    Family("Aya Vision", aya_vision),
    Family("GIT", git),
    Family("Chameleon", chameleon),
    Family("Kosmos-2", kosmos_2),
    Family("ViT + GPT-2", vit_gpt2),
    Family("ViT + BERT", vit_bert),
    Family("Florence-2", florence_2),
]
