"""WebSockets with a server of the test's own in front: flow control, cancellation, and servers with fewer abilities."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.utils import accept_key

from bff.config.model import RouteConfig
from bff.errors import MalformedRequest
from bff.proxy.routes import RouteTable
from bff.proxy.upstream_request import UpstreamRequest
from bff.proxy.websocket import CLOSE_TIMEOUT, forward_websocket
from support.scripted_upstream import Conversation, scripted_upstream
from support.waiting import standstill
from support.websocket_world import (
    close_of,
    echo,
    no_task_left_behind,
    upstream_handshake,
    upstream_server,
    websocket_place,
)

MANY, LARGE = 2000, b"x" * 65536  # 125 MiB: far more than the buffers of two sockets hold
MAX_BODY = 1024 * 1024
CONNECT = {"type": "websocket.connect"}
LEAVE = {"type": "websocket.disconnect", "code": 1001}

Receive = Callable[[], Awaitable[dict[str, Any]]]


class Taken(list[dict[str, Any]]):
    """What the gateway sent to the browser; each `send` waits until the browser takes."""

    def __init__(self, *, taking: bool = True) -> None:
        super().__init__()
        self.takes = asyncio.Event()
        self.answered = asyncio.Event()
        if taking:
            self.takes.set()

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's `send`."""
        if message["type"] == "websocket.accept":
            self.answered.set()
        else:
            await self.takes.wait()
        self.append(message)

    def kinds(self) -> list[str]:
        """The messages' types, short."""
        return [message["type"].removeprefix("websocket.") for message in self]


def from_browser(*messages: dict[str, Any]) -> Receive:
    """ASGI's `receive`: these messages, then silence."""
    left = [CONNECT, *messages]

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


async def forward(
    port: int,
    receive: Receive,
    taken: Taken,
    *,
    ended: asyncio.Event | None = None,
    close_seconds: float = CLOSE_TIMEOUT,
    **scope: Any,
) -> None:
    """The forwarding, called as a server calls it."""
    table = RouteTable([RouteConfig(path="/", upstream=f"http://127.0.0.1:{port}", websocket=True)], max_body=MAX_BODY)
    match = table.match(b"/x", b"GET")
    scope = {"type": "websocket", "raw_path": b"/x", "query_string": b"", "headers": [], "extensions": {}, **scope}

    async def request_for(_: bytes) -> UpstreamRequest:
        return upstream_handshake(match, scope)

    async def asks_again(*_: Any) -> bool:
        return False

    with websocket_place(match.route) as place:
        await forward_websocket(
            route=match.route,
            request_for=request_for,
            place=place,
            scope=scope,
            receive=receive,
            send=taken.send,
            asks_again=asks_again,
            ended=ended or asyncio.Event(),
            close_seconds=close_seconds,
        )


@pytest.mark.requirement("R-262", "R-256")
async def test_a_slow_browser_holds_the_upstream_back() -> None:
    """While the browser takes nothing, the upstream cannot send more than the buffers hold; then everything arrives."""
    sent = 0

    async def pour(connection: ServerConnection) -> None:
        nonlocal sent
        for _ in range(MANY):
            await connection.send(LARGE)
            sent += 1
        await connection.close()

    taken = Taken(taking=False)
    async with no_task_left_behind(), upstream_server(pour) as port:
        forwarding = asyncio.create_task(forward(port, from_browser(), taken))
        await taken.answered.wait()
        assert await standstill(lambda: sent) < MANY
        taken.takes.set()
        await forwarding
    assert taken.kinds() == ["accept", *["send"] * MANY, "close"]


@pytest.mark.requirement("R-262", "R-256")
async def test_a_slow_upstream_holds_the_browser_back() -> None:
    """While the upstream reads nothing, no more is taken from the browser than the buffers hold; then everything arrives."""
    reads, heard, read = asyncio.Event(), 0, 0

    async def sip(connection: ServerConnection) -> None:
        nonlocal heard
        await reads.wait()
        async for message in connection:
            heard += len(message)

    messages = from_browser(*[{"type": "websocket.receive", "bytes": LARGE}] * MANY, LEAVE)

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return await messages()

    taken = Taken()
    async with no_task_left_behind(), upstream_server(sip) as port:
        forwarding = asyncio.create_task(forward(port, receive, taken))
        await taken.answered.wait()
        assert await standstill(lambda: read) < MANY
        reads.set()
        await forwarding
    assert heard == MANY * len(LARGE)


