"""Checks any folder of ours: what in it is whole, damaged, missing, or somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vitrail.artifacts.files import PARTIAL, PARTS, elsewhere, file_hash
from vitrail.artifacts.lines import read_lines
from vitrail.artifacts.lock import LOCK, RANKS
from vitrail.artifacts.manifest import AGAIN, MANIFEST, SCHEMA, any_manifest, damaged
from vitrail.artifacts.ours import LOOSE, covering, state_of
from vitrail.artifacts.values import read_sealed
from vitrail.errors import ArtifactError

#: "older" has no hash to compare with; "unfinished" is of a run that goes on when its command is run again.
Condition = Literal["whole", "damaged", "missing", "foreign", "older", "unfinished"]
#: Where the damaged files of an artifact go.
ASIDE = ".damaged"


@dataclass(frozen=True)
class Checked:
    """A file, or an artifact as a whole, and its condition.

    Args:
        path: inside the folder that was checked.
        kind: of the artifact that it belongs to; "file" for one that stands alone.
        condition: how it is.
        says: what is wrong, and the command that makes it again.
    """

    path: str
    kind: str
    condition: Condition
    says: str = ""


def verify(folder: Path) -> list[Checked]:
    """The condition of every artifact in `folder`, and of every file in it that is not whole.

    Raises:
        ArtifactError: there is no such folder.
    """
    if not folder.is_dir():
        raise ArtifactError(f"There is no folder {folder}.")
    if (mirror := elsewhere(folder)) is not None:
        mirror.fetch_all(folder)
    manifests = sorted(p for p in folder.rglob(MANIFEST) if ASIDE not in p.parts)
    known: set[Path] = set()
    found: list[Checked] = []
    for path in manifests:
        found += _artifact(folder, path, known)
    for path in sorted(p for p in folder.rglob("*") if not p.is_dir() and p not in known):
        if ASIDE not in path.parts and path.name != LOCK and path.parent.name != RANKS:
            found += _alone(folder, path)
    return found


def _artifact(folder: Path, path: Path, known: set[Path]) -> Iterator[Checked]:
    """The condition of the artifact whose manifest is at `path`; its files are added to `known`."""
    home = path.parent
    name = str(home.relative_to(folder))
    known.add(path)
    try:
        manifest = any_manifest(path)
    except ArtifactError as error:
        known |= {p for p in home.iterdir() if p.is_file()}  # whose they are is not known
        yield Checked(str(path.relative_to(folder)), "manifest", "damaged", str(error))
        return
    kind, again = manifest["kind"], f"Made again by `{AGAIN.get(manifest['kind'], 'its command')}`."
    known |= {home / file for file in manifest["files"]}
    if manifest["schema"] < SCHEMA:
        known |= {p for p in home.iterdir() if p.is_file()}
    if not manifest.get("complete", True):
        yield from _shards(folder, home, known)
        yield Checked(name, kind, "unfinished", f"{AGAIN.get(kind, 'Its command')} goes on with it.")
        return
    wrong = list(damaged(home, manifest))
    for file, state in wrong:
        yield Checked(str((home / file).relative_to(folder)), kind, state, again)  # type: ignore[arg-type]
    if not wrong:
        lost = [p for p in manifest["parents"].values() if not _has_parent(home, p, manifest.get("store"))]
        older = manifest["schema"] < SCHEMA
        says = "Of an earlier version: not every file of it has a hash." if older else ""
        says = says or "".join(f"Its {p['folder']} is not the one beside it. " for p in lost)
        yield Checked(name, kind, "older" if older else "whole", says.strip())


def _has_parent(home: Path, parent: dict[str, Any], store: str | None) -> bool:
    """Whether the parent is what it was, where one of its name lies beside the artifact, or where it says: `store`."""
    path = (home.parent / parent["folder"] if store is None else home / store) / MANIFEST
    return not path.is_file() or file_hash(path) == parent["manifest_sha256"]


def _shards(folder: Path, home: Path, known: set[Path]) -> Iterator[Checked]:
    """The shards of an unfinished run that are not as their records say."""
    known |= {p for p in home.iterdir() if p.is_file()}
    for record in sorted(home.glob("part-*.json")):
        where = str(record.relative_to(folder))
        try:
            files = read_sealed(record)["files"]
            bad = [name for name, digest in files.items() if file_hash(home / name) != digest]
        except (OSError, ValueError, KeyError, AttributeError) as error:
            yield Checked(where, "record", "damaged", f"{error}. The shard is made again when the run goes on.")
            continue
        for name in bad:
            yield Checked(
                str((home / name).relative_to(folder)), "shard", "damaged", "Made again when the run goes on."
            )


def _alone(folder: Path, path: Path) -> Iterator[Checked]:
    """The condition of a file that belongs to no artifact, and the files that it covers which are missing."""
    where = str(path.relative_to(folder))
    if any(part.endswith(PARTIAL) for part in path.relative_to(folder).parts):  # a file, or in a folder of that name
        yield Checked(where, "file", "unfinished", "What a run left that was killed.")
    elif PARTS in path.parts:
        yield Checked(where, "part", "unfinished", "Its command goes on with it.")
    elif not path.is_file():
        yield Checked(where, "file", "foreign", "It is no file: a link to nothing, a FIFO, a socket or a device.")
    elif path.suffix in LOOSE:
        state = state_of(path)
        yield Checked(where, "file", state, _wrong_line(path) if path.suffix == ".jsonl" and state == "damaged" else "")
        covered = covering(path) if path.suffix == ".json" and state == "whole" else {}
        for name in covered:
            if not path.with_name(name).exists():
                yield Checked(str(path.with_name(name).relative_to(folder)), "file", "missing", f"{where} covers it.")
    else:
        yield _covered(where, path)


def _wrong_line(path: Path) -> str:
    """Which line is not as it was written."""
    try:
        read_lines(path)
    except ValueError as error:
        message = str(error)
        return f"{message[:1].upper()}{message[1:]}."
    return ""


def _covered(where: str, path: Path) -> Checked:
    """The condition of a file that JSON beside it may cover."""
    index = path.with_suffix(".json")
    try:
        expected = covering(index).get(path.name)
    except (OSError, ValueError):
        return Checked(where, "file", "older", f"{index.name}, which may have its hash, is damaged.")
    if expected is None:
        return Checked(where, "file", "foreign", "No manifest names it.")
    return Checked(where, "file", "whole" if file_hash(path) == expected else "damaged")


def repair(folder: Path, checked: list[Checked]) -> list[str]:
    """Makes way for what is damaged to be made again, and gives the paths that were moved or removed.

    A damaged file goes to `.damaged` beside it, so that nothing is lost; what a killed run left goes away. A damaged
    shard of activations is then made again by the same command, and so is any other artifact: with its manifest aside,
    its folder counts as one that was not finished.
    """
    moved = []
    for one in checked:
        path = folder / one.path
        if one.condition == "unfinished" and PARTIAL in one.path:
            path.unlink(missing_ok=True)
            moved.append(one.path)
        elif one.condition in ("damaged", "missing"):
            if path.is_file():
                _set_aside(path)
                moved.append(one.path)
            if one.kind not in ("activations", "file", "shard", "record", "manifest"):
                manifest = path.parent / MANIFEST
                if manifest.is_file():
                    _set_aside(manifest)
                    moved.append(str(manifest.relative_to(folder)))
    return moved


def _set_aside(path: Path) -> None:
    aside = path.parent / ASIDE
    aside.mkdir(exist_ok=True)
    path.replace(aside / path.name)
