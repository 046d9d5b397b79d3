# The names of the package; each is imported when it is first used.

from .named import (
    NamedConcept as NamedConcept,
)
from .choosing import (
    Choice as Choice,
    Judged as Judged,
    Overlap as Overlap,
    Tried as Tried,
    choose as choose,
    measure_all as measure_all,
    penalties_for as penalties_for,
)
from .options import (
    LearningOptions as LearningOptions,
)
from .learning import (
    Concepts as Concepts,
    adopt_concepts as adopt_concepts,
    describe_fit as describe_fit,
    learn as learn,
    learn_as as learn_as,
    one_layer as one_layer,
    open_concepts as open_concepts,
    ordinary as ordinary,
)
from .evidence import (
    Evidence as Evidence,
    open_evidence as open_evidence,
)
from .shared import (
    SharedConcepts as SharedConcepts,
    Use as Use,
    check_shared as check_shared,
    folder_of_word as folder_of_word,
    open_shared as open_shared,
    share_as as share_as,
)
