"""Requests as the text that a model was trained to continue: its chat template, or the plain text of a captioner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vitrail.errors import ModelError

DEFAULT_PROMPT = "Provide a one-sentence caption of the image."


@dataclass(frozen=True)
class Plain:
    """How a model without a chat template is asked.

    Args:
        text: what stands before the answer; "{image}", "{start}" and "{request}" are replaced by the image's token, the
            token that begins a text, and the request.
        caption: the request for a caption.
        join: what stands between that and the answer.
        special: whether the tokenizer adds its special tokens to it.
    """

    text: str
    caption: str
    join: str = " "
    special: bool = False


#: Families (by `model_type`) without a chat template, asked as their papers and model cards do.
PLAIN = {
    "blip-2": Plain("{request}", "a photo of", special=True),
    "chameleon": Plain("{request}{image}", DEFAULT_PROMPT, join="", special=True),
    "florence2": Plain("{request}", "<CAPTION>", join=""),
    "git": Plain("{start}{request}", "", join=""),
    "idefics": Plain("{request}", "An image of"),
    "instructblip": Plain("{request}", "A short image description:", special=True),
    "kosmos-2": Plain("{request}", "An image of", special=True),
    "paligemma": Plain("{image}{request}", "caption en", join=""),
    "vision-encoder-decoder": Plain("", "", join=""),
}


def chat(processor: Any, request: str, answer: str | None = None) -> str:
    """The text of one image, a request and perhaps its answer, by the chat template of `processor`."""
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": request}]}]
    if answer is not None:
        turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return processor.apply_chat_template(turns, add_generation_prompt=answer is None, tokenize=False)


def plain(style: Plain, processor: Any, request: str) -> str:
    """The text of one image and a request, without a chat template."""
    tokenizer = processor.tokenizer
    image = getattr(processor, "image_token", None) or getattr(tokenizer, "image_token", None) or "<image>"
    start = tokenizer.bos_token or tokenizer.cls_token or ""
    return style.text.replace("{image}", str(image)).replace("{start}", start).replace("{request}", request)


def tail(tokenizer: Any, prompt: str, whole: str) -> list[int]:
    """The tokens of `whole` after those of `prompt`, which it begins with.

    The two are encoded whole, since a piece alone may encode otherwise; where the boundary falls inside a token, the
    rest is encoded alone.

    Raises:
        ModelError: `whole` does not begin with `prompt`.
    """
    if not whole.startswith(prompt):
        raise ModelError(f"The chat template does not continue its prompt {prompt!r}; answers cannot be forced.")
    first = tokenizer.encode(prompt, add_special_tokens=False)
    both = tokenizer.encode(whole, add_special_tokens=False)
    if both[: len(first)] == first:
        return both[len(first) :]
    return tokenizer.encode(whole[len(prompt) :], add_special_tokens=False)
