"""Who is answered: names, origins, tokens, sizes, time, and how many at once."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from vitrail.errors import UsageError
from vitrail.serving import ServeOptions
from vitrail.serving.guard import POLICY, Rates

TOKEN = "a-token-of-the-tests"

#: Headers → the status. What another page, or another name, can make a browser send.
REQUESTS = {
    "our own page": ({"Sec-Fetch-Site": "same-origin"}, 200),
    "typed into the address bar": ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
    "a link on another page": ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
    "localhost": ({"Host": "localhost:7007"}, 200),
    "the machine itself, version 6": ({"Host": "[::1]:7007"}, 200),
    "a name that was rebound": ({"Host": "evil.example:7007"}, 421),
    "a name that begins like ours": ({"Host": "127.0.0.1.evil.example"}, 421),
    "a name that begins like localhost": ({"Host": "localhost.evil.example"}, 421),
    "another address": ({"Host": "192.168.1.7:7007"}, 421),
    "no name": ({"Host": ""}, 421),
    "another page's script": ({"Origin": "http://evil.example"}, 403),
    "another port's script": ({"Origin": "http://127.0.0.1:1"}, 403),
    "a page of no origin": ({"Origin": "null"}, 403),
    "another page's image": ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
    "another port's image": ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_only_this_machines_names_and_our_own_pages_are_answered(client, what: str) -> None:
    headers, status = REQUESTS[what]
    for path in ("/", "/api/library", "/static/app.js", "/api/nothing"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == (404 if status == 200 and path == "/api/nothing" else status), path


def test_another_page_cannot_post_even_without_asking_first(client) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = client.post("/api/ask", content=b"{}", headers={"Content-Type": media})
        assert answer.status_code == 415
    assert client.options("/api/ask", headers={"Origin": "http://evil.example"}).status_code == 405


def test_every_answer_has_the_policy_and_no_one_may_read_it_from_elsewhere(client, dog: str) -> None:
    paths = (
        "/",
        "/study/x",
        "/static/app.js",
        f"/api/studies/{dog}/page",
        "/api/nothing",
        f"/api/studies/{dog}/thumbs/0",
    )
    for answer in (client.get(path) for path in paths):
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_other_methods_are_refused(client) -> None:
    for method in ("PUT", "PATCH", "TRACE", "OPTIONS"):
        assert client.request(method, "/api/library").status_code == 405


# ---- how often ------------------------------------------------------------------------------------------------------


def test_a_client_that_sends_too_much_waits_as_long_as_it_is_told_and_others_do_not(serve_folder, shelf) -> None:
    address = serve_folder(shelf, posts_per_minute=5)
    with httpx2.Client(base_url=address) as client:
        sent = [
            client.post("/api/images", content=b"no image", headers={"Content-Type": "image/png"}) for _ in range(6)
        ]
        assert [answer.status_code for answer in sent] == [400] * 5 + [429]
        assert "Try again in" in sent[-1].text
        assert 0 < int(sent[-1].headers["retry-after"]) <= 12
        assert client.get("/api/library").status_code == 200


def test_rates_fill_up_again_and_forget_who_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrail.serving.guard.CLIENTS", 3)
    now = [0.0]
    rates = Rates(2, lambda: now[0])
    assert [rates.wait("a") for _ in range(3)] == [0, 0, 30]
    assert rates.wait("b") == 0
    now[0] = 29.5
    assert rates.wait("a") == 1
    now[0] = 32.5
    assert [rates.wait("a"), rates.wait("a")] == [0, 28]
    now[0] = 1000.0
    assert [rates.wait(one) for one in "cdef"] == [0] * 4
    assert set(rates._left) == set("cdef")


# ---- the token -------------------------------------------------------------------------------------------------------


def test_listening_to_others_always_has_a_token() -> None:
    assert ServeOptions().token is None
    made = ServeOptions(host="0.0.0.0").token
    assert made is not None
    assert len(made) >= 32
    assert made != ServeOptions(host="0.0.0.0").token
    with pytest.raises(UsageError, match="at least 16 characters"):
        ServeOptions(host="0.0.0.0", token="short")


@pytest.fixture(scope="module")
def with_token(serve_folder, shelf: Path) -> str:
    return serve_folder(shelf, token=TOKEN)


@pytest.mark.parametrize("path", ["/", "/api/library", "/static/app.js", "/api/jobs/x/events"])
def test_nobody_is_answered_without_the_token(with_token: str, path: str) -> None:
    for given in ("", "?token=", "?token=wrong", f"?token={TOKEN}x"):
        assert httpx2.get(f"{with_token}{path}{given}").status_code == 401
    assert httpx2.get(with_token + path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert httpx2.get(with_token + path, cookies={"vitrail-token": "wrong"}).status_code == 401
    assert httpx2.get(with_token + path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code != 401


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(with_token: str) -> None:
    answer = httpx2.get(f"{with_token}/ask?study=x&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ask?study=x")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    with httpx2.Client(base_url=with_token, follow_redirects=True) as browser:
        assert browser.get(f"/?token={TOKEN}").status_code == 200
        assert browser.get("/api/library").status_code == 200


def test_the_token_leads_to_no_other_host(with_token: str) -> None:
    place = urlsplit(with_token)
    with socket.create_connection((place.hostname, place.port)) as raw:
        raw.sendall(f"GET //evil.example/?token={TOKEN} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        head = raw.recv(4096).decode()
    assert "303" in head.splitlines()[0]
    assert "location: /evil.example/" in head.lower()


# ---- paths -----------------------------------------------------------------------------------------------------------

SECRET = "secret.txt"
TRAVERSALS = [
    "../secret.txt",
    "..%2fsecret.txt",
    "%2e%2e/secret.txt",
    "%2e%2e%2fsecret.txt",
    "....//secret.txt",
    "..%5csecret.txt",
    "%00secret.txt",
    "/etc/passwd",
    "//etc/passwd",
    "%2fetc%2fpasswd",
    "animals/dog",
    "animals%2fdog",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_of_a_client_is_opened(viewer: str, shelf: Path, dog: str, path: str) -> None:
    (shelf.parent / SECRET).write_text("the secret")
    place = urlsplit(viewer)
    for before in ("/static/", "/api/studies/", f"/api/studies/{dog}/thumbs/", f"/api/studies/{dog}/map/factors/"):
        with socket.create_connection((place.hostname, place.port)) as raw:  # a client would tidy the path
            raw.sendall(f"GET {before}{path}/page HTTP/1.0\r\nHost: {place.netloc}\r\n\r\n".encode())
            said = b"".join(iter(lambda: raw.recv(65536), b""))
        assert b"the secret" not in said
        assert b"root:" not in said
        assert said.split()[1] in (b"404", b"422", b"200")
        assert b"<title>Vitrail</title>" in said or said.split()[1] != b"200"


# ---- sizes, time, numbers --------------------------------------------------------------------------------------------


def posting(host: str, length: int) -> str:
    """The head of a request that brings an image of so many bytes."""
    return f"POST /api/images HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/png\r\nContent-Length: {length}\r\n\r\n"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(viewer: str) -> None:
    place = urlsplit(viewer)
    head = posting(place.netloc, 10**12)
    with socket.create_connection((place.hostname, place.port), timeout=10) as raw:
        raw.sendall(head.encode())
        assert b"413" in raw.recv(4096)


def test_a_body_that_does_not_say_how_large_it_is_is_cut_off(serve_folder, shelf: Path) -> None:
    address = serve_folder(shelf, upload_mb=1)

    def endless():
        for _ in range(40):
            yield b"x" * 100_000

    answer = httpx2.post(f"{address}/api/images", content=endless(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 413


def test_a_client_that_sends_too_slowly_is_sent_away(viewer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrail.serving.routes.PATIENCE", 0.3)
    place = urlsplit(viewer)
    head = posting(place.netloc, 1000) + "ab"
    with socket.create_connection((place.hostname, place.port), timeout=10) as raw:
        raw.sendall(head.encode())
        assert b"408" in raw.recv(4096)


def test_a_connection_that_asks_nothing_is_closed(serve_folder, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrail.serving.run.REQUEST", 0.3)
    place = urlsplit(serve_folder(shelf))
    with socket.create_connection((place.hostname, place.port), timeout=10) as raw:
        raw.sendall(b"GET / HT")
        assert raw.recv(100) == b""


#: What is sent as the body → what the answer says.
BODIES = {
    b"": "not what was expected",
    b"{": "not what was expected",
    b"[]": "not what was expected",
    b'{"image": 7, "study": "x"}': "not what was expected",
    b'{"image": "x"}': "study",
    b"[" * 100_000: "not what was expected",
    b"\xff\xfe": "not what was expected",
    json.dumps({"image": "x", "study": "y", "question": "?" * 3000}).encode(): "not what was expected",
    json.dumps({"image": "x", "study": "y", "without": [{"study": "y", "concept": 0}] * 99}).encode(): "not what was",
    json.dumps({"image": "x", "study": "../../etc"}).encode(): "There is no study",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_not_what_it_should_be_gets_one_line(client, body: bytes) -> None:
    answer = client.post("/api/ask", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (404, 422)
    assert BODIES[body] in answer.json()["error"]


def test_two_hundred_clients_at_once_are_answered_or_told_to_wait(viewer: str, dog: str) -> None:
    """No crash, and the viewer answers as before; who comes in excess gets 503."""
    barrier = threading.Barrier(200)
    paths = ["/", "/api/library", f"/api/studies/{dog}/concepts/1", f"/api/studies/{dog}/thumbs/3", "/api/model"]

    def one(number: int) -> int:
        barrier.wait()
        return httpx2.get(viewer + paths[number % len(paths)], timeout=60).status_code

    with ThreadPoolExecutor(200) as pool:
        statuses = list(pool.map(one, range(200)))
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 150
    assert httpx2.get(f"{viewer}/api/library").status_code == 200
