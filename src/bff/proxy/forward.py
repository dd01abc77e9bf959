"""Forwarding one request: rewrite it, send it through the pool of its upstream, rewrite the response's fields.

Redirects are answers like any other: nothing is followed (the token would go along). Nothing is buffered beyond what flow control
needs. Routes that lead to one origin under the same settings share a pool; a different setting means a pool of its own, since a
pool is keyed by everything that distinguishes it (invariant 8).
"""

import asyncio
import ipaddress
import ssl
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from bff.config.model import Config
from bff.config.values.addresses import Network
from bff.config.values.urls import UpstreamUrl
from bff.proxy.browser import Receive, Scope, Send
from bff.proxy.fields import Field
from bff.proxy.pool import UpstreamPool
from bff.proxy.response import UpstreamResponse
from bff.proxy.rewrite import response_fields, upstream_request
from bff.proxy.routes import Match, Route
from bff.proxy.websocket import forward_websocket

_FRAMED_BY_FIELDS = frozenset({"1.1", "1.0", None})
_RARELY_WITH_CONTENT = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})  # and never, here, without Content-Length


class PoolKey(NamedTuple):
    """What makes two routes' pools one."""

    scheme: str
    host: str
    port: int
    authority: bytes
    ca_file: Path | None
    timeouts: tuple[float, float, float, float | None]
    max_connections: int
    max_waiting: int


class Forwarder:
    """All pools. `routes` are those of the table whose matches `send` is given."""

    def __init__(self, routes: Iterable[Route], *, config: Config) -> None:
        """Reads every route's CA file.

        Raises:
            OSError: one of them cannot be used (ssl.SSLError is one).
        """
        self._public_scheme = config.public_url.scheme.encode("ascii")
        self._public_host = config.public_url.authority
        self._trusts = lru_cache(maxsize=4096)(lambda host: is_trusted(host, networks=config.trusted_proxies))
        self._tls: dict[Path | None, ssl.SSLContext] = {}  # by CA file
        self._by_key: dict[PoolKey, UpstreamPool] = {}
        self._pools = {
            route.prefix: self._pool(route, route.upstream) for route in routes if route.upstream is not None
        }

    @property
    def pools(self) -> Iterable[UpstreamPool]:
        """For metrics."""
        return self._by_key.values()

    async def send(self, match: Match, scope: Scope, receive: Receive, *, bearer: str | None) -> UpstreamResponse:
        """The response to `scope`'s request, its fields rewritten for the browser. Call its `relay` or `discard`.

        May be called again with the same arguments and another bearer, if the response was `replayable` and was discarded.

        Raises:
            MalformedRequest, HeadTooLarge, LoopDetected, MaxForwardsReached, ContentTooLarge, RequestTimeout, BrowserGone,
            UpstreamUnreachable, UpstreamBusy, UpstreamBroke, UpstreamTimeout: there is no response.
        """
        route = match.route
        peer_host = _peer_host(scope)
        request = upstream_request(
            match=match,
            method=scope["method"].encode("ascii"),
            query=scope["query_string"],
            fields=scope["headers"] if scope.get("http_version") in _FRAMED_BY_FIELDS else _with_framing(scope),
            bearer=bearer,
            peer_host=peer_host,
            trusted=self._trusts(peer_host),
            public_scheme=self._public_scheme,
            public_host=self._public_host,
        )
        response = await self._pools[route.prefix].send(request, receive, max_body=route.max_body)
        response.fields = response_fields(response.status, response.fields, private_default=bearer is not None)
        return response

    async def websocket(
        self, match: Match, scope: Scope, receive: Receive, send: Send, *, bearer: str | None, ended: asyncio.Event
    ) -> None:
        """Forwards a WebSocket from its handshake to its close; `ended` is set when the session is over.

        Raises:
            MalformedRequest, HeadTooLarge, LoopDetected: the handshake cannot be forwarded.
            UpstreamBusy, UpstreamUnreachable, UpstreamBroke, UpstreamTimeout: there is no answer to it. Nothing was sent to the
                browser.
        """
        peer_host = _peer_host(scope)
        pool = self._pools[match.route.prefix]
        with pool.place():
            await forward_websocket(
                match=match,
                scope=scope,
                receive=receive,
                send=send,
                bearer=bearer,
                ended=ended,
                ssl_context=pool.ssl_context,
                peer_host=peer_host,
                trusted=self._trusts(peer_host),
                public_scheme=self._public_scheme,
                public_host=self._public_host,
            )

    async def aclose(self) -> None:
        """Closes every connection; what is under way breaks."""
        for pool in self._by_key.values():
            await pool.aclose()

    def _pool(self, route: Route, upstream: UpstreamUrl) -> UpstreamPool:
        config = route.config
        timeouts = config.timeouts
        key = PoolKey(
            scheme=upstream.scheme,
            host=upstream.host,
            port=upstream.port,
            authority=upstream.authority,
            ca_file=route.config.ca_file,
            timeouts=(timeouts.connect, timeouts.first_byte, timeouts.idle, timeouts.total),
            max_connections=config.max_connections,
            max_waiting=config.max_waiting,
        )
        if key not in self._by_key:
            self._by_key[key] = UpstreamPool(
                upstream,
                timeouts=timeouts,
                max_connections=config.max_connections,
                max_waiting=config.max_waiting,
                ssl_context=self._ssl_context(route.config.ca_file) if upstream.tls else None,
            )
        return self._by_key[key]

    def _ssl_context(self, ca_file: Path | None) -> ssl.SSLContext:
        if ca_file not in self._tls:
            self._tls[ca_file] = upstream_tls(ca_file)
        return self._tls[ca_file]


def _with_framing(scope: Scope) -> list[Field]:
    """HTTP/2 ends content with its stream and may name no length (RFC 9113 section 8.1.1); here a field must say that it comes."""
    fields: list[Field] = list(scope["headers"])
    if scope["method"] in _RARELY_WITH_CONTENT or any(name == b"content-length" for name, _ in fields):
        return fields
    return [*fields, (b"transfer-encoding", b"chunked")]


def _peer_host(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def is_trusted(host: str | None, *, networks: Iterable[Network]) -> bool:
    """Whether the peer's word about earlier hops counts; never that of a peer without an address."""
    if host is None:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket, or a server that gives names
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)


def upstream_tls(ca_file: Path | None) -> ssl.SSLContext:
    """Certificate and host name are verified, against the system's roots or only those of `ca_file`; TLS 1.2 at least.

    Raises:
        OSError: the file cannot be used (ssl.SSLError is one).
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
