"""What steering is for, as tasks: which examples it is made from, when it has worked, and what it must leave alone.

CaptionTask   captions that mention a topic (colour, place, mood), or that mention it no more
AnswerTask    answers that become another (yes → no), or of another type
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from vitrail.errors import DataError, UsageError
from vitrail.lmm import LMM
from vitrail.lmm.positions import Name, UntilSaid
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.samples.examples import Example
from vitrail.samples.vocabulary import TOPICS
from vitrail.trials.metrics import normal_answer
from vitrail.words import Word


@dataclass(frozen=True)
class CaptionTask:
    """Captions that mention one of `words`; with `remove`, captions that mention none, and perhaps `instead`.

    Args:
        ask: what to ask for it in a prompt, for the baseline that only asks.
        phrases: regular expressions of what a mention takes with it ("on the {words}"), for comparing the rest.
        rewrites: with `remove`, words (singular, plural) and those of `instead` that may stand in their place.
    """

    name: str
    words: frozenset[str]
    ask: str
    remove: bool = False
    instead: frozenset[str] = frozenset()
    phrases: tuple[str, ...] = ()
    rewrites: tuple[tuple[frozenset[str], frozenset[str]], ...] = ()
    read_at: Name = "generated"
    max_new_tokens: int = 40

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return Word(min(self.words), tuple(self.words)).pattern

    def mentions(self, text: str) -> bool:
        return self.pattern.search(text) is not None

    def worked(self, text: str, before: str) -> bool:
        """Whether a caption is as wanted."""
        return self.mentions(text) != self.remove

    def counts(self, before: str) -> bool:
        """Whether a sample is one that the effect is measured on, by what the plain model says of it."""
        return self.mentions(before) if self.remove else True

    def rest(self, text: str) -> str:
        """The text without its mentions of the topic: what should have stayed."""
        either = "|".join(sorted(map(re.escape, self.words | self.instead), key=len, reverse=True))
        for phrase in self.phrases:
            text = re.sub(phrase.format(words=f"(?:{either})"), " ", text)
        return re.sub(rf"(?<!\w)(?:{either})(?!\w)", " ", text)

    @property
    def saying(self) -> frozenset[str]:
        """The words that a vector towards the task should bring about."""
        return self.instead if self.remove else self.words

    def toward(self, samples: Sequence[Sample]) -> list[Example]:
        """The references as wanted.

        Raises:
            DataError: there is none.
        """
        wanted = Word(min(self.saying), tuple(self.saying)).pattern if self.saying else None
        found = [
            Example(s, r) for s in samples for r in s.references
            if self.worked(r, "") and (wanted is None or wanted.search(r))
        ]  # fmt: skip
        return _some(found, f"a caption that is as {self.name!r} wants it")

    def away(self, samples: Sequence[Sample]) -> list[Example]:
        """The references that are not as wanted."""
        return _some(
            [Example(s, r) for s in samples for r in s.references if not self.worked(r, "")],
            f"a caption that is not as {self.name!r} wants it",
        )

    def taught(self, samples: Sequence[Sample]) -> list[Example]:
        """What a learned method is taught: the references as wanted; of a removal these, and the others rewritten with
        the words of `rewrites` that the references have most often."""
        if not self.rewrites:
            return self.toward(samples)
        said = Counter(w for s in samples for r in s.references for w in r.lower().split())
        by_word = {w: max(sorted(new), key=said.__getitem__) for old, new in self.rewrites for w in old}
        kept = [Example(s, r) for s in samples for r in s.references if self.worked(r, "")]
        return kept + [
            Example(e.sample, self.pattern.sub(lambda m: by_word[m.group().lower()], e.answer))
            for e in self.away(samples)
        ]

    def asked(self, sample: Sample) -> Sample:
        """The sample with the request that asks for it."""
        return replace(sample, question=self.ask)


@dataclass(frozen=True)
class AnswerTask:
    """Answers among `source` that become one of `target`; other answers should stay.

    Args:
        ask: what is said after the question, for the baseline that only asks.
    """

    name: str
    source: frozenset[str]
    target: frozenset[str]
    ask: str
    read_at: Name = "last"
    max_new_tokens: int = 8

    def is_source(self, answer: str) -> bool:
        return normal_answer(answer) in self._normal(self.source)

    def is_target(self, answer: str) -> bool:
        return normal_answer(answer) in self._normal(self.target)

    @staticmethod
    def _normal(answers: Collection[str]) -> set[str]:
        return {normal_answer(a) for a in answers}

    def worked(self, text: str, before: str) -> bool:
        return self.is_target(text)

    def counts(self, before: str) -> bool:
        return self.is_source(before)

    def toward(self, samples: Sequence[Sample]) -> list[Example]:
        """Questions whose answer is among `target`."""
        return _some([e for e in _answered(samples) if self.is_target(e.answer)], f"an answer that {self.name!r} wants")

    def away(self, samples: Sequence[Sample]) -> list[Example]:
        """Questions whose answer is among `source`."""
        found = [e for e in _answered(samples) if self.is_source(e.answer)]
        return _some(found, f"an answer that {self.name!r} changes")

    def stay(self, samples: Sequence[Sample]) -> list[Example]:
        """Questions with another answer, which should stay."""
        return [e for e in _answered(samples) if not self.is_source(e.answer) and not self.is_target(e.answer)]

    def taught(self, samples: Sequence[Sample]) -> list[Example]:
        """What a learned method is taught: the target for what is now the source, and every other answer as it is."""
        goals = sorted(self.target)
        moved = [Example(e.sample, goals[i % len(goals)]) for i, e in enumerate(self.away(samples))]
        return moved + [e for e in _answered(samples) if not self.is_source(e.answer)]

    def asked(self, sample: Sample) -> Sample:
        return replace(sample, question=f"{sample.question} {self.ask}")


Task = CaptionTask | AnswerTask


def _answered(samples: Sequence[Sample]) -> list[Example]:
    """Each question with the answer that most people gave."""
    return [Example(s, max(s.answers, key=s.answers.count)) for s in samples if s.question and s.answers]


def _some(found: list[Example], what: str) -> list[Example]:
    if not found:
        raise DataError(f"No sample has {what}. Give samples of another kind, or more of them.")
    return found


def asked_plainly(task: Task, samples: Sequence[Sample]) -> list[Example]:
    """The samples that a task would change, one example each: an answer that is a source, any caption."""
    if isinstance(task, AnswerTask):
        return task.away(samples)
    return _some([Example(s, s.references[0]) for s in samples if s.references], "a caption")


def until_said(lmm: LMM, task: CaptionTask) -> UntilSaid:
    """The positions of an answer up to the first mention of what a task wants said: there is no need to push on.

    Raises:
        UsageError: the task wants nothing said.
    """
    said = [w for word in task.saying for w in (word, f" {word}")]
    return UntilSaid(lmm.tokenizer.encode(w, add_special_tokens=False) for w in said)


def say(
    lmm: LMM,
    samples: Sequence[Sample],
    *,
    max_new_tokens: int = 40,
    batch_size: int = 32,
    progress: Progress = silent,
) -> list[str]:
    """What the model says of each sample, to its question or to the request for a caption."""
    said: list[str] = []
    for start in range(0, len(samples), batch_size):
        batch = samples[start : start + batch_size]
        inputs = lmm.prepare([s.open() for s in batch], [lmm.request(s) for s in batch])
        said += [g.text.strip() for g in lmm.generate(inputs, max_new_tokens)]
        progress("say", len(said), len(samples))
    return said


_PLACE_PHRASES = (r"(?:, )?(?:on|in|at|near) (?:the|a|an) (?:\w+ )?{words}",)
_MOOD_PHRASES = (r"on an? {words} day",)
_NUMBERS = {"one", "two", "three", "four", "five", "six", *map(str, range(1, 11))}
_GENDERED = (
    frozenset({"man", "guy", "gentleman", "woman", "lady"}),
    frozenset({"men", "guys", "gentlemen", "women", "ladies"}),
)
_NEUTRAL = (frozenset({"person", "child", "kid", "toddler"}), frozenset({"people", "children", "kids", "toddlers"}))

#: The tasks by name; more can be made of the two classes above.
TASKS: dict[str, Task] = {
    t.name: t
    for t in (
        CaptionTask("colour", TOPICS["colour"] - {"dark", "bright"}, "describe the image and the colors in it .",
                    phrases=(r"that (?:is|are) {words}",)),
        CaptionTask("place", TOPICS["place"], "describe the image and the place where it is .", phrases=_PLACE_PHRASES),
        CaptionTask("mood", TOPICS["sentiment"], "describe the image and the mood of it .", phrases=_MOOD_PHRASES),
        CaptionTask("neutral", _GENDERED[0] | _GENDERED[1], "describe the image without saying man or woman .",
                    remove=True, instead=_NEUTRAL[0] | _NEUTRAL[1],
                    rewrites=tuple(zip(_GENDERED, _NEUTRAL, strict=True))),
        AnswerTask("yes-no", frozenset({"yes"}), frozenset({"no"}), "answer no ."),
        AnswerTask("1-3", frozenset({"1"}), frozenset({"3"}), "answer 3 ."),
        AnswerTask("white-black", frozenset({"white"}), frozenset({"black"}), "answer black ."),
        AnswerTask("colours-numbers", TOPICS["colour"], frozenset(_NUMBERS), "answer with a number ."),
    )
}  # fmt: skip


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: there is none; those that there are, are named.
    """
    if name not in TASKS:
        raise UsageError(f"There is no task {name!r}; there are {', '.join(TASKS)}.")
    return TASKS[name]
