"""`--plan`: what a command will take, from rehearsals of it; see `runs.planning`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrail.cli.terminal import print_json, say, show_rows, warn

if TYPE_CHECKING:
    import torch


def show_plan(
    run: Callable[[Sequence[Any], Path], object],
    items: Sequence[Any],
    *,
    out: Path | None,
    as_json: bool,
    first: int | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    what: str = "samples",
) -> None:
    """Plans what a command does, and shows it; see `runs.planning.plan`."""
    from vitrail.runs.planning import plan

    place = Path() if out is None else out
    found = plan(run, items, out=place, first=first, device=device, batch_size=batch_size, what=what)
    if as_json:
        print_json(found.as_dict())
        return
    beside = "not known" if found.memory is None else f"{size_of(found.memory)} beside what is loaded"
    batch = [] if found.batch_size is None else [("batch size", str(found.batch_size), "")]
    rows = [
        (found.items, f"{found.n:,}", ""),
        ("time", span_of(found.seconds), f"of which once: {span_of(found.seconds_once)}"),
        ("disk", size_of(found.disk), f"{size_of(found.disk_free)} are free"),
        ("memory", beside, "" if found.memory_free is None else f"{size_of(found.memory_free)} are free"),
        *batch,
    ]
    show_rows(("", "it will take", ""), rows)
    say(f"An estimate, from {found.basis}. Nothing of it was kept.")
    if not found.fits:
        warn("Disk or memory do not suffice.")


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
