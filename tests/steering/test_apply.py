"""Steering changes what it says it changes, exactly: in batches, padded, with a cache; and leaves the model alone."""

from __future__ import annotations

import pytest
import torch

from vitrail.errors import NumericsError, UsageError
from vitrail.lmm.positions import among, forced
from vitrail.steering import Activation, Add, Clamp, FromContext, Function, ProjectOut, When, steer
from vitrail.steering.methods.l2s import TwoLayer
from vitrail.steering.methods.reft import DiReFT, LoReFT

REQUESTS = ["describe the image .", "what color is the dog ?", "is it night ?", "where is it ?"]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def images(samples):
    return [s.open() for s in samples[:4]]


@pytest.fixture(scope="module")
def vector(lmm):
    return 40.0 * torch.nn.functional.normalize(
        torch.randn(lmm.n_features, generator=torch.Generator().manual_seed(3)), dim=0
    )


def lower_rank(n_features: int) -> LoReFT:
    function = LoReFT(n_features, 3)
    with torch.no_grad():
        function.W.add_(0.1)
        function.b.add_(20.0)
    return function.requires_grad_(False)


def every_kind(n, vector):
    """One intervention of each class, with an effect that shows."""
    u = Activation(vector)
    g = TwoLayer(n, 10, seed=1).requires_grad_(False)
    return {
        "add": Add({5: vector}),
        "add at several layers": Add({3: vector, -1: -vector}, 0.7),
        "add, norm kept": Add({5: vector}, keep_norm=True),
        "project out": ProjectOut({5: torch.stack([vector, vector.flip(0)])}),
        "clamp": Clamp(5, u, 2.0),
        "when": When(u, 0.0, Add({5: vector})),
        "when not": When(u, 0.0, Add({5: vector}), below=True),
        "function": Function({5: lower_rank(n)}),
        "from context": FromContext(3, {5: g}, 40.0),
        "from context, when": When(u, -0.02, FromContext(3, {5: g}, 40.0)),
    }


KINDS = list(every_kind(4, torch.ones(4)))


def forced_logits(lmm, images, requests, answers):
    """Logits (rows, positions, vocabulary) of prompt and answer in one pass, and the prompt's width."""
    inputs, _ = lmm.taught(images, requests, answers)
    width = lmm.prepare(images, requests)["input_ids"].shape[1]
    with torch.no_grad(), forced(width):
        return lmm.run(inputs).logits, width


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_padded_batch_are_steered_as_they_are_alone(lmm, images, vector, kind):
    intervention = every_kind(lmm.n_features, vector)[kind]
    answers = ["a dog", "red", "a brown cat on the beach", "no"]
    plain, _ = forced_logits(lmm, images, REQUESTS, answers)
    with steer(lmm, intervention):
        together, width = forced_logits(lmm, images, REQUESTS, answers)
        for i, (image, request, answer) in enumerate(zip(images, REQUESTS, answers, strict=True)):
            alone, own = forced_logits(lmm, [image], [request], [answer])
            n = alone.shape[1]
            torch.testing.assert_close(together[i, width - own : width - own + n], alone[0], **CLOSE)
    assert not torch.allclose(together[:, width - 1 :], plain[:, width - 1 :], atol=1e-2)
    torch.testing.assert_close(together[:, : width - 1], plain[:, : width - 1], **CLOSE)


@pytest.mark.parametrize("kind", KINDS)
def test_generation_with_a_cache_is_the_replay_in_one_pass(lmm, images, vector, kind):
    intervention = every_kind(lmm.n_features, vector)[kind]
    inputs = lmm.prepare(images, REQUESTS)
    width = inputs["input_ids"].shape[1]
    with steer(lmm, intervention):
        out = lmm.model.generate(
            **inputs,
            max_new_tokens=6,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=lmm.tokenizer.pad_token_id,
        )
        said = out.sequences[:, width:].tolist()
        with torch.no_grad(), forced(width):
            replayed = lmm.run(lmm.extended(inputs, said)).logits[:, width - 1 : -1]
    stepwise = torch.stack(out.logits, 1)
    ends = torch.isin(out.sequences[:, width:], torch.tensor(sorted(lmm.ends)))
    before_end = ends.cumsum(1) - ends.int() == 0  # what follows an end is no answer
    torch.testing.assert_close(stepwise[before_end], replayed[before_end], **CLOSE)


