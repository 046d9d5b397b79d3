"""Folders that lie elsewhere, at a URL that fsspec opens: `s3://bucket/studies/dog`, `gs://…`, `memory://…`; `hub` has
those on the Hugging Face hub.

All of ours works on folders. So what lies at a URL has a folder here for the time of a command (`at`):

- Its files are fetched when it is opened, but those of shards when the artifact is opened that they belong to. Large
  ones (`LARGE`) stay in the cache, by the hash that a manifest or record gives: the next command has them.
- A file that is written whole here is written there before the next one is begun. So whoever reads there sees what a
  reader of a folder on a disk would see: a record after the files of its shard, and a manifest after all files.
- The first writer holds the URL by an object there (`LOCK`), which is made only if there is none. Stores that cannot
  promise this (S3, Google's and local disks can) let two writers in that begin within the same moment. An object whose
  process is gone, or that was not renewed for `STALE` seconds, counts for nothing; clocks must agree to some minutes.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from vitrail.artifacts import files, hub
from vitrail.artifacts.files import PARTIAL, file_hash, path_of, url_of
from vitrail.artifacts.json_text import parse
from vitrail.artifacts.lock import DEPTH, LOCK, RANKS, is_there, refused, writing
from vitrail.errors import ArtifactError, UsageError, VitrailError
from vitrail.visible import shown_as

#: Endings of files that stay in the cache.
LARGE = (".safetensors", ".parquet", ".bin", ".pt", ".gguf")
#: After how many seconds without a sign of life a writer on another machine counts as gone, and how often it gives one.
STALE, BEAT = 600.0, 60.0
#: What stores tell of a file that changes with its content.
CONTENT = ("ETag", "etag", "md5Hash", "generation", "created", "mtime")
#: Protocols of stores without folders.
BUCKETS = frozenset({"s3", "gs", "abfs", "memory"})
#: Protocol → the extra that opens it.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_MANIFEST = "manifest.json"


@contextmanager
def at(place: str | Path, *, write: bool = False) -> Iterator[Path]:
    """The folder (or file) here for what lies at a URL, for the time of the `with` block; a path is itself.

        with vitrail.at("s3://bucket/studies/dog") as folder:
            vitrail.extract(lmm, samples, "dog", out=folder / "activations")

    What is written in the folder is written there as well: files of ours at once, others at the end of the block,
    unless that ends in an error.

    Args:
        place: a URL, or a path.
        write: whether something will be written: then that is tried at once.

    Raises:
        UsageError: nothing opens such a URL, or a library is missing.
        ArtifactError: there is no such bucket, it cannot be reached, or it may not be read or written.
    """
    url = url_of(place)
    if url is None:
        yield path_of(place)
        return
    if url.startswith(hub.PROTOCOL):
        if write:
            raise UsageError(
                f"{url} is on the hub, which is written by `vitrail push FOLDER OWNER/NAME`. Name a folder."
            )
        folder = hub.fetched(url)
        shown_as[str(folder)] = url
        yield folder
        return
    if known := next((m for m in files.mirrors if isinstance(m, Mirror) and m.url == url), None):
        yield known.folder
        return
    mirror = Mirror(url)
    try:
        mirror.open(write)
        files.mirrors.append(mirror)
        shown_as[str(mirror.folder)] = url
        yield mirror.folder
        mirror.sync()
    finally:
        if mirror in files.mirrors:
            files.mirrors.remove(mirror)
        mirror.close()  # its name stays in `shown_as`: an error may be told later


class Mirror:
    """The folder here for what lies at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        with told(url):
            self.fs, self.there = file_system(url)
        name = PurePosixPath(self.there).name
        if not name:
            raise UsageError(f"{url} is a whole bucket. Name a folder in it: {url.rstrip('/')}/NAME.")
        cache = _cache()
        self.blobs = cache / "files"
        _sweep(cache / "open")
        (cache / "open").mkdir(parents=True, exist_ok=True)
        self._home = Path(tempfile.mkdtemp(dir=cache / "open"))
        self._held = writing(self._home)
        self._held.__enter__()
        self.folder = self._home / name
        self._sizes: dict[str, int] = {}  # of what is there: name inside the folder, or "" of a file → bytes
        self._same: dict[str, tuple[int, int]] = {}  # what is there as it is here → size and time of change here
        self._seen: dict[str, tuple[int, str]] = {}  # what was there → size, and what tells one content from another
        self._own: set[str] = set()  # what was written or removed there since
        self._hold: _Hold | None = None

    # ---- reading -----------------------------------------------------------------------------------------------------

    def open(self, write: bool) -> None:
        """Looks what is there, and fetches all but the files of shards."""
        with told(self.url):
            self._seen = self._looked()
            if write:
                probe = f"{self.there}/.vitrail.probe{PARTIAL}"
                with_folder(self.fs, probe)
                self.fs.pipe_file(probe, b"")
                self.fs.rm_file(probe)
        self._sizes = {name: size for name, (size, _) in self._seen.items()}
        small = [name for name in self._sizes if not name.endswith(LARGE)]
        with told(self.url):
            self._get(small, [self._here(name) for name in small])
        for name in small:
            self._note(name)
        of_shards = {PurePosixPath(name).parent for name in small if _is_record(name)}
        for name in self._sizes.keys() - set(small):
            if PurePosixPath(name).parent not in of_shards:
                self.fetch(self._here(name))

    def _looked(self) -> dict[str, tuple[int, str]]:
        """What is there now."""
        found = {}
        for name, about in self.fs.find(self.there, detail=True).items():
            inner = str(name)[len(self.there) :].lstrip("/")
            if ".." in PurePosixPath(inner).parts:
                raise ArtifactError(f"{self.url} holds {inner!r}, which is no name of a file.")
            if not _is_mark(inner):
                found[inner] = int(about.get("size") or 0), str([about.get(key) for key in CONTENT])
        return found

    def fetch(self, path: Path) -> None:
        """Fetches a file that is there and not here."""
        name = self._name(path)
        if name not in self._sizes or path.exists():
            return
        digest = _digest_of(path, self.folder)
        if digest is None:
            with told(self.url):
                self._get([name], [path])
        else:
            blob = self.blobs / digest[:2] / digest
            if not (blob.is_file() and file_hash(blob) == digest):
                part = blob.with_name(f".{digest}.{os.getpid()}{PARTIAL}")
                with told(self.url):
                    self._get([name], [part])
                part.replace(blob)
            _link(blob, path)
        self._note(name)

    def fetch_all(self, folder: Path) -> None:
        """Fetches all that is there in a folder."""
        for name in [*self._sizes]:
            path = self._here(name)
            if path == folder or folder in path.parents:
                self.fetch(path)

    def has(self, path: Path) -> bool:
        """Whether there is such a file there."""
        return self._name(path) in self._sizes

    def size(self, path: Path) -> int:
        """How many bytes the file has there."""
        return self._sizes[self._name(path)]

    def _get(self, names: list[str], paths: list[Path]) -> None:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        if names:
            self.fs.get([self._url(name) for name in names], list(map(str, paths)))

    # ---- writing -----------------------------------------------------------------------------------------------------

    def put(self, path: Path) -> None:
        """Writes a file there that is whole here. A manifest comes after all other files of its folder."""
        if path.name == _MANIFEST:
            self._put(p for p in self._changed(path.parent) if p.name != _MANIFEST)
        self._put([path])

    def remove(self, path: Path) -> None:
        """Removes a file there."""
        name = self._name(path)
        if self._sizes.pop(name, None) is not None:
            with told(self.url), suppress(FileNotFoundError):
                self.fs.rm_file(self._url(name))
        self._same.pop(name, None)
        self._own.add(name)

    def sync(self) -> None:
        """Writes there what changed here otherwise, manifests last, and removes there what was removed here."""
        if self.folder.is_file():
            if self._state(self.folder) != self._same.get(""):
                self._put([self.folder])
            return
        changed = sorted(self._changed(self.folder), key=lambda p: (p.name == _MANIFEST, -len(p.parts), p.name))
        self._put(changed)
        for name in [name for name in self._same if not self._here(name).exists()]:
            self.remove(self._here(name))

    def _changed(self, folder: Path) -> list[Path]:
        found = (p for p in folder.rglob("*") if p.is_file() and not _is_mark(self._name(p)))
        return [p for p in found if not p.name.endswith(PARTIAL) and self._state(p) != self._same.get(self._name(p))]

    def _put(self, paths: Iterable[Path]) -> None:
        for path in paths:
            name = self._name(path)
            with told(self.url):
                with_folder(self.fs, self._url(name))
                self.fs.put_file(str(path), self._url(name))
            self._sizes[name] = path.stat().st_size
            self._own.add(name)
            self._note(name)

    # ---- one writer --------------------------------------------------------------------------------------------------

    def hold(self, rank: int | None) -> None:
        """Holds what lies there until `close`, for a process that has it alone, or for a rank.

        Raises:
            ArtifactError: another process is writing there, in a folder above, or in one below; or one did since what
                is there was looked at.
        """
        if self._hold is not None and self._hold.rank != rank:
            self._hold.release()
            self._hold = None
        if self._hold is None:
            with told(self.url):
                self._hold = _Hold(self.fs, self.there, self.url, rank)
                now = {} if rank is not None else self._looked()  # ranks change it side by side
            if rank is None and any(
                now.get(name) != self._seen.get(name) for name in (now.keys() | self._seen.keys()) - self._own
            ):
                raise ArtifactError(f"{self.url} was changed by another process since this one looked. Run it again.")

    def close(self) -> None:
        """Lets go of what lies there, and removes the folder here."""
        try:
            if self._hold is not None:
                self._hold.release()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True) if self.folder.is_dir() else self.folder.unlink(True)
            self._held.__exit__(None, None, None)
            shutil.rmtree(self._home, ignore_errors=True)

    # ---- names -------------------------------------------------------------------------------------------------------

    def _name(self, path: Path) -> str:
        return "" if path == self.folder else path.relative_to(self.folder).as_posix()

    def _here(self, name: str) -> Path:
        return self.folder / name if name else self.folder

    def _url(self, name: str) -> str:
        return f"{self.there}/{name}" if name else self.there

    def _state(self, path: Path) -> tuple[int, int]:
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns

    def _note(self, name: str) -> None:
        self._same[name] = self._state(self._here(name))


