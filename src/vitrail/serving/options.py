"""How the viewer is served: where it listens, and what it allows."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from typing import Annotated

from vitrail.errors import UsageError
from vitrail.options import AtLeast, Count, Options, Within

#: The fewest characters of a token.
SHORTEST = 16


@dataclass(frozen=True)
class ServeOptions(Options):
    """How the viewer is served.

    Args:
        host: the address to listen at. Any but this machine's own (`127.0.0.1`, `localhost`, `::1`) needs a token.
        port: the port to listen at; 0 takes a free one.
        token: what a browser must know to be answered; made where it is needed and not given. At this machine's own
            addresses there is none by default: programs on this machine alone can reach them.
        edit: allow what writes: names and notes of concepts, sets of samples, steerings. Without it nothing is written.
        upload_mb: the largest image that is taken, in megabytes.
        queue: how many requests to the model wait at most; more are refused.
        posts_per_minute: how many images and requests one client may send in a minute, all kinds together; more are
            refused until a part of the minute has passed.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, AtLeast(0), Within(65535)] = 7007
    token: str | None = None
    edit: bool = False
    upload_mb: Count = 20
    queue: Count = 16
    posts_per_minute: Count = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token is not None and len(self.token) < SHORTEST:
            raise UsageError(f"A token has at least {SHORTEST} characters; leave it out, and a good one is made.")
        if not self.is_local and self.token is None:
            object.__setattr__(self, "token", secrets.token_urlsafe(24))

    @property
    def is_local(self) -> bool:
        """Whether programs on this machine alone can reach it."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine itself.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "evil.example")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
