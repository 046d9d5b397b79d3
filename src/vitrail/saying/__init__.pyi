# The names of the package; each is imported when it is first used.

from .asking import (
    Asked as Asked,
    Loaded as Loaded,
    BatchLoader as BatchLoader,
    Ready as Ready,
    asked_of as asked_of,
)
from .endpoint import (
    Endpoint as Endpoint,
)
from .options import (
    SayingOptions as SayingOptions,
)
from .run import (
    say as say,
    say_as as say_as,
    say_part as say_part,
    sized as sized,
)
from .texts import (
    Texts as Texts,
    open_texts as open_texts,
)
