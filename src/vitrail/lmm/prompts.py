"""Requests as the text that a model was trained to continue: its chat template, or the plain text of a captioner."""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from vitrail import words
from vitrail.errors import ModelError
from vitrail.lmm.families import Plain
from vitrail.lmm.messages import first_line
from vitrail.words import Match

#: For how long a chat template may work on one request, in seconds. Those of models take less than a hundredth.
PATIENCE = 20.0


def template_of(processor: Any, with_tokenizer: bool = True) -> Any:
    """The chat template: the processor's, or where it has none its tokenizer's; None where neither has one.

    Args:
        with_tokenizer: whether the tokenizer's counts. It knows of no images: a family that is asked in plain text has
            no use for it (BLIP-2).
    """
    own = getattr(processor, "chat_template", None)
    if own or not with_tokenizer:
        return own or None
    return getattr(getattr(processor, "tokenizer", None), "chat_template", None)


def is_jinja(template: str) -> bool:
    """Whether a user's template is a chat template, in Jinja; else it is plain text with places to fill in."""
    return "{%" in template or "{{" in template


def chat(processor: Any, request: str, answer: str | None = None, images: int = 1, film: bool = False) -> str:
    """The text of so many images, a request and its answer, if there is one, by the chat template of `processor`.

    Args:
        film: whether the images are one video.

    Raises:
        ModelError: the template ends in an error, or works for longer than `PATIENCE`; transformers renders it in a
            sandbox.
    """
    shown = [{"type": "video"}] if film else [{"type": "image"}] * images
    turns = [{"role": "user", "content": [*shown, {"type": "text", "text": request}]}]
    if answer is not None:
        turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    # some processors hand on their own template, and would take another one twice
    lent = {} if getattr(processor, "chat_template", None) else {"chat_template": template_of(processor)}
    try:
        return _in_time(
            lambda: processor.apply_chat_template(turns, add_generation_prompt=answer is None, tokenize=False, **lent)
        )
    except Exception as error:  # a template may raise whatever its author wrote, or what the sandbox refuses
        what = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(
            f"The model's chat template ends in an error ({what}). Set `processor.chat_template`."
        ) from error


def _in_time(render: Callable[[], str]) -> str:
    """What `render` gives, which is stopped after `PATIENCE` seconds.

    The sandbox bounds a range to 100,000 items, but not ranges inside ranges. So a template is rendered in a thread of
    its own, where an exception can be raised from outside; no one operation of it may be stopped, only what is between.

    Raises:
        TimeoutError: it took longer.
    """
    found: list[str] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(render())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeoutError))
        raise TimeoutError(f"it works for longer than {PATIENCE:g} seconds on one request")
    if failed:
        raise failed[0]
    return found[0]


def plain(style: Plain, processor: Any, request: str, images: int = 1) -> str:
    """The text of so many images and a request, without a chat template."""
    tokenizer = processor.tokenizer
    image = getattr(processor, "image_token", None) or getattr(tokenizer, "image_token", None) or "<image>"
    start = tokenizer.bos_token or tokenizer.cls_token or ""
    return style.text.replace("{image}", str(image) * images).replace("{start}", start).replace("{request}", request)


def tail(tokenizer: Any, prompt: str, whole: str) -> list[int]:
    """The token ids of `whole` after those of `prompt`, which it begins with.

    Both are encoded as they are, since the rest alone may become other tokens. Only if the boundary falls inside a
    token, the rest is encoded alone.

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


def question_tokens(
    tokenizer: Any, ids: Int[Tensor, "batch prompt"], text: Bool[Tensor, "batch prompt"], requests: Sequence[str]
) -> Bool[Tensor, "batch prompt"]:
    """The tokens of each request in its prompt: those that hold a character of it, where it stands last.

    Args:
        ids: of the prompts.
        text: False for padding and for the image's tokens.
        requests: what each prompt asks. Spaces and capitals may differ from those of the prompt.

    Raises:
        ModelError: a prompt does not have its request in it.
    """
    found = torch.zeros_like(text)
    for row, here, marked, request in zip(ids, text, found, requests, strict=True):
        places = here.nonzero().flatten()
        tokens = row[places].tolist()
        prompt = words.decode(tokenizer, tokens)
        matches = list(re.finditer(r"\s+".join(map(re.escape, request.split())), prompt, re.IGNORECASE))
        if not request.strip() or not matches:
            raise ModelError(f"The request {request!r} is not in the prompt {prompt!r}; its states cannot be read.")
        first, last = words.token_span(words.token_offsets(tokenizer, tokens), Match(request, *matches[-1].span()))
        marked[places[first : last + 1]] = True
    return found
