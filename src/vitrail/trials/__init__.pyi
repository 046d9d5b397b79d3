# The names of the package; each is imported when it is first used.

from .contenders import (
    Contender as Contender,
)
from .contest import (
    ContenderResult as ContenderResult,
    open_contest as open_contest,
)
from .gallery import (
    Gallery as Gallery,
    gallery_of as gallery_of,
)
from .grid_search import (
    SearchResult as SearchResult,
    Trial as Trial,
    open_search as open_search,
    search as search,
)
from .judge import (
    Judge as Judge,
)
from .levels import (
    Level as Level,
    say_at_strengths as say_at_strengths,
)
from .losses import (
    TextFigures as TextFigures,
    TextLoss as TextLoss,
)
from .narrowness import (
    FineVector as FineVector,
    fine_pairs as fine_pairs,
    rank_by_narrowness as rank_by_narrowness,
    rank_fine_vectors as rank_fine_vectors,
)
from .options import (
    ContestOptions as ContestOptions,
    GalleryOptions as GalleryOptions,
    RankOptions as RankOptions,
    SearchOptions as SearchOptions,
)
from .outcome import (
    AnswerSideEffects as AnswerSideEffects,
    CaptionSideEffects as CaptionSideEffects,
    Outcome as Outcome,
)
from .texts import (
    say as say,
)
