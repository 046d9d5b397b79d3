"""A server on this machine that speaks the protocol of OpenAI's chat completions, and runs the bundled model."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image


@dataclass
class Server:
    """What the server does, and what it was asked.

    Args:
        answer: (image, request, longest text in tokens) → the text.
        models: the names of its models.
        key: what it asks for; None for nothing.
        failures: the statuses with which it answers first, with seconds to wait.
        refuse: whether it refuses an image.
    """

    answer: Callable[[Image.Image, str, int], str]
    models: tuple[str, ...] = ("toyland",)
    key: str | None = None
    failures: list[tuple[int, str | None]] = field(default_factory=list)
    refuse: Callable[[Image.Image], bool] = lambda image: False
    raw: bytes | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0
    url: str = ""
    _now: int = 0
    _lock: Any = field(default_factory=threading.Lock)

    def models_answer(self) -> tuple[int, Any, dict[str, str]]:
        return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}, {}

    def completion(self, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            failure = self.failures.pop(0) if self.failures else None
        try:
            if failure is not None:
                return (
                    failure[0],
                    {"error": {"message": "busy"}},
                    {} if failure[1] is None else {"Retry-After": failure[1]},
                )
            assert body["model"] in self.models
            assert body["temperature"] == 0
            (turn,) = body["messages"]
            assert turn["role"] == "user"
            url = next(p["image_url"]["url"] for p in turn["content"] if p["type"] == "image_url")
            request = "".join(p["text"] for p in turn["content"] if p["type"] == "text")
            head, _, coded = url.partition(",")
            image = Image.open(io.BytesIO(base64.b64decode(coded)))
            assert head == f"data:{Image.MIME[image.format]};base64"
            if self.refuse(image):
                return 400, {"error": {"message": "this image is too small"}}, {}
            with self._lock:
                self.asked.append({"request": request, "format": image.format, "max_tokens": body["max_tokens"]})
                text = self.answer(image.convert("RGB"), request, body["max_tokens"])
            message = {"role": "assistant", "content": text}
            return 200, {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}, {}
        finally:
            with self._lock:
                self._now -= 1


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _send(self, status: int, values: Any, headers: dict[str, str]) -> None:
            content = server.raw if server.raw is not None and status == 200 else json.dumps(values).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _authorized(self) -> bool:
            if server.key is None or self.headers.get("Authorization") == f"Bearer {server.key}":
                return True
            self._send(401, {"error": {"message": "no key"}}, {})
            return False

        def do_GET(self) -> None:
            if self._authorized():
                found = server.models_answer() if self.path == "/v1/models" else (404, {"detail": "Not Found"}, {})
                self._send(*found)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self._authorized():
                known = self.path == "/v1/chat/completions"
                self._send(*(server.completion(body) if known else (404, {"detail": "Not Found"}, {})))

        def log_message(self, *_: object) -> None:
            """Writes nothing."""

    return Handler


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[..., Server]]:
    """`serve(answer, …)` starts a server; see `Server`."""
    running: list[ThreadingHTTPServer] = []
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("vitrail.saying.endpoint.time.sleep", lambda seconds: None)

    def start(answer: Callable[[Image.Image, str, int], str], **settings: Any) -> Server:
        server = Server(answer, **settings)
        http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server))
        threading.Thread(target=http.serve_forever, daemon=True).start()
        running.append(http)
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        return server

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


@pytest.fixture
def by_model(lmm) -> Callable[[Image.Image, str, int], str]:
    """What the bundled model says."""
    return lambda image, request, n: lmm.caption([image], prompt=request, max_new_tokens=n)[0]
