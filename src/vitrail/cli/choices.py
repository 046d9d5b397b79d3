"""Groups of options that commands share, and what each group gives: a model, samples, a word, options of the library.

A group is the type of a parameter of a command; `application.command` makes a single option of each of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitrail.cli.application import OneOf
from vitrail.cli.options import (
    Adapter,
    Address,
    BatchSize,
    Data,
    Device,
    Forms,
    Having,
    Ids,
    Images,
    Language,
    Limit,
    MatchCase,
    MaxNewTokens,
    Model,
    NConcepts,
    NSamples,
    NWords,
    OtherModel,
    Penalty,
    Prompt,
    Revision,
    Seed,
    Split,
    Stability,
    TrustRemoteCode,
    WordText,
)
from vitrail.cli.parsing import to_numbers

if TYPE_CHECKING:
    from vitrail.activations import Activations, ExtractionOptions
    from vitrail.concepts import LearningOptions
    from vitrail.grounding import GroundingOptions
    from vitrail.lmm import LMM, Layer
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.samples.facts import KnownFacts
    from vitrail.sweep import SweepOptions
    from vitrail.words import Word

# The values that the library takes. It takes seconds to import, and `--help` must not wait for it; so they are written
# here again, and a test compares them.
Alignment = Literal["predicts", "reads"]
Require = Literal["both", "predicted", "truth"]
Engine = Literal["local", "ray"]
DType = Literal["auto", "float32", "bfloat16", "float16", "int8", "int4"]
Matching = Literal["one-to-one", "argmax"]
ShiftEstimator = Literal["mean", "median", "trimmed", "codes"]
TuningMethod = Literal["lora", "full"]
AnswerShift = Literal["answers", "prompts"]
PositionName = Literal["prompt", "image", "first", "last", "ends", "generated", "all"]


def _learners() -> Iterable[str]:
    from vitrail.learners import LEARNERS

    return LEARNERS


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """A model: where it is, and how it is loaded."""

    model: Model = "toyland"
    revision: Revision = None
    adapter: Adapter = None
    dtype: Annotated[
        DType,
        typer.Option(help="Of the weights; `auto` is what the model says, `int8` and `int4` quantise (bitsandbytes)."),
    ] = "auto"
    device: Device = None
    prompt: Prompt = None
    trust_remote_code: TrustRemoteCode = False

    def load(self, progress: Progress) -> LMM:
        """The model, with its adapter and its request for a caption."""
        progress("load", 0, 1)
        from vitrail.lmm import load, quieten

        quieten()
        lmm = load(
            self.model,
            revision=self.revision,
            adapter=self.adapter,
            dtype=self.dtype,
            device=self.device,
            prompt=self.prompt,
            trust_remote_code=self.trust_remote_code,
        )
        progress("load", 1, 1)
        return lmm

    def of_study(self) -> StudyModel:
        """The model of a study, where `--model` says that it is, or else where the study found it."""
        model = None if self.model == "toyland" else self.model
        return StudyModel(model=model, device=self.device, trust_remote_code=self.trust_remote_code)


@dataclass(frozen=True, kw_only=True)
class StudyModel:
    """The model of a study, where it is now."""

    model: OtherModel = None
    device: Device = None
    trust_remote_code: TrustRemoteCode = False

    def load(self, activations: Activations) -> LMM:
        """The model that made `activations`, from where they say, or from `--model`."""
        from vitrail.lmm import load_as, quieten

        quieten()
        return load_as(
            activations.model,
            model=self.model,
            device=self.device,
            prompt=activations.options.prompt,
            trust_remote_code=self.trust_remote_code,
        )


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Samples of a data set."""

    data: Data = "toyland"
    split: Split = None
    limit: Limit = None
    images: Images = None

    def load(self, progress: Progress) -> list[Sample]:
        """The samples; the bundled world is drawn the first time."""
        from vitrail.samples import load_samples

        return load_samples(self.data, split=self.split, limit=self.limit, images=self.images, progress=progress)

    def facts(self) -> KnownFacts:
        """What is known of the samples beside their captions."""
        from vitrail.samples.facts import known_facts

        return known_facts(self.data)


