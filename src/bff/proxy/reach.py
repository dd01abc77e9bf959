"""Whether an upstream can be reached, for `bff check --online`: a connection, TLS included, and its health page if it has one.

Nothing else is asked: what an API makes of a request that no user sent is not known.
"""

import asyncio

from bff.config.model import RouteConfig
from bff.config.values.urls import UpstreamUrl
from bff.errors import UpstreamError
from bff.proxy.dialing import Dialer, UpstreamTls
from bff.proxy.health import flaw_of
from bff.proxy.pools import server_of

SENTENCES = {
    "name": "its name is not found",
    "refused": "it refuses connections: nothing listens there",
    "certificate": "its certificate cannot be trusted, or is for another name (ca_file, server_name)",
    "tls": "it does not speak TLS, or does not take our certificate",
    "unreachable": "there is no way to it: the network, or the file of its socket",
    "connect": "it does not answer: no connection in time",
    "first_byte": "it takes connections, and its health page does not answer in time",
    "http": "its health page gives no answer of HTTP",
}


async def flaw(upstream: UpstreamUrl, route: RouteConfig) -> str | None:
    """Why this upstream of the route cannot be used now, as one sentence; None: it can.

    Raises:
        OSError: a file of certificates or keys cannot be used (ssl.SSLError is one).
    """
    server = server_of(upstream, route)
    tls = UpstreamTls(server.tls, unusable=lambda _: None) if upstream.tls else None
    dialer = Dialer(server.url, tls=tls)
    reason = await _reason(dialer, seconds=route.timeouts.connect)
    if reason is None and route.health is not None:
        reason = await flaw_of(dialer, route.health)
    return None if reason is None else SENTENCES.get(reason, f"its health page answers with {reason}")


async def _reason(dialer: Dialer, *, seconds: float) -> str | None:
    try:
        connection = await dialer.dial(_Leaving, seconds=seconds)
    except UpstreamError as error:
        return error.reason or "unreachable"
    connection.leave()
    return None


class _Leaving(asyncio.Protocol):
    """A connection that says nothing."""

    transport: asyncio.BaseTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It could be made."""
        self.transport = transport

    def leave(self) -> None:
        """Close it."""
        self.transport.close()
