"""`vitrail show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json
from vitrail.cli.terminal import print_json, say, show_rows, tell

if TYPE_CHECKING:
    from vitrail.artifacts.showing import Shown


@command(panel="Before you start")
def show(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="An artifact, or a folder that holds some.")],
    as_run: Annotated[
        bool, typer.Option("--as-run", help="Print the file with which `vitrail run` makes it again, parents and all.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What an artifact is: how it was made and of what, its rows, words, layers and size, and the doctor's certificate.

    Of a folder that holds several, such as a study, one line each. Nothing is checked: that is `vitrail verify`.

    Examples:
        vitrail show studies/dog
        vitrail show studies/dog/concepts
        vitrail show studies/dog --as-run
    """
    from vitrail.artifacts import plain
    from vitrail.artifacts.showing import show as run

    if as_run:
        from vitrail.artifacts.chain import chain_of
        from vitrail.cli.recording import as_toml

        chain = chain_of(folder)
        for why in chain.lacks:
            tell(f"Not made again by this file: {why}.")
        say(as_toml(chain).rstrip("\n"))
        return
    found = run(folder)
    if as_json:
        print_json(plain(found))
    elif len(found) == 1:
        show_rows((str(folder), ""), _one(found[0]))
    else:
        heads = ("path", "kind", "rows", "words", "model", "size", "made from")
        show_rows(heads, [(s.path, s.kind, _rows(s), _words(s), s.model, _size(s), _parents(s)) for s in found])


def _one(s: Shown) -> list[tuple[str, str]]:
    """Everything that is known of one artifact, by name."""
    told = {
        "kind": s.kind if s.complete else f"{s.kind}, unfinished: its command goes on with it",
        "rows": _rows(s),
        "words": _words(s, 40),
        "model": s.model,
        "size": f"{_size(s)} in {s.files} files",
        "made from": _parents(s),
        "doctor": ""
        if s.checks is None
        else "{} checks passed, {} failed, {} had nothing to compare".format(*s.checks),
        **{name: _text(value) for name, value in s.parameters.items()},
        "versions": ", ".join(f"{name} {version}" for name, version in s.versions.items()),
    }
    return [(name, value) for name, value in told.items() if value]


def _rows(s: Shown) -> str:
    return "" if s.rows is None else f"{s.rows[0]:,}, of {s.rows[1]:,} samples"


def _words(s: Shown, most: int = 4) -> str:
    named = [word if n is None else f"{word} ({n:,})" for word, n in s.words.items()]
    more = len(named) - most
    return ", ".join(named[:most]) + (f" and {more} more" if more > 0 else "")


def _parents(s: Shown) -> str:
    return ", ".join(f"{kind} {name}" if kind != name else kind for kind, name in s.parents.items())


def _size(s: Shown) -> str:
    size, unit = float(s.size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"


def _text(value: Any) -> str:
    """A parameter as text: `a: 1, b: 2` of an object, cut where it is long."""
    if isinstance(value, dict):
        text = ", ".join(f"{k}: {_text(v)}" for k, v in value.items() if v is not None)
    elif isinstance(value, list):
        text = ", ".join(map(_text, value))
    else:
        text = "" if value is None else str(value)
    return text if len(text) <= 200 else text[:199] + "…"
