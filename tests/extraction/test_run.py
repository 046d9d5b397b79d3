"""Every row holds the state of its own sample, at the word, whatever stops the run and however it is batched."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitrail.activations import Activations, Counts, ExtractionOptions, Store, open_activations
from vitrail.activations import store as store_module
from vitrail.errors import ArtifactError, DataError, NumericsError, UsageError, WordError
from vitrail.extraction import extract, extract_as
from vitrail.lmm import LMM
from vitrail.samples import ImageBounds, Sample, load_samples, thumbnail
from vitrail.words import Word

CLOSE = {"rtol": 1e-3, "atol": 1e-3}


@pytest.fixture
def few(dogs):
    return dogs[:8]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def quick(lmm, samples, out, word="dog", **options) -> Activations:
    """An extraction that ends early in the model: block 1, references in place of captions."""
    own = {name: options.pop(name) for name in ("progress", "said") if name in options}
    how = ExtractionOptions(**{"layers": [1], "require": "truth", "shard_size": 3} | options)
    return extract_as(lmm, samples, word, how, out=out, **own)


# ---- the states are those of the word --------------------------------------------------------------------------------


def check_rows(lmm, found: Activations, samples, library_states, n: int) -> None:
    """Rows against transformers' own states of an unpadded, unbatched pass."""
    by_id = {s.id: s for s in samples}
    reads = found.parameters["alignment"] == "reads"
    for i in np.linspace(0, len(found) - 1, n).astype(int):
        row = found.rows[i]
        ids, states = library_states(lmm, by_id[row.sample_id].open(), row.request, row.text.strip())
        answer = ids.index(lmm.tokenizer.convert_tokens_to_ids("<assistant>")) + 1
        assert row.token_ids == tuple(ids[answer:-1])  # what follows is the end
        assert row.position == answer + row.token - (0 if reads else 1)
        for layer in found.layers:
            state = torch.from_numpy(found.states(layer)[i])
            if layer == lmm.n_blocks:
                state = lmm.parts.norm(state)
            expected = states[-1 if layer == "final" else layer]
            torch.testing.assert_close(state, expected[row.position], **CLOSE)


def test_the_state_that_predicts_a_word_stands_before_its_first_token(lmm, activations, dogs, library_states):
    assert activations.layers == [0, 3, 8, "final"]
    assert len(activations) == len(dogs)
    check_rows(lmm, activations, dogs, library_states, 5)
    for row in activations.rows:
        before = lmm.tokenizer.decode(row.token_ids[: row.token])
        through = lmm.tokenizer.decode(row.token_ids[: row.token + 1])
        assert not Word("dog").find(before)
        assert len(before) <= row.start < len(through)


def test_the_state_that_reads_a_word_stands_at_its_last_token(lmm, samples, library_states, tmp_path):
    found = extract(lmm, samples, "hot dog", out=tmp_path / "a", layers=[2], require="truth", alignment="reads")
    check_rows(lmm, found, samples, library_states, 3)
    for row in found.rows:
        text = lmm.tokenizer.decode(row.token_ids[: row.token + 1])
        assert text.endswith("hot dog")
        assert not Word("hot dog").find(lmm.tokenizer.decode(row.token_ids[: row.token]))


def test_a_row_says_where_the_word_stands(activations):
    for row in activations.rows:
        assert row.form.lower() == "dog"
        assert row.text[row.start : row.end] == row.form
        assert row.text.strip() in row.references


def test_rows_are_those_of_their_samples_in_the_order_of_the_samples(lmm, activations, dogs):
    assert [row.sample_id for row in activations.rows] == [s.id for s in dogs]
    for row, sample in zip(activations.rows, dogs, strict=True):
        assert row.thumbnail == thumbnail(sample.open())
        assert row.image == sample.name
        assert row.references == sample.references
        assert row.request == lmm.prompt


def test_what_a_model_itself_says_is_predicted_at_the_word(lmm, samples, tmp_path):
    """Valid for any model: the word is one that it says, the state before it must decode to what it said."""
    said = lmm.caption([samples[0].open()], max_new_tokens=6)[0]
    word = re.findall(r"\w+", said)[-1]
    options = {"layers": [-1, "final"], "require": "predicted", "max_new_tokens": 6}
    found = extract(lmm, samples[:4], word, out=tmp_path / "a", **options)
    assert found.rows[0].sample_id == samples[0].id
    for layer in found.layers:
        logits = lmm.logits(torch.from_numpy(found.states(layer)), layer)
        for row, scores in zip(found.rows, logits, strict=True):
            assert scores[row.token_ids[row.token]] >= scores.max() - 1e-3


