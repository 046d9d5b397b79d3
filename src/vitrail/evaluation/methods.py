"""Several methods and words side by side: one evaluation each, tests between them, curves by layer and by K.

OUT/<word>/activations/  test/  noise/          made once for all methods
OUT/<word>/<method>/     concepts/  grounding/  noise-concepts/  noise-grounding/  evaluation/
OUT/<word>/curves/…      dictionaries of other layers and of other numbers of concepts
OUT/embeddings/          of the scorers, for all words
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrail import learners
from vitrail.activations import Activations, Require
from vitrail.artifacts import plain, write_json
from vitrail.concepts import learn
from vitrail.errors import UsageError
from vitrail.evaluation.ablation import Lexicon
from vitrail.evaluation.curves import by_concepts, by_layer
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.held_out import extract_test
from vitrail.evaluation.one_study import Evaluation, evaluate
from vitrail.extraction import extract
from vitrail.grounding import ground
from vitrail.lmm import LMM, Layer
from vitrail.lmm.scorers import ImageTextScorer, TextScorer
from vitrail.progress import Progress, silent
from vitrail.reports.tables import tables
from vitrail.samples import Sample
from vitrail.scores import KnownFactors, corrected, estimate, paired_p, unpaired_gain, unpaired_p

FILE = "comparison.json"
#: Differences of a false discovery rate below this are called real.
REAL = 0.05


@dataclass(frozen=True)
class Comparison:
    """Evaluations by word and method; `values` are those of `comparison.json`."""

    folder: Path
    evaluations: dict[str, dict[str, Evaluation]]
    values: dict[str, Any]


def compare_methods(
    lmm: LMM,
    samples: Sequence[Sample],
    test_samples: Sequence[Sample],
    words: Sequence[str],
    *,
    image_scorer: ImageTextScorer,
    text_scorer: TextScorer,
    out: str | Path,
    methods: Sequence[str] = ("simple", "pca", "kmeans", "semi-nmf"),
    layer: Layer = -1,
    layers: Sequence[Layer] = (),
    n_concepts: Sequence[int] = (20,),
    require: Require = "both",
    max_new_tokens: int = 40,
    batch_size: int = 32,
    factors: KnownFactors | None = None,
    lexicon: Lexicon | None = None,
    noise: bool = True,
    n_random: int = 200,
    n_ablated: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> Comparison:
    """Every method on every word, with the first of `n_concepts` concepts of `layer`; and, for the main method, the
    curve over `layers` and over `n_concepts` where there are several. What is finished is kept.

    The main method is Semi-NMF where it takes part, or else the last one named.

    Raises:
        UsageError: no words, no methods, or one that is not known.
    """
    unknown = [m for m in methods if m not in learners.LEARNERS]
    if not words or not methods or unknown or not n_concepts:
        raise UsageError(
            f"Expected words, numbers of concepts, and methods among {', '.join(learners.LEARNERS)}; "
            f"got words {list(words)}, methods {list(methods)}, concepts {list(n_concepts)}."
        )
    out = Path(out)
    main = "semi-nmf" if "semi-nmf" in methods else methods[-1]
    evaluations: dict[str, dict[str, Evaluation]] = {}
    curves: dict[str, dict[str, Any]] = {}
    states: dict[str, tuple[Activations, Activations]] = {}
    for word in words:  # all of them first: a word that has no samples is known at once
        home = out / word.replace(" ", "-")
        learned_from = extract(
            lmm, samples, word, out=home / "activations", layers=[*{lmm.layer(i): 0 for i in (layer, *layers)}],
            require=require, max_new_tokens=max_new_tokens, batch_size=batch_size, progress=_of(progress, word),
        )  # fmt: skip
        test = extract_test(lmm, learned_from, test_samples, out=home / "test", progress=_of(progress, f"{word}, test"))
        states[word] = learned_from, test
    for word, (activations, test) in states.items():
        home = activations.folder.parent
        evaluations[word] = {}
        for method in methods:
            own = home / method
            concepts = learn(
                activations, out=own / "concepts", layer=lmm.layer(layer), method=method,
                n_concepts=n_concepts[0], seed=seed,
            )  # fmt: skip
            grounding = ground(lmm, activations, concepts, out=own / "grounding")
            evaluations[word][method] = evaluate(
                lmm, activations, concepts, grounding, samples, test_samples, out=own / "evaluation", shared=home,
                embeddings=out / "embeddings", image_scorer=image_scorer, text_scorer=text_scorer, factors=factors,
                lexicon=lexicon, noise=noise, n_random=n_random, n_ablated=n_ablated, seed=seed,
                progress=_of(progress, f"{word}, {method}"),
            )  # fmt: skip
        if layers or len(n_concepts) > 1:
            space = Embeddings(out / "embeddings", image_scorer, text_scorer, _of(progress, word))
            curves[word] = _curves(lmm, activations, test, samples, space, home / "curves", main, layer, layers,
                                   n_concepts, n_random, seed, _of(progress, word))  # fmt: skip
    scores = {w: {m: e.scores for m, e in of.items()} for w, of in evaluations.items()}
    values = plain({"main": main, "evaluations": scores, "tests": differences(scores, seed), "curves": curves})
    write_json(out / FILE, values)
    for name, text in tables(values).items():
        (out / name).write_text(text, encoding="utf-8")
    return Comparison(out, evaluations, values)


def _curves(
    lmm: LMM, activations: Activations, test: Activations, samples: Sequence[Sample], space: Embeddings, home: Path,
    method: str, layer: Layer, layers: Sequence[Layer], n_concepts: Sequence[int], n_random: int, seed: int,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    found: dict[str, Any] = {"method": method}
    if layers:
        found["layers"] = by_layer(
            lmm, activations, samples, space, [lmm.layer(i) for i in layers], out=home, method=method,
            n_concepts=n_concepts[0], n_random=n_random, seed=seed, progress=progress,
        )  # fmt: skip
    if len(n_concepts) > 1:
        found["n_concepts"] = by_concepts(
            lmm, activations, test, n_concepts, out=home, method=method, layer=lmm.layer(layer), n_random=n_random,
            seed=seed, progress=progress,
        )  # fmt: skip
    return found


def _of(progress: Progress, what: str) -> Progress:
    return lambda stage, done, total: progress(f"{stage} ({what})", done, total)


def differences(scores: Mapping[str, Mapping[str, Any]], seed: int = 0) -> list[dict[str, Any]]:
    """Every difference that the tables invite to read, with its p and, over all of them, its q.

    Each method against random words, and every two methods against each other: on the same images paired (protocol b,
    top 1), on their concepts not (protocol a). `real` says whether q is below `REAL`.
    """
    found: list[dict[str, Any]] = []
    for word, by_method in scores.items():
        for measure, protocol in itertools.product(("clip", "bert"), ("concepts", "images")):
            units = {}
            for method, of in by_method.items():
                scored = of[protocol][measure]
                scored = scored["1"] if protocol == "images" else scored
                units[method] = np.array([np.nan if u is None else u for u in scored["units"]], float)
                random = scored["against"]["random"]
                found.append(
                    {"word": word, "measure": measure, "protocol": protocol, "first": method, "second": "random words",
                     "gain": random["gain"], "p": random["p"]}
                )  # fmt: skip
            for first, second in itertools.combinations(units, 2):
                a, b = units[first], units[second]
                if protocol == "images":
                    gain, p = asdict(estimate(a - b, seed)), paired_p(a, b, seed=seed)
                else:
                    gain, p = asdict(unpaired_gain(a, b, seed)), unpaired_p(a, b, seed=seed)
                found.append(
                    {"word": word, "measure": measure, "protocol": protocol, "first": first, "second": second,
                     "gain": gain, "p": p}
                )  # fmt: skip
    q_values = corrected([np.nan if f["p"] is None else f["p"] for f in found])
    return [plain(f | {"q": q, "real": bool(q < REAL)}) for f, q in zip(found, q_values, strict=True)]
