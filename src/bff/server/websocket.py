"""A WebSocket handshake: the same judgements as for a call, then the upstream's handshake, then the tunnel.

    1 parse_offer              the handshake itself                                  400, 426
    2 web.admit_websocket      route, Origin, session, token                         as a call
    3 websocket_place          a place of its own at the upstream                    503
    4 shake_hands              rewritten as any request, and the browser's offer     502, 504; its refusal is the answer
    5 Tunnel                   no task from here on

Only this task waits; what it refuses is an ordinary answer, after which the connection is closed. Under another ASGI server
`web/app.py` takes the long way, by `proxy/websocket.py`.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from bff.clock import steady
from bff.errors import BrowserError, NotImplementedHere, UpstreamBroke
from bff.proxy.closes import SERVER_STOPS
from bff.proxy.field_rules import ResponseRules
from bff.proxy.upstream import WebSocketPlace
from bff.proxy.upstream_request import UpstreamRequest
from bff.proxy.websocket_handshake import Offer, accepted_fields, parse_offer, refused_fields, with_offer
from bff.proxy.websocket_upstream import UpstreamHandshake, shake_hands
from bff.request_head import Field, RequestHead
from bff.request_id import NAME as REQUEST_ID
from bff.server.answer import STATUS_LINE, closing_answer
from bff.server.judged_head import Message
from bff.server.output import Output
from bff.server.tunnel import Stoppable, Tunnel
from bff.telemetry import requests as telemetry
from bff.telemetry import traces
from bff.telemetry.accounts import begin
from bff.web.access_log import account_of
from bff.web.answers import OwnAnswer, with_request_id
from bff.web.api import Call, open_stream
from bff.web.app import App
from bff.web.gateway import Gateway
from bff.web.websocket import HandshakeCredentials, admit_websocket


class HandedOver(NamedTuple):
    """A browser's connection that another protocol takes over."""

    transport: asyncio.Transport
    rest: bytes  # came behind the handshake
    write_paused: bool  # the browser has not read what was written before
    connections: set[Stoppable]  # what the server stops


class HandshakeSide(Protocol):
    """What a handshake needs of its connection."""

    output: Output

    def answered(self) -> None:
        """The answer is complete."""
        ...

    def hand_over(self) -> HandedOver:
        """Leave the connection to the caller."""
        ...


class SessionEnd:
    """Ends the tunnel of a session that is over, also one that is yet to be made."""

    __slots__ = ("has_come", "tunnel")

    def __init__(self) -> None:
        self.has_come = False
        self.tunnel: Tunnel | None = None

    def __call__(self) -> None:
        """The session is over."""
        self.has_come = True
        if self.tunnel is not None:
            self.tunnel.session_ended()


