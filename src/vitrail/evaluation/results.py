"""The scores of an evaluation, as values. `evaluation.json` and `comparison.json` hold them under the same names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from vitrail.lmm import Layer
from vitrail.notebook import Shown, View
from vitrail.scores import Disentanglement, Estimate

#: What words are scored against: images (CLIPScore) or captions (BERTScore).
MeasureName = Literal["clip", "bert"]
#: The measures as they are named for readers, in the order of the tables.
MEASURES: dict[MeasureName, str] = {"clip": "CLIPScore", "bert": "BERTScore"}
#: On what words are scored: (a) the images of their own concept, or (b) held-out images.
ProtocolName = Literal["concepts", "images"]
PROTOCOLS: tuple[ProtocolName, ...] = ("concepts", "images")
#: The controls of a score; see `protocols.py`.
ControlName = Literal["random", "frequency", "shuffled", "noise", "captions"]
#: In a `Difference` this stands in the place of a second method.
RANDOM_WORDS = "random words"
#: The controls as they are named for readers, in the order of the tables.
CONTROLS: dict[ControlName, str] = {
    "random": RANDOM_WORDS,
    "frequency": "words as frequent",
    "shuffled": "shuffled images",
    "noise": "noise images",
    "captions": "human captions",
}


# ---- words against images and captions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contrast:
    """A score compared with one control: `level` is the control's score, `gain` the score minus it.

    `p` is the p-value of the gain: from draws of the control for random, frequency and shuffled (one-sided), from
    random signs of the differences for captions and noise (two-sided). In protocol (a) the concepts of noise images
    are not paired with those of images: `gain` is the difference of the two means, and `p` comes from regrouping.
    """

    level: Estimate
    gain: Estimate
    p: float


@dataclass(frozen=True)
class Scored:
    """A score, its controls, and the values that it is the mean of: one per concept (a) or per image (b).

    `unit_random`, `unit_p` and `unit_q` are for each concept the mean of random words, the p-value against them, and
    the p-value corrected for K tests; they are empty in (b).
    """

    score: Estimate
    against: dict[ControlName, Contrast]
    units: tuple[float, ...]
    unit_random: tuple[float, ...] = ()
    unit_p: tuple[float, ...] = ()
    unit_q: tuple[float, ...] = ()


def interval_text(estimate: Estimate) -> str:
    """A mean with its 95 % interval."""
    return f"{estimate.mean:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


def _control_text(contrast: Contrast | None) -> str:
    return "–" if contrast is None else f"{contrast.level.mean:.3g}, p {contrast.p:.2g}"


# ---- dictionaries ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DictionaryScore:
    """A score of a dictionary, and the same score of `what`, its control; NaN where there is no control."""

    value: Estimate
    control: float
    what: str


@dataclass(frozen=True)
class ReleasedScores:
    """The scores of CoX-LMM's released code: the words of each concept, their overlap, and CLIPScores of test images
    with the 1 and 3 most active concepts."""

    words: list[list[str]]
    overlap: float
    top_1_mean: float
    top_1_std: float
    top_3_mean: float
    top_3_std: float


# ---- properties of samples -------------------------------------------------------------------------------------------

#: The value of a factor, as JSON has it.
FactorValue = str | int | float | bool


@dataclass(frozen=True)
class Told:
    """How well properties are told on new samples, as AUROC: by a linear probe on the states (what the states hold), by
    one on all activations (what the dictionary holds), and by the best single concept. .5 is chance.

    Of an AUROC `std` is the standard error over samples, and `n` the number of samples.
    """

    state: Estimate
    dictionary: Estimate
    concept: Estimate


@dataclass(frozen=True)
class PropertyScore:
    """How well one property is told: the value of a factor, or a word of captions.

    `concept` is the one whose activations tell it best on the samples learned from; it is judged on new ones. `learned`
    and `new` are how many samples have the property among those learned from, and among the new ones.
    """

    factor: str
    value: FactorValue
    concept: int
    learned: int
    new: int
    told: Told


@dataclass(frozen=True)
class BestValue:
    """The property that a concept matches best, chosen on the samples learned from; `auroc` is of new samples.

    `purity` is the share of the concept's most activating samples that have it, `purity_by_chance` the share of all
    samples; NaN for a concept that matches the property's absence.
    """

    concept: int
    factor: str
    value: FactorValue
    auroc: float
    purity: float
    purity_by_chance: float


@dataclass(frozen=True)
class PropertyScores:
    """What states, dictionary and single concepts hold of the properties of samples, judged on new samples: probes are
    fitted, and concepts are chosen, on the `n_learned` samples learned from, and judged on `n_new` others.

    Args:
        known: whether the properties are known factors; otherwise they are frequent words of the captions.
        mean: over all properties.
        by_factor: over the properties of each factor.
        by_chance: over all properties, with the samples learned from dealt other properties than their own; `low` and
            `high` are the smallest and the largest of several such deals.
        lost: what the dictionary loses of the states (`state` − `dictionary`), and what a single concept loses of the
            dictionary (`dictionary` − `concept`), over all properties.
        values: every property.
        concepts: every concept with its best property.
        recovery: how well the activations predict known factors; None where the properties are words.
    """

    known: bool
    n_learned: int
    n_new: int
    mean: Told
    by_factor: dict[str, Told]
    by_chance: Told
    lost: Lost
    values: tuple[PropertyScore, ...]
    concepts: tuple[BestValue, ...]
    recovery: Disentanglement | None


@dataclass(frozen=True)
class Lost:
    """Differences of mean AUROCs on the same new samples: from the states to the dictionary, and from the dictionary to
    the best single concepts."""

    dictionary: Estimate
    concept: Estimate


# ---- ablation --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AblationCounts:
    """The mean over captions before, without the concept, and without a random vector of the same norm."""

    before: float
    removed: float
    random: float


@dataclass(frozen=True)
class AblatedConcept:
    """One concept taken out of `images` images: how many of its `words` a caption has, and the share of captions that
    name its factor value (`values`; None where the value or the words that name it are not known)."""

    concept: int
    images: int
    words: AblationCounts
    factor: str | None = None
    value: FactorValue | None = None
    values: AblationCounts | None = None


@dataclass(frozen=True)
class AblationEffect:
    """Means over concepts. `gain` is `random` minus `removed`: above zero where the concept matters more than chance;
    `p` is its two-sided p-value, paired over concepts."""

    before: Estimate
    removed: Estimate
    random: Estimate
    gain: Estimate
    p: float


@dataclass(frozen=True)
class Ablation:
    """What captions lose without the concepts: of their `words`, and of their factor `values`; None without any."""

    words: AblationEffect | None
    values: AblationEffect | None
    concepts: tuple[AblatedConcept, ...]


# ---- maps ------------------------------------------------------------------------------------------------------------

#: How right a map is; see `map_scores.py`.
MapMeasureName = Literal["deletion", "insertion", "pointing", "energy", "overlap", "flip", "shift"]
#: The measures as they are named for readers, in the order of the tables.
MAP_MEASURES: dict[MapMeasureName, str] = {
    "deletion": "deletion (lower is better)",
    "insertion": "insertion",
    "pointing": "pointing",
    "energy": "energy in the part",
    "overlap": "overlap (IoU)",
    "flip": "the same when flipped",
    "shift": "the same when shifted",
}
#: What stands in the place of a map, as its control.
MapControlName = Literal["pieces", "blob", "other", "direction", "weights"]
#: The controls as they are named for readers, in the order of the tables.
MAP_CONTROLS: dict[MapControlName, str] = {
    "pieces": "pieces at random",
    "blob": "a blob in the centre",
    "other": "another concept's map",
    "direction": "a random direction",
    "weights": "random weights",
}


@dataclass(frozen=True)
class MapScore:
    """A measure of maps, and its controls. Units are images: the mean over the maps of one counts once. The `gain` of a
    contrast is above zero where the map is better than the control; its p-value is two-sided, paired over images."""

    score: Estimate
    against: dict[MapControlName, Contrast]


@dataclass(frozen=True)
class MapPart:
    """The scores of the maps that should show one part of images; `area` is the share of the image that it covers."""

    maps: int
    area: Estimate
    measures: dict[MapMeasureName, MapScore]


@dataclass(frozen=True)
class MapCurve:
    """Mean activations while pieces of images are blurred (deletion), or come back (insertion), those with the largest
    shares first; each relative to its largest end. The first and the last figure are of whole images."""

    deletion: tuple[float, ...]
    insertion: tuple[float, ...]


@dataclass(frozen=True)
class MapScores:
    """How right the maps of one method are.

    Args:
        method: its name; `answers` is the question that its maps answer.
        n_images: on how many images maps were judged, and `n_maps` how many maps.
        measures: over all maps.
        parts: over the maps that should show a part of images, where the truth is known.
        curves: the curves of the method ("map"), and of `MAP_CONTROLS["pieces"]`.
    """

    method: str
    answers: str
    n_images: int
    n_maps: int
    measures: dict[MapMeasureName, MapScore]
    parts: dict[str, MapPart]
    curves: dict[str, MapCurve]


# ---- one study -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaluationScores(Shown):
    """All scores of one study: the content of `evaluation.json`.

    Args:
        word: the word of interest; with `model`, `layer`, `method` and `n_concepts` it says what was evaluated.
        n_samples: samples learned from; `n_test` are held-out ones, which come from `test_from`.
        words: the words of each concept.
        concepts: for each measure protocol (a).
        images: for each measure and number of most active concepts protocol (b).
        dictionary: name → score; see `dictionary_scores.py`.
        released: the scores of CoX-LMM's released code.
        truth: what states, dictionary and concepts hold of known factors, or of caption words; None where there are
            neither.
        ablation: None where it was not asked for.
        maps: how right maps are; None where it was not asked for.
    """

    word: str
    model: str
    layer: Layer
    method: str
    n_concepts: int
    n_samples: int
    n_test: int
    words: list[list[str]]
    concepts: dict[MeasureName, Scored]
    images: dict[MeasureName, dict[int, Scored]]
    dictionary: dict[str, DictionaryScore]
    released: ReleasedScores
    truth: PropertyScores | None = None
    ablation: Ablation | None = None
    maps: MapScores | None = None
    test_from: str = "held-out samples"

    def _shown(self) -> View:
        scored = {(MEASURES[name], "concepts"): found for name, found in self.concepts.items()}
        for measure, tops in self.images.items():
            scored |= {(MEASURES[measure], f"images, top {top}"): found for top, found in tops.items()}
        controls = [name for name in CONTROLS if any(name in s.against for s in scored.values())]
        rows = tuple(
            (*what, interval_text(s.score), *(_control_text(s.against.get(name)) for name in controls))
            for what, s in scored.items()
        )
        about = (
            f"of “{self.word}” in {self.model}, layer {self.layer}: {self.n_concepts} concepts by {self.method}, on "
            f"{self.n_test} samples of {self.test_from}"
        )
        heads = ("score", "of", "mean [95 % interval]", *(CONTROLS[name] for name in controls))
        return View("Evaluation", about, heads, rows, notes=("Beside each control stands the p-value of the gain.",))

    def scored(self, protocol: ProtocolName, measure: MeasureName, top: int = 1) -> Scored | None:
        """The score of a protocol; in (b) with the `top` most active concepts, None where there are fewer."""
        return self.concepts[measure] if protocol == "concepts" else self.images[measure].get(top)


# ---- several methods -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A test between two methods, or between a method and random words (`second` is `RANDOM_WORDS`).

    `q` is the false discovery rate over all tests of a comparison (NaN until all are known); `real` says whether it is
    below .05.
    """

    word: str
    measure: MeasureName
    protocol: ProtocolName
    first: str
    second: str
    gain: Estimate
    p: float
    q: float = math.nan
    real: bool = False


