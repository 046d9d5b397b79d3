"""Folders that a stage writes and the next one reads: whole files under their final name, and a manifest that says what
made them. Never pickle."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import math
import os
import platform
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from vitrail.errors import ArtifactError
from vitrail.progress import Progress, announce

SCHEMA = 1
MANIFEST = "manifest.json"

T = TypeVar("T")


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` make the file under another name and renames it, so that `path` is whole or absent.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(path)
    except Exception as error:
        with suppress(OSError):  # what stands in the way of the file stands in the way of removing it
            partial.unlink(missing_ok=True)
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        # safetensors reports a full disk as an error of its own, with the system's words in it
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left" in str(error):
            raise ArtifactError(
                f"The disk is full: could not write {path}. Free some space and run the same command again; "
                "what was finished is kept."
            ) from error
        if isinstance(error, OSError):
            raise ArtifactError(f"Could not write {path}: {error.strerror or error}.") from error
        raise


def plain(value: Any) -> Any:
    """The value as JSON has it: dataclasses as objects, tuples and arrays as lists, NaN and infinity as null.

    >>> plain({"mean": float("nan"), 1: (True, 2)})
    {'mean': None, '1': [True, 2]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, bytes):  # base64, as msgspec reads it
        return base64.b64encode(value).decode()
    if hasattr(value, "tolist"):  # a numpy array or number, without importing numpy
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path, kind: type[T], again: str) -> T:
    """The content of a JSON file as a value of `kind`: a dataclass, or a generic type of dataclasses; see `typed`.

    Args:
        again: the command that makes the file again, for the message.

    Raises:
        ArtifactError: the file is missing, is no JSON, or its content does not have the fields of `kind`.
    """
    try:
        return typed(json.loads(path.read_text(encoding="utf-8")), kind)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path} is damaged or missing ({error}). Remove {path.parent} and {again} again."
        ) from error


def typed(value: Any, kind: type[T]) -> T:
    """JSON values as a value of `kind`: the inverse of `plain`, so null is NaN where `kind` has a float.

    >>> typed([1.5, None], tuple[float, ...])
    (1.5, nan)

    Raises:
        ValueError: the value does not have the fields of `kind`.
    """
    import msgspec  # its errors are ValueErrors

    return msgspec.convert(_with_nan(value, msgspec.inspect.type_info(kind)), kind, str_keys=True)


def _with_nan(value: Any, kind: Any) -> Any:
    """`value` with NaN instead of None wherever `kind`, a type of `msgspec.inspect`, is a float."""
    name = type(kind).__name__
    if value is None:
        return math.nan if name == "FloatType" else None
    if name == "UnionType":  # of one type and None, in our dataclasses
        return next((_with_nan(value, one) for one in kind.types if type(one).__name__ != "NoneType"), value)
    if isinstance(value, dict) and name == "DataclassType":
        known = {field.name: field.type for field in kind.fields}
        return {k: _with_nan(v, known[k]) if k in known else v for k, v in value.items()}
    if isinstance(value, dict) and name == "DictType":
        return {k: _with_nan(v, kind.value_type) for k, v in value.items()}
    if isinstance(value, list) and name in ("ListType", "VarTupleType"):
        return [_with_nan(v, kind.item_type) for v in value]
    if isinstance(value, list) and name == "TupleType" and len(value) == len(kind.item_types):
        return [_with_nan(v, one) for v, one in zip(value, kind.item_types, strict=True)]
    return value


def write_json(path: Path, value: Any) -> None:
    """Writes `value` (see `plain`) as readable JSON, whole or not at all."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda partial: _write_text(partial, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(stream)


def _digest(stream: Any) -> str:  # Python 3.10 has no file_digest
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    found = {"python": platform.python_version()}
    for name in ("vitrail", "torch", "transformers", "scikit-learn", "numpy", "peft"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_manifest(folder: Path, kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Writes `manifest.json` with the schema number, the kind, the versions and `content`; gives it back."""
    manifest = {"schema": SCHEMA, "kind": kind, "versions": versions(), **content}
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of an artifact of `kind`.

    Raises:
        ArtifactError: there is none, it is damaged, of another kind, or of a newer schema (both numbers are named).
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} holds no {kind}: there is no {MANIFEST} in it.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        schema, found = manifest["schema"], manifest["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Make the {kind} again.") from error
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ArtifactError(
            f"{path} has schema {schema}; this version of Vitrail reads up to {SCHEMA}. Install a newer Vitrail."
        )
    if found != kind:
        raise ArtifactError(f"{folder} holds {found}, but {kind} was expected.")
    return manifest


