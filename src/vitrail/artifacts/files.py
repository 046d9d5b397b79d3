"""Files that are whole or absent, and their hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol

from vitrail.errors import ArtifactError, UsageError

#: The ending of a file that is being written.
PARTIAL = ".partial"
#: The folder of the finished parts of a run that is under way; see `kept`.
PARTS = ".vitrail.parts"
_being_written: set[Path] = set()
_HERE = ("file", "local")  # protocols of this machine's own disk
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(.*)", re.DOTALL)


def url_of(place: str | Path) -> str | None:
    """The URL that `place` is; None for a path, and for a `file://`, which is one. A `Path` has lost one slash of it.

    >>> url_of(Path("s3://bucket/dog")), url_of("studies/dog")
    ('s3://bucket/dog', None)
    """
    found = _URL.fullmatch(str(place)) if isinstance(place, Path) or "://" in place else None
    return None if found is None or found[1] in _HERE else f"{found[1]}://{found[2].rstrip('/')}"


def path_of(place: str | Path) -> Path:
    """The path that `place` is, which is no URL but may be a `file://`.

    >>> path_of("file:///studies/dog").as_posix()
    '/studies/dog'
    """
    found = _URL.fullmatch(str(place))
    return Path("/" + found[2].lstrip("/")) if found is not None and found[1] in _HERE else Path(place)


def check_here(folder: Path) -> None:
    """Raises `UsageError` if `folder` is a URL: what writes and reads folders works on this machine."""
    if (url := url_of(folder)) is not None:
        raise UsageError(f"{url} is a URL; here a folder is needed: `with vitrail.at({url!r}) as folder: …` gives one.")


class Elsewhere(Protocol):
    """A folder here for one that lies elsewhere (`remote.Mirror`): what is written here is written there as well."""

    folder: Path
    url: str

    def has(self, path: Path) -> bool:
        """Whether there is such a file there."""

    def size(self, path: Path) -> int:
        """How many bytes it has there."""

    def fetch(self, path: Path) -> None:
        """Fetches it, if it is there and not here."""

    def fetch_all(self, folder: Path) -> None:
        """Fetches all that is there in a folder."""

    def put(self, path: Path) -> None:
        """Writes a file there that is whole here."""

    def remove(self, path: Path) -> None:
        """Removes it there."""

    def hold(self, rank: int | None) -> None:
        """Keeps other writers away."""


#: Those that are open.
mirrors: list[Elsewhere] = []


def elsewhere(path: Path) -> Elsewhere | None:
    """What mirrors the folder that `path` lies in; None where that is on this machine alone, as nearly always."""
    return next((m for m in mirrors if m.folder == path or m.folder in path.parents), None) if mirrors else None


def present(path: Path) -> Path:
    """`path`, after it was fetched, if it lies elsewhere and was not yet."""
    if (mirror := elsewhere(path)) is not None:
        mirror.fetch(path)
    return path


def is_as_written(path: Path, digest: str) -> bool:
    """Whether a file has the hash that its record says. One that lies elsewhere and was not fetched is taken for whole:
    its store keeps sums of its own, and `vitrail verify` reads it.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    mirror = elsewhere(path)
    if mirror is not None and not path.exists() and mirror.has(path):
        return True
    return file_hash(path) == digest


def file_size(path: Path) -> int | None:
    """How many bytes a file has, here or elsewhere; None if there is none."""
    if path.is_file():
        return path.stat().st_size
    mirror = elsewhere(path)
    return mirror.size(path) if mirror is not None and mirror.has(path) else None


