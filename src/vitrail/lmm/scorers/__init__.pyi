# The names of the package; each is imported when it is first used.

from .images import (
    ImageTextScorer as ImageTextScorer,
    load_image_scorer as load_image_scorer,
)
from .texts import (
    TextScorer as TextScorer,
    load_text_scorer as load_text_scorer,
)
