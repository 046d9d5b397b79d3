# The names of the package; each is imported when it is first used.

from .exports import (
    evidently_table as evidently_table,
    export as export,
)
from .summary import (
    Entry as Entry,
    Summary as Summary,
    summary_of as summary_of,
)
from .trackers import (
    Tracker as Tracker,
    log_to as log_to,
)
