# The names of the package; each is imported when it is first used.

from .application import (
    viewer_application as viewer_application,
)
from .options import (
    ServeOptions as ServeOptions,
)
from .run import (
    serve as serve,
)
