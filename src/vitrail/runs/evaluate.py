"""`vitrail evaluate STUDY`: the scores of a study, in its folder and on its page."""

from __future__ import annotations

from pathlib import Path

from vitrail.artifacts import beside, check_ours, write_ours, writing
from vitrail.errors import UsageError
from vitrail.evaluation import (
    Evaluation,
    EvaluationData,
    EvaluationFolders,
    EvaluationOptions,
    Scorers,
    score_study,
)
from vitrail.evaluation.map_parts import parts_of_study
from vitrail.evaluation.one_study import KIND
from vitrail.extraction import check_word
from vitrail.lmm import LMM, as_lmm
from vitrail.maps import check_mapped
from vitrail.maps.methods.registry import map_method
from vitrail.progress import Progress, shown
from vitrail.reports.layout import markdown
from vitrail.reports.tables import study_tables
from vitrail.runs.report import report
from vitrail.studies import Study, as_study, samples_of_rows, unseen_samples

#: The tables of an evaluation, beside its scores.
TABLES = "evaluation.md"


def evaluate(
    study: Study | str | Path,
    lmm: LMM | str | Path | None = None,
    data: EvaluationData | str | Path | None = None,
    *,
    scorers: Scorers | None = None,
    options: EvaluationOptions | None = None,
    out: str | Path | None = None,
    progress: Progress | bool = True,
) -> Evaluation:
    """The scores of a study, each beside its controls: CLIPScore and BERTScore in both protocols of CoX-LMM (Parekh et
    al. 2024), scores of the dictionary, and of known factors.

    Writes `evaluation.json` and `evaluation.md` to `out`, and the study's report anew. What is finished is kept.

    Args:
        study: a study, or its folder.
        lmm: the model that the study is of, or its name or folder; the one that the study remembers for None.
        data: the samples of the study, and held-out ones; or the name, file or folder of data whose split `test` is
            held out.
        scorers: what scores words against images and captions; those of Toyland for None, on data of Toyland alone.
        options: which controls are made; see `EvaluationOptions`.
        out: the folder `evaluation` of the study for None. Only the one there is shown in the report. States of
            held-out samples and of noise images, and embeddings, lie beside it.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        UsageError: no data were given, or there are no scorers for them.
        DataError: a sample of the study is not in `data.samples`, or a test sample was learned from.
        WordError: the held-out samples do not have the word.
        ArtifactError: the artifacts do not belong together, or `out` holds another evaluation.
    """
    study = as_study(study)
    if data is None:
        raise UsageError(
            "An evaluation needs the data that the study was made of: give their name, file or folder (data)."
        )
    folders = EvaluationFolders.beside(study.folder / KIND if out is None else out)
    check_ours([*beside("evaluate", folders.out), *beside("report", study.folder)])
    with shown(progress) as tell, writing(folders.shared):
        data = data if isinstance(data, EvaluationData) else EvaluationData.load(data, progress=tell)
        scorers = scorers or scorers_for(data)
        check_evaluation(study, data, options)  # before the study's model is loaded
        made = score_study(study, study.lmm if lmm is None else as_lmm(lmm), data, scorers, folders, options, tell)
        write_ours(made.folder / TABLES, "\n".join(map(markdown, study_tables(made.scores))).encode())
        report(study, factors=data.factors)
    return made


def scorers_for(data: EvaluationData) -> Scorers:
    """Toyland's scorers, for data of Toyland.

    Raises:
        UsageError: the data are others, of which these scorers know nothing.
    """
    if data.lexicon is None:
        raise UsageError(
            "Toyland's scorers know Toyland alone. Name scorers for your data, such as "
            "scorers=vitrail.Scorers.load('openai/clip-vit-base-patch32', 'roberta-large')."
        )
    return Scorers.load()


def check_evaluation(study: Study, data: EvaluationData, options: EvaluationOptions | None = None) -> None:
    """Raises unless the study can be evaluated on these data; no model is needed.

    Raises:
        DataError: a sample of the study is not in `data.samples`, a test sample was learned from, or no image opens.
        WordError: the held-out samples do not have the word.
        UsageError: maps are to be judged, and there are none of these states, or by this method.
    """
    if options is not None and options.n_mapped:
        check_mapped(study.activations, study.learned)
        map_method(options.mapping.method)
        parts_of_study(study, data)
    samples_of_rows(study.activations, data.samples)
    held_out = unseen_samples(study.activations, data.test_samples)
    check_word(held_out, study.activations.word, study.activations.options.require)