class _Hold:
    """An object in a store that says who writes there."""

    def __init__(self, fs: Any, there: str, url: str, rank: int | None) -> None:
        self.fs, self.url, self.rank = fs, url, rank
        self.path = f"{there}/{LOCK}" if rank is None else f"{there}/{RANKS}/{rank}"
        self.since = time.strftime("%F %T")
        self._create("" if rank is None else f"Rank {rank} of ")
        try:
            self._check_others(there, rank)
        except BaseException:
            self._remove()
            raise
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def _create(self, what: str) -> None:
        for last in (False, True):
            try:
                created(self.fs, self.path, self._about())
                return
            except FileExistsError:
                about = self._read(self.path)
                if last or _alive(about):
                    raise refused(self.url, about, what) from None
                self._remove()

    def _check_others(self, there: str, rank: int | None) -> None:
        """Raises if somebody else writes to the same place, to a folder above, or to one below."""
        names = [n for n in self.fs.find(there) if _is_mark(str(n)[len(there) :].lstrip("/"))]
        parents = [str(p) for p in PurePosixPath(there).parents][:DEPTH]
        for parent in parents:
            names += [f"{parent}/{LOCK}"] if self.fs.exists(f"{parent}/{LOCK}") else []
            with suppress(FileNotFoundError):
                names += self.fs.find(f"{parent}/{RANKS}")
        for name in names:
            own = str(name) == self.path or (rank is not None and str(name).startswith(f"{there}/{RANKS}/"))
            if not own and str(name).lstrip("/") != self.path.lstrip("/") and _alive(about := self._read(str(name))):
                raise refused(self.url, about)

    def _about(self) -> bytes:
        about = {"pid": os.getpid(), "host": platform.node(), "since": self.since, "beat": time.time()}
        return json.dumps(about).encode()

    def _read(self, path: str) -> dict[str, Any]:
        try:
            found = parse(self.fs.cat_file(path).decode())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _renew(self) -> None:
        while not self._end.wait(BEAT):
            with suppress(Exception):  # the next beat may come through
                self.fs.pipe_file(self.path, self._about())

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            self.fs.rm_file(self.path)

    def release(self) -> None:
        self._end.set()
        self._thread.join()
        with suppress(Exception):  # it counts for nothing once this process is gone
            self._remove()