@pytest.mark.usefixtures("trained")
def test_the_bundled_model_says_dog_of_dogs_and_its_states_predict_it(lmm, dogs, tmp_path):
    found = extract(lmm, dogs, "dog", out=tmp_path / "a", layers=["final"], max_new_tokens=20)
    assert len(found) > len(dogs) / 3
    token = lmm.tokenizer.encode(" dog", add_special_tokens=False)
    best = lmm.logits(torch.from_numpy(found.states("final")), "final").argmax(1)
    assert set(best.tolist()) == set(token)


def test_the_question_of_a_sample_is_what_it_is_asked(lmm, world, library_states, tmp_path):
    asked = load_samples(world / "v2_OpenEnded_mscoco_train2014_questions.json", limit=60)
    found = extract(lmm, asked, "yes", out=tmp_path / "a", layers=[2], require="truth")
    by_id = {s.id: s for s in asked}
    for row in found.rows:
        sample = by_id[row.sample_id]
        assert row.request == sample.question != lmm.prompt
        assert row.references == sample.answers
        assert row.text.strip() == "yes"
    assert len({row.request for row in found.rows}) > 1
    check_rows(lmm, found, asked, library_states, 3)


# ---- batches ---------------------------------------------------------------------------------------------------------


def test_several_layers_in_one_pass_are_as_one_at_a_time(lmm, few, tmp_path):
    together = quick(lmm, few, tmp_path / "all", layers=["final", 1, 0, -1])
    assert together.layers == [0, 1, 8, "final"]
    for layer in together.layers:
        alone = quick(lmm, few, tmp_path / str(layer), layers=[layer])
        np.testing.assert_array_equal(together.states(layer), alone.states(layer))


def test_a_layer_named_twice_is_read_once(lmm, few, tmp_path):
    assert quick(lmm, few, tmp_path, layers=[-8, 1]).layers == [1]


def test_the_size_of_batches_and_shards_does_not_matter(lmm, few, activations, tmp_path):
    for batch_size, shard_size in ((1, 100), (5, 2)):
        found = quick(lmm, few, tmp_path / str(batch_size), layers=[3], batch_size=batch_size, shard_size=shard_size)
        assert found.rows == activations.rows[: len(few)]
        np.testing.assert_allclose(found.states(3), activations.states(3)[: len(few)], **CLOSE)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(lmm, few, saying, monkeypatch, tmp_path):
    def small(method):
        def run(self, inputs, *args):
            if len(inputs["input_ids"]) > 4:
                raise torch.OutOfMemoryError("out of memory")
            return method(self, inputs, *args)

        return run

    options = {"require": "predicted", "batch_size": 7, "shard_size": 100}
    saying("a brown dog")
    whole = quick(lmm, few, tmp_path / "whole", **options)
    sizes = saying("a brown dog")
    monkeypatch.setattr(LMM, "generate", small(LMM.generate))
    monkeypatch.setattr(LMM, "states", small(LMM.states))
    halved = quick(lmm, few, tmp_path / "halved", **options)
    assert sizes == [3, 4, 1]
    assert halved.rows == whole.rows
    np.testing.assert_allclose(halved.states(1), whole.states(1), **CLOSE)


def test_images_of_other_shapes_are_asked_together_and_rows_keep_their_order(lmm, few, monkeypatch, tmp_path):
    sizes, prepare = [], LMM.prepare

    def prepared(self, images, requests):
        sizes.append([image.size for image in images])
        return prepare(self, images, requests)

    monkeypatch.setattr(LMM, "prepare", prepared)
    mixed = [dataclasses.replace(s, image=s.open().resize((64 + 32 * (i % 2), 64))) for i, s in enumerate(few)]
    alone = quick(lmm, mixed, tmp_path / "alone", batch_size=1)
    sizes.clear()
    found = quick(lmm, mixed, tmp_path / "together", batch_size=2, shard_size=4)
    shapes = sorted(min(batch) for batch in sizes[-4:] if len(set(batch)) == 1)  # threads prepare them in any order
    assert shapes == [(64, 64)] * 2 + [(96, 64)] * 2
    assert found.rows == alone.rows
    np.testing.assert_allclose(found.states(1), alone.states(1), **CLOSE)


# ---- which samples are kept ------------------------------------------------------------------------------------------


@pytest.fixture
def four(few):
    """Samples with a dog and with a cat in their only reference, by turns."""
    texts = ["a dog", "a cat", "two cats and a dog", "a cat on the grass"]
    return [dataclasses.replace(s, references=(text,)) for s, text in zip(few, texts, strict=False)]


