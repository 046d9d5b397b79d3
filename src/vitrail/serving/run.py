"""`vitrail serve`: the viewer behind uvicorn, until it is stopped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from vitrail.errors import ArtifactError, UsageError
from vitrail.serving.options import ServeOptions

if TYPE_CHECKING:
    from uvicorn import Config, Server

#: Connections that are open at once, at most, and seconds in which a request must have come, and in which one that is
#: idle is closed.
CONNECTIONS, REQUEST, IDLE = 256, 15.0, 20


def serve(
    folder: str | Path,
    options: ServeOptions | None = None,
    *,
    model: str | None = None,
    device: str | None = None,
    trust_remote_code: bool = False,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serves the viewer of the studies below `folder`, until the process is stopped.

    Args:
        folder: a study, or a folder with studies, comparisons, steerings and watches anywhere below.
        options: where it listens, and what it allows; `ServeOptions()` for None.
        model: where the model is now, if not where the studies found it.
        device: as in `load`.
        trust_remote_code: as in `load`.
        ready: is given the address, once the viewer answers there.

    Raises:
        ArtifactError: there is no such folder, or nothing in it that can be shown.
        UsageError: the libraries of the viewer are not installed, or the address is taken.
    """
    try:
        import uvicorn

        from vitrail.serving.application import viewer_application
    except ImportError as error:
        raise UsageError(f"The viewer needs starlette and uvicorn ({error}): pip install 'vitrail[serve]'.") from error
    from vitrail.serving.collection import Collection
    from vitrail.serving.speaking import Speaker

    options = options or ServeOptions()
    if not Path(folder).is_dir():
        raise ArtifactError(f"There is no folder {folder}.")
    if not Collection(folder).list():
        raise ArtifactError(
            f"There is nothing in {folder} that the viewer can show: no study, comparison, steering or watch. "
            "`vitrail demo` makes a study."
        )
    app = viewer_application(folder, options, speaker=Speaker(model, device, trust_remote_code))
    taken = _listen(options)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE,
        http=_impatient(),
        ws="none",
        lifespan="off",
    )
    ready(address_of(options, taken.getsockname()[1]))
    with taken:
        _server(config).run(sockets=[taken])


def address_of(options: ServeOptions, port: int) -> str:
    """The address to open, with the token where there is one."""
    host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(options.host, options.host)
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={options.token}" if options.token else "")


def _listen(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((options.host, options.port))
        taken.listen(128)
    except (OSError, OverflowError) as error:
        taken.close()
        raise UsageError(
            f"Cannot listen at {options.host}, port {options.port}: {error}. Choose another --port."
        ) from error
    return taken


def _server(config: Config) -> Server:
    """uvicorn's server, which leaves signals to whoever handles them: the command line ends the process at once, where
    uvicorn would wait for connections that are open; Python raises KeyboardInterrupt."""
    import uvicorn

    class Server(uvicorn.Server):
        def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
            return nullcontext()

    return Server(config)


def _impatient() -> type[asyncio.Protocol]:
    """uvicorn's HTTP, which closes a connection on which no whole request head came in `REQUEST` seconds."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._waiting = self.loop.call_later(REQUEST, self._close_if_silent)

        def connection_lost(self, exc: Exception | None) -> None:
            self._waiting.cancel()
            super().connection_lost(exc)

        def _close_if_silent(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

    return Impatient