@dataclass(frozen=True)
class LayerContrast:
    """Protocol (a) at one layer: the score, that of random words of the layer, and the test between them; `q` is
    corrected over the layers."""

    score: Estimate
    random: Estimate
    gain: Estimate
    p: float
    q: float


@dataclass(frozen=True)
class LayerScores:
    """The scores of the dictionary of one layer."""

    layer: Layer
    explained_variance: float
    clip: LayerContrast
    bert: LayerContrast

    def of(self, measure: MeasureName) -> LayerContrast:
        """The scores of one measure."""
        return self.clip if measure == "clip" else self.bert


@dataclass(frozen=True)
class SizeScores:
    """The scores of a dictionary of `n_concepts` concepts; `active` are active concepts per sample."""

    n_concepts: int
    explained_variance: float
    explained_variance_held_out: Estimate
    overlap: float
    overlap_random: float
    active: float


@dataclass(frozen=True)
class Curves:
    """The scores of one method over layers and over numbers of concepts; a curve that was not asked for is empty."""

    method: str
    layers: tuple[LayerScores, ...] = ()
    n_concepts: tuple[SizeScores, ...] = ()


#: Fields of curves whose name in `comparison.json` is another.
JSON_NAMES = {
    "explained_variance": "explained variance",
    "explained_variance_held_out": "explained variance, held out",
    "overlap_random": "overlap, random",
}


def curves_to_json(curves: Curves) -> dict[str, Any]:
    """The curves under their names in `comparison.json`."""

    def point(scores: LayerScores | SizeScores) -> dict[str, Any]:
        return {JSON_NAMES.get(f.name, f.name): getattr(scores, f.name) for f in fields(scores)}

    return {
        "method": curves.method,
        "layers": [point(s) for s in curves.layers],
        "n_concepts": [point(s) for s in curves.n_concepts],
    }


def curves_from_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Curves of a `comparison.json` under the names of the fields of `Curves`."""
    names = {name: field for field, name in JSON_NAMES.items()}

    def points(name: str) -> list[dict[str, Any]]:
        return [{names.get(k, k): v for k, v in entry.items()} for entry in values.get(name, ())]

    return {"method": values["method"], "layers": points("layers"), "n_concepts": points("n_concepts")}
