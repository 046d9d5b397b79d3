"""Steerings: made from states, concepts, tensors and answers; kept on disk; exchanged with other tools."""

from __future__ import annotations

import contextlib
import json
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from vitrail.steering.learned import TwoLayer
from vitrail.trials.metrics import surprise
from vitrail.trials.recipes import make_for, tries
from vitrail.trials.tasks import AnswerTask, until_said

from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.finetuning import Example
from vitrail.samples import load_samples
from vitrail.steering import (
    Add,
    concept_vector,
    evaluate,
    learn_from_answers,
    learn_from_pairs,
    make_vector,
    open_steering,
    read_states,
    steer,
    tensor_vector,
)
from vitrail.steering.artifact import FILE, about
from vitrail.steering.interchange import export_vectors, import_vectors
from vitrail.steering.vectors import difference, first_component, probe_normal, random_like
from vitrail.trials import TASKS, Judge, rank_by_narrowness, say, search
from vitrail.trials.contest import Contender, baselines, speeds
from vitrail.trials.grid_search import halves, pareto
from vitrail.trials.outcome import Narrowness, narrowness

YES_NO = TASKS["yes-no"]


@pytest.fixture(scope="module")
def asked(world):
    """Questions of `world`, with answers."""
    return load_samples(world / "v2_OpenEnded_mscoco_train2014_questions.json", limit=120)


@pytest.fixture(scope="module")
def vector(lmm, asked, tmp_path_factory):
    """The mean vector yes → no of layers 6 and 8."""
    out = tmp_path_factory.mktemp("steer") / "mean"
    return make_vector(lmm, YES_NO.toward(asked), YES_NO.away(asked), out=out, layers=[6, -1], read_at="last")


# ---- states and vectors ----------------------------------------------------------------------------------------------


def test_states_are_means_over_the_selected_positions(lmm, samples):
    examples = [Example(s, s.references[0]) for s in samples[:3]]
    found = read_states(lmm, examples, [3, "final"], batch_size=2)
    for i, e in enumerate(examples):
        inputs = lmm.prepare([e.sample.open()], [lmm.prompt])
        ids = lmm.continuation(lmm.prompt, e.answer).ids
        width = inputs["input_ids"].shape[1]
        at = range(width - 1, width + len(ids))
        states = lmm.states(inputs, [ids], list(at), [3, "final"], rows=[0] * len(at))
        for layer in (3, "final"):
            torch.testing.assert_close(found.by_layer[layer][i], states[layer].mean(0), rtol=1e-4, atol=1e-4)


def test_states_can_be_those_that_predict_some_words(lmm, samples):
    e = Example(samples[0], "a red dog and a red cat")
    found = read_states(lmm, [e, Example(samples[1], "two cats")], [4], saying={"red"})
    inputs, ids = lmm.prepare([e.sample.open()], [lmm.prompt]), lmm.continuation(lmm.prompt, e.answer).ids
    width = inputs["input_ids"].shape[1]
    pieces = [lmm.tokenizer.decode([i]).strip() for i in ids]
    at = [width - 1 + i for i, piece in enumerate(pieces) if piece == "red"]
    states = lmm.states(inputs, [ids], at, [4], rows=[0, 0])[4]
    assert found.examples == (0,)
    torch.testing.assert_close(found.by_layer[4][0], states.mean(0), rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="zebra"):
        read_states(lmm, [e], [4], saying={"zebra"})


def test_vectors_point_from_one_to_the_other():
    draw = torch.Generator().manual_seed(0)
    u = torch.nn.functional.normalize(torch.randn(12, generator=draw), dim=0)
    away = 0.1 * torch.randn(60, 12, generator=draw)
    toward = 0.1 * torch.randn(60, 12, generator=draw) + 4 * u
    for make in (difference, probe_normal, first_component):
        found = make(toward, away)
        assert torch.cosine_similarity(found, u, dim=0) > 0.97, make
        assert float(found.norm()) == pytest.approx(4.0, rel=0.1), make
    pushed = random_like(4 * u, seed=1)
    assert float(pushed.norm()) == pytest.approx(4.0)
    assert not torch.equal(pushed, random_like(4 * u, seed=2))
    with pytest.raises(UsageError, match="as wide"):
        difference(toward, away[:, :3])


