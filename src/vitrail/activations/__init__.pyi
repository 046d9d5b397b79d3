# The names of the package; each is imported when it is first used.

from .many import (
    WordStore as WordStore,
    open_words as open_words,
    study_folder as study_folder,
)
from .moments import (
    Moments as Moments,
    open_moments as open_moments,
)
from .options import (
    ExtractionOptions as ExtractionOptions,
    Require as Require,
)
from .row import (
    Patch as Patch,
    Row as Row,
)
from .store import (
    Activations as Activations,
    Counts as Counts,
    Store as Store,
    open_activations as open_activations,
    read_states as read_states,
)
