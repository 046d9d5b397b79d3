"""`compare`: the studies of one word in two models → what became of its concepts, and how far shifts recover that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from vitrail import scores
from vitrail.artifacts import (
    MANIFEST,
    check_free,
    file_hash,
    is_current,
    parent,
    write_json,
    write_manifest,
    write_whole,
)
from vitrail.comparison import summary as telling
from vitrail.comparison.aligned import Both
from vitrail.comparison.artifact import FILE, KIND, TENSORS, Shift, open_shift
from vitrail.comparison.changes import Rules
from vitrail.comparison.matching import Matching, links, match
from vitrail.comparison.pairs import check_alike
from vitrail.comparison.recovery import Target, controls, recover, sweep
from vitrail.comparison.series import Point
from vitrail.comparison.shift_vectors import (
    Estimator,
    consistency,
    magnitude,
    pairwise_consistency,
    shifts,
)
from vitrail.comparison.whole_model import Whole, check_models
from vitrail.errors import UsageError
from vitrail.grounding import check_model
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.studies import Study


def compare(
    a: Study,
    b: Study,
    lmm_a: LMM,
    lmm_b: LMM,
    *,
    out: str | Path,
    matching: Matching = "one-to-one",
    estimate: Estimator | None = None,
    alpha: float = 1.0,
    n_words: int = 10,
    n_images: int = 20,
    rules: Rules | None = None,
    draws: int = 50,
    resamples: int = 200,
    seed: int = 0,
    whole: Whole | None = None,
    layers: Sequence[Point] | None = None,
    steps: Sequence[Point] | None = None,
    progress: Progress = silent,
) -> Shift:
    """What became of the concepts of study `a` in study `b`, and how far shifts recover it, in the folder `out`.

    Only samples of both studies count, by id. Words are read by the model they belong to; for recovery, those of a
    concept before, after the shift and of its match are all read by *b*, so that α = 0 is "before".

    Args:
        matching: which concept of *b* a shift is held against; "one-to-one" or "argmax".
        estimate: of the shift; "mean" for prototypes (k-means, simple), "codes" for dictionaries by default.
        n_words: words of a concept.
        n_images: most activating samples, when images are compared.
        draws: random directions of the control.
        resamples: of the intervals of T-Overlaps, over the samples; 0 for none.
        whole: a whole-model view to keep beside it, from `whole_model`; `layers` likewise from `by_layer`, and `steps`
            from `along`.

    Raises:
        UsageError: another word, layer, method, filter of words or tokenizer; or a parameter that cannot be.
        DataError: no common samples.
        ArtifactError: a model did not make its study, or `out` belongs to another run.
    """
    rules = Rules() if rules is None else rules
    out = Path(out)
    check_alike(a.activations, b.activations)
    check_models(lmm_a, lmm_b)
    for study, lmm in ((a, lmm_a), (b, lmm_b)):
        check_model(lmm, study.activations)
    for key in ("layer", "method"):
        here, there = a.concepts.parameters[key], b.concepts.parameters[key]
        if here != there:
            raise UsageError(
                f"{a.folder} and {b.folder} cannot be compared: {key} is {here!r} in one, {there!r} in the other."
            )
    for key in ("own_word", "language"):
        here, there = getattr(a.grounding.options, key), getattr(b.grounding.options, key)
        if here != there:
            raise UsageError(
                f"{a.folder} and {b.folder} cannot be compared: {key} of the words is {here!r} in one, {there!r} in "
                "the other. Run `vitrail ground` again on one of them."
            )
    if n_words < 1 or n_images < 1 or draws < 1 or resamples < 0:
        raise UsageError("n_words, n_images and draws must be at least 1, resamples at least 0.")
    if estimate is None:
        estimate = "mean" if a.concepts.learner.prototypes else "codes"
    parameters = {
        "matching": matching,
        "estimate": estimate,
        "alpha": alpha,
        "n_words": n_words,
        "n_images": n_images,
        "rules": asdict(rules),
        "draws": draws,
        "resamples": resamples,
        "seed": seed,
        "whole": None if whole is None else whole.n_samples,
        "layers": [p.layer for p in layers or ()],
        "steps": [p.step for p in steps or ()],
    }
    parents = {"a": parent(a.concepts.folder), "b": parent(b.concepts.folder)}
    if _is_made(out, parameters, parents):
        return open_shift(out)
    progress("compare", 0, 4)
    both = Both(a, b, lmm_a, lmm_b, n_words, n_images)
    U, V, D = both.U_a, both.V_a, both.D
    linked = links(
        V,
        both.V_b,
        one_each=both.one_each,
        strength=rules.strength,
        level=rules.level,
        permutations=rules.permutations,
        seed=seed,
    )
    C = scores.cosines(U, both.U_b)
    pairing = match(C, matching)
    progress("compare", 1, 4)
    target = Target(pairing, both.U_b, both.words_b, both.images_b)
    recovery = recover(
        U, D, V, target, both.reader_b.words, both.activations_of,
        estimate=estimate, alpha=alpha, n_images=n_images, images_before=both.images_a, resamples=resamples, seed=seed,
    )  # fmt: skip
    progress("compare", 2, 4)
    rivals = controls(
        U,
        D,
        V,
        target,
        both.reader_b.words,
        recovery.words_after,
        estimate=estimate,
        alpha=alpha,
        draws=draws,
        seed=seed,
    )
    swept = sweep(U, D, V, target, both.reader_b.words, estimate=estimate, seed=seed)
    progress("compare", 3, 4)
    steadiness = {
        "consistency": consistency(D, V),
        "pairwise_consistency": pairwise_consistency(D, V),
        "magnitude": magnitude(D, V),
    }
    content = {
        **both.describe(),
        "estimate": estimate,
        "alpha": alpha,
        "matching": matching,
        "concepts": telling.concepts(both, C, pairing, linked, recovery, steadiness, rules),
        "emerged": telling.emerged(both, linked, rules),
        "after": [
            {"index": j, "words": w, "mass": float(m)}
            for j, (w, m) in enumerate(zip(both.words_b, both.masses[1], strict=True))
        ],
        "flow": linked.flow.tolist(),
        "linked": linked.linked.tolist(),
        "link_strength": linked.strength.tolist(),
        "recovery": telling.summary(recovery, seed),
        "controls": [
            {
                "name": c.name,
                "words_after": asdict(scores.estimate(c.words_after)),
                "per_concept": c.words_after.tolist(),
                "p": c.p,
            }
            for c in rivals
        ],
        "sweep": asdict(swept),
        "correlations": telling.correlations(steadiness, recovery),
        "layers": [p.as_dict() for p in layers or ()],
        "steps": [p.as_dict() for p in steps or ()],
        "whole": None if whole is None else whole.as_dict(),
    }
    tensors = {"shifts": shifts(D, V, estimate), "concepts": U.astype(np.float64), "mean_move": D.mean(0)}
    tensors["shifted"] = tensors["concepts"] + alpha * tensors["shifts"]
    write_whole(out / TENSORS, lambda path: save_file({k: v.astype(np.float32) for k, v in tensors.items()}, path))
    write_json(out / FILE, content)
    files = {name: file_hash(out / name) for name in (FILE, TENSORS)}
    write_manifest(out, KIND, {"parameters": parameters, "parents": parents, "files": files})
    progress("compare", 4, 4)
    return open_shift(out)


def _is_made(out: Path, parameters: dict[str, Any], parents: dict[str, Any]) -> bool:
    """Whether `out` holds this very comparison. A page of one that was removed, or files of one that was killed, are
    no obstacle."""
    if not (out / MANIFEST).exists():
        check_free(out, KIND, own={FILE, TENSORS, "report.html", "b", "checkpoints"})
        return False
    return is_current(out, KIND, parameters, parents, FILE)
