"""The application, under the name that commands without groups of options know."""

from vitrail.cli.application import app

__all__ = ["app"]
