"""Requests to the model, as jobs: what it says of an image, with the concepts behind its words; what it says when some
concepts are taken out, or steered; and what two models say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta
from PIL import Image
from torch import Tensor

from vitrail.artifacts import check_free, check_target, plain
from vitrail.concepts import Concepts
from vitrail.errors import UsageError
from vitrail.evaluation.ablation import without_concept
from vitrail.lmm import LMM, Layer, ModelDescription
from vitrail.lmm.positions import Pass
from vitrail.maps import ImageMaps, TargetMap
from vitrail.reports.content import data_uri
from vitrail.reports.maps import fields_of, overlay_png, scale_of, where
from vitrail.serving.collection import Collection, Found
from vitrail.serving.jobs import Job
from vitrail.serving.pictures import Pictures
from vitrail.serving.speaking import Said, Speaker, answer, differences, said_of
from vitrail.steering import Add, Intervention, Steering, concept_direction, known_vector, open_steering
from vitrail.steering.methods.from_concepts import median_norm
from vitrail.studies import Study, open_study

Question = Annotated[str, Meta(max_length=2000)]
Alpha = Annotated[float, Meta(ge=-100, le=100)]


@dataclass(frozen=True)
class ConceptOf:
    """A concept of a study."""

    study: str
    concept: int


@dataclass(frozen=True)
class AskBody:
    """What to ask.

    Args:
        image: id of an image that was given.
        study: whose model is asked, with the request that the study was made with.
        question: asked instead of that request.
        without: concepts that are taken out; the model is asked once as it is, and once without them.
    """

    image: str
    study: str
    question: Question = ""
    without: Annotated[tuple[ConceptOf, ...], Meta(max_length=16)] = ()


@dataclass(frozen=True)
class Slider:
    """How strongly something is added to the states that generate.

    Args:
        alpha: in multiples of the mean activation of the concept, or of what the steering was made with.
        study: of the `concept`; empty for a steering.
        steering: its id; empty for a concept.
    """

    alpha: Alpha
    study: str = ""
    concept: int = 0
    steering: str = ""


Sliders = Annotated[tuple[Slider, ...], Meta(max_length=16)]


@dataclass(frozen=True)
class SteerBody:
    """What to say while it is steered.

    Args:
        image: id of an image that was given.
        study: whose model is asked.
        sliders: what is added; those at 0 add nothing.
        question: asked instead of the study's request.
        before: what the model said as it is, where that is known; it is asked for an empty text.
    """

    image: str
    study: str
    sliders: Sliders
    question: Question = ""
    before: Annotated[str, Meta(max_length=10_000)] = ""


@dataclass(frozen=True)
class SaveBody:
    """A steering to write: what the sliders add together, under `name`."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")]
    study: str
    sliders: Sliders


@dataclass(frozen=True)
class BothBody:
    """An image that both models of a comparison are asked about."""

    image: str
    comparison: str


@dataclass(frozen=True)
class MapsBody:
    """An image to map: where in it the concepts of a study, and its word, come from.

    Args:
        image: id of an image that was given.
    """

    image: str
    study: str


@dataclass(frozen=True)
class MapShown:
    """A map to lay over the image.

    Args:
        concept: its number; None for the word.
        title: of the concept; or the word.
        value: the activation in multiples of the typical one, or the logit.
        scale: what the last colour stands for, in the same units per hundredth of the image; of all concepts the same.
        overlay: the map as a data: URI.
        where: it in words.
        fields: how all that raises the value is shared among nine fields of the image, row by row.
    """

    concept: int | None
    title: str
    value: float
    scale: float
    overlay: str
    where: str
    fields: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Asked:
    """Where requests are answered from."""

    collection: Collection
    speaker: Speaker
    pictures: Pictures


def ask(at: Asked, body: AskBody) -> Callable[[Job], None]:
    """What the job does: the model's answer, and the one without some concepts.

    Raises:
        UsageError: there is no such image, study or concept.
    """
    found, image = at.collection.get(body.study, "study"), at.pictures.open(body.image)
    studies = [_of_same_model(at.collection, found, one) for one in body.without]
    taken_out = [TakenOut(s.learned, one.concept) for s, one in zip(studies, body.without, strict=True)]

    def work(job: Job) -> None:
        before = _say(at, job, found, image, body.question, "before")
        if taken_out:
            after = _say(at, job, found, image, body.question, "after", taken_out)
            job.tell("differences", {"parts": plain(differences(before.text, after.text))})

    return work