@pytest.mark.parametrize("strength", ["add", "project out", "function", "from context", "when"])
def test_strength_zero_leaves_every_bit(lmm, images, vector, strength):
    intervention = every_kind(lmm.n_features, vector)[strength].at_strength(0.0)
    plain, _ = forced_logits(lmm, images, REQUESTS, ["a dog"] * 4)
    with steer(lmm, intervention) as steered:
        logits, _ = forced_logits(lmm, images, REQUESTS, ["a dog"] * 4)
    assert torch.equal(logits, plain)
    assert steered.selected > 0
    assert steered.changed == 0


def test_positions_are_counted(lmm, images, vector):
    inputs = lmm.prepare(images, REQUESTS)
    prompts = int(inputs["attention_mask"].sum())
    pictures = int(among(inputs["input_ids"], lmm.image_tokens).sum())
    for positions, n in (("last", 4), ("prompt", prompts), ("image", pictures)):
        with steer(lmm, Add({5: vector, -1: vector}, positions=positions)) as steered:
            lmm.generate(inputs, 3)
        assert (steered.selected, steered.changed) == (2 * n, 2 * n), positions
    with steer(lmm, Add({5: vector})) as steered:
        said = lmm.generate(inputs, 3)
    # a token that was generated is input unless it is the last one allowed; the prompt's last position comes on top
    assert steered.changed == steered.selected == sum(min(len(g.ids), 2) + 1 for g in said)
    assert steered.passes == 3


def test_a_change_that_is_lost_in_rounding_is_not_counted_as_one(lmm, images):
    with steer(lmm, Add({5: torch.full((lmm.n_features,), 1e-12)})) as steered:
        lmm.caption(images[:2], max_new_tokens=2)
    assert steered.selected == 4
    assert steered.changed < 4


def test_the_model_is_as_before_after_the_block_and_after_an_exception(lmm, images, vector):
    def hooks():
        return [list(h) for m in lmm.model.modules() for h in (m._forward_hooks, m._forward_pre_hooks)]

    plain, before = lmm.caption(images), hooks()
    with steer(lmm, Add({-1: 3 * vector})):
        assert hooks() != before
        assert lmm.caption(images) != plain
    assert lmm.caption(images) == plain
    with pytest.raises(ZeroDivisionError), steer(lmm, Add({-1: vector})):
        raise ZeroDivisionError
    assert hooks() == before


def test_several_interventions_and_nested_blocks_add_up(lmm, images, vector):
    answers = ["a dog"] * 4
    with steer(lmm, Add({5: vector}, 2.0)):
        once, _ = forced_logits(lmm, images, REQUESTS, answers)
    with steer(lmm, Add({5: vector}), Add({5: vector})):
        twice, _ = forced_logits(lmm, images, REQUESTS, answers)
    with steer(lmm, Add({5: vector})), steer(lmm, Add({5: vector})):
        nested, _ = forced_logits(lmm, images, REQUESTS, answers)
    torch.testing.assert_close(twice, once, **CLOSE)
    torch.testing.assert_close(nested, once, **CLOSE)


def moved(lmm, images, intervention, layer=5):
    """States of `layer` at the last position of the prompts, as they are and steered."""
    inputs = lmm.prepare(images, REQUESTS)
    at = [inputs["input_ids"].shape[1] - 1] * len(images)
    plain = lmm.states(inputs, [()] * len(images), at, [layer])[layer]
    with steer(lmm, intervention):
        return plain, lmm.states(inputs, [()] * len(images), at, [layer])[layer]


