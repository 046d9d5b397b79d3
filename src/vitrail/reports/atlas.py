"""The page of an atlas: the words of a folder of many, with what was found of each, and links to their reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from vitrail.reports.page import template, write_page
from vitrail.scores import Verdict


@dataclass(frozen=True)
class AtlasEntry:
    """One word of an atlas. A word with fewer states than concepts has no more than its number of samples.

    Args:
        word: the word of interest.
        n_samples: how many samples have a state of it.
        n_concepts: how many concepts were learned.
        explained_variance: share of the states' variance that they explain.
        stability: mean stability over resamples; None where it was not measured.
        agreeing: share of the concepts whose decoded words share one with the captions of their images.
        titles: of the concepts that most samples have.
        verdict: what follows from the scores, by name.
        report: the word's page, relative to that of the atlas; empty where there is none.
    """

    word: str
    n_samples: int
    n_concepts: int = 0
    explained_variance: float | None = None
    stability: float | None = None
    agreeing: float | None = None
    titles: tuple[str, ...] = ()
    verdict: dict[str, Verdict] = field(default_factory=dict)
    report: str = ""

    @property
    def made(self) -> bool:
        """Whether concepts were learned."""
        return bool(self.report)


def atlas_page(entries: Sequence[AtlasEntry], *, model: str, out: str | Path) -> Path:
    """All words as one self-contained HTML page, `out`: a table that can be searched and sorted.

    Raises:
        ArtifactError: the page cannot be written.
    """
    by_name = sorted(entries, key=lambda entry: entry.word.casefold())
    page = template("atlas.html.j2").render(
        entries=[(entry, quote(entry.report)) for entry in by_name],
        made=sum(entry.made for entry in entries),
        n_samples=sum(entry.n_samples for entry in entries),
        model=Path(model).name or model,
    )
    write_page(Path(out), page)
    return Path(out)