def steer(at: Asked, body: SteerBody) -> Callable[[Job], None]:
    """What the job does: the model's answer as it is, and while it is steered.

    Raises:
        UsageError: there is no such image, study, concept or steering.
    """
    found, image = at.collection.get(body.study, "study"), at.pictures.open(body.image)
    pulls = [pull for slider in body.sliders if slider.alpha and (pull := _pull(at.collection, found, slider))]

    def work(job: Job) -> None:
        text = body.before or _say(at, job, found, image, body.question, "before").text
        for pull in pulls:
            if isinstance(pull.source, Steering):
                pull.source.check(at.speaker.lmm(_model(found), None, lambda: None))
        after = _say(at, job, found, image, body.question, "after", [pull.intervention for pull in pulls])
        job.tell("differences", {"parts": plain(differences(text, after.text))})

    return work


def both(at: Asked, body: BothBody, sides: Sequence[Found]) -> Callable[[Job], None]:
    """What the job does: the answers of the two models of a comparison, whose studies are `sides`.

    Raises:
        UsageError: there is no such image.
    """
    image = at.pictures.open(body.image)

    def work(job: Job) -> None:
        before, after = (
            _say(at, job, found, image, "", side) for side, found in zip(("before", "after"), sides, strict=True)
        )
        job.tell("differences", {"parts": plain(differences(before.text, after.text))})

    return work


def maps(at: Asked, body: MapsBody) -> Callable[[Job], None]:
    """What the job does: where in an image the strongest concepts of a study come from, and the word.

    Raises:
        UsageError: there is no such image or study.
    """
    found, image = at.collection.get(body.study, "study"), at.pictures.open(body.image)

    def work(job: Job) -> None:
        lmm, study = spoken_by(at, found, job)
        made = study.maps(image, lmm=lmm)
        shown = [_shown(study, made, one) for one in made.maps]
        told = {"caption": made.caption, "method": made.method, "answers": made.answers}
        job.tell("maps", {**told, "maps": [plain(asdict(one)) for one in shown]})

    return work


def _shown(study: Study, made: ImageMaps, one: TargetMap) -> MapShown:
    scale = scale_of(made, one)
    return MapShown(
        concept=one.concept,
        title=one.title[0] if one.concept is None else study.titles[one.concept],
        value=one.value,
        scale=scale,
        overlay=data_uri(overlay_png(one.shares, scale), "png"),
        where=where(one.shares),
        fields=tuple(map(tuple, fields_of(one.shares).tolist())),
    )


def save(at: Asked, body: SaveBody) -> Callable[[Job], None]:
    """What the job does: writes what the sliders add together as a steering.

    Raises:
        UsageError: there is no such study, concept or steering; or what moves cannot be added up.
        ArtifactError: a folder of this name is there.
    """
    found = at.collection.get(body.study, "study")
    pulls = [pull for slider in body.sliders if slider.alpha and (pull := _pull(at.collection, found, slider))]
    if not pulls:
        raise UsageError("Move a slider first: a steering that adds nothing is none.")
    out = at.collection.root / "steerings" / body.name
    check_free(out, "steering")
    check_target(out)

    def work(job: Job) -> None:
        lmm, _ = spoken_by(at, found, job)
        directions: dict[Layer, Tensor] = {}
        medians: dict[Layer, float] = {}
        for pull in pulls:
            for layer, vector in pull.directions().items():
                own = lmm.layer(layer)
                directions[own] = directions[own] + vector if own in directions else vector
                medians.setdefault(own, pull.medians()[layer])
        known_vector(lmm, directions, medians, out=out, source=" + ".join(pull.name for pull in pulls))
        job.tell("saved", {"name": f"steerings/{body.name}"})

    return work


# ---- saying ----------------------------------------------------------------------------------------------------------


