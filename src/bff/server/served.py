"""What a server knows of the application that it serves, and what `uvicorn.Server` shares with its connections."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bff.config.model import LimitsConfig
from bff.errors import BrowserError
from bff.request_head import RequestHead
from bff.server.descriptors import Descriptors
from bff.server.exchange import AsgiApp
from bff.server.lane import Lane
from bff.server.listener_tls import ListenerTls
from bff.server.tunnel import Stoppable
from bff.tokens.background import BackgroundTasks
from bff.web.answers import OwnAnswer
from bff.web.app import App


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a server needs to know of the application that it serves."""

    app: AsgiApp
    limits: Callable[[], LimitsConfig]
    rest_seconds: float  # that a connection may be idle between messages
    trusts: Callable[[str], bool]  # whether this peer is a trusted proxy
    problem: "ProblemOf"
    lane: Lane | None  # None: every message takes an exchange
    inner_ports: frozenset[int]  # of the listeners that no browser is to reach: no lane, no WebSockets
    descriptors: Descriptors | None  # None: connections are not refused
    tasks: BackgroundTasks  # of the process; while it is `stopping` every answer is the last on its connection (`leaving.py`)
    websockets: App | None = None  # the gateway that forwards them; None: handshakes are refused
    tls: ListenerTls | None = None  # None: plain HTTP on every listener

    def refuses(self, transport: asyncio.BaseTransport, *, connections: int, now: float) -> bool:
        """Whether this connection of a browser must go, because file descriptors run out; `now` is the loop's clock."""
        connected = transport.get_extra_info("socket")
        if self.descriptors is None or connected is None:
            return False
        return self.descriptors.refuse(connected.fileno(), connections=connections, now=now)


class ProblemOf(Protocol):
    """Makes a refusal as it goes over the wire: a page if `head` says that a person waits for one."""

    def __call__(
        self, error: BrowserError, head: RequestHead | None = None, /, *, began: float | None = None
    ) -> OwnAnswer:
        """The answer to an error; `began`: when the request did, on the steady clock."""
        ...


class ServerState(Protocol):
    """The part of `uvicorn.server.ServerState` that `uvicorn.Server` looks at when it stops."""

    total_requests: int
    connections: set[Stoppable]
    tasks: "set[asyncio.Task[None]]"
