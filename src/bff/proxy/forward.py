"""Forwarding one request: rewrite it, send it through the pool of its upstream, rewrite the response's fields.

Redirects are answers like any other: nothing is followed (the token would go along). Nothing is buffered beyond what flow control
needs. Routes that lead to one origin under the same settings share a pool; a different setting means a pool of its own, since a
pool is keyed by everything that distinguishes it (invariant 8).
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable

from bff.config.values.addresses import Network
from bff.proxy.browser import Receive, Scope, Send
from bff.proxy.hops import browser_address
from bff.proxy.places import Owner
from bff.proxy.pool import UpstreamPool, UpstreamPools
from bff.proxy.response import UpstreamResponse
from bff.proxy.rewrite import UpstreamRequest, response_fields, upstream_request
from bff.proxy.routes import Match, Route
from bff.proxy.websocket import forward_websocket
from bff.request_head import NO_FIELDS, FieldBlock, RequestHead


class Forwarder:
    """Forwards to the upstreams of one configuration. `routes` are those of the table whose matches `send` is given."""

    def __init__(
        self, routes: Iterable[Route], *, pools: UpstreamPools, public_scheme: bytes, public_host: bytes
    ) -> None:
        """Reads every route's files of certificates and keys.

        Raises:
            OSError: one of them cannot be used (ssl.SSLError is one).
        """
        self._public_scheme = public_scheme
        self._public_host = public_host
        self._pools = {
            route.prefix: pools.pool(route.upstream, route.config) for route in routes if route.upstream is not None
        }

    def request(
        self, match: Match, head: RequestHead, *, credentials: FieldBlock, operators: FieldBlock = NO_FIELDS
    ) -> UpstreamRequest:
        """The request for the match's upstream (`rewrite.upstream_request`)."""
        return upstream_request(
            match=match,
            head=head,
            credentials=credentials,
            operators=operators,
            public_scheme=self._public_scheme,
            public_host=self._public_host,
        )

    def pool(self, route: Route) -> UpstreamPool:
        """The connections to the route's upstream."""
        return self._pools[route.prefix]

    async def send(
        self,
        match: Match,
        head: RequestHead,
        receive: Receive,
        *,
        credentials: FieldBlock,
        operators: FieldBlock = NO_FIELDS,
        owner: Owner,
        renew: Callable[[], FieldBlock] | None = None,
    ) -> UpstreamResponse:
        """The response to a request, its fields rewritten for the browser. Call its `relay` or `discard`.

        May be called again with the same arguments and other credentials, if the response was `replayable` and was discarded.
        `renew` gives credentials for one repeat on a new connection, where the first ones serve once; None: they serve again.

        Raises:
            MalformedRequest, HeadTooLarge, LoopDetected, MaxForwardsReached, ContentTooLarge, RequestTimeout, BrowserGone,
            UpstreamUnreachable, UpstreamBusy, UpstreamBroke, UpstreamTimeout: there is no response.
        """
        request = self.request(match, head, credentials=credentials, operators=operators)
        route = match.route
        anew = None if renew is None else lambda: self.request(match, head, credentials=renew(), operators=operators)
        response = await self.pool(route).send(request, receive, max_body=route.max_body, owner=owner, anew=anew)
        response.fields = response_fields(
            response.status, response.fields, private_default=bool(credentials.fields), rules=route.response_rules
        )
        return response

    async def receive_head(self, route: Route, response: UpstreamResponse, receive: Receive, *, private: bool) -> None:
        """Wait for a response that `send_at_once` of the route's pool has begun, and rewrite its fields; `private`: with a token.

        Raises:
            as `send`.
        """
        await self.pool(route).receive_head(response, receive)
        response.fields = response_fields(
            response.status, response.fields, private_default=private, rules=route.response_rules
        )

    async def websocket(
        self,
        match: Match,
        head: RequestHead,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        credentials: FieldBlock,
        operators: FieldBlock = NO_FIELDS,
        owner: Owner,
        ended: asyncio.Event,
        instead: Callable[[], Awaitable[FieldBlock | None]],
    ) -> None:
        """Forwards a WebSocket from its handshake to its close; `ended` is set when the session is over. `instead` gives
        other credentials in the place of those that the upstream rejects, if there are any.

        Raises:
            MalformedRequest, HeadTooLarge, LoopDetected: the handshake cannot be forwarded.
            UpstreamBusy, UpstreamUnreachable, UpstreamBroke, UpstreamTimeout: there is no answer to it. Nothing was sent to the
                browser.
        """

        async def again() -> UpstreamRequest | None:
            others = await instead()
            return None if others is None else self.request(match, head, credentials=others, operators=operators)

        pool = self.pool(match.route)
        with pool.websocket_place(owner):
            await forward_websocket(
                route=match.route,
                request=self.request(match, head, credentials=credentials, operators=operators),
                again=again,
                scope=scope,
                receive=receive,
                send=send,
                ended=ended,
                pool=pool,
            )


def owner_of(head: RequestHead, *, session_key: str | None) -> Owner:
    """Whose places a request takes: its session's, else its browser's address's."""
    return Owner(True, session_key) if session_key is not None else Owner(False, browser_address(head))


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
