"""What people see: progress on stderr, results on stdout.

Everything that a command writes goes through this module, which leaves no control character of somebody's data in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from vitrail.cli.stopping import message
from vitrail.errors import VitrailError
from vitrail.visible import one_line, visible, visible_json

if TYPE_CHECKING:
    from rich.text import Text

    from vitrail.artifacts import Counts, Part
    from vitrail.explanation import Explanation
    from vitrail.progress import Progress
    from vitrail.reports.layout import Table as ScoreTable
    from vitrail.runs.study import ConceptSummary, Summary

stdout, stderr = Console(), Console(stderr=True)


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
        raise Stopped(message(sys.argv[1:])) from None


def say(text: str) -> None:
    """Lines on stdout."""
    typer.echo(visible(text))


def print_json(value: Any) -> None:
    """A value as JSON on stdout."""
    typer.echo(visible_json(json.dumps(value, indent=2, ensure_ascii=False)))


def styled(text: str, style: str = "") -> Text:
    """A text for Rich, on one line."""
    from rich.text import Text

    return Text(one_line(text), style)


def read_json(path: Path) -> Any:
    from vitrail.artifacts import parse

    return parse(path.read_text(encoding="utf-8"))


def show_rows(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table. A terminal keeps its own width; a file or pipe gets 200 columns. A `Text` of Rich keeps its style."""
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(*(escape(one_line(head)) for head in heads), box=None, header_style="bold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else styled(str(cell)) for cell in row))
    (stdout if stdout.is_terminal else Console(width=200)).print(table)


def show_score_tables(tables: Iterable[ScoreTable]) -> None:
    """Tables of scores: drawn on a terminal; as Markdown to a file or pipe."""
    from vitrail.reports.layout import markdown
    from vitrail.scores.verdicts import number

    if not stdout.is_terminal:
        say("\n".join(map(markdown, tables)))
        return
    for table in tables:
        rows, said = [], []
        for labels, cells in table.rows:
            shown = [" ".join(filter(None, (number(c.mean), c.spread, c.note, c.marks))) for c in cells]
            rows.append([*labels, *(styled(t, "bold" if c.best else "") for c, t in zip(cells, shown, strict=True))])
            verdicts = "; ".join(str(v) for c in cells for v in c.verdicts)
            said += [f"  {', '.join(labels)}: {verdicts}"] if verdicts else []
        stdout.print()
        stdout.print(styled(table.title, "bold"))
        show_rows(table.heads, rows)
        for line in (f"{table.explains} {table.legend}", *said):
            stdout.print(styled(line))


def show_concepts(concepts: Sequence[ConceptSummary], mean: Sequence[str] | None) -> None:
    """A table of concepts, the largest share first: the number of each, its share of the samples, its title, and the
    words decoded from its direction; and the words of the `mean`, where that is a row of its own."""
    rows = [
        (c.index, f"{c.share:.0%}", c.title, ("≠ " if c.disagrees else "") + ", ".join(c.words))
        for c in sorted(concepts, key=lambda c: -c.share)
    ]
    show_rows(("concept", "share", "title", "decoded words"), rows)
    if any(c.disagrees for c in concepts):
        say("≠: none of the decoded words is one that the captions of its images share; the title has those.")
    if mean is not None:
        say(f"What all samples have, their mean, decoded: {', '.join(mean)}")


def show_summary(found: Summary, out: Path) -> None:
    """What a study found: one line, its concepts (the largest share first), and where its report is."""
    say(
        f"“{found.word}” in {found.model}: {found.samples.kept} of {found.samples.scanned} samples, "
        f"{found.n_concepts} concepts, {found.explained_variance:.1%} of the variance explained."
    )
    for verdict in found.verdict.values():
        say(f"  {verdict}")
    show_concepts(found.concepts, found.mean)
    say(f"The report is {out / 'report.html'}")


def show_part(counts: Counts, part: Part, out: Path, as_json: bool) -> None:
    """What one rank of several made, and what completes it."""
    if as_json:
        print_json({"folder": str(out), "rank": part.rank, "world_size": part.world_size, **counts.as_dict()})
        return
    say(f"Rank {part.rank} of {part.world_size}: {counts.scanned} samples, {counts.kept} kept, in {out}")
    say(f"When every rank is done: vitrail merge {out}")


def show_explanation(found: Explanation) -> None:
    from vitrail.scores.verdicts import percent

    say(f"The model says: {found.caption}")
    rows = (
        (c.index, f"{c.strength:.1f} ×", f"{c.percentile:.0f}", " · ".join(c.title), ", ".join(c.words))
        for c in found.concepts
    )
    show_rows(("concept", "strength", "percentile", "title", "decoded words"), rows)
    say("A strength of 1 is typical: the root mean square over the samples that were learned from.")
    say(f"Like it: {', '.join(found.look_alikes)}.")
    say(f"Explained: {percent(found.explained_variance)} {found.verdict}.")
    if found.evidence is not None:
        say(f"That {found.word!r} is in the picture: {percent(found.evidence)} by its concepts.")


def warn(message: str) -> None:
    """A line on stderr that the user must see; the command goes on."""
    from rich.markup import escape

    stderr.print(f"[bold yellow]Warning:[/] {escape(visible(message))}", soft_wrap=True, highlight=False)


def tell(message: str) -> None:
    """A line on stderr on what happens now."""
    from rich.markup import escape

    stderr.print(f"[bold]{escape(visible(message))}[/]", soft_wrap=True, highlight=False)


def fail(message: str, code: int) -> None:
    from rich.markup import escape

    stderr.print(f"[bold red]Error:[/] {escape(visible(message))}", soft_wrap=True, highlight=False)
    sys.exit(code)
