# The names of the package; each is imported when it is first used.

from .apply import (
    Steered as Steered,
    steer as steer,
)
from .artifact import (
    Assignment as Assignment,
    Steering as Steering,
    SteeringMethod as SteeringMethod,
)
from .contrast import (
    Contrast as Contrast,
    ExampleSet as ExampleSet,
)
from .interventions import (
    Activation as Activation,
    Add as Add,
    Clamp as Clamp,
    Intervention as Intervention,
    ProjectOut as ProjectOut,
    When as When,
)
from .learned_functions import (
    FromContext as FromContext,
    Function as Function,
)
from .make import (
    make_steering as make_steering,
)
from .methods.from_concepts import (
    concept_direction as concept_direction,
    concept_vector as concept_vector,
    shift_vector as shift_vector,
)
from .methods.from_states import (
    make_vectors as make_vectors,
)
from .methods.from_tensors import (
    known_vector as known_vector,
    tensor_vector as tensor_vector,
)
from .methods.l2s import (
    learn_from_pairs as learn_from_pairs,
)
from .methods.reft import (
    learn_from_answers as learn_from_answers,
)
from .methods.registry import (
    METHODS as METHODS,
    as_steering as as_steering,
    method_named as method_named,
    open_steering as open_steering,
    task_methods as task_methods,
)
from .options import (
    Application as Application,
    SteeringOptions as SteeringOptions,
)
from .states import (
    example_states as example_states,
)
from .tasks import (
    AnswerTask as AnswerTask,
    CaptionTask as CaptionTask,
    TASKS as TASKS,
    Task as Task,
    as_task as as_task,
    task_named as task_named,
    until_said as until_said,
)
