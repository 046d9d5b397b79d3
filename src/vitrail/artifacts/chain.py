"""The commands that made an artifact, from its first parents on: what `vitrail show PATH --as-run` prints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitrail.artifacts.files import file_hash
from vitrail.artifacts.made import MADE, OUT
from vitrail.artifacts.manifest import AGAIN, MANIFEST, any_manifest
from vitrail.artifacts.showing import manifests
from vitrail.artifacts.values import read_made, typed
from vitrail.errors import ArtifactError


@dataclass(frozen=True)
class Step:
    """A command that made artifacts.

    Args:
        run: its name.
        given: option or argument → what was typed, with absolute paths of artifacts as a `Path`.
    """

    run: str
    given: dict[str, Any]

    def paths(self) -> Iterator[Path]:
        """The folders of artifacts that it reads or writes."""
        for value in self.given.values():
            yield from (v for v in (value if isinstance(value, list) else [value]) if isinstance(v, Path))


@dataclass
class Chain:
    """The commands that made something, in the order in which they run again.

    Args:
        steps: the commands.
        versions: what the last artifact says of the versions that made it.
        lacks: what no command here makes again, in words.
    """

    steps: list[Step] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)

    def relative(self) -> list[Step]:
        """The steps with relative paths: they start at the folder that holds all that is read and written."""
        paths = sorted({path for step in self.steps for path in step.paths()})
        top = os.path.commonpath([path.parent for path in paths]) if paths else ""

        def short(value: Any) -> Any:
            if isinstance(value, list):
                return [short(one) for one in value]
            return Path(os.path.relpath(value, top)).as_posix() if isinstance(value, Path) else value

        return [Step(step.run, {name: short(value) for name, value in step.given.items()}) for step in self.steps]


def chain_of(place: str | Path) -> Chain:
    """The commands that made the artifact at `place`, or those below it, with those that made their parents.

    Raises:
        ArtifactError: there is none, or a manifest or a record is damaged.
    """
    _, found = manifests(place)
    chain = Chain()
    for path in found:
        _add(chain, path, [])
    chain.versions = any_manifest(found[-1])["versions"]
    return chain


def _add(chain: Chain, path: Path, above: list[Step]) -> None:
    """Adds the command that wrote the manifest at `path`, behind those that made what it reads."""
    home, manifest = path.parent, any_manifest(path)
    step = step_of(home)
    if step is None:
        if not _is_view(manifest):
            chain.lacks.append(_lacking(home, manifest))
        return
    if step in chain.steps or step in above:
        return
    wanted = {parent["manifest_sha256"] for parent in manifest["parents"].values()}
    for name, value in step.given.items():
        if isinstance(value, Path) and name != OUT:
            _add_parents(chain, value, wanted, [*above, step])
    if step not in chain.steps:
        chain.steps.append(step)


def _add_parents(chain: Chain, place: Path, wanted: set[str], above: list[Step]) -> None:
    """Adds what made the artifact at `place`; of several those of the hashes `wanted`, and their parents in turn."""
    try:
        _, below = manifests(place)
    except ArtifactError:
        chain.lacks.append(f"{place} is not there any more, or holds no artifact")
        return
    if (place / MANIFEST).is_file():
        _add(chain, below[0], above)
        return
    hashes = {file_hash(path): path for path in below}
    if wanted and not wanted & hashes.keys():
        chain.lacks.append(f"{place} has changed since it was read")
        return
    needed: list[Path] = [] if wanted else below
    todo = [*(wanted & hashes.keys())]
    while todo:
        path = hashes.pop(todo.pop())
        needed.insert(0, path)
        parents = {parent["manifest_sha256"] for parent in any_manifest(path)["parents"].values()}
        todo += parents & hashes.keys()
    for path in needed:
        _add(chain, path, above)


def step_of(home: Path) -> Step | None:
    """The command that wrote the artifact in `home`; None where no command did.

    Raises:
        ArtifactError: the record of it is damaged.
    """
    if not (home / MADE).is_file():
        return None

    def placed(value: Any) -> Any:
        if isinstance(value, list):
            return [placed(one) for one in value]
        return Path(os.path.abspath(home / value["path"])) if isinstance(value, dict) else value

    def read(values: Any) -> Step:
        step = typed({"run": values["run"], "given": values["given"]}, Step)
        return Step(step.run, {name: placed(value) for name, value in step.given.items()})

    return read_made(home / MADE, read, "the command")


def _is_view(manifest: dict[str, Any]) -> bool:
    """Whether an artifact is a word of a folder of many, which is written wherever it is missing."""
    return "store" in manifest


def _lacking(home: Path, manifest: dict[str, Any]) -> str:
    """What is known of an artifact that no command made."""
    again = AGAIN.get(manifest["kind"], "a command")
    parameters = manifest["parameters"]
    model = parameters.get("model")
    on = f" on the model {model['name']!r}" if isinstance(model, dict) and "name" in model else ""
    known = ", ".join(
        f"{name} = {value!r}" for name, value in parameters.items() if name != "model" and value is not None
    )
    return (
        f"{home} was made by a call in Python{on}, whose samples and functions only its caller has. "
        f"`{again}` makes one like it; it was made with {known or 'nothing else'}"
    )
