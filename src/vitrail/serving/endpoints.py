"""All endpoints. What each takes and gives is in its signature; see `routes`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from vitrail.artifacts import MANIFEST, file_hash
from vitrail.comparison import open_comparison
from vitrail.errors import DataError, UsageError
from vitrail.monitoring import read_status, read_windows
from vitrail.reports.comparison import comparison_view
from vitrail.reports.content import scale_of_concept
from vitrail.reports.maps import overlay_png
from vitrail.reports.monitoring import watch_view
from vitrail.reports.page import Parts, parts_of, study_view
from vitrail.runs.report import evaluated
from vitrail.serving import asking, studies
from vitrail.serving.collection import Collection, Entry, Found
from vitrail.serving.jobs import Job, Jobs
from vitrail.serving.options import ServeOptions
from vitrail.serving.pictures import Pictures
from vitrail.serving.routes import Binary, endpoint
from vitrail.serving.speaking import Speaker
from vitrail.steering import open_steering
from vitrail.studies import ConceptNote, Study, open_study, write_notes

Limit = Annotated[int, Meta(ge=1, le=200)]
Offset = Annotated[int, Meta(ge=0)]
#: Matplotlib draws with settings that all threads share.
_DRAWING = threading.Lock()


@dataclass(frozen=True)
class LibraryView:
    """What there is to see, and what may be done.

    Args:
        folder: the name of the folder that is served.
        edit: whether names, notes, sets and steerings may be written.
        entries: all that was found.
    """

    folder: str
    edit: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class PageView:
    """A page of a report, in parts of HTML.

    Args:
        python: the calls that give the same in Python.
    """

    entry: Entry
    page: Parts
    python: str


@dataclass(frozen=True)
class MeasuredView:
    """What a steering did at one strength, as `vitrail steer evaluate` measured it.

    Args:
        folder: the evaluation, inside the folder that is served.
        alpha: the strength.
        effect: share of the texts that are as wanted; `plain` is that without steering, `p` of their difference.
        cost: what the rest lost, 0 to 1.
        loss: what the texts lost, in words.
        broken: whether the texts are broken.
    """

    folder: str
    alpha: float
    effect: float
    plain: float
    p: float
    cost: float
    loss: str
    broken: bool


@dataclass(frozen=True)
class SteeringView:
    """A steering.

    Args:
        method: that made it, in a few words.
        norms: layer → the norm of what strength 1 adds, in median norms of its states; none of learned functions.
        made_with: its other parameters.
        measured: what it did, where that was measured in the folder that is served.
        python: the calls that open it.
    """

    entry: Entry
    method: str
    layers: tuple[str, ...]
    norms: dict[str, float]
    made_with: dict[str, str]
    measured: tuple[MeasuredView, ...]
    python: str


@dataclass(frozen=True)
class SampleQuery:
    """Which samples: with all words of `text`, or of a `set`; those that have `concept` most come first."""

    text: str = ""
    set: str = ""
    concept: int | None = None
    offset: Offset = 0
    limit: Limit = 60


@dataclass(frozen=True)
class PairQuery:
    """Two concepts."""

    a: int
    b: int


@dataclass(frozen=True)
class MapQuery:
    """How samples are placed on the map, and the study whose samples are placed there, too (its id; empty for none)."""

    layout: studies.Layout = "pca"
    other: str = ""


@dataclass(frozen=True)
class NoteBody:
    """A name and a note for a concept; empty ones take them away."""

    name: str = ""
    text: str = ""


@dataclass(frozen=True)
class SetBody:
    """A set of samples by their rows; none takes the set away."""

    name: str
    rows: Annotated[list[int], Meta(max_length=1_000_000)]


@dataclass(frozen=True)
class RowsBody:
    """Samples by their rows."""

    rows: Annotated[list[int], Meta(max_length=1_000_000)]


@dataclass(frozen=True)
class Done:
    """It was written."""

    says: str


@dataclass(frozen=True)
class ImageView:
    """An image that was given: its id, and its size in pixels."""

    image: str
    width: int
    height: int


@dataclass(frozen=True)
class JobView:
    """A request to the model. Its events are at `/api/jobs/{job}/events`.

    Args:
        position: how many are before it.
    """

    job: str
    state: str
    position: int


@dataclass(frozen=True)
class ModelView:
    """The model in memory: its name (empty for none), whether it works, and how many requests wait for it."""

    name: str
    busy: bool
    waiting: int


@dataclass
class Viewer:
    """A folder of studies, the one model in memory, and the images that people gave."""

    collection: Collection
    speaker: Speaker
    options: ServeOptions
    jobs: Jobs = field(init=False)
    pictures: Pictures = field(init=False)

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.options.queue)
        self.pictures = Pictures(self.options.upload_mb * 1_000_000)

    @classmethod
    def of(cls, root: str | Path, options: ServeOptions, *, speaker: Speaker | None = None) -> Viewer:
        """A viewer of the folder `root`."""
        return cls(Collection(root), speaker or Speaker(), options)

    # ---- what there is -----------------------------------------------------------------------------------------------

    @endpoint("GET", "/api/library")
    def entries(self) -> LibraryView:
        """All studies, comparisons, steerings and watches."""
        found = tuple(f.entry for f in self.collection.list())
        return LibraryView(self.collection.root.name, self.options.edit, found)

    @endpoint("GET", "/api/studies/{study}/page")
    def study_page(self, study: str) -> PageView:
        """A study as its report shows it."""
        found, opened = self._study(study)
        return PageView(
            found.entry, self.collection.opened(found, "page", lambda _: self._drawn(opened)), _python(found)
        )

    @endpoint("GET", "/api/comparisons/{comparison}/page")
    def comparison_page(self, comparison: str) -> PageView:
        """A comparison as its report shows it; both studies must be below the folder, too."""
        found = self.collection.get(comparison, "comparison")
        a, b = (self.collection.opened(side, "study", open_study) for side in self._sides(comparison))

        def drawn(folder: Path) -> Parts:
            with _DRAWING:
                return parts_of("comparison.html.j2", comparison_view(open_comparison(folder), a, b))

        python = f"import vitrail\n\nfound = vitrail.open_comparison({found.entry.name!r})\nfound.concepts[0].change\n"
        return PageView(found.entry, self.collection.opened(found, "page", drawn), python)

    @endpoint("GET", "/api/watches/{watch}/page")
    def watch_page(self, watch: str) -> PageView:
        """A watch as its report shows it, as it is now."""
        found = self.collection.get(watch, "watch")
        with _DRAWING:
            view = watch_view(read_status(found.folder), read_windows(found.folder))
            drawn = parts_of("monitoring.html.j2", view)
        name = found.entry.name
        python = f"from vitrail.monitoring import read_status\n\nstatus = read_status({name!r})\nstatus.standing\n"
        return PageView(found.entry, drawn, python)

    @endpoint("GET", "/api/steerings/{steering}")
    def steering(self, steering: str) -> SteeringView:
        """A steering: what it was made by, and how long its vectors are."""
        found = self.collection.get(steering, "steering")
        made = self.collection.opened(found, "steering", open_steering)
        shown = {k: v for k, v in made.parameters.items() if k != "model" and isinstance(v, str | int | float)}
        norms = {str(k): v for k, v in made.norms.items()} if made.method.is_vector else {}
        name = found.entry.name
        python = f"from vitrail.steering import open_steering\n\nsteering = open_steering({name!r})\nsteering.norms\n"
        told = {k: str(v) for k, v in shown.items()}
        layers, measured = tuple(map(str, made.layers)), tuple(_measured(self.collection, made.digest))
        return SteeringView(found.entry, made.method.title, layers, norms, told, measured, python)

    def _drawn(self, study: Study) -> Parts:
        with _DRAWING:
            return parts_of("page.html.j2", study_view(study, evaluated(study)))

    # ---- studies -----------------------------------------------------------------------------------------------------

    @endpoint("GET", "/api/studies/{study}/concepts/{concept}")
    def concept(self, study: str, concept: int) -> studies.ConceptView:
        """A concept with examples, from the strongest to samples that do not have it."""
        return studies.concept_view(self._study(study)[1], concept)

    @endpoint("GET", "/api/studies/{study}/pair")
    def pair(self, study: str, query: PairQuery) -> studies.Sides:
        """Two concepts side by side."""
        return studies.sides(self._study(study)[1], query.a, query.b)

    @endpoint("POST", "/api/studies/{study}/concepts/{concept}/note", edits=True)
    def write_note(self, study: str, concept: int, body: NoteBody) -> Done:
        """Names a concept, or writes a note to it. It lies in `notes.json` beside the study."""
        _, opened = self._study(study)
        studies.check_concept(opened, concept)
        write_notes(opened.notes.with_concept(concept, ConceptNote(body.name, body.text)), out=opened.folder)
        return Done("Kept in notes.json beside the study.")

    @endpoint("GET", "/api/studies/{study}/concepts.csv")
    def concepts_table(self, study: str) -> Binary:
        """All concepts as CSV."""
        return Binary(studies.concepts_csv(self._study(study)[1]), "text/csv; charset=utf-8", f"{study}-concepts.csv")

    @endpoint("GET", "/api/studies/{study}/samples.csv")
    def samples_table(self, study: str) -> Binary:
        """All samples with the strength of each concept as CSV."""
        return Binary(studies.samples_csv(self._study(study)[1]), "text/csv; charset=utf-8", f"{study}-samples.csv")

    @endpoint("GET", "/api/studies/{study}/samples")
    def samples(self, study: str, query: SampleQuery) -> studies.SampleList:
        """Some samples of a study."""
        _, opened = self._study(study)
        rows = studies.matching(opened, query.text)
        if query.set:
            chosen = set(opened.notes.sets.get(query.set, ()))
            rows = [i for i in rows if opened.activations.rows[i].sample_id in chosen]
        return studies.sample_list(opened, rows, query.concept, query.offset, query.limit)

    @endpoint("GET", "/api/studies/{study}/samples/{row}")
    def sample(self, study: str, row: int) -> studies.SampleView:
        """One sample."""
        _, opened = self._study(study)
        _check_row(opened, row)
        return studies.sample_view(opened, row)

    @endpoint("GET", "/api/studies/{study}/thumbs/{row}")
    def thumbnail(self, study: str, row: int) -> Binary:
        """The picture of a sample, as the study keeps it: JPEG, 160 pixels at most."""
        _, opened = self._study(study)
        _check_row(opened, row)
        data = opened.activations.rows[row].thumbnail
        if not data:
            raise UsageError("There is no picture of this sample.")
        return Binary(data, "image/jpeg", lasting=True)

    @endpoint("GET", "/api/studies/{study}/maps/{concept}/{row}")
    def kept_map(self, study: str, concept: int, row: int) -> Binary:
        """The map of a sample that the study keeps (`vitrail study --maps`), as a PNG to lay over its picture."""
        _, opened = self._study(study)
        _check_row(opened, row)
        maps = opened.sample_maps
        shares = None if maps is None else maps.shares.get((concept, opened.activations.rows[row].sample_id))
        if shares is None:
            raise UsageError(f"The study keeps no map of sample {row} and concept {concept}.")
        return Binary(overlay_png(shares, scale_of_concept(opened, concept)), "image/png")

    @endpoint("GET", "/api/studies/{study}/map")
    def map(self, study: str, query: MapQuery) -> studies.MapView:
        """What the map of the samples can show."""
        _, opened = self._study(study)
        return studies.map_view(opened, self._placed(study, query))

    @endpoint("GET", "/api/studies/{study}/map/xy")
    def map_places(self, study: str, query: MapQuery) -> Binary:
        """The places of the samples on their map, and of those of the other study: float32, x and y of each,
        little-endian."""
        return Binary(self._placed(study, query).xy.astype("<f4").tobytes())

    @endpoint("GET", "/api/studies/{study}/map/concepts/{concept}")
    def map_strengths(self, study: str, concept: int) -> Binary:
        """The strengths of a concept: float32, one a sample of the map, little-endian."""
        return Binary(studies.strengths_column(self._study(study)[1], concept))

    @endpoint("GET", "/api/studies/{study}/map/factors/{factor}")
    def map_factor(self, study: str, factor: str) -> Binary:
        """The codes of a factor's values: uint16, one a sample of the map, little-endian; 65535 where none is known."""
        return Binary(studies.factor_column(self._study(study)[1], factor))

    @endpoint("POST", "/api/studies/{study}/common")
    def common(self, study: str, body: RowsBody) -> studies.Common:
        """What some samples have in common that the others do not."""
        return studies.common(self._study(study)[1], body.rows)

    @endpoint("POST", "/api/studies/{study}/sets", edits=True)
    def write_set(self, study: str, body: SetBody) -> Done:
        """Keeps a set of samples under a name."""
        _, opened = self._study(study)
        for row in body.rows:
            _check_row(opened, row)
        ids = tuple(dict.fromkeys(opened.activations.rows[i].sample_id for i in body.rows))
        write_notes(opened.notes.with_set(body.name, ids), out=opened.folder)
        return Done("Kept in notes.json beside the study.")

    @endpoint("POST", "/api/studies/{study}/ids.txt")
    def ids(self, study: str, body: RowsBody) -> Binary:
        """The ids of samples, one a line, as `--ids` of `vitrail study` and others takes them."""
        _, opened = self._study(study)
        for row in body.rows:
            _check_row(opened, row)
        names = [opened.activations.rows[i].sample_id for i in body.rows]
        if strange := next((name for name in names if "\n" in name or "\r" in name), None):
            raise DataError(f"The id {strange!r} has a line break in it, so it cannot stand in a list.")
        return Binary("".join(f"{name}\n" for name in names).encode("utf-8", "replace"), "text/plain", "ids.txt")

    # ---- the model ---------------------------------------------------------------------------------------------------

    @endpoint("GET", "/api/model")
    def model(self) -> ModelView:
        """The model in memory, and its queue."""
        return ModelView(self.speaker.name, self.jobs.busy, self.jobs.n_waiting)

    @endpoint("POST", "/api/images")
    def give_image(self, data: bytes) -> ImageView:
        """Takes an image file; it is kept in memory, and forgotten when others need the room."""
        name, image = self.pictures.add(data)
        return ImageView(name, image.width, image.height)

    @endpoint("POST", "/api/ask")
    def ask(self, body: asking.AskBody) -> JobView:
        """Asks a model about an image, and again with concepts taken out where some are named.

        Events: "loading"; "token" with the text so far; "said" with what is behind the words; each with its `side`,
        "before" or "after"; "differences"; "state".
        """
        return self._queued("ask", asking.ask(self._asked, body))

    @endpoint("POST", "/api/steer")
    def steer(self, body: asking.SteerBody) -> JobView:
        """Asks a model as it is, and while concepts or steerings are added to its states. Events as of `ask`."""
        return self._queued("steer", asking.steer(self._asked, body))

    @endpoint("POST", "/api/steerings", edits=True)
    def save_steering(self, body: asking.SaveBody) -> JobView:
        """Writes what the sliders add together as a steering in `steerings/NAME`. Event: "saved"."""
        return self._queued("save", asking.save(self._asked, body))

    @endpoint("POST", "/api/both")
    def ask_both(self, body: asking.BothBody) -> JobView:
        """Asks both models of a comparison about an image. Events as of `ask`."""
        return self._queued("both", asking.both(self._asked, body, self._sides(body.comparison)))

    @endpoint("POST", "/api/maps")
    def maps(self, body: asking.MapsBody) -> JobView:
        """Where in an image the strongest concepts of a study come from, and the word. Events: "loading"; "maps", whose
        maps are as `MapShown` says; "state"."""
        return self._queued("maps", asking.maps(self._asked, body))

    @endpoint("GET", "/api/jobs/{job}")
    def job(self, job: str) -> JobView:
        """How far a request is."""
        found = self.known(job)
        return JobView(found.id, found.state, self.jobs.position(found))

    @endpoint("DELETE", "/api/jobs/{job}")
    def cancel(self, job: str) -> JobView:
        """Ends a request."""
        found = self.known(job)
        found.cancel()
        return JobView(found.id, found.state, 0)

    def known(self, job: str) -> Job:
        """The job of that id.

        Raises:
            UsageError: there is none (any more).
        """
        if (found := self.jobs.get(job)) is None:
            raise UsageError("There is no such request here (any more).")
        return found

    def _queued(self, kind: str, work: Any) -> JobView:
        job = self.jobs.add(kind, work)
        return JobView(job.id, job.state, self.jobs.position(job))

    @property
    def _asked(self) -> asking.Asked:
        return asking.Asked(self.collection, self.speaker, self.pictures)

    def _sides(self, comparison: str) -> list[Found]:
        """The studies before and after of a comparison.

        Raises:
            UsageError: one of them is not below the folder that is served.
        """
        found = self.collection.get(comparison, "comparison")
        by_hash = {
            file_hash(f.folder / "concepts" / MANIFEST): f
            for f in self.collection.list()
            if f.entry.kind == "study" and not f.entry.problem
        }
        sides = []
        for side in ("a", "b"):
            wanted = found.manifest["parents"][side]
            if wanted["manifest_sha256"] not in by_hash:
                which = "before" if side == "a" else "after"
                raise UsageError(
                    f"There is no study here that {found.entry.name} was made from, the one {which} the fine-tune. "
                    "Serve a folder that holds both."
                )
            sides.append(by_hash[wanted["manifest_sha256"]])
        return sides

    def _study(self, name: str) -> tuple[Found, Study]:
        found = self.collection.get(name, "study")
        return found, self.collection.opened(found, "study", open_study)

    def _placed(self, name: str, query: MapQuery) -> studies.Placed:
        found, opened = self._study(name)
        other = self._study(query.other)[1] if query.other else None
        beside = "" if other is None else file_hash(other.learned.folder / MANIFEST)
        what = f"map {query.layout} {beside}"
        return self.collection.opened(found, what, lambda _: studies.placed(opened, query.layout, other))


def _measured(collection: Collection, steering: str) -> Iterator[MeasuredView]:
    """What the steering with this digest did in every evaluation that it was part of."""
    for folder, results in collection.contests():
        plain = next((one.outcome.effect.mean for one in results if one.name == "none"), float("nan"))
        for one in results:
            if one.steering == steering and one.alpha is not None:
                o = one.outcome
                loss, broken = str(o.loss), bool(o.loss.broken)
                yield MeasuredView(folder, one.alpha, o.effect.mean, plain, o.p, o.cost, loss, broken)


def _check_row(study: Study, row: int) -> None:
    if not 0 <= row < len(study.activations.rows):
        raise UsageError(f"There is no sample {row}.")


def _python(found: Found) -> str:
    """The calls that open a study."""
    return (
        f"import vitrail\n\nstudy = vitrail.open_study({found.entry.name!r})\n"
        "study.concepts[0].words\nstudy.to_pandas()\n"
    )
