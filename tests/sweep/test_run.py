"""A sweep measures every choice of K and λ, and draws what it measured."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.stored_states import representations, stored

from vitrail.concepts import learn
from vitrail.errors import UsageError
from vitrail.sweep import MEASURES, SweepOptions, sweep


def test_a_sweep_measures_every_choice_and_draws_it(tmp_path):
    Z = representations(150)
    activations = stored(tmp_path / "a", Z, (150,))
    told = []
    options = SweepOptions(n_concepts=(2, 6), penalties=(0.0, 5.0), n_runs=1)
    points = sweep(activations, options, out=tmp_path / "s", progress=lambda *step: told.append(step))
    assert [(p.n_concepts, p.penalty) for p in points] == [(2, 0.0), (2, 5.0), (6, 0.0), (6, 5.0)]
    by = {(p.n_concepts, p.penalty): p for p in points}
    assert by[6, 0.0].explained_variance > by[2, 0.0].explained_variance
    assert by[6, 5.0].zeros > by[6, 0.0].zeros
    alone = learn(activations, out=tmp_path / "b", n_concepts=6, penalty=5.0, stability=1)
    assert by[6, 5.0].explained_variance == pytest.approx(alone.scores["explained_variance"])
    assert by[6, 5.0].stability_seeds == pytest.approx(np.mean(alone.stability["seeds"]))
    written = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert written["samples"] == 150
    assert written["points"][3]["zeros"] == by[6, 5.0].zeros
    drawing = (tmp_path / "s" / "sweep.svg").read_text()
    assert drawing.lstrip().startswith("<?xml")
    assert len(drawing) > 5000
    assert told[0] == ("sweep", 0, 4)
    assert told[-1] == ("sweep", 4, 4)
    assert {*MEASURES} <= {*written["points"][0]}


def test_a_sweep_of_a_method_without_a_penalty_has_one_line(tmp_path):
    activations = stored(tmp_path / "a", representations(60), (60,))
    points = sweep(activations, SweepOptions(method="pca", n_concepts=(2, 3), n_runs=1), out=tmp_path / "s")
    assert [(p.n_concepts, p.penalty) for p in points] == [(2, None), (3, None)]
    assert {p.word_overlap for p in points} == {None}


def test_a_sweep_of_nothing_or_of_too_much_is_refused(tmp_path):
    activations = stored(tmp_path / "a", representations(30), (30,))
    for options, message in (
        ({"n_concepts": ()}, "Nothing to try"),
        ({"penalties": ()}, "Nothing to try"),
        ({"n_concepts": (5, 31)}, "Cannot learn 31 concepts from 30 samples"),
    ):
        with pytest.raises(UsageError, match=message):
            sweep(activations, SweepOptions(**options), out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_sweep_reads_words_in_the_language_asked_for(lmm, activations, tmp_path):
    asked = SweepOptions("final", n_concepts=(3,), penalties=(2.0,), n_runs=1)
    with pytest.raises(UsageError, match="no dictionary of 'klingon'"):
        sweep(activations, replace(asked, language="klingon"), out=tmp_path / "s", lmm=lmm)
    assert not (tmp_path / "s").exists()
    (point,) = sweep(activations, replace(asked, language="any"), out=tmp_path / "s", lmm=lmm)
    assert 0 <= point.word_overlap <= 1
