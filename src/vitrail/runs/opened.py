"""A study as users hold it: with the verbs that take one as its methods."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from vitrail import studies
from vitrail.reports.page import study_html, whole
from vitrail.runs.report import evaluated, report


class Study(studies.Study):
    __doc__ = studies.Study.__doc__

    def report(self, *, out: str | Path | None = None) -> Path:
        """Writes the page of the study and returns its path: `out`, or `report.html` in the study's folder for None.

        Raises:
            ArtifactError: the study's artifacts do not belong together, or the page cannot be written.
        """
        return report(self, out=out)

    def show(self, height: int = 720) -> ShownPage:
        """The page of the study in a notebook, `height` pixels high: search, sort, and all that its report has.

        Raises:
            ArtifactError: the study's artifacts do not belong together.
        """
        return ShownPage(whole(study_html(self, evaluated(self))), height)


@dataclass(frozen=True)
class ShownPage:
    """A page in a frame, for a notebook: it runs in the frame alone, and asks nothing of anybody."""

    html: str = field(repr=False)
    height: int

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html)}" sandbox="allow-scripts" width="100%" height="{self.height}" '
            'style="border: 0" title="The page of a study"></iframe>'
        )


def open_study(folder: str | Path) -> Study:
    """The finished study in `folder`.

    Raises:
        ArtifactError: a stage is missing, damaged, or belongs to another run.
    """
    return Study.open(folder)
