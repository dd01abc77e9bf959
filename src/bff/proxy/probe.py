"""Whether an upstream can be connected to, in the words of `failures.py`: for `bff check --online`. Nothing is asked of it."""

import asyncio

from bff.config.model import RouteConfig
from bff.config.values.urls import UpstreamUrl
from bff.errors import UpstreamUnreachable
from bff.proxy.dialing import Dialer, TlsSettings, UpstreamTls


async def probe(upstream: UpstreamUrl, route: RouteConfig) -> None:
    """Connect as a call on this route would, TLS included, and close.

    Raises:
        UpstreamUnreachable: `name`, `refused`, `certificate`, `tls` or `unreachable`.
        UpstreamTimeout: `connect`.
    """
    shown = route.client_certificate
    settings = TlsSettings(route.ca_file, route.server_name, None if shown is None else (shown.certificate, shown.key))
    try:
        tls = UpstreamTls(settings, unusable=lambda _: None) if upstream.tls else None
    except OSError as error:  # ssl.SSLError is one
        raise UpstreamUnreachable(type(error).__name__, origin=upstream.origin, reason="tls") from error
    connection = await Dialer(upstream, tls=tls).dial(_Opened, seconds=route.timeouts.connect)
    connection.close()


class _Opened(asyncio.Protocol):
    """A connection that is not used."""

    def __init__(self) -> None:
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it, to close it."""
        self._transport = transport

    def close(self) -> None:
        """At once: nothing was sent."""
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()
