# The names of the package; each is imported when it is first used.

from .checks import (
    candidates as candidates,
    check_images as check_images,
    check_unseen as check_unseen,
    check_word as check_word,
    check_words as check_words,
    having as having,
)
from .reader import (
    Reader as Reader,
    Reading as Reading,
)
from .merging import (
    merge as merge,
)
from .reducing import (
    reduce as reduce,
    reduce_as as reduce_as,
)
from .run import (
    extract as extract,
    extract_as as extract_as,
    extract_part as extract_part,
    extract_words as extract_words,
    extract_words_as as extract_words_as,
    sized as sized,
)
