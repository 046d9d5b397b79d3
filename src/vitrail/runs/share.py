"""`vitrail share`: one dictionary over several words, grounded for each of them, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vitrail.activations import Activations, open_activations, open_words
from vitrail.activations.many import holds_many
from vitrail.activations.store import KIND as ACTIVATIONS
from vitrail.artifacts import check_ours, read_manifest
from vitrail.concepts import LearningOptions, SharedConcepts, check_shared, folder_of_word, open_shared, share_as
from vitrail.grounding import Grounding, GroundingOptions, ground_as, open_grounding, overlap_of
from vitrail.lmm import LMM, load_as, quieten
from vitrail.notebook import Shown, View
from vitrail.progress import Progress, shown, silent
from vitrail.reports.shared import shared_page, title_of

PAGE = "shared.html"


@dataclass(frozen=True)
class SharedDictionary(Shown):
    """One dictionary over words, and each of its concepts in the words and images of every word.

    Args:
        concepts: what was learned, and how each word uses it.
        groundings: word → its grounding.
        page: the page that shows them.
    """

    concepts: SharedConcepts
    groundings: dict[str, Grounding]
    page: Path

    def _shown(self) -> View:
        own = self.concepts._shown()
        rows = tuple((row[0], title_of(self.groundings, row[0]), *row[1:]) for row in own.rows)
        return replace(own, heads=("concept", "title", *own.heads[1:]), rows=rows)


def share(
    studies: Sequence[Activations | str | Path],
    *,
    out: str | Path,
    n_concepts: int = 20,
    learning: LearningOptions | None = None,
    grounding: GroundingOptions | None = None,
    lmm: LMM | None = None,
    progress: Progress | bool = True,
) -> SharedDictionary:
    """One dictionary over the words of several studies: the same concepts for all, in the folder `out`.

    Args:
        studies: activations, or folders that hold them: of one word each, or of many words.
        out: `OUT/words/WORD` is then a study of each word, as what takes a study takes it; `OUT/shared.html` shows
            them all.
        n_concepts: short for `learning` with so many concepts; not used where that is given.
        learning: how concepts are learned: by Semi-NMF in the centred form; named concepts first, and with `n_concepts`
            of "auto" as many as tell the words of all captions best.
        grounding: how they are grounded.
        lmm: the model that made the activations; loaded from where they say for None.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        UsageError: fewer than two words, states that do not go together, or options that cannot be.
        ArtifactError: no activations there, or `out` holds something else.
    """
    parts, options = states_of(studies), learning or LearningOptions(n_concepts=n_concepts)
    check_shared(parts, options)
    with shown(progress) as tell:
        return share_parts(parts, options, grounding or GroundingOptions(), out=Path(out), lmm=lmm, progress=tell)


def states_of(studies: Sequence[Activations | str | Path]) -> list[Activations]:
    """The activations of every word; a folder of many words has one for each that was said."""
    found: list[Activations] = []
    for study in studies:
        if isinstance(study, Activations):
            found.append(study)
        elif holds_many(read_manifest(Path(study) / ACTIVATIONS, ACTIVATIONS)):
            store = open_words(study)
            found += [store.of(word) for word, n in store.kept.items() if n]
        else:
            found.append(open_activations(Path(study) / ACTIVATIONS))
    return found


def share_parts(
    parts: Sequence[Activations],
    learning: LearningOptions,
    grounding: GroundingOptions,
    *,
    out: Path,
    lmm: LMM | None = None,
    progress: Progress = silent,
) -> SharedDictionary:
    """`share` of activations, with all options; see there."""
    check_ours([out / PAGE], offer=True)
    if lmm is None:
        quieten()
        lmm = load_as(parts[0].model, prompt=parts[0].options.prompt)
    most = max(parts, key=len)
    overlaps = {most.word.text: overlap_of(lmm, most, learning, grounding)} if learning.n_concepts == "auto" else {}
    made = share_as(parts, learning, out=out, overlaps=overlaps, progress=progress)
    found = {}
    for done, (word, concepts) in enumerate(made.words.items()):
        progress("ground", done, len(parts))
        home = concepts.folder.parent
        own = open_activations(home / ACTIVATIONS)
        found[word] = ground_as(lmm, own, concepts, grounding, out=home / "grounding")
    progress("ground", len(parts), len(parts))
    return SharedDictionary(made, found, shared_page(made, parts, found, out=out / PAGE))


def open_dictionary(folder: str | Path) -> SharedDictionary:
    """The finished dictionary over words in `folder`.

    Raises:
        ArtifactError: missing, damaged or newer.
    """
    made = open_shared(folder)
    words = list(made.words)
    found = {
        word: open_grounding(folder_of_word(made.folder, words, word) / "grounding", concepts)
        for word, concepts in made.words.items()
    }
    return SharedDictionary(made, found, made.folder / PAGE)
