"""A comparison on disk: `shift.json` holds its findings, `shift.safetensors` the vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors.numpy import save_file

from vitrail.artifacts import (
    MANIFEST,
    check_free,
    is_current,
    manifest_of,
    plain,
    read_finished,
    read_made,
    read_tensors,
    typed,
    write_json,
    write_manifest,
    write_whole,
)
from vitrail.comparison.changes import Change, WordChange
from vitrail.comparison.layers import LayerComparison
from vitrail.comparison.matching import Matching
from vitrail.comparison.models import ModelComparison
from vitrail.comparison.options import ComparisonOptions
from vitrail.comparison.recovery import AlphaCurve, Control, RecoverySummary
from vitrail.comparison.shift_vectors import ShiftEstimator
from vitrail.lmm import Layer, ModelDescription
from vitrail.notebook import Shown, View, bars
from vitrail.scores import Correlation
from vitrail.words import Alignment, Word

KIND = "shift"
FILE, TENSORS = "shift.json", "shift.safetensors"
#: Fields that `shift.json` calls otherwise.
JSON_NAMES = {"estimator": "estimate", "alpha_curve": "sweep"}


@dataclass(frozen=True)
class ComparedStudy:
    """One of the two studies: the name of its folder, and its model."""

    folder: str
    model: ModelDescription


@dataclass(frozen=True)
class SampleCounts:
    """Samples that both studies have, that one alone has, and common ones left out as `outliers`."""

    common: int
    only_a: int
    only_b: int
    outliers: int


@dataclass(frozen=True)
class ConceptChange:
    """What became of one concept of *a*, and how far its shift recovers that. Figures are NaN without a match.

    Args:
        index: number of the concept; `n_samples` is the number of samples that activate it most.
        counterpart: the concept of *b* with its strongest link; None without a link.
        nearest: the concept of *b* with the largest cosine, `nearest_cosine`.
        match: the concept of *b* to which the shift should lead, with the cosine `cosine`; None without one.
        mass_before: its share of all activation; `mass_after` is that of its counterpart.
        words: before the fine-tune, read by *a*; `words_match` and `words_counterpart` are read by *b*, as are
            `words_shifted`, those after the shift.
        word_change: from its words to those of its counterpart, or of its match where it has none.
        samples: ids of its most activating samples; `samples_match` those of its match.
        t_overlap_before: T-Overlap with the match, in percent; `t_overlap_after` is that after the shift, with its
            interval over the samples.
        images_before: share of the match's most activating samples, in percent; `images_after` after the shift.
        cosine_gain: of the shift towards the match; see `Recovery.cosine_gain`.
        consistency: of the moves of its samples, with `pairwise_consistency` and `magnitude`; see `shift_vectors`.
    """

    index: int
    n_samples: int
    change: Change
    counterpart: int | None
    nearest: int
    match: int | None
    cosine: float
    nearest_cosine: float
    mass_before: float
    mass_after: float
    words: list[str]
    words_match: list[str]
    words_counterpart: list[str]
    words_shifted: list[str]
    word_change: WordChange
    samples: tuple[str, ...]
    samples_match: tuple[str, ...]
    t_overlap_before: float
    t_overlap_after: float
    t_overlap_interval: tuple[float, float]
    images_before: float
    images_after: float
    cosine_gain: float
    consistency: float
    pairwise_consistency: float
    magnitude: float

    @property
    def words_gain(self) -> float:
        """How much the shift raises T-Overlap with the match, in percent."""
        return self.t_overlap_after - self.t_overlap_before


@dataclass(frozen=True)
class EmergedConcept:
    """A concept of *b* that no concept of *a* accounts for, with its words and most activating samples."""

    index: int
    mass: float
    words: list[str]
    samples: tuple[str, ...]


@dataclass(frozen=True)
class ConceptAfter:
    """A concept of *b*: its words, and its share of all activation."""

    index: int
    words: list[str]
    mass: float


@dataclass(frozen=True)
class Findings:
    """What became of the concepts of a word: the content of `shift.json`.

    Args:
        word: the word of interest.
        a: the study before; `b` is the study after.
        layer: this, `alignment` and `method` are those of both studies.
        samples: how many samples were compared.
        estimator: this, `alpha` and `matching` as in `ComparisonOptions`.
        concepts: one entry per concept of *a*.
        emerged: concepts of *b* that are new.
        after: all concepts of *b*.
        flow: this, `linked` and `link_strength` (K_a, K_b) as in `matching.Links`.
        recovery: means over the concepts, before and after the shift.
        controls: what other moves than the shifts achieve.
        alpha_curve: T-Overlap over α.
        correlations: over the concepts, "measure of the shift and what it achieves" → correlation.
        layers: the comparison at every layer, where both studies have several.
        steps: the comparison with every checkpoint of a fine-tune.
        whole: the two models on the same images.
    """

    word: Word
    a: ComparedStudy
    b: ComparedStudy
    layer: Layer
    alignment: Alignment
    method: str
    samples: SampleCounts
    estimator: ShiftEstimator
    alpha: float
    matching: Matching
    concepts: tuple[ConceptChange, ...]
    emerged: tuple[EmergedConcept, ...]
    after: tuple[ConceptAfter, ...]
    flow: list[list[int]]
    linked: list[list[bool]]
    link_strength: list[list[float]]
    recovery: RecoverySummary
    controls: tuple[Control, ...]
    alpha_curve: AlphaCurve
    correlations: dict[str, Correlation]
    layers: tuple[LayerComparison, ...]
    steps: tuple[LayerComparison, ...]
    whole: ModelComparison | None

    def as_dict(self) -> dict[str, Any]:
        """The content of `shift.json`."""
        values = {JSON_NAMES.get(f.name, f.name): plain(getattr(self, f.name)) for f in fields(Findings)}
        for side in ("a", "b"):
            study: ComparedStudy = getattr(self, side)
            values[side] = {"folder": study.folder, "model": plain(study.model.as_dict())}
        return values


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of a comparison has."""

    parameters: dict[str, Any]

    def __post_init__(self) -> None:
        ComparisonOptions.from_manifest(self.parameters)


