"""What the model says in the viewer, and the queue of what it is asked."""

from __future__ import annotations

import base64
import io
import itertools
import threading
import time

import httpx2
import numpy as np
import pytest
from PIL import Image
from tests.serving.conftest import events_of

from vitrail.errors import DataError, UsageError
from vitrail.serving.jobs import Full, Job, Jobs
from vitrail.serving.pictures import KEPT, Pictures
from vitrail.serving.speaking import differences, parts_of
from vitrail.studies import open_study
from vitrail.words import Word

# ---- images ----------------------------------------------------------------------------------------------------------


def png(size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """An image whose header says that it has ten thousand million pixels."""
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


#: What is given as an image → what the refusal says.
NO_IMAGES = {
    "nothing": (b"", "no image that can be read"),
    "a text": (b"hello", "no image that can be read"),
    "a page": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image that can be read"),
    "PostScript, which another program would draw": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
    "half an image": (png((64, 64))[:60], "cannot be read"),
    "too many pixels": (bomb(), "no image that can be read"),
    "too long": (png((30_000, 1)), "max_side"),
    "too thin": (png((1000, 2)), "max_ratio"),
}


@pytest.mark.parametrize("what", NO_IMAGES)
def test_what_is_no_image_is_refused(client, what: str) -> None:
    data, says = NO_IMAGES[what]
    answer = client.post("/api/images", content=data, headers={"Content-Type": "image/png"})
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_images_are_bounded_in_number_and_the_oldest_go_first() -> None:
    pictures = Pictures(1_000_000)
    names = [pictures.add(png())[0] for _ in range(KEPT + 3)]
    assert len(set(names)) == KEPT + 3
    with pytest.raises(UsageError, match="not here any more"):
        pictures.open(names[2])
    assert pictures.open(names[3]).size == (8, 8)


def test_images_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    one = png()
    with pytest.raises(DataError, match="at most 10 are taken"):
        Pictures(10).add(one)
    monkeypatch.setattr("vitrail.serving.pictures.KEPT_BYTES", 3 * len(one))
    pictures = Pictures(1_000_000)
    names = [pictures.add(one)[0] for _ in range(4)]
    with pytest.raises(UsageError, match="not here any more"):
        pictures.open(names[0])


# ---- what it says ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(shelf):
    return open_study(shelf / "animals" / "dog")


@pytest.fixture(scope="module")
def said_dog(lmm, samples) -> Image.Image:
    """An image of which the model says "dog"."""
    for sample in samples:
        if Word("dog").find(lmm.caption([sample.open()])[0]):
            return sample.open()
    raise AssertionError("the model says dog of no sample")


@pytest.fixture
def image(client, said_dog) -> str:
    buffer = io.BytesIO()
    said_dog.save(buffer, "PNG")
    answer = client.post("/api/images", content=buffer.getvalue(), headers={"Content-Type": "image/png"})
    return answer.json()["image"]


def ask(client: httpx2.Client, **body: object) -> list[dict]:
    answer = client.post("/api/ask", json=body)
    assert answer.status_code == 200, answer.text
    return events_of(client, answer.json()["job"])


def test_the_caption_comes_word_by_word_and_is_the_models_own(client, dog, image, lmm, said_dog) -> None:
    events = ask(client, image=image, study=dog)
    texts = [e["text"] for e in events if e["event"] == "token"]
    (said,) = [e for e in events if e["event"] == "said"]
    assert said["text"] == lmm.caption([said_dog])[0]
    assert len(texts) > 3
    assert all(b.startswith(a) for a, b in itertools.pairwise(texts))
    assert said["text"].startswith(texts[-1])
    assert "".join(part["text"] for part in said["parts"]) == said["text"]
    assert events[-1] == {"event": "state", "state": "done"}


def test_the_concepts_behind_a_word_are_those_of_explain(client, dog, image, study, lmm, said_dog) -> None:
    (said,) = [e for e in ask(client, image=image, study=dog) if e["event"] == "said"]
    (behind,) = said["behind"]
    expected = study.explain(said_dog, n_concepts=6, n_look_alikes=6, lmm=lmm)
    assert said["text"][behind["start"] : behind["end"]] == behind["word"] == expected.word
    assert [c["index"] for c in behind["concepts"]] == [c.index for c in expected.concepts]
    for c, e in zip(behind["concepts"], expected.concepts, strict=True):
        assert c["percentile"] == pytest.approx(e.percentile, abs=2)
        assert c["strength"] == pytest.approx(e.strength, abs=1e-3)
    assert behind["explained"] == pytest.approx(expected.explained_variance, abs=1e-4)
    ids = [study.activations.rows[one["row"]].sample_id for one in behind["look_alikes"]]
    assert ids == list(expected.look_alikes)
    assert 0 <= behind["novelty"] <= 100


def test_a_question_is_asked_instead_of_the_studys_request(client, dog, image, lmm, said_dog) -> None:
    question = "what colour is the dog?"
    (said,) = [e for e in ask(client, image=image, study=dog, question=question) if e["event"] == "said"]
    assert said["text"] == lmm.caption([said_dog], prompt=question)[0]


def test_a_question_with_a_control_token_fails_with_its_reason(client, dog, image, lmm) -> None:
    events = ask(client, image=image, study=dog, question=f"what {lmm.tokenizer.eos_token} is this?")
    assert events[-1]["state"] == "failed"
    assert "control token" in events[-1]["why"]


def test_without_a_concept_both_answers_come_and_the_second_is_that_of_ablation(
    client, dog, image, study, lmm, said_dog
) -> None:
    from vitrail.evaluation.ablation import without_concept

    k = study.explain(said_dog, lmm=lmm).concepts[0].index
    events = ask(client, image=image, study=dog, without=[{"study": dog, "concept": k}])
    said = {e["side"]: e["text"] for e in events if e["event"] == "said"}
    change = without_concept(study.learned, k)

    def at_last(_layer, states, _pass):
        import torch

        return torch.cat([states[:, :-1], change(states[:, -1])[:, None]], dim=1)

    with lmm.edited([study.learned.layer], at_last):
        expected = lmm.caption([said_dog])[0]
    assert said["before"] == lmm.caption([said_dog])[0]
    assert said["after"] == expected
    (found,) = [e["parts"] for e in events if e["event"] == "differences"]
    assert "".join(d["text"] for d in found if d["kind"] != "new") == said["before"]
    assert "".join(d["text"] for d in found if d["kind"] != "gone") == said["after"]


def test_the_maps_of_an_image_are_those_of_the_study(client, dog, image, study, lmm, said_dog) -> None:
    answer = client.post("/api/maps", json={"image": image, "study": dog})
    events = events_of(client, answer.json()["job"])
    assert events[-1] == {"event": "state", "state": "done"}
    (told,) = [e for e in events if e["event"] == "maps"]
    expected = study.maps(said_dog, lmm=lmm)
    assert (told["caption"], told["method"]) == (expected.caption, expected.method)
    assert [m["concept"] for m in told["maps"]] == [m.concept for m in expected.maps]
    assert told["maps"][-1]["title"] == "dog"
    scales = {m["scale"] for m in told["maps"][:-1]}
    assert len(scales) == 1
    for shown, one in zip(told["maps"], expected.maps, strict=True):
        assert shown["value"] == pytest.approx(one.value, rel=1e-3)
        assert np.sum(shown["fields"]) == pytest.approx(1)
        drawn = Image.open(io.BytesIO(base64.b64decode(shown["overlay"].removeprefix("data:image/png;base64,"))))
        assert drawn.size == one.shares.shape[::-1]
        place = np.unravel_index(one.shares.argmax(), one.shares.shape)
        assert np.asarray(drawn)[..., 3].max() == np.asarray(drawn)[place][3]


def test_an_image_of_which_the_word_is_not_said_has_no_maps(client, dog) -> None:
    blank = client.post("/api/images", content=png((112, 112)), headers={"Content-Type": "image/png"}).json()["image"]
    events = events_of(client, client.post("/api/maps", json={"image": blank, "study": dog}).json()["job"])
    assert events[-1]["state"] == "failed"
    assert "nothing to map" in events[-1]["why"]
    assert client.post("/api/maps", json={"image": "x", "study": dog}).status_code == 404


@pytest.mark.parametrize("wrong", [{"image": "x"}, {"study": "x"}, {"without": [{"study": "x", "concept": 1}]}])
def test_what_is_not_there_cannot_be_asked(client, dog, image, wrong: dict) -> None:
    answer = client.post("/api/ask", json={"image": image, "study": dog, **wrong})
    assert answer.status_code == 404


def test_a_concept_that_is_not_there_cannot_be_taken_out(client, dog, image) -> None:
    answer = client.post("/api/ask", json={"image": image, "study": dog, "without": [{"study": dog, "concept": 99}]})
    assert answer.status_code == 404


#: A caption → its words.
CAPTIONS = {
    "a dog's ball, no. 7": ["a", "dog", "s", "ball", "no", "7"],
    "ein großer Hund läuft": ["ein", "großer", "Hund", "läuft"],
    "一只狗在跑": ["一", "只", "狗", "在", "跑"],
    "كلب أسود يركض": ["كلب", "أسود", "يركض"],
    "<script>alert(1)</script>": ["script", "alert", "1", "script"],
    "": [],
}


@pytest.mark.parametrize("text", CAPTIONS)
def test_a_caption_in_any_script_comes_apart_into_words_and_together_again(text: str) -> None:
    found = parts_of(text)
    assert "".join(part.text for part in found) == text
    assert [part.text for part in found if part.kind == "word"] == CAPTIONS[text]


def test_differences_put_together_give_both_texts() -> None:
    before, after = "a small red dog on the beach", "a big red cat at a beach"
    found = differences(before, after)
    assert "".join(d.text for d in found if d.kind != "new") == before
    assert "".join(d.text for d in found if d.kind != "gone") == after


# ---- the queue -------------------------------------------------------------------------------------------------------


def test_one_job_runs_and_the_others_wait_in_their_order() -> None:
    jobs, go, order = Jobs(8), threading.Event(), []
    first = jobs.add("x", lambda job: go.wait(10))
    others = [jobs.add("x", lambda job, n=n: order.append(n)) for n in range(3)]
    wait_for(lambda: first.state == "running")
    assert jobs.busy
    assert [jobs.position(job) for job in (first, *others)] == [0, 1, 2, 3]
    assert jobs.n_waiting == 3
    others[1].cancel()
    assert [jobs.position(job) for job in others] == [1, 0, 2]
    go.set()
    wait_for(lambda: others[2].state == "done")
    assert order == [0, 2]
    assert others[1].state == "cancelled"


def test_a_full_queue_refuses_and_takes_more_when_there_is_room() -> None:
    jobs, go = Jobs(2), threading.Event()
    first = jobs.add("x", lambda job: go.wait(10))
    wait_for(lambda: first.state == "running")
    jobs.add("x", lambda job: None)
    last = jobs.add("x", lambda job: None)
    with pytest.raises(Full, match="2 requests wait"):
        jobs.add("x", lambda job: None)
    last.cancel()
    jobs.add("x", lambda job: None)
    go.set()


def test_a_job_that_runs_ends_with_its_next_word() -> None:
    def speak(job: Job) -> None:
        for n in range(10_000):
            job.tell("token", {"text": str(n)})
            time.sleep(0.001)

    job = Jobs(2).add("x", speak)
    wait_for(lambda: len(job.events) > 3)
    job.cancel()
    wait_for(lambda: job.state == "cancelled")
    assert len(job.events) < 9000


def test_an_error_of_ours_is_told_and_the_queue_goes_on() -> None:
    def fail(job: Job) -> None:
        raise ZeroDivisionError("oh")

    def refuse(job: Job) -> None:
        raise DataError("not so")

    jobs = Jobs(8)
    several = [jobs.add("x", work) for work in (fail, refuse, lambda job: None)]
    wait_for(lambda: several[-1].state == "done")
    assert [job.state for job in several] == ["failed", "failed", "done"]
    assert several[1].events[-1]["why"] == "not so"


def test_a_job_can_be_followed_late_again_and_from_its_middle(client, dog, image) -> None:
    job = client.post("/api/ask", json={"image": image, "study": dog}).json()["job"]
    first = events_of(client, job)
    assert events_of(client, job) == first
    with client.stream("GET", f"/api/jobs/{job}/events", headers={"Last-Event-ID": "1"}) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("id: ")]
    assert lines[0] == "id: 2"
    assert len(lines) == len(first) - 2


