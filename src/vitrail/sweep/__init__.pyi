# The names of the package; each is imported when it is first used.

from .options import (
    SweepOptions as SweepOptions,
)
from .plot import (
    MEASURES as MEASURES,
    draw_sweep as draw_sweep,
)
from .run import (
    check_sweep as check_sweep,
    sweep as sweep,
    write_sweep as write_sweep,
)
