# The names of the package; each is imported when it is first used.

from .apply import (
    apply_steering as apply_steering,
)
from .evaluate import (
    EvaluationSamples as EvaluationSamples,
    evaluate_steerings as evaluate_steerings,
)
from .search import (
    search_steering as search_steering,
)
