"""Tasks of steering: the examples that show a task, when steering has worked, and what it must leave alone.

CaptionTask   captions that mention a topic (colour, place, mood), or that no longer mention it
AnswerTask    answers that become another answer (yes → no), or one of another type
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
from vitrail.samples import Sample
from vitrail.samples.examples import Example
from vitrail.samples.vocabulary import TOPICS
from vitrail.scores import normal_answer
from vitrail.steering.contrast import Contrast, ExampleSet
from vitrail.words import Word, unified


@dataclass(frozen=True)
class CaptionTask:
    """Captions should mention one of `words`; with `remove` they should mention none, and perhaps one of `instead`.

    Args:
        name: of the task, on the command line and in files.
        words: that count as a mention, in any case.
        ask: a request for such captions; the baseline "prompt" steers with it alone.
        remove: whether mentions should go away.
        instead: with `remove`, words that may stand in their place.
        phrases: regular expressions of phrases that belong to a mention ("on the {words}"); the rest of a caption is
            what remains without them.
        rewrites: with `remove`, (words, words that replace them): one pair for singular, one for plural.
        read_at: the positions whose states are read.
        max_new_tokens: the longest caption.
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

    @property
    def success(self) -> str:
        """What counts as wanted, as the end of a sentence: 'captions that …'."""
        words = f"a word of the task ({_some_words(self.words)})"
        if self.remove:
            return f"of the captions that have {words} without steering, those that no longer have one"
        return f"captions that have {words}"

    def worked(self, text: str, before: str) -> bool:
        """Whether the caption `text` is as wanted; `before`, the unsteered one, does not matter here."""
        return self.mentions(text) != self.remove

    def counts(self, before: str) -> bool:
        """Whether the effect is measured on a sample, given the unsteered model's caption of it."""
        return self.mentions(before) if self.remove else True

    def rest(self, text: str) -> str:
        """The text without its mentions of the topic: the part that steering should not change."""
        either = "|".join(sorted(map(re.escape, self.words | self.instead), key=len, reverse=True))
        for phrase in self.phrases:
            text = re.sub(phrase.format(words=f"(?:{either})"), " ", text)
        return re.sub(rf"(?<!\w)(?:{either})(?!\w)", " ", text)

    @property
    def saying(self) -> frozenset[str]:
        """The words that steering should make the model say."""
        return self.instead if self.remove else self.words

    def toward(self, samples: Sequence[Sample]) -> list[Example]:
        """The references as wanted.

        Raises:
            DataError: there is none.
        """
        wanted = Word(min(self.saying), tuple(self.saying)).pattern if self.saying else None
        found = [e for e in _captioned(samples) if self.worked(e.answer, "")]
        found = [e for e in found if wanted is None or wanted.search(e.answer)]
        return _some(found, f"a caption that is as {self.name!r} wants it")

    def away(self, samples: Sequence[Sample]) -> list[Example]:
        """The references that are not as wanted.

        Raises:
            DataError: there is none.
        """
        found = [e for e in _captioned(samples) if not self.worked(e.answer, "")]
        return _some(found, f"a caption that is not as {self.name!r} wants it")

    def asked_plainly(self, samples: Sequence[Sample]) -> list[Example]:
        """The samples that the task would change, with one answer each: any caption.

        Raises:
            DataError: no sample has a caption.
        """
        return _some([Example(s, s.references[0]) for s in samples if s.references], "a caption")

    def contrast(self, samples: Sequence[Sample], *, saying: bool = True) -> Contrast:
        """The references as wanted against the others.

        Args:
            saying: read only the states that predict the task's words, and of a removal also those that predict the
                words to remove; read whole captions otherwise.

        Raises:
            DataError: there are none of one kind.
        """
        wanted = self.saying if saying else frozenset()
        removed = self.words if wanted and self.remove else frozenset()
        toward, away = ExampleSet(self.toward(samples), wanted), ExampleSet(self.away(samples), removed)
        return Contrast(toward, away, self.read_at)

    def guarded(self, samples: Sequence[Sample], *, saying: bool = True) -> Contrast:
        """The contrast of a guarded vector: of a removal, where a word to remove is about to be said and nowhere else.

        Raises:
            UsageError: nothing is to be replaced, or whole captions are read.
            DataError: there are no captions of one kind.
        """
        if not (self.remove and self.saying and saying):
            why = "reads whole captions here: leave out --whole." if self.remove else "only wants something said."
            raise UsageError(f"A guard watches for the words that are to be replaced; {self.name!r} {why}")
        found = self.contrast(samples)
        return replace(found, others=(found.toward.without_words(), found.toward))

    def taught(self, samples: Sequence[Sample]) -> list[Example]:
        """Examples for training: the references as wanted. Of a removal, also the others, rewritten: every word to
        remove becomes the word of `rewrites` that the references have most often.

        Raises:
            DataError: there are none.
        """
        if not self.rewrites:
            return self.toward(samples)
        said = Counter(w for e in _captioned(samples) for w in e.answer.lower().split())
        by_word = {w: max(sorted(new), key=said.__getitem__) for old, new in self.rewrites for w in old}
        return [e for e in _captioned(samples) if self.worked(e.answer, "")] + [
            Example(e.sample, self.pattern.sub(lambda m: by_word[unified(m.group()).lower()], e.answer))
            for e in self.away(samples)
        ]

    def asked(self, sample: Sample) -> Sample:
        """The sample with the request that asks for the task."""
        return replace(sample, question=self.ask)


