"""Steering: changing what a model says by editing its states, and measuring what else changed.

    with steer(lmm, Add({-1: vector})):
        lmm.caption(images)

interventions.py   what is done to the states
apply.py           `steer`, for as long as a `with` block lasts
states.py          states to make vectors of
vectors.py         directions from states
learned.py         functions that are learned: LoReFT, DiReFT, L2S
make.py            makes vectors
teach.py           teaches functions
recipes.py         from a task to a steering
lora.py            LoRA of the same budget
artifact.py        a steering on disk
interchange.py     other tools' formats
tasks.py           what steering is for
metrics.py         what was said, in numbers
outcome.py         effect and side effects
search.py          where and how strong
evaluate.py        methods and baselines side by side
gallery.py         a page of captions before and after
"""

from vitrail.steer.apply import Steered, steer
from vitrail.steer.artifact import Steering, open_steering
from vitrail.steer.interventions import (
    Activation,
    Add,
    Clamp,
    Intervention,
    ProjectOut,
    When,
)
from vitrail.steer.learned import FromContext, Function
from vitrail.steer.make import concept_vector, make_vector, shift_vector, tensor_vector
from vitrail.steer.outcome import Judge, Outcome
from vitrail.steer.search import rank_by_narrowness, search
from vitrail.steer.states import read_states
from vitrail.steer.tasks import TASKS, AnswerTask, CaptionTask, say
from vitrail.steer.teach import learn_from_answers, learn_from_pairs

__all__ = [
    "TASKS",
    "Activation",
    "Add",
    "AnswerTask",
    "CaptionTask",
    "Clamp",
    "FromContext",
    "Function",
    "Intervention",
    "Judge",
    "Outcome",
    "ProjectOut",
    "Steered",
    "Steering",
    "When",
    "concept_vector",
    "learn_from_answers",
    "learn_from_pairs",
    "make_vector",
    "open_steering",
    "rank_by_narrowness",
    "read_states",
    "say",
    "search",
    "shift_vector",
    "steer",
    "tensor_vector",
]
