# The names of the package; each is imported when it is first used.

from .artifact import (
    Comparison as Comparison,
    ConceptChange as ConceptChange,
    Findings as Findings,
    open_comparison as open_comparison,
)
from .layers import (
    LayerComparison as LayerComparison,
    compare_checkpoints as compare_checkpoints,
    compare_layers as compare_layers,
)
from .models import (
    ModelComparison as ModelComparison,
    compare_models as compare_models,
)
from .options import (
    ChangeRules as ChangeRules,
    ComparisonOptions as ComparisonOptions,
)
from .studies import (
    WiderViews as WiderViews,
    check_alike as check_alike,
    check_studies as check_studies,
    compare_studies as compare_studies,
    made_before as made_before,
)
