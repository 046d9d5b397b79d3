"""What the application offers: its commands, and their options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from vitrail.cli import app


def commands(of: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of the application by its name: `steer make`."""
    of = of or typer.main.get_command(app)
    for own, inner in of.commands.items():
        full = f"{name} {own}".strip()
        if hasattr(inner, "commands"):
            yield from commands(inner, full)
        else:
            yield full, inner


def options(of: Any) -> set[str]:
    """The options of a command, in every spelling."""
    return {name for p in of.params if p.param_type_name == "option" for name in (*p.opts, *p.secondary_opts)}
