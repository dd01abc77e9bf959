"""One connection of a browser: what is bounded, in which order requests are answered, and how it ends (real sockets)."""

import asyncio
import contextlib
import json
import resource
import socket
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from bff.config.model import LimitsConfig
from bff.demo.configuration import Addresses
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.demo.world import demo_world
from bff.server.connection import LINGER_BYTES
from bff.telemetry import metrics
from support.browser_server import State, browser_server, said, status, statuses
from support.config_texts import SESSION_KEY
from support.http_client import http_get
from support.raw_world import raw_world
from support.scripted_upstream import Conversation
from support.served_gateway import ServedGateway
from support.waiting import PATIENCE_SECONDS

ANYWHERE = Addresses(gateway_port=0, provider_port=0, api_port=0)
LIMITS = LimitsConfig(max_head=4096, max_target=1024, head_timeout=30.0)
IMPATIENT = LimitsConfig(max_head=4096, max_target=1024, head_timeout=0.2)
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass(slots=True)
class App:
    """An application that notes what reaches it and answers with the length of the content."""

    state: State = field(default_factory=State)  # the server's own
    content: bytes | None = None  # of every answer; None: the length of the request's
    requests: list[dict[str, Any]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)  # answers to `/gated` wait for it

    @property
    def paths(self) -> list[bytes]:
        """The paths of what reached it."""
        return [scope["raw_path"] for scope in self.requests]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Read all, answer."""
        if scope["type"] != "http":
            return
        self.requests.append(scope)
        if scope["raw_path"] == b"/unread":
            await self._answer(b"unread", send, status=413)
            return
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            length += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["raw_path"] == b"/gated":
            await self.gate.wait()
        await self._answer(str(length).encode() if self.content is None else self.content, send)

    async def _answer(self, body: bytes, send: Any, *, status: int = 200) -> None:
        fields = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        for at in range(0, max(len(body), 1), 65536):
            last = at + 65536 >= len(body)
            await send({"type": "http.response.body", "body": body[at : at + 65536], "more_body": not last})


@asynccontextmanager
async def serving(
    limits: LimitsConfig = LIMITS, *, content: bytes | None = None, **settings: Any
) -> AsyncIterator[tuple[App, int]]:
    """The server in front of the application; yields it and the port."""
    app = App(content=content)
    async with browser_server(app, limits=limits, **settings) as server:
        app.state = server.state
        yield app, server.port


def request(target: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> bytes:
    """A request whose connection ends with it."""
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"host: x", b"connection: close", *lines, b"", b""])


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
    """A head of more than `max_head` bytes is 431, however it is made up, and does not reach the application."""
    async with serving() as (app, port):
        assert status(await said(port, request(b"/", *lines))) == 431
        assert app.requests == []


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("beginning", [b"GET / HTTP/1.1\r\n", b"GET /"], ids=["fields", "target"])
async def test_head_that_never_ends_is_cut_off(beginning: bytes) -> None:
    """A browser that goes on sending a head is refused at `max_head`, and no memory grows with it."""
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
async def test_connection_without_a_request_is_closed() -> None:
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
    loop = asyncio.get_running_loop()
    async with serving(rest_seconds=600) as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(5):  # longer than one rest, never idle for as long as that
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
            loop.jump(400)
        loop.jump(201)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await reader.read() == b""
        assert len(app.requests) == 5
        writer.close()


@pytest.mark.parametrize("lines", [(), (b"content-length: 0",), (b"content-length: 1", b"", b"x")])
async def test_a_request_that_says_close_is_the_last(lines: tuple[bytes, ...]) -> None:
    """The connection is closed after its answer, long before the rest of an idle one is over; what follows is not served."""
    async with serving(rest_seconds=60) as (app, port):
        last = b"\r\n".join(
            [b"POST /last HTTP/1.1", b"host: x", b"Connection: close", *lines, *(() if lines[1:] else (b"", b""))]
        )
        answer = await said(port, last + request(b"/behind"))
        assert statuses(answer) == [200]
        assert b"connection: close" in answer
        assert app.paths == [b"/last"]


@pytest.mark.requirement("R-261")
async def test_requests_that_wait_are_not_read() -> None:
    """While an answer is under way the next requests stay with the kernel, which stops the browser; then all are answered."""
    count = 2000
    waiting = b"GET /next HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 3500 + b"\r\n\r\n"
    async with serving(receive_buffer=65536) as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        writer.write(b"GET /gated HTTP/1.1\r\nhost: x\r\n\r\n")
        writer.write(waiting * count)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await writer.drain()
        assert app.paths == [b"/gated"]
        app.gate.set()
        async with asyncio.timeout(30):
            for _ in range(count + 1):
                assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert app.paths == [b"/gated"] + [b"/next"] * count


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("pieces", [1, 10])
async def test_pipelined_requests_are_answered_in_order(pieces: int) -> None:
    """A thousand small ones in one segment or in ten: one at a time reaches the application, and none is lost."""
    async with serving(content=b"") as (app, port):
        lines = [b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(1000)]
        size = len(lines) // pieces
        segments = [b"".join(lines[at : at + size]) for at in range(0, len(lines), size)]
        answers = await said(port, *segments, request(b"/last"))
        assert statuses(answers) == [200] * 1001
        assert app.paths == [b"/%d" % number for number in range(1000)] + [b"/last"]


@pytest.mark.requirement("R-261")
async def test_a_thousand_refused_requests_in_one_segment_nest_no_calls() -> None:
    """Answers that need no waiting are taken in turns of the event loop."""
    async with serving() as (_, port):
        some = b"GET /unread HTTP/1.1\r\nhost: x\r\n\r\n" * 1500
        assert statuses(await said(port, some + request())) == [413] * 1500 + [200]


async def test_a_handshake_behind_a_request_waits_for_its_answer() -> None:
    """It is neither refused nor answered before the request in front of it has its whole answer."""
    async with serving() as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /gated HTTP/1.1\r\nhost: x\r\n\r\n" + HANDSHAKE)
        async with asyncio.timeout(10):
            while not app.requests:
                await asyncio.sleep(0.001)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
            app.gate.set()
            assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert app.paths == [b"/gated"]


@pytest.mark.requirement("R-371")
@pytest.mark.parametrize("count", [100, 101])
async def test_fields_are_counted(count: int) -> None:
    """A hundred fields pass; one more is 431, however small it is."""
    async with serving() as (app, port):
        answer = await said(port, request(b"/", *(b"x: y" for _ in range(count - 2))))
        assert status(answer) == (200 if count == 100 else 431)
        assert len(app.requests) == (count == 100)


@pytest.mark.requirement("R-247", "R-261")
async def test_trailers_are_not_kept() -> None:
    """However many come after a large content, they are let go as they come."""
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"z" * 100_000
        writer.write(
            b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"%x\r\n%b\r\n0\r\n" % (len(body), body)
        )
        await writer.drain()
        tracemalloc.start()
        try:
            before, most = tracemalloc.get_traced_memory()[0], 0
            for _ in range(100):
                writer.write(b"a:b\r\n" * 2000)
                await writer.drain()
                await asyncio.sleep(0)
                most = max(most, tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        writer.write(b"\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"100000")).startswith(b"HTTP/1.1 200")
        writer.close()
        assert most - before < 300_000  # of the 1,000,000 that came


@pytest.mark.requirement("R-261", "R-279")
async def test_a_browser_that_does_not_read_is_cut_off() -> None:
    """It keeps neither its connection nor what waits for it for longer than an idle one."""
    async with serving(rest_seconds=0.3, content=b"z" * 50_000_000) as (app, port):
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", port)
        transport.pause_reading()
        transport.write(request())
        async with asyncio.timeout(10):
            while not app.requests or app.state.connections:
                await asyncio.sleep(0.01)
        transport.abort()


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize("before", [1, 2, 3])
async def test_content_that_is_refused_costs_no_answer_before_it(before: int) -> None:
    """Requests in front of a malformed one are answered in order, then it is refused; it does not reach the application."""
    async with serving() as (app, port):
        malformed = b"POST /bad HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
        answer = await said(port, b"GET /good HTTP/1.1\r\nhost: x\r\n\r\n" * before + malformed)
        assert statuses(answer) == [200] * before + [400]
        assert app.paths == [b"/good"] * before


# --- early answers ----------------------------------------------------------------------------------------------------

MUCH = 4 * 1024 * 1024  # more than the kernel keeps of a connection that is not read


def upload(port: int, head: bytes, content: bytes) -> bytes:
    """What a browser reads that sends all its content before it reads; a reset is an error."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as browser:
        browser.sendall(head + content)
        answer = b""
        while data := browser.recv(65536):
            answer += data
        return answer


