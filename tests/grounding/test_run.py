"""Words are the largest logits of a concept, images its largest activations, and only for a model of its own."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.resealing import reseal

from vitrail.concepts import learn
from vitrail.errors import ArtifactError, UsageError
from vitrail.grounding import WordReader, check_model, ground, most_activating, open_grounding, share_of_samples
from vitrail.grounding.artifact import FILE
from vitrail.learners import make_learner
from vitrail.words import is_word, word_tokens

PLANTED = [
    ["dog", "cat", "horse"],
    ["grass", "dog", "snow"],
    ["red", "blue", "green"],
    ["night", "rain", "dark"],
    ["running", "sleeping", "sitting"],
    ["man", "woman", "child"],
]


@pytest.fixture(scope="module")
def allowed(lmm):
    return word_tokens(lmm.tokenizer)


@pytest.fixture(scope="module")
def directions(lmm, allowed) -> np.ndarray:
    """(6, n_features): directions past the norm whose logits over all words are 3, 2, 1 for `PLANTED`, else 0."""
    W = lmm.model.get_output_embeddings().weight.detach().numpy()[list(allowed)].astype(float)
    token_words = list(allowed.values())
    logits = np.zeros((len(PLANTED), len(allowed)))
    for k, planted in enumerate(PLANTED):
        for strength, word in zip((3, 2, 1), planted, strict=True):
            logits[k, token_words.index(word)] = strength
    return np.linalg.lstsq(W, logits.T, rcond=None)[0].T


@pytest.fixture(scope="module")
def planted(lmm, concepts, directions):
    """`concepts` of the last block with other directions: those that the final norm turns into `directions`."""
    learner = make_learner("semi-nmf", len(PLANTED), form="paper")
    gain = lmm.parts.norm.weight.detach().numpy()
    learner.components_ = (directions / gain).astype(np.float32)
    return dataclasses.replace(concepts, learner=learner)


def said(grounded) -> list[str]:
    return [w.word for w in grounded.words]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- words -----------------------------------------------------------------------------------------------------------


def test_the_mean_has_words_of_its_own_and_competes_for_no_sample(lmm, activations, concepts, grounding):
    mean = activations.states(concepts.layer).mean(0)
    by_hand = WordReader.of(lmm, concepts.layer, activations.word).words(mean[None])[0]
    assert [w.word for w in grounding.mean.words] == by_hand
    assert grounding.mean.share == concepts.scores["mean_share"]
    assert open_grounding(grounding.folder, concepts).mean == grounding.mean
    assert not any(c.mean for c in grounding)
    active = np.mean(np.any(concepts.V > 0, axis=1))
    assert sum(c.share for c in grounding) == pytest.approx(active)
    assert all(c.share > 0 for c in grounding)


def test_words_beside_a_mean_are_those_of_three_parts_of_the_direction_and_one_of_the_mean(lmm, activations, concepts):
    plain = WordReader.of(lmm, concepts.layer, activations.word)
    mean = concepts.mean / np.linalg.norm(concepts.mean)
    assert plain.beside(concepts.mean).words(concepts.U) == plain.words(mean + 3 * concepts.U)
    assert plain.beside(None).words(concepts.U) == plain.words(concepts.U)
    assert plain.beside(7 * concepts.mean).words(concepts.U) == plain.beside(concepts.mean).words(concepts.U)


def test_samples_are_shown_with_strengths_and_without_units(grounding, concepts):
    for shown, concept in zip(grounding.as_list(), grounding, strict=True):
        rms = np.sqrt(np.mean(np.square(concepts.V[:, concept.index])))
        assert [s["strength"] for s in shown["samples"]] == pytest.approx([s.activation / rms for s in concept.samples])
        assert not any("activation" in s for s in shown["samples"])


def test_in_the_papers_form_there_is_no_mean_beside_the_concepts(lmm, activations, tmp_path):
    concepts = learn(activations, out=tmp_path / "c", layer=-1, n_concepts=3, form="paper", stability=0)
    grounding = ground(lmm, activations, concepts, out=tmp_path / "g")
    assert grounding.mean is None
    assert [c.share for c in grounding] == pytest.approx(
        np.bincount(concepts.V.argmax(1), minlength=3) / len(activations)
    )


def test_a_planted_concept_has_its_words_in_their_order(lmm, activations, planted, tmp_path):
    grounding = ground(lmm, activations, planted, out=tmp_path / "g", n_words=3, own_word=True)
    assert [said(c) for c in grounding.concepts] == PLANTED


def test_the_word_of_interest_itself_is_left_out(lmm, activations, planted, tmp_path):
    grounding = ground(lmm, activations, planted, out=tmp_path / "g", n_words=2)
    assert said(grounding[0]) == ["cat", "horse"]
    assert said(grounding[1]) == ["grass", "snow"]


def test_so_are_its_stated_forms(lmm, activations, planted, tmp_path):
    parameters = activations.parameters | {"word": {"text": "dog", "forms": ["cat"], "match_case": False}}
    stated = dataclasses.replace(activations, manifest=activations.manifest | {"parameters": parameters})
    assert said(ground(lmm, stated, planted, out=tmp_path / "g", n_words=1)[0]) == ["horse"]


def test_past_the_final_norm_the_direction_is_taken_as_it_is(lmm, allowed, directions):
    found = WordReader(lmm, "final", allowed, 3).grounded(directions)
    assert [[w.word for w in row] for row in found] == PLANTED
    np.testing.assert_allclose([[w.logit for w in row] for row in found], [[3, 2, 1]] * 6, atol=0.05)


def test_words_are_the_largest_logits_of_the_models_own_head(lmm, concepts, grounding, allowed):
    with torch.no_grad():
        beside = concepts.mean / np.linalg.norm(concepts.mean) + 3 * concepts.U
        logits = lmm.model.get_output_embeddings()(lmm.parts.norm(torch.from_numpy(beside).float()))
    own = set(lmm.tokenizer.encode(" dog", add_special_tokens=False))
    for row, concept in zip(logits, grounding.concepts, strict=True):
        order = sorted((i for i in allowed if i not in own), key=lambda i: -row[i])
        assert [w.token for w in concept.words] == order[:10]
        assert all(w.logit == pytest.approx(float(row[w.token]), rel=1e-4, abs=1e-4) for w in concept.words)
        assert all(is_word(w.word) and w.word == lmm.tokenizer.decode([w.token]).strip() for w in concept.words)


def test_each_word_is_shown_once_by_its_strongest_token(lmm, directions):
    dog, cat = (lmm.tokenizer.encode(f" {w}", add_special_tokens=False)[0] for w in ("dog", "cat"))
    found = WordReader(lmm, "final", {cat: "Cat", 5: "Dog", dog: "dog", 6: "dog"}, 4).grounded(directions[:1])
    assert [(w.word, w.token) for w in found[0]] == [("dog", dog), ("cat", cat)]


def test_forms_of_one_word_take_one_place(lmm, directions):
    dog, dogs, cat = (lmm.tokenizer.encode(f" {w}", add_special_tokens=False)[0] for w in ("dog", "dogs", "cat"))
    reader = WordReader(lmm, "final", {cat: "cat", dogs: "dogs", dog: "dog"}, 3)
    (found,) = reader.words(directions[:1])
    assert set(found) in ({"dog", "cat"}, {"dogs", "cat"})
    assert set(dataclasses.replace(reader, language="any").words(directions[:1])[0]) == {"dog", "dogs", "cat"}


def test_a_vocabulary_without_words_gives_none(lmm, directions):
    assert WordReader(lmm, "final", {}, 5).grounded(directions) == [()] * 6


def test_fewer_words_than_asked_for_are_all_there_are(lmm, directions, allowed):
    few = dict(list(allowed.items())[:4])
    assert {w.word for w in WordReader(lmm, "final", few, 10).grounded(directions[:1])[0]} == {
        w.lower() for w in few.values()
    }


# ---- samples ---------------------------------------------------------------------------------------------------------


def test_samples_are_those_that_activate_a_concept_most(activations, concepts, grounding):
    assert len(grounding) == len(concepts)
    for k, concept in enumerate(grounding.concepts):
        column = concepts.V[:, k]
        expected = [i for i in np.argsort(column)[::-1][:5] if column[i] > 0]
        assert sorted(s.activation for s in concept.samples) == sorted(float(column[i]) for i in expected)
        assert [s.activation for s in concept.samples] == sorted((s.activation for s in concept.samples), reverse=True)
        for s in concept.samples:
            assert s.activation == column[s.row]
            assert s.sample_id == activations.rows[s.row].sample_id


def test_the_row_of_a_sample_is_its_row_among_all_states_dropped_ones_included(lmm, activations, concepts, tmp_path):
    kept = np.ones(len(activations), dtype=bool)
    kept[[0, 5]] = False
    dropped = dataclasses.replace(concepts, kept=kept, V=concepts.V[kept])
    grounding = ground(lmm, activations, dropped, out=tmp_path / "g", n_samples=len(activations))
    for concept in grounding.concepts:
        assert not {0, 5} & {s.row for s in concept.samples}
        for s in concept.samples:
            assert s.activation == concepts.V[s.row, concept.index]
            assert s.sample_id == activations.rows[s.row].sample_id


def test_most_activating_is_the_largest_first_ties_by_row_and_no_zeros():
    assert most_activating(np.array([0.5, 0, 2, 0.5, 3]), 3) == [4, 2, 0]
    assert most_activating(np.array([0.5, 0, 2, 0.5, 3]), 99) == [4, 2, 0, 3]
    assert most_activating(np.zeros(4), 2) == []


def test_shares_are_of_the_samples_whose_strongest_concept_it_is():
    V = np.array([[1, 0.5, 0], [0, -3, 1], [2, 1, 0], [1, 0, 0.9]])
    assert share_of_samples(V).tolist() == [0.75, 0.25, 0]


# ---- what belongs together -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"name": "llava-hf/llava"}, "made by the model 'toyland', not by 'llava-hf/llava' as loaded"),
        ({"adapter": "dogs-lora"}, 'adapter is none there and "dogs-lora" here'),
        ({"revision": "abc"}, 'revision is none there and "abc" here'),
    ],
)
def test_another_model_is_refused_and_both_named(lmm, activations, concepts, tmp_path, change, named):
    with pytest.raises(ArtifactError, match=named):
        ground(dataclasses.replace(lmm, **change), activations, concepts, out=tmp_path / "g")
    assert not (tmp_path / "g").exists()


def test_the_model_of_the_activations_is_accepted(lmm, activations):
    check_model(lmm, activations)


def test_concepts_of_other_activations_are_refused(lmm, activations, concepts, tmp_path):
    other = shutil.copytree(activations.folder, tmp_path / "other")
    reseal(other, note="of another run")
    with pytest.raises(ArtifactError, match=r"concepts was not made from .*other"):
        ground(lmm, dataclasses.replace(activations, folder=other), concepts, out=tmp_path / "g")


def test_a_grounding_of_other_concepts_is_refused_and_made_again(lmm, activations, tmp_path):
    first, second = (
        learn(activations, out=tmp_path / n / "concepts", layer=-1, n_concepts=3, seed=s)
        for n, s in (("a", 0), ("b", 1))
    )
    ground(lmm, activations, first, out=tmp_path / "g")
    with pytest.raises(ArtifactError, match=r"g was not made from .*concepts"):
        open_grounding(tmp_path / "g", second)
    again = ground(lmm, activations, second, out=tmp_path / "g")
    assert open_grounding(tmp_path / "g", second).concepts == again.concepts


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_a_grounding_opened_again_is_the_same(grounding, concepts):
    opened = open_grounding(grounding.folder, concepts)
    assert opened == grounding
    assert opened._repr_html_().count("<tr>") == len(concepts) + 1


def test_grounding_again_opens_what_is_there(lmm, activations, concepts, grounding, monkeypatch):
    before = contents(grounding.folder)
    monkeypatch.setattr(sys.modules["vitrail.grounding.run"], "word_reader", None)
    assert ground(lmm, activations, concepts, out=grounding.folder) == grounding
    assert contents(grounding.folder) == before


@pytest.mark.parametrize("change", [{"n_words": 3}, {"n_samples": 2}, {"own_word": True}])
def test_other_parameters_need_another_folder(lmm, activations, concepts, grounding, change):
    (name,) = change
    with pytest.raises(ArtifactError, match=f"belongs to another run: {name} is"):
        ground(lmm, activations, concepts, out=grounding.folder, **change)


@pytest.mark.parametrize("change", [{"n_words": 0}, {"n_samples": 0}])
def test_no_words_or_no_samples_are_refused(lmm, activations, concepts, tmp_path, change):
    with pytest.raises(UsageError, match=f"{next(iter(change))} must be at least 1"):
        ground(lmm, activations, concepts, out=tmp_path / "g", **change)


@pytest.mark.parametrize("text", ["", "[{", "{}x", '[{"index": 0}]', "[1]"])
def test_a_damaged_file_is_refused(grounding, concepts, tmp_path, text):
    folder = shutil.copytree(grounding.folder, tmp_path / "g")
    (folder / FILE).write_text(text)
    with pytest.raises(ArtifactError, match=r"grounding\.json is damaged.*Remove .*g and ground again"):
        open_grounding(folder, concepts)


def test_a_missing_file_is_named(grounding, tmp_path):
    folder = shutil.copytree(grounding.folder, tmp_path / "g")
    (folder / FILE).unlink()
    with pytest.raises(ArtifactError, match=r"grounding\.json is (damaged|missing)"):
        open_grounding(folder)


def test_grounding_that_was_killed_can_be_run_again(lmm, activations, concepts, grounding, tmp_path, monkeypatch):
    def die(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["vitrail.grounding.run"], "write_manifest", die)
        with pytest.raises(KeyboardInterrupt):
            ground(lmm, activations, concepts, out=tmp_path / "g")
    assert (tmp_path / "g" / FILE).exists()
    ground(lmm, activations, concepts, out=tmp_path / "g")
    assert contents(tmp_path / "g") == contents(grounding.folder)
