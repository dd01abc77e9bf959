"""A browser, the gateway's WebSocket forwarding behind a real server, and an upstream, on loopback sockets in one event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from bff.config.model import RouteConfig, TimeoutConfig
from bff.errors import BffError
from bff.proxy.forward import upstream_of
from bff.proxy.places import Owner
from bff.proxy.pools import UpstreamPools
from bff.proxy.rewrite import upstream_request
from bff.proxy.routes import Match, Route, RouteTable
from bff.proxy.upstream import WebSocketPlace
from bff.proxy.upstream_request import UpstreamRequest
from bff.proxy.websocket import CLOSE_TIMEOUT, forward_websocket
from bff.request_head import NO_FIELDS, Field, FieldBlock, field_block, head_of_scope
from support.watching import Watching

Handler = Callable[[ServerConnection], Awaitable[None]]
Answer = Callable[[ServerConnection, Request], Response | None]


async def echo(connection: ServerConnection) -> None:
    """An upstream that sends back what it gets."""
    async for message in connection:
        await connection.send(message)


@dataclass(slots=True, kw_only=True)
class World:
    """What a test sees: where to connect, how to end the session, what went wrong, what the upstream met."""

    url: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    errors: list[BffError] = field(default_factory=list)
    refusals: list[tuple[int, list[Field]]] = field(default_factory=list)  # status and fields, as they were judged
    other_token: str | None = None  # in the place of one that the upstream rejects
    met: "asyncio.Queue[ServerConnection]" = field(default_factory=asyncio.Queue)

    def browser(self, path: str = "/ws/chat", **options: Any) -> connect:
        """A browser's connection to the gateway."""
        return _Browser(self.url + path, proxy=None, **options)


class _Browser(connect):
    """Browsers follow no redirect of a handshake (WHATWG WebSockets: its fetch has redirect mode `error`)."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


@asynccontextmanager
async def no_task_left_behind() -> AsyncIterator[None]:
    """Whatever was begun inside has ended, or ends without further help, when this is left."""
    before = asyncio.all_tasks()
    yield
    begun = asyncio.all_tasks() - before
    if begun:
        _, pending = await asyncio.wait(begun, timeout=10)
        assert not pending


def upstream_handshake(match: Match, scope: Any, *, credentials: FieldBlock = NO_FIELDS) -> UpstreamRequest:
    """The rewritten request, as the gateway makes it."""
    return upstream_request(
        match=match,
        head=head_of_scope(scope, trusts=lambda _: False),
        credentials=credentials,
        public_scheme=b"https",
        public_host=b"app.example.com",
    )


def websocket_place(route: Route) -> AbstractContextManager[WebSocketPlace]:
    """A place at the route's upstream."""
    return upstream_of(route, UpstreamPools(Watching())).websocket_place(Owner(False, "192.0.2.1"))


@asynccontextmanager
async def upstream_server(handler: Handler, **options: Any) -> AsyncIterator[int]:
    """An upstream; yields its port."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def gateway(
    upstream: str | list[str], *, max_body: int = 1024 * 1024, close_seconds: float = CLOSE_TIMEOUT, **route: Any
) -> AsyncIterator[World]:
    """The forwarding to that upstream, served by uvicorn as the gateway is."""
    config = RouteConfig(path="/ws", upstream=upstream, websocket=True, max_body=max_body, **route)
    table, world = RouteTable([config]), World(url="")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        token = "tok-1"

        async def request_for(_: bytes) -> UpstreamRequest:
            credentials = field_block([(b"authorization", f"Bearer {token}".encode())])
            return upstream_handshake(match, scope, credentials=credentials)

        async def asks_again(status: int, fields: list[Field]) -> bool:
            nonlocal token
            world.refusals.append((status, fields))
            before, token = token, world.other_token if status == 401 and world.other_token else token
            return token != before

        try:
            match = table.match(scope["raw_path"], b"GET")
            with websocket_place(match.route) as place:
                await forward_websocket(
                    route=match.route,
                    request_for=request_for,
                    place=place,
                    scope=scope,
                    receive=receive,
                    send=send,
                    ended=world.ended,
                    close_seconds=close_seconds,
                    asks_again=asks_again,
                )
        except BffError as error:
            world.errors.append(error)
            await send({"type": "websocket.http.response.start", "status": 502, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})

    async with _serving(app) as port:
        world.url = f"ws://127.0.0.1:{port}"
        yield world


@asynccontextmanager
async def world(
    handler: Handler = echo,
    *,
    base: str = "",
    max_body: int = 1024 * 1024,
    timeouts: TimeoutConfig | None = None,
    close_seconds: float = CLOSE_TIMEOUT,
    **options: Any,
) -> AsyncIterator[World]:
    """Gateway and upstream; when it is left, no task of theirs is there any more."""
    met: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def meeting(connection: ServerConnection) -> None:
        met.put_nowait(connection)
        await handler(connection)

    async with no_task_left_behind(), upstream_server(meeting, **options) as port:
        url = f"http://127.0.0.1:{port}{base}"
        route = {"max_body": max_body, "timeouts": timeouts or TimeoutConfig()}
        async with gateway(url, close_seconds=close_seconds, **route) as made:
            made.met = met
            yield made


@asynccontextmanager
async def _serving(app: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app, ws="websockets-sansio", lifespan="off", log_config=None, port=0, ws_max_size=2**24, proxy_headers=False
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()  # and no main loop: its signal handlers and ticks are not ours
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


async def close_of(connection: ClientConnection | ServerConnection) -> tuple[int | None, str | None]:
    """The code and reason that this side has heard, once it is closed."""
    await connection.wait_closed()
    return connection.close_code, connection.close_reason
