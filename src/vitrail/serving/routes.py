"""An endpoint is a method: its signature says what it takes and gives, which is checked, and told as OpenAPI.

    @endpoint("GET", "/api/studies/{study}/concepts/{concept}")
    def concept(self, study: str, concept: int) -> ConceptView:
        \"\"\"A concept with examples.\"\"\"

Parameters in the path come by name. A parameter `query` takes the query as a dataclass, `body` the JSON of the body,
and `data` its bytes. What it gives is a dataclass, sent as JSON, or `Binary`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any, TypeVar, get_type_hints

import anyio
import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vitrail.artifacts import plain
from vitrail.errors import ArtifactError, DataError, UsageError, VitrailError
from vitrail.serving.jobs import Full

log = logging.getLogger(__name__)

Method = TypeVar("Method", bound=Callable[..., Any])
#: Bytes of JSON that are taken, and seconds in which a body must arrive.
MOST_JSON, PATIENCE = 4_000_000, 30.0
#: So many bodies are received at once; who comes later is asked to wait.
RECEIVING = 8
#: So many answers are worked out at once; the others wait in their order.
WORKING = 4
_KIND_OF_BODY = {"body": "application/json", "data": "image/*"}


@dataclass(frozen=True)
class Binary:
    """An answer that is no JSON.

    Args:
        data: its bytes.
        media: its type.
        name: of the file that a browser makes of it; empty for one that it shows.
        lasting: whether a browser may keep it for an hour.
    """

    data: bytes
    media: str = "application/octet-stream"
    name: str = ""
    lasting: bool = False


class Refused(VitrailError):
    """A request that is refused, and the status that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Endpoint:
    """Where a method is reached."""

    method: str
    path: str
    edits: bool


def endpoint(method: str, path: str, *, edits: bool = False) -> Callable[[Method], Method]:
    """A decorator that makes a method an endpoint.

    Args:
        method: GET, POST or DELETE.
        path: with its parameters in braces.
        edits: whether it writes to artifacts, which must be allowed.
    """

    def mark(function: Method) -> Method:
        function.endpoint = Endpoint(method, path, edits)  # type: ignore[attr-defined]
        return function

    return mark


def endpoints_of(api: object) -> Iterator[tuple[Endpoint, Callable[..., Any]]]:
    """All endpoints among the methods of `api`."""
    for name, function in vars(type(api)).items():
        if isinstance(found := getattr(function, "endpoint", None), Endpoint):
            yield found, getattr(api, name)


class Receiving:
    """How many bodies are being received, and how many answers worked out."""

    def __init__(self) -> None:
        self.bodies, self.working = 0, asyncio.Semaphore(WORKING)


def routes_of(api: object, *, edit: bool, most_bytes: int) -> list[Route]:
    """The endpoints of `api` as routes of Starlette.

    Args:
        edit: whether those that write may be used.
        most_bytes: of an upload.
    """
    now = Receiving()
    return [
        Route(one.path, _answering(one, call, now, edit, most_bytes), methods=[one.method])
        for one, call in endpoints_of(api)
    ]


def _answering(
    one: Endpoint, call: Callable[..., Any], now: Receiving, edit: bool, most_bytes: int
) -> Callable[[Request], Awaitable[Response]]:
    hints = get_type_hints(call)
    names = [name for name in inspect.signature(call).parameters if name not in ("query", "body", "data")]

    async def answer(request: Request) -> Response:
        try:
            if one.edits and not edit:
                raise Refused(403, "This viewer only reads. Start it with --edit to write.")
            given: dict[str, Any] = {name: _typed(request.path_params[name], hints[name], name) for name in names}
            if "query" in hints:
                given["query"] = _typed(_query(request), hints["query"], "the query")
            if "body" in hints:
                _check_media(request, "application/json")
                given["body"] = _parsed(await _received(request, now, MOST_JSON), hints["body"])
            if "data" in hints:
                _check_media(request, "image/")
                given["data"] = await _received(request, now, most_bytes)
            async with now.working:
                return _sent(await run_in_threadpool(call, **given))
        except VitrailError as error:
            return JSONResponse({"error": str(error)}, status_code=_status(error))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            log.exception("%s failed", one.path)
            told = f"{type(error).__name__}: {error}. This is a fault of ours; the viewer's terminal shows where."
            return JSONResponse({"error": told}, status_code=500)

    return answer


