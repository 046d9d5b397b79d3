# The names of the package; each is imported when it is first used.

from .cluster import (
    connected as connected,
)
from .options import (
    Engine as Engine,
    WorkOptions as WorkOptions,
    part_of as part_of,
    whole_run as whole_run,
)
from .pool import (
    Pool as Pool,
    pool_of as pool_of,
)