def file_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec behind a URL, which keeps no listings, and the path in it."""
    import fsspec

    protocol = url.partition("://")[0]
    own: dict[str, Any] = {}
    if EXTRAS.get(protocol) == "s3":  # botocore's own waits for minutes
        own = {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3}}}
    fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **own)
    return fs, path.rstrip("/")


def with_folder(fs: Any, path: str) -> None:
    """Makes the folder of `path`, in a store that has folders: one of buckets has none, and would make a bucket."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else {*fs.protocol}
    if not protocols & BUCKETS:
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)


def created(fs: Any, path: str, content: bytes) -> None:
    """Writes an object that is not there.

    Raises:
        FileExistsError: it is there.
    """
    with_folder(fs, path)
    try:
        fs.pipe_file(path, content, mode="create")
    except (TypeError, NotImplementedError, ValueError):  # a store that cannot tell
        if fs.exists(path):
            raise FileExistsError(path) from None
        fs.pipe_file(path, content)


@contextmanager
def told(url: str) -> Iterator[None]:
    """What goes wrong at `url`, as an error of ours."""
    protocol = url.partition("://")[0]
    try:
        yield
    except VitrailError:
        raise
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        install = f"pip install 'vitrail[{extra}]'" if extra else str(error)
        raise UsageError(f"To open {url}: {install}.") from error
    except ValueError as error:
        if "rotocol not known" not in str(error):
            raise
        raise UsageError(f"Nothing opens {url}: {error}.") from error
    except FileNotFoundError as error:
        raise ArtifactError(f"{url} is not there: {error}. Make the bucket first, and check its name.") from error
    except Exception as error:  # of the network, of credentials: whatever the library of the store raises
        reason = f"{type(error).__name__}: {error}"
        denied = isinstance(error, PermissionError) or "Credentials" in type(error).__name__
        what = (
            "may not be used with these credentials; check them (AWS_ACCESS_KEY_ID …, or what the store asks for)"
            if denied
            else "cannot be reached, or refuses; check the network and the address of the store"
        )
        raise ArtifactError(f"{url} {what}. {reason}") from error


