"""What was said is kept whole, and read only by the model that said it, of the images of which it was said."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from vitrail.activations import open_activations
from vitrail.artifacts import verify
from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.extraction import extract
from vitrail.lmm import LMM
from vitrail.saying import open_texts, say

CLOSE = {"rtol": 1e-3, "atol": 1e-3}


@pytest.fixture(scope="module")
def texts(lmm, dogs, tmp_path_factory):
    """What the bundled model says of ten dogs. Read only."""
    return say(lmm, dogs[:10], out=tmp_path_factory.mktemp("said") / "texts", max_new_tokens=16, shard_size=4)


def lines(path, said: dict) -> object:
    path.write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in said.items()))
    return path


def test_what_is_said_is_what_the_model_generates(lmm, dogs, texts):
    for sample in dogs[:3]:
        inputs = lmm.prepare_samples([sample])
        (alone,) = lmm.generate(inputs, 16)
        assert (texts[sample.id].ids, texts[sample.id].text) == (alone.ids, alone.text)
        assert texts[sample.id].request == lmm.prompt
    assert list(texts) == [s.id for s in dogs[:10]]


def test_reading_what_was_said_gives_the_states_of_a_run_that_asks_itself(lmm, dogs, texts, tmp_path, monkeypatch):
    options = {"layers": [2, "final"], "max_new_tokens": 16, "require": "predicted"}
    live = extract(lmm, dogs[:10], "dog", out=tmp_path / "live", **options)
    monkeypatch.setattr(LMM, "generate", None)  # nobody is asked
    read = extract(lmm, dogs[:10], "dog", out=tmp_path / "read", said=texts.path, **options)
    assert read.rows == live.rows
    assert len(read) > 1
    for layer in read.layers:
        np.testing.assert_allclose(read.states(layer), live.states(layer), **CLOSE)
    said = read.parameters["said"]
    assert said["model"] == "toyland"
    assert said["tokens"] == "generated"
    assert read.manifest["parents"]["texts"]["manifest_sha256"] == said["texts_sha256"]


def test_a_run_that_was_stopped_goes_on_and_gives_the_same_texts(lmm, dogs, texts, tmp_path):
    def stop(what, done, total):
        if done > 5:
            raise KeyboardInterrupt

    options = {"out": tmp_path / "a", "max_new_tokens": 16, "shard_size": 4}
    with pytest.raises(KeyboardInterrupt):
        say(lmm, dogs[:10], progress=stop, **options)
    with pytest.raises(ArtifactError, match="did not finish"):
        open_texts(tmp_path / "a")
    heard = []
    found = say(lmm, dogs[:10], progress=lambda *told: heard.append(told), **options)
    assert {total for _, _, total in heard} == {6}  # the first shard is kept
    assert dict(found) == dict(texts)
    assert {c.condition for c in verify(tmp_path / "a")} == {"whole"}


@pytest.mark.parametrize("name", ["part-00001.parquet", "part-00001.json", "manifest.json"])
def test_texts_that_were_changed_are_refused(lmm, dogs, tmp_path, name):
    said = say(lmm, dogs[:2], out=tmp_path / "a", max_new_tokens=3, shard_size=1)
    path = said.path / name
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1) + b" ")
    with pytest.raises(ArtifactError):
        open_texts(said.path)


# ---- what belongs together -------------------------------------------------------------------------------------------


def test_another_model_does_not_read_them_as_its_own(changed_lmm, dogs, texts, tmp_path):
    with pytest.raises(ArtifactError, match=r"were said by another model: .*fingerprint is .* JSONL"):
        extract(changed_lmm, dogs[:10], "dog", out=tmp_path / "a", said=texts)


def test_another_request_is_refused(lmm, dogs, texts, tmp_path):
    other = dataclasses.replace(lmm, prompt="what is it ?")
    with pytest.raises(ArtifactError, match=r"was said after the request 'describe the image \.'; .* 'what is it \?'"):
        extract(other, dogs[:10], "dog", out=tmp_path / "a", said=texts)


def test_samples_without_a_text_are_refused(lmm, dogs, texts, tmp_path):
    with pytest.raises(DataError, match=rf"has no text for 2 of 12 samples, '{dogs[10].id}' among them"):
        extract(lmm, dogs[:12], "dog", out=tmp_path / "a", said=texts)


def test_another_image_of_the_same_id_is_refused(lmm, dogs, texts, tmp_path):
    others = [dataclasses.replace(dogs[0], image=dogs[5].image), *dogs[1:10]]
    with pytest.raises(ArtifactError, match=rf"image of sample '{dogs[0].id}' is not the one of which"):
        extract(lmm, others, "dog", out=tmp_path / "a", said=texts)


def test_references_are_not_read_in_place_of_what_was_said(lmm, dogs, texts, tmp_path):
    with pytest.raises(UsageError, match="“truth”, which reads the references"):
        extract(lmm, dogs[:10], "dog", out=tmp_path / "a", said=texts, require="truth")


def test_a_run_goes_on_only_with_the_same_texts(lmm, dogs, texts, tmp_path):
    extract(lmm, dogs[:10], "dog", out=tmp_path / "a", said=texts)
    for said in (None, lines(tmp_path / "c.jsonl", {s.id: "a dog" for s in dogs[:10]})):
        with pytest.raises(ArtifactError, match=r"belongs to another run: .*said"):
            extract(lmm, dogs[:10], "dog", out=tmp_path / "a", said=said, max_new_tokens=16)


# ---- from elsewhere --------------------------------------------------------------------------------------------------


def test_captions_from_elsewhere_are_read_as_references_are(lmm, dogs, activations, tmp_path):
    """The same text gives the same states, whether it is a reference or comes from elsewhere."""
    text = {row.sample_id: row.text.strip() for row in activations.rows}
    said = lines(tmp_path / "captions.jsonl", text)
    found = extract(lmm, dogs, "dog", out=tmp_path / "a", layers=[3, "final"], said=said)
    assert [(r.sample_id, r.token_ids, r.position) for r in found.rows] == [
        (r.sample_id, r.token_ids, r.position) for r in activations.rows
    ]
    for layer in found.layers:
        np.testing.assert_allclose(found.states(layer), activations.states(layer), **CLOSE)
    assert found.parameters["said"]["tokens"] == "made by the model's tokenizer"
    assert found.parameters["said"]["file"] == "captions.jsonl"
    assert open_activations(found.folder).rows == found.rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no texts"),
        (b'{"id": 1, "text": "\xff"}', "is not UTF-8 text"),
        ('{"id": 1, "text": "a", "text": "b"}\n', "the name 'text' stands twice"),
        ("a dog\n", r":1: malformed JSON"),
        ('{"id": 1}\n', r":1: expected an object with 'id' and one of 'text' or 'caption' or 'answer'"),
        ('{"id": 1, "text": "a", "caption": "a"}\n', r":1: expected an object"),
        ('{"text": "a"}\n', r":1: expected an object"),
        ('{"id": 1, "text": 7}\n', r":1: expected an object"),
        ('{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n', r":2: the sample '1' has a text already"),
    ],
)
def test_a_file_that_holds_no_captions_is_an_error_that_names_the_line(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        open_texts(path)


def test_a_caption_with_a_control_token_is_left_out_and_listed(lmm, dogs, tmp_path):
    end = lmm.tokenizer.eos_token
    said = lines(tmp_path / "c.jsonl", {dogs[0].id: f"a dog {end} on grass", dogs[1].id: "a dog on grass"})
    found = extract(lmm, dogs[:2], "dog", out=tmp_path / "a", said=said)
    assert [row.sample_id for row in found.rows] == [dogs[1].id]
    [(sample, why)] = found.counts.unreadable
    assert sample == dogs[0].id
    assert f"{end!r}, which is a control token" in why
    with pytest.raises(DataError, match=rf"None of 1 samples could be read; the first, {sample}: .* control token"):
        extract(lmm, dogs[:1], "dog", out=tmp_path / "b", said=said)


def test_no_texts_are_an_error(tmp_path):
    with pytest.raises(UsageError, match="There are no texts at"):
        open_texts(tmp_path / "nothing")


def test_samples_whose_image_could_not_be_read_are_listed_and_not_read_later(lmm, dogs, tmp_path):
    gone = dataclasses.replace(dogs[1], image=tmp_path / "gone.jpg")
    said = say(lmm, [dogs[0], gone], out=tmp_path / "t", max_new_tokens=3)
    assert list(said.unsaid) == [gone.id]
    found = extract(
        lmm,
        [dogs[0], gone],
        next(iter(said.values())).text.split()[0],
        out=tmp_path / "a",
        said=said,
        require="predicted",
    )
    assert [i for i, _ in found.counts.unreadable] == [gone.id]
    with pytest.raises(DataError, match="Nothing was said of any of 1 samples"):
        say(lmm, [gone], out=tmp_path / "u")
    assert not (tmp_path / "u" / "manifest.json").exists()
