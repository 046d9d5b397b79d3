# The names of the package; each is imported when it is first used.

from .methods import (
    MethodComparison as MethodComparison,
    open_method_comparison as open_method_comparison,
    score_methods as score_methods,
)
from .one_study import (
    Evaluation as Evaluation,
    EvaluationFolders as EvaluationFolders,
    open_evaluation as open_evaluation,
    score_study as score_study,
)
from .inputs import (
    EvaluationData as EvaluationData,
    Lexicon as Lexicon,
    Scorers as Scorers,
)
from .options import (
    EvaluationOptions as EvaluationOptions,
    MethodOptions as MethodOptions,
)
from .results import (
    EvaluationScores as EvaluationScores,
)
