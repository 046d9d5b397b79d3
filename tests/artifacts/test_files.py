"""Files and folders that are whole or absent, also where the disk is full in the middle."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from vitrail.artifacts import write_files
from vitrail.artifacts.files import _being_written, discard_partial_files
from vitrail.errors import ArtifactError

#: What a library may raise while it writes → what is said.
ENDS = {
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), ArtifactError, "The disk is full: could not w"),
    "a quota": (OSError(errno.EDQUOT, "Quota exceeded"), ArtifactError, "The disk is full: could not write"),
    "a full disk in words": (RuntimeError("No space left on device (os error 28)"), ArtifactError, "The disk is full"),
    "no permission": (PermissionError(errno.EACCES, "Permission denied"), ArtifactError, "Could not write .*denied"),
    "another fault": (ValueError("of its own"), ValueError, "of its own"),
}


def two_files(folder: Path, text: str, then: Exception | None = None) -> None:
    (folder / "deep").mkdir()
    (folder / "a.txt").write_text(text)
    if then is not None:
        raise then
    (folder / "deep" / "b.txt").write_text(text)


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_the_files_of_a_folder_are_written_over_those_of_their_names(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine.txt").write_text("stays")
    write_files(tmp_path / "m", lambda folder: two_files(folder, "1"))
    write_files(tmp_path / "m", lambda folder: two_files(folder, "2"))
    assert contents(tmp_path) == {"m/mine.txt": "stays", "m/a.txt": "2", "m/deep/b.txt": "2"}


@pytest.mark.parametrize(("fault", "kind", "says"), ENDS.values(), ids=ENDS)
def test_what_stood_stays_when_writing_ends_in_the_middle(tmp_path, fault, kind, says):
    write_files(tmp_path / "m", lambda folder: two_files(folder, "1"))
    with pytest.raises(kind, match=says):
        write_files(tmp_path / "m", lambda folder: two_files(folder, "2", then=fault))
    assert contents(tmp_path) == {"m/a.txt": "1", "m/deep/b.txt": "1"}
    write_files(tmp_path / "m", lambda folder: two_files(folder, "3"))
    assert contents(tmp_path) == {"m/a.txt": "3", "m/deep/b.txt": "3"}


def test_a_process_that_ends_takes_what_it_had_begun_with_it(tmp_path):
    def interrupted(folder: Path) -> None:
        two_files(folder, "2")
        discard_partial_files()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path / "m", interrupted)
    assert contents(tmp_path) == {}
    assert not _being_written