def read_finished(folder: Path, kind: str, again: str) -> dict[str, Any]:
    """The manifest of an artifact of `kind` whose run may be stopped and go on; `again` is what to do if it is damaged.

    Raises:
        ArtifactError: the run did not finish, a file is not as it was written, or as in `read_manifest`.
    """
    manifest = read_manifest(folder, kind)
    if not manifest.get("complete"):
        raise ArtifactError(f"The run that writes {folder} did not finish. Run it again: it goes on where it stopped.")
    check_files(folder, manifest, again)
    return manifest


def check_files(folder: Path, manifest: Mapping[str, Any], again: str) -> None:
    """Raises `ArtifactError` unless every file that the manifest names is as it was written; `again` is what to do."""
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing. Remove {folder} and {again} again.")
        if file_hash(path) != expected:
            raise ArtifactError(
                f"{path} is damaged: its contents are not what was written. Remove {folder} and {again} again."
            )


def parent(folder: Path) -> dict[str, Any]:
    """How a child names the artifact that it was made from: its folder's name and the hash of its manifest; and the
    doctor's certificate of the model behind it, where there is one."""
    named = {"folder": folder.name, "manifest_sha256": file_hash(folder / MANIFEST)}
    certificate = _certificate(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    return named if certificate is None else {**named, "doctor": certificate}


def _certificate(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The doctor's certificate in a manifest, or in what it says of its parents."""
    behind = [manifest, *manifest.get("parents", {}).values()]
    return next((m["doctor"] for m in behind if m.get("doctor")), None)


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


def check_free(folder: Path, kind: str, own: Collection[str] = ()) -> None:
    """Raises `ArtifactError` if `folder`, without a manifest, holds anything but files that a run which was killed
    left: partial ones, and those named in `own`."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ArtifactError(f"{folder} is a file; {kind} need a folder.")
    if any(p.name not in own and not p.name.endswith(".partial") for p in folder.iterdir()):
        raise ArtifactError(f"{folder} is not empty and holds no {kind}. Name another folder, or empty it.")


def is_current(folder: Path, kind: str, parameters: Mapping[str, Any], parents: Mapping[str, Any], file: str) -> bool:
    """Whether `folder` holds a finished artifact of `kind`, made with `parameters` from these very `parents`.

    Its `file` without a manifest is what a run that was killed left: not finished, and nobody else's.

    Raises:
        ArtifactError: it holds one made with other parameters, or something else altogether.
    """
    if not (folder / MANIFEST).exists():
        check_free(folder, kind, own={file})
        return False
    manifest = read_manifest(folder, kind)
    same_run(folder, manifest, parameters)
    return manifest["parents"] == parents


def same_run(folder: Path, manifest: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Raises `ArtifactError` unless the artifact in `folder` was made with `parameters`; says what differs."""
    found = manifest["parameters"]
    wanted = json.loads(json.dumps(parameters))
    differing = [k for k in sorted({*found, *wanted}) if found.get(k) != wanted.get(k)]
    if differing:
        what = "; ".join(f"{k} is {_short(found.get(k))} there and {_short(wanted.get(k))} here" for k in differing)
        raise ArtifactError(f"{folder} belongs to another run: {what}. Name another folder, or remove this one.")


def _short(value: Any, limit: int = 120) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def check_parent(child: Path, manifest: Mapping[str, Any], folder: Path, kind: str) -> None:
    """Raises `ArtifactError` unless the artifact at `child` was made from the one at `folder`."""
    expected = manifest["parents"][kind]["manifest_sha256"]
    if file_hash(folder / MANIFEST) != expected:
        raise ArtifactError(
            f"{child} was not made from {folder}: the {kind} there have changed since, or belong to another run. "
            f"Make {child.name} again from them."
        )


def same_volume_free(folder: Path) -> int:
    """Free bytes where `folder` is or will be."""
    while not folder.exists():
        folder = folder.parent
    stats = os.statvfs(folder)
    return stats.f_bavail * stats.f_frsize
