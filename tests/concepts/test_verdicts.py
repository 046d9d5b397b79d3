"""What follows from how concepts were learned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitrail.concepts.verdicts import of_concept, of_concepts


def test_concepts_are_judged_by_what_was_measured(concepts):
    found = of_concepts(concepts)
    assert set(found) == {"explained_variance", "active", "dead", "seeds", "resamples"}
    assert set(of_concept(concepts, 0)) == {"seeds", "resamples"}
    unmeasured = replace(concepts, manifest={**concepts.manifest, "stability": None})
    assert set(of_concepts(unmeasured)) == {"explained_variance", "active", "dead"}
    assert of_concept(unmeasured, 0) == {}


@pytest.mark.parametrize(
    ("cosine", "kind"), [(0.95, "good"), (0.8, "warning"), (0.5, "bad")], ids=["stable", "partly", "unstable"]
)
def test_a_concept_is_as_good_as_its_own_stability(concepts, cosine, kind):
    stable = {"seeds": [cosine] * len(concepts), "resamples": [0.95] * len(concepts)}
    changed = replace(concepts, manifest={**concepts.manifest, "stability": stable})
    assert {name: v.kind for name, v in of_concept(changed, 1).items()} == {"seeds": kind, "resamples": "good"}
    assert of_concepts(changed)["seeds"].kind == kind
