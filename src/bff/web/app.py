"""The gateway as an ASGI application: it looks once at each request's path, and turns every error into an answer.

    management listener   -> health
    forward-auth listener -> forward_auth.forward_auth
    below `base_path`     -> endpoints.endpoint
    WebSocket handshakes  -> websocket.admit_websocket, then the forwarder
    everything else       -> api.api

What the recipes raise on purpose becomes an answer by the table in `problems.py`, the rest a 500.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from bff.clock import Clock, wall
from bff.config.model import Address, Config
from bff.errors import BffError, BrowserGone, LoginRequired, MaxForwardsReached, PlainHttp
from bff.provider.http import Transport
from bff.proxy.browser import Receive, Scope, Send
from bff.proxy.response import UpstreamResponse
from bff.request_head import RequestHead, head_of_scope
from bff.telemetry import requests as telemetry
from bff.telemetry.accounts import Account, current
from bff.web import api, cross_origin
from bff.web.access_log import account_of, accounted
from bff.web.answers import OwnAnswer, answer, naming, send_answer
from bff.web.endpoints import endpoint
from bff.web.file_answer import FileBrokeOff
from bff.web.forward_auth import forward_auth, in_question
from bff.web.gateway import Gateway, Process, build_gateway, build_process, running, settle
from bff.web.health import management
from bff.web.navigation import to_https
from bff.web.pages import look_of
from bff.web.problems import Shown, problem_of
from bff.web.websocket import HandshakeCredentials, admit_websocket

Answering = Callable[[Send], Awaitable[None]]


def create_app(
    config: Config,
    *,
    clock: Clock = wall,
    provider_transport: Transport | None = None,
) -> "App":
    """The gateway as one ASGI application. `provider_transport` takes the place of the network towards providers, in tests."""
    process = build_process(config, clock=clock, provider_transport=provider_transport)
    return App(build_gateway(config, process), process)


class App:
    """The ASGI application. Each request is judged and served by the `gateway` that it began with."""

    def __init__(self, gateway: Gateway, process: Process) -> None:
        self.gateway = gateway
        self.process = process
        config = gateway.config
        self.management_ports = _ports(config.management)
        self.forward_auth_ports = _ports(None if config.forward_auth is None else config.forward_auth.listen)

    @property
    def inner_ports(self) -> frozenset[int]:
        """The ports of the listeners that no browser is to reach."""
        return self.management_ports | self.forward_auth_ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's worth of ASGI."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        await self.serve(self.gateway, scope, receive, send)

    def replace(self, gateway: Gateway) -> None:
        """Have requests that begin from now on served by `gateway`; those under way go on with the one that they began with."""
        self.gateway = gateway
        settle(self.process, gateway.config)

    async def serve(self, gateway: Gateway, scope: Scope, receive: Receive, send: Send, *, span: Any = None) -> None:
        """Serve one request or WebSocket; `span`: the one that the lane has begun for it."""
        head = scope.get("extensions", {}).get("bff.request_head") or head_of_scope(scope, trusts=gateway.trusts)
        if scope["type"] != "http":
            if _port(scope) in self.inner_ports:
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._websocket(gateway, head, scope, receive, send)
            return
        port = _port(scope)
        if port in self.management_ports:
            await management(self.process.store, head, send, leaving=self.process.tasks.stopping)
            return
        if port in self.forward_auth_ports:
            serve = accounted(partial(self._asked, gateway), account_of(gateway, in_question(head)))
        else:
            account = account_of(gateway, head)
            account.span = span
            serve = accounted(partial(self._http, gateway), account)
        await serve(head, scope, receive, send)

    async def go_on(
        self,
        gateway: Gateway,
        call: api.Call,
        response: UpstreamResponse,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        account: Account,
    ) -> None:
        """Answer what the lane has begun."""

        async def finish(_: RequestHead, __: Scope, receive: Receive, send: Send) -> None:
            await self._answer(gateway, lambda send: api.go_on(gateway, call, response, receive, send), call.head, send)

        await accounted(finish, account)(call.head, scope, receive, send)

    def problem(
        self,
        error: Exception,
        head: RequestHead | None = None,
        *,
        began: float | None = None,
        account: Account | None = None,
    ) -> OwnAnswer:
        """The answer to an error that the server has found, before the gateway judged the request or in its content.

        It is the whole of the request (`began`: when it did, on the steady clock), unless there is an account of it already.
        """
        if account is not None or head is None:
            return _problem(self.gateway, error, head, account)
        account = account_of(self.gateway, head, began=began)
        own = _problem(self.gateway, error, head, account)
        telemetry.request_over(account, status=own.status)
        return own

    async def _asked(self, gateway: Gateway, question: RequestHead, _: Scope, __: Receive, send: Send) -> None:
        """A proxy asks."""

        def problem(error: Exception, head: RequestHead) -> OwnAnswer:
            return _problem(gateway, error, head, current())

        own = await forward_auth(gateway, question, problem=problem)
        await send_answer(own, naming(send, question.request_id))

    async def _http(self, gateway: Gateway, head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
        origin = cross_origin.allowed_origin(gateway, head) if gateway.site.allowed_origins else None
        if origin is not None:
            send = cross_origin.readable_by(send, origin)

        async def serve(send: Send) -> None:
            asked = None if origin is None else cross_origin.preflight(gateway, head, origin)
            if asked is not None:
                await send_answer(asked, send)
            elif head.path.startswith(gateway.endpoints_below):
                await send_answer(await endpoint(gateway, head, receive), send)
            else:
                await api.api(gateway, head, scope, receive, send)

        await self._answer(gateway, serve, head, send)

    async def _answer(self, gateway: Gateway, serve: Answering, head: RequestHead, send: Send) -> None:
        send = naming(send, head.request_id)
        try:
            await serve(send)
        except BrowserGone:
            return  # there is no browser to answer to
        except api.BrokenTransfer as error:
            cause, account = error.__cause__, current()
            route = None if account is None else account.route
            if isinstance(cause, FileBrokeOff):
                telemetry.file_broke_off(cause.reason, head, route=route)
            elif not isinstance(cause, LoginRequired):  # `streams.ended` has been logged
                telemetry.upstream_broke_off(cause, head, route=route)
            raise  # so that the server closes the connection in the middle of the body
        except PlainHttp as error:
            own = to_https(gateway, error)
            await send_answer(own or _problem(gateway, error, head, current()), send)
        # RFC 9110 section 7.6.2: an OPTIONS that is to go no further is ours to answer
        except MaxForwardsReached as reached:
            allow = (b"allow", reached.allow.encode("ascii"))
            await send_answer(
                answer(200, b"", "text/plain; charset=utf-8", https=gateway.site.https, more=(allow,)), send
            )
        except Exception as error:  # noqa: BLE001 - the ASGI edge: the browser gets a problem for every error
            await send_answer(_problem(gateway, error, head, current()), send)

    async def _websocket(self, gateway: Gateway, head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
        """The long way, for other ASGI servers; ours passes frames (`server/websocket.py`)."""
        send = naming(send, head.request_id)
        try:
            call = await admit_websocket(gateway, head)
            ended = asyncio.Event()
            streams, credentials = self.process.streams, HandshakeCredentials(gateway, call)
            key, provider = call.live.session.key if call.live else None, call.users_provider
            with streams.opened(key, provider=provider, end=ended.set) if key is not None else nullcontext():
                await gateway.forwarder.websocket(
                    call.admitted.match,
                    head,
                    scope,
                    receive,
                    send,
                    credentials=credentials.fresh,
                    operators=call.operators,
                    owner=call.owner,
                    ended=ended,
                    asks_again=credentials.asks_again,
                )
        except BffError as error:
            problem = _problem(gateway, error, head, account_of(gateway, head))
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
            await send({"type": "websocket.http.response.start", "status": problem.status, "headers": problem.fields})
            await send({"type": "websocket.http.response.body", "body": problem.body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with running(lambda: self.gateway, self.process):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def _ports(address: Address | None) -> frozenset[int]:
    return frozenset() if address is None else frozenset({address.port})


def _port(scope: Scope) -> int:
    """The port that the connection came in on; in granian's scopes it is a text."""
    server = scope.get("server")
    return 0 if server is None else int(server[1] or 0)


def _problem(gateway: Gateway, error: Exception, head: RequestHead | None, account: Account | None) -> OwnAnswer:
    """A page if `head` says that a person waits for one."""
    config = gateway.config
    shown = Shown(look=look_of(config), sign_in_error=config.pages.sign_in_error)
    return problem_of(error, head, base_path=config.base_path, https=gateway.site.https, shown=shown, account=account)
