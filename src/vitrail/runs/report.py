"""`vitrail report`: the page of a study."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from vitrail.artifacts import MANIFEST, check_ours, check_parent
from vitrail.errors import ArtifactError
from vitrail.evaluation import EvaluationScores, open_evaluation
from vitrail.evaluation.one_study import FILE
from vitrail.evaluation.one_study import KIND as EVALUATION
from vitrail.reports import study_page
from vitrail.scores import KnownFactors
from vitrail.studies import Study, as_study

log = logging.getLogger(__name__)

REPORT = "report.html"


def report(study: Study | str | Path, *, out: str | Path | None = None, factors: KnownFactors | None = None) -> Path:
    """The page of a study, written to `out`, or to `report.html` in the study's folder for None.

    It shows the explanations, the known factors, and the evaluation in the study's folder. An evaluation of other
    concepts than those of the study, which were learned again since, is left out, with a warning.

    Args:
        study: a study, or its folder.
        factors: sample id → factor → value; those that the study keeps for None.

    Raises:
        ArtifactError: the study's artifacts do not belong together, its evaluation is damaged or unfinished, or the
            page cannot be written, or somebody else's is there.
    """
    study = as_study(study)
    shown = study if factors is None else replace(study, factors=factors)
    page = study.folder / REPORT if out is None else Path(out)
    check_ours([page], offer=True)
    return study_page(shown, out=page, evaluation=evaluated(study))


def evaluated(study: Study) -> EvaluationScores | None:
    """The scores of a study; None where it was not evaluated, or not with the concepts that it has now.

    Raises:
        ArtifactError: its evaluation is damaged, or was not finished.
    """
    folder = study.folder / EVALUATION
    if not any((folder / name).exists() for name in (MANIFEST, FILE)):
        return None
    found = open_evaluation(folder)
    try:
        check_parent(folder, found.manifest, study.grounding.folder, "grounding")
    except ArtifactError as error:
        log.warning("The report is without an evaluation. %s", error)
        return None
    return found.scores
