"""A model behind a server that speaks the protocol of OpenAI's chat completions: vLLM, SGLang, llama.cpp, TGI, …

An image goes as a data URL: its file as it lies on disk where that is an upright JPEG, PNG or WebP in RGB, else a PNG
of the pixels that a model here would be given. The key of a server that asks for one is taken from the environment
(`VITRAIL_ENDPOINT_KEY`), goes to that server alone, and is written nowhere.
"""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from vitrail.errors import DataError, ModelError, UsageError
from vitrail.options import Count, CountOrNone, Options
from vitrail.samples import Sample, frames_of
from vitrail.samples.images import Composite, content
from vitrail.saying.texts import Utterance

#: The variable of the environment that holds the server's key.
KEY = "VITRAIL_ENDPOINT_KEY"
#: Answers after which it is worth asking again.
AGAIN = frozenset({408, 429, 500, 502, 503, 504})
#: Answers that are about one sample: it is left out, and listed.
OF_A_SAMPLE = frozenset({400, 413, 415, 422})
#: If so many samples in turn are refused, it is not the samples.
MANY = 20
#: The longest wait between two tries, in seconds.
LONGEST_WAIT = 30.0
#: Formats that every server reads, by their type of media.
SENT_AS_THEY_ARE = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
#: EXIF's orientation.
ORIENTATION = 0x0112