def _query(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.query_params.items() if value != ""}


def _typed(value: Any, kind: Any, name: str) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(422, f"{name}: {error}") from error


def _parsed(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(422, f"The body is not what was expected: {error}") from error


def _check_media(request: Request, begins: str) -> None:
    """A page elsewhere can send a form without asking first, but neither JSON nor an image."""
    if not request.headers.get("content-type", "").startswith(begins):
        raise Refused(415, f"Send {begins.rstrip('/')} with its Content-Type.")


async def _received(request: Request, now: Receiving, most: int) -> bytes:
    """The body, if it is not too large, and does not take too long."""
    declared = request.headers.get("content-length", "0")
    too_large = Refused(413, f"At most {most:,} bytes are taken.")
    if not declared.isdigit() or int(declared) > most:
        raise too_large
    if now.bodies >= RECEIVING:
        raise Refused(503, "Too many send something at once. Try again.")
    now.bodies += 1
    try:
        with anyio.fail_after(PATIENCE):
            data = bytearray()
            async for piece in request.stream():
                data += piece
                if len(data) > most:
                    raise too_large
            return bytes(data)
    except TimeoutError as error:
        raise Refused(408, f"The body did not arrive in {PATIENCE:g} seconds.") from error
    finally:
        now.bodies -= 1


def _sent(value: Any) -> Response:
    if isinstance(value, Response):
        return value
    if not isinstance(value, Binary):
        return Response(msgspec.json.encode(plain(value)), media_type="application/json")
    headers = {"Cache-Control": "private, max-age=3600"} if value.lasting else {}
    if value.name:
        headers["Content-Disposition"] = f'attachment; filename="{re.sub("[^A-Za-z0-9._-]", "_", value.name)}"'
    return Response(value.data, media_type=value.media, headers=headers)


def _status(error: VitrailError) -> int:
    match error:
        case Refused():
            return error.status
        case Full():
            return 429
        case UsageError():
            return 404 if str(error).startswith(("There is no", "This image")) else 400
        case DataError():
            return 400
        case ArtifactError():
            return 409
    return 500


# ---- OpenAPI ---------------------------------------------------------------------------------------------------------


def openapi(api: object, version: str) -> dict[str, Any]:
    """The endpoints of `api` as a document of OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    told = [kind for _, call in endpoints_of(api) for kind in get_type_hints(call).values()]
    kinds = dict.fromkeys(kind for kind in told if is_dataclass(kind) and kind is not Binary)
    _, schemas = msgspec.json.schema_components(list(kinds), ref_template="#/components/schemas/{name}")
    for one, call in endpoints_of(api):
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, call, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Vitrail", "version": version, "description": "The viewer's endpoints."},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(one: Endpoint, call: Callable[..., Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(call)
    answer = hints.pop("return", None)
    document = inspect.getdoc(call) or ""
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(kind)}
        for name, kind in hints.items()
        if name not in ("query", *_KIND_OF_BODY)
    ]
    asked = schemas[hints["query"].__name__] if "query" in hints else {}
    in_query = [
        {"name": name, "in": "query", "required": name in asked.get("required", []), "schema": schema}
        for name, schema in asked.get("properties", {}).items()
    ]
    bodies = {
        media: {"schema": _schema(hints[name]) if name == "body" else {"type": "string", "format": "binary"}}
        for name, media in _KIND_OF_BODY.items()
        if name in hints
    }
    media = "application/json" if is_dataclass(answer) and answer is not Binary else "application/octet-stream"
    content = {"schema": _schema(answer)} if media == "application/json" else {}
    error = {"description": "Refused; `error` says why.", "content": {"application/json": {}}}
    return {
        "operationId": call.__name__,
        "summary": document.partition("\n")[0],
        "description": document,
        "parameters": in_path + in_query,
        **({"requestBody": {"required": True, "content": bodies}} if bodies else {}),
        "responses": {"200": {"description": "Done.", "content": {media: content}}, "default": error},
    }


def _schema(kind: Any) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
