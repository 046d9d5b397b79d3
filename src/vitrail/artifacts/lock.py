"""One writer at a time: a folder that is being written is held, and a second process that would write there is refused.

The holder has the operating system's lock (`flock`) on a file in the folder. The system gives it back when the holder
ends, however it ends, so no lock is ever stale; over NFS it holds between machines, too. On a file system without locks
the file itself is the mark: it names process and machine, and one of a process that is gone counts for nothing.

Several ranks of one run may write to one folder at a time, each its own shards. Each holds a lock of its number, and
that of the folder only for the moments in which it writes what all of them share.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from vitrail.artifacts.files import check_here, elsewhere
from vitrail.artifacts.json_text import parse
from vitrail.errors import ArtifactError

#: The name of the lock in a folder that is being written.
LOCK = ".vitrail.lock"
#: Where the locks of ranks lie.
RANKS = ".vitrail.ranks"
#: How far below a folder another writer is looked for; a comparison holds studies, which hold their stages.
DEPTH = 3
#: For how long another process may hold a folder before a writer gives up, in seconds: it may just be looking.
PATIENCE = 1.0
#: The same for a rank, which waits for other ranks to begin; each takes a moment.
PATIENCE_OF_RANKS = 60.0
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}

P = ParamSpec("P")
T = TypeVar("T")

_held: dict[Path, tuple[int, int]] = {}  # folder → the thread that holds it, and how often
_guard = threading.Lock()
_locks: list[_Lock] = []


def one_writer(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator for what writes to the folder given as `out`: it holds the folder; see `writing`. None writes
    nothing, and holds nothing."""

    @functools.wraps(function)
    def _alone(*args: P.args, **kwargs: P.kwargs) -> T:
        out: Any = kwargs.get("out")
        if out is None:
            return function(*args, **kwargs)
        with writing(out):
            return function(*args, **kwargs)

    return _alone


@contextmanager
def writing(folder: str | Path, rank: int | None = None) -> Iterator[None]:
    """Holds `folder` for the time of the `with` block. The same thread may hold it several times over.

    Args:
        folder: made where it is missing.
        rank: the number of a process that shares the folder with others; None for one that has it alone.

    Raises:
        ArtifactError: another process, or another thread, is writing there, in a folder above, or in one below; or one
            of the same rank.
        UsageError: it is a URL.
    """
    check_here(Path(folder))
    folder = Path(folder).absolute()
    me = threading.get_ident()
    with _guard:
        owner, times = _held.get(folder, (me, 0))
        if owner != me:
            raise ArtifactError(f"Another thread of this process is writing to {folder}. Wait for it.")
        _held[folder] = (me, times + 1)
    lock: _Lock | None = None
    try:
        lock = None if times else _acquired(folder, rank)
        if lock is not None:
            _locks.append(lock)
        if not times and (mirror := elsewhere(folder)) is not None:
            mirror.hold(rank)
        yield
    finally:
        if lock is not None:
            _locks.remove(lock)
            lock.release()
        with _guard:
            if times:
                _held[folder] = (me, times)
            else:
                del _held[folder]


def forget_locks() -> None:
    """Releases all that this process holds: for one that is about to end."""
    for lock in _locks:
        with suppress(OSError):
            lock.release()


@contextmanager
def moment(folder: Path) -> Iterator[None]:
    """Holds a folder that several ranks write to, for the few files that they share; waits for those who do so now.

    Args:
        folder: that of `writing`, or one in it.
    """
    folder = folder.absolute()
    lock = _Lock(next((p for p in (folder, *folder.parents) if p in _held), folder) / LOCK, [])
    lock.acquire(PATIENCE_OF_RANKS)
    try:
        yield
    finally:
        lock.release()


