"""`vitrail atlas`: the line for every word of a folder of many, learn → ground → report, and a page that lists them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitrail.activations import WordStore, open_words
from vitrail.artifacts import beside, check_ours, one_writer, plain, write_sealed
from vitrail.concepts import LearningOptions
from vitrail.concepts.verdicts import of_concepts
from vitrail.grounding import GroundingOptions, ground_as
from vitrail.lmm import LMM, as_lmm
from vitrail.notebook import Shown, View
from vitrail.progress import Progress, shown, silent
from vitrail.reports import AtlasEntry, atlas_page
from vitrail.runs.opened import Study
from vitrail.runs.report import REPORT, report
from vitrail.runs.study import SUMMARY, learned, summary
from vitrail.studies import known_factors

PAGE, DATA = "atlas.html", "atlas.json"
#: A word with fewer states is listed alone: what is found in so few means nothing.
FEWEST = 10


@dataclass(frozen=True)
class Atlas(Shown):
    """The words of a folder, each with what was found: `page` lists them."""

    folder: Path
    entries: tuple[AtlasEntry, ...]

    @property
    def page(self) -> Path:
        """The page that lists all words."""
        return self.folder / PAGE

    def __len__(self) -> int:
        return len(self.entries)

    def _shown(self) -> View:
        made = sum(entry.made for entry in self.entries)
        rows = tuple(
            (e.word, e.n_samples, e.explained_variance, e.stability, ", ".join(e.titles)) for e in self.entries
        )
        heads = ("word", "samples", "explained variance", "stability", "concepts")
        return View("Atlas", f"of {made} of {len(self)} words, in {self.page}", heads, rows)


def atlas(
    lmm: LMM | str | Path,
    store: WordStore | str | Path,
    *,
    words: Collection[str] = (),
    learning: LearningOptions | None = None,
    grounding: GroundingOptions | None = None,
    progress: Progress | bool = True,
) -> Atlas:
    """Concepts of every word of `store`, grounded and reported in its folder, and `atlas.html`, which lists them.

    A run that was stopped goes on. A word that has fewer states than there are concepts, or than ten, is listed
    without a report.

    Args:
        lmm: the model that the states were read from, or its name or folder.
        store: states of many words (`extract_words`), or their folder.
        words: only these words; all for none.
        learning: how concepts are learned; `grounding` likewise.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        WordError: one of `words` is not in the store.
        ArtifactError: the model is another one; or a file there was not written by Vitrail, or changed since.
    """
    store = open_words(store) if isinstance(store, str | Path) else store
    options = (learning or LearningOptions(), grounding or GroundingOptions())
    with shown(progress) as tell:
        return _atlas(as_lmm(lmm), store, list(words), *options, out=store.folder, progress=tell)


@one_writer
def _atlas(
    lmm: LMM,
    store: WordStore,
    words: list[str],
    learning: LearningOptions,
    grounding: GroundingOptions,
    *,
    out: Path,
    progress: Progress = silent,
) -> Atlas:
    chosen = words or [word.text for word in store.words]
    check_ours(files_of(store, chosen), offer=True)
    learning.learner()
    entries = []
    for done, word in enumerate(chosen):
        progress("atlas", done, len(chosen))
        entries.append(_entry(lmm, store, word, learning, grounding))
    made = Atlas(out, tuple(entries))
    write_sealed(out / DATA, plain({"entries": entries}))
    atlas_page(made.entries, model=lmm.name, out=made.page)
    progress("atlas", len(chosen), len(chosen))
    return made


def files_of(store: WordStore, words: Collection[str] = ()) -> list[Path]:
    """What an atlas writes beside artifacts."""
    chosen = words or [word.text for word in store.words]
    own = [path for word in chosen for path in beside("study", store.of(word).folder.parent)]
    return [*beside("atlas", store.folder), *own]


def _entry(lmm: LMM, store: WordStore, word: str, learning: LearningOptions, grounding: GroundingOptions) -> AtlasEntry:
    """The line for one word."""
    activations, folder = store.of(word), store.folder_of(word)
    if len(activations) < max(learning.n_samples, FEWEST):
        return AtlasEntry(word, len(activations))
    concepts = learned(lmm, activations, learning, grounding, out=folder)
    grounded = ground_as(lmm, activations, concepts, grounding, out=folder / "grounding")
    made = Study(folder, activations, concepts, grounded, (), known_factors(folder))
    report(made)
    write_sealed(folder / SUMMARY, plain(summary(made)))
    stable = concepts.stability
    return AtlasEntry(
        word=word,
        n_samples=len(activations),
        n_concepts=len(concepts),
        explained_variance=concepts.scores["explained_variance"],
        stability=None if stable is None else float(np.mean(stable["resamples"])),
        agreeing=sum(not c.disagrees for c in grounded.concepts) / len(concepts),
        titles=tuple(made.titles[c.index] for c in sorted(made, key=lambda c: -c.share)[:4]),
        verdict=of_concepts(concepts),
        report=(folder / REPORT).relative_to(store.folder).as_posix(),
    )
