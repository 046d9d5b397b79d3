"""Groups of options that commands share: where a model is and how it is loaded, which samples, which word.

A group is the type of a parameter of a command; each of its fields becomes an option, see `derived`. How concepts are
extracted, learned, grounded … are groups, too: the dataclasses of options that the library takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.activations.options import ExtractionOptions
from vitrail.cli.derived import Named, Without
from vitrail.cli.parsing import to_pairs
from vitrail.cli.terminal import tell
from vitrail.errors import DataError, UsageError
from vitrail.lmm.options import DType, Layer, Videos
from vitrail.options import Count, Options
from vitrail.samples.bounds import ImageBounds
from vitrail.samples.options import ReadingOptions
from vitrail.visible import one_line
from vitrail.words import Word

if TYPE_CHECKING:
    from vitrail.activations import Activations
    from vitrail.lmm import LMM, Loader
    from vitrail.progress import Progress
    from vitrail.samples import Sample, Samples
    from vitrail.samples.facts import KnownFacts
    from vitrail.work.options import WorkOptions


_PART = (
    "A part of the model and the name of its module, where it is not found: `norm=model.norm`, or of `blocks`, `head`, "
    "`vision`, `connector`. May be given several times."
)


@dataclass(frozen=True, kw_only=True)
class StudyModel(Options):
    """The model of a study, where it is now.

    Args:
        model: where the model is now, if not where the study found it.
        device: `cpu`, `cuda`, …; the accelerator if there is one. `auto` spreads over all, and off-loads.
        trust_remote_code: run code that comes with the model. It may do anything on this machine.
    """

    model: str | None = None
    device: str | None = None
    trust_remote_code: bool = False

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
class ModelChoice(Options):
    """A model: where it is, and how it is loaded.

    Args:
        model: `toyland`, a folder, or a model's name on the hub.
        revision: revision of a model on the hub.
        adapter: a PEFT adapter to put on top of the model.
        dtype: of the weights; `auto` is what the model says, `int8` and `int4` quantise (bitsandbytes).
        device: `cpu`, `cuda`, …; the accelerator if there is one. `auto` spreads over all, and off-loads.
        prompt: the request for a caption; the model's own by default.
        prompt_template: how the model is asked, where its own way is not known or not meant: a chat template in Jinja,
            or text such as `USER: {image} {request} ASSISTANT: {answer}`, or a file that holds it.
        videos: how the model is given a video: its frames as images, or the whole under the model's own video token.
        parts: parts of the model and the names of their modules, as `PART=MODULE`.
        trust_remote_code: run code that comes with the model. It may do anything on this machine.
        own_generation: generate as the model's own generation configuration says, instead of greedily.
    """

    model: str = "toyland"
    revision: str | None = None
    adapter: str | None = None
    dtype: DType = "auto"
    device: str | None = None
    prompt: str | None = None
    prompt_template: str | None = None
    videos: Videos = "frames"
    parts: Annotated[list[str] | None, typer.Option("--part", metavar="PART=MODULE", help=_PART)] = None
    trust_remote_code: bool = False
    own_generation: bool = False

    def load(self, progress: Progress, layers: Iterable[Layer] = ()) -> LMM:
        """The model, with its adapter and its request for a caption; `layers` will be asked for."""
        progress("load", 0, 1)
        lmm = self.loader(layers)()
        progress("load", 1, 1)
        return lmm

    def for_work(self, work: WorkOptions, progress: Progress, layers: Iterable[Layer] = ()) -> LMM | Loader:
        """The model for this process; or a function that loads it, for the workers of Ray."""
        return self.loader(layers) if work.engine == "ray" else self.load(progress, layers)

    def loader(self, layers: Iterable[Layer] = ()) -> Loader:
        """A function that loads the model, in this process or in another one; `layers` will be asked for.

        Raises:
            ModelError, UsageError: what is known of the model without its weights already tells that it will not do.
        """
        from vitrail.lmm import check_model, check_template

        asked = ("prompt", "prompt_template", "videos", "parts", "own_generation")
        check_template(_text(self.prompt_template))
        to_pairs(self.parts)
        check_model(**{name: value for name, value in vars(self).items() if name not in asked}, layers=layers)
        return partial(_loaded, self)

    def of_study(self) -> StudyModel:
        """The model of a study, where `--model` says that it is, or else where the study found it."""
        model = None if self.model == "toyland" else self.model
        return StudyModel(model=model, device=self.device, trust_remote_code=self.trust_remote_code)


#: Options of a `ModelChoice` that the model of a study does not have: the study says them; see `ModelChoice.of_study`.
NOT_OF_STUDY = tuple(
    f"model.{name}"
    for name in ("revision", "adapter", "dtype", "prompt", "prompt_template", "videos", "parts", "own_generation")
)


def _loaded(choice: ModelChoice) -> LMM:
    from vitrail.lmm import load, quieten

    quieten()
    choices = {name: value for name, value in vars(choice).items() if name != "own_generation"}
    choices |= {"prompt_template": _text(choice.prompt_template), "parts": to_pairs(choice.parts)}
    lmm = load(**choices)
    return lmm.with_own_generation() if choice.own_generation else lmm


def _text(template: str | None) -> str | None:
    """A prompt template, or what the file of that name holds."""
    try:
        if template and Path(template).is_file():
            return Path(template).read_text(encoding="utf-8").removesuffix("\n")
        return template
    except (OSError, ValueError):  # a text that is no name of a file
        return template


_BOUNDS, _READING = ImageBounds(), ReadingOptions()


@dataclass(frozen=True, kw_only=True)
class DataSource(Options):
    """Samples of a data set.

    Args:
        data: `toyland`, COCO captions (Karpathy's or its own), VQAv2 questions, Visual Genome's images with what is
            said of them, or each region by itself (`regions:FILE`), JSON, JSONL, CSV, Parquet, WebDataset shards, files
            of a pattern, a folder of images, a Hugging Face dataset, or the first --limit rows of one on the hub
            (`stream:ORG/NAME`). A file or a folder may be a URL (s3://…). What was read is said on stderr.
        split: split of the data; all of them by default (toyland: train).
        limit: look at the first so many samples.
        images: folder of the images, if not beside the data.
        bounds: how large an image may be, and where it may lie.
        reading: which columns mean what, and what becomes of records that cannot be read.
    """

    data: str = "toyland"
    split: str | None = None
    limit: Count | None = None
    images: Path | None = None
    bounds: ImageBounds = _BOUNDS
    reading: ReadingOptions = _READING

    def load(self, progress: Progress) -> Samples:
        """The samples; the bundled world is drawn the first time."""
        return self.read(self.data, self.split, self.limit, progress)

    def read(self, source: str, split: str | None, limit: int | None, progress: Progress) -> Samples:
        """The samples of `source`, read as these options say; a line on stderr says what was read."""
        from vitrail.samples import load_samples

        found = load_samples(
            source,
            split=split,
            limit=limit,
            images=self.images,
            bounds=self.bounds,
            reading=self.reading,
            progress=progress,
        )
        tell(one_line(str(found.summary)))
        return found

    def facts(self) -> KnownFacts:
        """What is known of the samples beside their captions."""
        from vitrail.samples.facts import known_facts

        return known_facts(self.data)


@dataclass(frozen=True, kw_only=True)
class DataChoice(DataSource):
    """Samples of a data set, or those of them that have a word or an id.

    Args:
        having: only samples with one of these words, by commas, or of a list: `colour`, `place`, `sentiment`, or a file
            with one a line.
        ids: only the samples whose ids this file names, one a line.
    """

    having: str | None = None
    ids: Path | None = None

    def load(self, progress: Progress) -> Samples:
        """The samples that are chosen; the bundled world is drawn the first time."""
        from vitrail.samples import Samples, vocabulary

        read = super().load(progress)
        samples: list[Sample] = read
        if self.ids is not None:
            try:
                samples = vocabulary.with_ids(samples, vocabulary.read_lines(self.ids))
            except DataError as error:
                raise DataError(f"{self.ids}: {error}") from error
        if self.having is not None:
            samples = vocabulary.having(samples, vocabulary.read_words(self.having))
        return Samples(samples, read.summary)


@dataclass(frozen=True, kw_only=True)
class WordsChoice:
    """One word of interest, or many.

    Args:
        word: a word; several by commas; `nouns`, for every noun of the captions that occurs often enough; or a file
            with one a line, other forms of it after commas (`dog, dogs, puppy`).
        forms: other forms that count as the word, by commas, such as `dogs,puppy`; of one word alone.
        match_case: whether "Dog" is a different word from "dog".
        min_count: with `nouns`, how many samples must have the word in a caption.
    """

    word: str
    forms: tuple[str, ...] = ()
    match_case: bool = False
    min_count: Count = 50

    def words(self, samples: Iterable[Sample]) -> list[Word]:
        """The words that are meant; `nouns` are those of `samples`, the most frequent first.

        Raises:
            UsageError: forms of several words, or there is no such file.
        """
        found = self._named(list(samples))
        if self.forms and len(found) != 1:
            raise UsageError("Forms are of one word. Name those of many words in a file: `dog, dogs, puppy` a line.")
        return [Word(word, self.forms or tuple(others), self.match_case) for word, *others in found]

    def _named(self, samples: list[Sample]) -> list[list[str]]:
        """For each word its text, and its other forms."""
        from vitrail.samples import vocabulary

        if self.word == "nouns":
            nouns = vocabulary.frequent_nouns(samples, len(samples) + 1)
            held = vocabulary.counts(samples, list(nouns)) if nouns else {}
            return [[noun] for noun, n in held.items() if n >= self.min_count]
        listed = vocabulary.read_words(self.word)
        if isinstance(listed, str):
            return [[word.strip()] for word in listed.split(",")]
        return [[form.strip() for form in line.split(",")] for line in listed if line.strip()]


#: The word of interest.
WordChoice = Annotated[Word, Named(text="--word")]
#: How states of the word are extracted, by a model that is asked with its own prompt.
Extraction = Annotated[ExtractionOptions, Without("layers", "prompt", "shard_size")]