def _is_record(name: str) -> bool:
    """Whether a name is that of the record of a shard."""
    return re.fullmatch(r"part-\d+\.json", PurePosixPath(name).name) is not None


def _is_mark(name: str) -> bool:
    """Whether a name is that of a lock."""
    parts = PurePosixPath(name).parts
    return bool(parts) and (parts[-1] == LOCK or RANKS in parts)


def _alive(about: dict[str, Any]) -> bool:
    """Whether the writer that an object names may still be at work."""
    if not about:
        return False
    if (here := is_there(about)) is not None:
        return here
    beat = about.get("beat")
    return isinstance(beat, int | float) and time.time() - beat < STALE


def _cache() -> Path:
    """Where files from elsewhere are kept. It may be removed when no command runs."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("VITRAIL_CACHE") or user_cache_path("vitrail")) / "remote"


def _sweep(folder: Path) -> None:
    """Removes the folders of processes that were killed."""
    for old in folder.glob("*"):
        with suppress(OSError, VitrailError):
            if time.time() - old.stat().st_mtime > BEAT:  # else it may be on its way
                with writing(old):
                    shutil.rmtree(old)


def _digest_of(path: Path, top: Path) -> str | None:
    """The hash that a file should have, by the record of its shard, or by a manifest in its folder or above."""
    record = path.with_suffix(".json")
    for source in (record, *(parent / _MANIFEST for parent in path.parents if parent == top or top in parent.parents)):
        try:
            named = parse(source.read_text(encoding="utf-8"))["files"]
            found = named.get(path.relative_to(source.parent).as_posix())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if isinstance(found, str) and re.fullmatch("[0-9a-f]{64}", found):
            return found
    return None


def _link(blob: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(blob, path)
    except OSError:  # another volume, or a file system without links
        shutil.copyfile(blob, path)
