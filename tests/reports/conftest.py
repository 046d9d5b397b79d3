"""What the pages of evaluations are made of."""

from tests.evaluation.conftest import data, dog_study, evaluation, factors, held_out, side_by_side

__all__ = ["data", "dog_study", "evaluation", "factors", "held_out", "side_by_side"]
