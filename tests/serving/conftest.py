"""A folder to serve, and viewers of it that listen at a port of their own."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest


@pytest.fixture(scope="session")
def shelf(lmm, activations, concepts, grounding, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of dogs in `animals/dog`. Read only."""
    folder = tmp_path_factory.mktemp("shelf")
    home = folder / "animals" / "dog"
    for part in (activations, concepts, grounding):
        shutil.copytree(part.folder, home / part.folder.name)
    return folder


@pytest.fixture(scope="session")
def serve_folder(lmm) -> Iterator[Callable[..., str]]:
    """`serve_folder(folder, **options)` serves it, with the bundled model in memory, and gives the address."""
    import uvicorn

    from vitrail.serving import ServeOptions, viewer_application
    from vitrail.serving.run import _impatient, _listen
    from vitrail.serving.speaking import Speaker

    with ExitStack() as running:

        def start(folder: Path, speaker: Speaker | None = None, **options: object) -> str:
            asked = ServeOptions(port=0, **options)
            taken = _listen(asked)
            config = uvicorn.Config(
                viewer_application(folder, asked, speaker=speaker or Speaker(lmm=lmm)),
                log_level="error",
                lifespan="off",
                ws="none",
                http=_impatient(),
                limit_concurrency=256,
            )
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.01)

            def stop() -> None:
                server.should_exit = server.force_exit = True
                thread.join(10)

            running.callback(stop)
            return f"http://127.0.0.1:{taken.getsockname()[1]}"

        yield start


@pytest.fixture(scope="session")
def viewer(serve_folder, shelf) -> str:
    """The address of a viewer of `shelf` that only reads."""
    return serve_folder(shelf)


@pytest.fixture
def client(viewer: str) -> Iterator[httpx2.Client]:
    """Asks `viewer`."""
    with httpx2.Client(base_url=viewer, timeout=60) as one:
        yield one


@pytest.fixture(scope="session")
def dog(viewer: str) -> str:
    """The id of the study."""
    (entry,) = httpx2.get(f"{viewer}/api/library").json()["entries"]
    return entry["id"]


@pytest.fixture
def own_shelf(shelf: Path, tmp_path: Path) -> Path:
    """A copy of `shelf` to write to."""
    return Path(shutil.copytree(shelf, tmp_path / "shelf"))


def events_of(client: httpx2.Client, job: str) -> list[dict]:
    """All events of a request, until it has ended."""
    import json

    with client.stream("GET", f"/api/jobs/{job}/events") as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]
