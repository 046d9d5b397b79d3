# The names of the package; each is imported when it is first used.

from .live import (
    Monitor as Monitor,
    monitor as monitor,
)
from .observation import (
    Observation as Observation,
)
from .options import (
    MonitorOptions as MonitorOptions,
)
from .sinks import (
    Sink as Sink,
    read_observations as read_observations,
)
