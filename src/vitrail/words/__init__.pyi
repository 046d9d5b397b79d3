# The names of the package; each is imported when it is first used.

from .captions import (
    frequent_among as frequent_among,
    words_said as words_said,
)
from .dictionary import (
    absent as absent,
    common_words as common_words,
    is_beginning as is_beginning,
    is_word as is_word,
    lemma as lemma,
    nearest as nearest,
)
from .equal import (
    unified as unified,
)
from .matching import (
    Match as Match,
    Word as Word,
    spoken as spoken,
    whole_words as whole_words,
    word_spans as word_spans,
)
from .scripts import (
    check_segments as check_segments,
)
from .tokens import (
    Alignment as Alignment,
    decode as decode,
    own_tokens as own_tokens,
    token_offsets as token_offsets,
    token_span as token_span,
    word_tokens as word_tokens,
)