def test_the_norms_are_in_units_of_the_layers_median_norm(lmm, asked, vector):
    off = read_states(lmm, YES_NO.away(asked), [6], positions="last")
    median = off.by_layer[6].norm(dim=1).median()  # one position each: its state
    assert vector.norms[6] == pytest.approx(float(vector.directions[6].norm() / median), rel=1e-5)
    assert vector.layers == (6, lmm.n_blocks)


def test_a_vector_is_the_same_from_disk_and_is_not_made_twice(lmm, asked, vector):
    again = make_vector(
        lmm, YES_NO.toward(asked), YES_NO.away(asked), out=vector.folder, layers=[6, -1], read_at="last",
        progress=lambda *_: pytest.fail("made again"),
    )  # fmt: skip
    for layer, v in vector.directions.items():
        assert torch.equal(again.directions[layer], v)
    with pytest.raises(ArtifactError, match="another run"):
        make_vector(lmm, YES_NO.toward(asked), YES_NO.away(asked), out=vector.folder, layers=[2], read_at="last")


def test_a_steering_keeps_the_doctors_certificate_of_the_model_it_was_read_from(vector):
    assert vector.manifest["doctor"]["passed"]
    assert "blocks" in vector.manifest["doctor"]["modules"]


def test_a_steering_that_is_damaged_or_of_another_model_is_refused(lmm, vector, tmp_path):
    for name in (FILE, "manifest.json"):
        (tmp_path / name).write_bytes((vector.folder / name).read_bytes())
    open_steering(tmp_path).check(lmm)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["parameters"]["n_features"] = 3
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="3 features"):
        open_steering(tmp_path).check(lmm)
    (tmp_path / FILE).write_bytes(b"x" + (tmp_path / FILE).read_bytes()[1:])
    with pytest.raises(ArtifactError, match="damaged"):
        open_steering(tmp_path)


def test_concepts_become_vectors(lmm, activations, concepts, tmp_path):
    one = concept_vector(lmm, activations, concepts, 2, out=tmp_path / "one")
    fine = concept_vector(lmm, activations, concepts, 2, 0, out=tmp_path / "fine")
    layer = concepts.layer
    codes = concepts.V[:, 2]
    expected = concepts.U[2] * codes[codes != 0].mean()
    np.testing.assert_allclose(one.directions[layer].numpy(), expected, rtol=1e-5)
    other = concept_vector(lmm, activations, concepts, 0, out=tmp_path / "other")
    torch.testing.assert_close(fine.directions[layer], one.directions[layer] - other.directions[layer])
    with pytest.raises(UsageError, match="0 to 5"):
        concept_vector(lmm, activations, concepts, 6, out=tmp_path / "none")


# ---- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gguf", ".pt", ".safetensors"])
def test_vectors_go_out_and_come_back(lmm, vector, tmp_path, suffix):
    path = export_vectors(vector, tmp_path / f"v{suffix}", alpha=2.0, model="llama")
    back = import_vectors(path)
    assert set(back) == set(vector.layers)
    for layer, v in back.items():
        torch.testing.assert_close(v, 2 * vector.directions[layer])
    made = tensor_vector(lmm, back, vector.medians, out=tmp_path / "made", source=path.name)
    assert made.norms[6] == pytest.approx(2 * vector.norms[6])
    assert tensor_vector(lmm, back, vector.medians, out=tmp_path / "made", source=path.name).manifest == made.manifest
    with pytest.raises(ArtifactError, match="sha256"):
        tensor_vector(lmm, {6: back[6], 8: -back[8]}, vector.medians, out=tmp_path / "made", source=path.name)