@dataclass(frozen=True, kw_only=True)
class DataChoice(DataSource):
    """Samples of a data set, or those of them that have a word or an id."""

    having: Having = None
    ids: Ids = None

    def load(self, progress: Progress) -> list[Sample]:
        """The samples that are chosen; the bundled world is drawn the first time."""
        from vitrail.samples import vocabulary

        samples = super().load(progress)
        if self.ids is not None:
            samples = vocabulary.with_ids(samples, vocabulary.read_lines(self.ids))
        return samples if self.having is None else vocabulary.having(samples, vocabulary.read_words(self.having))


@dataclass(frozen=True, kw_only=True)
class WordChoice:
    """The word of interest."""

    word: WordText
    forms: Forms = ""
    match_case: MatchCase = False

    def as_word(self) -> Word:
        """The word, with its further forms."""
        from vitrail.words import Word

        return Word(self.word, tuple(f.strip() for f in self.forms.split(",") if f.strip()), self.match_case)


@dataclass(frozen=True, kw_only=True)
class ExtractionChoice:
    """How states are extracted."""

    alignment: Annotated[
        Alignment, typer.Option(help="The state that predicts the word, or the one that reads it.")
    ] = "predicts"
    require: Annotated[
        Require,
        typer.Option(help="Where the word must be: predicted text, reference, both; `truth` forces the reference."),
    ] = "both"
    max_new_tokens: MaxNewTokens = 40
    batch_size: BatchSize = 32

    def options(self, layers: tuple[Layer, ...]) -> ExtractionOptions:
        """As the library takes them."""
        from vitrail.activations import ExtractionOptions

        return ExtractionOptions(
            layers,
            self.alignment,
            self.require,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
        )


@dataclass(frozen=True, kw_only=True)
class LearningChoice:
    """How concepts are learned."""

    concepts: NConcepts = 20
    method: Annotated[str, typer.Option(parser=OneOf(_learners), help="How they are learned.")] = "semi-nmf"
    penalty: Penalty = None
    seed: Seed = 0

    def options(self, layer: Layer | None = None) -> LearningOptions:
        """As the library takes them."""
        from vitrail.concepts import LearningOptions

        return LearningOptions(layer, self.method, self.concepts, self.penalty, self.seed)


@dataclass(frozen=True, kw_only=True)
class StableLearningChoice(LearningChoice):
    """How concepts are learned, and how it is measured whether they come back."""

    stability: Stability = 4
    consensus: Annotated[
        bool, typer.Option("--consensus", help="Take the concepts on which the runs with several seeds agree.")
    ] = False

    def options(self, layer: Layer | None = None) -> LearningOptions:
        """As the library takes them."""
        return replace(super().options(layer), stability=self.stability, consensus=self.consensus)


@dataclass(frozen=True, kw_only=True)
class GroundingChoice:
    """How concepts are grounded."""

    words: NWords = 10
    images_per_concept: NSamples = 5
    language: Language = "en"

    def options(self, own_word: bool = False) -> GroundingOptions:
        """As the library takes them."""
        from vitrail.grounding import GroundingOptions

        return GroundingOptions(self.words, self.images_per_concept, own_word, self.language)


@dataclass(frozen=True, kw_only=True)
class SweepChoice:
    """What `--sweep` tries."""

    try_concepts: Annotated[str, typer.Option(help="Numbers of concepts for --sweep, by commas.")] = "5,10,20,40"
    try_penalties: Annotated[
        str | None,
        typer.Option(help="Values of λ for --sweep, by commas; fractions of the states' norm by default."),
    ] = None
    words: Annotated[
        bool,
        typer.Option("--words/--no-words", help="Load the model for --sweep, to measure how concepts share words."),
    ] = True
    language: Annotated[
        str, typer.Option(help="Of these words, as in `vitrail ground`: `en`, `de`, `fr`, `ru` …, or `any`.")
    ] = "en"

    def options(self, learning: LearningChoice, layer: Layer | None) -> SweepOptions:
        """As the library takes them."""
        from vitrail.sweep import SweepOptions

        return SweepOptions(
            layer,
            learning.method,
            tuple(to_numbers(self.try_concepts, int)),
            None if self.try_penalties is None else tuple(to_numbers(self.try_penalties, float)),
            learning.seed,
            language=self.language,
        )


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Where concepts are learned."""

    engine: Annotated[Engine, typer.Option(help=r"`ray`: on many machines (pip install 'vitrail\[ray]').")] = "local"
    address: Address = None
