# The names of the package; each is imported when it is first used.

from .bounds import (
    ImageBounds as ImageBounds,
)
from .folders import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
)
from .formats import (
    Format as Format,
    Found as Found,
    Source as Source,
)
from .images import (
    EncodedImage as EncodedImage,
    thumbnail as thumbnail,
)
from .load import (
    FORMATS as FORMATS,
    as_samples as as_samples,
    load_samples as load_samples,
)
from .sample import (
    Sample as Sample,
)
from .tables import (
    ANSWER_COLUMNS as ANSWER_COLUMNS,
    REFERENCE_COLUMNS as REFERENCE_COLUMNS,
    TEXT_COLUMNS as TEXT_COLUMNS,
)