@dataclass(frozen=True)
class AnswerTask:
    """Answers among `source` should become one of `target`; other answers should stay.

    Args:
        name: of the task, on the command line and in files.
        ask: is put after the question; the baseline "prompt" steers with it alone.
        read_at: the positions whose states are read.
        max_new_tokens: the longest answer.
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

    @property
    def success(self) -> str:
        """What counts as wanted, as the end of a sentence: 'of the answers …'."""
        source, target = _some_words(self.source), _some_words(self.target)
        return f"of the answers that are {source} without steering, those that become {target}"

    def worked(self, text: str, before: str) -> bool:
        """Whether the answer `text` is as wanted; `before`, the unsteered one, does not matter here."""
        return self.is_target(text)

    def counts(self, before: str) -> bool:
        """Whether the effect is measured on a sample, given the unsteered model's answer."""
        return self.is_source(before)

    def toward(self, samples: Sequence[Sample]) -> list[Example]:
        """Questions whose answer is among `target`.

        Raises:
            DataError: there is none.
        """
        return _some([e for e in _answered(samples) if self.is_target(e.answer)], f"an answer that {self.name!r} wants")

    def away(self, samples: Sequence[Sample]) -> list[Example]:
        """Questions whose answer is among `source`.

        Raises:
            DataError: there is none.
        """
        found = [e for e in _answered(samples) if self.is_source(e.answer)]
        return _some(found, f"an answer that {self.name!r} changes")

    def stay(self, samples: Sequence[Sample]) -> list[Example]:
        """Questions with another answer, which should stay."""
        return [e for e in _answered(samples) if not self.is_source(e.answer) and not self.is_target(e.answer)]

    def asked_plainly(self, samples: Sequence[Sample]) -> list[Example]:
        """The samples that the task would change: those of `away`."""
        return self.away(samples)

    def contrast(self, samples: Sequence[Sample], *, saying: bool = True) -> Contrast:
        """Questions whose answer is among `target` against those whose answer is among `source`.

        Args:
            saying: only captions have this choice; answers are read where they begin.

        Raises:
            DataError: there are none of one kind.
        """
        toward, away = ExampleSet(self.toward(samples)), ExampleSet(self.away(samples))
        return Contrast(toward, away, self.read_at, stay=self.stay(samples))

    def forced(self, samples: Sequence[Sample]) -> Contrast:
        """A target against the answer, both after the same question: for questions whose answer is among `source`,
        read over the tokens of the answers.

        Raises:
            DataError: there is none.
        """
        away, goals = self.away(samples), sorted(self.target)
        toward = [Example(e.sample, goals[i % len(goals)]) for i, e in enumerate(away)]
        return Contrast(ExampleSet(toward), ExampleSet(away), "said", stay=self.stay(samples))

    def opposites(self, samples: Sequence[Sample]) -> Contrast:
        """The true answer against its opposite, both after the same question, for questions whose answer is the source
        or the target; read over the tokens of the answers (L2S on POPE, Parekh et al. 2025).

        Raises:
            UsageError: there is more than one source or target, so an answer has no opposite.
            DataError: no question has such an answer.
        """
        if len(self.source) != 1 or len(self.target) != 1:
            raise UsageError(f"Answers of {self.name!r} have no single opposite; choose a task such as yes-no.")
        (one,), (other,) = self.source, self.target
        true = [e for e in _answered(samples) if self.is_source(e.answer) or self.is_target(e.answer)]
        false = [Example(e.sample, other if self.is_source(e.answer) else one) for e in true]
        return Contrast(ExampleSet(_some(true, f"an answer {one!r} or {other!r}")), ExampleSet(false), "said")

    def guarded(self, samples: Sequence[Sample], *, saying: bool = True) -> Contrast:
        """The contrast of a guarded vector: it must leave every answer alone that is not among `source`."""
        found = self.contrast(samples)
        return replace(found, others=(ExampleSet([*found.stay, *found.toward.examples]),))

    def taught(self, samples: Sequence[Sample]) -> list[Example]:
        """Examples for training: a target instead of every source, and every other answer as it is."""
        goals = sorted(self.target)
        moved = [Example(e.sample, goals[i % len(goals)]) for i, e in enumerate(self.away(samples))]
        return moved + [e for e in _answered(samples) if not self.is_source(e.answer)]

    def asked(self, sample: Sample) -> Sample:
        """The sample with the question that asks for the task."""
        return replace(sample, question=f"{sample.question} {self.ask}")


