"""`vitrail evaluate --words`: several methods side by side, as tables and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.evaluation import EvaluationData, MethodComparison, MethodOptions, Scorers, score_methods
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.reports.methods import methods_page
from vitrail.reports.tables import tables
from vitrail.runs.evaluate import write_text


def compare_methods(
    lmm: LMM,
    data: EvaluationData,
    words: Sequence[str],
    *,
    scorers: Scorers,
    out: str | Path,
    options: MethodOptions | None = None,
    progress: Progress = silent,
) -> MethodComparison:
    """Every method evaluated on every word, on the same states, with tests between methods and curves.

    Writes `comparison.json`, `comparison.md`, `comparison.tex` and `report.html` to the folder `out`, and the
    artifacts of every word and method to its folders. What is finished is kept.

    Args:
        data: the samples to learn from, and held-out ones.
        words: words of interest.
        options: which methods, layers and numbers of concepts; see `MethodOptions`.

    Raises:
        UsageError: no words.
        WordError: a word that the samples or the model never say.
        DataError: a test sample was learned from.
        ArtifactError: `out` belongs to another run, or cannot be written.
    """
    made = score_methods(lmm, data, words, scorers, options or MethodOptions(), out, progress)
    for name, text in tables(made).items():
        write_text(made.folder / name, text)
    methods_page(made, out=made.folder / "report.html")
    return made