def test_a_control_vector_is_what_llama_cpp_reads(vector, tmp_path):
    import gguf

    reader = gguf.GGUFReader(export_vectors(vector, tmp_path / "v.gguf", model="llama"))
    # as llama.cpp's common_control_vector_load_one wants it: 1-D float32 tensors "direction.k", k ≥ 1
    assert sorted(t.name for t in reader.tensors) == ["direction.5", "direction.7"]
    assert all(t.tensor_type == gguf.GGMLQuantizationType.F32 and len(t.shape) == 1 for t in reader.tensors)
    fields = {name: reader.get_field(name).contents() for name in
              ("general.architecture", "controlvector.model_hint", "controlvector.layer_count")}  # fmt: skip
    assert fields == {
        "general.architecture": "controlvector",
        "controlvector.model_hint": "llama",
        "controlvector.layer_count": 2,
    }


def test_a_pt_file_is_what_steering_vectors_reads(vector, tmp_path):
    # `SteeringVector(layer_activations=…)` of steering-vectors 0.12: blocks counted from 0
    found = torch.load(export_vectors(vector, tmp_path / "v.pt"), weights_only=True)
    assert list(found) == [5, 7]
    torch.testing.assert_close(found[5], vector.directions[6])
    save_file({"direction.5": vector.directions[6]}, tmp_path / "v.safetensors")
    torch.testing.assert_close(import_vectors(tmp_path / "v.safetensors")[6], vector.directions[6])  # by its block, too
    torch.save(vector.directions[6], tmp_path / "bare.pt")
    torch.testing.assert_close(import_vectors(tmp_path / "bare.pt", layer=6)[6], vector.directions[6])


def test_what_cannot_be_exchanged_is_refused(lmm, vector, tmp_path):
    with pytest.raises(UsageError, match="no place for layer 1"):
        export_vectors({1: torch.ones(3)}, tmp_path / "v.gguf")
    with pytest.raises(UsageError, match=r"no place for layer 0: its layers are 1 to N"):
        export_vectors({0: torch.ones(3)}, tmp_path / "v.pt")
    with pytest.raises(UsageError, match=r"\.gguf or \.pt or \.safetensors"):
        export_vectors(vector, tmp_path / "v.bin")
    (tmp_path / "code.pt").write_bytes(pickle.dumps({1: Example}, protocol=2))  # a pickle that would import
    with pytest.raises(ArtifactError, match="damaged"):
        import_vectors(tmp_path / "code.pt")
    torch.save({}, tmp_path / "empty.pt")
    with pytest.raises(ArtifactError, match="no vectors"):
        import_vectors(tmp_path / "empty.pt")
    torch.save({0: torch.ones(2, 2)}, tmp_path / "wide.pt")
    with pytest.raises(ArtifactError, match=r"one vector per layer.*\(2, 2\)"):
        import_vectors(tmp_path / "wide.pt")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    with pytest.raises(ArtifactError, match="damaged"):
        import_vectors(tmp_path / "bad.gguf")
    np.save(tmp_path / "v.npy", np.ones(lmm.n_features, np.float32))
    with pytest.raises(UsageError, match="does not say its layer"):
        import_vectors(tmp_path / "v.npy")
    assert import_vectors(tmp_path / "v.npy", layer=4)[4].shape == (lmm.n_features,)
    with pytest.raises(UsageError, match="finite numbers"):
        tensor_vector(lmm, {4: torch.ones(3)}, {4: 1.0}, out=tmp_path / "wrong")


# ---- learned ---------------------------------------------------------------------------------------------------------


def test_an_answer_is_learned_by_loreft_and_comes_back_from_disk(lmm, asked, tmp_path):
    examples = [Example(s, "no") for s in asked[:24] if s.question_type == "yes/no"]
    fingerprint = lmm.describe()["fingerprint"]
    made = learn_from_answers(lmm, examples, out=tmp_path / "r", layers=[7], rank=2, steps=8, batch_size=4, rate=3e-2)
    assert lmm.describe()["fingerprint"] == fingerprint
    assert made.n_parameters == 2 * 2 * lmm.n_features + 2
    shown = [e.sample for e in examples]
    with steer(lmm, open_steering(tmp_path / "r").intervention()):
        assert say(lmm, shown, max_new_tokens=4) == ["no"] * len(shown)
    R = made.functions()[7].R
    torch.testing.assert_close(R @ R.T, torch.eye(2))
    assert not (tmp_path / "r" / "state.safetensors").exists()


