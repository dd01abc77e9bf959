"""Forwarding one request: rewrite it, send it through the pool of its upstream, rewrite the response's fields.

Redirects are answers like any other: nothing is followed (the token would go along). Nothing is buffered beyond what flow control
needs. Routes that lead to one origin under the same settings share a pool; a different setting means a pool of its own, since a
pool is keyed by everything that distinguishes it (invariant 8).
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from msgspec.structs import replace

from bff.config.values.addresses import Network
from bff.proxy.browser import Receive, Scope, Send
from bff.proxy.hops import browser_address
from bff.proxy.places import Owner
from bff.proxy.pools import UpstreamPools
from bff.proxy.response import UpstreamResponse
from bff.proxy.response_rewrite import response_fields
from bff.proxy.rewrite import plain_fields, upstream_request
from bff.proxy.routes import Match, Route
from bff.proxy.upstream import Member, Renew, Upstream
from bff.proxy.upstream_request import UpstreamRequest
from bff.proxy.websocket import AsksAgain, forward_websocket
from bff.request_head import NO_FIELDS, FieldBlock, RequestHead


class Forwarder:
    """Forwards to the upstreams of one configuration. `routes` are those of the table whose matches `send` is given.

    `upstreams` has each route's, by its prefix. `request` makes the request for a match's upstream (`rewrite.upstream_request`),
    `plain_fields` its fields where they follow from the section (`rewrite.plain_fields`).
    """

    def __init__(
        self, routes: Iterable[Route], *, pools: UpstreamPools, public_scheme: bytes, public_host: bytes
    ) -> None:
        """Reads every route's files of certificates and keys.

        Raises:
            OSError: one of them cannot be used (ssl.SSLError is one).
        """
        self.upstreams = {route.prefix: upstream_of(route, pools) for route in routes if route.upstreams}
        # A request for the match's upstream. No method of ours: a call more costs the lane some 400 instructions.
        self.request = partial(upstream_request, public_scheme=public_scheme, public_host=public_host)
        self.plain_fields = partial(plain_fields, public_scheme=public_scheme, public_host=public_host)

    async def send(
        self,
        match: Match,
        head: RequestHead,
        receive: Receive,
        *,
        credentials: FieldBlock,
        operators: FieldBlock = NO_FIELDS,
        owner: Owner,
        renew: Callable[[bytes], FieldBlock] | None = None,
        is_outdated: Callable[[], bool] | None = None,
    ) -> UpstreamResponse:
        """The response to a request, its fields rewritten for the browser. Call its `relay` or `discard`.

        May be called again with the same arguments and other credentials, if the response was `replayable` and was discarded.
        `renew` gives credentials for another upstream of a list (by its authority), or for one repeat on a new connection, where the
        first ones serve once; None: they serve again. `is_outdated`: whether the credentials must not be sent any more.

        Raises:
            MalformedRequest, HeadTooLarge, LoopDetected, MaxForwardsReached, ContentTooLarge, RequestTimeout, BrowserGone,
            UpstreamUnreachable, UpstreamBusy, UpstreamBroke, UpstreamTimeout: there is no response.
            Outdated: nothing was sent, as `is_outdated` said so. `send` may be called again with what it gives and other credentials.
        """
        request = self.request(match=match, head=head, credentials=credentials, operators=operators)
        route = match.route
        again: Renew | None = None
        if renew is not None:

            def again(authority: bytes) -> UpstreamRequest:
                return self._to(authority, match, head, credentials=renew(authority), operators=operators)

        response = await self.upstreams[route.prefix].send(
            request, receive, max_body=route.max_body, owner=owner, renew=again, is_outdated=is_outdated
        )
        response.fields = response_fields(
            response.status, response.fields, private_default=bool(credentials.fields), rules=route.response_rules
        )
        return response

    async def receive_head(
        self,
        route: Route,
        response: UpstreamResponse,
        receive: Receive,
        *,
        private: bool,
        is_outdated: Callable[[], bool] | None = None,
    ) -> None:
        """Wait for a response that `send_at_once` of the route's upstream has begun, and rewrite its fields; `private`: with a token.

        Raises:
            as `send`.
        """
        await self.upstreams[route.prefix].receive_head(response, receive, is_outdated=is_outdated)
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
        credentials: Callable[[bytes], Awaitable[FieldBlock]],
        operators: FieldBlock = NO_FIELDS,
        owner: Owner,
        ended: asyncio.Event,
        asks_again: AsksAgain,
    ) -> None:
        """Forwards a WebSocket from its handshake to its close; `ended` is set when the session is over.

        `credentials` gives the fields with the token for an upstream, by its authority, when the handshake is to be written;
        `asks_again` says of a refusal whether they are others now, with which the handshake is to be made once more.

        Raises:
            MalformedRequest, HeadTooLarge, LoopDetected: the handshake cannot be forwarded.
            UpstreamBusy, UpstreamUnreachable, UpstreamBroke, UpstreamTimeout: there is no answer to it. Nothing was sent to the
                browser.
        """

        async def request_for(authority: bytes) -> UpstreamRequest:
            return self._to(authority, match, head, credentials=await credentials(authority), operators=operators)

        with self.upstreams[match.route.prefix].websocket_place(owner) as place:
            await forward_websocket(
                route=match.route,
                request_for=request_for,
                place=place,
                asks_again=asks_again,
                scope=scope,
                receive=receive,
                send=send,
                ended=ended,
            )

    def _to(
        self, authority: bytes, match: Match, head: RequestHead, *, credentials: FieldBlock, operators: FieldBlock
    ) -> UpstreamRequest:
        """The request for the upstream of this authority, one of a list.

        Raises:
            MalformedRequest, HeadTooLarge, LoopDetected, MaxForwardsReached: it cannot be forwarded.
        """
        made = self.request(match=match, head=head, credentials=credentials, operators=operators)
        return replace(made, authority=authority)


def upstream_of(route: Route, pools: UpstreamPools) -> Upstream:
    """The upstream of a route, over these pools.

    Raises:
        OSError: a file of certificates or keys cannot be used (ssl.SSLError is one).
    """
    return Upstream(
        [
            Member(
                pools.pool(upstream, route.config), route.authority if route.config.pass_host else upstream.authority
            )
            for upstream in route.upstreams
        ],
        least_busy=route.config.balance == "least_busy",
    )


def owner_of(head: RequestHead, *, session_key: str | None) -> Owner:
    """Whose places a request takes: its session's, else its browser's address's."""
    return Owner(True, session_key) if session_key is not None else Owner(False, browser_address(head))


def is_trusted(host: str, *, networks: Iterable[Network]) -> bool:
    """Whether the peer's word about earlier hops counts; never that of a peer without an address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket, or a server that gives names
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
