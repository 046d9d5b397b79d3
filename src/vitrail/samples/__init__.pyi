# The names of the package; each is imported when it is first used.

from .bounds import (
    ImageBounds as ImageBounds,
)
from .formats import (
    Format as Format,
    Found as Found,
    Source as Source,
)
from .images import (
    IMAGE_SUFFIXES as IMAGE_SUFFIXES,
    VIDEO_SUFFIXES as VIDEO_SUFFIXES,
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
    GivenImage as GivenImage,
    Sample as Sample,
    digest_of as digest_of,
)
from .several import (
    Several as Several,
    Video as Video,
)
from .strips import (
    Film as Film,
    Layout as Layout,
    frames_of as frames_of,
    n_frames as n_frames,
    replaced as replaced,
    strip as strip,
)
from .summary import (
    Samples as Samples,
    Summary as Summary,
    images_there as images_there,
    summary_of as summary_of,
)