def test_what_is_to_stay_is_taught_to_be_left_alone(lmm, asked, tmp_path, monkeypatch):
    from vitrail.steering import teach

    seen = []
    monkeypatch.setattr(teach, "fit_two_layer", lambda c, goal, **_: seen.append((c, goal)) or TwoLayer(c.shape[1], 2))
    away, stay = YES_NO.away(asked)[:5], YES_NO.stay(asked)[:4]
    learn_from_pairs(lmm, YES_NO.toward(asked), away, stay=stay, out=tmp_path / "l", read_at="last", hidden=2, epochs=0)
    ((contexts, goal),) = seen
    assert goal[:5].any(dim=1).all()
    assert not goal[5:].any()
    last = read_states(lmm, away + stay, [-1], positions="last").by_layer[lmm.n_blocks]
    torch.testing.assert_close(contexts, last, rtol=1e-3, atol=1e-3)


def test_l2s_learns_which_inputs_to_change(lmm, asked, tmp_path):
    stay = YES_NO.stay(asked)[:30]
    made = learn_from_pairs(
        lmm, YES_NO.toward(asked), YES_NO.away(asked), stay=stay, out=tmp_path / "l", read_at="last", hidden=20
    )
    inner = made.functions()[lmm.n_blocks]
    contexts = [read_states(lmm, examples, [-1], positions="last").by_layer[lmm.n_blocks]
                for examples in (YES_NO.away(asked), stay)]  # fmt: skip
    moved, kept = (inner(c).norm(dim=1).mean() for c in contexts)
    assert moved > 3 * kept


def test_lora_of_the_same_budget_leaves_the_model_as_it_was(lmm, asked, tmp_path):
    from vitrail.finetuning.training import Plan
    from vitrail.trials.contest import trained_lora

    before = lmm.describe()
    said = say(lmm, asked[:6], max_new_tokens=4)
    worn = trained_lora(lmm, YES_NO, asked[:40], 2052, Plan(3, 4, 5e-2, 0, 10, 3, 0), tmp_path)
    assert 1500 < worn.parameters <= 2052
    with worn.under(lmm) as pupil:
        assert pupil.model is not lmm.model
        changed = say(pupil, asked[:6], max_new_tokens=4)
    assert lmm.describe() == before
    assert not any(p.requires_grad for p in lmm.model.parameters())
    assert say(lmm, asked[:6], max_new_tokens=4) == said
    assert len(changed) == 6


def test_pairs_go_by_the_sample_and_the_rest_by_the_mean(asked):
    from vitrail.steering.teach import _targets

    from vitrail.steering.states import States

    a, b, c = asked[:3]
    toward, away = [Example(a, "no"), Example(b, "no")], [Example(b, "yes"), Example(c, "yes"), Example(a, "yes")]
    Z, Y = torch.tensor([[1.0, 0.0], [0.0, 4.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0], [5.0, 5.0]])
    to, off = States({7: Z}, {7: 1.0}, (0, 1)), States({7: Y}, {7: 1.0}, (0, 1, 2))
    expected = torch.tensor([[0.0, 4.0], [0.5, 2.0], [1.0, 0.0]]) - Y  # b's pair, no pair: the mean, a's pair
    torch.testing.assert_close(_targets(toward, away, to, off, 7), expected)


def test_l2s_is_told_which_answers_are_to_stay(lmm, asked, tmp_path):
    made = make_for(lmm, YES_NO, asked[:40], out=tmp_path / "l", method="l2s")
    stay = YES_NO.stay(asked[:40])
    assert made.parameters["stay"] == about(stay)
    assert len(stay) > 10


