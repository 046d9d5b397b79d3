# The names of the package; each is imported when it is first used.

from .concepts import (
    import_concepts as import_concepts,
)
from .dictionaries import (
    Dictionary as Dictionary,
    import_dictionary as import_dictionary,
    open_dictionary as open_dictionary,
)
from .features import (
    import_features as import_features,
)
from .files import (
    Kind as Kind,
    Released as Released,
    open_released as open_released,
)
from .ids import (
    import_ids as import_ids,
)
from .report import (
    Imported as Imported,
)
from .steerings import (
    import_network as import_network,
    import_vector as import_vector,
)
