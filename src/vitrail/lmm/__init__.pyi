# The names of the package; each is imported when it is first used.

from .adapters import (
    is_adapter as is_adapter,
)
from .backend import (
    Backend as Backend,
    Generation as Generation,
)
from .batches import (
    Batch as Batch,
)
from .captioner import (
    Captioner as Captioner,
    adopt as adopt,
)
from .description import (
    ModelDescription as ModelDescription,
)
from .families import (
    DEFAULT_PROMPT as DEFAULT_PROMPT,
)
from .identity import (
    fingerprint as fingerprint,
)
from .loading import (
    Loader as Loader,
    as_lmm as as_lmm,
    check_model as check_model,
    check_template as check_template,
    from_transformers as from_transformers,
    load as load,
    load_as as load_as,
    loader_of as loader_of,
    quieten as quieten,
)
from .model import (
    LMM as LMM,
)
from .finding import (
    find_parts as find_parts,
)
from .parts import (
    Parts as Parts,
)
from .placement import (
    Placement as Placement,
)
from .options import (
    DType as DType,
    Layer as Layer,
    Videos as Videos,
)
