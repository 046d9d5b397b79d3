"""`vitrail evaluate --words`: several methods side by side, as tables and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.artifacts import beside, check_ours, one_writer, write_ours
from vitrail.evaluation import EvaluationData, MethodComparison, MethodOptions, Scorers, score_methods
from vitrail.lmm import LMM, as_lmm
from vitrail.progress import Progress, shown
from vitrail.reports.methods import methods_page
from vitrail.reports.tables import tables
from vitrail.runs.checks import check_methods
from vitrail.runs.evaluate import scorers_for


@one_writer
def compare_methods(
    lmm: LMM | str | Path,
    data: EvaluationData | str | Path,
    words: Sequence[str],
    *,
    scorers: Scorers | None = None,
    out: str | Path,
    options: MethodOptions | None = None,
    progress: Progress | bool = True,
) -> MethodComparison:
    """Every method evaluated on every word, on the same states, with tests between methods and curves.

    Writes `comparison.json`, `comparison.md`, `comparison.tex` and `report.html` to the folder `out`, and the
    artifacts of every word and method to its folders. What is finished is kept.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        data: the samples to learn from, and held-out ones; or the name, file or folder of data with the splits `train`
            and `test`.
        words: words of interest.
        scorers: what scores words against images and captions; those of Toyland for None, on data of Toyland alone.
        options: which methods, layers and numbers of concepts; see `MethodOptions`.

    Raises:
        UsageError: no words.
        WordError: a word that the samples or the model never say.
        DataError: a test sample was learned from.
        ArtifactError: `out` belongs to another run, or cannot be written.
    """
    check_ours(beside("compare methods", Path(out)))
    with shown(progress) as tell:
        if not isinstance(data, EvaluationData):
            data = EvaluationData.load(data, learned_from="train", progress=tell)
        options = options or MethodOptions()
        n_concepts = max(options.n_concepts)
        check_methods(data.samples, data.test_samples, words, options.extraction.require, n_concepts)
        scorers = scorers or scorers_for(data)
        made = score_methods(as_lmm(lmm), data, words, scorers, options, out, tell)
    for name, text in tables(made).items():
        write_ours(made.folder / name, text.encode())
    methods_page(made, out=made.folder / "report.html")
    return made
