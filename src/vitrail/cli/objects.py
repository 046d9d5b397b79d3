"""From what was typed to what the library takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.activations import Activations
    from vitrail.cli.options import DType
    from vitrail.lmm import LMM
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.samples.examples import Example
    from vitrail.scores import KnownFactors as Factors
    from vitrail.words import Word


Number = TypeVar("Number", int, float)


def to_word(text: str, forms: str, match_case: bool) -> Word:
    from vitrail.words import Word

    return Word(text, tuple(f.strip() for f in forms.split(",") if f.strip()), match_case)


def to_layer(text: str) -> int | str:
    text = text.strip()
    if text == "final":
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"A layer is a whole number or `final`; got {text!r}.") from None


def to_numbers(text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Numbers by commas; `kind` is int or float."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise UsageError(f"Expected {what} by commas, got {text!r}.") from None


def to_samples(
    data: str,
    split: str | None,
    limit: int | None,
    images: Path | None,
    progress: Progress,
    having: str | None = None,
    ids: Path | None = None,
) -> list[Sample]:
    from vitrail import toyland as world
    from vitrail.samples import load_samples, vocabulary

    if data == "toyland":
        world.dataset_path(progress=progress)
    samples = load_samples(data, split=split, limit=limit, images=images)
    if ids is not None:
        samples = vocabulary.with_ids(samples, ids.read_text(encoding="utf-8").split("\n"))
    return samples if having is None else vocabulary.having(samples, to_words(having))


def to_words(text: str) -> str | list[str]:
    """Words by commas, the name of a list of ours, or the lines of the file that is named.

    Raises:
        UsageError: it reads as the name of a file, but there is none.
    """
    path = Path(text)
    if path.is_file():
        return path.read_text(encoding="utf-8").split("\n")
    if path.suffix == ".txt" or "/" in text:
        raise UsageError(f"There is no file {text}, from which words could be read.")
    return text


def to_examples(samples: list[Sample], data: str, style: str | None, words: str | None) -> list[Example]:
    """What `--style` or `--words` choose."""
    from vitrail import toyland as world
    from vitrail.samples.examples import captions_about, captions_of
    from vitrail.samples.vocabulary import listed
    from vitrail.toyland.dataset import styled_captions

    if (style is None) == (words is None):
        raise UsageError("Say which captions to learn: either --style (of Toyland) or --words.")
    if style is not None:
        folder = world.dataset_path() if data == "toyland" else Path(data)
        folder = folder if folder.is_dir() else folder.parent
        return captions_of(samples, styled_captions(folder, style))  # type: ignore[arg-type]
    assert words is not None
    return captions_about(samples, listed(to_words(words)))


def to_factors(data: str) -> Factors | None:
    from vitrail import toyland as world
    from vitrail.toyland.ground_truth import load_factors

    folder = world.dataset_path() if data == "toyland" else Path(data)
    return load_factors(folder if folder.is_dir() else folder.parent)


def to_model(
    model: str,
    revision: str | None,
    adapter: str | None,
    dtype: DType,
    device: str | None,
    prompt: str | None,
    progress: Progress,
    trust_remote_code: bool = False,
) -> LMM:
    progress("load", 0, 1)
    from vitrail.lmm import load, quieten

    quieten()
    lmm = load(
        model,
        revision=revision,
        adapter=adapter,
        dtype=dtype.value,
        device=device,
        prompt=prompt,
        trust_remote_code=trust_remote_code,
    )
    progress("load", 1, 1)
    return lmm


def load_again(activations: Activations, model: str | None, device: str | None, trust_remote_code: bool = False) -> LMM:
    """The model that made `activations`, from where they say, or from `model`."""
    from vitrail.lmm import load_as, quieten

    quieten()
    return load_as(
        activations.model,
        model=model,
        device=device,
        prompt=activations.options.prompt,
        trust_remote_code=trust_remote_code,
    )
