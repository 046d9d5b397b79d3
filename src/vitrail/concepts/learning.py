"""Learning: activations → concepts `U` and their activations `V`, with `Z ≈ V U`."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from safetensors.numpy import save_file

from vitrail import learners
from vitrail.activations import Activations, Row, open_activations
from vitrail.activations.rows import ShardRows
from vitrail.artifacts import (
    MANIFEST,
    check_parent,
    is_current,
    manifest_of,
    one_writer,
    parent,
    plain,
    read_finished,
    read_tensors,
    typed,
    write_manifest,
    write_whole,
)
from vitrail.concepts.choosing import MOST_SAMPLES, Choice, Judged, Overlap, choices_for, choose, measure_all
from vitrail.concepts.named import Labels, NamedConcept, name_concepts, properties_of, stability_of_named
from vitrail.concepts.options import LearningOptions, with_pieces
from vitrail.concepts.over_ray import over_ray
from vitrail.concepts.stability import consensus as consensus_of
from vitrail.concepts.stability import stability as stability_of
from vitrail.errors import ArtifactError, NumericsError, UsageError
from vitrail.learners import Form
from vitrail.lmm import Layer
from vitrail.notebook import Shown, View, bars
from vitrail.progress import Progress, shown, silent
from vitrail.scores import equal, matched_cosine, typical_size
from vitrail.words import Word, words_said
from vitrail.work.options import Engine

logger = logging.getLogger(__name__)

KIND = "concepts"
FILE = "concepts.safetensors"

#: A state of more than this many times the median norm is an attention sink, not an example of the word.
OUTLIER_NORM = 10.0

#: States that take more bytes than this in float32 are learned from a piece at a time. The concepts are the same.
IN_MEMORY = 2**28


@dataclass(frozen=True)
class StabilityValues:
    """See `Concepts.stability`."""

    seeds: tuple[float, ...]
    resamples: tuple[float, ...]


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of concepts has."""

    parameters: dict[str, Any]
    learner: learners.State
    scores: dict[str, float]
    dropped: tuple[str, ...]
    stability: StabilityValues | None = None
    named: tuple[NamedConcept, ...] = ()
    choice: Choice | None = None

    def __post_init__(self) -> None:
        options = LearningOptions.from_manifest(self.parameters)
        options.learner()  # its method is known
        if options.layer is None:
            raise ValueError("`parameters.layer` is missing")
        centred = ("mean_share",) if options.form != "paper" else ()
        if lacking := [n for n in ("explained_variance", "active", "dead", *centred) if n not in self.scores]:
            raise ValueError(f"`scores.{lacking[0]}` is missing")