def test_each_intervention_does_what_its_formula_says(lmm, images, vector):
    u = vector / vector.norm()
    plain, added = moved(lmm, images, Add({5: vector}, 0.5))
    torch.testing.assert_close(added, plain + 0.5 * vector, **CLOSE)
    _, kept = moved(lmm, images, Add({5: vector}, keep_norm=True))
    torch.testing.assert_close(kept.norm(dim=1), plain.norm(dim=1), **CLOSE)
    torch.testing.assert_close(torch.cosine_similarity(kept, plain + vector), torch.ones(4), **CLOSE)
    _, without = moved(lmm, images, ProjectOut({5: torch.stack([vector, 2 * vector])}))
    torch.testing.assert_close(without, plain - (plain @ u)[:, None] * u, rtol=1e-3, atol=1e-3)
    _, clamped = moved(lmm, images, Clamp(5, Activation(vector), 1.5))
    torch.testing.assert_close(clamped @ vector / vector.square().sum(), torch.full((4,), 1.5), **CLOSE)
    rest = torch.eye(lmm.n_features) - torch.outer(u, u)
    torch.testing.assert_close(clamped @ rest, plain @ rest, rtol=1e-3, atol=1e-3)
    lower, upper = (plain @ vector / vector.square().sum()).sort().values[1:3].tolist()
    threshold = (lower + upper) / 2  # between two rows: on one of them rounding would decide
    _, some = moved(lmm, images, When(Activation(vector), threshold, Add({5: vector})))
    fires = plain @ vector / vector.square().sum() > threshold
    assert 0 < int(fires.sum()) < 4
    torch.testing.assert_close(some, torch.where(fires[:, None], plain + vector, plain), **CLOSE)
    _, others = moved(lmm, images, When(Activation(vector), threshold, Add({5: vector}), below=True))
    torch.testing.assert_close(others, torch.where(fires[:, None], plain, plain + vector), **CLOSE)
    _, learned = moved(lmm, images, Function({5: lower_rank(lmm.n_features)}, 0.5))
    torch.testing.assert_close(learned, plain + 0.5 * lower_rank(lmm.n_features)(plain), **CLOSE)


def test_a_vector_from_context_depends_on_the_state_that_the_prompt_ends_in(lmm, images):
    g = TwoLayer(lmm.n_features, 10, seed=1).requires_grad_(False)
    inputs = lmm.prepare(images, REQUESTS)
    width = inputs["input_ids"].shape[1]
    said = [lmm.continuation(request, "a dog").ids for request in REQUESTS]
    rows, at = [0, 1, 2, 3] * 2, [width - 1] * 4 + [width] * 4  # the prompt's last position and the answer's first
    plain = lmm.states(inputs, said, at, [3, 5], rows)
    with steer(lmm, FromContext(3, {5: g}, 40.0)):
        steered = lmm.states(inputs, said, at, [5], rows)[5]
    pushes = 40.0 * g(plain[3][:4])
    torch.testing.assert_close(steered, plain[5] + pushes.repeat(2, 1), **CLOSE)


def test_the_activation_of_a_concept_is_its_code_among_all_concepts(lmm):
    from vitrail.learners import nonnegative_lasso

    U = torch.nn.functional.normalize(torch.rand(3, lmm.n_features, generator=torch.Generator().manual_seed(0)), dim=1)
    V = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.5]])
    activation = Activation(U[2], lambda Z: nonnegative_lasso(Z, U, 0.0), concept=2)
    torch.testing.assert_close(activation.of(V @ U), V[:, 2], rtol=1e-4, atol=1e-4)


def test_a_learned_function_changes_nothing_before_it_is_trained(lmm, images):
    for function in (LoReFT(lmm.n_features, 4), DiReFT(lmm.n_features, 4)):
        plain, after = moved(lmm, images, Function({5: function}))
        torch.testing.assert_close(after, plain, rtol=1e-5, atol=1e-4)


