"""`vitrail words`: what a study could be about, before any model is loaded."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import DataSource
from vitrail.cli.derived import Without, docs
from vitrail.cli.options import Json
from vitrail.cli.terminal import print_json, progress_bars, say, show_rows
from vitrail.cli.unused import refuse
from vitrail.grounding.options import GroundingOptions

LANGUAGE = docs(GroundingOptions)["language"]


@command(panel="Before you start")
def words(
    data: Annotated[DataSource, Without("max_side", "max_ratio")],
    count: Annotated[
        str | None,
        typer.Option(
            "--count", help="Count these words, by commas, or a list: `colour`, `place`, `sentiment`, or a file."
        ),
    ] = None,
    forms: Annotated[
        str | None, typer.Option("--forms-of", help="Show the inflections of a word, to give to `--forms`.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, help="How many words.")] = 100,
    language: Annotated[str, typer.Option("--language", help=LANGUAGE)] = "en",
    as_json: Json = False,
) -> None:
    """How many samples hold each word: the most frequent nouns, or those of a list. No model is loaded.

    Nouns and inflections are known of English; of another `--language` the most frequent words of any kind are counted.

    Examples:
        vitrail words --data coco/annotations/captions_val2017.json --limit 5000
        vitrail words --count dog,cat
        vitrail words --forms-of dog
    """
    from vitrail.errors import UsageError
    from vitrail.samples import vocabulary

    if forms is not None:
        refuse("is not for --forms-of, which looks at no samples", "data", "count", "n")
    elif count is not None:
        refuse("is for the most frequent words, not for --count", "n", "language")
    if forms is not None:
        if language != "en":
            raise UsageError(f"Inflections are known of English, not of {language!r}: name the forms with --forms.")
        found = vocabulary.inflections(forms)
        if as_json:
            print_json(list(found))
        else:
            say(",".join(found) or f"No other form of {forms!r} is known.")
        return
    with progress_bars() as progress:
        samples = data.load(progress)
    if count is None:
        english = language == "en"
        held = vocabulary.frequent_nouns(samples, n) if english else vocabulary.frequent_words(samples, n, language)
    else:
        held = vocabulary.counts(samples, vocabulary.read_words(count))
    total = len(samples)
    if as_json:
        print_json({"samples": total, "words": held})
    else:
        show_rows(("word", "samples", "share"), ((word, k, f"{k / total:.1%}") for word, k in held.items()))
        say(f"of {total} samples")
