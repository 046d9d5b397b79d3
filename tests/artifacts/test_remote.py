"""What lies at a URL is read and written like a folder: no reader sees half of it, and one writer is let in."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from vitrail.artifacts import Counts, Run, Shards, at, read_manifest, url_of, verify, writing
from vitrail.artifacts.files import mirrors
from vitrail.artifacts.lock import LOCK, RANKS
from vitrail.artifacts.remote import Mirror, file_system
from vitrail.errors import ArtifactError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore")  # of the server, and of the libraries that speak to it

N = 3


@pytest.fixture(params=["memory", "s3"])
def url(request) -> str:
    """A URL at which nothing is yet, in a store of either kind."""
    if request.param == "memory":
        return f"memory://{uuid4().hex}/dog"
    return f"{request.getfixturevalue('bucket')}/{uuid4().hex}/dog"


def there(url: str) -> dict[str, bytes]:
    """Name → content of all files at a URL."""
    fs, path = file_system(url)
    return {name.removeprefix(f"{path}/"): fs.cat_file(name) for name in fs.find(path)}


def put(url: str, name: str, content: bytes) -> None:
    fs, path = file_system(url)
    fs.pipe_file(f"{path}/{name}", content)


def shards(folder: Path) -> Shards:
    return Shards(folder, Run("explanations", {"a": 1}, N, (".parquet",)))


def write(to: Shards, number: int) -> None:
    to.write_files(number, {".parquet": lambda path: path.write_bytes(b"shard %d" % number)}, Counts(1, 1))


def whole(url: str) -> None:
    """Writes an artifact to a URL."""
    with at(url) as folder, writing(folder):
        made = shards(folder)
        for number in range(N):
            write(made, number)
        made.finish_files()


# ---- reading and writing ---------------------------------------------------------------------------------------------


def test_what_is_written_at_a_url_is_what_is_written_in_a_folder(url, tmp_path):
    whole(url)
    made = shards(tmp_path)
    for number in range(N):
        write(made, number)
    made.finish_files()
    assert there(url) == {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert mirrors == []


def test_every_file_is_there_before_the_next_one_is_begun_and_the_manifest_last(url, monkeypatch):
    order = []
    before = Mirror._put

    def told(self, paths):
        paths = list(paths)
        order.extend(self._name(path) for path in paths)
        before(self, paths)

    monkeypatch.setattr(Mirror, "_put", told)
    with at(url) as folder, writing(folder):
        made = shards(folder)
        for number in (0, 2, 1):
            write(made, number)
            assert f"part-0000{number}.json" in there(url)
        (folder / "plain.txt").write_text("not written by our own functions")
        made.finish_files()
        assert "plain.txt" in there(url)  # before the manifest, which might name it
    files = [f"part-0000{n}.{end}" for n in (0, 2, 1) for end in ("parquet", "json")]
    assert order == ["manifest.json", *files, "plain.txt", "manifest.json"]


def test_what_is_removed_or_changed_here_is_so_there(url):
    whole(url)
    with at(url) as folder, writing(folder):
        (folder / "page.html").write_text("one")
        (folder / "more").mkdir()
        (folder / "more" / "page.html").write_text("two")
    with at(url) as folder:
        (folder / "page.html").unlink()
        (folder / "more" / "page.html").write_text("three")
    found = there(url)
    assert "page.html" not in found
    assert found["more/page.html"] == b"three"
    assert len(found) == 2 * N + 2


def test_an_error_leaves_there_what_was_finished_and_nothing_else(url):
    def fails(folder: Path) -> None:
        write(shards(folder), 0)
        (folder / "half.txt").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError), at(url) as folder, writing(folder):
        fails(folder)
    assert set(there(url)) == {"manifest.json", "part-00000.json", "part-00000.parquet"}


def test_a_shard_that_is_made_again_has_no_record_there_while_its_files_change(url, monkeypatch):
    before = Mirror._put

    def fails(self, paths):
        for path in paths:
            if path.suffix == ".parquet":
                raise ArtifactError("the network is gone")
            before(self, [path])

    def again(folder: Path) -> None:
        made = shards(folder)
        write(made, 0)
        monkeypatch.setattr(Mirror, "_put", fails)
        write(made, 0)

    with pytest.raises(ArtifactError, match="the network is gone"), at(url) as folder, writing(folder):
        again(folder)
    assert set(there(url)) == {"manifest.json", "part-00000.parquet"}


def test_a_large_file_of_no_shard_is_there_at_once(url):
    put(url, "state.safetensors", b"state")
    put(url, "observations/part-000000.parquet", b"rows")  # without a record, which would say what it should be
    with at(url) as folder:
        assert (folder / "state.safetensors").read_bytes() == b"state"
        assert (folder / "observations" / "part-000000.parquet").read_bytes() == b"rows"


def test_the_files_of_shards_are_fetched_when_they_are_needed_and_kept_by_their_hash(url, monkeypatch, tmp_path):
    monkeypatch.setenv("VITRAIL_CACHE", str(tmp_path))
    whole(url)
    fetched = []
    before = Mirror._get
    monkeypatch.setattr(Mirror, "_get", lambda self, names, paths: (fetched.extend(names), before(self, names, paths)))
    with at(url) as folder:
        assert not [name for name in fetched if name.endswith(".parquet")]
        assert all(one.condition == "whole" for one in verify(folder))
        assert (folder / "part-00001.parquet").read_bytes() == b"shard 1"
    assert len([name for name in fetched if name.endswith(".parquet")]) == N
    fetched.clear()
    with at(url) as folder:
        verify(folder)
    assert not [name for name in fetched if name.endswith(".parquet")]


def test_a_file_that_was_damaged_there_is_found_by_verify(url, monkeypatch, tmp_path):
    whole(url)
    monkeypatch.setenv("VITRAIL_CACHE", str(tmp_path))  # a machine that never saw it
    put(url, "part-00001.parquet", b"other")
    with at(url) as folder:
        assert [c.path for c in verify(folder) if c.condition == "damaged"] == ["part-00001.parquet"]


def test_a_cache_that_was_damaged_is_fetched_again(url, own_cache):
    whole(url)
    with at(url) as folder:
        verify(folder)
    for blob in (own_cache / "remote" / "files").rglob("*"):
        if blob.is_file():
            blob.write_bytes(b"damaged")
    with at(url) as folder:
        assert all(one.condition == "whole" for one in verify(folder))


def test_a_single_file_is_read_and_written(url):
    with at(f"{url}.jsonl") as path:
        path.write_text("one")
    with at(f"{url}.jsonl") as path:
        assert path.read_text() == "one"
        path.write_text("two")
    with at(f"{url}.jsonl") as path:
        assert path.read_text() == "two"


def test_a_file_url_is_a_path(tmp_path):
    with at(f"file://{tmp_path}/dog") as folder:
        assert folder == tmp_path / "dog"
    with at(Path(f"file://{tmp_path}/dog"), write=True) as folder:
        assert folder == tmp_path / "dog"


def test_a_store_with_folders_gets_them(tmp_path, monkeypatch):
    """A file system that makes no folders by itself, as SFTP; here it is this disk, below `tmp_path`."""
    from fsspec.implementations.dirfs import DirFileSystem
    from fsspec.implementations.local import LocalFileSystem

    disk = DirFileSystem(str(tmp_path), LocalFileSystem())
    monkeypatch.setattr("vitrail.artifacts.remote.file_system", lambda url: (disk, url.partition("://")[2]))
    with at("sftp://host/dog", write=True) as folder, writing(folder):
        (folder / "inner").mkdir()
        (folder / "inner" / "page.html").write_text("page")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "host" / "dog" / "inner" / "page.html"]
    with at("sftp://host/dog") as folder:
        assert (folder / "inner" / "page.html").read_text() == "page"


@pytest.mark.parametrize("place", ["studies/dog", "/studies/dog", "C:/dog", "a:b/dog", "c://dog"])
def test_a_path_is_itself(place):
    assert url_of(place) is None
    with at(place) as path:
        assert path == Path(place)


@pytest.mark.parametrize("use", [lambda url: writing(url).__enter__(), lambda url: read_manifest(Path(url), "texts")])
def test_python_is_told_how_to_get_a_folder_for_a_url(use):
    with pytest.raises(UsageError, match=r"s3://a/b is a URL; here a folder is needed: `with vitrail.at\('s3://a/b'\)"):
        use("s3://a/b")


def test_a_name_that_leads_out_of_the_folder_is_refused():
    url = f"memory://{uuid4().hex}"
    put(url, "dog/../../evil", b"")
    fs, path = file_system(url)
    fs.store[f"{path}/dog/../evil"] = fs.store.pop(next(iter(fs.find(path))))
    with pytest.raises(ArtifactError, match="is no name of a file"), at(f"{url}/dog"):
        raise AssertionError


# ---- going on --------------------------------------------------------------------------------------------------------

KILLED = """
import os, sys
from vitrail.artifacts import at, writing
from vitrail.artifacts.remote import Mirror
sys.path.insert(0, sys.argv[2])
from tests.artifacts.test_remote import shards, write
before = Mirror._put
def dies(self, paths):
    for path in paths:
        if path.name == "part-00002.json":
            os._exit(9)
        before(self, [path])
