"""Browsers that speak HTTP/1.0: they know no chunks and no interim answers, and a connection carries one request."""

import asyncio

import pytest

from support.raw_browser import RawBrowser
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import Conversation, chunked

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"


@pytest.mark.requirement("R-251")
@pytest.mark.parametrize("length", [0, 4, 300_000])
@pytest.mark.parametrize("framing", ["chunked", "closing"])
async def test_content_without_a_length_ends_with_the_connection(framing: str, length: int) -> None:
    """No `Transfer-Encoding` to a client that does not know it (RFC 9112 section 6.1); the content arrives whole."""
    content = b"z" * length

    async def unmeasured(it: Conversation) -> None:
        await it.request()
        if framing == "chunked":
            await it.send(chunked(*([content] if content else [])))
        else:
            await it.send(UNTIL_CLOSE + content)

    async with raw_world(unmeasured, signed_in=False) as site:
        reply = await site.ask(site.request("GET /open/x", version="1.0"))
    assert (reply.status, reply.body) == (200, content)
    assert reply.values("transfer-encoding") == reply.values("content-length") == []
    assert reply.closes


@pytest.mark.requirement("R-251")
async def test_keep_alive_of_http_1_0_changes_nothing(site: RawWorld) -> None:
    """Asked or not, the connection ends with the answer: nothing else could end the content."""
    site.answer_next(chunked(b"fine"))
    reply = await site.ask(site.request("GET /open/x", b"Connection: keep-alive", version="1.0"))
    assert (reply.body, reply.values("transfer-encoding"), reply.closes) == (b"fine", [], True)


@pytest.mark.requirement("R-251")
@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("HEAD /open/x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET /open/x", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET /open/x", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET /open/x", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("GET /bff/user", None),
        ("GET /nowhere", None),
    ],
)
async def test_other_answers_are_framed_as_ever(site: RawWorld, line: str, answer: bytes | None) -> None:
    """Answers with a length, or with no content, need nothing of it."""
    if answer is not None:
        site.answer_next(answer)
    async with site.connect() as browser:
        await browser.say(site.request(line, version="1.0"))
        reply = await browser.reply(to=line.partition(" ")[0])
        assert reply.values("transfer-encoding") == []
        assert reply.closes
        assert await browser.rest() == b""


async def ended_by_reset(browser: RawBrowser) -> bool:
    """How the connection ends, once the content has come: with RST, or with FIN."""
    async with asyncio.timeout(15):
        while not browser.wire.ended:
            await browser.wire.more()
    return browser.wire.was_reset


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize(
    ("answer", "broken"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", True),
        (UNTIL_CLOSE + b"half", False),
    ],
    ids=["chunked", "length", "complete"],
)
async def test_what_breaks_off_is_reset(answer: bytes, broken: bool) -> None:
    """Where the end of the connection is the end of the content, only a reset tells a part from the whole."""
    gate = asyncio.Event()

    async def cutting(it: Conversation) -> None:
        await it.request()
        await it.send(answer)
        await gate.wait()

    async with raw_world(cutting, signed_in=False) as site, site.connect() as browser:
        await browser.say(site.request("GET /open/x", version="1.0"))
        status, _ = await browser.head()
        assert (status, await browser.some()) == (200, b"half")
        gate.set()
        assert await ended_by_reset(browser) is broken
