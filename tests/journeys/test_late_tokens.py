"""A token that expires between its choice and the writing of its request is not sent: another one is, and the request is whole."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bff.telemetry.requests import IN_FLIGHT
from support.fake_provider import oauth_error
from support.gateway_world import Clock
from support.raw_browser import Reply
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import Conversation, Received, response
from support.switched_lane import switched
from support.waiting import until

LATER = 700.0
CONTENT = b"0123456789" * 2000
API: dict[str, Any] = {"path": "/api", "upstream": "{raw}", "provider": "corp", "websocket": True}
WEBSOCKET_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
OPENED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


@dataclass(slots=True)
class Api:
    """An upstream that notes how long each token was still good; what comes for `/held` waits for `go_on`."""

    clock: Clock = field(default_factory=Clock)
    left_seconds: list[float] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    fields: tuple[str, ...] = ()  # of its answers
    closes_after: Callable[[], None] | None = None  # the next request but one gets no answer: its connection is closed

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        while True:
            request = await it.request()
            self.left_seconds.append(_expiry(request) - self.clock())
            self.contents.append(request.content)
            if request.target.endswith(b"/held"):
                self.held.set()
                await self.go_on.wait()
            if request.target.endswith(b"/cut") and self.closes_after is not None:
                self.closes_after()
                self.closes_after = None
                it.close()
                return
            await it.send(_opened(request) if request.values(b"upgrade") else response(b"fine", *self.fields))


def _opened(handshake: Received) -> bytes:
    key = handshake.values(b"sec-websocket-key")[0]
    return OPENED % base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324


def _expiry(request: Received) -> float:
    token = request.values(b"authorization")[0].partition(b" ")[2].split(b".")[1]
    return float(json.loads(base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4)))["exp"])


@pytest.fixture
def api() -> Api:
    """The upstream."""
    return Api()


@asynccontextmanager
async def serving(api: Api, *, lane: str = "on", **route: Any) -> AsyncIterator[RawWorld]:
    """The gateway, a session whose copy the lane has, and an idle connection to the upstream."""
    with switched(lane):
        async with raw_world(api, routes=[{**API, **route}], clock=api.clock) as site:
            for _ in range(2):
                assert (await site.ask(site.request("GET /api/x"))).status == 200
            yield site


def busy(site: RawWorld) -> int:
    """How many requests the upstream has, or will have."""
    (upstream,) = site.world.app.gateway.forwarder.upstreams.values()
    return upstream.members[0].pool.busy


def judged(api: Api, reply: Reply) -> None:
    """The request was answered, and no token had expired at the upstream."""
    assert reply.status == 200
    assert all(left > 0 for left in api.left_seconds), api.left_seconds


@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_token_expires_while_the_content_is_awaited(api: Api, lane: str, framing: str) -> None:
    """The head of a request came while its token was good, and its content later: both arrive, with another token."""
    length, end = (b"Content-Length: %d" % len(CONTENT), CONTENT)
    if framing == "chunked":
        length, end = b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(CONTENT), CONTENT)
    async with serving(api, lane=lane) as site, site.connect() as browser:
        before = IN_FLIGHT.number
        await browser.say(site.request("POST /api/x", length))
        await until(lambda: IN_FLIGHT.number > before)
        api.clock.now += LATER
        await browser.say(end)
        judged(api, await browser.reply(to="POST"))
        assert api.contents[-1] == CONTENT


@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize("content", [None, CONTENT, CONTENT * 10])
async def test_token_expires_while_a_place_is_awaited(api: Api, lane: str, content: bytes | None) -> None:
    """A request stands in line until another one is over: by then its token has expired, and it goes out whole, with another."""
    method = "GET" if content is None else "POST"
    async with serving(api, lane=lane, max_connections=1) as site, site.connect() as first, site.connect() as second:
        await first.say(site.request("GET /api/held"))
        await api.held.wait()
        await second.say(site.request(f"{method} /api/x", body=content))
        await until(lambda: busy(site) == 2)
        api.clock.now += LATER
        api.go_on.set()
        judged(api, await second.reply(to=method))
        assert api.contents[-1] == (content or b"")
        assert (await first.reply()).status == 200


@pytest.mark.parametrize("lane", ["on", "off"])
async def test_token_expires_before_a_request_is_repeated_on_a_new_connection(api: Api, lane: str) -> None:
    """An idle connection is closed without a byte, long after the request was written: the repeat has another token."""

    def time_passes() -> None:
        api.clock.now += LATER

    async with serving(api, lane=lane) as site:
        api.closes_after = time_passes
        judged(api, await site.ask(site.request("GET /api/cut")))
        assert len(api.left_seconds) == 4  # two to begin with, the lost one and its repeat


@pytest.mark.parametrize("kind", ["GET", "POST", "websocket"])
async def test_token_expires_while_a_connection_is_made(api: Api, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting takes until the token has expired: the request, or the handshake, has another one."""
    api.fields = ("Connection: close",)
    async with serving(api) as site:
        loop, began = asyncio.get_running_loop(), api.clock()
        port, real = int(site.upstream.url.rpartition(":")[2]), type(loop).getaddrinfo

        async def slow(self: Any, host: Any, to: Any, **wanted: Any) -> Any:
            if to == port and api.clock() == began:
                api.clock.now += LATER
            return await real(self, host, to, **wanted)

        monkeypatch.setattr(type(loop), "getaddrinfo", slow)
        if kind != "websocket":
            judged(
                api, await site.ask(site.request(f"{kind} /api/x", body=CONTENT if kind == "POST" else None), to=kind)
            )
            assert api.contents[-1] == (CONTENT if kind == "POST" else b"")
            return
        async with site.connect() as browser:
            await browser.say(
                b"GET /api/ws HTTP/1.1\r\nHost: %b\r\nCookie: %b\r\nOrigin: http://%b\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
                % (site.host, site.cookie, site.host, WEBSOCKET_KEY)
            )
            status, _ = await browser.head()
        assert status == 101
        assert all(left > 0 for left in api.left_seconds), api.left_seconds


async def test_session_that_ends_while_its_request_waits(api: Api) -> None:
    """The token expires in line, and the provider renews it no more: 401 with a way to sign in, and nothing reaches the API."""
    async with serving(api, max_connections=1) as site, site.connect() as first, site.connect() as second:
        await first.say(site.request("GET /api/held"))
        await api.held.wait()
        await second.say(site.request("GET /api/x"))
        await until(lambda: busy(site) == 2)
        site.world.corp.answer_next("/token", oauth_error("invalid_grant"))
        api.clock.now += LATER
        api.go_on.set()
        assert (await second.reply()).status == 401
        assert len(api.left_seconds) == 3
