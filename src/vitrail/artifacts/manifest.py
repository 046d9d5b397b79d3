"""The manifest of a folder: what made it, and the hash of every file of it.

    {"schema": 2, "kind": …, "versions": {…}, "parameters": {…}, "parents": {…}, "files": {…}, …, "digest": …}

`digest` is the hash of all the rest, so that a manifest that was edited is refused. Schema 1 (version 0.1.0) had no
digest, and hashes of some files only: such a folder is read, but no run goes on with it.
"""

from __future__ import annotations

import json
import logging
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from vitrail.artifacts.files import PARTIAL, PARTS, check_here, file_hash
from vitrail.artifacts.lock import LOCK, RANKS
from vitrail.artifacts.made import MADE, remember
from vitrail.artifacts.values import SEAL, UNEXPECTED, plain, read_sealed, typed, why, write_sealed
from vitrail.errors import ArtifactError
from vitrail.progress import Progress, announce

log = logging.getLogger(__name__)

SCHEMA = 2
MANIFEST = "manifest.json"

#: Kind of artifact → the command that makes it again.
AGAIN = {
    "activations": "vitrail extract",
    "checkpoint": "vitrail finetune",
    "concepts": "vitrail learn",
    "contest": "vitrail steer evaluate",
    "evaluation": "vitrail evaluate",
    "explanations": "vitrail study",
    "finetune": "vitrail finetune",
    "grounding": "vitrail ground",
    "lens": "vitrail lens fit",
    "reference": "vitrail monitor fit",
    "evidence": "vitrail monitor evidence",
    "maps": "vitrail study --maps",
    "methods": "vitrail evaluate --words",
    "moments": "vitrail extract --reduce",
    "shared": "vitrail share",
    "shift": "vitrail compare",
    "steering": "vitrail steer make",
    "steering search": "vitrail steer search",
    "study": "vitrail study",
    "sweep": "vitrail learn --sweep",
    "texts": "vitrail say",
}

#: Kind of artifact → what a run that was killed before it wrote a manifest may leave in its folder.
LEFT = {
    "concepts": {"concepts.safetensors"},
    "evaluation": {"evaluation.json"},
    "explanations": {"explanations.json"},
    "grounding": {"grounding.json"},
    "lens": {"lens.safetensors", "sums.safetensors"},
    "maps": {"maps.json", "maps.safetensors"},
    "moments": {"moments.safetensors"},
    "shared": {"shared.safetensors", "words"},
    "shift": {"shift.json", "shift.safetensors", "report.html", "b", "checkpoints"},
    "steering": {"steering.safetensors", "state.safetensors", "loss.json"},
}


@dataclass(frozen=True)
class Parent:
    """How a child names an artifact that it was made from.

    Args:
        folder: the parent's name.
        manifest_sha256: the hash of the parent's manifest.
        doctor: the doctor's certificate of the model behind it, if there is one.
    """

    folder: str
    manifest_sha256: str
    doctor: Certificate | None = None


@dataclass(frozen=True)
class Check:
    """What one check of the doctor found.

    Args:
        name: what should be true.
        passed: whether it is; None where there was nothing to compare.
        error: the largest relative error; None where no numbers were compared.
        says: the finding in words.
    """

    name: str
    passed: bool | None
    error: float | None
    says: str

    @property
    def mark(self) -> str:
        """A sign for `passed`."""
        return {True: "✓", False: "✗", None: "–"}[self.passed]


@dataclass(frozen=True)
class Certificate:
    """What a manifest keeps of the doctor's findings.

    Args:
        passed: whether no check failed.
        modules: which modules were taken for what, by name.
        checks: what was found, check by check.
    """

    passed: bool
    modules: dict[str, str]
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Sizes:
    """How many samples were looked at, and how many rows were kept, where an artifact counts them."""

    scanned: int
    kept: int