@dataclass(frozen=True)
class Concepts(Shown):
    """Concepts of a word: `U` (n_concepts, n_features), `V` (n_samples, n_concepts), and the learner that made them."""

    folder: Path
    manifest: dict[str, Any]
    learner: learners.Learner
    V: np.ndarray
    kept: np.ndarray

    @property
    def U(self) -> np.ndarray:
        return self.learner.components_

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest["parameters"]

    @property
    def options(self) -> LearningOptions:
        """How the concepts were learned; passed to `learn_as`, it learns in the same way again, with as many concepts
        where their number was chosen."""
        options = LearningOptions.from_manifest(self.parameters)
        return options if self.choice is None else self.choice.of(options)

    @property
    def choice(self) -> Choice | None:
        """Why there are so many concepts, and what else was tried; None where their number was given."""
        found = self.manifest.get("choice")
        return None if found is None else typed(found, Choice)

    @property
    def layer(self) -> Layer:
        return self.parameters["layer"]

    @property
    def named(self) -> tuple[NamedConcept, ...]:
        """The concepts that are named: the first rows of `U`. The others were found."""
        return typed(self.manifest.get("named", []), tuple[NamedConcept, ...])

    @property
    def mean(self) -> np.ndarray | None:
        """The mean of the states (n_features,) where it is a row of its own, beside the concepts; else None."""
        return None if self.options.form == "paper" else self.learner.intercept

    @property
    def scores(self) -> dict[str, float]:
        """Explained variance, share of zero activations and the like; see `describe_fit`."""
        return self.manifest["scores"]

    @property
    def stability(self) -> dict[str, list[float]] | None:
        """Of each concept over other `seeds` and over bootstrap `resamples`, 1 is the same; None if not measured."""
        return self.manifest.get("stability")

    def __len__(self) -> int:
        return len(self.U)

    @cached_property
    def percentiles(self) -> np.ndarray:
        """(n_samples, n_concepts): each column of `V` sorted, to look up where a new activation stands."""
        return np.sort(self.V, axis=0)

    def percentile(self, activations: np.ndarray) -> np.ndarray:
        """For activations (n_concepts,) the percentage of training samples whose activation is smaller (ties half)."""
        columns = zip(self.percentiles.T, activations, strict=True)
        below = [np.searchsorted(c, a, "left") + np.searchsorted(c, a, "right") for c, a in columns]
        return np.array(below) * (50.0 / len(self.V))

    @cached_property
    def typical(self) -> np.ndarray:
        """(n_concepts,): the root mean square of each concept's activations over the samples learned from."""
        return typical_size(self.V)

    def strengths(self, V: np.ndarray) -> np.ndarray:
        """Activations (n_samples, n_concepts) in multiples of the typical one of each concept: of no unit."""
        return V / self.typical

    def comparable(self, V: np.ndarray) -> np.ndarray:
        """Activations (n_samples, n_concepts) by which the concepts of a sample are compared with each other: their
        strengths, or in the paper's form the activations themselves."""
        return self.strengths(V) if self.options.standardised else V

    def _shown(self) -> View:
        sizes, stable = bars(np.abs(self.strengths(self.V)).mean(axis=0).tolist()), self.stability
        over = [None] * len(self) if stable is None else stable["resamples"]
        about = f"by {self.parameters['method']} at layer {self.layer}"
        explained = self.scores.get("explained_variance")
        notes = () if explained is None else (f"They explain {explained:.1%} of the variance of the states.",)
        rows = tuple(zip(range(len(self)), sizes, over, strict=True))
        heads = ("concept", "mean strength", "stability over resamples")
        return View(f"{len(self)} concepts", about, heads, rows, notes=notes)


def learn(
    activations: Activations | str | Path,
    *,
    out: str | Path | None = None,
    layer: int | str | None = None,
    method: str = "semi-nmf",
    n_concepts: int | Literal["auto"] = 20,
    penalty: float | None = None,
    seed: int = 0,
    stability: int = 4,
    consensus: bool = False,
    form: Form = "centred",
    engine: Engine = "local",
    progress: Progress | bool = True,
) -> Concepts:
    """`n_concepts` concepts of the states of one layer, written to the folder `out`.

    In the centred form the mean of the states is a row of its own; in the paper's, states are neither centred nor
    scaled, as in CoX-LMM's released code. States with more than `OUTLIER_NORM` times the
    median norm are left out and named in the manifest. Semi-NMF learns straight from the folder where the states take
    more than `IN_MEMORY` bytes; the other methods load them all.

    Args:
        activations: the states, or their folder.
        out: the folder `concepts` beside that of the states for None.
        layer: this and the following as in `LearningOptions`.
        engine: "ray" for many processes of this machine (Semi-NMF alone), `learn_as` knows a cluster as well; the
            result is the same.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        UsageError: no such layer or method, more concepts than samples, or options that do not go together.
        NumericsError: states that are not finite.
        ArtifactError: `out` holds something else.
    """
    options = LearningOptions(layer, method, n_concepts, penalty, seed, stability, consensus, form)
    states = activations if isinstance(activations, Activations) else open_activations(activations)
    with shown(progress) as tell:
        return learn_as(states, options, out=out or states.folder.parent / KIND, engine=engine, progress=tell)


