"""Words: where a word stands in a text, and which tokens of a vocabulary are words.

A word is searched for in *decoded text*, by character offsets and word boundaries, never by token ids: "cat" is not in
"category", however a tokenizer splits the two.

| file | what |
|---|---|
| `matching.py` | a word of interest, and where it stands in a text |
| `tokens.py` | which tokens hold a word, and which tokens are words |
| `dictionary.py` | what is a word in a language, and which words to suggest |
| `scripts.py` | scripts without spaces between words, and combining marks |
"""

from vitrail.words.dictionary import absent, common_words, is_word, nearest
from vitrail.words.matching import Match, Word, spoken, whole_words
from vitrail.words.tokens import Alignment, decode, own_tokens, token_offsets, token_span, word_tokens

__all__ = [
    "Alignment",
    "Match",
    "Word",
    "absent",
    "common_words",
    "decode",
    "is_word",
    "nearest",
    "own_tokens",
    "spoken",
    "token_offsets",
    "token_span",
    "whole_words",
    "word_tokens",
]