class Handshake:
    """One handshake of `connection`; `app` is None where no WebSockets are served."""

    __slots__ = (
        "_app",
        "_connection",
        "_gone",
        "_problem",
        "_rest_seconds",
        "_status",
        "_stopping",
        "_task",
        "began",
        "keep_alive",
        "message",
        "started",
    )

    def __init__(
        self,
        connection: HandshakeSide,
        message: Message,
        *,
        app: App | None,
        problem: Callable[[BrowserError, RequestHead], OwnAnswer],
        rest_seconds: float,
    ) -> None:
        self._connection = connection
        self._app = app
        self._problem = problem
        self._rest_seconds = rest_seconds
        self._task: asyncio.Task[None] | None = None
        self._gone = False
        self._stopping = False
        self._status = 0  # of the answer
        self.began = steady()
        self.message = message
        self.started = False
        self.keep_alive = False  # a refusal is the last answer of its connection

    # --- for the connection ---

    def content(self, data: bytes, *, last: bool) -> None:
        """A handshake has no content."""

    def has_room(self) -> None:
        """Nothing is written before the answer."""

    def browser_left(self) -> None:
        """The connection is gone: no answer is wanted any more."""
        self._gone = True
        if self._task is not None:
            self._task.cancel()

    def refused(self) -> None:
        """The connection has answered."""
        self.browser_left()

    def close_after_answer(self) -> None:
        """The server stops."""
        self._stopping = True

    async def run(self) -> None:
        """Answer the handshake."""
        if self._gone:
            return
        self._task = asyncio.current_task()
        app = self._app
        if app is None:
            self._answer(self._problem(NotImplementedHere("No WebSockets are served here."), self.message.head))
            return
        account = account_of(app.gateway, self.message.head)
        begin(account)
        try:
            with (
                ExitStack() as held,
                traces.server_span(self.message.head, client=account.client, scheme=account.scheme) as span,
            ):
                try:
                    await self._shake_hands(app.gateway, held)
                finally:
                    traces.server_answered(span, route=account.route, status=self._status)
        except Exception as error:  # noqa: BLE001 - the edge of a task: the browser gets a problem for every error
            self._answer(app.problem(error, self.message.head, account=account))
        finally:
            telemetry.request_over(account, status=self._status)

    # --- the recipe ---

    async def _shake_hands(self, gateway: Gateway, held: ExitStack) -> None:
        """`held` is what lasts as long as the WebSocket; it is given back here if there will be none."""
        offer = parse_offer(self.message.head)
        call = await admit_websocket(gateway, self.message.head)
        session_end = SessionEnd()
        held.enter_context(open_stream(gateway, call, end=session_end))
        place = held.enter_context(
            gateway.forwarder.upstreams[call.admitted.match.route.prefix].websocket_place(call.owner)
        )
        credentials = HandshakeCredentials(gateway, call)
        upstream = await _ask(gateway, call, credentials, offer, place)
        try:
            while await credentials.asks_again(upstream.reader.status, upstream.reader.fields):
                upstream.abort()
                upstream = await _ask(gateway, call, credentials, offer, place)
            if upstream.reader.status == 101:
                self._open(call, offer, place.origin, upstream, session_end, held)
                return
        except BaseException:  # also CancelledError: the connection must go
            upstream.abort()
            raise
        upstream.abort()
        self._refuse(upstream, call.admitted.match.route.response_rules)

    def _open(
        self,
        call: Call,
        offer: Offer,
        origin: str,
        upstream: UpstreamHandshake,
        session_end: SessionEnd,
        held: ExitStack,
    ) -> None:
        route = call.admitted.match.route
        fields = accepted_fields(offer, upstream.reader.fields, origin=origin, rules=route.response_rules)
        if not upstream.is_usable:
            raise UpstreamBroke("WebSocket handshake: the connection was lost", origin=origin, reason="lost")
        self._status = 101
        self._connection.output.write_at_once(_switching([*fields, (REQUEST_ID, call.head.request_id)]))
        browser = self._connection.hand_over()
        tunnel = Tunnel(
            browser.transport,
            upstream.transport,
            max_message=route.max_body,
            patience_seconds=self._rest_seconds,
            on_end=_giving_back(held.pop_all(), browser.connections),
        )
        browser.connections.add(tunnel.browser)
        session_end.tunnel = tunnel
        tunnel.begin(
            from_browser=browser.rest, from_upstream=upstream.reader.tail, browser_is_slow=browser.write_paused
        )
        if session_end.has_come:
            tunnel.session_ended()
        if self._stopping:
            tunnel.end(SERVER_STOPS)

    def _refuse(self, upstream: UpstreamHandshake, rules: ResponseRules) -> None:
        """The upstream's own refusal."""
        reader = upstream.reader
        content = reader.take()
        fields = refused_fields(reader.status, reader.fields, length=len(content), rules=rules)
        own = OwnAnswer(status=reader.status, fields=fields, body=content)
        self._answer(with_request_id(own, self.message.head.request_id))

    def _answer(self, own: OwnAnswer) -> None:
        self.started = True
        self._status = own.status
        self._connection.output.write(
            closing_answer(own.status, own.fields, own.body, head_only=self.message.head.method == b"HEAD")
        )
        self._connection.answered()


async def _ask(
    gateway: Gateway, call: Call, credentials: HandshakeCredentials, offer: Offer, place: WebSocketPlace
) -> UpstreamHandshake:
    """The answer to a handshake."""
    match = call.admitted.match

    async def request_for(authority: bytes) -> UpstreamRequest:
        fields = await credentials.fresh(authority)
        request = gateway.forwarder.request(match=match, head=call.head, credentials=fields, operators=call.operators)
        return with_offer(replace(request, authority=authority), offer)

    return await shake_hands(place, request_for, seconds=match.route.config.timeouts.first_byte)


def _switching(fields: list[Field]) -> bytes:
    return b"%b%b\r\n\r\n" % (STATUS_LINE[101], b"\r\n".join(map(b": ".join, fields)))


def _giving_back(held: ExitStack, connections: set[Stoppable]) -> Callable[[Tunnel], None]:
    """What is to be done when a tunnel has ended."""

    def give_back(tunnel: Tunnel) -> None:
        connections.discard(tunnel.browser)
        held.close()

    return give_back
