"""Which tokens hold a word of a text, and which tokens of a vocabulary are words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from vitrail.words.dictionary import is_word
from vitrail.words.matching import Match, Word
from vitrail.words.scripts import unspaced

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

    A token inside a word ("ella" of "umbrella") does not count, even where it looks like a word. A token begins a word
    when it begins with the tokenizer's mark for a space; where a tokenizer marks continuations instead ("##ella"), when
    it has no such mark. Scripts without spaces between words need neither.
    """
    pieces = {i: p for p, i in tokenizer.get_vocab().items() if i not in tokenizer.all_special_ids}
    marks = ("Ġ", "▁", " ")
    spaced = {i for i, p in pieces.items() if p.startswith(marks)}
    begins = spaced or {i for i, p in pieces.items() if not p.startswith("##")}
    words = {i: tokenizer.decode([i]).strip() for i in (pieces if language == "any" else begins)}
    return {i: w for i, w in sorted(words.items()) if is_word(w, language) and (i in begins or unspaced(w[0]))}


def own_tokens(tokenizer: Any, word: Word) -> set[int]:
    """Ids of the tokens that the word itself is made of, in any case, with or without a leading space."""
    forms = {
        v
        for f in (word.text, *word.forms)
        for part in f.split()
        for v in (part, part.lower(), part.capitalize(), part.upper())
    }
    return {i for f in forms for t in (f, " " + f) for i in tokenizer.encode(t, add_special_tokens=False)}
