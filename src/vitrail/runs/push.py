"""`vitrail push`: concepts, a comparison or a steering as a repository of the Hugging Face hub, and back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.artifacts import MANIFEST, read_finished
from vitrail.artifacts.hub import PROTOCOL, fetched, why
from vitrail.artifacts.manifest import any_manifest
from vitrail.artifacts.showing import show
from vitrail.comparison import Comparison, open_comparison
from vitrail.concepts import open_concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.grounding import GroundedConcepts, open_grounding
from vitrail.reports.card import About, card_of
from vitrail.runs.opened import Study, open_study
from vitrail.steering import Steering, open_steering

#: The parts of a study that hold neither pictures nor captions of the data; and those that do.
PLAIN, PICTURED = ("concepts", "grounding", "evaluation"), ("activations", "explanations")
#: Kinds that are shared by themselves.
ALONE: dict[str, Callable[[Path], Comparison | Steering]] = {"shift": open_comparison, "steering": open_steering}


@dataclass(frozen=True)
class Pushed:
    """What was pushed.

    Args:
        url: the page of the repository.
        address: what commands and `from_hub` take.
        revision: the commit.
        files: its files.
        size: their bytes.
        pictures: whether pictures and captions of the data are among them.
    """

    url: str
    address: str
    revision: str
    files: tuple[str, ...]
    size: int
    pictures: bool


def push_to_hub(
    artifact: Study | Comparison | Steering | str | Path,
    repo: str,
    *,
    private: bool = False,
    pictures: bool = False,
    licence: str | None = None,
) -> Pushed:
    """Pushes a study, a comparison or a steering, or its folder, to the repository `repo` ("owner/name") of the hub.

    Of a study go its concepts and their words, and its evaluation, if it has one. The states, small pictures and
    captions of its data go with `pictures` alone: they are somebody's data. A README says what it is, how it was made,
    and how it is opened. What an earlier push left in the repository is removed.

    Args:
        private: whether a new repository is private.
        pictures: whether pictures and captions of the data are shared, too.
        licence: its identifier on the hub, such as "cc-by-4.0"; yours to choose, so there is none by default.

    Raises:
        UsageError: the folder holds nothing that is shared in this way.
        ArtifactError: it is damaged, or the hub refuses.
    """
    from huggingface_hub import HfApi

    folder = Path(artifact) if isinstance(artifact, str | Path) else _folder_of(artifact)
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        stage(folder, repo, top, pictures=pictures, licence=licence)
        files = sorted(p for p in top.rglob("*") if p.is_file())
        names, size = tuple(p.relative_to(top).as_posix() for p in files), sum(p.stat().st_size for p in files)
        try:
            api = HfApi(library_name="vitrail")
            url = api.create_repo(repo, private=private, exist_ok=True)
            made = api.upload_folder(
                repo_id=repo, folder_path=top, commit_message="Pushed by Vitrail", delete_patterns=["*"]
            )
        except Exception as error:  # of the client, of the network: whatever they raise
            raise ArtifactError(why(repo, error)) from error
    return Pushed(str(url), f"{PROTOCOL}{repo}", made.oid, names, size, pictures)


def stage(folder: Path, repo: str, to: Path, *, pictures: bool, licence: str | None = None) -> None:
    """Writes to the folder `to` what a push of `folder` holds."""
    parts = dict(_parts(folder, pictures))
    for name, part in parts.items():
        manifest = any_manifest(part / MANIFEST)
        read_finished(part, manifest["kind"], "its command")
        if "store" in manifest:
            raise UsageError(f"The states of {folder} lie in a folder of many words. Push it without pictures.")
        for file in (MANIFEST, *manifest["files"]):
            (to / name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(part / file, to / name / file)
    made = {show(part)[0].kind: _told(show(part)[0]) for part in parts.values()}
    card = card_of(_opened(folder), About(repo, made, licence, pictures))
    (to / "README.md").write_text(card.text, encoding="utf-8")
    for file, jpeg in card.pictures.items():
        (to / file).parent.mkdir(exist_ok=True)
        (to / file).write_bytes(jpeg)


def _parts(folder: Path, pictures: bool) -> Iterator[tuple[str, Path]]:
    """Where each artifact lies in the repository, and here."""
    if (folder / MANIFEST).is_file():
        yield ".", folder
    else:
        names = (*PLAIN, *(PICTURED if pictures else ()))
        yield from ((name, folder / name) for name in names if (folder / name / MANIFEST).is_file())


def _opened(folder: Path) -> Study | Comparison | Steering:
    if not (folder / MANIFEST).is_file():
        return open_study(folder)
    kind = any_manifest(folder / MANIFEST)["kind"]
    if kind not in ALONE:
        raise UsageError(f"{folder} holds {kind}. Name the folder of a study, a comparison (shift) or a steering.")
    return ALONE[kind](folder)


def _folder_of(artifact: Any) -> Path:
    if getattr(artifact, "folder", None) is None:
        raise UsageError("It lies in no folder. Make it with out=…, and push that.")
    return Path(artifact.folder)


def _told(shown: Any) -> dict[str, Any]:
    """What a card says of how an artifact was made; no path of this machine but the model's name."""
    words = ", ".join(shown.words)
    versions = ", ".join(f"{name} {version}" for name, version in shown.versions.items())
    return {"word": words, "model": shown.model, **shown.parameters, "versions": versions}


def from_hub(repo: str, *, revision: str | None = None) -> Study | GroundedConcepts | Comparison | Steering:
    """What `push_to_hub` pushed to the repository `repo` ("owner/name"): a study, or where its data was not shared its
    concepts with their words; a comparison; or a steering. Every file is checked against its hash; no code is run.

    Args:
        revision: a branch, a tag or a commit; the newest for None.

    Raises:
        ArtifactError: there is no such repository or revision, or a file in it is damaged.
    """
    folder = fetched(f"{PROTOCOL}{repo}" + (f"@{revision}" if revision else ""))
    if not (folder / MANIFEST).is_file() and not (folder / "activations").is_dir():
        concepts = open_concepts(folder / "concepts")
        return GroundedConcepts.of(concepts, open_grounding(folder / "grounding", concepts))
    return _opened(folder)