@one_writer
def learn_as(
    activations: Activations,
    options: LearningOptions,
    *,
    out: str | Path,
    engine: Engine = "local",
    address: str | None = None,
    labels: Labels | None = None,
    overlap_of: Overlap | None = None,
    progress: Progress = silent,
) -> Concepts:
    """`learn` with its options as one value: those of other concepts learn in the same way again; see `learn`.

    Args:
        address: of a running Ray cluster; one is started on this machine for None.
        labels: more concepts that are named: name → the ids of the samples that have it. The others lack it.
        overlap_of: how concepts share words (`grounding.overlap_of`), to be weighed where their number is "auto".
    """
    out = Path(out)
    layer = one_layer(activations, options.layer)
    options = replace(options, layer=layer)
    learner = options.learner()
    if options.method not in learners.LEARNERS:
        raise UsageError(f"The features of an {learner.title} are read, not learned: `vitrail import`.")
    if learner.prototypes:
        options = replace(options, form="paper")
    if engine not in ("local", "ray"):
        raise UsageError(f"Unknown engine {engine!r}: expected 'local' or 'ray'.")
    if engine == "ray" and not learner.out_of_core:
        raise UsageError(f"{learner.title} cannot learn with the engine 'ray'. These can: {with_pieces()}.")
    labels = {name: sorted(ids) for name, ids in (labels or {}).items()}
    parameters = options.parameters() | ({"labels": _hash_of(labels)} if labels else {})
    made = {"parameters": parameters, "parents": {"activations": parent(activations.folder)}}
    if is_current(out, KIND, made["parameters"], made["parents"]):
        return open_concepts(out, activations)
    with _mapping(engine, address) as over:
        rows, kept = ordinary_rows(activations, layer, options.n_samples, over)
        in_memory = engine == "local" and 4 * len(kept) * rows.n_features <= IN_MEMORY
        if in_memory or not learner.out_of_core:
            rows = learners.ArrayRows(np.concatenate([rows[i] for i in range(len(rows.lengths))]))
        _check_different(rows, layer)
        told = Told(lambda numbers: [activations.rows[i] for i in np.flatnonzero(kept)[numbers]], activations.word)
        learned = learn_rows(rows, told, options, labels=labels, overlap_of=overlap_of, over=over, progress=progress)
        learner = learned.learner
        V, scores = _describe(learner, rows, over)
    if scores["dead"] == len(learner.components_):
        raise UsageError(
            f"No sample activates any of the {len(learner.components_)} concepts that {learner.title} found in the "
            f"states of layer {layer}. Ask for another layer, a smaller penalty or the other form."
        )
    engine_used = {"name": engine, "in_memory": isinstance(rows, learners.ArrayRows)}
    return _write(
        out, activations, learner, V, kept, {**made, "engine": engine_used, "scores": scores, **learned.content}
    )


@dataclass(frozen=True)
class Told:
    """What is known of the samples whose states are learned from.

    Args:
        about: the rows of activations behind some of the states, by the numbers of these.
        word: the word of interest, with all that is not to be told of the captions as its forms.
    """

    about: Callable[[np.ndarray], list[Row]]
    word: Word


@dataclass(frozen=True)
class Learned:
    """A fitted learner, the stability of its concepts, those that are named, and the choice of their number."""

    learner: learners.Learner
    stability: dict[str, list[float]] | None
    named: tuple[NamedConcept, ...] = ()
    choice: Choice | None = None

    @property
    def content(self) -> dict[str, Any]:
        """What a manifest says of it, beside the learner."""
        found: dict[str, Any] = {"stability": self.stability}
        found |= {"named": plain(self.named)} if self.named else {}
        return found | ({} if self.choice is None else {"choice": plain(self.choice)})


def learn_rows(
    rows: learners.Rows,
    told: Told,
    options: LearningOptions,
    *,
    labels: Labels | None = None,
    overlap_of: Overlap | None = None,
    over: learners.Map = learners.here,
    progress: Progress = silent,
) -> Learned:
    """The concepts of `rows`, as `learn_as` learns them: named first, their number chosen where it is "auto".

    Raises:
        UsageError: options that do not go together, or more concepts than different states.
    """
    naming, choice, learner = _naming(told, options, labels or {}, rows, over), None, options.learner()
    if options.n_concepts == "auto":
        judged = _judged(told, options, naming, rows, over)
        choice = choose(measure_all(choices_for(options, judged.Z), judged, overlap_of, progress))
        options = choice.of(options)
        learner = options.learner()
    if naming is not None:
        learner = _beside(naming.named, options)
    try:
        _fit(learner, rows, over, progress)
    except ValueError as error:
        raise UsageError(str(error)) from error
    found = _stability(learner, rows, over, options, progress)
    if naming is None:
        return Learned(learner, found, choice=choice)
    if found is not None:
        found["resamples"][: learner.n_named] = naming.stability(options).tolist()
    return Learned(learner, found, naming.concepts, choice)


