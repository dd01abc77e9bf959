"""One user, or all the anonymous world, cannot take an upstream from the others; nor can content that an upstream does not read."""

import resource
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha1
from typing import Any

import pytest

from support.gateway_world import SERVER
from support.raw_browser import RawBrowser
from support.raw_world import SMUGGLED, RawWorld, raw_world
from support.scripted_upstream import Conversation, Received, response
from support.waiting import until

PLACES = 256  # the default of `max_connections`
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "{raw}", "provider": "corp"},
    {"path": "/open", "upstream": "{raw}", "token": "none", "websocket": True},
]


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    """Browsers, gateway and upstream are one process here: four descriptors for each call that is held."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def holding(it: Conversation) -> None:
    """Read content for as long as it comes, keep event streams and WebSockets open, answer the rest."""
    while True:
        head = await it.head()
        keys = head.values(b"sec-websocket-key")
        if keys:
            accept = b64encode(sha1(keys[0] + GUID).digest())  # noqa: S324  (RFC 6455's own)
            fields = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept
            await it.send(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n\r\n")
            await it.gone()
            return
        if head.target.endswith(b"/events"):
            await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            await it.gone()
            return
        await it.content(head)
        await it.send(response(head.target))


@asynccontextmanager
async def held_world() -> AsyncIterator[RawWorld]:
    """A gateway behind a trusted proxy, so that a call can come from any address."""
    async with raw_world(holding, routes=ROUTES, trusted_proxies=["127.0.0.1"]) as site:
        yield site


def _upload(site: RawWorld, address: bytes) -> bytes:
    return site.request("POST /open/x", b"Content-Length: 1000", address, signed_in=False) + b"x"


def _events(site: RawWorld, address: bytes) -> bytes:
    return site.request("GET /open/events", address, signed_in=False)


def _websocket(site: RawWorld, address: bytes) -> bytes:
    return site.request(
        "GET /open/ws",
        b"Origin: " + site.world.url.encode(),
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        address,
        signed_in=False,
    )


many_at_once = pytest.mark.skipif(
    SERVER == "granian", reason="granian's own backpressure: it takes no more than 128 requests at a time"
)


@many_at_once
@pytest.mark.requirement("R-366")
@pytest.mark.parametrize("kind", [_upload, _events, _websocket])
@pytest.mark.parametrize("addresses", [1, PLACES])
async def test_anonymous_calls_do_not_keep_users_out(kind: Callable[[RawWorld, bytes], bytes], addresses: int) -> None:
    """While anonymous calls hold all places that they can get, a signed-in user's calls to the same origin are answered."""
    async with held_world() as site, AsyncExitStack() as stack:
        before = site.upstream.open
        for number in range(PLACES):
            browser = await stack.enter_async_context(site.connect())
            at = number % addresses
            await browser.say(kind(site, b"X-Forwarded-For: 10.0.%d.%d" % (at // 200, at % 200 + 1)))
        held = PLACES if addresses > 1 else PLACES * 3 // 4
        await until(lambda: site.upstream.open >= before + held)
        for line, body in (("GET /api/x", None), ("POST /api/x", b"content"), ("GET /api/y", None)):
            reply = await site.ask(site.request(line, body=body))
            assert (reply.status, reply.body) == (200, line.split("/api")[1].encode())
        assert site.upstream.open >= before + held


@many_at_once
@pytest.mark.requirement("R-366")
async def test_one_sessions_streams_do_not_keep_another_out() -> None:
    """300 event streams of one session: some are refused, and another session's stream and call are answered."""
    async with held_world() as site, AsyncExitStack() as stack:
        browsers = [await stack.enter_async_context(site.connect()) for _ in range(300)]
        for browser in browsers:
            await browser.say(site.request("GET /api/events"))
        statuses = [(await browser.head())[0] for browser in browsers]
        assert statuses.count(200) == PLACES * 3 // 4
        assert set(statuses) == {200, 503}
        site.browser = await site.world.signed_in("bob")
        theirs = await stack.enter_async_context(site.connect())
        await theirs.say(site.request("GET /api/events"))
        assert (await theirs.head())[0] == 200
        assert (await site.ask(site.request("GET /api/x"))).status == 200


# --- content that an upstream does not read ---------------------------------------------------------------------------


class Ignoring:
    """An upstream that knows no content: what follows a head is the next request. It does not close when it should, either."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Received]] = []

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        while True:
            try:
                head = await it.head()
            except ValueError:  # the size of a chunk, and what follows it
                await it.send(response(b"what?", status="400 Bad Request"))
                continue
            self.seen.append((it.number, head))
            await it.send(response(head.target))


@pytest.mark.requirement("R-367")
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("after", [0, 1])
async def test_content_that_is_ignored_is_nobodys_request(*, method: str, chunked: bool, after: int) -> None:
    """A request that is hidden in such content gets an answer that no browser sees: its connection serves no other call."""
    ignoring = Ignoring()
    async with raw_world(ignoring, routes=ROUTES) as site:
        for _ in range(after):  # then there is an idle connection, and the lane takes the next call
            await site.ask(site.request("GET /api/before"))
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(SMUGGLED)
        content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED) if chunked else SMUGGLED
        hiding = site.request(f"{method} /open/x", framing, signed_in=False) + content
        async with site.connect() as attacker:
            await attacker.say(hiding)
            await _answered(attacker, method)
            for number in range(3):
                reply = await site.ask(site.request(f"GET /api/{number}"))
                assert (reply.status, reply.body) == (200, b"/%d" % number)
        used, request = next((number, one) for number, one in ignoring.seen if one.target == b"/x")
        assert request.values(b"connection") == [b"close"]
        assert not [one for number, one in ignoring.seen if number == used and one.target in {b"/0", b"/1", b"/2"}]


async def _answered(browser: RawBrowser, method: str) -> None:
    assert (await browser.reply(to=method)).status == 200
