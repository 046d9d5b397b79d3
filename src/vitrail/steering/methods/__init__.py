"""The methods that make steerings. A method is a value, `SteeringMethod`; `registry.METHODS` lists all of them.

from_states.py   vectors from two sets of states: mean, guarded, probe, pca, random
from_concepts.py vectors from the concepts of a study, and from their shifts
from_tensors.py  vectors that were made elsewhere
l2s.py           L2S: a vector for every input, from a small network
reft.py          LoReFT and DiReFT: a function of every state
registry.py      all methods by name; opens steerings
"""
