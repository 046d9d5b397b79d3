"""What lies below a folder: studies, comparisons, steerings and watches, each by an id that only this viewer gives.

An id is made of the path inside the folder, so that an address still leads there after a restart. Nothing that a client
sends is ever taken for a path: an id is looked up among those that were found.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from vitrail.activations.options import word_from_manifest
from vitrail.artifacts import MANIFEST, file_hash, read_json
from vitrail.artifacts.checking import ASIDE
from vitrail.artifacts.manifest import any_manifest
from vitrail.comparison.artifact import KIND as COMPARISON
from vitrail.errors import ArtifactError, UsageError, VitrailError
from vitrail.grounding.artifact import FILE as GROUNDING_FILE
from vitrail.grounding.artifact import KIND as GROUNDING
from vitrail.grounding.artifact import GroundedConcept
from vitrail.lmm import ModelDescription
from vitrail.monitoring.watch import STATE as WATCH_FILE
from vitrail.monitoring.watch import Status, read_status
from vitrail.steering.artifact import KIND as STEERING
from vitrail.studies.notes import read_notes
from vitrail.trials import ContenderResult, open_contest
from vitrail.trials.contest import FILE as CONTEST_FILE
from vitrail.words import Word

T = TypeVar("T")
Kind = Literal["study", "comparison", "steering", "watch"]
#: So many opened artifacts are kept in memory.
OPENED = 6


@dataclass(frozen=True)
class Entry:
    """One thing that the viewer can show.

    Args:
        id: in addresses.
        kind: what it is.
        name: its path inside the folder that is served, for people.
        word: the word of interest; empty where there is none.
        model: name of the model.
        layer: of the concepts, or the layers that a steering changes.
        samples: how many samples it was made of; None where that is not counted.
        titles: of its concepts, or the words that describe it.
        scores: name → score.
        problem: why it cannot be shown; empty where it can.
    """

    id: str
    kind: Kind
    name: str
    word: str = ""
    model: str = ""
    layer: str = ""
    samples: int | None = None
    titles: tuple[str, ...] = ()
    scores: dict[str, float | None] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Found:
    """An entry, and what the viewer itself must know of it: its folder, its word, and the model behind it."""

    entry: Entry
    folder: Path
    word: Word | None = None
    model: ModelDescription | None = None
    layer: int | str | None = None
    read_at: str = "word"
    manifest: Mapping[str, Any] = field(default_factory=dict)


class Collection:
    """All that can be shown below `root`. Folders are looked through anew whenever they are listed; what has not
    changed is not read again."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()
        self._read: dict[Path, tuple[tuple[int, ...], Found]] = {}
        self._opened: OrderedDict[tuple[str, str], tuple[tuple[int, ...], Any]] = OrderedDict()
        self._lock = threading.RLock()

    def list(self) -> list[Found]:
        """All that was found, by path."""
        with self._lock:
            found = {folder: self._found(folder, kind) for folder, kind in self._places()}
            return [found[folder] for folder in sorted(found)]

    def get(self, name: str, kind: Kind) -> Found:
        """The one with this id.

        Raises:
            UsageError: there is none of this kind.
        """
        found = next((f for f in self.list() if f.entry.id == name and f.entry.kind == kind), None)
        if found is None:
            raise UsageError(f"There is no {kind} {name[:60]!r} here.")
        return found

    def opened(self, found: Found, what: str, make: Callable[[Path], T]) -> T:
        """`make(folder)`, kept until the artifact changes, or others need the room.

        Args:
            what: tells apart what is made of one folder.
        """
        with self._lock:
            key, stamp = (found.entry.id, what), _stamp(found.folder)
            if key in self._opened and self._opened[key][0] == stamp:
                self._opened.move_to_end(key)
                return self._opened[key][1]
            made = make(found.folder)
            self._opened[key] = (stamp, made)
            self._opened.move_to_end(key)
            while len(self._opened) > OPENED:
                self._opened.popitem(last=False)
            return made

    def contests(self) -> Sequence[tuple[str, Sequence[ContenderResult]]]:
        """What `vitrail steer evaluate` found below `root`: the name of each folder, and its results. Those that cannot
        be read are left out."""
        found = []
        for path in sorted(self.root.rglob(CONTEST_FILE)):
            with suppress(ArtifactError):
                found.append((path.parent.relative_to(self.root).as_posix(), open_contest(path.parent)))
        return found

    def _places(self) -> Iterator[tuple[Path, Kind]]:
        """Every folder with something to show, and what that is."""
        for path in self.root.rglob(MANIFEST):
            folder = path.parent
            if ASIDE in path.parts or not path.is_file():
                continue
            if folder.name == GROUNDING and all((folder.parent / n / MANIFEST).is_file() for n in _STAGES):
                yield folder.parent, "study"
            elif folder.name not in (*_STAGES, GROUNDING):
                kind = _kind_of(path)
                if kind is not None:
                    yield folder, kind
        for path in self.root.rglob(WATCH_FILE):
            if path.is_file() and ASIDE not in path.parts:
                yield path.parent, "watch"

    def _found(self, folder: Path, kind: Kind) -> Found:
        stamp = _stamp(folder)
        if folder in self._read and self._read[folder][0] == stamp:
            return self._read[folder][1]
        name = folder.relative_to(self.root).as_posix()
        entry = Entry(_id_of(name), kind, name if name != "." else self.root.name)
        try:
            found = _READERS[kind](entry, folder)
        except (VitrailError, OSError, ValueError, KeyError, TypeError) as error:
            found = Found(Entry(entry.id, kind, entry.name, problem=str(error) or type(error).__name__), folder)
        self._read[folder] = (stamp, found)
        return found