def test_both_keeps_samples_with_the_word_in_the_reference_and_in_what_is_said(lmm, four, saying, tmp_path):
    asked = saying(["a big dog", "a cat"])  # only those with the word in a reference are asked about
    found = quick(lmm, four, tmp_path, require="both", shard_size=100)
    assert sum(asked) == 2
    assert [row.sample_id for row in found.rows] == [four[0].id]
    assert found.rows[0].text == " a big dog"
    assert found.counts == Counts(scanned=4, kept=1, without_word=3)


def test_predicted_keeps_samples_of_which_the_word_is_said(lmm, four, saying, tmp_path):
    saying(["a cat", "a dog in a category", "catdog", "dog"])
    found = quick(lmm, four, tmp_path, require="predicted", shard_size=3)
    assert [row.sample_id for row in found.rows] == [four[1].id, four[3].id]
    assert found.counts == Counts(scanned=4, kept=2, without_word=2)


def test_truth_forces_the_first_reference_with_the_word_and_asks_nothing(lmm, few, monkeypatch, tmp_path):
    monkeypatch.setattr(LMM, "generate", None)
    sample = dataclasses.replace(few[0], references=("a cat", "the black dog", "a dog"))
    found = quick(lmm, [sample, dataclasses.replace(few[1], references=("a cat",))], tmp_path)
    assert [row.text for row in found.rows] == [" the black dog"]
    assert found.counts == Counts(scanned=2, kept=1, without_word=1)


def test_a_stated_form_counts_as_the_word(lmm, four, saying, tmp_path):
    saying(["a cat", "two cats", "Cats", "a dog"])
    found = quick(lmm, four, tmp_path, Word("cats", forms=("cat",)), require="predicted")
    assert [row.form for row in found.rows] == ["cat", "cats", "Cats"]


def test_a_sample_without_the_word_is_counted_once_over_all_shards(lmm, samples, dogs, tmp_path):
    found = quick(lmm, samples[:60], tmp_path)
    ids = {s.id for s in dogs}
    kept = sum(s.id in ids for s in samples[:60])
    assert found.counts == Counts(scanned=60, kept=kept, without_word=60 - kept)


def test_a_word_in_no_reference_is_an_error_that_names_the_nearest(lmm, few, tmp_path):
    with pytest.raises(WordError, match=r"No sample has 'dogg' in its references\. Words that do occur: .*\bdog\b"):
        quick(lmm, few, tmp_path / "a", "dogg")
    assert not (tmp_path / "a").exists()


def test_a_word_never_said_is_an_error_that_names_what_is_said(lmm, few, saying, tmp_path):
    saying("a black cat")
    with pytest.raises(WordError, match=r"never said 'dog' for 8 samples\. Words that it did say: black, cat\."):
        quick(lmm, few, tmp_path / "a", require="both")
    saying("a black dog")  # as another model would
    assert len(quick(lmm, few, tmp_path / "a", require="both")) == 8


def test_no_samples_are_an_error(lmm, tmp_path):
    with pytest.raises(DataError, match="no samples"):
        quick(lmm, [], tmp_path / "a")


@pytest.mark.parametrize("option", ["batch_size", "shard_size", "max_new_tokens"])
def test_sizes_below_one_are_refused(lmm, few, tmp_path, option):
    with pytest.raises(UsageError, match="must be at least 1"):
        quick(lmm, few, tmp_path / "a", **{option: 0})


def test_a_layer_that_is_not_there_is_refused_before_anything_is_done(lmm, few, tmp_path):
    with pytest.raises(UsageError, match="Layer 12 does not exist"):
        quick(lmm, few, tmp_path / "a", layers=[1, 12])
    assert not (tmp_path / "a").exists()


# ---- what cannot be read ---------------------------------------------------------------------------------------------


def broken(sample: Sample, folder: Path) -> Sample:
    """The sample with half its image."""
    path = folder / f"half-{sample.id}.jpg"
    path.write_bytes(sample.image.read_bytes()[:500])
    return dataclasses.replace(sample, image=path)