def assert_whole(answer: bytes, *, expected: int) -> None:
    """One answer whose content is as long as it says."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status(head) == expected, head
    lengths = [int(line.split(b": ")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")]
    assert lengths == [len(body)]


@pytest.mark.requirement("R-362")
@pytest.mark.parametrize(
    ("line", "lines", "expected"),
    [
        (b"POST /small/x", (b"Content-Length: %d" % MUCH,), 413),
        (b"POST /small/x", (b"Transfer-Encoding: chunked",), 413),
        (b"POST /nowhere", (b"Content-Length: %d" % MUCH,), 404),
        (b"POST /nowhere", (b"Transfer-Encoding: chunked",), 404),
        (b"POST /api/x", (b"Content-Length: %d" % MUCH,), 403),
        (b"POST /api/x", (b"X-CSRF: 1", b"Content-Length: %d" % MUCH), 401),
        (b"POST /bff/user", (b"X-CSRF: 1", b"Content-Length: %d" % MUCH), 405),
        (b"POST /open/x", (b"X: y",) * 101 + (b"Content-Length: %d" % MUCH,), 431),
        (b"POST /open/x", (b"X: " + b"y" * 70_000, b"Content-Length: %d" % MUCH), 431),
        (b"POST /open/" + b"x" * 20_000, (b"Content-Length: %d" % MUCH,), 414),
        (b"POST /open/x", (b"Content-Length: %d, 1" % MUCH,), 400),
        (b"POST /open/x", (b"Transfer-Encoding: gzip, chunked",), 501),
        (b"hello /open/x", (b"Content-Length: %d" % MUCH,), 501),
        (b"hel(lo /open/x", (b"Content-Length: %d" % MUCH,), 400),
    ],
)
async def test_an_early_refusal_is_delivered_whole(line: bytes, lines: tuple[bytes, ...], expected: int) -> None:
    """A browser that is still sending some MB reads the whole answer and then the end, and no reset."""
    coded = any(b"chunked" in one for one in lines)
    content = b"10000\r\n%b\r\n" % (b"z" * 65536) * (MUCH // 65536) + b"0\r\n\r\n" if coded else b"z" * MUCH
    async with raw_world(signed_in=False) as site:
        head = b"\r\n".join([line + b" HTTP/1.1", b"Host: " + site.host, b"Connection: close", *lines, b"", b""])
        assert_whole(await asyncio.to_thread(upload, site.port, head, content), expected=expected)
        assert site.seen == []


@pytest.mark.requirement("R-362")
def test_an_early_refusal_of_serve_is_delivered_whole() -> None:
    """The same on uvloop, as `bff serve` runs."""
    settings = plain_settings()
    with ServedGateway(settings, secrets={}) as gateway:
        port = int(settings["listen"].rpartition(":")[2])
        host = b"Host: localhost:%d" % port
        length = b"Content-Length: %d" % MUCH
        for line, lines, expected in (
            (b"POST /nowhere", (length,), 404),
            (b"POST /api", (length,), 403),
            (b"POST /bff/user", (b"X-CSRF: 1", length), 405),
            (b"POST /api", (b"X: " + b"y" * 70_000, length), 431),
            (b"POST /" + b"x" * 20_000, (length,), 414),
            (b"POST /api", (b"Transfer-Encoding: chunked", length), 400),
            (b"POST /api", (b"Transfer-Encoding: gzip, chunked",), 501),
        ):
            head = [line + b" HTTP/1.1", host, b"Connection: close", *lines, b"", b""]
            assert_whole(upload(port, b"\r\n".join(head), b"z" * MUCH), expected=expected)
        assert gateway.events("answer.failed") == []


@pytest.mark.requirement("R-362")
@pytest.mark.parametrize("keeps", [b"close", b"keep-alive"])
async def test_an_early_answer_of_an_upstream_is_delivered_whole(keeps: bytes) -> None:
    """An API that answers after the head, while the browser still sends: the browser reads the answer and no reset."""

    async def early(it: Conversation) -> None:
        await it.head()
        await it.send(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nearly")
        await it.gone()

    async with raw_world(early, signed_in=False) as site:
        length = b"Content-Length: %d" % MUCH
        head = site.request("POST /open/x", length, b"Connection: " + keeps)
        last = b"" if keeps == b"close" else site.request("POST /nowhere", b"Connection: close")
        answers = await asyncio.to_thread(upload, site.port, head, b"z" * MUCH + last)
        assert statuses(answers)[0] == 201
        assert b"\r\n\r\nearly" in answers


@pytest.mark.requirement("R-362")
@pytest.mark.parametrize("keeps", [b"close", b"keep-alive"])
async def test_an_answer_to_unread_content_is_delivered_whole(keeps: bytes) -> None:
    """An application that answers without reading: the content is read and dropped; the connection serves on if it may."""
    async with serving() as (app, port):
        first = b"POST /unread HTTP/1.1\r\nHost: x\r\nConnection: " + keeps + b"\r\nContent-Length: %d\r\n\r\n" % MUCH
        answers = await asyncio.to_thread(upload, port, first, b"z" * MUCH + request(b"/behind"))
        assert statuses(answers) == ([413] if keeps == b"close" else [413, 200])
        assert app.paths == ([b"/unread"] if keeps == b"close" else [b"/unread", b"/behind"])


@pytest.mark.requirement("R-362")
async def test_content_that_is_refused_midway_is_answered_whole() -> None:
    """Chunks that break off in the middle of some MB: 400 is delivered, and no reset."""
    async with serving() as (_, port):
        head = b"POST /gated HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await asyncio.to_thread(upload, port, head, b"5\r\nhello\r\nzz\r\n" + b"z" * MUCH)
        assert_whole(answer, expected=400)


@pytest.mark.requirement("R-362")
async def test_what_comes_after_the_last_answer_is_bounded() -> None:
    """A browser that sends for ever is cut off after `LINGER_BYTES`, and its connection is gone."""
    async with serving() as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\r\n\r\n")
        sent, some = 0, b"z" * 2**20
        with contextlib.suppress(ConnectionError):
            while sent < 2 * LINGER_BYTES:
                writer.write(some)
                await writer.drain()
                sent += len(some)
        assert LINGER_BYTES - 2**20 < sent < 2 * LINGER_BYTES
        async with asyncio.timeout(10):
            while app.state.connections:
                await asyncio.sleep(0.001)
        writer.close()
        reader.feed_eof()


# --- file descriptors -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-375")
async def test_a_connection_beyond_the_last_descriptor_is_refused_and_counted() -> None:
    """It is closed without an answer, with an event and a number; below the limit connections are served."""
    async with serving(max_descriptor=10_000) as (_, port):
        assert status(await said(port, request())) == 200
    before = metrics.CONNECTIONS_REFUSED._value.get()
    async with serving(max_descriptor=3) as (app, port):
        with capture_logs() as events:
            assert await said(port, request()) in {b"", b"reset"}
            async with asyncio.timeout(10):
                while app.state.connections:
                    await asyncio.sleep(0.001)
        assert app.requests == []
    (event,) = [one for one in events if one["event"] == "server.out_of_descriptors"]
    assert (event["log_level"], event["limit"]) == ("error", 3)
    assert metrics.CONNECTIONS_REFUSED._value.get() == before + 1


@pytest.mark.requirement("R-375")
async def test_the_management_listener_is_served_without_descriptors() -> None:
    """An orchestrator's question is answered though the limit is reached."""
    async with serving(is_management=True, max_descriptor=3) as (_, port):
        assert status(await said(port, request(b"/livez"))) == 200


