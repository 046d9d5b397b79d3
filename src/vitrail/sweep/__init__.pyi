# The names of the package; each is imported when it is first used.

from .options import (
    SweepOptions as SweepOptions,
)
from .plot import (
    draw_sweep as draw_sweep,
)
from .point import (
    MEASURES as MEASURES,
    SweepPoint as SweepPoint,
)
from .run import (
    check_sweep as check_sweep,
    sweep as sweep,
)