def test_unreadable_images_are_skipped_counted_and_listed(lmm, few, tmp_path):
    damaged = [*few]
    damaged[1] = broken(few[1], tmp_path)
    damaged[6] = dataclasses.replace(few[6], image=Path("/no/such/image.jpg"))
    found = quick(lmm, damaged, tmp_path / "a")
    kept = [s for i, s in enumerate(few) if i not in (1, 6)]
    assert [row.sample_id for row in found.rows] == [s.id for s in kept]
    assert [row.thumbnail for row in found.rows] == [thumbnail(s.open()) for s in kept]
    assert (found.counts.scanned, found.counts.kept, found.counts.without_word) == (8, 6, 0)
    listed = dict(found.counts.unreadable)
    assert list(listed) == [few[1].id, few[6].id]
    assert "cannot be read" in listed[few[1].id]
    assert "does not exist" in listed[few[6].id]
    whole = quick(lmm, kept, tmp_path / "b")
    np.testing.assert_allclose(found.states(1), whole.states(1), **CLOSE)


def test_an_image_beyond_its_bounds_is_skipped_and_listed_and_other_bounds_make_another_sample(lmm, few, tmp_path):
    long = tmp_path / "long.png"
    Image.new("1", (1, 100_000)).save(long)
    mixed = [dataclasses.replace(few[0], image=long), *few[1:4]]
    found = quick(lmm, mixed, tmp_path / "a", shard_size=2)
    [(sample, why)] = found.counts.unreadable
    assert sample == few[0].id
    assert "1 × 100000 pixels" in why
    narrow = [dataclasses.replace(s, bounds=ImageBounds(max_side=10)) for s in few[:4]]
    with pytest.raises(DataError, match="None of 4 samples could be read"):
        quick(lmm, narrow, tmp_path / "b")
    with pytest.raises(ArtifactError, match=f"made from other samples: the image of 1, '{few[3].id}' among them"):
        quick(lmm, [*mixed[:3], narrow[3]], tmp_path / "a", shard_size=2)


@pytest.mark.parametrize("require", ["truth", "both"])
def test_no_more_images_are_decoded_at_a_time_than_two_batches_have(lmm, few, tmp_path, monkeypatch, saying, require):
    saying("a dog")
    images: list[weakref.ref[Image.Image]] = []
    most, opened = 0, Sample.open

    def watched(sample: Sample) -> Image.Image:
        nonlocal most
        image = opened(sample)
        images.append(weakref.ref(image))
        most = max(most, sum(ref() is not None for ref in images))
        return image

    monkeypatch.setattr(Sample, "open", watched)
    monkeypatch.setattr("vitrail.samples.bounds.PIXELS", 2 * few[0].pixels())
    monkeypatch.setattr("vitrail.samples.opening.PIXELS", 0)  # none is kept for the next pass
    found = quick(lmm, few, tmp_path / "a", require=require, shard_size=8)
    assert len(found) == 8
    assert 2 <= most <= 4


def test_if_no_image_can_be_read_that_is_the_error_and_mending_them_is_enough(lmm, few, tmp_path):
    gone = [dataclasses.replace(s, image=Path(f"/no/such/{s.id}.jpg")) for s in few]
    with pytest.raises(DataError, match=rf"None of 8 samples could be read; the first, {few[0].id}: "):
        quick(lmm, gone, tmp_path / "a")
    assert len(quick(lmm, few, tmp_path / "a")) == 8


def test_states_that_are_not_finite_are_refused_and_their_samples_named(lmm, few, monkeypatch, tmp_path):
    states = LMM.states
    whole = quick(lmm, few[:3], tmp_path / "whole").rows
    batch = sorted(whole, key=lambda row: row.token)  # as they are read: the shortest first

    def poisoned(self, *args):
        found = {layer: tensor.clone() for layer, tensor in states(self, *args).items()}
        if len(found.get(1, ())) > 2:  # not what the doctor looks at before
            found[1][1, 7] = torch.inf
            found[1][2, 0] = torch.nan
        return found

    monkeypatch.setattr(LMM, "states", poisoned)
    ids = ", ".join(row.sample_id for row in whole if row in batch[1:])
    with pytest.raises(NumericsError, match=rf"2 of 3 states of layer 1 are not finite \(samples {ids}\)"):
        quick(lmm, few, tmp_path / "a")
    assert list(contents(tmp_path / "a")) == ["manifest.json"]


