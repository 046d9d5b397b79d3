"""What people see: progress on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from vitrail.errors import VitrailError

if TYPE_CHECKING:
    from rich.table import Table

    from vitrail.explanation import Explanation
    from vitrail.progress import Progress
    from vitrail.runs.study import Summary

stderr = Console(stderr=True)


class Stopped(VitrailError):
    """The user pressed Ctrl-C."""

    exit_code = 130


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A bar per stage on stderr, if it is a terminal."""
    from vitrail.progress import shown

    try:
        with shown(True) as progress:
            yield progress
    except KeyboardInterrupt:
        raise Stopped("Stopped. Run the same command again: it goes on where it stopped.") from None


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def show_table(table: Table) -> None:
    """Prints one line per row: a terminal keeps its own width, a file or pipe gets 200 columns."""
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)


def show_concepts(concepts: Iterable[tuple[int, float, Sequence[str]]]) -> None:
    """A table of concepts: the number of each, its share of the activation, its words."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("concept", "share", "words", box=None, header_style="bold")
    for index, share, words in concepts:
        table.add_row(str(index), f"{share:.0%}", escape(", ".join(words)))
    Console().print(table)


def show_summary(found: Summary, out: Path) -> None:
    """What a study found: one line, its concepts (the largest share first), and where its report is."""
    typer.echo(
        f"“{found.word}” in {found.model}: {found.samples.kept} of {found.samples.scanned} samples, "
        f"{found.n_concepts} concepts, {found.explained_variance:.1%} of the variance explained."
    )
    concepts = sorted(found.concepts, key=lambda c: -c.share)
    show_concepts((c.index, c.share, c.words) for c in concepts)
    typer.echo(f"The report is {out / 'report.html'}")


def show_explanation(found: Explanation) -> None:
    from rich.markup import escape
    from rich.table import Table

    from vitrail.scores.verdicts import explained, percent

    typer.echo(f"The model says: {found.caption}")
    table = Table("concept", "activation", "percentile", "words", box=None, header_style="bold")
    for c in found.concepts:
        table.add_row(str(c.index), f"{c.activation:.2f}", f"{c.percentile:.0f}", escape(", ".join(c.words)))
    Console().print(table)
    typer.echo(f"Like it: {', '.join(found.look_alikes)}.")
    share = found.explained_variance
    typer.echo(f"Explained: {percent(share)} {explained(share, 'what sets this image apart')}")


def fail(message: str, code: int) -> None:
    from rich.markup import escape

    stderr.print(f"[bold red]Error:[/] {escape(message)}", soft_wrap=True, highlight=False)
    sys.exit(code)
