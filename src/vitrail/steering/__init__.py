"""Steering: changing what a model says by editing its states.

    with steer(lmm, Add({-1: vector})):
        lmm.caption(images)

interventions.py      what is done to the states
learned_functions.py  interventions by learned functions
apply.py              `steer`, for as long as a `with` block lasts
tasks.py              what to steer towards: topics of captions, answers
contrast.py           examples of what is wanted and of what is not
states.py             states of examples
vectors.py            directions from states
options.py            how a steering is made, and how it is applied
make.py               makes a steering for a task
methods/              the methods, each in a file, and the list of all of them
training.py           trains functions by the loss of answers
artifact.py           a steering on disk, and what a method is
interchange.py        other tools' formats
"""

from vitrail.steering.apply import Steered, steer
from vitrail.steering.artifact import Assignment, Steering, SteeringMethod
from vitrail.steering.contrast import Contrast, ExampleSet
from vitrail.steering.interventions import Activation, Add, Clamp, Intervention, ProjectOut, When
from vitrail.steering.learned_functions import FromContext, Function
from vitrail.steering.make import make_steering
from vitrail.steering.methods.from_concepts import concept_direction, concept_vector, shift_vector
from vitrail.steering.methods.from_states import make_vectors
from vitrail.steering.methods.from_tensors import tensor_vector
from vitrail.steering.methods.l2s import learn_from_pairs
from vitrail.steering.methods.reft import learn_from_answers
from vitrail.steering.methods.registry import METHODS, as_steering, method_named, open_steering, task_methods
from vitrail.steering.options import Application, SteeringOptions
from vitrail.steering.states import example_states
from vitrail.steering.tasks import TASKS, AnswerTask, CaptionTask, Task, as_task, task_named, until_said

__all__ = [
    "METHODS",
    "TASKS",
    "Activation",
    "Add",
    "AnswerTask",
    "Application",
    "Assignment",
    "CaptionTask",
    "Clamp",
    "Contrast",
    "ExampleSet",
    "FromContext",
    "Function",
    "Intervention",
    "ProjectOut",
    "Steered",
    "Steering",
    "SteeringMethod",
    "SteeringOptions",
    "Task",
    "When",
    "as_steering",
    "as_task",
    "concept_direction",
    "concept_vector",
    "example_states",
    "learn_from_answers",
    "learn_from_pairs",
    "make_steering",
    "make_vectors",
    "method_named",
    "open_steering",
    "shift_vector",
    "steer",
    "task_methods",
    "task_named",
    "tensor_vector",
    "until_said",
]