@dataclass(frozen=True)
class Manifest:
    """What every manifest has; each kind has more beside it, see `manifest_of`.

    Args:
        schema: the number of the form.
        kind: what the folder holds.
        versions: of Python and of what results depend on.
        parameters: what it was made with.
        parents: kind → what it was made from.
        files: path inside the folder → sha256.
        complete: whether the run that writes it has finished.
        doctor: the doctor's certificate of the model that was read.
        counts: what became of the samples.
    """

    schema: int
    kind: str
    versions: dict[str, str]
    parameters: dict[str, Any] = field(default_factory=dict)
    parents: dict[str, Parent] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    doctor: Certificate | None = None
    counts: Sizes | None = None


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    found = {"python": platform.python_version()}
    for name in ("vitrail", "torch", "transformers", "scikit-learn", "numpy", "peft"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


# ---- written and read ------------------------------------------------------------------------------------------------


def write_manifest(folder: Path, kind: str, content: Mapping[str, Any], files: Iterable[str] = ()) -> dict[str, Any]:
    """Writes `manifest.json` with the schema number, the kind, the versions and `content`; gives it back.

    Args:
        folder: of the artifact.
        kind: one of `AGAIN`.
        content: what else the manifest says.
        files: paths inside the folder; their hashes are added to the `files` of `content`.
    """
    hashes = {**content.get("files", {}), **{name: file_hash(folder / name) for name in files}}
    values = {"schema": SCHEMA, "kind": kind, "versions": versions(), "parameters": {}, "parents": {}, **content}
    values["files"] = hashes
    written = write_sealed(folder / MANIFEST, values)
    remember(folder)
    return written


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of an artifact of `kind`.

    Raises:
        ArtifactError: there is none, it is damaged, of another kind, or of a newer schema (both numbers are named).
        UsageError: `folder` is a URL.
    """
    check_here(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} holds no {kind}: there is no {MANIFEST} in it.")
    return any_manifest(path, kind)


def manifest_of(kind: str) -> Callable[[type], type]:
    """A decorator for a dataclass that says what the manifest of a finished artifact of `kind` has beside what every
    manifest has: a field for each name in it. `read_manifest` gives no manifest that lacks one of them."""

    def remember(form: type) -> type:
        _FORMS[kind] = form
        return form

    return remember


_FORMS: dict[str, type] = {}


def any_manifest(path: Path, expected: str | None = None) -> dict[str, Any]:
    """The manifest at `path`, of the kind that is expected, or of whatever kind.

    Raises:
        ArtifactError: it is damaged, of another kind, of a newer schema, or lacks what one of its kind must have.
    """
    kind = ""
    try:
        values = read_sealed(path)
        schema, kind = values.get("schema"), str(values.get("kind"))
        newer = isinstance(schema, int) and schema > SCHEMA
        head = None if newer else typed(values, Manifest)
        if head is not None:
            _check_head(head, values)
            if expected not in (None, kind):
                raise ArtifactError(f"{path.parent} holds {kind}, but {expected} was expected.")
            if head.complete and kind in _FORMS:
                typed(values, _FORMS[kind])
    except (OSError, *UNEXPECTED) as error:
        again = f"run `{AGAIN[kind]}` again" if kind in AGAIN else "make it again"
        raise ArtifactError(
            f"{path} is damaged, or of another version of Vitrail ({why(error)}). Restore it from a copy; or remove "
            f"{path.parent} and {again}."
        ) from error
    if newer:
        raise ArtifactError(
            f"{path} has schema {schema}; this version of Vitrail reads up to {SCHEMA}. Install a newer Vitrail."
        )
    for name in ("parameters", "parents", "files"):
        values.setdefault(name, {})
    return values


def _check_head(head: Manifest, values: Mapping[str, Any]) -> None:
    """Raises ValueError for what no type says of a manifest."""
    if strange := [name for name in head.files if not _inside(name)]:
        raise ValueError(f"{strange[0]!r} is no path inside the folder")
    if head.schema >= 2 and SEAL not in values:
        raise ValueError("it has no digest")


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def read_finished(folder: Path, kind: str, again: str) -> dict[str, Any]:
    """The manifest of a finished and whole artifact of `kind`; `again` is what to do if it is damaged.

    Raises:
        ArtifactError: the run did not finish, a file is not as it was written, or as in `read_manifest`.
    """
    manifest = read_manifest(folder, kind)
    if not manifest.get("complete", True):
        raise ArtifactError(f"The run that writes {folder} did not finish. Run it again: it goes on where it stopped.")
    check_files(folder, manifest, again)
    return manifest


# ---- files -----------------------------------------------------------------------------------------------------------


def damaged(folder: Path, manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(path, "missing" or "damaged") for every file of an artifact that is not as it was written."""
    for name, expected in manifest["files"].items():
        try:
            if file_hash(folder / name) != expected:
                yield name, "damaged"
        except FileNotFoundError:
            yield name, "missing"
        except OSError:
            yield name, "damaged"


def check_files(folder: Path, manifest: Mapping[str, Any], again: str) -> None:
    """Raises `ArtifactError` unless every file that the manifest names is as it was written; `again` is what to do."""
    for name, state in damaged(folder, manifest):
        why = "" if state == "missing" else ": its contents are not what was written"
        raise ArtifactError(f"{folder / name} is {state}{why}. Remove {folder} and {again} again.")


# ---- parents ---------------------------------------------------------------------------------------------------------


def parent(folder: Path) -> dict[str, Any]:
    """How a child names the artifact that it was made from; see `Parent`."""
    named = {"folder": folder.name, "manifest_sha256": file_hash(folder / MANIFEST)}
    certificate = _certificate(any_manifest(folder / MANIFEST))
    return named if certificate is None else {**named, "doctor": certificate}


def _certificate(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The doctor's certificate in a manifest, or in what it says of its parents."""
    behind = [manifest, *manifest["parents"].values()]
    return next((m["doctor"] for m in behind if m.get("doctor")), None)


def check_parent(child: Path, manifest: Mapping[str, Any], folder: Path, kind: str) -> None:
    """Raises `ArtifactError` unless the artifact at `child` was made from the one at `folder`."""
    named = manifest["parents"].get(kind)
    if named is None:
        raise ArtifactError(f"{child / MANIFEST} does not say from which {kind} {child} was made. Make it again.")
    if file_hash(folder / MANIFEST) != named["manifest_sha256"]:
        raise ArtifactError(
            f"{child} was not made from {folder}: the {kind} there have changed since, or belong to another run. "
            f"Make {child.name} again from them."
        )


# ---- the same run again ----------------------------------------------------------------------------------------------


def folder_for(out: str | Path | None, kind: str, name: str, progress: Progress | bool = False) -> Path:
    """The folder `out`, or for None `vitrail-KIND/NAME` in the current folder, which is announced.

    >>> folder_for(None, "studies", "hot dog").as_posix()
    'vitrail-studies/hot-dog'
    """
    if out is not None:
        return Path(out)
    folder = Path(f"vitrail-{kind}") / (re.sub(r"[^\w.]+", "-", name).strip("-.") or "other")
    announce(f"Writing to {folder}", progress)
    return folder


def check_place(folder: Path, kind: str) -> None:
    """Raises `ArtifactError` unless `folder` may hold an artifact of `kind`: it holds one, or nothing of others.

    For a command before its work. Whether the artifact there is of the same run is seen later.
    """
    if (folder / MANIFEST).exists():
        read_manifest(folder, kind)
    else:
        check_free(folder, kind)


def check_free(folder: Path, kind: str) -> None:
    """Raises `ArtifactError` if `folder` holds anything but what a run which was killed left: partial files, and those
    in `LEFT`. An artifact that is there already is not written over, of whatever kind it is."""
    if not folder.exists():
        return
    own = LEFT.get(kind, ())
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is a file; {kind} need a folder.")
    if (folder / MANIFEST).exists():
        there = any_manifest(folder / MANIFEST)["kind"]
        raise ArtifactError(f"{folder} holds an artifact already: {there}. Name another folder, or remove this one.")
    if any(p.name not in own and not is_trace(p.name) for p in folder.iterdir()):
        raise ArtifactError(f"{folder} is not empty and holds no {kind}. Name another folder, or empty it.")


def is_trace(name: str) -> bool:
    """Whether a file of that name is a trace of our writing: what was not finished, a lock, or who wrote."""
    return name.endswith(PARTIAL) or name in (LOCK, RANKS, PARTS, MADE, ".damaged")


def is_current(folder: Path, kind: str, parameters: Mapping[str, Any], parents: Mapping[str, Any]) -> bool:
    """Whether `folder` holds a finished and whole artifact of `kind`, made with `parameters` from these very `parents`.

    Files without a manifest are what a run that was killed left (`LEFT`). One with a damaged file is not current, so
    that the same run makes it again.

    Raises:
        ArtifactError: it holds one made with other parameters, or something else altogether.
    """
    if not (folder / MANIFEST).exists():
        check_free(folder, kind)
        return False
    manifest = read_manifest(folder, kind)
    same_run(folder, manifest, parameters)
    for name, state in damaged(folder, manifest):
        log.warning("%s is %s; it is made again", folder / name, state)
        return False
    return manifest["parents"] == parents


def same_run(folder: Path, manifest: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Raises `ArtifactError` unless the artifact in `folder` was made with `parameters`; says what differs."""
    if manifest["schema"] < SCHEMA:
        raise ArtifactError(
            f"{folder} was made by an earlier Vitrail, whose manifests (schema {manifest['schema']}) say less of what "
            "decides a result. It can be read, but no run goes on with it. Name another folder; or remove this one and "
            f"run `{AGAIN.get(manifest['kind'], 'the command')}` again."
        )
    if differing := differences(manifest["parameters"], plain(parameters)):
        raise ArtifactError(
            f"{folder} belongs to another run: {'; '.join(differing)}. Name another folder, or remove this one."
        )


def differences(there: Any, here: Any, name: str = "") -> list[str]:
    """How two JSON values differ, one phrase for each place: "word.text is "dog" there and "cat" here".

    >>> differences({"a": 1, "b": {"c": [2]}}, {"a": 1, "b": {"c": [3]}})
    ['b.c is [2] there and [3] here']
    """
    if isinstance(there, dict) and isinstance(here, dict):
        keys = sorted({*there, *here})
        return [d for k in keys for d in differences(there.get(k), here.get(k), f"{name}.{k}" if name else k)]
    return [] if there == here else [f"{name} is {_short(there)} there and {_short(here)} here"]


def _short(value: Any, limit: int = 120) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
