"""Streams through the whole gateway: WebSockets and server-sent events, guarded like calls and ended with their session."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from support.fake_provider import having
from support.gateway_world import GatewayWorld, gateway_world
from support.valkey_server import ValkeyServer
from support.waiting import until

SESSION = "__Host-Http-bff"


class Talking:
    """An upstream that keeps talking: WebSockets that echo, and event streams that tick until they are dropped."""

    def __init__(self) -> None:
        self.bearers: list[str | None] = []
        self.open_events = 0

    async def echo(self, connection: ServerConnection) -> None:
        """Echo every message."""
        assert connection.request is not None
        self.bearers.append(connection.request.headers.get("authorization"))
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One event at once, then silence until the reader leaves."""
        if scope["type"] != "http":
            return
        self.open_events += 1
        fields = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.open_events -= 1


@contextlib.asynccontextmanager
async def streaming_world(**settings: Any) -> AsyncIterator[tuple[GatewayWorld, Talking]]:
    """A gateway whose upstream talks."""
    talking = Talking()
    sockets = bind_loopback()
    async with serve(talking.echo, "127.0.0.1", 0) as server, serving(talking, sockets):
        port = next(iter(server.sockets)).getsockname()[1]
        routes = [
            {"path": "/ws", "upstream": f"http://127.0.0.1:{port}", "provider": "corp", "websocket": True},
            {"path": "/plain", "upstream": f"http://127.0.0.1:{port}", "provider": "corp"},
            {
                "path": "/events",
                "upstream": f"http://127.0.0.1:{port_of(sockets)}",
                "provider": "corp",
                "csrf": "origin",
            },
        ]
        async with gateway_world(routes=routes, **settings) as world:
            yield world, talking


def handshake(world: GatewayWorld, cookie: str | None, *, path: str = "/ws/x", origin: str | None = "") -> Any:
    """A browser's handshake."""
    fields = {"cookie": f"{SESSION}={cookie}"} if cookie else {}
    url = world.url.replace("http://", "ws://") + path
    sent_origin = world.url if origin == "" else origin
    return connect(url, additional_headers=fields, origin=sent_origin, proxy=None, open_timeout=5)  # type: ignore[arg-type]


@pytest.mark.requirement("R-255", "R-256")
async def test_a_websocket_carries_the_bearer_and_messages_both_ways() -> None:
    """With our Origin and a session the upstream gets the user's token, and messages pass."""
    async with streaming_world() as (world, talking):
        browser = await world.signed_in()
        async with handshake(world, browser.cookie(SESSION)) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        assert talking.bearers[0] is not None
        assert talking.bearers[0].startswith("Bearer ")


@pytest.mark.requirement("R-255", "R-254")
@pytest.mark.parametrize(
    ("origin", "signed_in", "path", "status"),
    [
        ("https://evil.example", True, "/ws/x", 403),
        ("null", True, "/ws/x", 403),
        (None, True, "/ws/x", 403),
        ("", False, "/ws/x", 401),
        ("https://evil.example", False, "/ws/x", 403),
        ("", True, "/plain/x", 404),
        ("", True, "/nothing", 404),
    ],
)
async def test_a_websocket_is_refused_before_the_upgrade(
    origin: str | None, signed_in: bool, path: str, status: int
) -> None:
    """A foreign, null or missing Origin, no session, and a route that takes none are HTTP answers; the upstream hears nothing."""
    async with streaming_world() as (world, talking):
        browser = await world.signed_in() if signed_in else await world.browser()
        with pytest.raises(InvalidStatus) as refused:
            async with handshake(world, browser.cookie(SESSION), path=path, origin=origin):
                pass
        assert refused.value.response.status_code == status
        assert talking.bearers == []


@pytest.mark.requirement("R-256", "R-183")
async def test_signing_out_closes_the_websocket() -> None:
    """At sign-out the browser's side is closed with 1008."""
    async with streaming_world() as (world, _):
        browser = await world.signed_in()
        async with handshake(world, browser.cookie(SESSION)) as socket:
            await socket.send("x")
            await socket.recv()
            await browser.fetch("/bff/logout", method="POST")
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008


