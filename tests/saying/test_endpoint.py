"""A model behind a real server of this machine says the same as here; whatever the server does, nothing is lost."""

from __future__ import annotations

import base64
import dataclasses
import io

import pytest
from PIL import Image

from vitrail.errors import ModelError, UsageError
from vitrail.samples import Sample
from vitrail.saying import Endpoint, open_texts, say
from vitrail.saying.endpoint import data_urls


def pictures(n: int) -> list[Sample]:
    """Samples of one colour each; the first pixel says which."""
    return [Sample(f"s{i}", Image.new("RGB", (8, 8), (i, 0, 0))) for i in range(n)]


def by_colour(image: Image.Image, request: str, n: int) -> str:
    return f"number {image.getpixel((0, 0))[0]}"


def test_a_server_that_runs_the_model_says_what_the_model_says_here(serve, by_model, lmm, dogs, tmp_path):
    server = serve(by_model)
    here = say(lmm, dogs[:4], out=tmp_path / "here", max_new_tokens=12)
    there = say(Endpoint(server.url), dogs[:4], out=tmp_path / "there", prompt=lmm.prompt, max_new_tokens=12)
    assert {i: u.text.strip() for i, u in here.items()} == {i: u.text for i, u in there.items()}
    assert {a["max_tokens"] for a in server.asked} == {12}
    assert {a["request"] for a in server.asked} == {lmm.prompt}
    assert there.by == {"url": server.url, "model": "toyland"}
    assert there.model is None
    assert {u.ids for u in there.values()} == {None}


def test_each_text_belongs_to_its_own_sample_however_many_are_asked_at_once(serve, tmp_path):
    server = serve(by_colour)
    found = say(Endpoint(server.url, concurrency=4), pictures(60), out=tmp_path / "a", shard_size=25)
    assert {i: u.text for i, u in found.items()} == {f"s{i}": f"number {i}" for i in range(60)}
    assert server.most_at_once <= 4


def test_a_question_is_asked_in_place_of_the_request_for_a_caption(serve, tmp_path):
    server = serve(lambda image, request, n: f"you asked: {request}")
    samples = [dataclasses.replace(pictures(1)[0], question="how many?", answers=("one",))]
    assert say(Endpoint(server.url), samples, out=tmp_path / "a")["s0"].text == "you asked: how many?"


@pytest.mark.parametrize("failures", [[(503, None)] * 3, [(429, "1")], [(429, "Thu, 26 Nov 2026 07:00:00 GMT")]])
def test_a_busy_server_is_asked_again(serve, tmp_path, failures):
    server = serve(by_colour, failures=list(failures))
    assert say(Endpoint(server.url, concurrency=1), pictures(2), out=tmp_path / "a")["s1"].text == "number 1"


def test_a_server_that_stays_busy_is_an_error_and_the_run_goes_on_later(serve, tmp_path):
    server = serve(by_colour)
    samples = pictures(6)

    def busy_after_the_first_shard(what, done, total):
        if done == 3:
            server.failures += [(503, None)] * 99

    endpoint = Endpoint(server.url, retries=2, concurrency=1)
    with pytest.raises(ModelError, match=r"did not answer in 3 tries: 503 .*busy.* is kept; run the command again"):
        say(endpoint, samples, out=tmp_path / "a", shard_size=3, progress=busy_after_the_first_shard)
    server.failures.clear()
    server.asked.clear()
    found = say(endpoint, samples, out=tmp_path / "a", shard_size=3)
    assert len(server.asked) == 3  # those of the second shard alone
    assert {i: u.text for i, u in found.items()} == {f"s{i}": f"number {i}" for i in range(6)}


def test_an_image_that_the_server_refuses_is_left_out_and_listed(serve, tmp_path):
    server = serve(by_colour, refuse=lambda image: image.getpixel((0, 0))[0] == 1)
    found = say(Endpoint(server.url), pictures(3), out=tmp_path / "a")
    assert set(found) == {"s0", "s2"}
    ((sample, why),) = open_texts(tmp_path / "a").unsaid.items()
    assert sample == "s1"
    assert "400" in why
    assert "too small" in why


