"""One dictionary over words: the same concepts for all of them, so that "snow" is one concept of dogs, cats and boats.

From the states of each word their own mean is taken off, `z − μ_w`; the concepts `U` are learned on all of them
together, with one spread. So `z ≈ μ_w + v U`: for every word these are concepts like any others, with the word's mean.

    OUT/shared.safetensors            U
    OUT/words/dog/activations         the word's states: a manifest that says where they lie
    OUT/words/dog/concepts            the concepts with the word's mean, and its activations of them

So `OUT/words/dog`, once it is grounded, is a study like any other: what takes a study takes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from jaxtyping import Float
from safetensors.numpy import save_file

from vitrail import learners, scores
from vitrail.activations import Activations, open_activations
from vitrail.activations.store import also_in
from vitrail.artifacts import (
    MANIFEST,
    check_free,
    check_parent,
    is_current,
    manifest_of,
    one_writer,
    parent,
    read_finished,
    write_manifest,
    write_whole,
)
from vitrail.concepts.choosing import Choice, Overlap
from vitrail.concepts.learning import (
    IN_MEMORY,
    Concepts,
    StabilityValues,
    Told,
    adopt_concepts,
    learn_rows,
    one_layer,
    open_concepts,
    ordinary_rows,
)
from vitrail.concepts.named import NamedConcept
from vitrail.concepts.options import LearningOptions
from vitrail.errors import UsageError
from vitrail.learners.rows import ChangedRows, JoinedRows, mean_and_spread, minus
from vitrail.notebook import Shown, View
from vitrail.progress import Progress, silent
from vitrail.words import Word

KIND = "shared"
FILE = "shared.safetensors"
Shareable: TypeAlias = learners.SemiNMF | learners.NamedSemiNMF


@dataclass(frozen=True)
class _Parameters:
    words: tuple[str, ...]


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of shared concepts has."""

    parameters: _Parameters
    stability: StabilityValues | None
    named: tuple[NamedConcept, ...] = ()
    choice: Choice | None = None


@dataclass(frozen=True)
class Use:
    """How a word uses a concept.

    Args:
        active: the share of the word's samples that activate it.
        strength: the root mean square of the word's activations, over that of the samples of all words: 1 is as much as
            words do on average.
        strongest: the share of the word's samples whose strongest concept it is.
    """

    active: float
    strength: float
    strongest: float


@dataclass(frozen=True)
class SharedConcepts(Shown):
    """The concepts of several words: `U` (n_concepts, n_features) is the same for all.

    Args:
        folder: where they lie.
        manifest: what made them.
        words: word → its concepts, with its own mean and activations.
    """

    folder: Path
    manifest: dict[str, Any]
    words: dict[str, Concepts]

    @property
    def U(self) -> np.ndarray:
        return next(iter(self.words.values())).U

    @property
    def choice(self) -> Choice | None:
        """Why there are so many concepts; None where their number was given."""
        return next(iter(self.words.values())).choice

    @property
    def named(self) -> tuple[NamedConcept, ...]:
        """The concepts that are named, with figures over the samples of all words: the first rows of `U`."""
        return next(iter(self.words.values())).named

    @property
    def stability(self) -> dict[str, list[float]] | None:
        """Of each concept over other `seeds` and over bootstrap `resamples` of all samples; None if not measured."""
        return self.manifest["stability"]

    def __len__(self) -> int:
        return len(self.U)

    def _shown(self) -> View:
        rows = tuple((k, *(uses[k].strength for uses in self.uses.values())) for k in range(len(self)))
        note = "Strengths: 1 is as much as words have on average."
        return View(
            f"{len(self)} concepts", f"of {', '.join(self.words)}", ("concept", *self.words), rows, notes=(note,)
        )

    @cached_property
    def typical(self) -> Float[np.ndarray, " k"]:
        """(n_concepts,): the root mean square of each concept's activations over the samples of all words."""
        return scores.typical_size(np.concatenate([concepts.V for concepts in self.words.values()]))

    @cached_property
    def uses(self) -> dict[str, tuple[Use, ...]]:
        """Word → how it uses each concept."""
        return {word: self._uses(concepts.V) for word, concepts in self.words.items()}

    def _uses(self, V: Float[np.ndarray, "n k"]) -> tuple[Use, ...]:
        owners = np.bincount(scores.members(V / self.typical) + 1, minlength=len(self) + 1)[1:] / len(V)
        active, size = np.mean(V != 0, axis=0), np.sqrt(np.mean(np.square(V, dtype=np.float64), axis=0))
        return tuple(
            Use(float(a), float(s), float(o)) for a, s, o in zip(active, size / self.typical, owners, strict=True)
        )


@one_writer
def share_as(
    parts: Sequence[Activations],
    options: LearningOptions,
    *,
    out: str | Path,
    overlaps: Mapping[str, Overlap] | None = None,
    progress: Progress = silent,
) -> SharedConcepts:
    """One dictionary over the words of `parts`, in the folder `out`.

    Args:
        parts: the states of each word: of one model, layer and alignment.
        options: how concepts are learned: by Semi-NMF in the centred form. Words of captions that are named, or that
            the choice of their number is judged by, are those of all samples; the words of `parts` are left out.
        overlaps: word → how concepts share words beside its mean (`grounding.overlap_of`), to be weighed where the
            number of concepts is "auto"; the mean over these words counts.

    Raises:
        UsageError: fewer than two words, one twice, states that do not go together, or options that cannot be.
        NumericsError: states that are not finite.
        ArtifactError: `out` holds something else.
    """
    out = Path(out)
    options = replace(options, layer=check_shared(parts, options))
    parameters = {**options.parameters(), "words": [part.word.text for part in parts]}
    parents = {part.word.text: parent(part.folder) for part in parts}
    if not (out / MANIFEST).exists():
        check_free(out, KIND)
    elif is_current(out, KIND, parameters, parents):
        _laid(parts, out)
        return open_shared(out, parts)
    _learn(parts, options, out, {"parameters": parameters, "parents": parents}, overlaps or {}, progress)
    return open_shared(out, parts)


