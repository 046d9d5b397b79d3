"""Our figures against those of the published research code, point by point → docs/parity.md.

    python benchmarks/parity.py [--xl-vlms PATH] [--runs 10]

Without `--xl-vlms`, the published procedure is written again here (scikit-learn called as it calls it, its filter of
words, its accuracy of answers), and the page says so. With the path of a checkout, its own `decompose_activations`
(`src/analysis/feature_decomposition.py`) and `EvalAIAnswerProcessor` (`src/metrics/vqa_accuracy.py`) are called. They
need what that code imports: install its requirements beside Vitrail.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import types
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import DictionaryLearning

from vitrail.artifacts import write_json
from vitrail.evaluation.released import released_overlap, released_words
from vitrail.grounding import WordReader
from vitrail.learners import SemiNMF, nonnegative_lasso, objective
from vitrail.scores import normal_answer, overlap, vqa_accuracy
from vitrail.words import Word, decode, is_beginning, lemma

ROOT = Path(__file__).parent.parent
STATES = ROOT / "tests" / "learners" / "dog_states.npy"
PENALTY = 2.0
ANSWERS = ("a.m.", "dont", "Two dogs.", "black / white", "the U.S.A.", "1,000", "it's", "3.5", "yes", "none")


@dataclass(frozen=True)
class Point:
    """One row of the page.

    Args:
        what: what is compared.
        theirs: what the published code does, or its figure.
        ours: the same of ours.
        difference: how far apart they are.
        right: which of them is right, and by which source.
        against: "released code", "restatement", "test" where a test of ours holds the figure, or "read" where the code
            was read and nothing was measured.
    """

    what: str
    theirs: str
    ours: str
    difference: str
    right: str
    against: str = "read"


#: What of the published code is called: module → name, from its folder `src`.
CALLED = {"analysis.feature_decomposition": "decompose_activations", "metrics.vqa_accuracy": "EvalAIAnswerProcessor"}


def check_checkout(checkout: Path) -> None:
    """Puts a checkout of the published code on the path, and ends the program where it is none, or cannot be called."""
    files = [f"src/{module.replace('.', '/')}.py" for module in CALLED]
    if missing := [name for name in files if not (checkout / name).is_file()]:
        sys.exit(f"{checkout} is no checkout of github.com/mshukor/xl-vlms: it lacks {' and '.join(missing)}.")
    sys.path.insert(0, str(checkout / "src"))
    for module, name in CALLED.items():
        try:
            getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            sys.exit(f"{name} of {checkout} cannot be called: {error}. Install the requirements of that code.")


def solver(checkout: Path | None, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Concepts and activations of the published solver, and whose code ran."""
    if checkout is not None:
        from analysis.feature_decomposition import decompose_activations  # type: ignore[import-not-found]

        args = types.SimpleNamespace(dl_max_iter=5000)
        U, V, _ = decompose_activations(Z, 20, "snmf", args=args)
        return np.asarray(U), np.asarray(V), "released code"
    learner = DictionaryLearning(
        20,
        alpha=PENALTY / 2,
        positive_code=True,
        fit_algorithm="cd",
        transform_algorithm="lasso_cd",
        max_iter=5000,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        V = learner.fit_transform(Z)
    return learner.components_, V, "restatement"


def semi_nmf(checkout: Path | None, n_runs: int) -> tuple[list[Point], np.ndarray]:
    """The solver and the codes, and our concepts."""
    Z = np.load(STATES).astype(np.float32)
    U, V, against = solver(checkout, Z)
    theirs = objective(Z, U, V, PENALTY)
    fits = [SemiNMF(20, form="paper", random_state=seed).fit(Z) for seed in range(n_runs)]
    worst = max(fit.objective_ for fit in fits)
    lowest = min(matched(fits[0].components_, fit.components_).min() for fit in fits)
    exact = nonnegative_lasso(Z, U, PENALTY)
    far = float(np.linalg.norm(exact - V) / np.linalg.norm(exact))
    return [
        Point(
            f"Semi-NMF, {len(Z)} states of “dog”, K = 20, λ = 2: objective",
            f"{theirs:.1f}",
            f"{worst:.1f} (worst of {n_runs} seeds)",
            f"{100 * (worst / theirs - 1):+.4f} %",
            "the lower one: both minimise the same function (CoX-LMM)",
            against,
        ),
        Point(
            "the same: lowest cosine between matched concepts of two seeds",
            "1 (its start is an SVD)",
            f"{lowest:.3f}",
            "",
            "near-equal optima differ, so the start that has no randomness is kept",
            against,
        ),
        Point(
            "activations of given concepts",
            "coordinate descent to its tolerance",
            "exact",
            f"{100 * far:.2g} % (norm)",
            "the exact ones: `argmin_{v≥0} ‖z − vU‖² + λ‖v‖₁` (CoX-LMM, section 3.3)",
            against,
        ),
    ], fits[0].components_


def matched(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    cosines = A @ B.T
    rows, columns = linear_sum_assignment(-cosines)
    return cosines[rows, columns]


def words_of(U: np.ndarray) -> list[Point]:
    """Words of concepts, by the published filter and by ours, on Toyland's model."""
    import torch

    import vitrail

    lmm = vitrail.load("toyland")
    logits = lmm.logits(torch.from_numpy(U.astype(np.float32)), "final").cpu().numpy()
    theirs = released_words(logits, lambda i: decode(lmm.tokenizer, [i]))
    ours = WordReader.of(lmm, lmm.layer(-1), Word("dog")).words(U)

    def odd(lists: list[list[str]]) -> str:
        pieces = sum(is_beginning(w) for words in lists for w in words)
        repeats = sum(len(words) - len({lemma(w) for w in words}) for words in lists)
        return f"{sum(map(len, lists))} words: {pieces} beginnings of words, {repeats} forms of a word already there"

    return [
        Point(
            "words of the 20 concepts",
            odd(theirs),
            odd(ours),
            "",
            "words, each once: T_k is a set of words (CoX-LMM, section 3.4)",
            "restatement",
        ),
        Point(
            "overlap of these words",
            f"{released_overlap(theirs):.3f} (of lists)",
            f"{overlap(ours):.3f} (of sets)",
            "",
            "sets: the definition intersects sets of words (CoX-LMM, section 4)",
            "restatement",
        ),
    ]


def answers(checkout: Path | None) -> list[Point]:
    """VQAv2's accuracy: the normal form of answers, and how people are counted."""
    if checkout is not None:
        from metrics.vqa_accuracy import EvalAIAnswerProcessor  # type: ignore[import-not-found]

        process = EvalAIAnswerProcessor()
        differing = [a for a in ANSWERS if process(a) != normal_answer(a)]
        forms, against = (
            f"{len(differing)} of {len(ANSWERS)} odd answers differ: {', '.join(differing) or 'none'}",
            "released code",
        )
    else:
        forms, against = "its variant of the official rules; people's answers keep their marks", "read"
    counted = ", ".join(f"{min(1, n / 3):.2f}" for n in (1, 2, 3))
    official = ", ".join(f"{vqa_accuracy('2', ['2'] * n + ['3'] * (10 - n)):.2f}" for n in (1, 2, 3))
    return [
        Point(
            "VQAv2: normal form of answers",
            forms,
            "the official rules in full",
            "",
            "the official ones (visualqa.org/evaluation); a test holds ours to them",
            against,
        ),
        Point(
            "VQAv2: 1, 2, 3 of ten people agree",
            counted,
            official,
            "up to .1",
            "ours: each person is left out in turn (Goyal et al. 2017)",
            "restatement",
        ),
    ]


READ = [
    Point(
        "BERTScore of a concept",
        "not in the code",
        "mean over all captions; `--over-captions best` by name",
        "",
        "the mean: “over all associated captions” (CoX-LMM, section 4)",
    ),
    Point(
        "protocol (a), noise images, captions as upper mark",
        "not in the code",
        "as in the paper",
        "",
        "the paper",
    ),
    Point(
        "shift of an atom",
        "mean move of its samples, as for centroids",
        "`V⁺D`; averages are refused for atoms",
        "",
        "ours: the published formula is for centroids; see [shifts](shift.md)",
    ),
    Point(
        "fine vector “i to j”",
        "`u_i − u_j`",
        "`u_j − u_i`",
        "opposite signs; `vitrail import` says so",
        "ours: `s_ij = u_j − u_i` (Khayatan et al.)",
    ),
    Point(
        "L2S's network",
        "hallucination: Adam 5e-5 with a warm-up, best epoch on a validation part; safety: 1e-4, last epoch",
        "AdamW 5e-4, epochs by cross-validation, fitted to all examples; input standardised",
        "",
        "not settled: ours explains more of held-out targets on Toyland than an early stop does ([log](log.md))",
    ),
    Point(
        "METEOR, SPICE",
        "Java programs (METEOR 1.5, SPICE)",
        "METEOR of equal words and stems (NLTK); no SPICE",
        "cannot be compared",
        "theirs, for comparisons with COCO's tables; SPICE needs a parser in Java, and CIDEr-R is left out",
    ),
    Point(
        "CIDEr",
        "CIDEr-D of pycocoevalcap, tokens by a Java tokenizer",
        "CIDEr-D, tokens by a rule",
        "",
        "equal on the same tokens, which a test holds on stored cases",
        "test",
    ),
]


def page(points: list[Point]) -> str:
    """docs/parity.md."""
    rows = [f"| {p.what} | {p.theirs} | {p.ours} | {p.difference} | {p.right} | {p.against} |" for p in points]
    return "\n".join(
        [
            "# The same figures as the published code",
            "",
            "CoX-LMM, its follow-up on representation shift and steering, and L2S have published research code",
            "([xl-vlms](https://github.com/mshukor/xl-vlms),",
            "[learn-to-steer](https://github.com/jayneelparekh/learn-to-steer)).",
            "",
            "This page says where its figures and ours differ, and who is right. `python benchmarks/parity.py` writes",
            "it; with `--xl-vlms PATH` it calls a checkout of the code itself. The last column says what ours was",
            "compared with: the released code, a restatement of it in that script, stored cases in a test of ours,",
            "or nothing, where the code was only read. "
            + (
                "This page was made with a checkout."
                if any(p.against == "released code" for p in points)
                else "This page was made without a checkout: `--xl-vlms`"
            ),
            *(
                []
                if any(p.against == "released code" for p in points)
                else ["was tried on stand-ins of the two files that it calls, not on the code itself."]
            ),
            "",
            "| what | theirs | ours | difference | who is right | against |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "## Its files",
            "",
            "`vitrail import FILE --out OUT` opens them; nothing in a file is run (`vitrail.importing`).",
            "",
            "| file | becomes | must be told |",
            "|---|---|---|",
            "| features `.pth` (`hidden_states`, `image`, …) | activations | `--model`, `--word` |",
            "| analyses `.pth` (`concepts`, `activations`) | concepts | `--activations`, the imported features |",
            "| vectors `.pth` (`steering_vector`, …) | a steering | `--model`, `--layer`, `--key` |",
            "| networks `.pt` (`encoder`, `decoder`) | a steering by `l2s` | `--model`, `--layer`, `--context` |",
            "| ids `.pkl` | a text file for `--ids` | `--key`, where there are several |",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xl-vlms", type=Path, help="a checkout of the published code")
    parser.add_argument("--runs", type=int, default=10, help="seeds of Semi-NMF")
    args = parser.parse_args()
    if args.xl_vlms is not None:
        check_checkout(args.xl_vlms)
    measured, U = semi_nmf(args.xl_vlms, args.runs)
    points = [*measured, *words_of(U), *answers(args.xl_vlms), *READ]
    result: dict[str, Any] = {"points": [asdict(p) for p in points]}
    write_json(ROOT / "benchmarks" / "results" / "parity.json", result)
    (ROOT / "docs" / "parity.md").write_text(page(points), encoding="utf-8")
    print(json.dumps(result, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
