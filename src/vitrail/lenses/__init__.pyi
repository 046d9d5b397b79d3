# The names of the package; each is imported when it is first used.

from .artifact import (
    Lens as Lens,
    LayerFit as LayerFit,
    LensMap as LensMap,
    open_lens as open_lens,
)
from .options import (
    LensOptions as LensOptions,
)
from .run import (
    fit_lens as fit_lens,
)
