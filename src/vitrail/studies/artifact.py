"""A study on disk: activations, concepts, grounding and explanations that belong together.

    STUDY/activations/  concepts/  grounding/  explanations/  factors.json  evaluation/  report.html  summary.json

`factors.json` is there where the known factors of the samples were given, `evaluation/` where the study was evaluated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from vitrail.activations import Activations, open_activations
from vitrail.concepts import Concepts, open_concepts
from vitrail.errors import ArtifactError
from vitrail.explanation import KIND as EXPLANATIONS
from vitrail.explanation import Explanation, open_explanations
from vitrail.grounding import Grounding, open_grounding
from vitrail.scores import KnownFactors

FACTORS = "factors.json"


@dataclass(frozen=True)
class Study:
    """A study's folder, opened: its artifacts belong together. `factors` are the known factors of its samples."""

    folder: Path
    activations: Activations
    concepts: Concepts
    grounding: Grounding
    explanations: tuple[Explanation, ...] = ()
    factors: KnownFactors | None = None


def open_study(folder: str | Path) -> Study:
    """The finished study in `folder`.

    Raises:
        ArtifactError: a stage is missing, damaged, or belongs to another run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ArtifactError(f"There is no study at {folder}.")
    activations = open_activations(folder / "activations")
    concepts = open_concepts(folder / "concepts", activations)
    grounding = open_grounding(folder / "grounding", concepts)
    made = (folder / EXPLANATIONS).exists()
    explanations = tuple(open_explanations(folder / EXPLANATIONS, grounding)) if made else ()
    return Study(folder, activations, concepts, grounding, explanations, known_factors(folder))


def known_factors(folder: Path) -> KnownFactors | None:
    """The factors of the samples that the study in `folder` keeps; None where it has none.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = folder / FACTORS
    if not path.is_file():
        return None
    try:
        found: KnownFactors = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Remove it, or run the study again.") from error
    return found
