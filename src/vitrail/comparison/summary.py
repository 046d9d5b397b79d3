"""What a comparison says of its concepts, as plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from vitrail import scores
from vitrail.comparison import changes
from vitrail.comparison.aligned import Both
from vitrail.comparison.changes import Rules
from vitrail.comparison.matching import Links, t_overlap
from vitrail.comparison.recovery import Recovery
from vitrail.comparison.shift_vectors import sizes


def concepts(
    both: Both, C: np.ndarray, pairing: np.ndarray, linked: Links, recovery: Recovery,
    steadiness: dict[str, np.ndarray], rules: Rules,
) -> list[dict[str, Any]]:  # fmt: skip
    """All about each concept of *a*, as plain values."""
    mass_a, mass_b = both.masses
    overlaps = np.array([[t_overlap(x, y) for y in both.words_b] for x in both.words_a])
    became = changes.changes_before(linked, mass_a, mass_b, overlaps, rules)
    partners = changes.counterparts(linked)
    n = sizes(both.V_a)
    rows = []
    for k in range(len(both.U_a)):
        j, partner = int(pairing[k]), int(partners[k])
        nearest = int(C[k].argmax())
        rows.append(
            {
                "index": k,
                "n_samples": int(n[k]),
                "change": became[k],
                "counterpart": None if partner < 0 else partner,
                "nearest": nearest,
                "match": None if j < 0 else j,
                "cosine": None if j < 0 else float(C[k, j]),
                "nearest_cosine": float(C[k, nearest]),
                "mass_before": float(mass_a[k]),
                "mass_after": 0.0 if partner < 0 else float(mass_b[partner]),
                "words": both.words_a[k],
                "words_match": [] if j < 0 else both.words_b[j],
                "words_counterpart": [] if partner < 0 else both.words_b[partner],
                "words_shifted": recovery.shifted_words[k],
                "word_change": asdict(
                    changes.word_change(both.words_a[k], both.words_b[partner if partner >= 0 else j])
                ),
                "samples": [both.pairs.ids[i] for i in both.images_a[k]],
                "samples_match": [] if j < 0 else [both.pairs.ids[i] for i in both.images_b[j]],
                "t_overlap_before": float(recovery.words_before[k]),
                "t_overlap_after": float(recovery.words_after[k]),
                "t_overlap_interval": recovery.interval[k].tolist(),
                "images_before": float(recovery.images_before[k]),
                "images_after": float(recovery.images_after[k]),
                "cosine_gain": float(recovery.cosine_gain[k]),
                **{name: float(values[k]) for name, values in steadiness.items()},
            }
        )
    return rows


def emerged(both: Both, linked: Links, rules: Rules) -> list[dict[str, Any]]:
    mass_a, mass_b = both.masses
    new = np.flatnonzero(changes.emerged(linked, mass_a, mass_b, rules))
    return [
        {
            "index": int(j),
            "mass": float(mass_b[j]),
            "words": both.words_b[j],
            "samples": [both.pairs.ids[i] for i in both.images_b[j]],
        }
        for j in new
    ]


def summary(recovery: Recovery, seed: int) -> dict[str, Any]:
    gain = recovery.words_after - recovery.words_before
    return {
        "words_before": asdict(scores.estimate(recovery.words_before, seed=seed)),
        "words_after": asdict(scores.estimate(recovery.words_after, seed=seed)),
        "words_gain": asdict(scores.estimate(gain, seed=seed)),
        "p": scores.paired_p(recovery.words_after, recovery.words_before, alternative="greater", seed=seed),
        "counts": recovery.counts,
        "images_before": asdict(scores.estimate(recovery.images_before, seed=seed)),
        "images_after": asdict(scores.estimate(recovery.images_after, seed=seed)),
        "cosine_before": asdict(scores.estimate(recovery.cosine_before, seed=seed)),
        "cosine_after": asdict(scores.estimate(recovery.cosine_after, seed=seed)),
        "cosine_gain": asdict(scores.estimate(recovery.cosine_gain, seed=seed)),
    }


def correlations(steadiness: dict[str, np.ndarray], recovery: Recovery) -> dict[str, Any]:
    """How consistency and magnitude go with what the shift achieves, over the concepts."""
    achieved = {"cosine_gain": recovery.cosine_gain, "words_gain": recovery.words_after - recovery.words_before}
    return {
        f"{name} and {what}": asdict(scores.correlation(values, gained))
        for name, values in steadiness.items()
        for what, gained in achieved.items()
    }
