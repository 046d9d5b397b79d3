"""The line in one go: extract → learn → ground → explain → report, into one folder.

    STUDY/activations/  concepts/  grounding/  explanations/  factors.json  evaluation/  report.html  summary.json

Every stage keeps what is finished, so a study that was stopped goes on when it is run again. `factors.json` is there
where the truth about the samples is known, `evaluation` where `vitrail.evaluate` was run; what a report shows of them
`write_report` alone decides.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.activations import Activations, open_activations
from vitrail.artifacts import write_json
from vitrail.concepts import Concepts, learn, open_concepts
from vitrail.errors import ArtifactError
from vitrail.evaluate import open_evaluation
from vitrail.evaluate.evaluation import KIND as EVALUATION
from vitrail.explain import KIND as EXPLANATIONS
from vitrail.explain import Explanation, explain_samples, open_explanations, save_explanations
from vitrail.extract import Require, extract, truth
from vitrail.ground import Grounding, ground, open_grounding
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.words import Alignment, Word

log = logging.getLogger(__name__)

HELD_OUT = 10
FACTORS = "factors.json"

#: sample id → factor → value: what is known to be true of the samples.
Factors = Mapping[str, Mapping[str, str | int | None]]


@dataclass(frozen=True)
class Study:
    """A study's folder, opened: its artifacts belong together. `factors` is the truth about its samples, if known."""

    folder: Path
    activations: Activations
    concepts: Concepts
    grounding: Grounding
    explanations: tuple[Explanation, ...]
    factors: Factors | None = None


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
    return Study(folder, activations, concepts, grounding, explanations, _known(folder))


def study(
    lmm: LMM,
    samples: Sequence[Sample],
    word: Word | str,
    *,
    out: str | Path,
    layer: Layer = -1,
    alignment: Alignment = "predicts",
    require: Require = "both",
    method: str = "semi-nmf",
    n_concepts: int = 20,
    penalty: float | None = None,
    seed: int = 0,
    n_words: int = 10,
    n_samples: int = 5,
    language: str = "en",
    max_new_tokens: int = 40,
    batch_size: int = 32,
    factors: Factors | None = None,
    progress: Progress = silent,
) -> Study:
    """The concepts behind `word`, grounded and reported in the folder `out`; see `extract`, `learn` and `ground`.

    Of the samples that have the word the last ten are held out, and explained.
    """
    out = Path(out)
    word = Word(word) if isinstance(word, str) else word
    if out.exists() and not out.is_dir():
        raise ArtifactError(f"{out} is a file; a study needs a folder.")
    learned_from, held_out = hold_out(samples, word, require)
    seconds: dict[str, float] = {}
    with _timed(seconds, "extract"):
        activations = extract(
            lmm,
            learned_from,
            word,
            out=out / "activations",
            layers=[layer],
            alignment=alignment,
            require=require,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            progress=progress,
        )
    with _timed(seconds, "learn", progress):
        concepts = learn(
            activations, out=out / "concepts", method=method, n_concepts=n_concepts, penalty=penalty, seed=seed
        )
    with _timed(seconds, "ground", progress):
        grounding = ground(
            lmm,
            activations,
            concepts,
            out=out / "grounding",
            n_words=n_words,
            n_samples=n_samples,
            language=language,
        )
    with _timed(seconds, "explain", progress):
        explanations = explain_samples(lmm, activations, concepts, grounding, held_out)
        save_explanations(explanations, grounding, out / EXPLANATIONS)
    known = {i: dict(factors[i]) for i in activations.sample_ids() if i in factors} if factors else {}
    if known:
        write_json(out / FACTORS, known)
    made = Study(out, activations, concepts, grounding, tuple(explanations), _known(out))
    with _timed(seconds, "report", progress):
        write_report(made)
    write_json(out / "summary.json", summary(made, seconds))
    return made


def write_report(made: Study, *, out: str | Path | None = None, factors: Factors | None = None) -> Path:
    """The page of a study, `STUDY/report.html` or `out`: the same one whichever command writes it.

    It shows the explanations, the truth as the study knows it or as `factors` say, and the evaluation in the study's
    folder. One of other concepts than those that are there now is left out, and that is said.
    """
    from vitrail.report import report

    return report(
        made.activations,
        made.concepts,
        made.grounding,
        out=made.folder / "report.html" if out is None else out,
        explanations=made.explanations,
        factors=made.factors if factors is None else factors,
        evaluation=_evaluated(made),
    )


def _evaluated(made: Study) -> dict[str, Any] | None:
    """The scores of a study; None where it was not evaluated, or not as it is now."""
    folder = made.folder / EVALUATION
    if not folder.exists():
        return None
    try:
        return open_evaluation(folder, made.grounding).scores
    except ArtifactError as error:
        log.warning("The report is without an evaluation. %s", error)
        return None


def _known(folder: Path) -> Factors | None:
    """What the study in `folder` knows of the truth about its samples."""
    path = folder / FACTORS
    if not path.is_file():
        return None
    try:
        found: Factors = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({error}). Remove it, or run the study again.") from error
    return found


def hold_out(
    samples: Sequence[Sample], word: Word, require: Require, n: int = HELD_OUT
) -> tuple[list[Sample], list[Sample]]:
    """The samples to learn from, and `n` others that are kept aside: the last ones that have the word.

    Where there are fewer than 5 `n` with the word, a fifth of them is kept aside.
    """
    if require == "predicted":
        having = list(samples)
    else:
        having = [s for s in samples if any(word.find(text) for text in truth(s))]
    aside = having[len(having) - min(n, len(having) // 5) :]
    ids = {s.id for s in aside}
    return [s for s in samples if s.id not in ids], aside


def summary(made: Study, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What a study found, as plain values."""
    p, counts = made.activations.parameters, made.activations.counts
    stability = made.concepts.stability
    return {
        "word": p["word"]["text"],
        "model": p["model"]["name"],
        "layer": made.concepts.layer,
        "alignment": p["alignment"],
        "method": made.concepts.parameters["method"],
        "n_concepts": len(made.concepts),
        "samples": {"scanned": counts.scanned, "kept": counts.kept, "unreadable": [i for i, _ in counts.unreadable]},
        "explained_variance": made.concepts.scores["explained_variance"],
        "scores": made.concepts.scores,
        "concepts": [
            {
                "index": c.index,
                "words": [w.word for w in c.words],
                "samples": [s.sample_id for s in c.samples],
                "share": c.share,
                "stability": None if stability is None else {k: values[c.index] for k, values in stability.items()},
            }
            for c in made.grounding.concepts
        ],
        "seconds": {stage: round(s, 3) for stage, s in seconds.items()},
    }


@contextmanager
def _timed(seconds: dict[str, float], stage: str, progress: Progress = silent) -> Iterator[None]:
    """Times a stage; `progress` is told of one that has no steps of its own to tell."""
    start = time.perf_counter()
    progress(stage, 0, 1)
    yield
    progress(stage, 1, 1)
    seconds[stage] = time.perf_counter() - start