def open_shared(folder: str | Path, parts: Sequence[Activations] | None = None) -> SharedConcepts:
    """The shared concepts in `folder`; where the states are given, they must be those that these were learned from.

    Raises:
        ArtifactError: missing, damaged, newer, or learned from other states.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "share")
    for part in parts or ():
        check_parent(folder, manifest, part.folder, part.word.text)
    words: list[str] = manifest["parameters"]["words"]
    homes = {word: folder_of_word(folder, words, word) for word in words}
    found = {w: open_concepts(home / "concepts", open_activations(home / "activations")) for w, home in homes.items()}
    return SharedConcepts(folder, manifest, found)


def folder_of_word(folder: Path, words: Sequence[str], word: str) -> Path:
    """The folder of one of the `words` that share a dictionary."""
    name = re.sub(r"[^\w.]+", "-", word).strip("-.").casefold() or "word"
    alike = [w for w in words if (re.sub(r"[^\w.]+", "-", w).strip("-.").casefold() or "word") == name]
    return folder / "words" / (name if len(alike) == 1 else f"{name}-{alike.index(word) + 1}")


def check_shared(parts: Sequence[Activations], options: LearningOptions) -> int | str:
    """The layer that the states share.

    Raises:
        UsageError: see `share_as`.
    """
    texts = [part.word.text for part in parts]
    if len(texts) < 2 or len(set(texts)) < len(texts):
        raise UsageError(f"A shared dictionary needs two words or more, each once; got {', '.join(texts) or 'none'}.")
    if options.method != "semi-nmf" or options.form != "centred":
        raise UsageError(
            "A shared dictionary is learned by semi-nmf in the centred form: in the paper's form states keep their "
            "means, and concepts would stand for the words themselves."
        )
    first, layer = parts[0], one_layer(parts[0], options.layer)
    for part in parts:
        other = one_layer(part, options.layer)
        differing = first.model.differences(part.model)
        if other != layer or part.options.alignment != first.options.alignment:
            differing = [
                f"layer {layer}, {first.options.alignment} / layer {other}, {part.options.alignment}",
                *differing,
            ]
        if differing:
            raise UsageError(
                f"The states of {first.word.text!r} and {part.word.text!r} do not go together: {'; '.join(differing)}."
            )
    return layer


def _laid(parts: Sequence[Activations], out: Path) -> list[Activations]:
    """The states of each word, laid in its folder in `out`."""
    words = [part.word.text for part in parts]
    return [also_in(folder_of_word(out, words, part.word.text) / "activations", part) for part in parts]


def _learn(
    parts: Sequence[Activations],
    options: LearningOptions,
    out: Path,
    made: Mapping[str, Any],
    overlaps: Mapping[str, Overlap],
    progress: Progress,
) -> None:
    """Learns the dictionary, and writes it with the concepts of every word."""
    layer, words = options.layer, [part.word.text for part in parts]
    assert layer is not None
    rows, kept = zip(*(ordinary_rows(part, layer, 1, learners.here) for part in parts), strict=True)
    means = [mean_and_spread(some, learners.here)[0].astype(some.dtype) for some in rows]
    joined: learners.Rows = JoinedRows(
        tuple(ChangedRows(some, partial(minus, mean=mean)) for some, mean in zip(rows, means, strict=True))
    )
    if 4 * sum(joined.lengths) * joined.n_features <= IN_MEMORY:
        joined = learners.ArrayRows(np.concatenate([joined[i] for i in range(len(joined.lengths))]))
    known = dict(zip(words, means, strict=True))

    def overlap(learner: Shareable) -> float:
        return float(np.mean([of(learner.moved(known[word])) for word, of in overlaps.items()]))

    learned = learn_rows(
        joined, _told(parts, kept), options, overlap_of=overlap if overlaps else None, progress=progress
    )
    learner = cast(Shareable, learned.learner)
    U = learner.components_
    write_whole(out / FILE, lambda path: save_file({"U": U}, path))
    for part, mean in zip(_laid(parts, out), means, strict=True):
        home = part.folder.parent / "concepts"
        adopt_concepts(part, learner.moved(mean), options, out=home, shared=(words, learned))
    write_manifest(out, KIND, {**made, **learned.content}, [FILE])


def _told(parts: Sequence[Activations], kept: Sequence[np.ndarray]) -> Told:
    """What is known of the samples of all words; none of these words, nor a part of one, is told of the captions."""
    rows = [np.flatnonzero(mine) for mine in kept]
    places = np.column_stack([np.repeat(np.arange(len(rows)), [len(some) for some in rows]), np.concatenate(rows)])
    forms = [form for part in parts for form in (part.word.text, *part.word.forms)]
    first, *others = (word for form in forms for word in (form, *form.split()))
    return Told(lambda numbers: [parts[i].rows[row] for i, row in places[numbers]], Word(first, tuple(others)))
