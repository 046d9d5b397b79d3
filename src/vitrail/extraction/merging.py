"""What several ranks made, completed: the folder is the one that a single process would have written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrail.activations import Activations, Store, WordStore
from vitrail.activations.many import holds_many
from vitrail.activations.options import word_from_manifest
from vitrail.activations.store import KIND, SUFFIXES
from vitrail.artifacts import MANIFEST, Run, Shards, differences, one_writer
from vitrail.artifacts.manifest import any_manifest
from vitrail.errors import ArtifactError, UsageError
from vitrail.extraction.run import finish_words
from vitrail.saying import texts
from vitrail.saying.texts import Texts, texts_of

#: Kind of artifact that ranks share → the endings of a shard's files.
SUFFIXES_OF = {KIND: SUFFIXES, texts.KIND: (texts.SUFFIX,)}


def merge(*folders: str | Path, out: str | Path | None = None) -> Activations | WordStore | Texts:
    """Completes what several ranks made: `vitrail extract` or `vitrail say` with `--rank` and `--world-size`.

    Args:
        folders: the one that all ranks wrote to; or those of the ranks, in any order.
        out: the folder to write; may be None for one folder, which is completed where it is.

    Raises:
        UsageError: no folder, or several without `out`.
        ArtifactError: a folder holds nothing of a rank; the folders are of different runs, or have the same shards; or
            shards are missing, whose ranks are named.
    """
    if not folders or (len(folders) > 1 and out is None):
        raise UsageError("Name the folder that all ranks wrote to; or those of the ranks, and --out for the whole.")
    homes = [_artifact(Path(folder)) for folder in folders]
    inner = homes[0].relative_to(folders[0])  # `activations`, in the folder of a study
    to = Path(folders[0] if out is None else out)
    return _merged(homes, to / inner, out=to)


def _artifact(folder: Path) -> Path:
    """Where the artifact of ranks lies in a folder that a command was given as `--out`."""
    for place in (folder, folder / KIND):
        if (place / MANIFEST).is_file():
            return place
    raise ArtifactError(f"{folder} holds nothing that `vitrail extract` or `vitrail say` wrote.")


@one_writer
def _merged(homes: Sequence[Path], to: Path, *, out: Path) -> Activations | WordStore | Texts:
    manifests = [any_manifest(home / MANIFEST) for home in homes]
    first = manifests[0]
    if first["kind"] not in SUFFIXES_OF:
        raise ArtifactError(f"{homes[0]} holds {first['kind']}, which no ranks share; expected activations or texts.")
    for home, manifest in zip(homes[1:], manifests[1:], strict=True):
        if differing := [d for key in _SAME for d in differences(first.get(key), manifest.get(key), key)]:
            raise ArtifactError(
                f"{homes[0]} and {home} are parts of different runs: {'; '.join(differing)} (“there” is the first)."
            )
    shards = _shards_of(to, first)
    if homes != [to]:
        _copied(homes, first, shards)
    _check_whole(shards, first)
    return _finished(shards, first)


#: What is the same in the manifests of all parts of a run, beside the versions that decide a result.
_SAME = ("kind", "parameters", "parents", "n_shards", "world_size")


def _run(manifest: Mapping[str, Any]) -> Run:
    kind = manifest["kind"]
    what = manifest["parameters"], manifest["n_shards"], SUFFIXES_OF[kind]
    return Run(kind, *what, parents=manifest["parents"], data=manifest.get("data"))


def _shards_of(folder: Path, manifest: Mapping[str, Any]) -> Shards:
    run = _run(manifest)
    if run.kind == KIND:
        return Store(folder, run.parameters, run.n_shards, parents=run.parents, data=run.data)
    return Shards(folder, run)


def _copied(homes: Sequence[Path], manifest: Mapping[str, Any], to: Shards) -> None:
    """Copies the shards of all folders."""
    if to.certificate is None:
        to.certify(manifest.get("doctor"))
    lacking = set(to.missing())
    holders: dict[int, Path] = {}
    for home in homes:
        part = Shards(home, _run(manifest))
        for number in sorted({*part.own()} - {*part.missing()}):
            if number in holders:
                raise ArtifactError(
                    f"{holders[number]} and {home} both hold shard {number}: two ranks had the same number. Leave one "
                    "of them out."
                )
            holders[number] = home
            if number in lacking:
                to.take(number, part)


def _check_whole(shards: Shards, manifest: Mapping[str, Any]) -> None:
    """Raises unless no shard is missing."""
    if missing := shards.missing():
        n = manifest.get("world_size")
        ranks = "" if n is None else f": those of rank {', '.join(map(str, sorted({i % n for i in missing})))} of {n}"
        raise ArtifactError(
            f"{shards.folder} lacks {len(missing)} of {shards.run.n_shards} shards{ranks}. Run the command of those "
            "ranks again; or run it once without ranks, which makes whatever is missing."
        )


def _finished(shards: Shards, manifest: Mapping[str, Any]) -> Activations | WordStore | Texts:
    if not shards.counts().kept:
        raise ArtifactError(f"No rank found anything to keep; {shards.folder} is empty. Choose another word or model.")
    if not isinstance(shards, Store):
        return texts_of(shards.folder, shards.finish_files())
    if not holds_many(manifest):
        return shards.finish()
    return finish_words(shards, [word_from_manifest(word) for word in manifest["parameters"]["words"]])