def test_a_disk_too_small_is_an_error_before_any_work(lmm, few, monkeypatch, tmp_path):
    monkeypatch.setattr(LMM, "states", None)
    monkeypatch.setattr("vitrail.artifacts.files.same_volume_free", lambda folder: 10_000)
    with pytest.raises(ArtifactError, match=r"The disk is too small: up to .* GB may be written to"):
        quick(lmm, few, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_the_room_asked_for_is_enough(activations, lmm, monkeypatch, tmp_path):
    """What the estimate lets pass fits: the true size of a finished folder is below it."""
    used = sum(p.stat().st_size for p in activations.folder.iterdir())
    monkeypatch.setattr("vitrail.artifacts.files.same_volume_free", lambda folder: 0)
    many = [Sample(str(i), Path(), ("a dog",)) for i in range(32_000)]
    with pytest.raises(ArtifactError, match=r"up to (\d+\.\d+) GB") as caught:
        extract(lmm, many, "dog", out=tmp_path, layers=[0, 3, -1, "final"])
    estimate = float(re.search(r"up to (\d+\.\d+) GB", str(caught.value))[1]) * 1e9
    assert estimate > 32_000 * used / len(activations)


# ---- stopping and going on -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted(lmm, dogs, tmp_path_factory):
    return contents(quick(lmm, dogs[:8], tmp_path_factory.mktemp("whole") / "a").folder)


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_a_run_stopped_at_any_shard_goes_on_and_gives_the_same_bytes(
    lmm, few, uninterrupted, monkeypatch, tmp_path, when
):
    """Every run is interrupted once, at the next file: so every moment comes."""
    write, table = Store.write, store_module.pq.write_table
    stops = iter((True, False) * 99)

    def interrupted(method):
        def run(*args):
            if when == "after":
                method(*args)
            if next(stops):
                raise KeyboardInterrupt
            if when != "after":
                method(*args)

        return run

    if when == "between":  # the tensors of the shard are there, its table is not
        monkeypatch.setattr(store_module.pq, "write_table", interrupted(table))
    else:
        monkeypatch.setattr(Store, "write", interrupted(write))
    out, n = tmp_path / "a", 0
    while True:
        try:
            found = quick(lmm, few, out)
            break
        except KeyboardInterrupt:
            n += 1
            with pytest.raises(ArtifactError, match="did not finish"):
                open_activations(out)
    assert n >= 2
    assert contents(found.folder) == uninterrupted


def test_a_run_stopped_within_a_shard_goes_on_and_gives_the_same_bytes(lmm, few, uninterrupted, tmp_path):
    def stop(what, done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(lmm, few, tmp_path / "a", progress=stop, batch_size=2, shard_size=3)
    assert (tmp_path / "a" / "part-00000.parquet").exists()
    with pytest.raises(ArtifactError, match=r"belongs to another run: batch_size is 2 there and 32 here"):
        quick(lmm, few, tmp_path / "a")
    found = quick(lmm, few, tmp_path / "a", batch_size=2)
    fresh = quick(lmm, few, tmp_path / "b", batch_size=2)
    assert contents(found.folder) == contents(fresh.folder)


def test_a_finished_extraction_is_opened_and_the_model_is_left_alone(lmm, few, monkeypatch, tmp_path):
    before = contents(quick(lmm, few, tmp_path / "a").folder)
    monkeypatch.setattr(LMM, "states", None)
    assert len(quick(lmm, few, tmp_path / "a")) == 8
    assert contents(tmp_path / "a") == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"word": "cat"}, "word.text is "),
        ({"layers": [2]}, r"layers is \[1\] there and \[2\] here"),
        ({"alignment": "reads"}, 'alignment is "predicts" there and "reads" here'),
        ({"require": "predicted"}, 'require is "truth" there and "predicted" here'),
    ],
)
def test_the_folder_of_another_run_is_refused(lmm, samples, few, saying, tmp_path, change, named):
    quick(lmm, few[:3], tmp_path / "a")
    cats = [dataclasses.replace(s, references=("a cat and a dog",)) for s in few[:3]]
    with pytest.raises(ArtifactError, match=f"belongs to another run: {named}"):
        quick(lmm, cats if "word" in change else few[:3], tmp_path / "a", **change)


@pytest.mark.parametrize("finished", [False, True])
def test_images_that_were_exchanged_are_noticed(lmm, few, tmp_path, finished):
    """The ids are the same, the pictures are not: nothing of the one set may pass for the other."""

    def stop(what, done, total):
        if done > 3:
            raise KeyboardInterrupt

    folder = tmp_path / "images"
    folder.mkdir()
    mine = [dataclasses.replace(s, image=folder / f"{i}.jpg") for i, s in enumerate(few)]
    for sample, source in zip(mine, few, strict=True):
        sample.image.write_bytes(source.image.read_bytes())
    if finished:
        quick(lmm, mine, tmp_path / "a")
    else:
        with pytest.raises(KeyboardInterrupt):
            quick(lmm, mine, tmp_path / "a", progress=stop)
    mine[1].image.write_bytes(few[2].image.read_bytes())
    if finished:
        with pytest.raises(ArtifactError, match=f"was made from other samples: the image of 1, '{mine[1].id}' among"):
            quick(lmm, mine, tmp_path / "a")
    else:
        again, fresh = (contents(quick(lmm, mine, tmp_path / name).folder) for name in "ab")
        del again["manifest.json"], fresh["manifest.json"]  # the doctor saw the first picture
        assert again == fresh