Task = CaptionTask | AnswerTask


def answers_of(task: Task) -> AnswerTask:
    """`task`, which must be one of answers.

    Raises:
        UsageError: it is one of captions, which have no opposite.
    """
    if isinstance(task, CaptionTask):
        raise UsageError(
            f"{task.name!r} is a task of captions, which have no opposite; take the targets of answers or prompts."
        )
    return task


def _some_words(words: Collection[str], most: int = 4) -> str:
    """The first words in the order of the alphabet, quoted."""
    shown = ", ".join(f"“{w}”" for w in sorted(words)[:most])
    return f"{shown}, …" if len(words) > most else shown


def _answered(samples: Sequence[Sample]) -> list[Example]:
    """Each question with the answer that most people gave."""
    return [Example(s, max(s.answers, key=s.answers.count)) for s in samples if s.question and s.answers]


def _captioned(samples: Sequence[Sample]) -> list[Example]:
    """Each image with each of its captions."""
    return [Example(s, text) for s in samples for text in s.references]


def _some(found: list[Example], what: str) -> list[Example]:
    if not found:
        raise DataError(f"No sample has {what}. Give samples of another kind, or more of them.")
    return found


def until_said(lmm: LMM, task: Task) -> UntilSaid:
    """The positions of a caption until it mentions what the task wants: after that it is not pushed any further.

    Raises:
        UsageError: the task is of answers, or wants nothing said.
    """
    if not isinstance(task, CaptionTask):
        raise UsageError(f"Only captions can be steered until something is said; {task.name!r} is a task of answers.")
    said = [w for word in task.saying for w in (word, f" {word}")]
    return UntilSaid(lmm.tokenizer.encode(w, add_special_tokens=False) for w in said)


_PLACE_PHRASES = (r"(?:, )?(?:on|in|at|near) (?:the|a|an) (?:\w+ )?{words}",)
_MOOD_PHRASES = (r"on an? {words} day",)
_NUMBERS = {"one", "two", "three", "four", "five", "six", *map(str, range(1, 11))}
_GENDERED = (
    frozenset({"man", "guy", "gentleman", "woman", "lady"}),
    frozenset({"men", "guys", "gentlemen", "women", "ladies"}),
)
_NEUTRAL = (frozenset({"person", "child", "kid", "toddler"}), frozenset({"people", "children", "kids", "toddlers"}))

_CAPTION_TASKS = (
    CaptionTask(
        "colour",
        TOPICS["colour"] - {"dark", "bright"},
        "describe the image and the colors in it .",
        phrases=(r"that (?:is|are) {words}",),
    ),
    CaptionTask("place", TOPICS["place"], "describe the image and the place where it is .", phrases=_PLACE_PHRASES),
    CaptionTask("mood", TOPICS["sentiment"], "describe the image and the mood of it .", phrases=_MOOD_PHRASES),
    CaptionTask(
        "neutral",
        _GENDERED[0] | _GENDERED[1],
        "describe the image without saying man or woman .",
        remove=True,
        instead=_NEUTRAL[0] | _NEUTRAL[1],
        rewrites=tuple(zip(_GENDERED, _NEUTRAL, strict=True)),
    ),
)
_ANSWER_TASKS = (
    AnswerTask("yes-no", frozenset({"yes"}), frozenset({"no"}), "answer no ."),
    AnswerTask("1-3", frozenset({"1"}), frozenset({"3"}), "answer 3 ."),
    AnswerTask("white-black", frozenset({"white"}), frozenset({"black"}), "answer black ."),
    AnswerTask("colours-numbers", TOPICS["colour"], frozenset(_NUMBERS), "answer with a number ."),
)
#: The tasks by name. Others can be made of the two classes above.
TASKS: dict[str, Task] = {task.name: task for task in (*_CAPTION_TASKS, *_ANSWER_TASKS)}


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: there is none; the message names those that exist.
    """
    if name not in TASKS:
        raise UsageError(f"There is no task {name!r}; there are {', '.join(TASKS)}.")
    return TASKS[name]


def as_task(task: Task | str) -> Task:
    """`task` itself, or the one of that name; see `task_named`."""
    return task_named(task) if isinstance(task, str) else task