def test_a_server_that_refuses_everything_ends_the_run_at_the_first_shard(serve, tmp_path):
    seen = []
    server = serve(by_colour, refuse=lambda image: seen.append(image) is None)
    with pytest.raises(ModelError, match=r"Each of 25 samples was refused; the first, s0: .* 400 .*too small"):
        say(Endpoint(server.url), pictures(60), out=tmp_path / "a", shard_size=25)
    assert len(seen) == 25


def test_a_last_sample_that_is_refused_alone_in_its_shard_ends_nothing(serve, tmp_path):
    server = serve(by_colour, refuse=lambda image: image.getpixel((0, 0))[0] == 4)
    found = say(Endpoint(server.url), pictures(5), out=tmp_path / "a", shard_size=4)
    assert list(found.unsaid) == ["s4"]


@pytest.mark.parametrize(
    ("settings", "asked", "message"),
    [
        ({"key": "secret"}, {}, r"refuses: 401 .*Give its key in the environment: VITRAIL_ENDPOINT_KEY"),
        ({"models": ("a", "b")}, {}, r"has 2 models \(a, b\)\. Name one: --endpoint-model"),
        ({}, {"model": "gpt"}, r"has no model 'gpt'; it has toyland"),
        ({"raw": b"hello"}, {}, r"does not answer with a JSON object: 'hello'"),
        (
            {"raw": b'{"data": [{"id": "m"}]}', "models": ("m",)},
            {},
            r"does not answer in the protocol of chat completions",
        ),
    ],
)
def test_a_server_that_cannot_be_used_is_an_error_that_says_why(serve, tmp_path, settings, asked, message):
    server = serve(by_colour, **settings)
    with pytest.raises(ModelError, match=message):
        say(Endpoint(server.url, **asked), pictures(2), out=tmp_path / "a")


def test_an_address_without_v1_is_an_error_that_says_so(serve, tmp_path):
    server = serve(by_colour)
    with pytest.raises(ModelError, match=r"404 .*Give the address up to /v1"):
        say(Endpoint(server.url.removesuffix("/v1")), pictures(1), out=tmp_path / "a")


def test_no_server_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("vitrail.saying.endpoint.time.sleep", lambda seconds: None)
    with pytest.raises(ModelError, match=r"did not answer in 2 tries: ConnectError"):
        say(Endpoint("http://127.0.0.1:9/v1", retries=1), pictures(1), out=tmp_path / "a")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://a/v1", "http://me:secret@host/v1"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(UsageError, match="is no address of a server"):
        Endpoint(url)


def test_the_key_goes_to_the_server_and_is_written_nowhere(serve, tmp_path, monkeypatch):
    server = serve(by_colour, key="secret-key")
    monkeypatch.setenv("VITRAIL_ENDPOINT_KEY", "secret-key")
    say(Endpoint(server.url), pictures(2), out=tmp_path / "a")
    assert not [p for p in (tmp_path / "a").iterdir() if b"secret-key" in p.read_bytes()]


# ---- images ----------------------------------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_plain_jpeg_is_sent_as_it_lies_on_disk(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.new("RGB", (8, 8), "red"), "JPEG"))
    assert sent(Sample("a", path)) == ("JPEG", path.read_bytes())


@pytest.mark.parametrize("kind", ["turned", "grey", "transparent", "bmp", "open"])
def test_every_other_image_is_sent_as_the_pixels_that_a_model_here_is_given(tmp_path, kind):
    path, image = tmp_path / "a", Image.linear_gradient("L").resize((8, 6)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    grey, see_through = image.convert("L"), image.convert("RGBA")
    see_through.putalpha(90)
    content = {
        "turned": lambda: encoded(image, "JPEG", exif=exif),
        "grey": lambda: encoded(grey, "JPEG"),
        "transparent": lambda: encoded(see_through, "PNG"),
        "bmp": lambda: encoded(image, "BMP"),
        "open": lambda: b"",
    }[kind]()
    path.write_bytes(content)
    sample = Sample("a", image if kind == "open" else path)
    format_, held = sent(sample)
    assert format_ == "PNG"
    with Image.open(io.BytesIO(held)) as received:
        assert received.tobytes() == sample.open().tobytes()
        assert received.size == sample.open().size


def sent(sample: Sample) -> tuple[str, bytes]:
    """The format and the bytes that a server receives."""
    held = base64.b64decode(data_urls(sample)[0].partition(",")[2])
    with Image.open(io.BytesIO(held)) as image:
        return str(image.format), held
