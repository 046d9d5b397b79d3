"""Comparing two models: what is aligned, what is said of it, the page, the command, bad input."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from vitrail.comparison.whole_model import check_models, frequencies

from vitrail.activations import Activations
from vitrail.comparison import Rules, along, by_layer, compare, open_shift, same_activations, same_study, whole_model
from vitrail.comparison.aligned import Both, codes_of
from vitrail.comparison.pairs import align, check_alike
from vitrail.concepts import learn
from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.extraction import extract
from vitrail.grounding import ground
from vitrail.reports.comparison import distinctive, shift_report
from vitrail.reports.flow import flow_picture
from vitrail.studies import Study

QUICK = {"n_words": 6, "n_images": 4, "draws": 5, "resamples": 10}


def study_of(lmm, activations, folder: Path, method: str, n: int = 6) -> Study:
    concepts = learn(activations, out=folder / "concepts", layer=-1, method=method, n_concepts=n, stability=0)
    return Study(folder, activations, concepts, ground(lmm, activations, concepts, out=folder / "grounding"), ())


@pytest.fixture(scope="module")
def other(lmm):
    """The bundled model with other weights in its last blocks: what a fine-tune leaves, without training one."""
    from vitrail.lmm import load

    changed = load("toyland", device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for block in list(changed.parts.blocks)[5:]:
            weight = block.mlp.down_proj.weight
            weight += 0.6 * weight.std() * torch.randn(weight.shape, generator=generator)
    return dataclasses.replace(changed, name="toyland, changed")


@pytest.fixture(scope="module", params=["kmeans", "semi-nmf"])
def both(request, lmm, other, activations, dogs, tmp_path_factory):
    """Studies of the dogs before and after. Not to be written to."""
    folder = tmp_path_factory.mktemp(request.param)
    a = study_of(lmm, activations, folder / "a", request.param)
    return a, same_study(a, other, dogs, out=folder / "b")


@pytest.fixture(scope="module")
def shift(both, lmm, other, tmp_path_factory):
    a, b = both
    return compare(a, b, lmm, other, out=tmp_path_factory.mktemp("shift") / "dog", **QUICK)


# ---- what comes out --------------------------------------------------------------------------------------------------


def test_the_other_study_is_made_as_the_first_one_was(both):
    a, b = both
    assert [r["sample_id"] for r in b.activations.rows] == [r["sample_id"] for r in a.activations.rows]
    for key in ("word", "alignment", "require", "prompt", "layers", "max_new_tokens"):
        assert b.activations.parameters[key] == a.activations.parameters[key]
    assert b.concepts.parameters == a.concepts.parameters
    assert b.grounding.manifest["parameters"] == a.grounding.manifest["parameters"]


def test_a_shift_becomes_a_vector_that_moves_states_as_its_samples_moved(shift, both, lmm, tmp_path):
    from vitrail.steering import shift_vector

    a, _ = both
    for k in range(len(shift)):
        made = shift_vector(lmm, a.activations, a.concepts, shift, k, out=tmp_path / str(k))
        codes = a.concepts.V[:, k]
        scale = 1.0 if a.concepts.parameters["method"] == "kmeans" else codes[codes > 0].mean()
        expected = scale * shift.shifts[k]
        np.testing.assert_allclose(made.tensors["layer.8"].numpy(), expected, rtol=1e-5, atol=1e-6)
    norms = np.linalg.norm(a.activations.states(8), axis=1)
    assert made.medians[8] == pytest.approx(np.median(norms))
    with pytest.raises(UsageError, match="concepts 0 to 5; got 6"):
        shift_vector(lmm, a.activations, a.concepts, shift, 6, out=tmp_path / "none")
    with pytest.raises(ArtifactError, match="was not made from"):
        shift_vector(lmm, a.activations, both[1].concepts, shift, 0, out=tmp_path / "other")


def test_shifts_are_those_of_the_formulas(shift, both):
    a, b = both
    D = b.activations.states(8).astype(float) - a.activations.states(8)
    V = a.concepts.V
    if a.concepts.parameters["method"] == "kmeans":
        owner = V.argmax(1)
        expected = np.array([D[owner == k].mean(0) for k in range(6)])
        assert shift.found["estimate"] == "mean"
    else:
        expected = np.linalg.pinv(V.astype(float)) @ D
        assert shift.found["estimate"] == "codes"
    assert shift.shifts == pytest.approx(expected, abs=1e-3)
    assert shift.shifted == pytest.approx(a.concepts.U + expected, abs=1e-3)
    assert shift.mean_move == pytest.approx(D.mean(0), abs=1e-4)


def test_every_concept_is_told_of(shift, activations):
    ids = {r["sample_id"] for r in activations.rows}
    assert [c["index"] for c in shift.concepts] == list(range(6))
    assert sum(c["n_samples"] for c in shift.concepts) <= len(activations)
    assert sorted(c["match"] for c in shift.concepts) == list(range(6))
    for c in shift.concepts:
        assert c["change"] in ("refined", "changed", "split", "merged", "faded")
        assert (c["counterpart"] is None) <= (c["change"] == "faded")
        assert len(c["words"]) == len(c["words_shifted"]) == len(c["words_match"]) == 6
        assert {*c["samples"], *c["samples_match"]} <= ids
        change = c["word_change"]
        assert {*change["kept"], *change["lost"]} == set(c["words"])
        shared = len({*c["words_shifted"]} & {*c["words_match"]})
        assert c["t_overlap_after"] == pytest.approx(100 * shared / 6)
    assert np.sum(shift.found["flow"]) == sum(c["n_samples"] for c in shift.concepts)
    assert len(shift.found["controls"]) == 3


def test_a_model_compared_with_itself_did_not_change(lmm, activations, tmp_path):
    a = study_of(lmm, activations, tmp_path / "a", "kmeans")
    found = compare(a, a, lmm, lmm, out=tmp_path / "shift", **QUICK).found
    assert {c["change"] for c in found["concepts"]} == {"refined"}
    assert found["emerged"] == []
    assert all(c["match"] == c["counterpart"] == c["index"] for c in found["concepts"])
    assert (
        {c["t_overlap_before"] for c in found["concepts"]} == {c["t_overlap_after"] for c in found["concepts"]} == {100}
    )
    assert all(c["magnitude"] == 0 for c in found["concepts"])
    assert found["samples"] == {"common": len(activations), "only_a": 0, "only_b": 0, "outliers": 0}


def test_a_finished_comparison_is_opened_and_other_parameters_are_refused(shift, both, lmm, other, monkeypatch):
    a, b = both
    monkeypatch.setattr(sys.modules["vitrail.comparison.studies"], "recover", None)
    again = compare(a, b, lmm, other, out=shift.folder, **QUICK)
    assert again.found == shift.found == open_shift(shift.folder).found
    with pytest.raises(ArtifactError, match=r"alpha is 1\.0 there and 0\.5 here"):
        compare(a, b, lmm, other, out=shift.folder, alpha=0.5, **QUICK)


def test_a_damaged_comparison_is_refused(shift, tmp_path):
    copy = shutil.copytree(shift.folder, tmp_path / "copy")
    (copy / "shift.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"shift\.json is damaged"):
        open_shift(copy)


def test_rules_reach_the_changes(both, lmm, other, tmp_path):
    a, b = both
    found = compare(a, b, lmm, other, out=tmp_path / "s", rules=Rules(strength=1.1), **QUICK).found
    assert {c["change"] for c in found["concepts"]} == {"faded"}
    assert len(found["emerged"]) == 6


# ---- by layer, along a fine-tune, whole model ------------------------------------------------------------------------


def test_words_are_those_that_the_studies_allow(shift, both, lmm, other, tmp_path):
    a, b = both
    loose = [
        dataclasses.replace(
            s,
            grounding=ground(model, s.activations, s.concepts, out=tmp_path / name, language="any", own_word=True),
        )
        for s, model, name in ((a, lmm, "a"), (b, other, "b"))
    ]
    found = compare(*loose, lmm, other, out=tmp_path / "shift", **QUICK).concepts
    for told, c in zip(loose[0].grounding.concepts, found, strict=True):
        assert c["words"] == [w.word for w in told.words[:6]]
    assert any("dog" in c["words"] for c in found)
    assert [c["words"] for c in found] != [c["words"] for c in shift.concepts]
    with pytest.raises(UsageError, match=r"words were .*'any'.* in one, .*'en'.* in the other"):
        compare(loose[0], b, lmm, other, out=tmp_path / "none", **QUICK)


def test_a_change_is_followed_in_the_language_asked_for(both, other):
    a, b = (s.activations for s in both)
    with pytest.raises(UsageError, match="no dictionary of 'klingon'"):
        by_layer(a, b, other, n_concepts=6, language="klingon")
    with pytest.raises(UsageError, match="no dictionary of 'klingon'"):
        along(a, {1: b}, other, layer=8, n_concepts=6, language="klingon")


def test_codes_are_those_of_the_sample_where_outliers_were_left_out():
    concepts = SimpleNamespace(kept=np.array([True, False, True, False, True]), V=np.array([[0.0], [2.0], [4.0]]))
    assert codes_of(concepts, np.array([4, 0, 2])).ravel().tolist() == [4, 0, 2]


def test_shifted_concepts_are_looked_at_as_concepts_of_the_learner(both, lmm, other):
    a, b = both
    seen = Both(a, b, lmm, other, 6, 4)
    expected = b.concepts.learner.transform(seen.B.astype(np.float32))
    np.testing.assert_allclose(seen.activations_of(seen.U_b), expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(seen.activations_of(seen.U_a), expected, atol=1e-2)


def test_every_concept_is_read_by_its_own_model(both, lmm, other, monkeypatch):
    read = []
    monkeypatch.setattr(
        sys.modules["vitrail.comparison.aligned"], "top_words", lambda model, U, *_: read.append((model, U)) or []
    )
    seen = Both(*both, lmm, other, 6, 4)
    seen.read_by_b(seen.U_a)
    assert [model is other for model, _ in read] == [False, True, True]
    assert [U is found for (_, U), found in zip(read, (seen.U_a, seen.U_b, seen.U_a), strict=True)] == [True] * 3


def test_layers_before_the_change_did_not_move(both, other):
    a, b = both
    points = by_layer(a.activations, b.activations, other, n_concepts=4, n_words=5)
    assert [p.layer for p in points] == [0, 3, 8, "final"]
    assert [p.magnitude.mean == 0 for p in points] == [True, True, False, False]
    assert all(p.n_samples == len(a.activations) for p in points)


def test_a_fine_tune_is_followed_step_by_step(both, other):
    a, b = both
    points = along(a.activations, {20: b.activations, 10: a.activations}, other, layer=8, n_concepts=4, n_words=5)
    assert [(p.step, p.magnitude.mean > 0) for p in points] == [(10, False), (20, True)]


def test_the_whole_model_view_of_a_model_and_itself_is_empty(lmm, samples):
    found = whole_model(lmm, lmm, samples[:4], max_new_tokens=6)
    assert found.changed_captions == 0
    assert found.divergence.mean == pytest.approx(0, abs=1e-6)
    assert {move.relative for move in found.layers} == {0.0}
    assert found.frequencies == ()


def test_the_whole_model_view_says_where_a_model_changed(lmm, other, samples):
    found = whole_model(lmm, other, samples[:6], max_new_tokens=6, batch_size=4)
    assert found.n_samples == 6
    assert found.divergence.mean > 0
    moved = {move.layer: move.relative for move in found.layers}
    assert list(moved) == [*range(9), "final"]
    assert [moved[k] > 0 for k in range(9)] == [False] * 6 + [True] * 3
    assert moved[8] > moved[6]
    json.dumps(found.as_dict(), allow_nan=False)


def test_divergence_is_that_of_the_models_own_logits(lmm, other, samples):
    image = samples[0].open()
    inputs = lmm.prepare([image], [lmm.prompt])
    said = lmm.generate(inputs, 5)[0].ids
    batch = lmm.extended(inputs, [said])
    with torch.no_grad():
        p, q = (m.run(batch).logits[0, -len(said) - 1 :].float().log_softmax(-1) for m in (lmm, other))
    expected = (p.exp() * (p - q)).sum(-1)
    found = whole_model(lmm, other, samples[:1], max_new_tokens=5)
    assert found.by_position == pytest.approx(expected.tolist(), abs=1e-4)


def test_words_that_rose_and_fell_are_found_with_their_p():
    before = ["a red dog"] * 20 + ["a blue cat"] * 20
    after = ["a dog on the beach"] * 20 + ["a blue cat"] * 20
    found = {f.word: f for f in frequencies(before, after)}
    assert set(found) == {"red", "beach"}
    assert (found["red"].before, found["red"].after) == (20, 0)
    assert found["beach"].p < 0.001


# ---- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(shift, both, tmp_path_factory) -> str:
    a, b = both
    path = shift_report(shift, a.activations, b.activations, out=tmp_path_factory.mktemp("page") / "report.html")
    return path.read_text()


def test_the_page_shows_every_concept_before_shifted_and_after(page, shift):
    assert page.count('<article class="card three') == 6
    for c in shift.concepts:
        assert all(f">{w}</li>" in page for w in {*c["words"], *c["words_shifted"], *c["words_match"]})
    assert page.count("data:image/jpeg;base64,") >= 6
    assert 'aria-label="how the samples of 6 concepts before go to 6 concepts after"' in page


def test_the_page_asks_nothing_of_any_other(page):
    import re

    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    assert "url(http" not in page
    assert "None" not in re.sub(r"<pre.*?</pre>|<dl class=\"pairs\">.*?</dl>", "", page, flags=re.DOTALL)


def test_hostile_words_and_captions_do_no_harm_on_the_page(shift, both, tmp_path):
    a, b = both
    evil = "<script>alert(1)</script>"
    rows = [row | {"text": evil, "start": 0, "end": 3} for row in a.activations.rows]
    side = Activations(a.activations.folder, a.activations.manifest)
    side.__dict__["rows"] = rows
    found = json.loads(json.dumps(shift.found))
    for c in (*found["concepts"], *found["after"]):
        c["words"][0] = evil
    found["word"]["text"] = evil
    path = shift_report(dataclasses.replace(shift, found=found), side, b.activations, out=tmp_path / "r.html")
    assert "<script>alert" not in path.read_text()


def test_ribbons_are_as_wide_as_their_samples_and_links_are_strong():
    flow, linked = np.array([[30, 0], [10, 60]]), np.array([[True, False], [False, True]])
    svg = flow_picture(flow, linked, [["a"], ["b"]], [["c"], ["d"]], emerged=[1])
    assert svg.count("<path") == 3
    assert svg.count("ribbon tone-0 linked") == 1
    assert "0 → 0: 30 samples" in svg
    assert "d (new)" in svg
    assert flow_picture(np.zeros((2, 2), int), linked, [[], []], [[], []]) == ""


def test_titles_are_the_words_that_tell_concepts_apart():
    concepts = [{"words": ["cat", "red", "sea"]}, {"words": ["cat", "blue", "sea"]}, {"words": ["cat", "green", "sky"]}]
    assert distinctive(concepts[0]["words"], concepts, 2) == ["red", "sea"]


# ---- bad input -------------------------------------------------------------------------------------------------------


def changed(activations: Activations, model: dict | None = None, **parameters) -> Activations:
    p = activations.parameters
    p = p | parameters | {"model": p["model"] | (model or {})}
    return Activations(activations.folder, activations.manifest | {"parameters": p})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"word": {"text": "cat", "forms": [], "match_case": False}},
            "the word is 'dog' in one and 'cat' in the other",
        ),
        ({"alignment": "reads"}, "the alignment is 'predicts' in one and 'reads' in the other"),
        ({"prompt": "what ?"}, "the prompt is .* in one and 'what \\?' in the other"),
        ({"require": "both"}, "the requirement is 'truth' in one and 'both' in the other"),
    ],
)
def test_states_that_mean_other_things_are_refused(activations, change, message):
    with pytest.raises(UsageError, match=message):
        check_alike(activations, changed(activations, **change))


def test_models_of_another_width_or_depth_are_refused(activations):
    with pytest.raises(ArtifactError, match="the width of the states is 256 in one and 512 in the other"):
        check_alike(activations, changed(activations, {"n_features": 512}))
    with pytest.raises(ArtifactError, match="the number of blocks is 8 in one and 4 in the other"):
        check_alike(activations, changed(activations, {"n_blocks": 4}))


def test_models_with_another_tokenizer_are_refused(lmm):
    import copy

    processor = copy.copy(lmm.processor)
    processor.tokenizer = copy.deepcopy(lmm.tokenizer)
    processor.tokenizer.add_tokens(["schnauzer"])
    with pytest.raises(UsageError, match="their tokenizers differ in 1 of"):
        check_models(lmm, dataclasses.replace(lmm, processor=processor, name="other"))


def test_no_common_samples_is_an_error_that_names_an_id_of_each(activations):
    elsewhere = Activations(activations.folder, activations.manifest)
    elsewhere.__dict__["rows"] = [row | {"sample_id": f"x{i}"} for i, row in enumerate(activations.rows)]
    with pytest.raises(DataError, match=r"no sample in common: .*'x0'"):
        align(activations, elsewhere)


def test_samples_of_one_model_alone_are_counted_and_left_out(activations):
    rows = activations.rows
    fewer = Activations(
        activations.folder, activations.manifest | {"counts": activations.manifest["counts"] | {"kept": 3}}
    )
    fewer.__dict__["rows"] = [rows[5], rows[2], rows[0] | {"sample_id": "new"}]
    found = align(activations, fewer)
    assert found.ids == (rows[2]["sample_id"], rows[5]["sample_id"])
    assert (found.a.tolist(), found.b.tolist()) == ([2, 5], [1, 0])
    assert (found.only_a, found.only_b) == (len(rows) - 2, 1)


def test_another_layer_or_method_is_refused(lmm, activations, tmp_path):
    a = study_of(lmm, activations, tmp_path / "a", "kmeans", 3)
    for name, options, message in (
        ("layer", {"layer": 3, "method": "kmeans"}, "layer is 8 in one, 3 in the other"),
        ("method", {"layer": 8, "method": "pca"}, "method is 'kmeans' in one, 'pca' in the other"),
    ):
        concepts = learn(activations, out=tmp_path / name, n_concepts=3, stability=0, **options)
        b = Study(tmp_path, activations, concepts, a.grounding, ())
        with pytest.raises(UsageError, match=message):
            compare(a, b, lmm, lmm, out=tmp_path / "shift", **QUICK)
    assert not (tmp_path / "shift").exists()


def test_the_models_must_be_those_of_the_studies(both, lmm, tmp_path):
    a, b = both
    with pytest.raises(ArtifactError, match="was made by the model 'toyland, changed', not by 'toyland'"):
        compare(a, b, lmm, lmm, out=tmp_path / "shift", **QUICK)


def test_data_of_another_kind_are_refused(activations, lmm, samples, tmp_path):
    strangers = [dataclasses.replace(s, id=f"x{s.id}") for s in samples[:3]]
    with pytest.raises(DataError, match="None of the 3 samples is among the"):
        same_activations(activations, lmm, strangers, out=tmp_path / "b")


# ---- the commands ----------------------------------------------------------------------------------------------------


def test_a_fine_tune_and_what_it_did_by_two_commands(run, lmm, dogs, world, tmp_path):
    pytest.importorskip("peft")
    study = tmp_path / "a"
    activations = extract(lmm, dogs[:10], "dog", out=study / "activations", layers=[4, -1], require="truth")
    study_of(lmm, activations, study, "kmeans", 4)
    learning = ("--data", world, "--split", "train", "--limit", 20, "--steps", 2, "--batch-size", 2, "--checkpoints", 2)
    code, out, err = run(
        "finetune", *learning, "--style", "place", "--out", tmp_path / "t", "--device", "cpu", "--json"
    )
    assert code == 0, err
    assert list(json.loads(out)["checkpoints"]) == ["1", "2"]
    common = ("--a", study, "--adapter", tmp_path / "t", "--device", "cpu", "--words", 5)
    data = ("--data", world, "--split", "train", "--whole", 2, "--checkpoints", tmp_path / "t")
    code, out, err = run("compare", *common, *data, "--out", tmp_path / "shift", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["samples"]["common"] == 10
    assert found["whole"]["n_samples"] == 2
    assert [p["step"] for p in found["steps"]] == [1, 2]
    assert [p["layer"] for p in found["layers"]] == [4, 8]
    assert (tmp_path / "shift" / "report.html").stat().st_size > 50_000
    code, out, err = run("compare", "--a", study, "--b", tmp_path / "shift" / "b", "--out", tmp_path / "again")
    assert code == 0, err
    assert "T-Overlap with the match" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give either --b, or --model-b or --adapter; got none of them"),
        (("--b", "x", "--adapter", "y"), "got --b, --adapter"),
        (("--adapter", "y"), "--data is needed"),
        (("--b", "nowhere", "--checkpoints", "y"), "--data is needed"),
        (("--b", "nowhere"), "There is no study at a"),
    ],
)
def test_what_cannot_be_compared_is_said(run, tmp_path, arguments, message):
    code, _, err = run("compare", "--a", "a", "--out", tmp_path / "s", *arguments)
    assert code in (1, 2)
    assert message in err


@pytest.mark.parametrize("arguments", [(), ("--style", "place", "--words", "red")])
def test_one_way_to_choose_captions_must_be_named(run, world, tmp_path, arguments):
    code, _, err = run("finetune", "--data", world, "--out", tmp_path / "t", *arguments)
    assert code == 2
    assert "either --style (of Toyland) or --words" in err
