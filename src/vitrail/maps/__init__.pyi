# The names of the package; each is imported when it is first used.

from .artifact import (
    StudyMaps as StudyMaps,
    open_maps as open_maps,
)
from .image_maps import (
    ImageMaps as ImageMaps,
    TargetMap as TargetMap,
)
from .options import (
    MapOptions as MapOptions,
)
from .question import (
    Question as Question,
    Targets as Targets,
)
from .run import (
    check_mapped as check_mapped,
    map_concepts as map_concepts,
    maps_of as maps_of,
    maps_of_rows as maps_of_rows,
    question_of as question_of,
)
from .tokens import (
    ImageToken as ImageToken,
    ImageWords as ImageWords,
    token_words as token_words,
)