def test_lo_reft_changes_states_only_within_its_rows():
    function = lower_rank(16)
    change = function(torch.randn(5, 16, generator=torch.Generator().manual_seed(0)))
    R = function.R
    torch.testing.assert_close(R @ R.T, torch.eye(3))
    torch.testing.assert_close(change @ R.T @ R, change)
    h = torch.ones(1, 16)
    torch.testing.assert_close((h + function(h)) @ R.T, h @ function.W.T + function.b)  # R h' = W h + b


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda v: Add({}), "at least one layer"),
        (lambda v: Add({5: v[:3]}), "has 3 features"),
        (lambda v: Add({5: v * float("nan")}), "finite"),
        (lambda v: Add({5: v}, float("nan")), "alpha must be a number; got nan"),
        (lambda v: Add({5: v}, -1e300), "alpha must be at least .* got -1e\\+300"),
        (lambda v: ProjectOut({5: v[None]}, 1e7), "alpha must be at most"),
        (lambda v: Function({5: LoReFT(len(v), 1)}, float("inf")), "alpha must be a number; got inf"),
        (lambda v: FromContext(4, {5: TwoLayer(len(v))}, float("nan")), "alpha must be a number"),
        (lambda v: Clamp(5, Activation(v), float("nan")), "finite threshold or value"),
        (lambda v: Add({8: v, -1: v}), "Layer 8 of toyland is named twice, as 8 and as -1"),
        (lambda v: Add({99: v}), "does not exist"),
        (lambda v: Add({5: v}, positions="answer"), "'answer'"),
        (lambda v: ProjectOut({5: torch.zeros(1, len(v))}), "all zero"),
        (lambda v: Activation(0 * v), "zero"),
        (lambda v: FromContext(7, {5: TwoLayer(len(v))}), "too late"),
        (lambda v: When(Activation(v), 0, Function({})), "at least one layer"),
    ],
)
def test_what_cannot_be_is_refused(lmm, vector, make, what):
    with pytest.raises(UsageError, match=what), steer(lmm, make(vector)):
        pass


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
def test_a_strength_that_overflows_the_states_is_refused_and_the_largest_other_one_is_not(vector, dtype):
    states = torch.ones(1, 2, len(vector), dtype=dtype)
    push = Add({5: vector}, 1e6)
    if dtype == torch.float16:
        with pytest.raises(NumericsError, match=r"too large for torch\.float16"):
            push.move(5, states, None)
    else:
        assert torch.linalg.vector_norm(push.move(5, states, None)).isfinite()


def test_a_negative_strength_pushes_the_other_way(lmm, images, vector):
    plain, there = moved(lmm, images, Add({5: vector}, 0.5))
    _, back = moved(lmm, images, Add({5: vector}, -0.5))
    torch.testing.assert_close(there - plain, plain - back, **CLOSE)


def test_steering_with_nothing_is_refused(lmm):
    with pytest.raises(UsageError, match="no intervention"), steer(lmm):
        pass


def test_every_sample_can_have_a_vector_of_its_own(lmm, images, vector):
    """As prompt-to-steer asks for: each row is steered as it is alone by its own vector, generation included."""
    vectors = torch.stack([vector, -vector, 0.5 * vector.flip(0), vector.roll(7)])
    inputs = lmm.prepare(images, REQUESTS)
    with steer(lmm, Add({5: vectors})) as done:
        together = [g.text for g in lmm.generate(inputs, 6)]
    assert done.changed == done.selected
    for i, own in enumerate(vectors):
        with steer(lmm, Add({5: own})):
            assert lmm.generate(lmm.prepare([images[i]], [REQUESTS[i]]), 6)[0].text == together[i]
    assert len(set(together)) > 1
    with steer(lmm, Add({5: vectors})), pytest.raises(UsageError, match="for 4 samples, and the batch has 2"):
        lmm.generate(lmm.prepare(images[:2], REQUESTS[:2]), 2)
