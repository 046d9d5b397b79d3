"""A study on disk: activations, concepts, grounding and explanations that belong together.

    STUDY/activations/  concepts/  grounding/  explanations/  factors.json  evaluation/  maps/  notes.json
          report.html  summary.json

`factors.json` is there where the known factors of the samples were given, `evaluation/` where the study was evaluated,
`maps/` where its images were mapped, `notes.json` where somebody named a concept or kept a set of samples.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from vitrail.activations import Activations, open_activations
from vitrail.artifacts import MANIFEST, file_hash, read_made, state_of, typed
from vitrail.concepts import Concepts, open_concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.explanation import KIND as EXPLANATIONS
from vitrail.explanation import Explanation, explain, open_explanations
from vitrail.grounding import GroundedConcept, GroundedConcepts, Grounding, open_grounding
from vitrail.lenses import Lens
from vitrail.lmm import LMM, Layer, load_as
from vitrail.maps import ImageMaps, ImageWords, MapOptions, StudyMaps, map_concepts, open_maps, token_words
from vitrail.maps.artifact import KIND as MAPS
from vitrail.notebook import Picture, Shown, View, bars
from vitrail.samples import GivenImage
from vitrail.scores import KnownFactors
from vitrail.studies.notes import Notes, read_notes

log = logging.getLogger(__name__)

FACTORS = "factors.json"

S = TypeVar("S", bound="Study")


@dataclass(frozen=True, repr=False)
class Study(Shown):
    """A study's folder, opened: its artifacts belong together. It is a sequence of its grounded concepts.

        for concept in study:
            print(concept.index, concept.title, f"{concept.share:.0%}")
        study.concepts[3].words
        study.explain("photo.jpg").concepts[0].title

    Args:
        folder: where the artifacts lie.
        activations: the states of the word.
        learned: what was learned from them.
        grounding: the concepts in words and in images.
        explanations: of held-out images.
        factors: sample id → factor → value, where factors of the samples are known.
    """

    folder: Path
    activations: Activations
    learned: Concepts
    grounding: Grounding
    explanations: tuple[Explanation, ...] = ()
    factors: KnownFactors | None = None

    def __len__(self) -> int:
        return len(self.grounding)

    def __getitem__(self, index: int) -> GroundedConcept:
        return self.grounding.concepts[index]

    def __iter__(self) -> Iterator[GroundedConcept]:
        return iter(self.grounding.concepts)

    @property
    def titles(self) -> list[str]:
        """The title of each concept, as every page shows it: the name that somebody gave it, or its own."""
        given, word = self.notes.concepts, self.activations.word.text
        return [(given[c.index].name if c.index in given else "") or c.name(word) for c in self.grounding.concepts]

    @cached_property
    def notes(self) -> Notes:
        """What people wrote to it.

        Raises:
            ArtifactError: the notes are damaged, or somebody else's.
        """
        return read_notes(self.folder, file_hash(self.grounding.folder / MANIFEST))

    @cached_property
    def sample_maps(self) -> StudyMaps | None:
        """Where in the images that activate it most each concept comes from; None where they were not mapped. Maps of
        other concepts than those of the study are left out, with a warning.
        """
        folder = self.folder / MAPS
        if not folder.exists():
            return None
        try:
            return open_maps(folder, self.grounding)
        except ArtifactError as error:
            log.warning("The study is without maps. %s", error)
            return None

    @cached_property
    def concepts(self) -> GroundedConcepts:
        """What was learned, as arrays (`U`, `V`), and as a sequence of concepts in words and in samples."""
        return GroundedConcepts.of(self.learned, self.grounding)

    @cached_property
    def lmm(self) -> LMM:
        """The model that made the study, loaded when it is asked for: from where the study found it, on the accelerator
        if there is one. `load_as(study.activations.model, …)` loads it from elsewhere.

        Raises:
            ModelError: it cannot be loaded.
        """
        return load_as(self.activations.model, prompt=self.activations.options.prompt)

    def explain(
        self, image: GivenImage, *, n_concepts: int = 5, n_look_alikes: int = 5, lmm: LMM | None = None
    ) -> Explanation:
        """The concepts behind the word in one image; see `vitrail.explain`.

        Args:
            image: a path or an open image, several of them, or a video.
            n_concepts: how many of the most active concepts.
            n_look_alikes: how many training samples with the most similar activations.
            lmm: the study's model, where it is loaded already.

        Raises:
            DataError: the image cannot be read.
            WordError: the model does not say the word of this image.
            ModelError: the study's model cannot be loaded.
        """
        parts = (lmm or self.lmm, self.activations, self.concepts, self.grounding)
        return explain(*parts, image, n_concepts=n_concepts, n_look_alikes=n_look_alikes)

    def maps(
        self,
        image: GivenImage,
        *,
        n_concepts: int = 5,
        options: MapOptions | None = None,
        lmm: LMM | None = None,
    ) -> ImageMaps:
        """Where in one image its strongest concepts come from, in the coordinates of the image.

        Args:
            image: a path or an open image, several of them, or a video.
            n_concepts: how many of the most active concepts.
            options: how the maps are made; see `MapOptions`.
            lmm: the study's model, where it is loaded already.

        Raises:
            DataError: the image cannot be read.
            WordError: the model does not say the word of this image.
            UsageError: the concepts are of states that no map is made of, or there is no such method.
            ModelError: the study's model cannot be loaded, or there is no patch map for its family.
        """
        parts = (lmm or self.lmm, self.activations, self.concepts, self.grounding)
        return map_concepts(*parts, image, n_concepts=n_concepts, options=options)

    def token_words(
        self,
        image: GivenImage,
        *,
        layer: Layer | None = None,
        lens: Lens | str | Path | None = None,
        n_words: int = 5,
        lmm: LMM | None = None,
    ) -> ImageWords:
        """The nearest words of every token of one image, in the coordinates of the image; see `vitrail.token_words`.

        Args:
            image: a path or an open image, several of them, or a video.
            layer: whose states are read; the layer of the study for None.
            lens: through which they are read; the unembedding alone for None.
            n_words: words per token.
            lmm: the study's model, where it is loaded already.

        Raises:
            DataError: the image cannot be read.
            UsageError: there is no such layer, or the lens has no map of it.
            ModelError: the study's model cannot be loaded, or its tokens have no known place in the image.
            ArtifactError: the lens is of another model.
        """
        at, language = self.learned.layer if layer is None else layer, self.grounding.options.language
        return token_words(lmm or self.lmm, image, at, lens=lens, n_words=n_words, language=language)

    def to_pandas(self) -> Any:
        """A pandas `DataFrame` with a row per concept: title, words, caption words, share, stability, samples.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UsageError("A table needs pandas: pip install 'vitrail[pandas]'.") from error
        stability = self.concepts.stability or {}
        rows = [
            {
                "concept": c.index,
                "title": title,
                "words": [w.word for w in c.words],
                "captions": [w.word for w in c.captions],
                "share": c.share,
                **{f"stability_{kind}": values[c.index] for kind, values in stability.items()},
                "samples": [s.sample_id for s in c.samples],
            }
            for c, title in zip(self, self.titles, strict=True)
        ]
        return pandas.DataFrame(rows).set_index("concept")

    def __repr__(self) -> str:
        return (
            f"<Study of {self.activations.word.text!r} in {self.activations.model.name}: {len(self)} concepts of "
            f"{len(self.activations)} samples, in {self.folder}>"
        )

    def _shown(self) -> View:
        concepts = sorted(self, key=lambda c: -c.share)
        shares = bars([c.share for c in concepts], "{:.0%}")
        rows = tuple(
            (c.index, self.titles[c.index], share, self._pictures(c), ", ".join(w.word for w in c.words))
            for c, share in zip(concepts, shares, strict=True)
        )
        about = (
            f"of “{self.activations.word.text}” in {self.activations.model.name}: {len(self)} concepts of "
            f"{len(self.activations)} samples, in {self.folder}"
        )
        return View("Study", about, ("concept", "title", "share of samples", "images", "words"), rows)

    def _pictures(self, concept: GroundedConcept) -> tuple[Picture, ...]:
        """The images that activate a concept most."""
        rows = (self.activations.rows[s.row] for s in concept.samples)
        return tuple(Picture(row.thumbnail, row.text) for row in rows)

    @classmethod
    def open(cls: type[S], folder: str | Path) -> S:
        """The finished study in `folder`.

        Raises:
            ArtifactError: a stage is missing, damaged, or belongs to another run.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ArtifactError(f"There is no study at {folder}.")
        activations = open_activations(folder / "activations")
        concepts = open_concepts(folder / "concepts", activations)
        grounding = open_grounding(folder / "grounding", concepts)
        made = (folder / EXPLANATIONS).exists()
        explanations = tuple(open_explanations(folder / EXPLANATIONS, grounding, concepts)) if made else ()
        return cls(folder, activations, concepts, grounding, explanations, known_factors(folder))


def open_study(folder: str | Path) -> Study:
    """The finished study in `folder`; see `Study.open`."""
    return Study.open(folder)


def as_study(study: Study | str | Path) -> Study:
    """`study` itself, or the one in that folder; see `Study.open`."""
    return Study.open(study) if isinstance(study, str | Path) else study


def known_factors(folder: Path) -> KnownFactors | None:
    """The factors of the samples that the study in `folder` keeps; None where it has none.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = folder / FACTORS
    if not path.is_file():
        return None
    if (state := state_of(path)) == "foreign":
        raise ArtifactError(f"{path} was not written by Vitrail. Move it away.")

    def factors(values: Any) -> KnownFactors:
        return typed(values if state == "older" else values["factors"], dict[str, dict[str, Any]])

    return read_made(path, factors, "run the study")
