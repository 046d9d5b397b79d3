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
from .options import (
    ReadingOptions as ReadingOptions,
)
from .sample import (
    Sample as Sample,
    digest_of as digest_of,
)
from .summary import (
    Samples as Samples,
    Summary as Summary,
    images_there as images_there,
    summary_of as summary_of,
)
