"""What uvicorn leaves unbounded: the size of a request's head and the time it may take (R-261), over real connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from bff.cli.protocol import BoundedHttpToolsProtocol

from bff.config.model import LimitsConfig
from bff.demo.loopback_sockets import bind_loopback, port_of

MAX_PIPELINED = 32
LIMITS = LimitsConfig(max_head=4096, max_target=1024, head_timeout=30.0)
IMPATIENT = LimitsConfig(max_head=4096, max_target=1024, head_timeout=0.2)


@dataclass(slots=True)
class App:
    """An application that notes what reaches it and answers with the length of the content."""

    limits: LimitsConfig
    content: bytes | None = None  # of every answer; None: the length of the request's
    requests: list[dict[str, Any]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)  # answers to `/gated` wait for it
    ended: int = 0
    connections: set[Any] = field(default_factory=set)  # the server's own

    @property
    def parts(self) -> Any:
        """As the gateway's own."""
        config = SimpleNamespace(limits=self.limits, base_path="/bff")
        return SimpleNamespace(config=config, site=SimpleNamespace(https=True))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Read all, answer."""
        if scope["type"] != "http":
            return
        self.requests.append(scope)
        length, more = 0, True
        while more:
            message = await receive()
            length += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["raw_path"] == b"/gated":
            await self.gate.wait()
        body = str(length).encode() if self.content is None else self.content
        fields = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for at in range(0, len(body), 65536):
            await send(
                {"type": "http.response.body", "body": body[at : at + 65536], "more_body": at + 65536 < len(body)}
            )
        self.ended += 1


class Server(uvicorn.Server):
    """uvicorn in the tests' own loop."""

    def install_signal_handlers(self) -> None:
        """None: the process belongs to the tests."""


@asynccontextmanager
async def serving(
    limits: LimitsConfig = LIMITS, *, rest_seconds: float = 5, content: bytes | None = None
) -> AsyncIterator[tuple[App, int]]:
    """The protocol in front of the application; yields it and the port."""
    app, sockets = App(limits, content=content), bind_loopback()
    config = uvicorn.Config(
        app,
        http=BoundedHttpToolsProtocol,
        interface="asgi3",
        proxy_headers=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=rest_seconds,  # type: ignore[arg-type]  # whole seconds are its type, any number will do
    )
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    app.connections = server.server_state.connections
    await server.startup(sockets)
    try:
        yield app, port_of(sockets)
    finally:
        await server.shutdown(sockets)


