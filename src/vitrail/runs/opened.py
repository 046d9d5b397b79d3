"""A study as users hold it: with the verbs that take one as its methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from vitrail import studies
from vitrail.lmm import LMM
from vitrail.maps import MapOptions, StudyMaps
from vitrail.progress import Progress
from vitrail.reports.page import study_html, whole
from vitrail.runs.maps import map_samples
from vitrail.runs.report import evaluated, report
from vitrail.samples import Sample


class Study(studies.Study):
    __doc__ = studies.Study.__doc__

    def report(self, *, out: str | Path | None = None) -> Path:
        """Writes the page of the study and returns its path: `out`, or `report.html` in the study's folder for None.

        Raises:
            ArtifactError: the study's artifacts do not belong together, or the page cannot be written.
        """
        return report(self, out=out)

    def map_samples(
        self,
        samples: Sequence[Sample] | str | Path,
        *,
        n_images: int = 5,
        options: MapOptions | None = None,
        lmm: LMM | None = None,
        progress: Progress | bool = True,
    ) -> StudyMaps:
        """Where in the images that activate it most each concept comes from, kept in the folder `maps` of the study and
        shown in its report.

        Args:
            samples: those that the study was made of; or their name, file or folder.
            n_images: images of each concept, the most activating first.
            options: how the maps are made.
            lmm: the study's model, where it is loaded already.
            progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

        Raises:
            DataError: a sample of the study is not among `samples`, or its image cannot be read.
            UsageError: the concepts are of states that no map is made of, or there is no such method.
            ModelError: the study's model cannot be loaded, or there is no patch map for its family.
            ArtifactError: the study's maps were made in another way.
        """
        return map_samples(self, samples, n_images=n_images, options=options, lmm=lmm, progress=progress)

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