def _acquired(folder: Path, rank: int | None) -> _Lock | None:
    """The lock of `folder`; None where the folder cannot be made, which the writing itself reports."""
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _Lock(folder / LOCK, made)
        lock.acquire(PATIENCE if rank is None else PATIENCE_OF_RANKS)
    except OSError:  # the folder is a file, or may not be written
        return None
    deep = ["/".join(["*"] * n) for n in range(1, DEPTH + 1)]
    below = (p for d in deep for name in (LOCK, f"{RANKS}/*") for p in folder.glob(f"{d}/{name}"))
    above = (p for f in folder.parents if f not in _held for p in (f / LOCK, *(f / RANKS).glob("*")))
    ranks = folder.glob(f"{RANKS}/*") if rank is None else ()
    for other in (*above, *below, *ranks):
        home = _home(other)
        if (home == folder or home not in _held) and (holder := _holder(other)):
            lock.release()
            raise refused(home, holder)
    if rank is None:
        return lock
    try:
        (folder / RANKS).mkdir(exist_ok=True)
        own = _Lock(folder / RANKS / str(rank), made)
        own.acquire(PATIENCE)
    finally:
        lock.made = []
        lock.release()
    return own


def _home(lock: Path) -> Path:
    """The folder that a lock is of."""
    return lock.parent.parent if lock.parent.name == RANKS else lock.parent


class _Lock:
    """The lock file of a folder. `made` are the folders that were made for it, removed again if nothing came in."""

    def __init__(self, path: Path, made: list[Path]) -> None:
        self.path, self.made = path, made
        self.file = -1

    def acquire(self, patience: float) -> None:
        end = time.monotonic() + patience
        while not self._try():
            if time.monotonic() > end:
                home = _home(self.path)
                what = "" if home == self.path.parent else f"Rank {self.path.name} of "
                raise refused(home, _holder(self.path) or {}, what)
            time.sleep(0.05)
        about = {"pid": os.getpid(), "host": platform.node(), "command": _command(), "since": time.strftime("%F %T")}
        os.truncate(self.file, 0)
        os.pwrite(self.file, json.dumps(about).encode(), 0)

    def _try(self) -> bool:
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        if _locked(self.file, self.path, fcntl.LOCK_EX):
            with suppress(FileNotFoundError):  # the holder before may have removed it since it was opened
                if os.path.samestat(os.fstat(self.file), self.path.stat()):
                    return True
        os.close(self.file)
        return False

    def release(self) -> None:
        with suppress(OSError):  # no ranks were there, or some are
            (self.path.parent / RANKS).rmdir()
        with suppress(OSError):
            self.path.unlink()
        os.close(self.file)
        for folder in self.made:
            with suppress(OSError):  # not empty
                folder.rmdir()


def _locked(file: int, path: Path, how: int) -> bool:
    """Takes the lock of an open file, if nobody has it."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
            return False
        if error.errno in _NO_LOCKS:
            return not _alive(_about(path))
        raise
    return True


def _holder(path: Path) -> dict[str, Any] | None:
    """Who holds a lock; None if nobody does. To look takes a shared lock, for a moment."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        about = _about(path)
        return None if _locked(file, path, fcntl.LOCK_SH) else about
    except OSError:
        return None
    finally:
        os.close(file)


def _about(path: Path) -> dict[str, Any]:
    """What a lock says of its holder."""
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _alive(about: dict[str, Any]) -> bool:
    """Whether the process that a mark names may still be there; one of another machine may always be."""
    if not about or about.get("pid") == os.getpid():
        return False
    return is_there(about) is not False


def is_there(about: dict[str, Any]) -> bool | None:
    """Whether the process that a mark names runs on this machine; None for one of another machine."""
    if about.get("host") != platform.node():
        return None
    try:
        os.kill(int(about["pid"]), 0)
    except (ProcessLookupError, KeyError, ValueError, TypeError):
        return False
    except PermissionError:
        return True
    return True


def refused(folder: Path | str, about: dict[str, Any], what: str = "") -> ArtifactError:
    """The error that says who writes to `folder`; `what` of it, such as a rank."""
    who = "".join(
        f"{word} {about[key]}"
        for key, word in (("pid", " process"), ("host", " on"), ("since", ", since"), ("command", ":"))
        if about.get(key)
    )
    then = "Give each process a rank of its own" if what else "name another folder"
    return ArtifactError(
        f"{what}{folder} is being written by another process{f' ({who.strip()})' if who else ''}. Wait until it is "
        f"done, or {then}."
    )


def _command() -> str:
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
