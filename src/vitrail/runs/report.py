"""`vitrail report`: the page of a study."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitrail.errors import ArtifactError
from vitrail.evaluation import open_evaluation
from vitrail.evaluation.one_study import KIND as EVALUATION
from vitrail.reports import study_page
from vitrail.scores import KnownFactors
from vitrail.studies import Study

log = logging.getLogger(__name__)


def report(study: Study, *, out: str | Path | None = None, factors: KnownFactors | None = None) -> Path:
    """The page of a study, `STUDY/report.html` or `out`: the same one whichever command writes it.

    It shows the explanations, the factors that the study knows (or `factors`), and the evaluation in the study's
    folder. An evaluation of other concepts than those that are there now is left out, with a warning.

    Raises:
        ArtifactError: the study's artifacts do not belong together, or the page cannot be written.
    """
    return study_page(
        study.activations,
        study.concepts,
        study.grounding,
        out=study.folder / "report.html" if out is None else out,
        explanations=study.explanations,
        factors=study.factors if factors is None else factors,
        evaluation=_evaluated(study),
    )


def _evaluated(study: Study) -> Mapping[str, Any] | None:
    """The scores of a study; None where it was not evaluated, or not as it is now."""
    folder = study.folder / EVALUATION
    if not folder.exists():
        return None
    try:
        return open_evaluation(folder, study.grounding).scores
    except ArtifactError as error:
        log.warning("The report is without an evaluation. %s", error)
        return None
