"""Writes the pages that come from the code: `docs/cli.md`, from `--help`. `--check` says whether they are stale."""

from __future__ import annotations

import sys
from pathlib import Path

from typer.testing import CliRunner

HERE = Path(__file__).parent


def cli_reference() -> str:
    """The command line in Markdown: what `--help` says, for every command."""
    from vitrail.cli import app

    runner = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"})

    def shown(*arguments: str) -> list[str]:
        result = runner.invoke(app, [*arguments, "--help"], prog_name="vitrail")
        if result.exit_code:
            raise RuntimeError(f"vitrail {' '.join(arguments)} --help failed: {result.output}")
        return ["```text", *(line.rstrip() for line in result.output.strip().splitlines()), "```", ""]

    lines = ["# Command line", "", "What `--help` says; written by `make docs`.", "", "## vitrail", "", *shown()]
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        lines += [f"## vitrail {name}", "", *shown(name)]
    return "\n".join(lines).rstrip() + "\n"


PAGES = {"cli.md": cli_reference}


def main() -> int:
    """Writes the pages, or with `--check` says which ones are out of date."""
    stale = []
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if "--check" in sys.argv:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(name)
        else:
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"Out of date: {', '.join(stale)}. Run `make docs`.\n")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
