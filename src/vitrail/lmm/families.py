"""What is peculiar to a family of models: everything that Vitrail does differently because of a `model_type`.

A family that is not in the table has a chat template, and nothing else of what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

from vitrail.errors import UsageError

DEFAULT_PROMPT = "Provide a one-sentence caption of the image."

#: Inputs of processors that do not have one entry per token, although their shape may look as if they had.
NOT_PER_TOKEN = frozenset({"qformer_input_ids", "qformer_attention_mask", "pixel_attention_mask"})


@dataclass(frozen=True)
class Plain:
    """How a model without a chat template is asked.

    Args:
        text: what stands before the answer; "{image}", "{start}" and "{request}" are replaced by the image's token, the
            token that begins a text, and the request.
        caption: the request for a caption.
        join: what stands between that text and the answer.
        special: whether the tokenizer adds its special tokens to the text; None for unless it begins with one.
    """

    text: str
    caption: str
    join: str = " "
    special: bool | None = False

    @classmethod
    def written(cls, template: str) -> Plain:
        """What a user wrote: "{answer}" is where the answer begins, by default at the end.

        Raises:
            UsageError: it has no place for the request, or something after the answer.
        """
        text, found, after = template.partition("{answer}")
        if "{request}" not in text or after.strip():
            raise UsageError(
                "A prompt template is a chat template in Jinja, or text with {request} where the request goes, before "
                "{answer}, where the answer begins; {image} is the image's token, {start} the one that begins a text. "
                f"Got {template[:80]!r}."
            )
        before = text.rstrip(" ") if found else text
        return cls(before, DEFAULT_PROMPT, join=text[len(before) :], special=None)


@dataclass(frozen=True)
class Family:
    """How models of one `model_type` differ from the rest.

    Args:
        plain: how the model is asked; None for the chat template of its processor.
        generates_within: its `generate` takes a prompt between two tokens: it puts its own in the place of the first,
            and takes off the last.
        answers_marked: it reads its prompt in both directions, and knows by a mark of 1 in `token_type_ids` where the
            answer begins.
        frames: its models read videos of so many frames and nothing else: an image is one that stands still.
        refused: why its models are not read, as a sentence goes on after their name.
        post_norm: each of the decoder's blocks ends with its own norm, so there is no final one. The `model_type` is
            the decoder's.
        connector: the name of its connector inside its vision encoder, where it stands there.
        pads_patches: its vision encoder pads the patches of an image.
        full_length: a scorer that was trained on texts padded to their full length.
        positions_after_padding: a text encoder whose positions begin after the padding token's id, so its longest text
            is shorter than its table of positions.
    """

    plain: Plain | None = None
    generates_within: bool = False
    answers_marked: bool = False
    frames: int | None = None
    refused: str | None = None
    post_norm: bool = False
    connector: str | None = None
    pads_patches: bool = False
    full_length: bool = False
    positions_after_padding: bool = False


#: By `model_type`. Captioners are asked as their papers and model cards do.
FAMILIES = {
    "bart": Family(post_norm=True),
    "blip-2": Family(plain=Plain("{request}", "a photo of", special=True)),
    "blip": Family(plain=Plain("{start}{request}", "a photo of"), generates_within=True),
    "chameleon": Family(plain=Plain("{request}{image}", DEFAULT_PROMPT, join="", special=True)),
    "diffusion_gemma": Family(refused="writes blocks of text by diffusion, not one token after the other"),
    "evolla": Family(refused="reads proteins, no images"),
    "florence2": Family(plain=Plain("{request}", "<CAPTION>", join="")),
    "fuyu": Family(plain=Plain("{request}\n", "Generate a coco-style caption.", join="")),
    "git": Family(plain=Plain("{start}{request}", "", join=""), post_norm=True),
    "idefics": Family(plain=Plain("{request}", "An image of")),
    "instructblip": Family(plain=Plain("{request}", "A short image description:", special=True)),
    "instructblipvideo": Family(plain=Plain("{request}", "A short image description:", special=True), frames=4),
    "kosmos-2": Family(plain=Plain("{request}", "An image of", special=True)),
    "kosmos-2.5": Family(plain=Plain("{request}", "<md>", join="")),
    "mllama": Family(pads_patches=True),
    "paligemma": Family(plain=Plain("{image}{request}", "caption en", join=""), answers_marked=True),
    "pi0": Family(refused="puts out the actions of a robot, no text"),
    "pix2struct": Family(plain=Plain("", "", join="")),
    "pp_formulanet": Family(plain=Plain("", "", join="")),
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl"), Family(connector="merger")),
    "roberta": Family(positions_after_padding=True),
    "roberta-prelayernorm": Family(positions_after_padding=True),
    "siglip": Family(full_length=True),
    "siglip2": Family(full_length=True),
    "siglip2_text_model": Family(full_length=True),
    "siglip_text_model": Family(full_length=True),
    "trocr": Family(post_norm=True),
    "vision-encoder-decoder": Family(plain=Plain("", "", join="")),
}


def family_of(model_type: str) -> Family:
    """The peculiarities of a `model_type`; none for a family that the table does not have."""
    return FAMILIES.get(model_type, Family())


def asked_plainly() -> list[str]:
    """The families that are asked in plain text, by name."""
    return [name for name, family in FAMILIES.items() if family.plain is not None]
