# The names of the package; each is imported when it is first used.

from .live import (
    Monitor as Monitor,
    monitor as monitor,
)
from .observation import (
    Observation as Observation,
)
from .options import (
    FollowOptions as FollowOptions,
    MonitorOptions as MonitorOptions,
    ReferenceOptions as ReferenceOptions,
    WatchOptions as WatchOptions,
)
from .alarms import (
    Alarm as Alarm,
)
from .following import (
    Fate as Fate,
    Follow as Follow,
    Followed as Followed,
    Reading as Reading,
    Turn as Turn,
    read_followed as read_followed,
)
from .reference import (
    Reference as Reference,
    fit_reference as fit_reference,
    open_reference as open_reference,
    reference_of as reference_of,
)
from .truth import (
    fit_evidence as fit_evidence,
)
from .summary import (
    Summary as Summary,
    merge as merge,
    read_summary as read_summary,
    write_summary as write_summary,
)
from .watch import (
    Status as Status,
    Watch as Watch,
    Window as Window,
    acknowledge as acknowledge,
    read_status as read_status,
    read_windows as read_windows,
    window_files as window_files,
)
from .sinks import (
    Sink as Sink,
    read_observations as read_observations,
)
