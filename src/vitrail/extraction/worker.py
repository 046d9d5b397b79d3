"""What of an extraction needs the model. It is done in this process, or by workers in others (see `work`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

from vitrail.activations import ExtractionOptions
from vitrail.errors import UsageError
from vitrail.extraction.reader import Reader, Reading
from vitrail.lmm import LMM
from vitrail.lmm.sizing import LAST, best_size
from vitrail.samples import Sample
from vitrail.samples.opening import digests_of
from vitrail.samples.parts import Digests
from vitrail.saying import Texts
from vitrail.words import Word


@dataclass(frozen=True)
class Prepared:
    """How a model takes part in an extraction.

    Args:
        model: its description, as a manifest has it.
        options: with the model's own request and its own names of layers.
        modules: layer that the image goes through → the module that it is.
        size: about how many bytes the states of a sample take.
    """

    model: dict[str, Any]
    options: ExtractionOptions
    modules: dict[Any, str]
    size: int

    def parameters(self, samples: dict[str, Any], said: Texts | None) -> dict[str, Any]:
        """What decides the states, beside the words; `samples` says which they are read of."""
        texts = {} if said is None else {"said": {**said.by, "tokens": said.tokens, **said.sealed}}
        modules = {"modules": self.modules} if self.modules else {}
        return {"model": self.model, "samples": samples, **texts, **asdict(self.options), **modules}


@dataclass(frozen=True)
class Way:
    """How states are read.

    Args:
        live: whether they are kept while the model speaks; see `Reader`.
        batch_size: the one that was found; None for that of the options.
    """

    live: bool
    batch_size: int | None = None


class Worker:
    """A model that reads the states of `words`, as `options` ask."""

    def __init__(self, lmm: LMM, words: tuple[Word, ...], options: ExtractionOptions) -> None:
        self.lmm = lmm if options.prompt is None else replace(lmm, prompt=options.prompt)
        self.words = words
        layers = (*self.lmm.layers(options.decoder), *self.lmm.sight(options.sight))
        if options.experts:
            self.lmm.check_experts()
        self.options = replace(options, layers=layers, prompt=self.lmm.prompt)

    def prepare(self, some: Sequence[Sample], said: Texts | None) -> Prepared:
        """How the model takes part.

        Args:
            some: samples that may have one of the words, of which the first that can be opened is looked at.
            said: what was said of all of them before, which is checked against the model.

        Raises:
            UsageError, ModelError: the states cannot be read in this model.
            ArtifactError: `said` is what another model said, or was said after another request.
            DataError: a sample has no text in `said`.
        """
        options = self.options
        if said is not None:
            if options.require == "truth":
                raise UsageError("What was said is not looked at with `require` “truth”, which reads the references.")
            if options.stop_at_word:
                raise UsageError("What was said is read as it is: leave out stop_at_word, which ends what is said.")
            said.check(self.lmm, some)
            options = replace(options, max_new_tokens=said.max_new_tokens or options.max_new_tokens)
        size = Reader(self.lmm, self.words, options, said).check(some)
        return Prepared(self.lmm.describe().as_dict(), options, self.lmm.sight(options.sight), size)

    def certificate(self, some: Sequence[Sample]) -> dict[str, Any] | None:
        """The doctor's certificate of the model, as `Reader.certificate`."""
        return Reader(self.lmm, self.words, self.options).certificate(some)

    def best_size(self, some: Sequence[Sample], said: Texts | None, live: bool) -> int:
        """The batch size at which samples are read fastest, measured on the first ones."""
        reader = Reader(self.lmm, self.words, self.options, said, live)
        return best_size(reader.trial(some[:LAST]), len(some), self.lmm.device)

    def read(
        self, parts: Iterable[tuple[Sequence[Sample], Texts | None, Way]], step: Callable[[int], None]
    ) -> Iterator[tuple[Reading, Digests]]:
        """The states of those samples of each part that have a word, and what the samples were; see `Reader.readings`.

        Args:
            parts: samples, what was said of them before, and the way to read them, which is the same for all.
            step: told how many samples of the part are done.

        Raises:
            ArtifactError: an image is not the one of which something was `said`.
        """
        given, found = iter(parts), deque[tuple[Texts | None, Future[Digests]]]()
        first = next(given, None)
        if first is None:
            return
        _, said, way = first

        def opened() -> Iterator[tuple[Sequence[Sample], Texts | None]]:
            for samples, texts, _ in chain([first], given):
                found.append((texts, digests_of(samples)))
                yield samples, texts

        options = self.options if way.batch_size is None else replace(self.options, batch_size=way.batch_size)
        with closing(Reader(self.lmm, self.words, options, said, way.live).readings(opened(), step)) as readings:
            for reading in readings:
                texts, coming = found.popleft()
                digests = coming.result()
                if texts is not None:
                    texts.check_images(digests)
                yield reading, digests