@dataclass(frozen=True)
class Comparison(Shown, Findings):
    """A comparison in a folder: its findings, and the vectors.

    Args:
        shifts: `Δ_k` of each concept of *a*, float32; `shifted` are the concepts `u_k^s`.
        mean_move: the mean of `δ_m` over all samples.
    """

    folder: Path
    manifest: Mapping[str, Any]
    shifts: Float[np.ndarray, "k d"]
    shifted: Float[np.ndarray, "k d"]
    mean_move: Float[np.ndarray, " d"]

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.manifest["parameters"]

    @property
    def options(self) -> ComparisonOptions:
        """How the studies were compared."""
        return ComparisonOptions.from_manifest(self.parameters)

    def __len__(self) -> int:
        """The number of concepts of *a*."""
        return len(self.concepts)

    def _shown(self) -> View:
        overlap = bars([c.t_overlap_after for c in self.concepts], "{:.0f} %")
        rows: list[tuple[Any, ...]] = [
            (c.index, c.change, ", ".join(c.words[:4]), ", ".join(c.words_counterpart[:4]), bar)
            for c, bar in zip(self.concepts, overlap, strict=True)
        ]
        rows += [("–", "emerged", "", ", ".join(e.words[:4]), None) for e in self.emerged]
        counts = self.recovery.counts
        about = f"of “{self.word.text}”: {self.a.model.name} → {self.b.model.name}, {self.samples.common} samples"
        note = f"With shifts {counts.better} concepts are nearer to their match, {counts.worse} farther."
        heads = ("concept", "became", "words before", "words after", "T-Overlap after the shift")
        return View("Comparison", about, heads, tuple(rows), notes=(note,))


def open_comparison(folder: str | Path) -> Comparison:
    """The comparison in `folder`.

    Raises:
        ArtifactError: missing, damaged or newer.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "compare")
    findings = read_made(folder / FILE, _findings, "compare")
    names = ("shifts", "shifted", "mean_move")
    tensors = read_tensors(folder / TENSORS, names, "compare")
    return Comparison(**vars(findings), folder=folder, manifest=manifest, **{name: tensors[name] for name in names})


def _findings(content: Mapping[str, Any]) -> Findings:
    """The content of `shift.json` as findings; the inverse of `Findings.as_dict`."""
    values = {f.name: content[JSON_NAMES.get(f.name, f.name)] for f in fields(Findings)}
    for side in ("a", "b"):
        model = ModelDescription.from_dict(content[side]["model"])
        values[side] = {"folder": content[side]["folder"], "model": vars(model)}
    return typed(_with_std(values), Findings)


def _with_std(value: Any) -> Any:
    """The same JSON, in which every mean has a standard deviation: version 0.1.0 wrote means without it."""
    if isinstance(value, list):
        return [_with_std(v) for v in value]
    if not isinstance(value, dict):
        return value
    found = {k: _with_std(v) for k, v in value.items()}
    return {"std": None, **found} if found.keys() == {"mean", "low", "high", "n"} else found


def is_made(out: Path, parameters: Mapping[str, Any], parents: Mapping[str, Any]) -> bool:
    """Whether `out` holds a comparison with these parameters of these parents.

    The page of a comparison that was removed, or files of a run that was killed, do not count as something else.

    Raises:
        ArtifactError: `out` holds another comparison, or something else.
    """
    if not (out / MANIFEST).exists():
        check_free(out, KIND)
        return False
    return is_current(out, KIND, parameters, parents)


def write_comparison(
    out: Path,
    findings: Findings,
    tensors: Mapping[str, np.ndarray],
    *,
    parameters: Mapping[str, Any],
    parents: Mapping[str, Any],
) -> Comparison:
    """Writes a comparison to the folder `out`, and opens it."""
    write_whole(out / TENSORS, lambda path: save_file({k: v.astype(np.float32) for k, v in tensors.items()}, path))
    write_json(out / FILE, findings.as_dict())
    write_manifest(out, KIND, {"parameters": parameters, "parents": parents}, [FILE, TENSORS])
    return open_comparison(out)
