# The names of the package; each is imported when it is first used.

from .apply import (
    apply_steering as apply_steering,
)
from .evaluate import (
    EvaluationSamples as EvaluationSamples,
    evaluate_steerings as evaluate_steerings,
)
from .make import (
    ConceptChoice as ConceptChoice,
    steering_from_concepts as steering_from_concepts,
    steering_from_vectors as steering_from_vectors,
)
from .options import (
    GalleryOptions as GalleryOptions,
    RankOptions as RankOptions,
)
from .rank import (
    FineVector as FineVector,
    rank_fine_vectors as rank_fine_vectors,
)
from .search import (
    search_steering as search_steering,
)