def test_a_second_process_that_writes_to_the_same_folder_is_refused(lmm, few, tmp_path):
    """The second run starts while the first is at work."""
    code = "import sys; from vitrail.artifacts import writing\nwith writing(sys.argv[1]): ..."
    said = []

    def meanwhile(what, done, total):
        said.append(subprocess.run([sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(lmm, few, tmp_path / "a", progress=meanwhile)
    assert said[0].returncode == 1
    assert "is being written by another process (process " in said[0].stderr
    assert len(quick(lmm, few, tmp_path / "a")) == 8


def test_other_samples_and_another_prompt_are_another_run(lmm, few, tmp_path):
    quick(lmm, few[:3], tmp_path / "a")
    with pytest.raises(ArtifactError, match=r'samples\.ids_sha256 is "\w+" there and "\w+" here'):
        quick(lmm, few[3:6], tmp_path / "a")
    with pytest.raises(ArtifactError, match="prompt is"):
        quick(dataclasses.replace(lmm, prompt="say it ."), few[:3], tmp_path / "a")


def test_progress_goes_up_to_the_number_of_samples_that_are_missing(lmm, few, tmp_path):
    heard = []

    def listen(what, done, total):
        heard.append((what, done, total))

    def check(total):
        assert {(what, n) for what, _, n in heard} == {("extract", total)}
        assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)
        assert heard[-1][1] == total

    before = contents(quick(lmm, few, tmp_path / "a", progress=listen).folder)
    check(8)
    heard.clear()
    (tmp_path / "a" / "part-00001.parquet").unlink()
    quick(lmm, few, tmp_path / "a", progress=listen)
    check(3)
    assert contents(tmp_path / "a") == before


KILLED = """
import sys
from vitrail.lmm import load
from vitrail.samples import load_samples
from vitrail.activations import ExtractionOptions
from vitrail.extraction import extract, extract_as
import time

def wait(what, done, total):
    if done >= 4:
        time.sleep(60)  # until we are killed, with a shard written and another begun

samples = load_samples(sys.argv[1], split="train")
options = ExtractionOptions([1], require="truth", shard_size=2, batch_size=1)
extract_as(load("toyland", device="cpu"), samples, "hot dog", options, out=sys.argv[2], progress=wait)
"""


def test_a_process_that_was_killed_has_lost_nothing_that_was_written(lmm, world, samples, tmp_path):
    out = tmp_path / "a"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(world), str(out)])
    try:
        deadline = time.monotonic() + 120
        while not (out / "part-00000.json").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    written = contents(out)
    assert {f"part-00000.{suffix}" for suffix in ("json", "parquet", "safetensors")} <= set(written)
    options = {"batch_size": 1, "shard_size": 2}
    found = quick(lmm, samples, out, "hot dog", **options)
    assert {n: b for n, b in contents(out).items() if n.startswith("part-00000")} == {
        n: b for n, b in written.items() if n.startswith("part-00000.")
    }
    fresh = quick(lmm, samples, tmp_path / "b", "hot dog", **options)
    assert found.rows == fresh.rows
    np.testing.assert_allclose(found.states(1), fresh.states(1), **CLOSE)


# ---- states of several positions, and of the image's side ------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "part"),
    [
        ("answer", lambda start, n: slice(start - 1, start + n - 1)),
        ("generated", lambda start, n: slice(start - 1, start + n)),
        ("said", lambda start, n: slice(start, start + n)),
        ("answer:0:2", lambda start, n: slice(start - 1, start + 1)),
        ("last", lambda start, n: slice(start - 1, start)),
    ],
)
def test_a_row_is_the_mean_over_positions_of_the_librarys_states(lmm, few, library_states, tmp_path, at, part):
    found = quick(lmm, few, tmp_path / "a", layers=[3, "final"], read_at=at)
    assert found.options.read_at == open_activations(found.folder).parameters["read_at"] == at
    for i, (row, sample) in enumerate(zip(found.rows, few, strict=True)):
        ids, states = library_states(lmm, sample.open(), row.request, row.text.strip())
        start = ids.index(lmm.tokenizer.convert_tokens_to_ids("<assistant>")) + 1
        where = part(start, len(row.token_ids))
        assert (row.position, row.n_positions) == (where.start, where.stop - where.start)
        for layer in found.layers:
            expected = states[-1 if layer == "final" else layer][where].mean(0)
            torch.testing.assert_close(torch.from_numpy(found.states(layer)[i]), expected, **CLOSE)


