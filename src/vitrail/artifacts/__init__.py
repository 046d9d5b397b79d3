"""Artifacts: folders that a stage writes and the next one reads.

files.py     whole files under their final name, and their hashes
json_text.py JSON in which nothing stands twice, and nothing is without end
tensors.py   named tensors in a file
parquet.py   Parquet files of others
lines.py     JSON lines that are added to, each with a digest
values.py    dataclasses as JSON and back; JSON that carries a digest of itself
manifest.py  what made a folder: its options, its parents, and the hash of every file
ours.py      files beside artifacts that say by themselves that they are ours
kept.py      the finished parts of a long piece of work
shards.py    folders that are written shard by shard, so that a run that was stopped goes on
lock.py      one writer at a time
remote.py    folders that lie elsewhere, at a URL
hub.py       folders on the Hugging Face hub
checking.py  the condition of any folder of ours
made.py      which command wrote an artifact, kept beside its manifest
chain.py     the commands that made an artifact, from its first parents on
showing.py   what an artifact is, from its manifest alone

What lies on disk is right, or it is refused. Never pickle.
"""

from vitrail.artifacts.checking import Checked, verify
from vitrail.artifacts.files import (
    check_room,
    check_target,
    discard_partial_files,
    file_hash,
    open_regular,
    path_of,
    present,
    read_regular,
    same_volume_free,
    url_of,
    write_files,
    write_text,
    write_whole,
)
from vitrail.artifacts.json_text import JSONError, parse, parse_first
from vitrail.artifacts.kept import KeptParts
from vitrail.artifacts.lines import append_lines, check_lines, read_lines
from vitrail.artifacts.lock import one_writer, writing
from vitrail.artifacts.manifest import (
    AGAIN,
    MANIFEST,
    SCHEMA,
    Certificate,
    Check,
    check_files,
    check_free,
    check_parent,
    check_place,
    damaged,
    differences,
    folder_for,
    is_current,
    is_trace,
    manifest_of,
    parent,
    read_finished,
    read_manifest,
    same_run,
    versions,
    write_manifest,
)
from vitrail.artifacts.ours import beside, check_covered, check_ours, make_way, state_of, write_covering, write_ours
from vitrail.artifacts.remote import at
from vitrail.artifacts.shards import Counts, Part, Record, Run, Shards, Sources, Writer, shard_file
from vitrail.artifacts.tensors import read_tensors
from vitrail.artifacts.values import plain, read_json, read_made, read_sealed, typed, write_json, write_sealed

__all__ = [
    "AGAIN",
    "MANIFEST",
    "SCHEMA",
    "Certificate",
    "Check",
    "Checked",
    "Counts",
    "JSONError",
    "KeptParts",
    "Part",
    "Record",
    "Run",
    "Shards",
    "Sources",
    "Writer",
    "append_lines",
    "at",
    "beside",
    "check_covered",
    "check_files",
    "check_free",
    "check_lines",
    "check_ours",
    "check_parent",
    "check_place",
    "check_room",
    "check_target",
    "damaged",
    "differences",
    "discard_partial_files",
    "file_hash",
    "folder_for",
    "is_current",
    "is_trace",
    "make_way",
    "manifest_of",
    "one_writer",
    "open_regular",
    "parent",
    "parse",
    "parse_first",
    "path_of",
    "plain",
    "present",
    "read_finished",
    "read_json",
    "read_lines",
    "read_made",
    "read_manifest",
    "read_regular",
    "read_sealed",
    "read_tensors",
    "same_run",
    "same_volume_free",
    "shard_file",
    "state_of",
    "typed",
    "url_of",
    "verify",
    "versions",
    "write_covering",
    "write_files",
    "write_json",
    "write_manifest",
    "write_ours",
    "write_sealed",
    "write_text",
    "write_whole",
    "writing",
]
