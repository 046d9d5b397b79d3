"""Words: where a word stands in a text, and which tokens of a vocabulary are words.

A word is searched for in *decoded text*, by character offsets and word boundaries, never by token ids: "cat" is not in
"category", however a tokenizer splits the two.

| file | what |
|---|---|
| `matching.py` | a word of interest, and where it stands in a text |
| `equal.py` | texts that people hold for the same |
| `tokens.py` | which tokens hold a word, and which tokens are words |
| `captions.py` | the words of captions, and which are frequent |
| `dictionary.py` | what is a word in a language, and which words to suggest |
| `scripts.py` | scripts without spaces between words, and combining marks |
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