def remove(path: Path) -> None:
    """Removes a file, here and elsewhere; it may be gone already."""
    path.unlink(missing_ok=True)
    if (mirror := elsewhere(path)) is not None:
        mirror.remove(path)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` make the file under another name and renames it, so that `path` is whole or absent.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    with _partial(path, path.with_name(f".{path.name}{PARTIAL}")) as partial:
        write(partial)
        partial.replace(path)
    _put(path)


def write_files(folder: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a folder in `folder`, and moves each file of it out of it, so that each is whole or absent.

    Files that stood in `folder` stay until all the new ones are written.

    Raises:
        ArtifactError: as `write_whole`.
    """
    there = folder.exists()
    with ExitStack() as undo, _partial(folder, folder / f".files{PARTIAL}") as partial:
        if not there:
            undo.callback(_remove_empty, folder)
        partial.mkdir()
        write(partial)
        for file in sorted(p for p in partial.rglob("*") if p.is_file()):
            target = folder / file.relative_to(partial)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
            _put(target)
        shutil.rmtree(partial)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # it holds something
        folder.rmdir()


def _put(path: Path) -> None:
    """Writes a file that is whole here where it lies elsewhere, too."""
    if (mirror := elsewhere(path)) is not None:
        mirror.put(path)


@contextmanager
def _partial(path: Path, partial: Path) -> Iterator[Path]:
    """`partial`, the name under which `path` is made; nothing has it before and afterwards.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    _being_written.add(partial)
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        yield partial
    except Exception as error:
        with suppress(OSError):  # what stands in the way of the file stands in the way of removing it
            _remove(partial)
        if _is_full(error):
            raise ArtifactError(
                f"The disk is full: could not write {path}. Free some space and run the same command again; "
                "what was finished is kept."
            ) from error
        if isinstance(error, OSError):
            raise ArtifactError(f"Could not write {path}: {error.strerror or error}.") from error
        raise
    finally:
        _being_written.discard(partial)


def _is_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full, or a quota used up."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    # safetensors reports a full disk as an error of its own, with the system's words in it
    full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or "No space left" in str(error)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all."""
    write_whole(path, lambda partial: _write_text(partial, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def discard_partial_files() -> None:
    """Removes the files that this process has begun and not finished: for a process that is about to end."""
    for partial in list(_being_written):
        with suppress(OSError):
            _remove(partial)


def open_regular(path: Path) -> BufferedReader:
    """The file at `path`, open for reading.

    Raises:
        OSError: it cannot be read; or it is a FIFO, a socket or a device, whose reader would wait, perhaps for ever.
    """
    descriptor = os.open(present(path), os.O_RDONLY | os.O_NONBLOCK)  # without O_NONBLOCK a FIFO waits here
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is a FIFO, a socket or a device, and no file", str(path))


def read_regular(path: Path) -> bytes:
    """The bytes of the file at `path`; raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal; raises as `open_regular`."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: Any) -> str:  # Python 3.10 has no file_digest
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def same_volume_free(folder: Path) -> int:
    """Free bytes where `folder` is or will be."""
    while not folder.exists():
        folder = folder.parent
    stats = os.statvfs(folder)
    return stats.f_bavail * stats.f_frsize


def check_room(folder: Path, need: int) -> int:
    """Free bytes where `folder` is or will be.

    Raises:
        ArtifactError: these are fewer than `need`.
    """
    if need > (free := same_volume_free(folder)):
        raise ArtifactError(
            f"The disk is too small: up to {need / 1e9:.2f} GB may be written to {folder}, "
            f"{free / 1e9:.2f} GB are free."
        )
    return free


def check_target(path: Path, *, folder: bool = True) -> None:
    """Checks that a folder, or a file, may be written at `path`, before the work for it begins.

    Raises:
        ArtifactError: something else is there, or its folder may not be written to.
    """
    if path.exists() and path.is_dir() is not folder:
        there, needed = ("folder", "file") if path.is_dir() else ("file", "folder")
        raise ArtifactError(f"{path} is a {there}; what is written needs a {needed}. Name another one.")
    parent = next(p for p in (path, *path.absolute().parents) if p.exists())
    if (parent != path and not parent.is_dir()) or not os.access(parent, os.W_OK):
        raise ArtifactError(f"{path} cannot be written: {parent} is no folder that this user may write to.")