Mirror._put = dies
with at(sys.argv[1]) as folder, writing(folder):
    made = shards(folder)
    for number in (0, 2, 1):
        write(made, number)
"""


def test_a_run_that_is_killed_in_an_upload_goes_on_from_there_on_another_machine(bucket, tmp_path, monkeypatch):
    url = f"{bucket}/{uuid4().hex}/dog"
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", KILLED, url, root], capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    assert {"manifest.json", "part-00002.parquet", LOCK} <= set(there(url))
    monkeypatch.setenv("VITRAIL_CACHE", str(tmp_path))
    with at(url) as folder, writing(folder):
        made = shards(folder)
        assert made.missing() == [1, 2]
        assert not list(folder.glob("*.parquet"))  # nothing large is fetched to go on
        for number in made.missing():
            write(made, number)
        made.finish_files()
    expected = f"{bucket}/{uuid4().hex}/dog"
    whole(expected)
    assert there(url) == there(expected)


# ---- one writer ------------------------------------------------------------------------------------------------------

HOST = platform.node()
WRITERS = {
    "another machine, at work": ({"host": "other", "pid": 1, "beat": 0.0}, LOCK, False),
    "another machine, silent for long": ({"host": "other", "pid": 1, "beat": -1e4}, LOCK, True),
    "a process here": ({"host": HOST, "pid": os.getppid(), "beat": 0.0}, LOCK, False),
    "a process here that is gone": ({"host": HOST, "pid": 2**22 + 1, "beat": 0.0}, LOCK, True),
    "below": ({"host": "other", "pid": 1, "beat": 0.0}, f"a/b/{LOCK}", False),
    "above": ({"host": "other", "pid": 1, "beat": 0.0}, f"../{LOCK}", False),
    "beside": ({"host": "other", "pid": 1, "beat": 0.0}, f"../cat/{LOCK}", True),
    "a rank": ({"host": "other", "pid": 1, "beat": 0.0}, f"{RANKS}/3", False),
    "nonsense": (None, LOCK, True),
}


@pytest.mark.parametrize("who", WRITERS)
def test_the_second_writer_is_refused_and_one_that_is_gone_is_not_waited_for(url, who):
    about, name, free = WRITERS[who]
    fs, path = file_system(url)
    place = f"{path.rpartition('/')[0]}{name[2:]}" if name.startswith("../") else f"{path}/{name}"
    fs.pipe_file(place, b"?" if about is None else json.dumps({**about, "beat": time.time() + about["beat"]}).encode())
    with at(url) as folder:
        if free:
            with writing(folder):
                assert json.loads(there(url)[LOCK])["pid"] == os.getpid()
        else:
            with pytest.raises(ArtifactError, match=f"{url} is being written by another process"), writing(folder):
                raise AssertionError
            assert LOCK not in there(url) or name == LOCK
    assert not free or LOCK not in there(url)


def test_ranks_write_side_by_side_and_none_has_the_number_of_another(url):
    about = json.dumps({"host": "other", "pid": 1, "beat": time.time()}).encode()
    put(url, f"{RANKS}/3", about)
    with at(url) as folder, writing(folder, 2):
        assert {f"{RANKS}/2", f"{RANKS}/3"} <= set(there(url))
    with (
        at(url) as folder,
        pytest.raises(ArtifactError, match=r"Rank 3 of .* is being written"),
        writing(folder, 3),
    ):
        raise AssertionError


def test_of_two_writers_that_begin_at_the_same_moment_one_gets_in(url):
    """The object is made by a conditional write: both found nothing there before."""
    first, second = Mirror(url), Mirror(url)
    for mirror in (first, second):
        mirror.open(write=False)
    first.hold(None)
    try:
        with pytest.raises(ArtifactError, match="is being written"):
            second.hold(None)
    finally:
        first.close()
        second.close()


@pytest.mark.parametrize("changed", ["another file", "the same size", "removed"])
def test_what_another_writer_changed_since_it_was_looked_at_is_not_written_over(url, changed):
    put(url, "page.html", b"one")
    with at(url) as folder:
        if changed == "another file":
            put(url, "more.html", b"two")
        elif changed == "the same size":
            put(url, "page.html", b"two")
        else:
            fs, path = file_system(url)
            fs.rm_file(f"{path}/page.html")
        with pytest.raises(ArtifactError, match="was changed by another process since"), writing(folder):
            raise AssertionError
    assert there(url).get("page.html") == {"another file": b"one", "the same size": b"two"}.get(changed)
    with at(url) as folder:
        folder.mkdir(exist_ok=True)
        (folder / "own.html").write_text("own")
        (folder / "page.html").unlink(missing_ok=True)
        mirrors[0].sync()
        with writing(folder):  # what it changed itself does not count
            pass


def test_a_writer_gives_signs_of_life(url, monkeypatch):
    monkeypatch.setattr("vitrail.artifacts.remote.BEAT", 0.01)
    with at(url) as folder, writing(folder):
        first = json.loads(there(url)[LOCK])["beat"]
        end = time.monotonic() + 20
        while json.loads(there(url)[LOCK])["beat"] == first:
            assert time.monotonic() < end
            time.sleep(0.01)


# ---- errors ----------------------------------------------------------------------------------------------------------


def opened(url: str) -> None:
    with at(url, write=True):
        raise AssertionError


def test_a_bucket_that_is_not_there_is_named(bucket):
    with pytest.raises(ArtifactError, match=r"s3://nowhere/dog is not there: .*bucket does not exist"):
        opened("s3://nowhere/dog")


def test_wrong_credentials_are_refused_at_once(bucket, s3_server, monkeypatch):
    import urllib.request

    def checked(after: int) -> None:
        address, text = f"{s3_server}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        urllib.request.urlopen(urllib.request.Request(address, str(after).encode(), text)).read()

    checked(0)
    try:
        with pytest.raises(ArtifactError, match="may not be used with these credentials; check them"):
            opened(f"{bucket}/dog")
    finally:
        checked(1_000_000_000)


def test_no_credentials_at_all_are_asked_for(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(ArtifactError, match="may not be used with these credentials; check them"):
        opened(f"{bucket}/dog")


def test_a_store_that_cannot_be_reached_is_named(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(ArtifactError, match=r"s3://.* cannot be reached, or refuses; check the network"):
        opened(f"{bucket}/dog")
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize(
    ("url", "says"),
    [("nothing://a/b", "Nothing opens nothing://a/b"), ("memory://", "a whole bucket")],
)
def test_a_url_that_nothing_opens_is_refused(url, says):
    with pytest.raises(UsageError, match=says):
        opened(url)


@pytest.mark.parametrize(("url", "extra"), [("s3://a/b", "s3"), ("gs://a/b", "gcs")])
def test_a_library_that_is_missing_is_asked_for(url, extra, monkeypatch):
    def missing(*_: object, **__: object) -> None:
        raise ImportError("Install it")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UsageError, match=rf"pip install 'vitrail\[{extra}\]'"):
        opened(url)


def test_a_store_that_may_not_be_written_is_told_before_the_work(monkeypatch):
    url = f"memory://{uuid4().hex}/dog"

    def denied(self, *_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    monkeypatch.setattr(type(file_system(url)[0]), "pipe_file", denied)
    with at(url):
        pass  # to read is allowed
    with pytest.raises(ArtifactError, match="may not be used with these credentials"):
        opened(url)