def test_l2s_can_learn_from_what_a_prompt_does(lmm, samples, tmp_path):
    colour = TASKS["colour"]
    made = make_for(lmm, colour, samples[:60], out=tmp_path / "p", method="l2s", layers=[6], targets="prompts")
    plain, asked = (
        read_states(lmm, [Example(colour.asked(s) if ask else s, s.references[0]) for s in samples[:60]], [6],
                    positions="last").by_layer[6]
        for ask in (False, True)
    )  # fmt: skip
    goal = asked - plain
    found = made.functions()[6](plain)
    assert torch.cosine_similarity(found, goal).mean() > 0.9
    assert (found - goal).norm() < 0.5 * goal.norm()
    with pytest.raises(UsageError, match="'texts'"):
        make_for(lmm, colour, samples[:4], out=tmp_path / "q", method="l2s", targets="texts")


# ---- side by side ----------------------------------------------------------------------------------------------------


def test_the_random_direction_is_as_long_as_the_vector_and_the_vector_is_there(lmm, asked, vector):
    prompt, random, mean = baselines(vector.only(6), 0.5)
    assert (prompt.asks, random.name, mean.name) == (True, "random direction", "mean")
    inputs = lmm.prepare([s.open() for s in asked[:2]], [s.question for s in asked[:2]])
    at = [inputs["input_ids"].shape[1] - 1] * 2
    plain = lmm.states(inputs, [()] * 2, at, [6])[6]
    moves = []
    for contender in (random, mean):
        with contender.under(lmm) as model:
            moves.append(model.states(inputs, [()] * 2, at, [6])[6] - plain)
    v = 0.5 * vector.directions[6]
    torch.testing.assert_close(moves[1], v.expand(2, -1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(moves[0].norm(dim=1), v.norm().expand(2), rtol=1e-3, atol=1e-3)
    assert torch.cosine_similarity(moves[0], moves[1]).abs().max() < 0.3


def test_times_are_those_of_as_many_tokens_for_everyone_in_turns(lmm, asked, monkeypatch):
    said: list[int] = []
    generate = type(lmm).generate

    def counted(self, inputs, n):
        before = self.model.generation_config.min_new_tokens
        assert before == n  # nobody may end early
        said.append(len(inputs["input_ids"]))
        return generate(self, inputs, n)

    monkeypatch.setattr(type(lmm), "generate", counted)
    clock = iter(np.cumsum([0, 9, 0, 9, 0, 1.0, 0, 2.0, 0, 4.0, 0, 2.0]).tolist())  # start and end of every run
    monkeypatch.setattr(evaluate, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    two = [Contender("none", contextlib.nullcontext), Contender("other", contextlib.nullcontext)]
    # rehearsal; then backwards: other 1 s, none 2 s; then forwards: none 4 s, other 2 s
    found = speeds(lmm, YES_NO, asked, two, repeats=2, n_tokens=5, rows=4)
    assert said == [4] * 6
    assert found[0].per_token == pytest.approx(3.0 / 20)
    assert found[1].added == pytest.approx(-1.5 / 20)
    assert found[1].share["median"] == pytest.approx(-0.5)
    assert lmm.model.generation_config.min_new_tokens is None


# ---- judging and searching -------------------------------------------------------------------------------------------


def test_the_effect_and_the_cost_of_answers_are_counted(lmm, asked):
    some = [s for s in asked if s.question_type in ("yes/no", "colour")]
    before = [max(s.answers, key=s.answers.count) for s in some]
    said = ["no" if b == "yes" else b for b in before]
    colours = [i for i, s in enumerate(some) if s.question_type == "colour"]
    said[colours[0]] = "no"
    outcome = Judge(YES_NO, some, before).judge(said)
    assert outcome.effect["mean"] == 1.0
    assert outcome.effect["n"] == before.count("yes")
    assert outcome.cost == pytest.approx(1 / len(colours), abs=0.02)
    assert list(outcome.side["lost"]) == ["colour", "yes/no"]  # those of its own type that were no "yes" are to stay
    assert outcome.side["lost"]["yes/no"] == 0.0
    assert outcome.side["answers_moved"][0] == ["yes", "no", before.count("yes")]
    assert outcome.side["collateral"]["mean"] == pytest.approx(1 / (len(some) - before.count("yes")))
    official = outcome.side["accuracy"]
    assert official["all"]["mean"] < outcome.side["accuracy_plain"]["all"] == pytest.approx(1.0, abs=0.05)
    assert {"all", "yes/no", "other"} <= set(official)
    assert outcome.p < 0.05 or before.count("yes") < 6
    with pytest.raises(DataError, match="says nothing"):
        Judge(YES_NO, some, ["no"] * len(some))


def test_the_rest_of_a_caption_is_what_the_topic_leaves(samples):
    place, colour = TASKS["place"], TASKS["colour"]
    assert place.rest("a dog on the grass").split() == ["a", "dog"]
    assert colour.rest("a red dog that is brown").split() == ["a", "dog"]
    before = [colour.rest(s.references[0]) for s in samples[:6]]
    judge = Judge(colour, samples[:6], before)
    outcome = judge.judge([f"red {b}" for b in before])
    assert (outcome.effect["mean"], outcome.cost) == (1.0, pytest.approx(0.0))
    assert judge.judge(["a red red thing"] * 6).cost > 0.3


def test_until_said_ends_with_the_first_mention(lmm, samples):
    from vitrail.lmm.positions import Follower

    until = until_said(lmm, TASKS["colour"])
    ids = lmm.tokenizer.encode(" a red dog", add_special_tokens=False)
    prompt = {"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.ones(1, 2, dtype=torch.long)}
    follower = Follower({lmm.tokenizer.eos_token_id}, None)
    follower.see(prompt)
    found = [follower.now.mask(until).tolist()]
    for n, token in enumerate(ids):
        follower.see({"input_ids": torch.tensor([[token]]), "attention_mask": torch.ones(1, 3 + n)})
        found.append(follower.now.mask(until).tolist())
    assert found[0] == [[False, True]]
    said = [lmm.tokenizer.decode([i]).strip() for i in ids].index("red")
    assert [f[0][0] for f in found[1:]] == [i < said for i in range(len(ids))]


def test_a_search_chooses_on_one_half_and_reports_on_the_other(lmm, asked, vector, tmp_path):
    some = asked[:60]
    first, second = halves(some)
    assert not {s.name for s in first} & {s.name for s in second}
    made = {-1: lambda alpha: Add({-1: vector.directions[lmm.n_blocks]}, alpha, positions="last")}
    found = search(lmm, YES_NO, some, made, alphas=(0.0, 2.0), budget=0.2, out=tmp_path / "s")
    assert [p.alpha for p in found.points] == [0.0, 2.0]
    for half, outcome in ((first, found.unsteered), (second, found.plain)):
        said = say(lmm, half, max_new_tokens=YES_NO.max_new_tokens)
        alone = Judge(YES_NO, half, said).judge(said)
        assert (outcome.effect, outcome.side["accuracy"]) == (alone.effect, alone.side["accuracy"])
        losses = surprise(lmm, [s.open() for s in half], [s.question for s in half], said)
        assert outcome.side["perplexity"] == pytest.approx(float(np.exp(losses.mean())), rel=1e-4)
    assert found.points[0].outcome.effect["mean"] == 0.0
    assert found.plain.effect["mean"] == 0.0
    if found.picked is not None:
        assert found.picked.outcome.cost <= 0.2
        assert found.held_out is not None
    assert json.loads((tmp_path / "s" / "search.json").read_text())["task"] == "yes-no"
    none = search(lmm, YES_NO, some, made, alphas=(0.0,), budget=-1.0)
    assert none.picked is None
    assert none.held_out is None


def test_the_strongest_within_the_budget_is_picked():
    from vitrail.trials.grid_search import Point, _pick
    from vitrail.trials.outcome import Outcome

    points = [Point(1, a, Outcome({"mean": e}, 1.0, c, {})) for a, e, c in
              [(0, 0.1, 0.0), (1, 0.5, 0.10), (2, 0.5, 0.05), (3, 0.9, 0.3)]]  # fmt: skip
    assert [_pick(points, budget).alpha for budget in (0.0, 0.1, 0.5)] == [0, 2, 3]
    assert _pick(points, -0.1) is None


def test_rare_types_of_questions_are_judged_together(asked):
    some = [s for s in asked if s.question_type == "yes/no"][:12]
    yes = [replace(s, answers=("yes",) * 10) for s in some]
    stay = [replace(s, question_type=f"type {i % 5}", answers=("red",) * 10) for i, s in enumerate(some)]
    before = ["yes"] * 12 + ["red"] * 12
    outcome = Judge(YES_NO, yes + stay, before).judge(["no"] * 12 + ["blue"] + ["red"] * 11)
    assert outcome.side["lost"] == {"rare": pytest.approx(1 / 12)}
    assert outcome.cost == pytest.approx(1 / 12)


def test_a_search_tries_every_layer_by_itself_at_the_positions_it_is_told(vector):
    tried = tries(vector, "last")
    assert [*tried] == [6, 8]
    for layer, at_strength in tried.items():
        one = at_strength(2.0)
        assert (one.layers, one.alpha, one.positions) == ((layer,), 2.0, "last")
    assert tries(vector)[6](1.0).positions == vector.parameters["applied_at"]


def test_a_guarded_vector_lets_other_answers_alone(lmm, asked, tmp_path):
    both = make_for(lmm, YES_NO, asked, out=tmp_path / "g", method="guarded", layers=[-2, -1])
    plain = make_for(lmm, YES_NO, asked, out=tmp_path / "m", layers=[-1])
    torch.testing.assert_close(both.directions[lmm.n_blocks], plain.directions[lmm.n_blocks])
    one = open_steering(tmp_path / "g").only(lmm.n_blocks)
    guard = one.intervention(3.0)
    activation = guard.activation
    fires = [float((activation.of(read_states(lmm, e, [-1], positions="last").by_layer[lmm.n_blocks])
                    > guard.threshold).float().mean()) for e in (YES_NO.away(asked), YES_NO.stay(asked))]  # fmt: skip
    assert fires[0] > 0.8
    assert fires[1] < 0.1
    others = [e.sample for e in YES_NO.stay(asked)[:20]]
    before = say(lmm, others, max_new_tokens=4)

    def changes(intervention) -> int:
        with steer(lmm, intervention):
            return sum(a != b for a, b in zip(say(lmm, others, max_new_tokens=4), before, strict=True))

    assert changes(guard) < changes(plain.intervention(3.0))
    assert changes(one.intervention(0.0)) == 0
    assert [*tries(both)] == [lmm.n_blocks - 1, lmm.n_blocks]
    assert tries(both)[lmm.n_blocks](3.0).threshold == guard.threshold != tries(both)[lmm.n_blocks - 1](3.0).threshold
    with pytest.raises(UsageError, match="one layer at a time"):
        both.intervention()
    with pytest.raises(UsageError, match="needs some; got 'guarded'"):
        make_vector(lmm, YES_NO.toward(asked), YES_NO.away(asked), out=tmp_path / "n", method="guarded")
    with pytest.raises(UsageError, match="are for a guarded vector"):
        make_vector(
            lmm, YES_NO.toward(asked), YES_NO.away(asked), out=tmp_path / "n", others=[(YES_NO.stay(asked), ())]
        )
    with pytest.raises(UsageError, match="no place in a file of vectors"):
        export_vectors(one, tmp_path / "g.safetensors")


def test_a_removal_starts_where_the_word_is_about_to_be_said(lmm, samples, tmp_path):
    neutral = TASKS["neutral"]
    made = make_for(lmm, neutral, samples, out=tmp_path / "n", layers=[6])
    men = read_states(lmm, neutral.away(samples), [6], saying=neutral.words).by_layer[6]
    kids = read_states(lmm, neutral.toward(samples), [6], saying=neutral.instead).by_layer[6]
    torch.testing.assert_close(made.directions[6], kids.mean(0) - men.mean(0), rtol=1e-3, atol=1e-3)
    behind = make_for(lmm, neutral, samples, out=tmp_path / "g", method="guarded", layers=[6])
    torch.testing.assert_close(behind.directions[6], made.directions[6])
    guard = behind.intervention()
    dogs = read_states(lmm, [Example(s, "a dog") for s in samples[:30]], [6]).by_layer[6]
    fires = [float((guard.activation.of(Z) > guard.threshold).float().mean()) for Z in (men, kids, dogs)]
    assert fires[0] > 0.8
    assert max(fires[1:]) < 0.2
    with pytest.raises(UsageError, match="'colour' only wants something said"):
        make_for(lmm, TASKS["colour"], samples, out=tmp_path / "c", method="guarded")
    with pytest.raises(UsageError, match="leave out --whole"):
        make_for(lmm, neutral, samples, out=tmp_path / "c", method="guarded", saying=False)


def test_the_front_has_what_no_other_point_beats():
    from vitrail.trials.grid_search import Point
    from vitrail.trials.outcome import Outcome

    points = [Point(1, a, Outcome({"mean": e}, 1.0, c, {})) for a, e, c in
              [(0, 0.1, 0.0), (1, 0.5, 0.1), (2, 0.4, 0.2), (3, 0.9, 0.3)]]  # fmt: skip
    assert pareto(points) == (0, 1, 3)


def test_a_narrow_change_changes_one_thing(lmm, asked, vector):
    one = narrowness(["black", "black", "red"], ["white", "white", "red"])
    assert (one.share, one.changes, one.most) == (1.0, 2, "white → black")
    assert narrowness(["black", "blue"], ["white", "red"]).share == 0.5
    assert narrowness(["a"], ["a"]) == Narrowness(0.0, 0.0, 0, "")
    caption = narrowness(["a big red dog"], ["a small red dog"])
    assert (caption.share, caption.changes) == (0.5, 2)
    # the Wilson interval of 1 in 1 and of 20 in 20, by its formula n / (n + z²)
    assert narrowness(["b"], ["a"]).low == pytest.approx(1 / (1 + 1.95996**2), abs=1e-4)
    assert narrowness(["b"] * 20, ["a"] * 20).low == pytest.approx(20 / (20 + 1.95996**2), abs=1e-4)


def test_what_changes_one_thing_often_is_ranked_before_what_changes_much_or_nothing(lmm, asked):
    black, white = (lmm.model.get_output_embeddings().weight[lmm.tokenizer.encode(f" {w}")[-1]].detach().float()
                    for w in ("black", "white"))  # fmt: skip
    some = [s for s in asked if "white" in s.answers][:6] + asked[:10]
    noise = torch.randn(lmm.n_features, generator=torch.Generator().manual_seed(0))
    still = Add({-1: torch.zeros(lmm.n_features)})
    wild, fine = (Add({-1: a * v / v.norm()}, positions="last") for a, v in ((400.0, noise), (25.0, black - white)))
    ranked = rank_by_narrowness(lmm, some, [still, wild, fine], max_new_tokens=2)
    assert [r.place for r in ranked][-1] == 0
    assert ranked[-1].narrowness.changes == 0
    lows = [r.narrowness.low for r in ranked]
    assert lows == sorted(lows, reverse=True)


def test_tasks_find_their_examples(asked, samples):
    for name, task in TASKS.items():
        from_here = asked if isinstance(task, AnswerTask) else samples
        assert task.toward(from_here), name
        assert task.away(from_here), name
    removal = TASKS["neutral"]
    assert not any(removal.mentions(e.answer) for e in removal.toward(samples))
    one = replace(samples[0], references=("a Man sees two ladies", "a kid", "a kid and kids", "a child"))
    assert [e.answer for e in removal.taught([one])] == ["a kid", "a kid and kids", "a child", "a kid sees two kids"]
    with pytest.raises(DataError, match="No sample has an answer that"):
        YES_NO.toward(samples)
