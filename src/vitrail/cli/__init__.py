"""The command line: `vitrail`."""

from __future__ import annotations

import sys
from typing import Any

from vitrail.cli.stopping import message, watch

__all__ = ["app", "main"]  # `app` is imported when it is first used


def main() -> None:
    """Runs the command line: errors as one line and an exit code, a traceback only with `--debug`."""
    ignore_signals = watch()
    from vitrail.cli.commands import app
    from vitrail.cli.terminal import fail
    from vitrail.errors import VitrailError

    debug = "--debug" in sys.argv
    try:
        app()
    except VitrailError as error:
        if debug:
            raise
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:  # where SIGINT has another handler
        fail(message(sys.argv[1:]), 130)
    except OSError as error:  # of the machine: a disk, a folder without permission, a name that it cannot hold
        if debug:
            raise
        what = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)
        fail(f"{what}. `vitrail --debug …` shows where.", 1)
    except Exception as error:
        if debug:
            raise
        fail(f"{type(error).__name__}: {error}\nThis is a fault of ours. `vitrail --debug …` shows where.", 1)
    finally:
        ignore_signals()


def __getattr__(name: str) -> Any:
    if name == "app":
        from vitrail.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
