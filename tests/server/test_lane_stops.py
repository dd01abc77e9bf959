"""The server stops while the lane forwards a call: the call finishes, or ends at the limit so that the browser sees that it did."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from support.mixed_traffic import tasks_of_exchanges
from support.raw_browser import Truncated
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import Conversation, response
from support.switched_lane import switched
from support.waiting import until


class Slow:
    """An upstream's script: answers a first request at once, and of the second `begun`, then the rest when `go_on` is set."""

    def __init__(self, begun: bytes, rest: bytes = b"") -> None:
        self.called, self.go_on = asyncio.Event(), asyncio.Event()
        self._begun, self._rest = begun, rest

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        await it.request()
        await it.send(response(b"fine"))
        await it.request()
        await it.send(self._begun)
        self.called.set()
        await self.go_on.wait()
        await it.send(self._rest)
        await it.gone()


@asynccontextmanager
async def stopping(slow: Slow) -> AsyncIterator[RawWorld]:
    """A gateway that stops at the end of the block, in the time that `bff serve` gives; the upstream's connection is idle."""
    with switched("on"):
        async with raw_world(slow) as site:
            assert (await site.ask(site.request("GET /api/first"))).status == 200
            await until(lambda: not tasks_of_exchanges())
            yield site


@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        (b"", response(b"fine")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi", b"ne"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n", b"2\r\nne\r\n0\r\n\r\n"),
    ],
    ids=["head", "length", "chunks"],
)
async def test_a_call_finishes_when_the_server_stops(begun: bytes, rest: bytes) -> None:
    """What is under way is answered whole; then the connection ends."""
    slow = Slow(begun, rest)
    world = stopping(slow)
    site = await world.__aenter__()
    async with site.connect() as browser:
        await browser.say(site.request("GET /api/second"))
        await slow.called.wait()
        assert not tasks_of_exchanges()
        ending = asyncio.ensure_future(world.__aexit__(None, None, None))
        await asyncio.sleep(0)
        slow.go_on.set()
        reply = await browser.reply()
        assert (reply.status, reply.body) == (200, b"fine")
        assert await browser.rest() == b""
        await ending


async def test_a_call_without_an_answer_is_refused_at_the_limit() -> None:
    """The upstream does not answer in the time that a stopping server has: the browser gets a whole answer that says so."""
    slow = Slow(b"")
    world = stopping(slow)
    site = await world.__aenter__()
    async with site.connect() as browser:
        await browser.say(site.request("GET /api/second"))
        await slow.called.wait()
        assert not tasks_of_exchanges()
        ending = asyncio.ensure_future(world.__aexit__(None, None, None))
        reply = await browser.reply()
        assert reply.status == 502
        assert await browser.rest() == b""
        slow.go_on.set()
        await ending


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n",
    ],
    ids=["length", "chunks"],
)
async def test_an_answer_that_has_begun_is_cut_at_the_limit(begun: bytes) -> None:
    """Its content is not there in time: the transfer breaks, and never ends like a whole one."""
    slow = Slow(begun)
    world = stopping(slow)
    site = await world.__aenter__()
    async with site.connect() as browser:
        await browser.say(site.request("GET /api/second"))
        await slow.called.wait()
        ending = asyncio.ensure_future(world.__aexit__(None, None, None))
        with pytest.raises(Truncated) as cut:
            await browser.reply()
        assert (cut.value.status, cut.value.body) == (200, b"fi")
        slow.go_on.set()
        await ending