@pytest.mark.requirement("R-022", "R-256")
async def test_the_end_of_a_sign_in_ends_the_streams_with_its_token() -> None:
    """The session goes on at another provider: calls are 401, and the WebSocket and the event stream end as well."""
    async with streaming_world() as (world, talking):
        world.corp.misbehave(token_answer=having(refresh_expires_in=601))
        browser = await world.signed_in()
        await world.sign_in(browser, provider="partner")
        fields = _same_origin(world, browser)
        async with (
            handshake(world, browser.cookie(SESSION)) as socket,
            browser.http.stream("GET", world.url + "/events", headers=fields) as events,
        ):
            chunks = events.aiter_bytes()
            assert await asyncio.wait_for(anext(chunks), 5) == b"data: 1\n\n"
            world.clock.now += 601
            await world.app.process.streams.look_once()
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
            await until(lambda: talking.open_events == 0)
            assert (await browser.fetch("/bff/user")).json()["logins"]["partner"]["authenticated"] is True


async def test_the_end_of_a_session_ends_its_event_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """Server-sent events arrive unbuffered, and end when the session is signed out, or has expired."""
    async with streaming_world() as (world, talking):
        for end in ("sign-out", "expiry"):
            browser = await world.signed_in()
            async with browser.http.stream(
                "GET", world.url + "/events", headers=_same_origin(world, browser)
            ) as events:
                chunks = events.aiter_bytes()
                assert await asyncio.wait_for(anext(chunks), 5) == b"data: 1\n\n"
                assert talking.open_events == 1
                if end == "sign-out":
                    await browser.fetch("/bff/logout", method="POST")
                else:
                    world.clock.now += 13 * 3600
                    await world.app.process.streams.look_once()
                with contextlib.suppress(httpx2.RemoteProtocolError):  # a stream that is cut, not one that is over
                    async with asyncio.timeout(5):
                        async for _ in chunks:
                            pass
            await until(lambda: talking.open_events == 0)
    logged = "".join(capsys.readouterr())
    assert "streams.ended" in logged
    assert "upstream.broke_off" not in logged  # the API did nothing wrong


async def test_a_back_channel_logout_elsewhere_ends_streams_here(valkey: ValkeyServer) -> None:
    """What another worker ends is heard here through the store: the stream ends."""
    async with streaming_world(store=valkey.url) as (world, talking):
        browser = await world.signed_in()
        async with browser.http.stream("GET", world.url + "/events", headers=_same_origin(world, browser)) as events:
            chunks = events.aiter_bytes()
            await anext(chunks)
            issuer = world.corp.issuer
            from bff.sessions.opening import PATIENCE_OF_COMMANDS_SECONDS, open_store

            elsewhere = open_store(world.config.session, patience_seconds=PATIENCE_OF_COMMANDS_SECONDS)
            await until(lambda: world.app.process.copies._receives_changes)
            for key in await elsewhere.find(issuer=issuer, subject="alice"):
                await elsewhere.delete(key)
            await elsewhere.close()
            with contextlib.suppress(httpx2.RemoteProtocolError):
                async with asyncio.timeout(5):
                    async for _ in chunks:
                        pass
        await until(lambda: talking.open_events == 0)


async def test_a_reader_that_leaves_ends_the_upstreams_stream() -> None:
    """When the browser closes an event stream, the upstream's connection is closed, too."""
    async with streaming_world() as (world, talking):
        browser = await world.signed_in()
        async with browser.http.stream("GET", world.url + "/events", headers=_same_origin(world, browser)) as events:
            await anext(events.aiter_bytes())
        await until(lambda: talking.open_events == 0)


def _same_origin(world: GatewayWorld, browser: Any) -> dict[str, str]:
    return {
        "cookie": f"{SESSION}={browser.cookie(SESSION)}",
        "host": world.url.removeprefix("http://"),
        "sec-fetch-site": "same-origin",
    }
