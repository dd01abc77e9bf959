"""How far the connection for one call is: whether anything of the request can have been sent, and which answer a proxy gave.

    connect_tcp.started                     a new connection is made; a kept one has no such event
    send_request_headers.started, CONNECT   a proxy is asked for a tunnel: still no word to the provider
    send_request_headers.started, other     from here on what the request carries may be spent

The library that makes connections says so as they happen (httpcore's extension `trace`). It bounds the steps of a connection one
by one, but not the wait for a proxy's answer, which is bounded here. The other steps are left to its own limit: it leaves a socket
open whose TLS handshake is cancelled from outside.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Note = Callable[[str, Mapping[str, Any]], Awaitable[None]]


class Connecting:
    """The connection for one call. `limit_seconds`: how long a proxy may take to open a tunnel."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self.under_way = False  # a connection is being made for this call, and nothing of its request is sent yet
        self.refused_by_proxy: int | None = None  # the status with which a proxy refused the tunnel

    def note(self, deadline: asyncio.Timeout) -> Note:
        """Keeps count of what the library says; `deadline` is the call's, and comes earlier while a proxy is waited for."""
        ends_at = deadline.when()

        async def noted(event: str, facts: Mapping[str, Any]) -> None:
            name = event.partition(".")[2]
            if name == "connect_tcp.started":
                self.under_way = True
            elif name == "send_request_headers.started" and facts["request"].method == b"CONNECT":
                _move(deadline, _earlier(ends_at, asyncio.get_running_loop().time() + self._limit_seconds))
            elif name == "send_request_headers.started":
                self.under_way = False
            elif name == "receive_response_headers.complete" and self.under_way:
                _move(deadline, ends_at)
                self._answered_by_proxy(facts["return_value"][1])

        return noted

    def _answered_by_proxy(self, status: int) -> None:
        # RFC 9110 section 9.3.6: "Any 2xx (Successful) response indicates" a tunnel
        if not 200 <= status < 300:
            self.refused_by_proxy = status


def _move(deadline: asyncio.Timeout, when: float | None) -> None:
    """One that has passed cannot be moved any more, and ends the call."""
    if not deadline.expired():
        deadline.reschedule(when)


def _earlier(ends_at: float | None, other: float) -> float:
    return other if ends_at is None else min(ends_at, other)