@one_writer
def adopt_concepts(
    activations: Activations,
    learner: learners.Learner,
    options: LearningOptions,
    *,
    out: str | Path,
    shared: tuple[Sequence[str], Learned] | None = None,
) -> Concepts:
    """The concepts of a learner, whoever fitted it, with their activations on `activations`, in the folder `out`.

    Args:
        learner: fitted; its concepts are as wide as the states.
        options: what is known of how it was fitted; `layer` says which states are its.
        shared: the words that share the dictionary, and what was learned from the states of all of them: then there
            may be more concepts than states, and what is in `out` is made anew.

    Raises:
        UsageError: more concepts than states, or concepts of another width.
        NumericsError: states that are not finite.
        ArtifactError: `out` holds something else.
    """
    out, layer = Path(out), one_layer(activations, options.layer)
    words, learned = shared or ((), Learned(learner, None))
    made = {
        "parameters": replace(options, layer=layer).parameters() | ({"shared": list(words)} if words else {}),
        "parents": {"activations": parent(activations.folder)},
    }
    if shared is None and is_current(out, KIND, made["parameters"], made["parents"]):
        return open_concepts(out, activations)
    rows, kept = ordinary_rows(activations, layer, 1 if words else len(learner.components_), learners.here)
    if learner.components_.shape[1] != rows.n_features:
        raise UsageError(f"Concepts have {learner.components_.shape[1]} features, states {rows.n_features}.")
    V, scores = _describe(learner, rows, learners.here)
    engine = {"name": "local" if words else "imported", "in_memory": True}
    return _write(out, activations, learner, V, kept, {**made, "engine": engine, "scores": scores, **learned.content})


def _write(
    out: Path,
    activations: Activations,
    learner: learners.Learner,
    V: np.ndarray,
    kept: np.ndarray,
    content: Mapping[str, Any],
) -> Concepts:
    """Writes concepts; `content` is what the manifest says beside the learner, the dropped samples and the files."""
    tensors, state = learners.save(learner)
    tensors = {f"learner.{k}": v for k, v in tensors.items()} | {"V": np.ascontiguousarray(V), "kept": kept}
    write_whole(out / FILE, lambda path: save_file(tensors, path))
    ids = [] if kept.all() else activations.sample_ids()
    manifest = write_manifest(
        out,
        KIND,
        {
            **content,
            "learner": state,
            "dropped": [ids[i] for i in np.flatnonzero(~kept)],
        },
        [FILE],
    )
    return Concepts(out, manifest, learner, V, kept)


@dataclass(frozen=True)
class _Naming:
    """The named concepts, and what they were made from: states `Z` of a sample, and which rows have what."""

    named: learners.Named
    concepts: tuple[NamedConcept, ...]
    Z: np.ndarray
    has: np.ndarray

    def stability(self, options: LearningOptions) -> np.ndarray:
        return stability_of_named(self.named, self.Z, self.has, options.stability, options.seed)


def _naming(
    told: Told, options: LearningOptions, labels: Labels, rows: learners.Rows, over: learners.Map
) -> _Naming | None:
    """The concepts that are named, of all states or of a sample of them where they are many; None without any."""
    if not (options.named or labels):
        return None
    if options.method != "semi-nmf":
        raise UsageError(f"{options.method} has no named concepts; semi-nmf has.")
    Z, numbers = _sample(options, rows, over)
    properties = properties_of(options.named, labels, told.about(numbers), told.word)
    named, made, has = name_concepts(Z, properties, options.named, labels, options.seed)
    return _Naming(named, made, Z, has)


