# The names of the package; each is imported when it is first used.

from .artifact import (
    FineTune as FineTune,
    open_finetune as open_finetune,
)
from .options import (
    FineTuneOptions as FineTuneOptions,
    check_training as check_training,
    TrainingOptions as TrainingOptions,
)
from .run import (
    finetune as finetune,
)
