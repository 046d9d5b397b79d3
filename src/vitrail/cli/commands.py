"""All commands of `vitrail`, in one application."""

from __future__ import annotations

# Each adds its commands to `app`, in the order of `--help`.
# isort: off
import vitrail.cli.study
import vitrail.cli.atlas
import vitrail.cli.run
import vitrail.cli.push
import vitrail.cli.words
import vitrail.cli.doctor
import vitrail.cli.toyland
import vitrail.cli.verify
import vitrail.cli.show
import vitrail.cli.say
import vitrail.cli.extract
import vitrail.cli.merge
import vitrail.cli.learn
import vitrail.cli.lens
import vitrail.cli.ground
import vitrail.cli.share
import vitrail.cli.explain
import vitrail.cli.report
import vitrail.cli.log
import vitrail.cli.export
import vitrail.cli.import_file
import vitrail.cli.evaluate
import vitrail.cli.compare
import vitrail.cli.finetune
import vitrail.cli.steer
import vitrail.cli.monitor
import vitrail.cli.serve  # noqa: F401

# isort: on
from vitrail.cli.application import app

__all__ = ["app"]