def test_ids_of_jobs_cannot_be_guessed_and_unknown_ones_are_404(client) -> None:
    names = {Job("x", lambda job: None).id for _ in range(100)}
    assert len(names) == 100
    assert min(map(len, names)) >= 16
    assert client.get("/api/jobs/x/events").status_code == 404
    assert client.get("/api/jobs/x").status_code == 404
    assert client.delete("/api/jobs/x").status_code == 404


def wait_for(true, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_following_costs_no_more_for_a_client_that_does_not_read(client, dog, image) -> None:
    """Twenty clients that never read, and the next request is answered all the same."""
    job = client.post("/api/ask", json={"image": image, "study": dog}).json()["job"]
    streams = [httpx2.Client(base_url=client.base_url) for _ in range(20)]
    open_ones = [s.stream("GET", f"/api/jobs/{job}/events") for s in streams]
    for one in open_ones:
        one.__enter__()
    assert events_of(client, job)[-1]["state"] == "done"
    for one, stream in zip(open_ones, streams, strict=True):
        one.__exit__(None, None, None)
        stream.close()


def test_explained_shares_are_those_of_explain(study) -> None:
    from vitrail.serving.speaking import explained_shares

    Z = study.activations.states(study.learned.layer)[np.flatnonzero(study.learned.kept)].astype(float)
    rebuilt = study.learned.learner.inverse_transform(study.learned.V)
    i = 4
    expected = 1 - ((Z[i] - rebuilt[i]) ** 2).sum() / ((Z[i] - Z.mean(axis=0)) ** 2).sum()
    assert explained_shares(study)[i] == pytest.approx(expected, abs=1e-6)
