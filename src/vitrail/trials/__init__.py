"""Trials: what a steering does, measured.

tasks.py         what steering is for: captions towards a topic, answers that become others
metrics.py       what was said, in numbers
outcome.py       effect and side effects of one steering
recipes.py       from a task to a steering
grid_search.py   where and how strongly: chosen on one half of the samples, reported on the other
contest.py       methods and baselines side by side
gallery.py       captions before and after
"""

from vitrail.trials.grid_search import rank_by_narrowness, search
from vitrail.trials.outcome import Judge, Outcome
from vitrail.trials.tasks import TASKS, AnswerTask, CaptionTask, say

__all__ = ["TASKS", "AnswerTask", "CaptionTask", "Judge", "Outcome", "rank_by_narrowness", "say", "search"]
