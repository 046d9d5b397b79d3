"""`vitrail evaluate STUDY`: the scores of a study, in its folder and on its page."""

from __future__ import annotations

from pathlib import Path

from vitrail.artifacts import write_whole
from vitrail.evaluation import (
    Evaluation,
    EvaluationData,
    EvaluationFolders,
    EvaluationOptions,
    Scorers,
    score_study,
)
from vitrail.evaluation.one_study import KIND
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.reports.layout import markdown
from vitrail.reports.tables import study_tables
from vitrail.runs.report import report
from vitrail.studies import Study

#: The tables of an evaluation, beside its scores.
TABLES = "evaluation.md"


def evaluate(
    study: Study,
    lmm: LMM,
    data: EvaluationData,
    *,
    scorers: Scorers,
    options: EvaluationOptions | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """The scores of a study, each beside its controls: CLIPScore and BERTScore in both protocols of CoX-LMM (Parekh et
    al. 2024), scores of the dictionary, and of known factors.

    Writes `evaluation.json` and `evaluation.md` to `out`, and the study's report anew. What is finished is kept.

    Args:
        lmm: the model that the study is of.
        data: the samples of the study, and held-out ones.
        options: which controls are made; see `EvaluationOptions`.
        out: the folder `evaluation` of the study for None. Only the one there is shown in the report. States of
            held-out samples and of noise images, and embeddings, lie beside it.

    Raises:
        DataError: a sample of the study is not in `data.samples`, or a test sample was learned from.
        WordError: the held-out samples do not have the word.
        ArtifactError: the artifacts do not belong together, or `out` holds another evaluation.
    """
    folders = EvaluationFolders.beside(study.folder / KIND if out is None else out)
    made = score_study(study, lmm, data, scorers, folders, options, progress)
    text = "\n".join(markdown(table) for table in study_tables(made.scores))
    write_text(made.folder / TABLES, text)
    report(study, factors=data.factors)
    return made


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    write_whole(path, lambda partial: _write(partial, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
