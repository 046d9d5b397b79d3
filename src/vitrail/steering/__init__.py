"""Steering: changing what a model says by editing its states.

    with steer(lmm, Add({-1: vector})):
        lmm.caption(images)

interventions.py   what is done to the states
learned.py         functions that are learned: LoReFT, DiReFT, L2S
apply.py           `steer`, for as long as a `with` block lasts
states.py          states to make vectors of
vectors.py         directions from states
make.py            makes vectors
teach.py           teaches functions
artifact.py        a steering on disk
interchange.py     other tools' formats
"""

from vitrail.steering.apply import Steered, steer
from vitrail.steering.artifact import Steering, open_steering
from vitrail.steering.interventions import Activation, Add, Clamp, Intervention, ProjectOut, When
from vitrail.steering.learned import FromContext, Function
from vitrail.steering.make import concept_vector, make_vector, shift_vector, tensor_vector
from vitrail.steering.states import read_states
from vitrail.steering.teach import learn_from_answers, learn_from_pairs

__all__ = [
    "Activation",
    "Add",
    "Clamp",
    "FromContext",
    "Function",
    "Intervention",
    "ProjectOut",
    "Steered",
    "Steering",
    "When",
    "concept_vector",
    "learn_from_answers",
    "learn_from_pairs",
    "make_vector",
    "open_steering",
    "read_states",
    "shift_vector",
    "steer",
    "tensor_vector",
]
