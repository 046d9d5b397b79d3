"""What an artifact is, from its manifest alone: how it was made, of what, how much it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitrail.artifacts.checking import ASIDE
from vitrail.artifacts.files import file_size
from vitrail.artifacts.manifest import MANIFEST, any_manifest
from vitrail.errors import ArtifactError

#: Parameters that are told apart from the rest.
TOLD = frozenset({"model", "word", "words"})


@dataclass(frozen=True)
class Shown:
    """An artifact.

    Args:
        path: inside the folder that was asked for; "." is that folder itself.
        kind: what it holds.
        complete: whether the run that writes it has finished.
        rows: how many rows it has, and of how many samples, where it counts them.
        words: its words of interest, each with its number of rows where there are many.
        model: name and dtype of the model behind it.
        size: bytes of its files.
        files: how many there are.
        checks: what the doctor found of the model: how many checks passed, failed, and had nothing to compare.
        parents: kind → the name of the artifact that it was made from.
        parameters: what else it was made with.
        versions: of Vitrail and of what results depend on.
    """

    path: str
    kind: str
    complete: bool
    rows: tuple[int, int] | None = None
    words: dict[str, int | None] = field(default_factory=dict)
    model: str = ""
    size: int = 0
    files: int = 0
    checks: tuple[int, int, int] | None = None
    parents: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def show(path: str | Path) -> list[Shown]:
    """The artifact in a folder, or those below it, in the order of their folders.

    Raises:
        ArtifactError: there is none, or a manifest is damaged.
    """
    folder, found = manifests(path)
    return [_shown(folder, p) for p in found]


def manifests(path: str | Path) -> tuple[Path, list[Path]]:
    """The folder that is meant, and its manifest, or those below it in the order of their folders.

    Raises:
        ArtifactError: there is none.
    """
    path = Path(path)
    folder = path.parent if path.name == MANIFEST else path
    found = [folder / MANIFEST] if (folder / MANIFEST).is_file() else sorted(folder.rglob(MANIFEST))
    found = [p for p in found if ASIDE not in p.parts]
    if not found:
        raise ArtifactError(f"There is no artifact of Vitrail in {folder}: no {MANIFEST} there or below.")
    return folder, found


def _shown(folder: Path, path: Path) -> Shown:
    manifest = any_manifest(path)
    parameters, counts, checks = manifest["parameters"], manifest.get("counts"), _checks(manifest)
    sizes = [file_size(path.parent / name) or 0 for name in manifest["files"]]
    return Shown(
        path=path.parent.relative_to(folder).as_posix(),
        kind=manifest["kind"],
        complete=manifest.get("complete", True),
        rows=None if counts is None else (counts["kept"], counts["scanned"]),
        words=_words(parameters, manifest.get("words", {})),
        model=_model(parameters.get("model")),
        size=sum(sizes) + path.stat().st_size,
        files=len(manifest["files"]) + 1,
        checks=checks,
        parents={kind: named["folder"] for kind, named in manifest["parents"].items()},
        parameters={name: value for name, value in parameters.items() if name not in TOLD},
        versions=manifest["versions"],
    )


def _words(parameters: Mapping[str, Any], index: Mapping[str, Any]) -> dict[str, int | None]:
    listed = parameters.get("words") or [parameters.get("word")]
    texts = [word["text"] if isinstance(word, dict) else word for word in listed if word]
    return {text: sum(index[text]) if text in index else None for text in texts if isinstance(text, str)}


def _model(described: Any) -> str:
    if not isinstance(described, dict):
        return described if isinstance(described, str) else ""
    parts = (described.get("name"), described.get("adapter"), described.get("quantization") or described.get("dtype"))
    return ", ".join(str(part) for part in parts if part)


def _checks(manifest: Mapping[str, Any]) -> tuple[int, int, int] | None:
    if not manifest.get("doctor"):
        return None
    passed = [check["passed"] for check in manifest["doctor"]["checks"]]
    return passed.count(True), passed.count(False), passed.count(None)
