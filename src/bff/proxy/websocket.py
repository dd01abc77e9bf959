"""Forwarding a WebSocket: one handshake on each side, then messages both ways until one of the three who may end it does.

the upstream first    its handshake is made before the browser's is answered, so that its refusal is the browser's answer
the fields            rewritten as any request's (rewrite.py); the upgrade's own fields are ours, no extension is offered
the subprotocol       what the browser offered is offered, and only one of those can be chosen (RFC 6455 section 4.1)
messages              both ways until one side closes (websocket_messages.py); neither connection outlives the other
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from bff.config.values.hosts import bare_host, parse_authority
from bff.errors import MalformedRequest, UpstreamBroke, UpstreamTimeout
from bff.proxy.browser import Receive, Scope, Send
from bff.proxy.field_rules import ResponseRules
from bff.proxy.fields import is_token
from bff.proxy.response_rewrite import response_fields
from bff.proxy.routes import Route
from bff.proxy.upstream import WebSocketPlace
from bff.proxy.upstream_request import UpstreamRequest
from bff.proxy.websocket_messages import Limits, converse
from bff.request_head import Field

CLOSE_TIMEOUT = 5.0  # seconds that either side has to take a close; then its connection is dropped
MAX_PONGS = 64 * 1024  # bytes that an upstream may leave unread, beside one message
MAX_QUEUE = 4  # frames read ahead of a slow browser; beyond, TCP holds the upstream back

# Not asked for by name: at level DEBUG this library writes every field it sends, `Authorization` too (invariant 10).
_SILENT = logging.Logger("websockets.silenced", level=logging.CRITICAL + 1)

_FRAMED_BY_US = frozenset({b"host", b"content-length"})  # written by the library; a handshake has no content
_OF_THE_UPGRADE = b"sec-websocket-"


RequestFor = Callable[
    [bytes], Awaitable[UpstreamRequest]
]  # the handshake for an upstream, by its authority, as it is now
AsksAgain = Callable[[int, list[Field]], Awaitable[bool]]  # of a refusal's status and fields: whether to ask once more


async def forward_websocket(
    *,
    route: Route,
    request_for: RequestFor,
    place: WebSocketPlace,
    scope: Scope,
    receive: Receive,
    send: Send,
    ended: asyncio.Event,
    asks_again: AsksAgain,
    close_seconds: float = CLOSE_TIMEOUT,
) -> None:
    """One WebSocket from handshake to close; origin, session and token were judged by the caller.

    `ended` is set when the session ends. `request_for` is asked first, and again for each connection that was made; `asks_again`
    after each refusal. Returns when both sides are closed, or have had `close_seconds` to take a close.

    Raises:
        MalformedRequest: the handshake cannot be forwarded.
        UpstreamUnreachable, UpstreamBroke, UpstreamTimeout: there is no answer to it. Nothing was sent to the browser.
    """
    request = await request_for(place.member.authority)
    if request.has_content:
        raise MalformedRequest("A WebSocket handshake has no content.")
    offered = _offered(scope)

    def make() -> _Connection:
        authority = place.member.authority
        return _connection(route, request.target, authority, offered=offered, close_seconds=close_seconds)

    if (await receive())["type"] != "websocket.connect":
        return
    connection = await _asked(make, request_for, asks_again, place, seconds=route.config.timeouts.first_byte)
    if isinstance(connection, Response):
        await _refuse(scope, send, connection, route.response_rules)
        return
    try:
        limits = Limits(message_bytes=route.max_body, close_seconds=close_seconds)
        fields = _accepted(connection, route.response_rules)
        await converse(connection, receive, send, fields=fields, ended=ended, limits=limits)
    finally:
        _drop(connection)


def _offered(scope: Scope) -> list[Subprotocol] | None:
    """The browser's subprotocols in its order of preference.

    Raises:
        MalformedRequest: one of them is no token (RFC 6455 section 4.1).
    """
    named = scope.get("subprotocols", ())
    offered = [Subprotocol(name) for name in named if name]  # RFC 9110 section 5.6.1.2: empty elements are ignored
    if (named and not offered) or not all(is_token(name) for name in offered):
        raise MalformedRequest("A subprotocol is not a token.")
    return offered or None


# --- the upstream's handshake -------------------------------------------------------------------------------------------


class _Connection(ClientConnection):
    """The library answers each ping, whether or not the upstream reads the answers, and keeps them for it: here, up to a limit."""

    is_touched = False  # the upstream has sent something

    def data_received(self, data: bytes) -> None:
        self.is_touched = True
        super().data_received(data)
        if self.paused and self.transport.get_write_buffer_size() > (self.protocol.max_message_size or 0) + MAX_PONGS:
            self.transport.abort()


def _connection(
    route: Route, target: bytes, authority: bytes, *, offered: list[Subprotocol] | None, close_seconds: float
) -> _Connection:
    """A connection yet to be made. Built from the library's parts: its `connect` follows redirects and heeds proxy variables."""
    host, port = parse_authority(authority.decode("ascii"))  # of which the library makes `Host`
    tls = route.upstreams[0].tls
    protocol = ClientProtocol(
        WebSocketURI(tls, bare_host(host), port or (443 if tls else 80), target.decode("ascii"), "", None, None),
        subprotocols=offered,
        max_size=route.max_body,
        logger=_SILENT,
    )
    return _Connection(protocol, close_timeout=close_seconds, max_queue=MAX_QUEUE)


