"""`--plan`: what a command will take, from rehearsals of it; see `runs.planning`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrail.cli.terminal import print_json, say, show_rows, size_of, span_of, warn

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