def _say(
    at: Asked,
    job: Job,
    found: Found,
    image: Image.Image,
    question: str,
    side: str,
    interventions: Sequence[Intervention] = (),
) -> Said:
    """What the model of a study says of an image; told to those who follow the job."""
    lmm, study = spoken_by(at, found, job)
    around = beside(at.collection, found)
    heard = answer(
        lmm,
        image,
        question or lmm.prompt,
        tell=lambda text: job.tell("token", {"side": side, "text": text}),
        layers=list(dict.fromkeys(lmm.layer(f.layer) for f in around if f.layer is not None)),
        interventions=interventions,
        max_new_tokens=study.activations.options.max_new_tokens,
    )
    said = said_of(lmm, heard, at.collection, around)
    job.tell("said", {"side": side, **plain(asdict(said))})
    return said


def spoken_by(at: Asked, found: Found, job: Job) -> tuple[LMM, Study]:
    """The model of a study, asked as the study asked it, and the study."""
    study = at.collection.opened(found, "study", open_study)
    prompt = study.activations.options.prompt
    lmm = at.speaker.lmm(study.activations.model, prompt, lambda: job.tell("loading", {"model": found.entry.model}))
    return lmm, study


def beside(collection: Collection, found: Found) -> list[Found]:
    """The studies of the same model, whose words are looked for in what it says."""
    weights = _model(found).fingerprint
    several = [f for f in collection.list() if f.entry.kind == "study" and f.model and f.model.fingerprint == weights]
    return [f for f in several if f.read_at == "word" and f.layer is not None]


def _model(found: Found) -> ModelDescription:
    assert found.model is not None, "a study has a model"
    return found.model


def _of_same_model(collection: Collection, found: Found, one: ConceptOf) -> Study:
    """The study of a concept, which must be of the model that is asked."""
    other = collection.get(one.study, "study")
    if _model(other).fingerprint != _model(found).fingerprint:
        raise UsageError(f"{other.entry.name} is of another model than {found.entry.name}.")
    study = collection.opened(other, "study", open_study)
    if not 0 <= one.concept < len(study):
        raise UsageError(f"There is no concept {one.concept} in {other.entry.name}.")
    return study


class TakenOut(Intervention):
    """Takes concept `k` of `concepts` out of every state that generates, as `vitrail evaluate` does."""

    def __init__(self, concepts: Concepts, k: int) -> None:
        self.layers, self.positions = (concepts.layer,), "generated"
        self._change = without_concept(concepts, k)

    def move(self, layer: Layer, states: Tensor, now: Pass) -> Tensor:
        where, moved = now.mask(self.positions).to(states.device), states.clone()
        moved[where] = self._change(states[where])
        return moved


# ---- what sliders add ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pull:
    """What a slider adds: `alpha` times a concept of a study, or a steering."""

    alpha: float
    source: Study | Steering
    concept: int
    name: str

    @property
    def intervention(self) -> Intervention:
        """To steer with."""
        if isinstance(self.source, Steering):
            return self.source.intervention(self.alpha)
        learned = self.source.learned
        return Add({learned.layer: concept_direction(learned, self.concept)}, self.alpha)

    def directions(self) -> dict[Layer, Tensor]:
        """Layer → what it adds there.

        Raises:
            UsageError: it is a learned function, or behind a guard: what it adds depends on the state.
        """
        if isinstance(self.source, Steering):
            if self.source.method.guarded:
                raise UsageError(f"{self.name} acts behind a guard, so it cannot be added up with others.")
            return {layer: self.alpha * v for layer, v in self.source.directions.items()}
        learned = self.source.learned
        return {learned.layer: self.alpha * concept_direction(learned, self.concept)}

    def medians(self) -> dict[Layer, float]:
        """Layer → the median norm of its states."""
        if isinstance(self.source, Steering):
            return self.source.medians
        layer = self.source.learned.layer
        return {layer: median_norm(self.source.activations, layer)}


def _pull(collection: Collection, found: Found, slider: Slider) -> Pull:
    if slider.steering:
        other = collection.get(slider.steering, "steering")
        made = collection.opened(other, "steering", lambda folder: open_steering(Path(folder)))
        return Pull(slider.alpha, made, 0, f"{slider.alpha:g} {other.entry.name}")
    study = _of_same_model(collection, found, ConceptOf(slider.study, slider.concept))
    title = study.grounding[slider.concept].name(study.activations.word.text)
    return Pull(slider.alpha, study, slider.concept, f"{slider.alpha:g} {study.folder.name}: {title}")
