"""The forwarder behind real servers, on raw sockets: streams, back-pressure, leaving and breaking off, and what they cost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from support.forwarding_server import Gateway, running
from support.scripted_upstream import Conversation, Script, chunked, echo, response, saying, scripted_upstream
from support.streaming_browser import StreamingBrowser, streaming_browser
from support.waiting import standstill

MIB = 1 << 20
PIECE = b"x" * 65536


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], Gateway]]:
    """The server of a name, started when it is first asked for."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(running(name)))


@pytest.fixture(params=["forwarder", "gateway", pytest.param("recipe", marks=pytest.mark.slow)])
def own_server(request: pytest.FixtureRequest, servers: Callable[[str], Gateway]) -> Gateway:
    """Our own server: with the forwarder alone, and as `bff serve` runs it, whose lane forwards or is off."""
    return servers(request.param)


@pytest.fixture(params=["forwarder", "gateway", "granian"])
def gateway(request: pytest.FixtureRequest, servers: Callable[[str], Gateway]) -> Gateway:
    """Each server that we say the application runs under."""
    return servers(request.param)


@pytest.fixture
async def browser(gateway: Gateway) -> AsyncIterator[StreamingBrowser]:
    """A browser of the gateway under test."""
    async with streaming_browser(gateway.port) as one:
        yield one