@pytest.mark.requirement("R-256")
async def test_a_cancelled_conversation_leaves_nothing_open() -> None:
    """When the server gives up on us, the upstream's connection goes, and the cancellation is not swallowed."""
    met: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def listen(connection: ServerConnection) -> None:
        met.put_nowait(connection)
        await connection.wait_closed()

    taken = Taken()
    async with no_task_left_behind(), upstream_server(listen) as port:
        forwarding = asyncio.create_task(forward(port, from_browser(), taken))
        upstream = await met.get()
        await taken.answered.wait()
        forwarding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forwarding
        assert (await close_of(upstream))[0] == 1006


async def test_a_cancelled_handshake_leaves_nothing_open() -> None:
    """Also before the upstream has answered."""
    begun, gone = asyncio.Event(), asyncio.Event()

    async def hush(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        try:
            await reader.read()
        except ConnectionResetError:
            pass
        finally:
            writer.close()
            gone.set()

    server = await asyncio.start_server(hush, "127.0.0.1", 0)
    async with no_task_left_behind(), server:
        forwarding = asyncio.create_task(forward(server.sockets[0].getsockname()[1], from_browser(), Taken()))
        await begun.wait()
        forwarding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forwarding
        await gone.wait()


@pytest.mark.requirement("R-256")
async def test_the_session_ends_while_the_browser_is_slow() -> None:
    """A browser that takes nothing cannot keep a conversation open; the upstream is closed all the same."""
    ended = asyncio.Event()

    async def pour(connection: ServerConnection) -> None:
        try:
            while True:
                await connection.send(LARGE)
        except ConnectionClosed:
            pass

    taken = Taken(taking=False)
    async with no_task_left_behind(), upstream_server(pour) as port:
        forwarding = asyncio.create_task(forward(port, from_browser(), taken, ended=ended, close_seconds=0.05))
        await taken.answered.wait()
        ended.set()
        await forwarding
    assert taken.kinds() == ["accept"]


async def test_a_server_without_denial_responses_gets_a_close() -> None:
    """Before the accept that means 403 (ASGI); nothing of the upstream's answer is lost but its words."""

    def refuse(_: ServerConnection, __: Request) -> Response:
        return Response(401, "No", Headers({"Content-Length": "0"}), b"")

    taken = Taken()
    async with no_task_left_behind(), upstream_server(echo, process_request=refuse) as port:
        await forward(port, from_browser(), taken)
    assert taken == [{"type": "websocket.close", "code": 1008}]


async def test_a_refusals_length_is_ours() -> None:
    """The body was read whole, so its length is known, however it came; cookies for our names stay out."""

    def refuse(_: ServerConnection, __: Request) -> Response:
        fields = Headers({"Transfer-Encoding": "chunked", "Set-Cookie": "__Host-Http-bff=x", "X-Why": "because"})
        return Response(403, "No", fields, b"4\r\nnope\r\n0\r\n\r\n")

    taken = Taken()
    async with no_task_left_behind(), upstream_server(echo, process_request=refuse) as port:
        await forward(port, from_browser(), taken, extensions={"websocket.http.response": {}})
    start, body = taken
    fields = dict(start["headers"])
    assert (start["status"], body["body"]) == (403, b"nope")
    assert (fields[b"content-length"], fields[b"x-why"]) == (b"4", b"because")
    assert not {b"set-cookie", b"transfer-encoding"} & set(fields)


@pytest.mark.parametrize(
    "scope",
    [
        {"subprotocols": ["a b"]},
        {"subprotocols": [""]},
        {"subprotocols": ["a\r\nAuthorization: x"]},
        {"headers": [(b"Content-Length", b"5")]},
        {"headers": [(b"transfer-encoding", b"chunked")]},
        {"headers": [(b"x", b"a\r\nb")]},
        {"query_string": b"a b"},
    ],
)
@pytest.mark.requirement("R-243", "R-256")
async def test_a_handshake_that_cannot_be_forwarded_is_refused(scope: dict[str, Any]) -> None:
    """Subprotocols that are no tokens, content, and line ends: nothing is sent anywhere."""
    taken = Taken()
    with pytest.raises(MalformedRequest):
        await forward(1, from_browser(), taken, **scope)
    assert taken == []


async def test_a_browser_that_left_before_the_handshake_gets_none() -> None:
    """Nobody is connected to on behalf of a browser that is gone."""

    async def gone() -> dict[str, Any]:
        return LEAVE

    taken = Taken()
    await forward(1, gone, taken)
    assert taken == []


@pytest.mark.parametrize("leaves_at", ["accept", "send", "close"])
async def test_a_send_that_fails_is_a_browser_that_left(leaves_at: str) -> None:
    """ASGI's `send` raises OSError when the browser is gone: the upstream is closed, nothing is raised."""
    met: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def greet(connection: ServerConnection) -> None:
        met.put_nowait(connection)
        await connection.send("hello")
        await connection.close()

    class Leaving(Taken):
        async def send(self, message: dict[str, Any]) -> None:
            if message["type"] == f"websocket.{leaves_at}":
                raise ConnectionResetError
            await super().send(message)

    async with no_task_left_behind(), upstream_server(greet) as port:
        await forward(port, from_browser(), Leaving())
        await (await met.get()).wait_closed()


@pytest.mark.parametrize(
    ("code", "heard"), [(1006, 1001), (1015, 1001), (None, 1000), (999, 1001), (5000, 1001), (1014, 1014)]
)
async def test_codes_that_may_not_be_sent_are_replaced(code: int | None, heard: int) -> None:
    """Whatever number a server reports, the upstream hears one that may stand in a close frame."""
    met: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def listen(connection: ServerConnection) -> None:
        met.put_nowait(connection)
        await connection.wait_closed()

    async with no_task_left_behind(), upstream_server(listen) as port:
        await forward(port, from_browser({"type": "websocket.disconnect", "code": code}), Taken())
        assert (await close_of(await met.get()))[0] == heard


async def accepted(it: Conversation) -> None:
    """The upstream's part of a handshake."""
    (key,) = (await it.head()).values(b"sec-websocket-key")
    await it.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept_key(key.decode()).encode()
        + b"\r\n\r\n"
    )


