"""Trials: what a steering does, measured.

texts.py        what a model says, and how probable texts are to it
judge.py        the effect and the side effects of one steering
outcome.py      these figures, as values and as JSON
narrowness.py   whether an intervention makes one change and no other
grid_search.py  where and how strongly: chosen on one half of the samples, reported on the other
contenders.py   steerings and baselines in one form
lora.py         LoRA with as many parameters as a steering
contest.py      contenders side by side
speed.py        the time of their generation
gallery.py      captions before and after
"""

from vitrail.trials.contenders import Contender, ContestOptions
from vitrail.trials.contest import ContenderResult, open_contest
from vitrail.trials.gallery import Gallery, make_gallery
from vitrail.trials.grid_search import SearchOptions, SearchResult, Trial, open_search, search
from vitrail.trials.judge import Judge
from vitrail.trials.narrowness import rank_by_narrowness
from vitrail.trials.outcome import AnswerSideEffects, CaptionSideEffects, Outcome
from vitrail.trials.texts import say

__all__ = [
    "AnswerSideEffects",
    "CaptionSideEffects",
    "Contender",
    "ContenderResult",
    "ContestOptions",
    "Gallery",
    "Judge",
    "Outcome",
    "SearchOptions",
    "SearchResult",
    "Trial",
    "make_gallery",
    "open_contest",
    "open_search",
    "rank_by_narrowness",
    "say",
    "search",
]
