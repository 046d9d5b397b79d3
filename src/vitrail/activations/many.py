"""States of many words in one folder, extracted in one pass over the samples.

    FOLDER/activations/           the states of all words, shard by shard
    FOLDER/words/dog/activations  those of one word: a manifest that says which rows of the above they are
    FOLDER/words/hot-dog/…

`FOLDER/words/dog` is a study's folder like any other: `vitrail learn FOLDER/words/dog`, or `vitrail learn FOLDER --word
dog`, writes its concepts there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from vitrail.activations.options import word_from_manifest
from vitrail.activations.store import KIND, Activations, laid_in, open_activations
from vitrail.artifacts import MANIFEST, Counts, parent, read_finished, read_manifest
from vitrail.errors import ArtifactError, UsageError, WordError
from vitrail.notebook import Shown, View
from vitrail.words import Word, nearest


@dataclass(frozen=True)
class WordStore(Shown):
    """The states of many words: `of("dog")` are those of one; iteration gives those of each, in order.

    Args:
        folder: holds `activations` and `words`.
        manifest: of its activations.
    """

    folder: Path
    manifest: dict[str, Any]

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words, in order."""
        return tuple(map(word_from_manifest, self.manifest["parameters"]["words"]))

    @cached_property
    def kept(self) -> dict[str, int]:
        """Word → how many samples have a state of it."""
        return {text: sum(b - a for a, b in parts) for text, parts in self._ranges.items()}

    def beside(self, folder: Path) -> WordStore:
        """The same states, with the studies of their words in another folder; they are not copied, but linked to."""
        folder.mkdir(parents=True)
        (folder / KIND).symlink_to((self.folder / KIND).resolve(), target_is_directory=True)
        return WordStore(folder, self.manifest)

    @property
    def counts(self) -> Counts:
        """What became of the samples; `kept` counts states, so a sample counts once for each of its words."""
        return Counts.from_dict(self.manifest["counts"])

    @property
    def layers(self) -> list[int | str]:
        """The layers of which states were kept."""
        return self.manifest["parameters"]["layers"]

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[Activations]:
        return (self.of(word.text) for word in self.words)

    def of(self, word: str) -> Activations:
        """The activations of one word. It may have none: see `kept`.

        Raises:
            WordError: it is not among the words of the store; the nearest ones are named.
        """
        if word not in self.kept:
            near = nearest(word, [w.text for w in self.words])
            raise WordError(
                f"{word!r} is none of the {len(self)} words of {self.folder}. Words in it: {', '.join(near)}."
            )
        folder = self.folder_of(word)
        return self._view(word, folder / KIND)

    def folder_of(self, word: str) -> Path:
        """The study's folder of one word."""
        return self.folder / "words" / self._names[word]

    @cached_property
    def _names(self) -> dict[str, str]:
        """Word → the name of its folder: no two are the same, also where case does not count."""
        found: dict[str, str] = {}
        taken: set[str] = set()
        for word in self.words:
            name = plain = re.sub(r"[^\w.]+", "-", word.text).strip("-.") or "word"
            number = 1
            while name.casefold() in taken:
                number += 1
                name = f"{plain}-{number}"
            taken.add(name.casefold())
            found[word.text] = name
        return found

    @cached_property
    def _ranges(self) -> dict[str, list[tuple[int, int]]]:
        """Word → for each shard the rows `[start, stop)` that are the word's."""
        found: dict[str, list[tuple[int, int]]] = {word.text: [] for word in self.words}
        for sizes in zip(*(self.manifest["words"][text] for text in found), strict=True):
            for text, stop, size in zip(found, accumulate(sizes), sizes, strict=True):
                found[text].append((stop - size, stop))
        return found

    def _view(self, word: str, folder: Path) -> Activations:
        """The activations of one word; their manifest is written where it is not there."""
        store = self.folder / KIND
        if (folder / MANIFEST).exists():
            there = read_manifest(folder, KIND)
            if there["parents"] == {KIND: parent(store)}:
                return Activations(folder, there)
            raise ArtifactError(
                f"{folder} belongs to other states than those in {store}. Remove {folder.parent}, or name another one."
            )
        parameters = {k: v for k, v in self.manifest["parameters"].items() if k != "words"}
        parameters["word"] = next(w for w in self.manifest["parameters"]["words"] if w["text"] == word)
        counts, kept = self.counts, self.kept[word]
        without = counts.scanned - len(counts.unreadable) - kept
        content = {
            "parameters": parameters,
            "doctor": self.manifest.get("doctor"),
            "complete": True,
            "counts": Counts(counts.scanned, kept, without, counts.unreadable).as_dict(),
            "n_shards": self.manifest["n_shards"],
            "ranges": self._ranges[word],
        }
        return laid_in(folder, store, content)

    def _shown(self) -> View:
        about = f"of {len(self)} words, layers {self.layers}, in {self.folder}"
        return View("States", about, ("word", "states"), tuple(self.kept.items()))

    def __repr__(self) -> str:
        return f"<States of {len(self)} words in {self.folder}>"


def open_words(folder: str | Path) -> WordStore:
    """The states of many words in `folder`, which must be complete and whole.

    Raises:
        ArtifactError: missing, incomplete, damaged or newer.
        UsageError: it holds the states of one word.
    """
    folder = Path(folder)
    manifest = read_finished(folder / KIND, KIND, "extract")
    if not holds_many(manifest):
        raise UsageError(f"{folder} holds the states of {manifest['parameters']['word']['text']!r} alone.")
    return WordStore(folder, manifest)


def holds_many(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest of activations is that of many words."""
    return "words" in manifest["parameters"]


def index_of(words: Sequence[Word], shards: Sequence[Mapping[str, int]]) -> dict[str, list[int]]:
    """Word → how many rows it has in each shard, from the words of each shard."""
    return {word.text: [shard.get(word.text, 0) for shard in shards] for word in words}


def study_folder(folder: Path, word: str | None) -> Path:
    """The folder of the study of `word` in `folder`, which holds many; for None, `folder` itself.

    Raises:
        ArtifactError: `folder` holds no states, or is damaged.
        UsageError: it holds the states of another word alone.
        WordError: it does not have the word.
    """
    if word is None:
        return folder
    if not holds_many(manifest := read_manifest(folder / KIND, KIND)):
        there = open_activations(folder / KIND).word.text
        if there != word:
            raise UsageError(f"{folder} holds the states of {there!r}, not of {word!r}.")
        return folder
    return WordStore(folder, manifest).of(word).folder.parent
