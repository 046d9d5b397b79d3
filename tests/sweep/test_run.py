"""A sweep measures every choice of K and λ on samples that were left out, and draws what it measured."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from tests.stored_states import representations, stored

from vitrail.concepts import learn
from vitrail.errors import UsageError
from vitrail.sweep import SweepOptions, sweep


def test_a_sweep_measures_every_choice_and_draws_it(tmp_path):
    Z = representations(150)
    activations = stored(tmp_path / "a", Z, (150,))
    told = []
    options = SweepOptions(n_concepts=(2, 6), penalties=(0.0, 0.4), n_runs=1)
    choice = sweep(activations, options, out=tmp_path / "s", progress=lambda *step: told.append(step))
    assert [(t.n_concepts, t.penalty) for t in choice.tried] == [(2, 0.0), (2, 0.4), (6, 0.0), (6, 0.4)]
    by = {(t.n_concepts, t.penalty): t for t in choice.tried}
    assert by[6, 0.0].explained_variance > by[2, 0.0].explained_variance
    assert by[6, 0.4].zeros > by[6, 0.0].zeros
    assert choice.chosen in choice.tried
    alone = learn(activations, out=tmp_path / "b", n_concepts=6, penalty=0.4, stability=1)
    assert by[6, 0.4].stability_seeds == pytest.approx(sum(alone.stability["seeds"]) / 6)
    written = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert written["samples"] == 150
    assert written["tried"][3]["zeros"] == by[6, 0.4].zeros
    assert written["reason"] == choice.reason
    drawing = (tmp_path / "s" / "sweep.svg").read_text()
    assert drawing.lstrip().startswith("<?xml")
    assert len(drawing) > 5000
    assert told[0] == ("choices", 0, 4)
    assert told[-1] == ("choices", 4, 4)


def test_a_sweep_of_a_method_without_a_penalty_has_one_line(tmp_path):
    activations = stored(tmp_path / "a", representations(60), (60,))
    choice = sweep(activations, SweepOptions(method="pca", n_concepts=(2, 3), n_runs=1), out=tmp_path / "s")
    assert [(t.n_concepts, t.name) for t in choice.tried] == [(2, "K = 2"), (3, "K = 3")]
    assert all(math.isnan(t.penalty) and math.isnan(t.word_overlap) for t in choice.tried)


def test_a_sweep_of_nothing_or_of_too_much_is_refused(tmp_path):
    activations = stored(tmp_path / "a", representations(30), (30,))
    for options, message in (
        ({"n_concepts": ()}, "Nothing to try"),
        ({"penalties": ()}, "Nothing to try"),
        ({"n_concepts": (5, 23)}, "Cannot learn 23 concepts from 22 of 30 samples; the others are left out to judge"),
    ):
        with pytest.raises(UsageError, match=message):
            sweep(activations, SweepOptions(**options), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_sweep_reads_words_in_the_language_asked_for(lmm, activations, tmp_path):
    asked = SweepOptions("final", n_concepts=(3,), penalties=(2.0,), n_runs=1)
    with pytest.raises(UsageError, match="no dictionary of 'klingon'"):
        sweep(activations, replace(asked, language="klingon"), out=tmp_path / "s", lmm=lmm)
    assert not (tmp_path / "s").exists()
    (tried,) = sweep(activations, replace(asked, language="any"), out=tmp_path / "s", lmm=lmm).tried
    assert 0 <= tried.word_overlap <= 1
