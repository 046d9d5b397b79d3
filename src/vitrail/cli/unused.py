"""Options that were typed where nothing uses them: they are refused, never passed over in silence."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from vitrail.errors import UsageError

#: Name of a parameter of the command that runs → its option, of those that were typed.
_TYPED: ContextVar[dict[str, str] | None] = ContextVar("typed", default=None)


def remember(context: Any) -> None:
    """Remembers which options of the command were typed, from its context (Typer's, or None outside of one)."""
    parameters = [] if context is None else context.command.params
    # by the name of the source, since Typer has a copy of click of its own from version 0.26 on
    typed_here = [p for p in parameters if getattr(context.get_parameter_source(p.name), "name", "") == "COMMANDLINE"]
    _TYPED.set({p.name: p.opts[0] for p in typed_here})


def typed(*names: str) -> list[str]:
    """The options among `names` that were typed, as they are called on the command line.

    Args:
        names: of parameters of the command: of an option ("words"), of all options of a group ("data"), of one of them
            ("learning.penalty"), or of a group in the group ("evaluation.mapping").
    """
    found = []
    for own, option in (_TYPED.get() or {}).items():
        group, _, field = own.partition("__")
        if {own, group, f"{group}.{field}", f"{group}.{field.partition('__')[0]}"}.intersection(names):
            found.append(option)
    return found


def refuse(why: str, *names: str) -> None:
    """Raises `UsageError` if an option was typed that has no use.

    Args:
        why: when it has none, as a sentence goes on after the option's name: "is for --sweep".
        names: as in `typed`.
    """
    if found := typed(*names):
        raise UsageError(f"{found[0]} {why}. Leave it out.")