_STAGES = ("activations", "concepts")


def _id_of(name: str) -> str:
    """An id of a path inside the folder that is served: readable, and different for every path.

    >>> _id_of("animals/Hot Dog")
    'hot-dog-0ff933'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.rpartition("/")[2].lower()).strip("-")[:40]
    return f"{slug or 'study'}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:6]}"


def _stamp(folder: Path) -> tuple[int, ...]:
    """When the files that decide what is shown were last written; equal stamps, equal content."""
    names = ("activations", "concepts", "grounding", "evaluation", "explanations", "maps")
    files = [folder / MANIFEST, *(folder / n / MANIFEST for n in names)]
    files += [folder / n for n in ("notes.json", "factors.json", WATCH_FILE, "acknowledged.json")]
    return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in files)


def _kind_of(path: Path) -> Kind | None:
    """What the viewer shows of the artifact with the manifest at `path`; a damaged one is shown as what it says."""
    try:
        kind = any_manifest(path)["kind"]
    except ArtifactError:
        return None
    return {COMPARISON: "comparison", STEERING: "steering"}.get(kind)  # type: ignore[return-value]


def _study(entry: Entry, folder: Path) -> Found:
    activations, concepts = (any_manifest(folder / name / MANIFEST) for name in _STAGES)
    asked = activations["parameters"]
    word = word_from_manifest(asked["word"])
    grounded = read_json(folder / GROUNDING / GROUNDING_FILE, tuple[GroundedConcept, ...], "ground")
    given = read_notes(folder, file_hash(folder / GROUNDING / MANIFEST)).concepts
    titles = [(given[c.index].name if c.index in given else "") or c.name(word.text) for c in grounded]
    stability = concepts.get("stability") or {}
    means = {f"stability over {kind}": sum(v) / len(v) for kind, v in stability.items() if v}
    model = ModelDescription.from_dict(asked["model"])
    layer = concepts["parameters"]["layer"]
    return Found(
        Entry(
            **_told(entry),
            word=word.text,
            model=model.title,
            layer=str(layer),
            samples=activations["counts"]["kept"],
            titles=tuple(titles),
            scores={"explained variance": concepts["scores"].get("explained_variance"), **means},
        ),
        folder,
        word,
        model,
        layer,
        asked.get("read_at", "word"),
    )


def _comparison(entry: Entry, folder: Path) -> Found:
    from vitrail.comparison import open_comparison

    found = open_comparison(folder)
    changes = [c.change for c in found.concepts] + ["emerged"] * len(found.emerged)
    counts = {name: changes.count(name) for name in dict.fromkeys(changes)}
    names = [side.model.title for side in (found.a, found.b)]
    told = Entry(
        **_told(entry),
        word=found.word.text,
        model=" → ".join(names),
        layer=str(found.layer),
        samples=found.samples.common,
        titles=tuple(f"{n} {name}" for name, n in counts.items()),
    )
    return Found(told, folder, found.word, found.a.model, found.layer, manifest=found.manifest)


def _steering(entry: Entry, folder: Path) -> Found:
    manifest = any_manifest(folder / MANIFEST)
    asked = manifest["parameters"]
    model = ModelDescription.from_dict(asked["model"]) if asked.get("model") else None
    task = asked.get("task")
    told = Entry(
        **_told(entry),
        model="" if model is None else model.title,
        layer=", ".join(map(str, asked["layers"])),
        titles=tuple(filter(None, (asked["method"], task if isinstance(task, str) else ""))),
    )
    return Found(told, folder, None, model, manifest=manifest)


def _watch(entry: Entry, folder: Path) -> Found:
    status: Status = read_status(folder)
    standing = len(status.standing)
    told = Entry(
        **_told(entry),
        word=status.word,
        layer=str(status.layer),
        samples=status.observations,
        titles=(f"{standing} alarm{'' if standing == 1 else 's'} standing", f"{status.windows} windows"),
    )
    return Found(told, folder)


_READERS: dict[Kind, Callable[[Entry, Path], Found]] = {
    "study": _study,
    "comparison": _comparison,
    "steering": _steering,
    "watch": _watch,
}


def _told(entry: Entry) -> dict[str, Any]:
    return {"id": entry.id, "kind": entry.kind, "name": entry.name}