def test_the_question_is_read_where_it_ends_and_not_where_the_prompt_ends(lmm, world, library_states, tmp_path):
    asked = load_samples(world / "v2_OpenEnded_mscoco_train2014_questions.json", limit=20)
    found = extract(lmm, asked, "yes", out=tmp_path / "a", layers=[2], require="truth", read_at="question:-1")
    by_id = {s.id: s for s in asked}
    for i, row in enumerate(found.rows):
        ids, states = library_states(lmm, by_id[row.sample_id].open(), row.request, "yes")
        last = ids.index(lmm.tokenizer.convert_tokens_to_ids("<assistant>")) - 1
        assert lmm.tokenizer.decode(ids[last]).strip() == row.request.split()[-1] == "?"
        assert row.position == last
        torch.testing.assert_close(torch.from_numpy(found.states(2)[i]), states[2][last], **CLOSE)


def test_an_answer_without_the_positions_is_counted_and_has_no_row(lmm, few, tmp_path):
    lengths = [len(row.token_ids) for row in quick(lmm, few, tmp_path / "all").rows]
    middle = sorted(lengths)[len(lengths) // 2]
    short = sum(n < middle for n in lengths)
    found = quick(lmm, few, tmp_path / "a", read_at=f"answer:{middle - 1}")
    assert 0 < short < len(few)
    assert found.counts == Counts(scanned=8, kept=8 - short, without_state=short)
    assert len(found) == len(found.states(1)) == 8 - short
    with pytest.raises(DataError, match="None of 8 answers with 'dog' has the positions 'answer:50'"):
        quick(lmm, few, tmp_path / "b", read_at="answer:50")


def test_the_image_has_a_row_a_sample_or_a_row_a_patch_with_its_place(lmm, few, tmp_path):
    names = ("vision", "connector")
    mean = quick(lmm, few, tmp_path / "mean", layers=[1, *names])
    assert mean.layers == [1, *names]
    assert mean.parameters["modules"] == {"vision": "model.vision_tower", "connector": "model.multi_modal_projector"}
    each = quick(lmm, few, tmp_path / "each", layers=["connector"], read_at="patches")
    assert (len(each), each.counts.scanned) == (8 * 64, 8)
    images = lmm.prepare_samples(few)
    with torch.no_grad():
        tower = lmm.model.model.vision_tower(images["pixel_values"]).last_hidden_state
        patches = lmm.model.model.get_image_features(images["pixel_values"]).pooler_output
    patches = torch.stack(list(patches)).reshape(8, 64, -1)
    close = {"rtol": 1e-3, "atol": 1e-3}
    torch.testing.assert_close(torch.from_numpy(mean.states("vision")), tower[:, 1:].mean(1), **close)
    torch.testing.assert_close(torch.from_numpy(mean.states("connector")), patches.mean(1), **close)
    torch.testing.assert_close(torch.from_numpy(each.states("connector")), patches.flatten(0, 1), **close)
    first = [row for row in each.rows if row.sample_id == few[0].id]
    assert [(r.patch.row, r.patch.column) for r in first] == [(i, j) for i in range(8) for j in range(8)]
    assert (first[0].thumbnail, first[1].thumbnail, first[0].position) == (thumbnail(few[0].open()), b"", None)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"read_at": "nowhere"}, "got 'nowhere'"),
        ({"read_at": "answer", "alignment": "reads"}, "choice between states of the word"),
        ({"layers": ["vision"], "read_at": "answer"}, "passed by the image alone"),
        ({"layers": [1, "vision"], "read_at": "patches"}, "One row a patch is for layers that the image goes through"),
        ({"layers": ["vision.nothing"]}, r"no layer 'vision.nothing' .* such as vision.encoder.layers.0"),
        ({"layers": ["vision", "connector.linear_1"], "read_at": "patches"}, None),
    ],
)
def test_states_that_make_no_sense_are_refused(lmm, few, tmp_path, options, what):
    if what is None:  # tower and connector have the same grid here
        assert len(quick(lmm, few[:1], tmp_path / "a", **options)) == 64
        return
    with pytest.raises(UsageError, match=what):
        quick(lmm, few, tmp_path / "a", **options)


