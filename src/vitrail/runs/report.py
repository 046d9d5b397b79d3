"""`vitrail report`: the page of a study."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from vitrail.artifacts import check_ours
from vitrail.errors import ArtifactError
from vitrail.evaluation import EvaluationScores, open_evaluation
from vitrail.evaluation.one_study import KIND as EVALUATION
from vitrail.reports import study_page
from vitrail.scores import KnownFactors
from vitrail.studies import Study, as_study

log = logging.getLogger(__name__)

REPORT = "report.html"


def report(study: Study | str | Path, *, out: str | Path | None = None, factors: KnownFactors | None = None) -> Path:
    """The page of a study, written to `out`, or to `report.html` in the study's folder for None.

    It shows the explanations, the known factors, and the evaluation in the study's folder. An evaluation of other
    concepts than those of the study is left out, with a warning.

    Args:
        study: a study, or its folder.
        factors: sample id → factor → value; those that the study keeps for None.

    Raises:
        ArtifactError: the study's artifacts do not belong together, or the page cannot be written, or somebody else's
            is there.
    """
    study = as_study(study)
    shown = study if factors is None else replace(study, factors=factors)
    page = study.folder / REPORT if out is None else Path(out)
    check_ours([page], offer=True)
    return study_page(shown, out=page, evaluation=evaluated(study))


def evaluated(study: Study) -> EvaluationScores | None:
    """The scores of a study; None where it was not evaluated, or not with the concepts that it has now."""
    folder = study.folder / EVALUATION
    if not folder.exists():
        return None
    try:
        return open_evaluation(folder, study.grounding).scores
    except ArtifactError as error:
        log.warning("The report is without an evaluation. %s", error)
        return None
