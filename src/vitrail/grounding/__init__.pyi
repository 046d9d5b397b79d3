# The names of the package; each is imported when it is first used.

from .artifact import (
    CaptionWord as CaptionWord,
    GroundedConcept as GroundedConcept,
    GroundedConcepts as GroundedConcepts,
    GroundedMean as GroundedMean,
    GroundedSample as GroundedSample,
    GroundedWord as GroundedWord,
    Grounding as Grounding,
    open_grounding as open_grounding,
)
from .reader import (
    WordReader as WordReader,
)
from .logit import (
    WordLogit as WordLogit,
    word_logit as word_logit,
)
from .run import (
    check_model as check_model,
    ground as ground,
    ground_as as ground_as,
    lens_for as lens_for,
    most_activating as most_activating,
    overlap_of as overlap_of,
    share_of_samples as share_of_samples,
    word_reader as word_reader,
)
from .options import (
    GroundingOptions as GroundingOptions,
)
