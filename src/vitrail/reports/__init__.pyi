# The names of the package; each is imported when it is first used.

from .atlas import (
    AtlasEntry as AtlasEntry,
    atlas_page as atlas_page,
)
from .explanation import (
    draw_explanation as draw_explanation,
    explanation_figure as explanation_figure,
)
from .methods import (
    methods_page as methods_page,
)
from .page import (
    study_page as study_page,
)