def test_states_of_the_image_can_be_learned_from_and_have_no_words(lmm, few, tmp_path):
    from vitrail.comparison.pairs import pair_samples
    from vitrail.concepts import learn
    from vitrail.grounding import ground

    each = quick(lmm, few, tmp_path / "each", layers=["connector"], read_at="patches")
    concepts = learn(each, out=tmp_path / "concepts", n_concepts=4, stability=0)
    assert concepts.U.shape == (4, lmm.n_features)
    with pytest.raises(UsageError, match="they have no words"):
        ground(lmm, each, concepts, out=tmp_path / "grounding")
    with pytest.raises(UsageError, match="cannot be paired by sample"):
        pair_samples(each, each)


# ---- the model does not wait -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"require": "predicted"}, {"layers": ["connector", 2]}], ids=["live", "read"])
def test_images_that_are_opened_ahead_change_no_byte(lmm, samples, monkeypatch, tmp_path, options):
    broken = dataclasses.replace(samples[9], image=tmp_path / "absent.jpg")
    some = [*samples[:9], broken, *samples[10:20]]
    quick(lmm, some, tmp_path / "ahead", word="a", batch_size=4, shard_size=7, **options)
    monkeypatch.setattr("vitrail.saying.asking.AHEAD", 0)
    found = quick(lmm, some, tmp_path / "in turn", word="a", batch_size=4, shard_size=7, **options)
    assert contents(tmp_path / "ahead") == contents(tmp_path / "in turn")
    [(unreadable, why)] = found.counts.unreadable
    assert unreadable == broken.id
    assert "absent.jpg does not exist" in why


def test_images_of_the_next_shard_are_opened_while_the_model_reads_one(lmm, few, monkeypatch, tmp_path):
    opened, opens, states = [], Sample.open, LMM.states

    def watched(sample: Sample) -> Image.Image:
        opened.append(sample.id)
        return opens(sample)

    def waits(self, inputs, *args):
        until = time.monotonic() + 20
        while len(inputs["input_ids"]) == 3 and len(opened) < len(few) and time.monotonic() < until:
            time.sleep(0.01)  # not in the doctor's passes, of two rows
        return states(self, inputs, *args)

    monkeypatch.setattr(Sample, "open", watched)
    monkeypatch.setattr(LMM, "states", waits)
    quick(lmm, few, tmp_path, batch_size=3, shard_size=3)
    assert len(opened) >= len(few)  # the first batch went to the model after all were open


def test_an_error_of_the_thread_that_writes_reaches_the_caller(lmm, few, monkeypatch, tmp_path):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module, "save_file", full)
    with pytest.raises(ArtifactError, match="The disk is full"):
        quick(lmm, few, tmp_path, shard_size=8)


def test_memory_that_runs_out_while_an_image_is_opened_is_no_unreadable_image(lmm, few, monkeypatch):
    def none_left(*_: object) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr("vitrail.samples.sample.decode", none_left)
    with pytest.raises(MemoryError, match=f"sample '{few[0].id}': there is not enough memory for image"):
        few[0].open()


def test_a_batch_size_that_is_found_is_kept_and_taken_again(lmm, samples, monkeypatch, tmp_path):
    sizes, states = [], LMM.states

    def watched(self, inputs, *args):
        sizes.append(len(inputs["input_ids"]))
        return states(self, inputs, *args)

    def stops(self, inputs, *args):
        if sizes.count(3) > 2:  # one to find the size, and two more
            raise KeyboardInterrupt
        return watched(self, inputs, *args)

    monkeypatch.setattr("vitrail.extraction.worker.best_size", lambda load, n, device: len(load(3)()))
    monkeypatch.setattr(LMM, "states", stops)
    options = {"word": "a", "batch_size": "auto", "shard_size": 9}
    with pytest.raises(KeyboardInterrupt):
        quick(lmm, samples[:18], tmp_path / "a", **options)
    monkeypatch.setattr("vitrail.extraction.worker.best_size", None)  # it is not looked for again
    monkeypatch.setattr(LMM, "states", watched)
    sizes.clear()
    found = quick(lmm, samples[:18], tmp_path / "a", **options)
    assert max(sizes) == 3
    assert found.manifest["batch_size"] == 3
    assert found.parameters["batch_size"] == found.options.batch_size == "auto"
    given = quick(lmm, samples[:18], tmp_path / "b", **{**options, "batch_size": 8})
    assert found.rows == given.rows
    np.testing.assert_allclose(found.states(1), given.states(1), **CLOSE)
