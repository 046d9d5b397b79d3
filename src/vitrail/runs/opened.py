"""A study as users hold it: with the verbs that take one as its methods."""

from __future__ import annotations

from pathlib import Path

from vitrail import studies
from vitrail.runs.report import report


class Study(studies.Study):
    __doc__ = studies.Study.__doc__

    def report(self, *, out: str | Path | None = None) -> Path:
        """Writes the page of the study and returns its path: `out`, or `report.html` in the study's folder for None.

        Raises:
            ArtifactError: the study's artifacts do not belong together, or the page cannot be written.
        """
        return report(self, out=out)


def open_study(folder: str | Path) -> Study:
    """The finished study in `folder`.

    Raises:
        ArtifactError: a stage is missing, damaged, or belongs to another run.
    """
    return Study.open(folder)
