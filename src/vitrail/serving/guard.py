"""Who is answered at all, and what every answer carries.

| attack | what stops it |
|---|---|
| DNS rebinding: a page's own domain suddenly leads to 127.0.0.1 | the name in `Host` must be this machine's |
| a page elsewhere posts to 127.0.0.1, or includes what is here | `Origin` must be ours, `Sec-Fetch-Site` too; no CORS |
| another machine, or another person | the token, where the viewer listens to more than this machine |
| text of a study that would be markup, or a script | a policy (CSP) under which nothing inline runs |
| a page that shows the viewer in a frame, to be clicked | no frame around it |
| a client that sends without end | so many a minute from one address; the queue of the model has its own limit |
"""

from __future__ import annotations

import ipaddress
import math
import secrets
import socket
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrail.serving.options import ServeOptions, is_loopback

COOKIE = "vitrail-token"
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})
#: A year, after which a browser forgets the token.
_AGE = 365 * 24 * 3600
#: So many clients are remembered before those that have not sent for a minute are forgotten.
CLIENTS = 1024

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Answers only those who may ask; everything else is refused before the application sees it."""

    def __init__(self, app: ASGIApp, options: ServeOptions) -> None:
        self.app, self.options = app, options
        self._rates = Rates(options.posts_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refused = self._refused(scope)
        await (refused or self.app)(scope, receive, guarded)

    def _refused(self, scope: Scope) -> Response | None:
        headers, method = Headers(scope=scope), scope["method"]
        host = headers.get("host", "")
        if method not in METHODS:
            return _refusal(405, f"{method} is not answered here.")
        if len(headers.getlist("host")) != 1 or not self._is_own(host):
            return _refusal(421, "This viewer does not go by that name. Open the address that `vitrail serve` printed.")
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return _refusal(403, "Another page may not ask this viewer.")
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        if site in ("cross-site", "same-site") and not (mode == "navigate" and method == "GET"):
            return _refusal(403, "Another page may not ask this viewer.")
        refused = None if self.options.token is None else self._without_token(scope, headers)
        if refused is None and method == "POST":
            wait = self._rates.wait((scope.get("client") or ("", 0))[0])
            if wait:
                refused = _refusal(429, f"Too many requests in a minute. Try again in {wait} s.")
                refused.headers["Retry-After"] = str(wait)
        return refused

    def _is_own(self, host: str) -> bool:
        """Whether the name in `Host` is this machine's. An attacker's domain may lead here; an address cannot."""
        name = _name_of(host)
        if is_loopback(name) or name == self.options.host:
            return True
        return not self.options.is_local and (_is_address(name) or name == socket.gethostname().lower())

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        """None for who knows the token. Who brings it in the address gets a cookie, and an address without it."""
        assert self.options.token is not None
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        if self._knows(*asked.get("token", [])) and scope["method"] == "GET":
            rest = urlencode([(name, v) for name, values in asked.items() if name != "token" for v in values])
            path = "/" + scope["path"].lstrip("/")  # `//elsewhere` would lead to another host
            answer = RedirectResponse(path + (f"?{rest}" if rest else ""), status_code=303)
            answer.set_cookie(COOKIE, self.options.token, max_age=_AGE, httponly=True, samesite="strict")
            return answer
        if self._knows(_cookie(headers), headers.get("authorization", "").removeprefix("Bearer ")):
            return None
        return _refusal(401, "This viewer needs a token. Open the address that `vitrail serve` printed, with ?token=…")

    def _knows(self, *given: str) -> bool:
        own = (self.options.token or "").encode()
        return any(secrets.compare_digest(one.encode("utf-8", "surrogatepass"), own) for one in given)


class Rates:
    """How often each client may send: `most` at once, and as many again in a minute (a token bucket).

    Args:
        most: in a minute.
        now: gives the time in seconds.
    """

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self.most, self._now = most, now
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, client: str) -> int:
        """0 for a client that may send now, which is counted; else in how many seconds it may."""
        now = self._now()
        left = self._left_of(client, now)
        if left < 1:
            return math.ceil((1 - left) * 60 / self.most)
        self._left[client] = (left - 1, now)
        if len(self._left) > CLIENTS:
            self._left = {one: kept for one, kept in self._left.items() if self._left_of(one, now) < self.most}
        return 0

    def _left_of(self, client: str, now: float) -> float:
        left, then = self._left.get(client, (float(self.most), now))
        return min(left + (now - then) * self.most / 60, self.most)


def _refusal(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status_code=status)


def _name_of(host: str) -> str:
    """The name in a `Host` header, without its port.

    >>> _name_of("[::1]:7007"), _name_of("LocalHost:7007")
    ('::1', 'localhost')
    """
    name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if found is None else found.value
