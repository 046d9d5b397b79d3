"""What follows from the scores of an evaluation: each score with its control and its test, as a sentence."""

from __future__ import annotations

from typing import Any

from vitrail.artifacts import plain
from vitrail.evaluation import dictionary_scores as names
from vitrail.evaluation.methods import MethodComparison
from vitrail.evaluation.results import (
    CONTROLS,
    MAP_CONTROLS,
    RANDOM_WORDS,
    AblationEffect,
    ControlName,
    DictionaryScore,
    Difference,
    EvaluationScores,
    LayerContrast,
    MapControlName,
    MapMeasureName,
    MapScore,
    PropertyScores,
    Scored,
)
from vitrail.learners import title_of
from vitrail.scores import Alternative, Estimate, verdicts
from vitrail.scores.verdicts import Verdict

#: Controls that are drawn at random: their tests look for an increase only. The others are two-sided.
_DRAWN: frozenset[ControlName] = frozenset({"random", "frequency", "shuffled"})
#: Scores of a dictionary of which less is better.
_LOWER_IS_BETTER = frozenset({names.OVERLAP, names.PAIRWISE_COSINE})


def of_controls(scored: Scored) -> dict[ControlName, Verdict]:
    """For each control of a score, whether the score is better."""
    found: dict[ControlName, Verdict] = {}
    for name, contrast in scored.against.items():
        gain, what = contrast.gain.mean, CONTROLS[name]
        if name == "captions":
            found[name] = verdicts.against_upper_mark(gain, contrast.p, what)
        else:
            alternative: Alternative = "greater" if name in _DRAWN else "two-sided"
            found[name] = verdicts.against(gain, contrast.p, what, alternative=alternative)
    return found


def of_concept(scored: Scored, k: int) -> Verdict:
    """Whether the words of concept `k` fit its images better than random words; corrected for all concepts."""
    gain = scored.units[k] - scored.unit_random[k]
    return verdicts.against(gain, scored.unit_q[k], RANDOM_WORDS, alternative="greater", name="q")


def of_dictionary(name: str, score: DictionaryScore) -> Verdict:
    """A score of a dictionary, by its name, beside its control."""
    value = score.value
    if name == names.DEAD:
        return verdicts.dead(round(value.mean * value.n) if value.n else 0)
    if name == names.ACTIVE:
        return verdicts.sparse(value.mean, score.control)
    if name == names.STABILITY_OVER_SEEDS:
        return verdicts.stability(value.mean, "seeds", score.control)
    if name == names.STABILITY_OVER_RESAMPLES:
        return verdicts.stability(value.mean, "resamples", score.control)
    return verdicts.beside_level(value, score.control, score.what, lower_is_better=name in _LOWER_IS_BETTER)


def of_told(auroc: Estimate) -> Verdict:
    """Whether properties of new samples are told: by a probe on the states or on all activations, or by one concept."""
    return verdicts.told(auroc)


def of_truth(truth: PropertyScores) -> dict[str, Verdict]:
    """What the dictionary loses of the states, and the best concepts of the dictionary, over all properties."""
    return {
        "dictionary": verdicts.lost(truth.lost.dictionary, "the dictionary", "the states hold"),
        "concept": verdicts.lost(truth.lost.concept, "a single concept", "the dictionary holds"),
    }


def of_accuracy(accuracy: float, majority: float) -> Verdict:
    """How well a factor is predicted, beside always saying its most common value; there is no test between them."""
    if verdicts.missing(accuracy):
        return Verdict("unclear", "not measured")
    if accuracy > majority:
        return Verdict("note", "above the most common value (not tested)")
    return Verdict("bad", "no better than the most common value")


def of_ablation(effect: AblationEffect) -> Verdict:
    """Whether captions lose more without the concept than without a random vector."""
    found = verdicts.against(effect.gain.mean, effect.p, "a random vector")
    said = {"good": "the model uses it: captions lose more than by", "bad": "captions lose less than by"}
    words = found.text.replace("better than", said["good"]).replace("worse than", said["bad"])
    return Verdict(found.kind, words)


def of_difference(test: Difference) -> Verdict:
    """A test of a method against random words, or against another method."""
    if test.second == RANDOM_WORDS:
        return verdicts.against(test.gain.mean, test.q, RANDOM_WORDS, alternative="greater", name="q")
    return verdicts.between(test.gain.mean, test.q, title_of(test.second))


def of_layer(contrast: LayerContrast) -> Verdict:
    """The words of the concepts of one layer against random words of the layer; corrected for all layers."""
    return verdicts.against(contrast.gain.mean, contrast.q, RANDOM_WORDS, alternative="greater", name="q")


def of_map(score: MapScore) -> dict[MapControlName, Verdict]:
    """For each control of a measure of maps, whether maps are better."""
    return {c: verdicts.against(found.gain.mean, found.p, MAP_CONTROLS[c]) for c, found in score.against.items()}


# ---- JSON ------------------------------------------------------------------------------------------------------------


def scores_to_json(scores: EvaluationScores) -> dict[str, Any]:
    """The scores as JSON has them, with a `verdict` beside each score that has a control."""
    values = plain(scores)
    for measure, scored in scores.concepts.items():
        _add(values["concepts"][measure], scored)
        values["concepts"][measure]["unit_verdict"] = plain([of_concept(scored, k) for k in range(len(scored.unit_q))])
    for measure, by_top in scores.images.items():
        for top, scored in by_top.items():
            _add(values["images"][measure][str(top)], scored)
    for name, score in scores.dictionary.items():
        values["dictionary"][name]["verdict"] = plain(of_dictionary(name, score))
    if scores.truth is not None:
        values["truth"]["lost"]["verdict"] = plain(of_truth(scores.truth))
        for value, held in zip(values["truth"]["values"], scores.truth.values, strict=True):
            value["told"]["verdict"] = {name: plain(of_told(auroc)) for name, auroc in vars(held.told).items()}
    for what in ("words", "values"):
        effect = getattr(scores.ablation, what, None)
        if effect is not None:
            values["ablation"][what]["verdict"] = plain(of_ablation(effect))
    for name, part in scores.maps.parts.items() if scores.maps is not None else ():
        _add_of_maps(values["maps"]["parts"][name]["measures"], part.measures)
    if scores.maps is not None:
        _add_of_maps(values["maps"]["measures"], scores.maps.measures)
    return values


def _add_of_maps(values: dict[str, Any], measures: dict[MapMeasureName, MapScore]) -> None:
    for measure, score in measures.items():
        for name, verdict in of_map(score).items():
            values[measure]["against"][name]["verdict"] = plain(verdict)


def _add(values: dict[str, Any], scored: Scored) -> None:
    for name, verdict in of_controls(scored).items():
        values["against"][name]["verdict"] = plain(verdict)


def comparison_to_json(comparison: MethodComparison) -> dict[str, Any]:
    """A comparison of methods as JSON has it, with a `verdict` in every score and every test."""
    values = plain(comparison.to_json())
    values["evaluations"] = {
        word: {method: scores_to_json(scores) for method, scores in by_method.items()}
        for word, by_method in comparison.evaluations.items()
    }
    for value, test in zip(values["tests"], comparison.tests, strict=True):
        value["verdict"] = plain(of_difference(test))
    return values
