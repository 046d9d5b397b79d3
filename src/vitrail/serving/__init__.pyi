# The names of the package; each is imported when it is first used.

from .application import (
    application as application,
)
from .options import (
    ServeOptions as ServeOptions,
)
from .run import (
    serve as serve,
)
