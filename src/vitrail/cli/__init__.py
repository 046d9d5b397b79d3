"""The command line: `vitrail`."""

from __future__ import annotations

import sys

import vitrail.cli.compare
import vitrail.cli.doctor
import vitrail.cli.evaluate
import vitrail.cli.finetune
import vitrail.cli.steer
import vitrail.cli.words  # noqa: F401 – these add their commands to `app`
from vitrail.cli.commands import app
from vitrail.cli.terminal import fail
from vitrail.errors import VitrailError

__all__ = ["app", "main"]


def main() -> None:
    """Runs the command line: errors as one line and an exit code, a traceback for `--debug` alone."""
    debug = "--debug" in sys.argv
    try:
        app()
    except VitrailError as error:
        if debug:
            raise
        fail(str(error), error.exit_code)
    except Exception as error:
        if debug:
            raise
        fail(f"{type(error).__name__}: {error}\nThis is a fault of ours. `vitrail --debug …` shows where.", 1)
