"""What of an extraction needs the model. It is done in this process, or by workers in others (see `work`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitrail.activations import ExtractionOptions
from vitrail.errors import UsageError
from vitrail.extraction.reader import Reader, Reading
from vitrail.lmm import LMM
from vitrail.samples import Sample
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


class Worker:
    """A model that reads the states of `words`, as `options` ask."""

    def __init__(self, lmm: LMM, words: tuple[Word, ...], options: ExtractionOptions) -> None:
        self.lmm = lmm if options.prompt is None else replace(lmm, prompt=options.prompt)
        self.words = words
        layers = (*self.lmm.layers(options.decoder), *self.lmm.sight(options.sight))
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
            said.check(self.lmm, some)
            options = replace(options, max_new_tokens=said.max_new_tokens or options.max_new_tokens)
        size = Reader(self.lmm, self.words, options, said).check(some)
        return Prepared(self.lmm.describe().as_dict(), options, self.lmm.sight(options.sight), size)

    def certificate(self, some: Sequence[Sample]) -> dict[str, Any] | None:
        """The doctor's certificate of the model, as `Reader.certificate`."""
        return Reader(self.lmm, self.words, self.options).certificate(some)

    def read(
        self, samples: Sequence[Sample], said: Texts | None, live: bool, step: Callable[[int], None]
    ) -> tuple[Reading, Digests]:
        """The states of those of `samples` that have a word, and what the samples were; see `Reader.read`.

        Raises:
            ArtifactError: an image is not the one of which something was `said`.
        """
        digests = [sample.digests() for sample in samples]
        if said is not None:
            said.check_images(digests)
        return Reader(self.lmm, self.words, self.options, said, live).read(samples, step), digests