async def _asked(
    make: Callable[[], _Connection],
    request_for: RequestFor,
    asks_again: AsksAgain,
    place: WebSocketPlace,
    *,
    seconds: float,
) -> _Connection | Response:
    """The connection to a member that takes the handshake, or the refusal.

    Raises:
        UpstreamUnreachable, UpstreamTimeout, UpstreamBroke, UpstreamBusy: there is no answer.
    """
    while True:
        try:
            return await _connected(make, request_for, place, seconds=seconds)
        except InvalidStatus as refusal:
            response = refusal.response
            if not await asks_again(response.status_code, _fields(response)):
                return response


async def _connected(
    make: Callable[[], _Connection], request_for: RequestFor, place: WebSocketPlace, *, seconds: float
) -> _Connection:
    """The connection to a member that takes the handshake.

    Raises:
        InvalidStatus: its refusal.
        UpstreamUnreachable, UpstreamTimeout, UpstreamBroke, UpstreamBusy: there is no answer.
    """
    while True:
        connection = await place.dial(make)
        try:
            request = await request_for(place.member.authority)
            await _shake_hands(connection, request, place, seconds=seconds)
        except UpstreamBroke as error:
            _drop(connection)
            if not (error.reason == "lost" and place.broke_off(untouched=not connection.is_touched)):
                raise
        except BaseException:  # also CancelledError: the connection must go
            _drop(connection)
            raise
        else:
            return connection


async def _shake_hands(
    connection: _Connection, request: UpstreamRequest, place: WebSocketPlace, *, seconds: float
) -> None:
    origin = place.origin
    try:
        async with asyncio.timeout(seconds):
            await connection.handshake(_written(request.fields), user_agent_header=None)
    except InvalidStatus:
        raise
    except TimeoutError as error:
        raise UpstreamTimeout("no answer to a WebSocket handshake", origin=origin, reason="first_byte") from error
    except (OSError, WebSocketException) as error:
        was_lost = isinstance(error, OSError) or not connection.is_touched
        what, reason = f"WebSocket handshake: {type(error).__name__}", "lost" if was_lost else "http"
        raise UpstreamBroke(what, origin=origin, reason=reason) from error
    place.answered()
    connection.start_keepalive()


def _written(fields: Iterable[Field]) -> list[tuple[str, str]]:
    """As the library takes them: it writes ISO 8859-1, so the bytes stay what they were."""
    return [(name.decode("ascii"), value.decode("latin-1")) for name, value in fields if name not in _FRAMED_BY_US]


def _drop(connection: ClientConnection) -> None:
    """Closed properly or not, nothing is left of it."""
    if hasattr(connection, "transport"):  # set when the connection was made
        connection.transport.abort()


# --- the browser's handshake --------------------------------------------------------------------------------------------


def _answered(response: Response, rules: ResponseRules, *, private_default: bool = False) -> list[Field]:
    """The upstream's fields for the browser, without those of its upgrade."""
    fields = response_fields(response.status_code, _fields(response), private_default=private_default, rules=rules)
    return [(name, value) for name, value in fields if not name.startswith(_OF_THE_UPGRADE)]


def _fields(response: Response) -> list[Field]:
    """As the upstream sent them; names are lower case."""
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.headers.raw_items()]


def _accepted(connection: ClientConnection, rules: ResponseRules) -> list[Field]:
    return [] if connection.response is None else _answered(connection.response, rules)


async def _refuse(scope: Scope, send: Send, response: Response, rules: ResponseRules) -> None:
    """The upstream's own refusal, where the server can send one (ASGI's Denial Response extension); else a plain 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    body = bytes(response.body)
    answered = _answered(response, rules, private_default=True)  # a token was attached, or might have been
    fields = [field for field in answered if field[0] != b"content-length"]
    fields.append((b"content-length", b"%d" % len(body)))
    await send({"type": "websocket.http.response.start", "status": response.status_code, "headers": fields})
    await send({"type": "websocket.http.response.body", "body": body})
