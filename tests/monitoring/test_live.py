"""A monitor observes the words that a model says, with the activations that `extract` and `transform` would give."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

import vitrail
from vitrail.errors import ArtifactError, ModelError, UsageError
from vitrail.extraction import Reader
from vitrail.monitoring.coding import Coder


def observed(lmm, studies, samples, **options):
    got: list[vitrail.Observation] = []
    with vitrail.monitor(lmm, studies, sink=got.extend, options=vitrail.MonitorOptions(**options)) as watching:
        texts = watching.caption(samples, batch_size=5)
    return got, texts, watching


@pytest.mark.parametrize("method", ["semi-nmf", "pca", "kmeans"])
@pytest.mark.parametrize("alignment", ["predicts", "reads"])
def test_activations_are_those_of_extract_and_transform(
    lmm, activations, study_by, dogs, new_dogs, tmp_path, method, alignment
):
    from vitrail.extraction import extract_as

    options = replace(activations.options, alignment=alignment, layers=(8,), require="predicted")
    learned = extract_as(lmm, dogs, "dog", options, out=tmp_path / "activations")
    study = study_by(method, learned, tmp_path)
    want = Reader(lmm, (study.activations.word,), options).read(new_dogs)
    got, _, _ = observed(lmm, study, new_dogs)
    assert [o.sample for o in got] == [row.sample_id for row in want.rows]
    assert [o.caption for o in got] == [row.text.strip() for row in want.rows]
    V = study.learned.learner.transform(want.states[8].numpy())
    np.testing.assert_allclose([o.activations for o in got], V, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose([o.strengths for o in got], study.learned.strengths(V), rtol=1e-4, atol=1e-4)


def test_the_error_is_the_share_of_the_spread_that_concepts_leave(dog_study):
    learned = dog_study.learned
    Z = dog_study.activations.states(learned.layer)
    codes = Coder(dog_study)(torch.from_numpy(Z))
    assert codes.ordinary.all()
    assert np.mean(codes.errors) == pytest.approx(1 - learned.scores["explained_variance"], rel=1e-4)


def test_attention_sinks_and_states_that_are_no_numbers_are_not_ordinary(dog_study):
    Z = torch.from_numpy(dog_study.activations.states(dog_study.learned.layer)[:3].copy())
    Z[0] *= 100
    Z[1, 0] = torch.nan
    codes = Coder(dog_study)(Z)
    assert codes.ordinary.tolist() == [False, False, True]
    assert np.isnan(codes.activations).any(axis=1).tolist() == [False, True, False]


def test_the_texts_are_those_of_an_unwatched_model(lmm, dog_study, new_dogs):
    _, texts, watching = observed(lmm, dog_study, new_dogs)
    assert texts == lmm.caption([s.open() for s in new_dogs])
    assert watching.counts["answers"] == len(new_dogs)


def test_generation_by_the_user_is_observed_with_tags_and_time(lmm, dog_study, new_dogs):
    inputs, got = lmm.prepare_samples(new_dogs[:4]), []
    with vitrail.monitor(lmm, dog_study, sink=got.extend) as watching:
        with watching.about(tags={"tenant": "a"}), watching.about(tags={"version": "2"}):
            lmm.model.generate(**inputs, max_new_tokens=40)
        lmm.model.generate(**inputs, max_new_tokens=40)
    assert {tuple(o.tags.items()) for o in got} == {(("tenant", "a"), ("version", "2")), ()}
    assert all(o.form == "dog" and o.time > 1.7e9 for o in got)


def test_several_layers_are_watched_at_once(lmm, activations, dog_study, new_dogs, tmp_path):
    from vitrail.concepts import learn
    from vitrail.grounding import ground
    from vitrail.studies import Study

    learned = learn(activations, out=tmp_path / "concepts", layer=3, n_concepts=4, stability=0)
    third = Study(tmp_path, activations, learned, ground(lmm, activations, learned, out=tmp_path / "grounding"))
    got, _, _ = observed(lmm, [dog_study, third], new_dogs)
    of_layer = {layer: [o.sample for o in got if o.layer == layer] for layer in (3, 8)}
    assert of_layer[3] == of_layer[8]
    assert {len(o.activations) for o in got if o.layer == 3} == {4}


@pytest.mark.parametrize(("kept", "what"), [("text", "caption"), ("images", "thumbnail")])
def test_a_switch_keeps_no_text_and_no_image(lmm, dog_study, new_dogs, kept, what):
    got, _, _ = observed(lmm, dog_study, new_dogs)
    without, _, _ = observed(lmm, dog_study, new_dogs, **{kept: False})
    assert all(getattr(o, what) for o in got)
    assert [getattr(o, what) for o in without] == [None] * len(got)
    assert [o.activations for o in without] == [o.activations for o in got]


def test_observations_are_worked_out_together_and_none_is_lost(lmm, dog_study, new_dogs):
    sizes: list[int] = []
    options = vitrail.MonitorOptions(every=4)
    with vitrail.monitor(lmm, dog_study, sink=lambda some: sizes.append(len(some)), options=options) as watching:
        watching.caption(new_dogs, batch_size=1)
    assert set(sizes[:-1]) == {4}
    assert sum(sizes) == watching.counts["observations"] > 8


def test_threads_and_tasks_keep_their_own_tags(lmm, dog_study, new_dogs):
    inputs, got = lmm.prepare_samples(new_dogs[:1]), []

    def ask(watching, name):
        with watching.about(tags={"who": name}):
            lmm.generate(inputs, 40)

    async def serve(watching):
        await asyncio.gather(*(asyncio.to_thread(ask, watching, f"task {i}") for i in range(3)))

    with vitrail.monitor(lmm, dog_study, sink=got.extend) as watching:
        asyncio.run(serve(watching))
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda i: ask(watching, f"thread {i}"), range(3)))
    assert sorted(o.tags["who"] for o in got) == [*(f"task {i}" for i in range(3)), *(f"thread {i}" for i in range(3))]
    assert len({o.activations for o in got}) == 1


def test_images_that_do_not_fit_the_answers_are_refused(lmm, dog_study, new_dogs):
    inputs = lmm.prepare_samples(new_dogs[:3])
    with (
        vitrail.monitor(lmm, dog_study) as watching,
        pytest.raises(UsageError, match="told 2 ids, and 3 answers"),
        watching.about(ids=["a", "b"]),
    ):
        lmm.generate(inputs, 40)


def test_an_answer_that_cannot_be_followed_is_an_error_or_counted(lmm, dog_study, new_dogs, caplog):
    inputs = lmm.prepare_samples(new_dogs[:3])
    with vitrail.monitor(lmm, dog_study), pytest.raises(ModelError, match="cannot be told apart"):
        lmm.model.generate(**inputs, num_beams=2, max_new_tokens=40)
    options = vitrail.MonitorOptions(on_error="log")
    with vitrail.monitor(lmm, dog_study, options=options) as watching:
        assert len(lmm.model.generate(**inputs, num_beams=2, max_new_tokens=40)) == 3
    assert watching.counts["errors"] == 1
    assert "cannot be told apart" in caplog.text


def test_a_sink_that_fails_takes_no_answer_away_from_a_service(lmm, dog_study, new_dogs):
    def broken(observations):
        raise RuntimeError("no space")

    options = vitrail.MonitorOptions(on_error="log", every=1)
    inputs = lmm.prepare_samples(new_dogs[:3])
    with vitrail.monitor(lmm, dog_study, sink=broken, options=options) as watching:
        assert lmm.generate(inputs, 40)
    assert watching.counts["errors"] == 1


def test_a_study_of_other_states_than_those_of_the_word_is_refused(lmm, dog_study):
    parameters = {**dog_study.activations.parameters, "read_at": "answer"}
    of_answers = replace(dog_study.activations, manifest={**dog_study.activations.manifest, "parameters": parameters})
    with pytest.raises(UsageError, match="of the states at 'answer'"):
        vitrail.monitor(lmm, replace(dog_study, activations=of_answers))


def test_another_model_is_refused_unless_it_is_wanted(lmm, changed_lmm, dog_study, new_dogs):
    with pytest.raises(ArtifactError, match="model"):
        vitrail.monitor(changed_lmm, dog_study)
    got, _, _ = observed(changed_lmm, dog_study, new_dogs, another_model=True)
    same, _, _ = observed(lmm, dog_study, new_dogs)
    assert [o.activations for o in got] != [o.activations for o in same]


@pytest.mark.parametrize(
    ("studies", "sink", "says"),
    [
        ([], (), "Name a study"),
        (2, (), "same word and layer"),
        (1, "nowhere:x", "is no sink: give a function, or one of jsonl:ADDRESS"),
        (1, "jsonl", "is no sink"),
        (1, 7, "is no sink"),
    ],
)
def test_what_cannot_be_watched_is_refused(lmm, dog_study, studies, sink, says):
    with pytest.raises(UsageError, match=says):
        vitrail.monitor(lmm, studies if isinstance(studies, list) else [dog_study] * studies, sink=sink)


def test_a_sample_that_cannot_be_opened_says_nothing(lmm, dog_study, new_dogs, tmp_path):
    gone = replace(new_dogs[1], id="gone", image=tmp_path / "gone.jpg")
    _, texts, _ = observed(lmm, dog_study, [new_dogs[0], gone, new_dogs[1]])
    assert texts[1] is None
    assert texts[2] == lmm.caption([new_dogs[1].open()])[0]