@pytest.mark.requirement("R-256", "R-262")
@pytest.mark.parametrize(("what", "code"), [("pings", 1014), ("fragments", 1009)])
async def test_an_upstream_cannot_make_us_keep_what_it_likes(what: str, code: int) -> None:
    """Pongs that it does not read, fragments that never end: beyond a limit its connection is cut, and the browser told."""
    lost = asyncio.Event()

    async def flooding(it: Conversation) -> None:
        await accepted(it)
        transport: Any = it.writer.transport
        transport.pause_reading()
        piece = b"\x89\x7d" + b"p" * 125 if what == "pings" else b"\x00\x00"
        try:
            await it.send(b"\x01\x00")
            while True:
                await it.send(piece * 1000)
        finally:
            lost.set()

    taken = Taken()
    async with no_task_left_behind(), scripted_upstream(flooding) as upstream:
        async with asyncio.timeout(30):
            await forward(upstream.port, from_browser(), taken, close_seconds=0.05)
            await lost.wait()
    assert taken.kinds() == ["accept", "close"]
    assert taken[-1]["code"] == code


@pytest.mark.requirement("R-256")
async def test_many_fragments_are_no_flood() -> None:
    """Messages in as many pieces as anybody makes pass, one after the other."""

    async def talking(it: Conversation) -> None:
        await accepted(it)
        for _ in range(3):
            await it.send(b"\x01\x01<" + b"\x00\x01-" * 4_000 + b"\x80\x01>")
        await it.send(b"\x88\x02\x03\xe8")
        await it.reader.readexactly(8)  # the answer; then it is the server's part to end the connection

    taken = Taken()
    async with no_task_left_behind(), scripted_upstream(talking) as upstream:
        async with asyncio.timeout(30):
            await forward(upstream.port, from_browser(), taken)
    assert [message["text"] for message in taken[1:-1]] == ["<" + "-" * 4_000 + ">"] * 3
    assert taken[-1]["code"] == 1000
