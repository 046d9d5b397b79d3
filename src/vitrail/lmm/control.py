"""Control tokens in people's texts: what ends an answer, stands for an image or parts the turns of a conversation.

A tokenizer makes the token of `</s>` in a caption, whoever wrote it there: the answer would end in its middle. Data for
LLaVA have `<image>` at the head of a question, although the image is given beside it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

#: How data sets mark the place of the image, whatever the model's own token is.
_IMAGES = ("<image>", "<Image>", "<img>", "<|image|>", "<image_placeholder>", "<ImageHere>", "[IMG]")
#: A control token looks like one: in brackets. Some models pad or end with an ordinary word, or with "!".
_BRACKETS = re.compile(r"[<\[{|].+[>\]}|]")


def control_tokens(tokenizer: Any, *others: Any) -> frozenset[str]:
    """The texts that a tokenizer takes for control tokens, and `others`: texts, tokens, or None."""
    found = {str(token) for token in (*(getattr(tokenizer, "all_special_tokens", None) or ()), *others) if token}
    for token in (getattr(tokenizer, "added_tokens_decoder", None) or {}).values():
        if getattr(token, "special", False):
            found.add(token.content)
    return frozenset(token for token in found if _BRACKETS.fullmatch(token))


def without_images(question: str, controls: Collection[str]) -> str:
    """A question without the marks of an image that it begins with.

    >>> without_images("<image>\\nWhat is this?", ())
    'What is this?'
    """
    marks = "|".join(map(re.escape, sorted({*_IMAGES, *(c for c in controls if "image" in c.lower())})))
    return re.sub(rf"\A(?:\s*(?:{marks}))+\s*", "", question)


def first_control(text: str, controls: Collection[str]) -> str | None:
    """The first control token in a text; None without any."""
    found = [(place, -len(token), token) for token in controls if (place := text.find(token)) >= 0]
    return min(found)[2] if found else None
