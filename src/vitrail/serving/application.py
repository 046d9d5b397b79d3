"""The viewer as one application of Starlette: the endpoints, the events of requests, and the front end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vitrail.errors import UsageError
from vitrail.serving.endpoints import Viewer
from vitrail.serving.guard import Guard
from vitrail.serving.jobs import Job
from vitrail.serving.options import ServeOptions
from vitrail.serving.routes import openapi, routes_of
from vitrail.serving.speaking import Speaker

#: So many clients follow requests at once.
FOLLOWING = 64
MEDIA = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


def viewer_application(
    root: str | Path, options: ServeOptions | None = None, *, speaker: Speaker | None = None
) -> Starlette:
    """The viewer of the folder `root`, for any server of ASGI.

    Args:
        options: where it will listen decides which names it answers to; `ServeOptions()` for None.
        speaker: the model that it asks; each study's own for None.
    """
    options = options or ServeOptions()
    viewer = Viewer.of(root, options, speaker=speaker)
    document = openapi(viewer, metadata.version("vitrail"))
    sent = _front_end()

    async def described(_: Request) -> Response:
        return JSONResponse(document)

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        return sent[name] if name in sent else JSONResponse({"error": "There is no such file."}, status_code=404)

    async def page(_: Request) -> Response:
        return sent["index.html"]

    async def missing(_: Request) -> Response:
        return JSONResponse({"error": "There is no such endpoint."}, status_code=404)

    routes = [
        Route("/api/openapi.json", described),
        Route("/api/jobs/{job}/events", _Events(viewer)),
        *routes_of(viewer, edit=options.edit, most_bytes=viewer.pictures.most),
        Route("/api/{rest:path}", missing),
        Route("/static/{name}", static),
        Route("/{view:path}", page),  # every view has its address; the front end shows what it names
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, options=options)])
    app.state.viewer = viewer
    return app


class _Events:
    """The events of a request as server-sent events. Who comes back says with `Last-Event-ID` what is known already."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer, self._following = viewer, 0

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        await (await self._answer(Request(scope, receive)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            job = self._viewer.known(request.path_params["job"])
        except UsageError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        if self._following >= FOLLOWING:
            return JSONResponse({"error": "Too many follow requests at once."}, status_code=503)
        last = request.headers.get("last-event-id", "")
        start = min(int(last) + 1, len(job.events)) if last.isdigit() and len(last) < 9 else 0
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        return StreamingResponse(self._told(job, start), media_type="text/event-stream", headers=headers)

    async def _told(self, job: Job, start: int) -> AsyncIterator[str]:
        self._following += 1
        try:
            if job.state == "waiting":
                yield _event(None, {"event": "queue", "position": self._viewer.jobs.position(job)})
            async for number, event in job.follow(start, patience=2.0):
                if event is not None:
                    yield _event(number, event)
                elif job.state == "waiting":
                    yield _event(None, {"event": "queue", "position": self._viewer.jobs.position(job)})
                else:
                    yield ": still here\n\n"
        finally:
            self._following -= 1


def _event(number: int | None, event: dict[str, object]) -> str:
    head = "" if number is None else f"id: {number}\n"
    return f"{head}data: {json.dumps(event)}\n\n"


def _front_end() -> dict[str, Response]:
    """Every file of the front end by its name; the style and the script of the reports are theirs."""
    folder, reports = files("vitrail.serving") / "static", files("vitrail.reports")
    found = {path.name: path.read_bytes() for path in folder.iterdir() if Path(path.name).suffix in MEDIA}
    found["report.css"] = (reports / "style.css").read_bytes()
    found["report.js"] = (reports / "script.js").read_bytes()
    keep = {"Cache-Control": "no-cache"}
    return {
        name: Response(data, media_type=MEDIA[Path(name).suffix], headers=keep) for name, data in sorted(found.items())
    }
