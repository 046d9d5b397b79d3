"""The command line: `vitrail`."""

from __future__ import annotations

import sys

# Each adds its commands to `app`, in the order of `--help`.
# isort: off
import vitrail.cli.study
import vitrail.cli.words
import vitrail.cli.doctor
import vitrail.cli.toyland
import vitrail.cli.extract
import vitrail.cli.learn
import vitrail.cli.ground
import vitrail.cli.explain
import vitrail.cli.report
import vitrail.cli.evaluate
import vitrail.cli.compare
import vitrail.cli.finetune
import vitrail.cli.steer  # noqa: F401

# isort: on
from vitrail.cli.application import app
from vitrail.cli.terminal import fail
from vitrail.errors import VitrailError

__all__ = ["app", "main"]


def main() -> None:
    """Runs the command line: errors as one line and an exit code, a traceback only with `--debug`."""
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