async def said(port: int, *pieces: bytes, pause: bool = False) -> bytes:
    """What the server says to these pieces until it hangs up; `pause` lets each arrive on its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if pause:
                await asyncio.sleep(0.001)  # so that the kernel does not join them; nothing is decided by it
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


def request(target: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> bytes:
    """A request whose connection ends with it."""
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"host: x", b"connection: close", *lines, b"", b""])


def status(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ")[1])


async def test_ordinary_request_passes() -> None:
    """A request within the limits reaches the application."""
    async with serving() as (app, port):
        assert status(await said(port, request())) == 200
        assert len(app.requests) == 1


@pytest.mark.parametrize("whole", [True, False], ids=["at once", "byte by byte"])
async def test_request_in_pieces_passes(whole: bool) -> None:
    """A head may come in any number of pieces."""
    async with serving() as (app, port):
        head = request(b"/orders", b"x-csrf: 1")
        pieces = [head] if whole else [head[i : i + 1] for i in range(len(head))]
        assert status(await said(port, *pieces, pause=not whole)) == 200
        assert app.requests[0]["raw_path"] == b"/orders"


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize(("length", "expected"), [(1024, 200), (1025, 414), (3000, 414)])
async def test_target_is_bounded(length: int, expected: int) -> None:
    """A request target longer than `max_target` is 414."""
    async with serving() as (app, port):
        assert status(await said(port, request(b"/" + b"a" * (length - 1)))) == expected
        assert len(app.requests) == (expected == 200)


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize(
    "lines",
    [[b"x: " + b"a" * 5000], [b"x%d: %s" % (i, b"a" * 90) for i in range(60)], [b"cookie: " + b"a=b; " * 2000]],
    ids=["one long field", "many fields", "cookies"],
)
async def test_head_is_bounded(lines: list[bytes]) -> None:
    """A head of more than `max_head` bytes is 431, however it is made up, and reaches nobody."""
    async with serving() as (app, port):
        assert status(await said(port, request(b"/", *lines))) == 431
        assert app.requests == []


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("beginning", [b"GET / HTTP/1.1\r\n", b"GET /"], ids=["fields", "target"])
async def test_head_that_never_ends_is_cut_off(beginning: bytes) -> None:
    """A client that goes on sending a head is stopped at `max_head`: no memory grows with it."""
    async with serving() as (app, port):
        endless = [beginning] + [b"x: y\r\n" * 20 if beginning.endswith(b"\n") else b"a" * 120] * 200
        answer = await said(port, *endless, pause=True)
        assert answer == b"reset" or status(answer) in {431, 414}
        assert app.requests == []


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("piece", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"], ids=["line", "fields"])
async def test_slow_head_is_timed_out(piece: bytes) -> None:
    """A head that does not end in `head_timeout` is 408."""
    async with serving(IMPATIENT) as (app, port):
        assert status(await said(port, piece)) == 408
        assert app.requests == []


@pytest.mark.requirement("R-261")
async def test_connection_that_asks_nothing_is_closed() -> None:
    """A connection on which nothing comes is closed after `head_timeout`, at most with a 408."""
    async with serving(IMPATIENT) as (app, port):
        answer = await said(port)
        assert answer == b"" or status(answer) == 408
        assert app.requests == []


@pytest.mark.requirement("R-261")
async def test_dripping_head_is_timed_out() -> None:
    """Bytes that drip in do not extend the time."""
    async with serving(IMPATIENT) as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"x: y\r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(10):
            answer = await reader.readline()
        dripping.cancel()
        writer.close()
        assert status(answer) == 408
        assert app.requests == []


@pytest.mark.requirement("R-261")
async def test_slow_content_is_not_a_slow_head() -> None:
    """Once the head is complete its deadline is over: the content may take longer."""
    async with serving(IMPATIENT) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"/", b"content-length: 6", method=b"POST"))
        for _ in range(6):
            await asyncio.sleep(IMPATIENT.head_timeout / 4)
            writer.write(b"x")
        async with asyncio.timeout(10):
            assert status(await reader.read()) == 200
        writer.close()


@pytest.mark.requirement("R-261")
async def test_second_request_of_a_connection_is_bounded_too() -> None:
    """After a good request the next head on the connection has the same limits, and a large content does not count as head."""
    async with serving() as (app, port):
        body = b"z" * 100_000
        first = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"100000") != b""
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 6000)
            answer = await reader.read()
        writer.close()
        assert status(answer) == 431
        assert len(app.requests) == 1


async def test_pipelined_requests_after_content_are_served() -> None:
    """A request whose head arrives in pieces behind a large content is not taken for a large head."""
    async with serving() as (app, port):
        body = b"z" * 50_000
        first = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        second = request()
        assert b"200" in await said(port, first + second[:10], second[10:], pause=True)
        assert [scope["method"] for scope in app.requests] == ["POST", "GET"]


@pytest.mark.requirement("R-235", "R-238")
@pytest.mark.parametrize(
    "raw",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5, 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ],
    ids=["no http", "space before colon", "nul", "obs-fold", "two lengths", "plus", "length and chunked", "not last"],
)
async def test_what_is_no_http_is_400_and_the_connection_ends(raw: bytes) -> None:
    """Requests with more than one reading are refused once, and nothing after them on the connection is read."""
    async with serving() as (app, port):
        answer = await said(port, raw + request(b"/smuggled"))
        assert status(answer) == 400
        assert answer.count(b"HTTP/1.1") == 1
        assert not any(scope["raw_path"] == b"/smuggled" for scope in app.requests)


@pytest.mark.requirement("R-261")
async def test_refusal_is_one_answer() -> None:
    """A refused head gets exactly one answer, whatever is in the pipeline behind it."""
    async with serving() as (app, port):
        answer = await said(port, request(b"/" + b"a" * 2000) + request() + request())
        assert answer.count(b"HTTP/1.1") == 1
        assert b"connection: close" in answer
        assert app.requests == []


async def test_a_connection_that_rests_is_closed_and_one_that_works_is_not() -> None:
    """An idle connection ends after the keep-alive time since its last answer; each answer begins another rest."""
    async with serving(rest_seconds=0.4) as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 1.0:  # longer than one rest, never idle for as long as that
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert len(app.requests) > 2
        writer.close()


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("paused", [False, True], ids=["at once", "in pieces"])
async def test_no_more_requests_wait_than_a_few(paused: bool) -> None:
    """Of a thousand pipelined requests some are answered in order; the last of them says that the connection ends."""
    async with serving() as (app, port):
        some = b"GET /gated HTTP/1.1\r\nhost: x\r\n\r\n" * 100
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(10):
            writer.write(some)
            await asyncio.sleep(0.001 if paused else 0)
        async with asyncio.timeout(10):
            while not app.requests:
                await asyncio.sleep(0.001)
            (connection,) = app.connections
            assert len(connection.pipeline) == MAX_PIPELINED
            app.gate.set()
            answers = (await reader.read()).split(b"HTTP/1.1 200 OK")
        writer.close()
        assert len(answers) - 1 == len(app.requests) == MAX_PIPELINED + 1
        assert [b"connection: close" in answer for answer in answers] == [False] * (MAX_PIPELINED + 1) + [True]


@pytest.mark.requirement("R-247", "R-261")
async def test_trailers_are_not_kept() -> None:
    """However many come after a large content, they are let go as they come."""
    async with serving() as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"z" * 100_000
        writer.write(
            b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"%x\r\n%b\r\n0\r\n" % (len(body), body)
        )
        most = 0
        for _ in range(100):
            writer.write(b"a:b\r\n" * 2000)
            await writer.drain()
            await asyncio.sleep(0)
            most = max([most, *(len(connection.headers or ()) for connection in app.connections)])
        writer.write(b"\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"100000")).startswith(b"HTTP/1.1 200")
        writer.close()
        assert most < 100_000  # of the 200,000 that came


@pytest.mark.requirement("R-261", "R-279")
async def test_a_browser_that_does_not_read_is_cut_off() -> None:
    """It keeps neither its connection nor what waits for it for longer than an idle one."""
    async with serving(rest_seconds=0.3, content=b"z" * 50_000_000) as (app, port):
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
        transport.pause_reading()
        transport.write(request())
        async with asyncio.timeout(10):
            while not app.requests or app.connections:
                await asyncio.sleep(0.01)
        transport.abort()


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize("before", [1, 2, 3])
async def test_content_that_is_refused_costs_no_answer_before_it(before: int) -> None:
    """Requests in front of a malformed one are answered in order, then it is refused, and it never reached anybody."""
    async with serving() as (app, port):
        malformed = b"POST /bad HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
        answer = await said(port, b"GET /good HTTP/1.1\r\nhost: x\r\n\r\n" * before + malformed)
        statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200] * before + [400]
        assert [scope["raw_path"] for scope in app.requests] == [b"/good"] * before