def _down(size: int, *, in_chunks: bool) -> Script:
    """`size` bytes to each request."""

    async def script(it: Conversation) -> None:
        while True:
            await it.request()
            framing = b"Transfer-Encoding: chunked" if in_chunks else b"Content-Length: %d" % size
            it.writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
            for _ in range(size // len(PIECE)):
                it.writer.write(b"10000\r\n" + PIECE + b"\r\n" if in_chunks else PIECE)
                await it.writer.drain()
            if in_chunks:
                it.writer.write(b"0\r\n\r\n")

    return script


async def _up(it: Conversation) -> None:
    """Counts what each request brings, none of it kept."""
    while True:
        head = await it.head()
        left, total = int((head.values(b"content-length") or [b"0"])[0]), 0
        while total < left:
            total += len(await it.reader.read(min(MIB, left - total)))
        while not left and (size := int(await it.reader.readline(), 16)):
            await it.reader.readexactly(size + 2)
            total += size
        if not left:
            await it.reader.readline()
        await it.send(response(b"%d" % total))


SIZES = [pytest.param(64 * MIB, id="64MiB"), pytest.param(1024 * MIB, id="1GiB", marks=pytest.mark.slow)]


@pytest.mark.requirement("R-262")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunks"])
async def test_memory_does_not_grow_with_the_response(own_server: Gateway, size: int, in_chunks: bool) -> None:
    """A large response passes through; its size does not show in the gateway's memory."""
    async with scripted_upstream(_down(size, in_chunks=in_chunks), port=own_server.upstream_port):
        before = own_server.memory()
        own_server.forget_highest()
        async with streaming_browser(own_server.port) as browser:
            await browser.request("/api", "Connection: close")
            assert (await browser.head())[0] == 200
            assert await browser.count() >= size
        assert own_server.memory("VmHWM") - before < 12 * MIB


@pytest.mark.requirement("R-262")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunks"])
async def test_memory_does_not_grow_with_the_request(own_server: Gateway, size: int, in_chunks: bool) -> None:
    """The same upwards."""
    async with scripted_upstream(_up, port=own_server.upstream_port), streaming_browser(own_server.port) as browser:
        before = own_server.memory()
        own_server.forget_highest()
        framing = "Transfer-Encoding: chunked" if in_chunks else f"Content-Length: {size}"
        await browser.request("/api", framing, method="POST")
        for _ in range(size // len(PIECE)):
            await browser.send(b"10000\r\n" + PIECE + b"\r\n" if in_chunks else PIECE)
        if in_chunks:
            await browser.send(b"0\r\n\r\n")
        assert await browser.answer() == (200, b"%d" % size)
        assert own_server.memory("VmHWM") - before < 12 * MIB


@pytest.mark.requirement("R-262")
async def test_a_browser_that_does_not_read_holds_the_upstream_back(own_server: Gateway) -> None:
    """The upstream gets rid of no more than the buffers between hold, and the gateway's part of them is small."""
    sent = 0

    async def endless(it: Conversation) -> None:
        nonlocal sent
        await it.request()
        it.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            it.writer.write(PIECE)
            await it.writer.drain()
            sent += len(PIECE)

    async with scripted_upstream(endless, port=own_server.upstream_port), streaming_browser(own_server.port) as browser:
        before = own_server.memory()
        browser.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's socket transports are readable
        await browser.request()
        assert await standstill(lambda: sent) < 32 * MIB
        assert own_server.memory() - before < 4 * MIB


@pytest.mark.requirement("R-262")
async def test_an_upstream_that_does_not_read_holds_the_browser_back(own_server: Gateway) -> None:
    """The browser gets rid of no more than the buffers between hold; the rest goes when the upstream reads."""
    read_on = asyncio.Event()

    async def late(it: Conversation) -> None:
        it.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's socket transports are readable
        await read_on.wait()
        it.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await _up(it)

    size = 128 * MIB
    async with scripted_upstream(late, port=own_server.upstream_port), streaming_browser(own_server.port) as browser:
        before = own_server.memory()
        await browser.request("/api", f"Content-Length: {size}", method="POST")
        sent = 0

        async def upload() -> None:
            nonlocal sent
            while sent < size:
                await browser.send(PIECE)
                sent += len(PIECE)

        uploading = asyncio.ensure_future(upload())
        assert await standstill(lambda: sent) < 32 * MIB
        assert own_server.memory() - before < 4 * MIB
        read_on.set()
        await uploading
        assert await browser.answer() == (200, b"%d" % size)


@pytest.mark.requirement("R-262")
async def test_events_are_not_held_back(gateway: Gateway, browser: StreamingBrowser) -> None:
    """Each event reaches the browser before the upstream says the next."""
    heard = asyncio.Event()

    async def events(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(5):
            await it.send(b"data: %d\n\n" % number)
            await heard.wait()
            heard.clear()

    async with scripted_upstream(events, port=gateway.upstream_port):
        await browser.request()
        status, fields = await browser.head()
        assert (status, fields[b"content-type"]) == (200, b"text/event-stream")
        for number in range(5):
            assert await browser.chunk() == b"data: %d\n\n" % number
            heard.set()
        assert await browser.chunk() == b""


# --- leaving ----------------------------------------------------------------------------------------------------------


async def _sees_the_end(
    gateway: Gateway, browser: StreamingBrowser, script: Script, *fields: str, method: str = "GET"
) -> bytes:
    """Leaves once `script` is through; what the upstream then still read, up to the end."""
    through = asyncio.Event()
    rest: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def watching(it: Conversation) -> None:
        await it.head()
        await script(it)
        through.set()
        rest.set_result(await it.gone())

    async with scripted_upstream(watching, echo, port=gateway.upstream_port):
        await browser.request("/api", *fields, method=method)
        if method == "POST":
            await browser.send(b"5\r\nhello\r\n")
        await through.wait()
        browser.leave()
        seen = await asyncio.wait_for(rest, 20)  # the upstream's own time is 60 s: it was our leaving that ended it
        async with streaming_browser(gateway.port) as other:
            await other.request("/api/next")
            assert await other.answer() == (200, b"/next|")
        return seen


async def _nothing(it: Conversation) -> None:
    """Says nothing."""


async def _two_events(it: Conversation) -> None:
    await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n", b"data: 2\n\n")


@pytest.mark.requirement("R-262")
async def test_leaving_a_long_poll(gateway: Gateway, browser: StreamingBrowser) -> None:
    """A GET whose answer does not come: the upstream's connection is closed when the browser leaves."""
    assert await _sees_the_end(gateway, browser, _nothing) == b""


@pytest.mark.requirement("R-262")
async def test_leaving_an_event_stream(gateway: Gateway, browser: StreamingBrowser) -> None:
    """An idle event stream: the same."""
    assert await _sees_the_end(gateway, browser, _two_events) == b""


@pytest.mark.requirement("R-262")
async def test_leaving_an_upload(gateway: Gateway, browser: StreamingBrowser) -> None:
    """Half of an upload never ends like a whole one."""
    seen = await _sees_the_end(gateway, browser, _nothing, "Transfer-Encoding: chunked", method="POST")
    assert seen == b"5\r\nhello\r\n"


# --- breaking off -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize(
    "wire",
    [response(b"hello")[:-1], chunked(b"he", b"llo")[:-5], chunked(b"he", b"llo")[:-1]],
    ids=["length", "chunk", "end"],
)
async def test_a_truncated_response_is_a_broken_transfer(
    gateway: Gateway, browser: StreamingBrowser, wire: bytes, ending: str
) -> None:
    """The browser gets what there was, and then the end of the connection, never the end of the content."""

    async def cutting(it: Conversation) -> None:
        await it.request()
        await it.send(wire)
        await browser_has_some.wait()
        getattr(it, ending)()

    browser_has_some = asyncio.Event()
    async with scripted_upstream(cutting, port=gateway.upstream_port):
        await browser.request()
        status, _ = await browser.head()
        first = await browser.reader.read(100)
        browser_has_some.set()
        rest = await asyncio.wait_for(browser.reader.read(-1), 20)
    assert status == 200
    assert b"he" in first
    assert not (first + rest).endswith(b"0\r\n\r\n")
    assert not (first + rest).endswith(b"hello")


@pytest.mark.requirement("R-250")
async def test_an_upstream_that_breaks_before_its_answer(gateway: Gateway, browser: StreamingBrowser) -> None:
    """Nothing was said to the browser yet: it gets a proper 502, and its connection lives on."""
    async with scripted_upstream(
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n"), echo, port=gateway.upstream_port
    ):
        await browser.request(method="POST")
        assert (await browser.answer())[0] == 502
        await browser.request("/api/next")
        assert await browser.answer() == (200, b"/next|")


# --- framing at the browser -------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-251")
@pytest.mark.parametrize(
    ("method", "wire", "status"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        ("HEAD", response(b"hello"), 200),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", 304),
        ("GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", 205),
    ],
)
async def test_answers_without_content(
    gateway: Gateway, browser: StreamingBrowser, method: str, wire: bytes, status: int
) -> None:
    """HEAD, 204 and 304 leave no byte behind that the browser could take for the next answer."""

    async def then_echo(it: Conversation) -> None:
        await it.request()
        await it.send(wire)
        await echo(it)

    async with scripted_upstream(then_echo, echo, port=gateway.upstream_port):
        await browser.request(method=method)
        seen, fields = await browser.head()
        assert seen == status
        assert b"content-length" not in fields or method == "HEAD" or status == 205
        await browser.request("/api/next")
        assert await browser.answer() == (200, b"/next|")


@pytest.mark.requirement("R-248")
async def test_an_early_answer_reaches_a_browser_that_is_still_sending(
    gateway: Gateway, browser: StreamingBrowser
) -> None:
    """A 413 from the upstream arrives though most of the content was never sent."""

    async def refusing(it: Conversation) -> None:
        await it.head()
        await it.send(response(b"too much", status="413 Content Too Large"))
        await it.gone()

    async with scripted_upstream(refusing, port=gateway.upstream_port):
        await browser.request("/api", f"Content-Length: {64 * MIB}", method="POST")
        await browser.send(b"some")
        assert await browser.answer() == (413, b"too much")


@pytest.mark.requirement("R-248", "R-261")
async def test_content_that_is_refused_is_not_asked_for(gateway: Gateway, browser: StreamingBrowser) -> None:
    """`Expect: 100-continue` with too much content: the final status comes instead of a 100."""
    async with scripted_upstream(echo, port=gateway.upstream_port) as upstream:
        await browser.request("/small", "Content-Length: 1001", "Expect: 100-continue", method="POST")
        assert (await browser.head())[0] == 413
        assert upstream.conversations == []


@pytest.mark.requirement("R-248")
async def test_content_that_is_wanted_is_asked_for(gateway: Gateway, browser: StreamingBrowser) -> None:
    """The 100 comes from us; the expectation does not reach the upstream."""
    async with scripted_upstream(echo, port=gateway.upstream_port):
        await browser.request("/small", "Content-Length: 5", "Expect: 100-continue", method="POST")
        assert (await browser.head())[0] == 100
        await browser.send(b"hello")
        assert await browser.answer() == (200, b"/|hello")


# --- many -------------------------------------------------------------------------------------------------------------


async def test_an_idle_stream_costs_little() -> None:
    """A thousand idle event streams cost at most 25 KiB each, the server's own part included."""
    streams = 1000

    async def events(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await it.gone()

    with running("forwarder") as fresh:
        async with scripted_upstream(events, port=fresh.upstream_port), streaming_browser(fresh.port) as first:
            await first.request()
            await first.head()
            before = fresh.memory()
            browsers = [
                StreamingBrowser(*await asyncio.open_connection("127.0.0.1", fresh.port)) for _ in range(streams)
            ]
            try:
                for browser in browsers:
                    await browser.request("/api", "User-Agent: Mozilla/5.0", "Accept: text/event-stream", "X-CSRF: 1")
                for browser in browsers:
                    assert (await browser.head())[0] == 200
                    assert await browser.chunk() == b"data: 1\n\n"
                await asyncio.sleep(0.6)  # by now every browser is listened to; more time would change nothing
                each = (fresh.memory() - before) / streams
            finally:
                for browser in browsers:
                    browser.leave()
    assert each < 25 * 1024
