# The names of the package; each is imported when it is first used.

from .reader import (
    Reader as Reader,
    Reading as Reading,
)
from .run import (
    extract as extract,
    extract_as as extract_as,
)
