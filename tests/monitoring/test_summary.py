"""Summaries add up: exactly where they are counts, whatever the order, and they stay small."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.monitoring.conftest import observations

from vitrail.errors import ArtifactError, UsageError
from vitrail.monitoring import Observation, ReferenceOptions, Summary, merge, read_summary, reference_of, write_summary


def exact(summary: Summary) -> dict:
    """What must be the same to the last bit, however summaries were merged."""
    names = ("word", "layer", "reference", "start", "end", "n", "outliers", "top", "tags")
    return {
        **{name: getattr(summary, name) for name in names},
        **{name: getattr(summary, name).tolist() for name in ("active", "bins")},
    }


def test_a_summary_counts_what_was_observed(reference, outlier):
    found = observations(200, 5)
    made = Summary.of([*found, outlier, replace(found[0], word="cat")], reference)
    values = reference.streams.values(found)
    assert (made.n, made.outliers) == (200, 1)
    np.testing.assert_array_equal(made.active, (values > 0).sum(axis=0))
    np.testing.assert_allclose(made.means, values.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(made.squares / made.n - made.means**2, values.var(axis=0), rtol=1e-4)
    for stream, edge in enumerate(reference.edges):
        want = np.histogram(values[:, stream], [-np.inf, *edge, np.inf])[0] if len(set(edge)) == len(edge) else None
        assert want is None or made.bins[stream].tolist() == want.tolist()
    assert (made.bins.sum(axis=1) == 200).all()
    for concept, top in enumerate(made.top):
        best = sorted((o.strengths[concept] for o in found), reverse=True)[:5]
        assert [t.strength for t in top] == best
    assert made.tags == {"version": "1"}


def test_quantiles_are_nearly_those_of_the_values(reference):
    found = observations(3000, 5)
    made, errors = Summary.of(found, reference), np.array([o.error for o in found])
    for at, value in zip((0.1, 0.5, 0.9), made.quantiles(6, (0.1, 0.5, 0.9)), strict=True):
        assert np.mean(errors <= value) == pytest.approx(at, abs=0.04)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 80), min_size=2, max_size=5), seed=st.integers(0, 99))
def test_merging_is_associative_commutative_and_exact(reference, cuts, seed):
    found = observations(80, seed)
    random.Random(seed).shuffle(found)
    places = [0, *sorted(cuts), 80]
    parts = [Summary.of(found[a:b], reference) for a, b in pairwise(places)]
    whole = exact(Summary.of(found, reference))
    left = reduce(add, parts)
    right = reduce(lambda total, part: part + total, reversed(parts))
    shuffled = merge(random.Random(seed).sample(parts, len(parts)))
    nested = parts[0] + reduce(add, parts[1:])
    for made in (left, right, shuffled, nested):
        assert exact(made) == whole
        np.testing.assert_allclose(made.sums, left.sums, rtol=1e-12)


def test_what_does_not_belong_together_is_not_merged(reference, dog_study, tmp_path):
    mine = Summary.of(observations(10), reference)
    other = reference_of(dog_study, observations(60), out=tmp_path / "r", options=ReferenceOptions(n_words=4))
    with pytest.raises(UsageError, match="another reference cannot be merged"):
        mine + Summary.of(observations(10), other)
    with pytest.raises(UsageError, match="another word"):
        mine + replace(mine, word="cat")
    with pytest.raises(UsageError, match="no summaries"):
        merge([])


def test_what_is_written_is_read_again(reference, tmp_path):
    made = Summary.of(observations(100, 3), reference)
    write_summary(made, tmp_path / "a.parquet")
    again = read_summary(tmp_path / "a.parquet")
    assert exact(again) == exact(made)
    assert again.sketches == made.sketches
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["n"] == 100
    assert told["streams"][2]["rate"] == pytest.approx(made.rates[2])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet"])
def test_a_damaged_summary_is_refused(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ArtifactError, match="is damaged, or holds no summary"):
        read_summary(tmp_path / "a.parquet")


def test_twenty_concepts_with_images_take_64_kilobytes_at_most(dog_study, tmp_path):
    """Images are of real scenes: drawn, and hardly alike."""
    from vitrail.samples import thumbnail
    from vitrail.toyland.draw import draw
    from vitrail.toyland.world import scene

    pictures = [thumbnail(draw(scene(i))) for i in range(60)]

    def many(n: int, seed: int) -> list[Observation]:
        found = observations(n, seed, K=20)
        words = ["snow", "grass", "street", "forest", "black", "brown", "white", "running", "big", "small", "day"]
        return [
            replace(o, thumbnail=pictures[i % 60], caption=f"{o.caption} {' '.join(words[i % 7 :: 3])}")
            for i, o in enumerate(found)
        ]

    study = replace(dog_study, grounding=replace(dog_study.grounding, concepts=dog_study.grounding.concepts * 4))
    study = replace(study, grounding=replace(study.grounding, concepts=study.grounding.concepts[:20]))
    reference = reference_of(study, many(300, 0), out=tmp_path / "r")
    write_summary(Summary.of(many(3000, 1), reference), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size <= 64_000
    assert sum(bool(t.thumbnail) for top in read_summary(tmp_path / "a.parquet").top for t in top) == 40


def test_a_switch_keeps_no_image(reference):
    made = Summary.of(observations(50), reference, images=False)
    assert not any(top.thumbnail for tops in made.top for top in tops)
    assert any(top.thumbnail for tops in Summary.of(observations(50), reference).top for top in tops)


def test_without_datasketches_the_error_says_what_to_install(reference, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "datasketches", None)
    with pytest.raises(UsageError, match=r"pip install 'vitrail\[monitor\]'"):
        Summary.of([], reference)