@pytest.mark.requirement("R-375")
def test_a_gateway_that_runs_out_of_descriptors_stays_alive() -> None:
    """`bff serve` with 128 descriptors and 200 idle browsers: some are refused, it is logged, and `/livez` answers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    settings = plain_settings()
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))  # the gateway inherits it
    gateway = ServedGateway(settings, secrets={})
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(gateway)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        port = int(settings["listen"].rpartition(":")[2])
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        for path in ("livez", "metrics"):
            answer = http_get(f"http://{settings['management']}/{path}", timeout=10)
            assert answer.status_code == 200
        refused = [line for line in answer.text.splitlines() if line.startswith("bff_connections_refused_total")]
        assert float(refused[0].split()[1]) > 0
        assert gateway.events("server.out_of_descriptors")


# --- one server -------------------------------------------------------------------------------------------------------


def plain_settings() -> dict[str, Any]:
    """A configuration that needs nothing else to run."""
    listeners = [*bind_loopback(), *bind_loopback()]
    ports = [port_of([one]) for one in listeners]
    for one in listeners:
        one.close()
    return {
        "public_url": f"http://localhost:{ports[0]}",
        "listen": f"127.0.0.1:{ports[0]}",
        "management": f"127.0.0.1:{ports[1]}",
        "session": {"store": "memory://", "keys": [SESSION_KEY]},
        "providers": {"demo": {"issuer": "http://127.0.0.1:9", "client_id": "shop", "client_secret": "s" * 40}},
        "routes": [{"path": "/api", "upstream": "http://127.0.0.1:9", "provider": "demo"}],
    }


RAW = {
    "70 KB of fields": (b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431),
    "70 KB of small fields": (b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X: y\r\n" * 12_000 + b"\r\n", 431),
    "101 fields": (b"GET / HTTP/1.1\r\nHost: {host}\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
    "20 KB target": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: {host}\r\n\r\n", 414),
    "not HTTP": (b"hello\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "gzip, chunked": (
        b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "length and chunked": (
        b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    "user in the target": (b"GET http://u@{host}/bff/user HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", 400),
    "GET *": (b"GET * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", None),
    "no host": (b"GET /bff/user HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "not signed in": (b"GET /api HTTP/1.1\r\nHost: {host}\r\nX-CSRF: 1\r\nConnection: close\r\n\r\n", 401),
}


def plain(answer: bytes, *, host: bytes) -> tuple[list[bytes], dict[str, Any]]:
    """The lines of its head and its content, without what differs between two gateways and two requests."""
    head, _, body = answer.replace(host, b"{host}").partition(b"\r\n\r\n")
    varying = (b"content-length", b"date", b"x-request-id")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(varying)]
    problem = json.loads(body)
    return lines, {name: value for name, value in problem.items() if name not in {"instance", "request_id"}}


@pytest.mark.requirement("R-376")
async def test_the_demo_and_serve_give_the_same_answers() -> None:
    """The same raw requests, whichever command runs the gateway."""
    settings = plain_settings()
    async with demo_world(preferred=ANYWHERE) as demo:
        with ServedGateway(settings, secrets={}) as gateway:
            for name, (raw, expected) in RAW.items():
                answers = []
                for url in (demo.addresses.gateway, gateway.url):
                    host = url.partition("://")[2].encode()
                    answer = await said(int(url.rpartition(":")[2]), raw.replace(b"{host}", host))
                    assert expected is None or status(answer) == expected, name
                    answers.append(plain(answer, host=host))
                assert answers[0] == answers[1], name
