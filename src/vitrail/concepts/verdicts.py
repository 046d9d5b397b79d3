"""What follows from how concepts were learned: how much they explain, how sparse and how stable they are."""

from __future__ import annotations

import numpy as np

from vitrail.concepts.learning import Concepts
from vitrail.scores import verdicts
from vitrail.scores.verdicts import Verdict


def of_concepts(concepts: Concepts) -> dict[str, Verdict]:
    """What follows from the scores of all concepts together, by the name of the score; only of what was measured."""
    scores, stable, found = concepts.scores, concepts.stability, {}
    if "explained_variance" in scores:
        found["explained_variance"] = verdicts.explained(scores["explained_variance"])
    if "active" in scores:
        found["active"] = verdicts.sparse(scores["active"], len(concepts))
    if "dead" in scores:
        found["dead"] = verdicts.dead(int(scores["dead"]))
    if scores.get("equal"):
        found["equal"] = verdicts.equal(int(scores["equal"]))
    if stable is not None:
        found["seeds"] = verdicts.stability(float(np.mean(stable["seeds"])), "seeds")
        found["resamples"] = verdicts.stability(float(np.mean(stable["resamples"])), "resamples")
    return found


def of_concept(concepts: Concepts, k: int) -> dict[str, Verdict]:
    """What follows from the stability of concept `k` over "seeds" and "resamples"; empty if it was not measured."""
    stable = concepts.stability
    if stable is None:
        return {}
    return {
        "seeds": verdicts.stability(stable["seeds"][k], "seeds"),
        "resamples": verdicts.stability(stable["resamples"][k], "resamples"),
    }
