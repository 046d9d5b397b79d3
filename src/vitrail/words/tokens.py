"""Which tokens hold a word of a text, and which tokens of a vocabulary are words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from vitrail.words.dictionary import is_beginning, is_word
from vitrail.words.matching import Match, Word
from vitrail.words.scripts import unspaced

_SPACES = ("Ġ", "▁", " ")  # how tokenizers write the space before a word

#: Which state belongs to a word: the one that predicts its first token, or the one at its last token.
Alignment = Literal["predicts", "reads"]


def token_offsets(tokenizer: Any, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Character offsets `[start, end)` of each token in `decode(tokenizer, ids)`.

    Tokens are decoded together, because one alone may decode differently (without its leading space, or as half of a
    multi-byte character). The offsets cover the text without gaps. Tokens that share a character both cover it.
    """
    offsets: list[tuple[int, int]] = []
    text, start = "", 0
    for n in range(1, len(ids) + 1):
        text = decode(tokenizer, ids[:n])
        # half of a character decodes to a replacement that the next token turns into the character
        whole = max(start, len(text.rstrip("\ufffd")))
        offsets.append((start, whole + text.endswith("\ufffd")))
        start = whole
    if offsets:
        offsets[-1] = (offsets[-1][0], len(text))
    return offsets


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of `ids`, without special tokens, and with its spaces unchanged."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def token_span(offsets: Sequence[tuple[int, int]], match: Match) -> tuple[int, int]:
    """Indices of the first and the last token that hold characters of `match`.

    >>> token_span([(0, 1), (1, 5), (5, 8)], Match("umbrella", 2, 8))
    (1, 2)
    """
    touching = [i for i, (start, end) in enumerate(offsets) if start < match.end and end > match.start]
    return touching[0], touching[-1]


def word_tokens(tokenizer: Any, language: str = "en") -> dict[int, str]:
    """Token id → word, for the tokens that are a whole word by themselves (see `is_word`).

    A token inside a word ("ella" of "umbrella") does not count, even where it looks like a word, nor does the mere
    beginning of longer English words ("todd" of "toddler", see `is_beginning`). A token begins a word when it begins
    with the tokenizer's mark for a space; where a tokenizer marks continuations instead ("##ella"), when it has no such
    mark. Scripts without spaces between words need neither. A number counts in the form in which the tokenizer writes
    it after a space: many tokenizers have digits without the mark alone (Llama, Gemma, Qwen).
    """
    special = set(tokenizer.all_special_ids)
    pieces = {i: p for p, i in tokenizer.get_vocab().items() if i not in special}
    spaced = {i for i, p in pieces.items() if p.startswith(_SPACES)}
    begins = spaced or {i for i, p in pieces.items() if not p.startswith("##")}
    alone = {i for i, p in pieces.items() if p.isdecimal() and _written_as(tokenizer, p) == i}
    words = {i: tokenizer.decode([i]).strip() for i in (pieces if language == "any" else begins | alone)}
    return {
        i: w
        for i, w in sorted(words.items())
        if is_word(w, language)
        and (i in begins or i in alone or unspaced(w[0]))
        and not (language == "en" and is_beginning(w))
    }


def _written_as(tokenizer: Any, number: str) -> int | None:
    """The one token that writes `number` after a space, or None; a token of the space alone does not count."""
    ids = tokenizer.encode(f" {number}", add_special_tokens=False)
    while len(ids) > 1 and not tokenizer.decode(ids[:1]).strip():
        ids = ids[1:]
    return ids[0] if len(ids) == 1 else None


def own_tokens(tokenizer: Any, word: Word) -> set[int]:
    """Ids of the tokens that the word itself is made of, in any case, with or without a leading space."""
    forms = {
        v
        for f in (word.text, *word.forms)
        for part in f.split()
        for v in (part, part.lower(), part.capitalize(), part.upper())
    }
    return {i for f in forms for t in (f, " " + f) for i in tokenizer.encode(t, add_special_tokens=False)}
