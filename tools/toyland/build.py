"""Toyland's tokenizer, LLaVA, CLIP and text encoder, untrained: how large they are and how they are put together."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from vitrail.toyland.draw import SIZE
from vitrail.toyland.language import PROMPTS

PATCH = 14
IMAGE_TOKENS = (SIZE // PATCH) ** 2
# The end token must not have id 2: CLIP's text model takes that for an old configuration and pools elsewhere.
SPECIAL_TOKENS = ("<pad>", "<image>", "<s>", "</s>", "<user>", "<assistant>", "<mask>")
PAD, IMAGE, BOS, EOS, USER, ASSISTANT, MASK = range(7)
LONGEST_TEXT = 96  # tokens that a scorer reads
VOCABULARY = 720  # 7 special, 256 bytes, merges: the frequent words are one token, the rare ones several

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}<user>"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %} {{ part['text'] }}{% endfor %}"
    "{% else %}<assistant>"
    "{% for part in message['content'] if part['type'] == 'text' %} {{ part['text'] }}{% endfor %}{{ eos_token }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer learned from `texts`; a leading space belongs to the word, as in GPT-2."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        mask_token="<mask>",
        additional_special_tokens=["<image>", "<user>", "<assistant>"],
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    return fast


def scorer_tokenizer(tok: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The same tokenizer for texts as anybody writes them, between `<s>` and `</s>`.

    Toyland's own texts are lower case with a space before every word and comma; so is what this one makes of a text.
    """
    fast = Tokenizer.from_str(tok.backend_tokenizer.to_str())
    fast.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            *(normalizers.Replace(Regex(rf"\s*\{mark}"), f" {mark}") for mark in ",.?!"),
            normalizers.Strip(),
            normalizers.Prepend(" "),
        ]
    )
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        mask_token="<mask>",
        padding_side="right",
        model_max_length=LONGEST_TEXT,
        clean_up_tokenization_spaces=False,
    )


def image_processor() -> CLIPImageProcessorPil:
    """CLIP's image processor at Toyland's size, on Pillow alone."""
    return CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})


def llava_processor(tok: PreTrainedTokenizerFast) -> LlavaProcessor:
    """The processor of the LLaVA model: chat template, image placeholders, pixels."""
    return LlavaProcessor(
        image_processor=image_processor(),
        tokenizer=tok,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


def clip_processor(tok: PreTrainedTokenizerFast) -> CLIPProcessor:
    """The processor of the CLIP model."""
    return CLIPProcessor(image_processor=image_processor(), tokenizer=scorer_tokenizer(tok))


def _vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=6,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=128,
        hidden_act="gelu",
    )


def clip(vocabulary: int, seed: int) -> CLIPModel:
    """An untrained CLIP: about 3.7 million parameters."""
    torch.manual_seed(seed)
    text = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=160,
        intermediate_size=480,
        num_hidden_layers=3,
        num_attention_heads=5,
        max_position_embeddings=LONGEST_TEXT,
        projection_dim=128,
        hidden_act="gelu",
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return CLIPModel(CLIPConfig(text_config=text, vision_config=_vision_config(), projection_dim=128))


def text_encoder(vocabulary: int, seed: int) -> BertForMaskedLM:
    """An untrained encoder of texts for BERTScore: about half a million parameters."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LONGEST_TEXT,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return BertForMaskedLM(config)


def llava(vocabulary: int, seed: int) -> LlavaForConditionalGeneration:
    """An untrained LLaVA: about 9 million parameters, 8 decoder blocks of width 256."""
    torch.manual_seed(seed)
    text = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    config = LlavaConfig(
        vision_config=_vision_config(),
        text_config=text,
        image_token_index=IMAGE,
        projector_hidden_act="gelu",
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
    )
    config.pad_token_id = PAD
    config.caption_prompt = PROMPTS["plain"]  # read by vitrail.load
    return LlavaForConditionalGeneration(config)
