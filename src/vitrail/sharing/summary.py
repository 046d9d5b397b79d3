"""What was found, as one value that experiment trackers take: scores by name, and concepts with pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vitrail.artifacts import MANIFEST
from vitrail.artifacts.manifest import any_manifest
from vitrail.comparison import Comparison, open_comparison
from vitrail.errors import UsageError
from vitrail.evaluation import open_evaluation
from vitrail.finetuning import FineTune, open_finetune
from vitrail.steering import Steering, open_steering
from vitrail.studies import Study, open_study

_OPENERS: dict[str, Callable[[Path], Comparison | Steering | FineTune]] = {
    "shift": open_comparison,
    "steering": open_steering,
    "finetune": open_finetune,
}
#: At most so many pictures of a concept go along.
PICTURES = 5


@dataclass(frozen=True)
class Entry:
    """A row of the table: a concept, or what became of one.

    Args:
        title: what it is called.
        values: column → text or number; the same columns in all rows.
        pictures: small JPEGs of the samples that activate it most.
    """

    title: str
    values: dict[str, str | float]
    pictures: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Summary:
    """What is logged of an artifact.

    Args:
        name: of the artifact.
        kind: "study", "comparison", "steering" or "finetune".
        scores: name → value, without those that are missing. No name goes on from another at a slash: MLflow keeps them
            as files.
        parameters: how it was made, as text.
        entries: the rows of its table.
        curves: name → values by step, such as a loss.
    """

    name: str
    kind: str
    scores: dict[str, float]
    parameters: dict[str, str] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    curves: dict[str, dict[int, float]] = field(default_factory=dict)


def summary_of(artifact: Study | Comparison | Steering | FineTune | str | Path, *, pictures: bool = True) -> Summary:
    """The summary of an artifact, or of the one in a folder; a study's evaluation is in it, where there is one.

    Args:
        pictures: whether small pictures of the data go along.

    Raises:
        UsageError: it is of another kind.
        ArtifactError: it is missing or damaged.
    """
    found = _opened(Path(artifact)) if isinstance(artifact, str | Path) else artifact
    if isinstance(found, Study):
        return _study(found, pictures)
    if isinstance(found, Comparison):
        return _comparison(found)
    if isinstance(found, Steering):
        norms = found.norms if found.method.is_vector else {}
        scores = {f"norm/layer {layer}": float(value) for layer, value in norms.items()}
        return Summary(_name(found.folder), "steering", scores, _texts(found.parameters))
    if isinstance(found, FineTune):
        loss = found.loss
        scores = {"held-out loss before": loss.first, "held-out loss": loss.lowest, "best step": float(loss.best)}
        training = dict(enumerate(map(float, loss.training), 1))
        return Summary(found.folder.name, "finetune", scores, _texts(found.parameters), curves={"loss": training})
    raise UsageError(f"A {type(found).__name__} has no summary. Name a study, a comparison, a steering or a fine-tune.")


def _opened(folder: Path) -> Study | Comparison | Steering | FineTune:
    if not (folder / MANIFEST).is_file():
        return open_study(folder)
    kind = any_manifest(folder / MANIFEST)["kind"]
    if kind not in _OPENERS:
        raise UsageError(f"{folder} holds {kind}. Name a study, a comparison, a steering or a fine-tune.")
    return _OPENERS[kind](folder)


def _study(study: Study, pictures: bool) -> Summary:
    concepts, stable = study.learned, study.learned.stability
    scores = {name: float(value) for name, value in concepts.scores.items()}
    for over, values in (stable or {}).items():
        scores[f"stability over {over}"] = sum(values) / len(values)
    if (study.folder / "evaluation" / MANIFEST).is_file():
        for measure, scored in open_evaluation(study.folder / "evaluation").scores.concepts.items():
            scores[f"evaluation/{measure}/score"] = scored.score.mean
            scores |= {f"evaluation/{measure}/{name}": c.level.mean for name, c in scored.against.items()}
    entries = tuple(
        Entry(
            study.titles[c.index],
            {
                "concept": float(c.index),
                "title": study.titles[c.index],
                "share of samples": c.share,
                "words": ", ".join(w.word for w in c.words),
                "stability": math.nan if stable is None else stable["resamples"][c.index],
            },
            tuple(study.activations.rows[s.row].thumbnail for s in c.samples[:PICTURES]) if pictures else (),
        )
        for c in study
    )
    made = {"word": study.activations.word.text, "model": study.activations.model.name, **concepts.parameters}
    return Summary(study.folder.name, "study", _known(scores), _texts(made), entries)


def _comparison(found: Comparison) -> Summary:
    changes = [c.change for c in found.concepts]
    scores = {f"concepts/{change}": float(changes.count(change)) for change in dict.fromkeys(changes)}
    scores["concepts/emerged"] = float(len(found.emerged))
    for name in ("words_before", "words_after"):
        scores[f"recovery/{name}"] = getattr(found.recovery, name).mean
    entries = tuple(
        Entry(
            str(c.index),
            {
                "concept": float(c.index),
                "became": c.change,
                "words before": ", ".join(c.words),
                "words after": ", ".join(c.words_counterpart),
                "T-Overlap": c.t_overlap_after,
            },
        )
        for c in found.concepts
    )
    return Summary(found.folder.name, "comparison", _known(scores), _texts(found.parameters), entries)


def _name(folder: Path | None) -> str:
    return "steering" if folder is None else folder.name


def _known(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def _texts(parameters: Mapping[str, object]) -> dict[str, str]:
    """Parameters that are one value; descriptions of models by their names."""
    found = {}
    for name, value in parameters.items():
        value = value.get("name") if isinstance(value, Mapping) else value
        if isinstance(value, str | int | float | list | tuple) and value not in ((), []):
            found[name] = str(value)
    return found
