"""What people see: progress on stderr, results on stdout.

Everything that a command writes goes through this module, which leaves no control character of somebody's data in it.
"""

from __future__ import annotations

import json
import math
import sys
import time
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
#: In seconds: stages that take longer are foretold.
LONG = 5.0


class Stopped(VitrailError):
    """The user pressed Ctrl-C."""

    exit_code = 130


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """A bar per stage on stderr, if it is a terminal; and a line on each stage that takes long, see `Foretelling`."""
    from vitrail.progress import shown

    try:
        with shown(True) as progress:
            yield Foretelling(progress)
    except KeyboardInterrupt:
        raise Stopped(message(sys.argv[1:])) from None


class Foretelling:
    """Passes progress on, and says of each stage, after its first units, how long all of it will take and how much
    memory is in use; a stage that takes less than `LONG` seconds is passed over.

    Args:
        progress: is told all that this is told.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._begun = {"": time.perf_counter()}  # stage → when it began, until it is foretold; "" is the last report

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.perf_counter()
        begun = self._begun.setdefault(what, now if done == 0 else self._begun[""])
        self._begun[""] = now
        if 0 < done < total and begun < math.inf:
            self._begun[what] = math.inf
            if (whole := (now - begun) * total / done) >= LONG:
                tell(
                    f"{what}: {done} of {total} after {span_of(now - begun)}, about {span_of(whole)} for all{_memory()}"
                )
        self.progress(what, done, total)


def _memory() -> str:
    """How much memory is in use and how much is left, where the model is, as the end of a sentence; "" where that is
    not known."""
    if "torch" not in sys.modules:
        return ""
    import torch

    from vitrail.lmm.sizing import memory_left, memory_peak

    device = torch.device("cuda" if torch.cuda.is_available() and torch.cuda.memory_allocated() else "cpu")
    peak, left = memory_peak(device), memory_left(device)
    return "" if peak is None or left is None else f"; {size_of(peak)} of memory at the peak, {size_of(left)} are free"


def size_of(n: float) -> str:
    """Bytes in a unit that is easily read.

    >>> size_of(2_340_000), size_of(0)
    ('2.3 MB', '0 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


def span_of(seconds: float) -> str:
    """A time in units that are easily read.

    >>> span_of(0.24), span_of(75), span_of(7380)
    ('0.2 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


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