@dataclass(frozen=True)
class Endpoint(Options):
    """A server, and how it is asked.

    Args:
        url: of the server, up to `/v1`: `http://127.0.0.1:8000/v1`.
        model: the model's name there; None where the server has one model.
        concurrency: how many requests are under way at the same time.
        retries: how often a request is made again that failed because the server was busy or could not be reached.
        timeout: seconds until a request counts as failed.
    """

    url: str
    model: str | None = None
    concurrency: Count = 8
    retries: CountOrNone = 5
    timeout: float = 300.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.url.startswith(("http://", "https://")) or "@" in self.url:
            raise UsageError(
                f"{self.url!r} is no address of a server: http://HOST:PORT/v1 was expected. A key goes into the "
                f"environment, as {KEY}."
            )
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def named(self) -> Endpoint:
        """The same endpoint with the name of its model, which the server is asked for.

        Raises:
            ModelError: the server cannot be reached, or has several models, or not this one.
        """
        with self._server() as server:
            listed = server.answer("GET", "/models", None)
        served = [str(m["id"]) for m in listed.get("data", []) if isinstance(m, dict) and "id" in m]
        if self.model is None and len(served) != 1:
            raise ModelError(
                f"{self.url} has {len(served)} models ({', '.join(served) or 'it names none'}). Name one: "
                "--endpoint-model."
            )
        if self.model is not None and served and self.model not in served:
            raise ModelError(f"{self.url} has no model {self.model!r}; it has {', '.join(served)}.")
        return replace(self, model=self.model or served[0])

    def identity(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {"url": self.url, "model": self.model}

    def _server(self) -> _Server:
        return _Server(self.url, self.retries, self.timeout, self.concurrency)

    def speak(
        self,
        samples: Sequence[Sample],
        prompt: str,
        max_new_tokens: int,
        step: Callable[[int], None] = lambda n: None,
    ) -> tuple[dict[str, Utterance], list[tuple[str, str]]]:
        """Sample id → what the server's model says of it, and (id, reason) of samples that were left out.

        Args:
            samples: each with its question, or else asked `prompt`.
            prompt: the request for a caption.
            max_new_tokens: longest text, in tokens of that model.
            step: told how many are done.

        Raises:
            ModelError: the server cannot be reached, refuses all, or answers in another protocol.
        """

        def ask(sample: Sample) -> Utterance | str:
            request = sample.question or prompt
            try:
                body = _request(self.model, data_urls(sample), request, max_new_tokens)
            except DataError as error:
                return str(error)
            try:
                answer = server.answer("POST", "/chat/completions", body)
            except DataError as error:
                refused.append(sample.id)
                return str(error)
            return Utterance(_text_of(answer, self.url), None, request, sample.name)

        said: dict[str, Utterance] = {}
        left_out: list[tuple[str, str]] = []
        refused: list[str] = []
        pool = ThreadPoolExecutor(self.concurrency)
        with self._server() as server:
            try:
                for number, (sample, found) in enumerate(zip(samples, pool.map(ask, samples), strict=True), 1):
                    if isinstance(found, str):
                        left_out.append((sample.id, found))
                    else:
                        said[sample.id] = found
                    step(number)
            finally:  # after Ctrl-C or a refusal, what has not begun does not begin
                pool.shutdown(wait=True, cancel_futures=True)
        if len(refused) == len(samples) >= MANY:
            first, why = left_out[0]
            raise ModelError(f"Each of {len(samples)} samples was refused; the first, {first}: {why}")
        return said, left_out


def data_urls(sample: Sample) -> list[str]:
    """The image of `sample` as a data URL, or each of several.

    Raises:
        DataError: it cannot be read.
    """
    upright = sample.open()  # within its bounds, whole, and readable
    kind, held = _as_it_is(sample)
    if kind is not None:
        return [_data_url(kind, held)]
    urls = []
    for image in frames_of(upright):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        urls.append(_data_url("image/png", buffer.getvalue()))
    return urls


def _data_url(kind: str, held: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(held).decode()}"


def _as_it_is(sample: Sample) -> tuple[str | None, bytes]:
    """The type of media of an image whose file may be sent as it lies there, and its bytes; None for another one."""
    if isinstance(sample.image, Image.Image | Composite):
        return None, b""
    held = content(sample.image)
    with Image.open(io.BytesIO(held)) as image:
        plain = image.mode == "RGB" and image.getexif().get(ORIENTATION, 1) == 1 and "transparency" not in image.info
        return (SENT_AS_THEY_ARE.get(str(image.format)) if plain else None), held


def _request(model: str | None, images: Sequence[str], request: str, max_new_tokens: int) -> dict[str, Any]:
    """The body of a chat completion: greedy, the images of one sample, one request."""
    parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": image}} for image in images]
    if request:
        parts.append({"type": "text", "text": request})
    turns = [{"role": "user", "content": parts}]
    return {"model": model, "messages": turns, "max_tokens": max_new_tokens, "temperature": 0, "stream": False}


def _text_of(answer: dict[str, Any], url: str) -> str:
    try:
        text = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        text = ()
    if text is not None and not isinstance(text, str):
        raise ModelError(f"{url} does not answer in the protocol of chat completions: {str(answer)[:200]}")
    return text or ""


class _Server:
    """Connections to a server, which are kept from one request to the next and shared by threads."""

    def __init__(self, url: str, retries: int, timeout: float, concurrency: int) -> None:
        import httpx2

        key = os.environ.get(KEY)
        self.url, self.retries, self.unreachable = url, retries, httpx2.TransportError
        self.client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout,
            limits=httpx2.Limits(max_connections=concurrency),
        )

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """The JSON that the server answers.

        Raises:
            DataError: it refuses what `body` says of a sample.
            ModelError: it refuses altogether, or cannot be reached, however often it is tried.
        """
        url, why = self.url + path, ""
        for attempt in range(self.retries + 1):
            try:
                found = self.client.request(method, url, json=body)
            except self.unreachable as error:
                why, wait = f"{type(error).__name__}: {error}", None
            else:
                if found.is_success:
                    return _parsed(found, url)
                why, wait = f"{found.status_code} {found.text[:200].strip()}", _asked_to_wait(found.headers)
                if body is not None and found.status_code in OF_A_SAMPLE:
                    raise DataError(f"{url} refuses it: {why}")
                if found.status_code not in AGAIN:
                    raise ModelError(f"{url} refuses: {why}. {_advice(found.status_code)}")
            if attempt < self.retries:
                time.sleep(min(0.5 * 2**attempt if wait is None else wait, LONGEST_WAIT))
        raise ModelError(
            f"{url} did not answer in {self.retries + 1} tries: {why}. What is finished is kept; run the command again."
        )


def _parsed(found: Any, url: str) -> dict[str, Any]:
    try:
        values = found.json()
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ModelError(f"{url} does not answer with a JSON object: {found.text[:200]!r}")
    return values


def _asked_to_wait(headers: Any) -> float | None:
    """The seconds that a busy server asks for; None where it does not say, or names a time of day."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return None


def _advice(status: int) -> str:
    if status in (401, 403):
        return f"Give its key in the environment: {KEY}."
    if status == 404:
        return "Give the address up to /v1, and the name of the model there (--endpoint-model)."
    return "What is finished is kept."