def _sample(
    options: LearningOptions, rows: learners.Rows, over: learners.Map, most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The states of a sample of the rows, at most so many, and their numbers."""
    numbers = learners.sampled(rows, np.random.RandomState(options.seed), most)
    return np.asarray(learners.sample(rows, np.random.RandomState(options.seed), over, most)), numbers


def _judged(
    told: Told, options: LearningOptions, naming: _Naming | None, rows: learners.Rows, over: learners.Map
) -> Judged:
    """What the number of concepts is chosen on: a sample of the states, or what named concepts leave of it."""
    Z, numbers = _sample(options, rows, over, MOST_SAMPLES)
    said = words_said(row.references for row in told.about(numbers))
    return Judged.of(Z if naming is None else naming.named.left(Z), said, told.word)


def _beside(named: learners.Named, options: LearningOptions) -> learners.Learner:
    n = len(named.directions) + options.n_samples
    return learners.NamedSemiNMF(n, named=named, penalty=options.penalty, form=options.form, random_state=options.seed)


def _hash_of(labels: Labels) -> str:
    return hashlib.sha256(json.dumps(labels, default=list).encode()).hexdigest()[:16]


@contextmanager
def _mapping(engine: str, address: str | None) -> Iterator[learners.Map]:
    if engine == "local":
        yield learners.here
    else:
        with over_ray(address) as over:
            yield over


def ordinary_rows(
    activations: Activations, layer: int | str, n_concepts: int, over: learners.Map
) -> tuple[learners.Rows, np.ndarray]:
    """The states to learn from, in pieces, and which ones they are, (n,) bool; outliers are left out.

    Raises:
        UsageError: they are fewer than `n_concepts`.
        NumericsError: some are not finite.
    """
    norms = np.concatenate(list(over(lambda _, Z: _norms(Z), ShardRows(activations, layer))))
    if not np.isfinite(norms).all():
        raise NumericsError(f"{(~np.isfinite(norms)).sum()} of {len(norms)} states of layer {layer} are not finite.")
    kept = _ordinary(norms)
    try:
        learners.check_squares(float(norms[kept].max(initial=0)), len(norms), np.dtype(np.float32))
    except ValueError as error:
        raise NumericsError(f"States of layer {layer}: {error}.") from error
    if n_concepts > kept.sum():
        raise UsageError(
            f"Cannot learn {n_concepts} concepts from {kept.sum()} samples. "
            "Ask for fewer concepts, or extract from more samples."
        )
    return ShardRows(activations, layer, kept), kept


def _check_different(rows: learners.Rows, layer: int | str) -> None:
    """Raises `UsageError` if all states are the same."""
    if learners.count_different(rows, 2) < 2:
        n = sum(rows.lengths)
        what = "There is one state" if n == 1 else f"All {n} states are the same"
        raise UsageError(
            f"{what} at layer {layer}: concepts tell how states differ. Ask for another layer, or for more samples."
        )


def _fit(learner: learners.Learner, rows: learners.Rows, over: learners.Map, progress: Progress) -> None:
    if learner.out_of_core:
        cast(learners.PieceLearner, learner).fit_rows(rows, over, progress=progress)
    elif isinstance(rows, learners.ArrayRows):
        learner.fit(rows.Z, progress=progress)


def _stability(
    learner: learners.Learner,
    rows: learners.Rows,
    over: learners.Map,
    options: LearningOptions,
    progress: Progress,
) -> dict[str, list[float]] | None:
    """The stability of each concept, for the manifest; puts the consensus in their place, where that is wanted."""
    n_runs = options.stability
    if n_runs == 0:
        return None
    part = learners.sample(rows, np.random.RandomState(0), over)
    found = stability_of(learner, part, n_runs=n_runs, progress=progress)
    if options.consensus:
        cast(learners.PieceLearner, learner).adopt(consensus_of([learner.components_, *found.other_seeds]), rows, over)
        cosines = np.array([matched_cosine(learner.components_, U) for U in found.runs])
        return {"seeds": cosines[:n_runs].mean(0).tolist(), "resamples": cosines[n_runs:].mean(0).tolist()}
    return {"seeds": found.seeds.tolist(), "resamples": found.resamples.tolist()}


def one_layer(activations: Activations, layer: int | str | None) -> int | str:
    """The layer that is meant: the only one for None, counted from the last for a negative number."""
    if layer is None:
        if len(activations.layers) > 1:
            raise UsageError(f"Several layers were extracted: {activations.layers}. Say which one to learn from.")
        return activations.layers[0]
    return activations.layer(layer)


def ordinary(Z: np.ndarray) -> np.ndarray:
    """(n,) bool: rows whose norm is at most `OUTLIER_NORM` times the median norm."""
    return _ordinary(_norms(Z))


def _norms(Z: np.ndarray) -> np.ndarray:
    """(n,) float64: float32 cannot hold the squares of all that it holds."""
    return np.linalg.norm(Z.astype(np.float64), axis=1)


def _ordinary(norms: np.ndarray) -> np.ndarray:
    return norms <= OUTLIER_NORM * np.median(norms)


def describe_fit(Z: np.ndarray, V: np.ndarray, learner: learners.Learner) -> dict[str, float]:
    """How well and how sparsely `V` and the concepts stand for `Z`.

    `explained_variance` = 1 − ‖Z − Ẑ‖² / ‖Z − mean Z‖²; `named_variance` is that of the named concepts alone;
    `relative_error` = ‖Z − Ẑ‖ / ‖Z‖; `mean_share` is the share of
    ‖Z‖² that is the mean's, n ‖mean Z‖² / ‖Z‖²; `zeros` is the share of
    activations that are zero, `active` the mean number of concepts that are not, per sample; `dead` counts concepts
    that no sample activates.
    """
    return _FitSums.of(Z, V, learner).scores()


@dataclass(frozen=True)
class _FitSums:
    """What `describe_fit` needs of the states, in sums over them."""

    n: int
    total: np.ndarray
    squares: float
    residual: float
    uses: np.ndarray
    named: float | None  # the residual of the named concepts alone

    @classmethod
    def of(cls, Z: np.ndarray, V: np.ndarray, learner: learners.Learner) -> _FitSums:
        Z = Z.astype(np.float64)
        residual = np.sum((Z - learner.inverse_transform(V)) ** 2)
        named = None
        if isinstance(learner, learners.NamedSemiNMF):
            alone = np.where(np.arange(V.shape[1]) < learner.n_named, V, 0)
            named = float(np.sum((Z - learner.inverse_transform(alone)) ** 2))
        return cls(len(Z), Z.sum(0), float(np.sum(Z**2)), float(residual), np.sum(V != 0, axis=0), named)

    def __add__(self, other: _FitSums) -> _FitSums:
        return _FitSums(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
            self.residual + other.residual,
            self.uses + other.uses,
            None if self.named is None or other.named is None else self.named + other.named,
        )

    def scores(self) -> dict[str, float]:
        rounding = 1e-12 * self.squares
        of_mean = float(np.sum(self.total**2)) / self.n
        variance = self.squares - of_mean

        def explained(residual: float) -> float:
            return 1 - residual / variance if variance > rounding else float(residual == 0)

        return {
            "explained_variance": explained(self.residual),
            **({} if self.named is None else {"named_variance": explained(self.named)}),
            "relative_error": float(np.sqrt(self.residual / max(self.squares, np.finfo(float).tiny))),
            "mean_share": of_mean / max(self.squares, np.finfo(float).tiny),
            "zeros": 1 - float(self.uses.sum()) / (self.n * len(self.uses)),
            "active": float(self.uses.sum()) / self.n,
            "dead": int(np.sum(self.uses == 0)),
        }


def _describe(
    learner: learners.Learner, rows: learners.Rows, over: learners.Map
) -> tuple[np.ndarray, dict[str, float]]:
    """The activations of all rows, what `describe_fit` says of them, and how many concepts equal an earlier one."""

    def piece(_: int, Z: np.ndarray) -> tuple[np.ndarray, _FitSums]:
        V = np.asarray(learner.transform(Z))
        return V, _FitSums.of(Z, V, learner)

    n, start, sums = sum(rows.lengths), 0, []
    V = np.empty((n, len(learner.components_)), dtype=rows.dtype)
    for codes, of_piece in over(piece, rows):
        V[start : start + len(codes)] = codes
        start += len(codes)
        sums.append(of_piece)
    return V, reduce(add, sums).scores() | {"equal": equal(learner.components_)}


def open_concepts(folder: str | Path, activations: Activations | None = None) -> Concepts:
    """The concepts in `folder`; when `activations` are given, they must be the ones that it was made from.

    Raises:
        ArtifactError: missing, damaged, newer, or made from other activations.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "learn")
    if activations is not None:
        check_parent(folder, manifest, activations.folder, "activations")
    tensors = read_tensors(folder / FILE, ("V", "kept"), "learn")
    own = {k.removeprefix("learner."): v for k, v in tensors.items() if k.startswith("learner.")}
    try:
        learner = learners.load(own, manifest["learner"])
    except ArtifactError as error:
        raise ArtifactError(f"{folder / MANIFEST}: {error}. Remove {folder} and learn again.") from error
    return Concepts(folder, manifest, learner, tensors["V"], tensors["kept"])
