"""One pool against upstreams that do what they should not, on real sockets: the right answer, and the next request is right."""

import asyncio
import os
import socket
from collections.abc import Callable

import pytest

from bff.config.model import TimeoutConfig
from bff.errors import (
    BrowserGone,
    ContentTooLarge,
    MalformedRequest,
    RequestTimeout,
    UpstreamBroke,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from bff.proxy.connection import Connection
from bff.proxy.places import Owner
from support.asgi_browser import AsgiBrowser
from support.pool_usage import usage
from support.scripted_upstream import (
    Conversation,
    Script,
    answering,
    chunked,
    echo,
    response,
    saying,
    scripted_upstream,
    silent,
)
from support.upstream_pools import LIMITS, MS, Clock, a_new_owner, a_request, an_upstream_tls, fetch, pool_to
from support.waiting import standstill, until

HASTY = TimeoutConfig(connect=0.2, first_byte=20.0, idle=20.0)
QUICK = TimeoutConfig(connect=20.0, first_byte=20 * MS, idle=20 * MS)


# --- connections ------------------------------------------------------------------------------------------------------


async def test_one_connection_serves_requests_one_by_one() -> None:
    """A connection whose response was complete and clean is used again."""
    async with scripted_upstream(echo) as upstream, pool_to(upstream) as pool:
        for number in range(20):
            browser = await fetch(pool, a_request(target=b"/%d" % number))
            assert (browser.status, browser.content, browser.complete) == (200, b"/%d|" % number, True)
        assert len(upstream.conversations) == 1
        assert usage(pool) == (1, 1, 0, 0)


async def test_a_small_response_is_one_message() -> None:
    """Content that is there already goes to the browser in one piece, with the end."""
    async with scripted_upstream(answering(b"hello")) as upstream, pool_to(upstream) as pool:
        assert (await fetch(pool, a_request())).pieces == [b"hello"]


async def test_the_last_one_used_is_used_next() -> None:
    """A single caller keeps to one connection, so that the others of a burst grow old."""
    async with scripted_upstream(echo) as upstream, pool_to(upstream) as pool:
        await asyncio.gather(*(fetch(pool, a_request(target=b"/%d" % n)) for n in range(5)))
        seen = [it.number for it in upstream.conversations]
        assert len(seen) == usage(pool).idle
        before = len(upstream.conversations)
        for _ in range(5):
            await fetch(pool, a_request())
        assert len(upstream.conversations) == before


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize("extra", [response(b"evil"), b"\r\n", b"x"])
async def test_bytes_on_an_idle_connection_close_it(extra: bytes) -> None:
    """What an upstream says unasked belongs to nobody: the next request goes over a new connection."""
    over_sent = asyncio.Event()

    async def late(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"first"))
        await over_sent.wait()
        await it.send(extra)
        await it.gone()

    async with scripted_upstream(late, echo) as upstream, pool_to(upstream) as pool:
        await fetch(pool, a_request())
        over_sent.set()
        await until(lambda: usage(pool).connections == 0)
        assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize("extra", [response(b"evil"), response(b"evil")[:10], b"x"])
async def test_bytes_after_a_response_never_reach_the_next_user(extra: bytes) -> None:
    """A second response in one segment is nobody's: the first caller gets his, the next one a new connection."""
    async with scripted_upstream(saying(response(b"first") + extra), echo) as upstream, pool_to(upstream) as pool:
        assert (await fetch(pool, a_request())).content == b"first"
        assert usage(pool).idle == 0
        assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"


def _cut_everywhere(wire: bytes) -> Script:
    """A script that serves each request with the response cut in two at the next place, the last one byte by byte."""
    served = 0

    async def script(it: Conversation) -> None:
        nonlocal served
        while True:
            await it.request()
            served += 1
            if served < len(wire):
                await it.send(wire[:served], wire[served:])
            else:
                await it.send_bytewise(wire)

    return script


@pytest.mark.requirement("R-247", "R-248", "R-250")
@pytest.mark.parametrize(
    "wire",
    [
        response(b"hello"),
        chunked(b"he", b"llo", trailers=b"Authorization: Bearer x\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"hello"),
    ],
    ids=["length", "chunks", "interim"],
)
async def test_responses_cut_anywhere_keep_one_connection_right(wire: bytes) -> None:
    """Cut at every byte and sent byte by byte over one connection: every response right, and so is the one after it."""
    async with scripted_upstream(_cut_everywhere(wire)) as upstream, pool_to(upstream) as pool:
        for _ in range(len(wire) + 3):
            browser = await fetch(pool, a_request())
            assert (browser.status, browser.content, browser.complete) == (200, b"hello", True)
            assert all(name.lower() not in {b"authorization", b"link"} for name, _ in browser.fields)
        assert len(upstream.conversations) == 1


@pytest.mark.requirement("R-251")
@pytest.mark.parametrize(
    ("method", "wire"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", response(b"hello")),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    ],
)
async def test_responses_without_content_end_at_once(method: bytes, wire: bytes) -> None:
    """HEAD, 204 and 304 end with their fields, and content that an upstream sends nevertheless reaches nobody."""
    async with scripted_upstream(saying(wire), echo) as upstream, pool_to(upstream) as pool:
        browser = await fetch(pool, a_request(method))
        assert (browser.content, browser.complete) == (b"", True)
        for number in range(3):
            if usage(pool).idle and not number:  # the script would not answer a second request
                break
            assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"


async def test_a_response_may_end_with_the_connection() -> None:
    """Without length and chunks the end of the connection, in order, is the end of the content."""

    async def until_close(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
        it.close()

    async with scripted_upstream(until_close, echo) as upstream, pool_to(upstream) as pool:
        browser = await fetch(pool, a_request())
        assert (browser.content, browser.complete) == (b"hello", True)
        assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"


# --- truncation -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("wire", [response(b"hello"), chunked(b"he", b"llo")], ids=["length", "chunks"])
async def test_a_cut_response_is_never_complete(ending: str, wire: bytes) -> None:
    """Cut at any byte: no status yet, then it broke; status seen, then the browser's response stays unfinished."""
    cut_at = 0

    async def cutting(it: Conversation) -> None:
        await it.request()
        await it.send(wire[:cut_at])
        getattr(it, ending)()

    async with scripted_upstream(cutting) as upstream, pool_to(upstream) as pool:
        for cut_at in range(1, len(wire)):  # noqa: B007  (read by the script)
            browser = AsgiBrowser()
            with pytest.raises(UpstreamBroke):
                await fetch(pool, a_request(b"POST"), browser)
            assert not browser.complete
            assert b"hello".startswith(browser.content)
        await until(lambda: usage(pool).connections == 0)


async def test_what_came_before_a_break_is_delivered() -> None:
    """Content that was received goes to the browser before the failure does."""

    async def cutting(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"hello")[:-2])
        it.close()

    async with scripted_upstream(cutting) as upstream, pool_to(upstream) as pool:
        browser = AsgiBrowser()
        with pytest.raises(UpstreamBroke):
            await fetch(pool, a_request(), browser)
        assert (browser.status, browser.content, browser.complete) == (200, b"hel", False)


async def test_a_reset_does_not_end_content_that_ends_with_the_connection() -> None:
    """Only an orderly close ends such a response."""

    async def resetting(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\n\r\nhel")
        it.reset()

    async with scripted_upstream(resetting) as upstream, pool_to(upstream) as pool:
        browser = AsgiBrowser()
        with pytest.raises(UpstreamBroke):
            await fetch(pool, a_request(), browser)
        assert not browser.complete


@pytest.mark.requirement("R-265")
async def test_errors_name_the_upstream_for_logs_only() -> None:
    """`origin` says where it was; the text says what happened without quoting what was received."""
    async with scripted_upstream(saying(b"HTTP/1.1 200 OK\r\nSecret\0: canary\r\n\r\n")) as upstream:
        async with pool_to(upstream) as pool:
            with pytest.raises(UpstreamBroke) as caught:
                await fetch(pool, a_request())
        assert caught.value.origin == upstream.url
        assert "canary" not in str(caught.value)


# --- retries ----------------------------------------------------------------------------------------------------------


def _stale(ending: str) -> Script:
    """Serves one request, then takes the second one and goes without a byte."""

    async def script(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"first"))
        await it.head()
        getattr(it, ending)()

    return script


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
async def test_a_stale_connection_is_retried_once_on_a_new_one(method: bytes, ending: str) -> None:
    """An idempotent request without content survives a pooled connection that the upstream had given up."""
    async with scripted_upstream(_stale(ending), answering(b"second")) as upstream, pool_to(upstream) as pool:
        await fetch(pool, a_request())
        assert (await fetch(pool, a_request(method))).status == 200
        assert len(upstream.conversations) == 2


@pytest.mark.requirement("R-249")
@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"PROPFIND"])
async def test_what_may_not_be_repeated_is_not(method: bytes) -> None:
    """A request that may have had an effect is sent once."""
    async with scripted_upstream(_stale("close"), answering(b"second")) as upstream, pool_to(upstream) as pool:
        await fetch(pool, a_request())
        with pytest.raises(UpstreamBroke):
            await fetch(pool, a_request(method))
        assert len(upstream.conversations) == 1


@pytest.mark.requirement("R-249")
async def test_content_is_not_sent_twice() -> None:
    """An idempotent request with content is sent once, too."""
    async with scripted_upstream(_stale("close"), answering(b"second")) as upstream, pool_to(upstream) as pool:
        await fetch(pool, a_request())
        with pytest.raises(UpstreamBroke):
            await fetch(pool, a_request(b"PUT", length=3), AsgiBrowser([b"abc"]))
        assert len(upstream.conversations) == 1


async def test_a_new_connection_is_not_retried() -> None:
    """An upstream that closes on a first request gets no second one."""

    async def closing(it: Conversation) -> None:
        await it.request()
        it.close()

    async with scripted_upstream(closing) as upstream, pool_to(upstream) as pool:
        with pytest.raises(UpstreamBroke):
            await fetch(pool, a_request())
        assert len(upstream.conversations) == 1


async def test_a_single_byte_received_forbids_a_retry() -> None:
    """An upstream that began to answer has taken the request."""

    async def began(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"first"))
        await it.request()
        await it.send(b"H")
        it.close()

    async with scripted_upstream(began, answering(b"second")) as upstream, pool_to(upstream) as pool:
        await fetch(pool, a_request())
        with pytest.raises(UpstreamBroke):
            await fetch(pool, a_request())
        assert len(upstream.conversations) == 1


async def test_the_retry_is_the_last() -> None:
    """A new connection that goes as well ends the request."""

    async def closing(it: Conversation) -> None:
        await it.request()
        it.close()

    async with scripted_upstream(_stale("close"), closing) as upstream, pool_to(upstream) as pool:
        await fetch(pool, a_request())
        with pytest.raises(UpstreamBroke):
            await fetch(pool, a_request())
        assert len(upstream.conversations) == 2


async def test_a_silently_closed_connection_is_noticed_before_it_is_used() -> None:
    """A connection that the upstream closed while it was idle leaves the pool, so that even a POST is safe."""

    async def one(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"first"))
        it.close()

    async with scripted_upstream(one, answering(b"second")) as upstream, pool_to(upstream) as pool:
        await fetch(pool, a_request())
        await until(lambda: usage(pool).connections == 0)
        assert (await fetch(pool, a_request(b"POST"))).content == b"second"


# --- content upwards --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-262")
async def test_content_goes_up_with_its_length_or_in_chunks() -> None:
    """Both framings carry the content byte for byte, and the connection serves again."""
    pieces = [b"a" * 1000, b"", b"b", b"c" * 70_000]
    whole = b"".join(pieces)
    async with scripted_upstream(echo) as upstream, pool_to(upstream) as pool:
        with_length = await fetch(pool, a_request(b"POST", length=len(whole)), AsgiBrowser(pieces))
        in_chunks = await fetch(pool, a_request(b"POST", chunked=True), AsgiBrowser([*pieces, b""]))
        assert with_length.content == in_chunks.content == b"/|" + whole
        assert len(upstream.conversations) == 1


async def test_a_request_without_content_never_asks_for_any() -> None:
    """A quick GET does not touch `receive`; a Content-Length of zero is no content either."""
    async with scripted_upstream(echo) as upstream, pool_to(upstream) as pool:
        for request in (a_request(), a_request(b"POST", length=0)):
            browser = AsgiBrowser()
            await fetch(pool, request, browser)
            assert browser.polled == 0


@pytest.mark.requirement("R-261")
async def test_too_much_content_is_refused_before_a_byte_is_sent() -> None:
    """A Content-Length above the limit never reaches the upstream."""
    async with scripted_upstream(echo) as upstream, pool_to(upstream) as pool:
        with pytest.raises(ContentTooLarge):
            await fetch(pool, a_request(b"POST", length=11), AsgiBrowser([b"x" * 11]), max_body=10)
        assert upstream.conversations == []
        assert (await fetch(pool, a_request(b"POST", length=10), AsgiBrowser([b"x" * 10]), max_body=10)).complete


@pytest.mark.requirement("R-261")
async def test_too_much_content_is_refused_while_it_streams() -> None:
    """Chunks are counted; the upstream sees a request that never ends, not a short one."""
    seen = b""

    async def watching(it: Conversation) -> None:
        nonlocal seen
        seen = await it.gone()

    async with scripted_upstream(watching, echo) as upstream, pool_to(upstream) as pool:
        with pytest.raises(ContentTooLarge):
            await fetch(pool, a_request(b"POST", chunked=True), AsgiBrowser([b"x" * 6, b"y" * 6]), max_body=10)
        assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"
    assert b"yyy" not in seen
    assert not seen.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"ab", b"cd"], [b"ab"], [b""]])
async def test_content_that_contradicts_its_length_ends_the_exchange(pieces: list[bytes]) -> None:
    """Neither a byte more nor a byte less than announced goes for a complete request."""
    async with scripted_upstream(silent, echo) as upstream, pool_to(upstream) as pool:
        with pytest.raises(MalformedRequest):
            await fetch(pool, a_request(b"POST", length=3), AsgiBrowser(pieces))
        assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"


@pytest.mark.requirement("R-262")
async def test_an_upstream_that_does_not_read_holds_the_browser_back() -> None:
    """No more is taken from the browser than fits between the two; the rest goes when the upstream reads."""
    read_on = asyncio.Event()
    piece = b"x" * 65536

    async def slow(it: Conversation) -> None:
        it.writer.get_extra_info("socket")
        it.writer.transport.pause_reading()
        await read_on.wait()
        it.writer.transport.resume_reading()
        request = await it.request()
        await it.send(response(b"%d" % len(request.content)))

    async with scripted_upstream(slow) as upstream, pool_to(upstream) as pool:
        browser = AsgiBrowser([piece] * 512)  # 32 MiB
        exchange = asyncio.ensure_future(fetch(pool, a_request(b"POST", length=512 * len(piece)), browser))
        assert await standstill(lambda: browser.polled) < 300
        read_on.set()
        assert (await exchange).content == b"%d" % (512 * len(piece))


# --- early answers ----------------------------------------------------------------------------------------------------


def _early(wire: bytes) -> Script:
    """Answers after the head, and reads on without an end."""

    async def script(it: Conversation) -> None:
        await it.head()
        await it.send(wire)
        await it.gone()

    return script


@pytest.mark.requirement("R-248")
@pytest.mark.parametrize("status", ["413 Content Too Large", "401 Unauthorized", "200 OK"])
async def test_an_early_answer_is_delivered_and_its_connection_closed(status: str) -> None:
    """An answer before the content was all sent reaches the browser; the connection serves nobody any more."""
    async with (
        scripted_upstream(_early(response(b"early", status=status)), echo) as upstream,
        pool_to(upstream) as pool,
    ):
        browser = await fetch(pool, a_request(b"POST", chunked=True), AsgiBrowser([b"x"], ends=False))
        assert (browser.status, browser.content, browser.complete) == (int(status[:3]), b"early", True)
        assert usage(pool).idle == 0
        assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"


async def test_an_early_error_ends_the_content() -> None:
    """After an early error no more content goes up, while the answer is still coming down."""
    rest = b""
    go_on = asyncio.Event()

    async def refusing(it: Conversation) -> None:
        nonlocal rest
        await it.head()
        await it.send(response(b"early", status="413 Content Too Large")[:-1])
        await go_on.wait()
        await it.send(b"y")
        rest = await it.gone()

    async with scripted_upstream(refusing) as upstream, pool_to(upstream) as pool:
        browser = AsgiBrowser([b"one"], ends=False)
        answer = await pool.send(a_request(b"POST", chunked=True), browser.receive, max_body=100, owner=a_new_owner())
        browser.push(b"two")
        relay = asyncio.ensure_future(answer.relay(browser.send))
        await until(lambda: browser.polled >= 3)
        go_on.set()
        await relay
        assert browser.content == b"early"
    assert b"two" not in rest


async def test_both_ways_at_once() -> None:
    """An upstream that answers as it reads (a transcoder, an echo) gets all of the content."""

    async def mirror(it: Conversation) -> None:
        await it.head()
        await it.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await it.reader.readline(), 16):
            data = await it.reader.readexactly(size + 2)
            await it.send(b"%x\r\n" % size + data)
        await it.reader.readline()
        await it.send(b"0\r\n\r\n")
        await it.gone()

    async with scripted_upstream(mirror) as upstream, pool_to(upstream) as pool:
        browser = AsgiBrowser([b"one"], ends=False)
        answer = await pool.send(a_request(b"POST", chunked=True), browser.receive, max_body=100, owner=a_new_owner())
        relay = asyncio.ensure_future(answer.relay(browser.send))
        await until(lambda: browser.content == b"one")
        browser.push(b"two")
        await until(lambda: browser.content == b"onetwo")
        browser.push(b"three", more=False)
        await relay
        assert (browser.content, browser.complete) == (b"onetwothree", True)
        assert usage(pool).idle == 1  # both came to their end


# --- the browser leaves -----------------------------------------------------------------------------------------------


async def _left_while(script: Script, browser: AsgiBrowser, *, chunked_content: bool = False) -> bytes:
    """Leaves as soon as the upstream has the request (or its head); what the upstream had still seen when it saw the end."""
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def watching(it: Conversation) -> None:
        await it.head()
        begun.set()
        await script(it)
        seen.set_result(await it.gone())

    async with scripted_upstream(watching, echo) as upstream, pool_to(upstream) as pool:
        method = b"POST" if chunked_content else b"GET"
        task = asyncio.ensure_future(fetch(pool, a_request(method, chunked=chunked_content), browser))
        await begun.wait()
        browser.leave()
        with pytest.raises(BrowserGone):
            await task
        rest = await asyncio.wait_for(seen, 20)
        assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"
        return rest


async def _nothing(it: Conversation) -> None:
    """Says nothing."""


@pytest.mark.requirement("R-262")
async def test_leaving_a_long_poll_closes_the_upstream_connection() -> None:
    """A GET whose answer does not come: the upstream learns that nobody waits any more."""
    assert await _left_while(_nothing, AsgiBrowser()) == b""


@pytest.mark.requirement("R-262")
async def test_leaving_a_stream_closes_the_upstream_connection() -> None:
    """An event stream whose reader left is not read to its end."""

    async def stream(it: Conversation) -> None:
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")

    assert await _left_while(stream, AsgiBrowser()) == b""


@pytest.mark.requirement("R-262")
async def test_leaving_an_upload_closes_the_upstream_connection() -> None:
    """Half of a request never looks like a whole one."""
    rest = await _left_while(_nothing, AsgiBrowser([b"half"], ends=False), chunked_content=True)
    assert not rest.endswith(b"0\r\n\r\n")


@pytest.mark.requirement("R-262")
@pytest.mark.parametrize("turns", [0, 20])
async def test_an_endless_response_is_not_drained_for_nobody(turns: int) -> None:
    """A fast upstream and a browser that left: the transfer ends, though there was never anything to wait for."""

    async def endless(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await it.send(b"x" * 65536)

    async with scripted_upstream(endless) as upstream, pool_to(upstream) as pool:
        browser = AsgiBrowser()
        browser.turns = turns
        task = asyncio.ensure_future(fetch(pool, a_request(), browser))
        await until(lambda: len(browser.pieces) > 3)
        browser.leave()
        with pytest.raises(BrowserGone):
            await task
        await until(lambda: usage(pool).connections == 0)


@pytest.mark.requirement("R-262")
async def test_a_slow_browser_holds_the_upstream_back() -> None:
    """No more is taken from the upstream than fits between the two; the rest comes when the browser reads."""
    sent = 0
    total = 512 * 65536

    async def endless(it: Conversation) -> None:
        nonlocal sent
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(512):
            await it.send(b"x" * 65536)
            sent += 65536
        await it.gone()

    async with scripted_upstream(endless) as upstream, pool_to(upstream) as pool:
        browser = AsgiBrowser()
        task = asyncio.ensure_future(fetch(pool, a_request(), browser))
        await browser.got.wait()
        browser.reads.clear()
        assert await standstill(lambda: sent) < 24 << 20
        browser.reads.set()
        await task
        assert len(browser.content) == total


@pytest.mark.requirement("R-250")
async def test_cancelling_the_request_closes_the_upstream_connection() -> None:
    """A server that cancels the request's task leaves nothing behind."""
    async with scripted_upstream(silent, echo) as upstream, pool_to(upstream) as pool:
        task = asyncio.ensure_future(fetch(pool, a_request()))
        await until(lambda: upstream.open == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: upstream.open == 0)
        assert (await fetch(pool, a_request(target=b"/next"))).content == b"/next|"


async def test_discarding_a_response_closes_its_connection_unless_it_was_complete() -> None:
    """Nothing is drained into the pool; a response that is all there has given its connection back already."""
    async with scripted_upstream(saying(response(b"hello")[:-1]), echo) as upstream, pool_to(upstream) as pool:
        (await pool.send(a_request(), AsgiBrowser().receive, max_body=0, owner=a_new_owner())).discard()
        await until(lambda: upstream.open == 0)
        (await pool.send(a_request(), AsgiBrowser().receive, max_body=0, owner=a_new_owner())).discard()
        assert usage(pool) == (1, 1, 0, 0)


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-279")
async def test_no_more_connections_than_allowed() -> None:
    """Requests beyond the limit wait in line, and every one gets its own answer."""
    async with scripted_upstream(echo) as upstream, pool_to(upstream, max_connections=3, max_waiting=100) as pool:
        browsers = await asyncio.gather(*(fetch(pool, a_request(target=b"/%d" % n)) for n in range(100)))
        assert [browser.content for browser in browsers] == [b"/%d|" % n for n in range(100)]
        assert len(upstream.conversations) == 3


@pytest.mark.requirement("R-279", "R-366")
async def test_websockets_and_calls_have_places_of_their_own() -> None:
    """A WebSocket does not take a call's place, nor a call a WebSocket's; a WebSocket too many is refused at once."""
    gate = asyncio.Event()

    async def slow(it: Conversation) -> None:
        await it.request()
        await gate.wait()
        await it.send(response(b"fine"))

    async with scripted_upstream(slow) as upstream, pool_to(upstream, max_connections=1) as pool:
        asking = asyncio.create_task(fetch(pool, a_request()))
        await until(lambda: usage(pool).connections == 1)
        for _ in range(2):
            with pool.websocket_place(a_new_owner()), pytest.raises(UpstreamBusy), pool.websocket_place(a_new_owner()):
                pytest.fail("a second of one place")
        with pool.websocket_place(a_new_owner()):
            gate.set()
            assert (await asking).status == 200


@pytest.mark.requirement("R-366")
async def test_browsers_without_a_session_do_not_hold_up_users() -> None:
    """All places of browsers without a session are taken, and a signed-in user's call is answered."""
    gate = asyncio.Event()

    async def script(it: Conversation) -> None:
        request = await it.request()
        if request.target == b"/slow":
            await gate.wait()
        await it.send(response(b"fine"))

    async with scripted_upstream(*[script] * 6) as upstream, pool_to(upstream, max_connections=4) as pool:
        anonymous = [
            asyncio.create_task(
                pool.send(
                    a_request(target=b"/slow"), AsgiBrowser().receive, max_body=0, owner=Owner(False, f"192.0.2.{n}")
                )
            )
            for n in range(5)
        ]
        await until(lambda: upstream.open == 4 and usage(pool).waiting == 1)
        assert (await fetch(pool, a_request())).status == 200
        gate.set()
        for task in anonymous:
            (await task).discard()


@pytest.mark.requirement("R-366")
async def test_a_place_is_taken_when_there_is_content_to_send() -> None:
    """An upload whose content does not come holds no place and no connection."""
    async with scripted_upstream(echo) as upstream, pool_to(upstream, max_connections=1) as pool:
        silent_browser = AsgiBrowser([], ends=False)
        upload = asyncio.create_task(fetch(pool, a_request(b"POST", length=5), silent_browser))
        await until(lambda: usage(pool).active == 1)
        assert usage(pool).connections == 0
        assert (await fetch(pool, a_request())).status == 200
        silent_browser.push(b"hello")
        assert (await upload).status == 200


@pytest.mark.requirement("R-366")
async def test_time_in_line_is_not_the_browsers() -> None:
    """An upload that waited for a place, and so could send nothing, is not too slow for that."""
    gate = asyncio.Event()

    async def gated(it: Conversation) -> None:
        while True:
            await it.request()
            await gate.wait()
            await it.send(response(b"fine"))

    clock, timeouts = Clock(), TimeoutConfig(connect=100.0, first_byte=100.0, idle=100.0)
    async with (
        scripted_upstream(gated) as upstream,
        pool_to(upstream, timeouts=timeouts, max_connections=1, clock=clock) as pool,
    ):
        first = asyncio.create_task(fetch(pool, a_request()))
        await until(lambda: upstream.open == 1)
        browser = AsgiBrowser([b"a"], ends=False)
        upload = asyncio.create_task(fetch(pool, a_request(b"POST", length=2), browser))
        await until(lambda: usage(pool).waiting == 1)
        await clock.later(29.0)
        gate.set()
        await first
        await clock.later(2.0)  # the upload has its place since then
        browser.push(b"b", more=False)
        assert (await upload).status == 200


@pytest.mark.requirement("R-279")
async def test_a_full_line_refuses_at_once() -> None:
    """Who finds the line full hears so without waiting."""
    async with scripted_upstream(silent) as upstream, pool_to(upstream, max_connections=1, max_waiting=1) as pool:
        first = asyncio.ensure_future(fetch(pool, a_request()))
        await until(lambda: upstream.open == 1)
        second = asyncio.ensure_future(fetch(pool, a_request()))
        await until(lambda: usage(pool).waiting == 1)
        with pytest.raises(UpstreamBusy):
            await fetch(pool, a_request())
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)


@pytest.mark.requirement("R-279")
async def test_a_lost_connection_leaves_its_place_to_the_next_in_line() -> None:
    """Connections that break do not strand those who wait for one."""

    async def breaking(it: Conversation) -> None:
        await it.request()
        it.reset()

    async with scripted_upstream(breaking, breaking, echo) as upstream, pool_to(upstream, max_connections=1) as pool:
        results = await asyncio.gather(*(fetch(pool, a_request(b"POST")) for _ in range(4)), return_exceptions=True)
        assert [isinstance(result, UpstreamBroke) for result in results] == [True, True, False, False]


@pytest.mark.requirement("R-279")
async def test_leaving_the_line_keeps_it_in_order() -> None:
    """A browser that leaves while it waits for a connection takes nothing with it."""
    let_go = asyncio.Event()

    async def held(it: Conversation) -> None:
        request = await it.request()
        await let_go.wait()
        await it.send(response(request.target + b"|"))
        await echo(it)

    async with scripted_upstream(held) as upstream, pool_to(upstream, max_connections=1) as pool:
        first = asyncio.ensure_future(fetch(pool, a_request(target=b"/first")))
        await until(lambda: upstream.open == 1)
        leaving = AsgiBrowser()
        gone = asyncio.ensure_future(fetch(pool, a_request(), leaving))
        cancelled = asyncio.ensure_future(fetch(pool, a_request()))
        last = asyncio.ensure_future(fetch(pool, a_request(target=b"/last")))
        await until(lambda: usage(pool).waiting == 3)
        leaving.leave()
        with pytest.raises(BrowserGone):
            await gone
        let_go.set()
        await first
        cancelled.cancel()  # by now it may have been granted the connection
        assert (await last).content == b"/last|"
        await asyncio.gather(cancelled, return_exceptions=True)
        assert usage(pool) == (1, 1, 0, 0)


# --- time, on a clock that the test moves (all limits are 20 ms, the total 100 ms) ----------------------------------------------


async def _ends_with(
    error: type[Exception], task: "asyncio.Future[AsgiBrowser]", clock: Clock, *, after: float = 21 * MS
) -> None:
    await clock.later(after)
    with pytest.raises(error):
        await task


async def test_an_upstream_that_never_answers() -> None:
    """Not before its time, but then: too late is said as such, and the connection is closed."""
    clock, asked = Clock(), asyncio.Event()

    async def mute(it: Conversation) -> None:
        await it.request()
        asked.set()
        await it.gone()

    async with scripted_upstream(mute) as upstream, pool_to(upstream, timeouts=LIMITS, clock=clock) as pool:
        task = asyncio.ensure_future(fetch(pool, a_request()))
        await asked.wait()  # a connection alone may be seen here before the pool sees it
        await clock.later(19 * MS)
        assert not task.done()
        await _ends_with(UpstreamTimeout, task, clock, after=2 * MS)
        await until(lambda: upstream.open == 0)


async def test_a_head_that_trickles_is_as_late_as_none() -> None:
    """`first_byte` ends only with all of the head, so that a byte now and then buys no time."""
    clock = Clock()
    asked, trickle = asyncio.Event(), asyncio.Event()

    async def trickling(it: Conversation) -> None:
        await it.request()
        asked.set()
        await it.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await trickle.wait()
        await it.send(b"HTTP/1.1 200 OK\r\n")
        await it.gone()

    async with scripted_upstream(trickling) as upstream, pool_to(upstream, timeouts=LIMITS, clock=clock) as pool:
        task = asyncio.ensure_future(fetch(pool, a_request()))
        await asked.wait()
        await clock.later(15 * MS)
        trickle.set()
        await _ends_with(UpstreamTimeout, task, clock, after=6 * MS)


async def test_content_that_stops_coming() -> None:
    """A response that stops half way breaks the transfer when the idle time is over."""
    clock = Clock()
    async with (
        scripted_upstream(saying(response(b"hello")[:-2])) as upstream,
        pool_to(upstream, timeouts=LIMITS, clock=clock) as pool,
    ):
        browser = AsgiBrowser()
        task = asyncio.ensure_future(fetch(pool, a_request(), browser))
        await until(lambda: browser.content == b"hel")
        await _ends_with(UpstreamTimeout, task, clock)
        assert not browser.complete


def _stepwise(step: "asyncio.Queue[bytes]") -> Script:
    """A response without an end, of which the test hands out the pieces."""

    async def script(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while piece := await step.get():
            await it.send(piece)

    return script


async def test_content_that_keeps_coming_is_never_too_late() -> None:
    """Time between bytes counts, not the time of the whole."""
    clock = Clock()
    step: asyncio.Queue[bytes] = asyncio.Queue()
    async with scripted_upstream(_stepwise(step)) as upstream, pool_to(upstream, timeouts=QUICK, clock=clock) as pool:
        browser = AsgiBrowser()
        task = asyncio.ensure_future(fetch(pool, a_request(), browser))
        for number in range(4):
            step.put_nowait(b"x")
            await until(lambda number=number: len(browser.content) == number + 1)
            await clock.later(15 * MS)
        step.put_nowait(b"")
        assert (await task).content == b"xxxx"


async def test_a_total_time_ends_even_a_steady_response() -> None:
    """`total` counts the whole exchange."""
    clock = Clock()
    step: asyncio.Queue[bytes] = asyncio.Queue()
    async with scripted_upstream(_stepwise(step)) as upstream, pool_to(upstream, timeouts=LIMITS, clock=clock) as pool:
        browser = AsgiBrowser()
        task = asyncio.ensure_future(fetch(pool, a_request(), browser))
        for number in range(7):
            step.put_nowait(b"x")
            await until(lambda number=number: len(browser.content) == number + 1 or task.done())
            await clock.later(15 * MS)
        with pytest.raises(UpstreamTimeout):
            await task
        assert not browser.complete


async def test_a_browser_whose_content_stops_coming() -> None:
    """The browser's fault is named as such, so that it can be told 408."""
    clock = Clock()
    async with scripted_upstream(silent) as upstream, pool_to(upstream, timeouts=LIMITS, clock=clock) as pool:
        browser = AsgiBrowser([b"half"], ends=False)
        task = asyncio.ensure_future(fetch(pool, a_request(b"POST", length=10), browser))
        await until(lambda: browser.polled == 2)
        await _ends_with(RequestTimeout, task, clock)
        await until(lambda: upstream.open == 0)


async def test_an_upstream_that_stops_reading() -> None:
    """An upstream that takes no more of the content is too slow, not the browser."""
    clock = Clock()

    async def deaf(it: Conversation) -> None:
        it.writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with scripted_upstream(deaf) as upstream, pool_to(upstream, timeouts=LIMITS, clock=clock) as pool:
        browser = AsgiBrowser([b"x" * 65536] * 512)
        task = asyncio.ensure_future(fetch(pool, a_request(b"POST", length=1 << 25), browser))
        await standstill(lambda: browser.polled)
        await _ends_with(UpstreamTimeout, task, clock)


async def test_a_browser_that_stops_reading_gives_the_connection_up() -> None:
    """The upstream's connection is not held for a browser that does not read; its own transfer breaks when it goes on."""
    clock = Clock()

    async def endless(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await it.send(b"x" * 65536)

    async with scripted_upstream(endless) as upstream, pool_to(upstream, timeouts=LIMITS, clock=clock) as pool:
        browser = AsgiBrowser()
        task = asyncio.ensure_future(fetch(pool, a_request(), browser))
        await browser.got.wait()
        browser.reads.clear()
        while usage(pool).connections:  # the upstream may go on for a while: what fits in between counts as progress
            clock.now += 21 * MS
            await asyncio.sleep(0.01)
        browser.reads.set()
        with pytest.raises(RequestTimeout):
            await task
        assert not browser.complete


async def test_a_response_that_nobody_relays_is_given_up() -> None:
    """Neither `relay` nor `discard`: the connection does not stay taken for ever."""
    clock = Clock()
    async with (
        scripted_upstream(saying(response(b"hello")[:-1])) as upstream,
        pool_to(upstream, timeouts=LIMITS, clock=clock) as pool,
    ):
        answer = await pool.send(a_request(), AsgiBrowser().receive, max_body=0, owner=a_new_owner())
        await clock.later(21 * MS)
        await until(lambda: usage(pool) == (0, 0, 0, 0))
        answer.discard()  # else the garbage collector finds the browser's coroutine, at a time of its own


@pytest.mark.requirement("R-279")
async def test_waiting_in_line_ends() -> None:
    """Nobody waits longer for a connection than for being connected."""
    clock = Clock()
    timeouts = TimeoutConfig(connect=20.0, first_byte=1000.0, idle=20 * MS)
    async with (
        scripted_upstream(silent) as upstream,
        pool_to(upstream, max_connections=1, timeouts=timeouts, clock=clock) as pool,
    ):
        first = asyncio.ensure_future(fetch(pool, a_request()))
        await until(lambda: upstream.open == 1)
        second = asyncio.ensure_future(fetch(pool, a_request()))
        await until(lambda: usage(pool).waiting == 1)
        await _ends_with(UpstreamBusy, second, clock, after=21.0)
        assert not first.done()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("timeout=5", 4.0), ('timeout="5", max=100', 4.0), ("timeout=500", 30.0), ("max=5", 30.0), ("timeout=0", 0.0)],
)
async def test_idle_connections_are_closed_in_time(said: str, kept: float) -> None:
    """After 30 s, or before the upstream does when it says how long it keeps a connection."""
    clock = Clock()
    async with (
        scripted_upstream(answering(b"hello", f"Keep-Alive: {said}")) as upstream,
        pool_to(upstream, timeouts=QUICK, clock=clock) as pool,
    ):
        await fetch(pool, a_request())
        assert usage(pool).idle == 1
        if kept:
            await clock.later(kept - 0.5)
            assert usage(pool).idle == 1
        await clock.later(0.6)
        await until(lambda: usage(pool).connections == 0)


async def test_nobody_is_there_to_connect_to() -> None:
    """A closed port is unreachable, and does not use up a place."""
    async with scripted_upstream(silent) as upstream:
        url = upstream.url
    async with pool_to(url, max_connections=1) as pool:
        for _ in range(3):
            with pytest.raises(UpstreamUnreachable):
                await fetch(pool, a_request())
        assert usage(pool).connections == 0


async def test_connecting_takes_too_long() -> None:
    """A handshake that is not answered ends with the connect time (TLS to somebody who does not speak it)."""
    async with scripted_upstream(silent) as upstream:
        url = upstream.url.replace("http:", "https:")
        async with pool_to(url, timeouts=HASTY, tls=an_upstream_tls(), max_connections=1) as pool:
            for _ in range(2):
                with pytest.raises(UpstreamTimeout):
                    await fetch(pool, a_request())


async def test_what_was_given_up_while_it_connected_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The total time ends before the connection stands: the browser is told so, and the upstream does nothing for it."""
    clock, connected, may_go_on = Clock(), asyncio.Event(), asyncio.Event()
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def listening(it: Conversation) -> None:
        await seen.put(await it.reader.read())

    async with scripted_upstream(listening) as upstream, pool_to(upstream, timeouts=LIMITS, clock=clock) as pool:
        dial = pool.dial

        async def slowly(make: Callable[[], Connection]) -> Connection:
            connection = await dial(make)
            connected.set()
            await may_go_on.wait()
            return connection

        monkeypatch.setattr(pool, "dial", slowly)
        exchange = asyncio.create_task(fetch(pool, a_request(b"POST")))
        await connected.wait()
        await clock.later(100 * MS)
        may_go_on.set()
        with pytest.raises(UpstreamTimeout):
            await exchange
        assert await seen.get() == b""


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize("said", ["bytes", "end"])
async def test_what_the_loop_has_not_told_yet_counts(said: str) -> None:
    """An answer to nothing, or an end, that lies in the socket when a request comes: it goes out on another connection."""

    async def speaking(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"first"))
        await it.gone()

    async with scripted_upstream(speaking, answering(b"second")) as upstream, pool_to(upstream) as pool:
        await fetch(pool, a_request())
        with socket.socket(fileno=os.dup(upstream.conversations[0].writer.get_extra_info("socket").fileno())) as plain:
            if said == "bytes":
                plain.send(response(b"evil"))
            else:
                plain.shutdown(socket.SHUT_WR)
            assert usage(pool).idle == 1  # the loop has not turned
            assert (await fetch(pool, a_request(b"POST"))).content == b"second"


@pytest.mark.requirement("R-250")
async def test_a_request_that_is_not_all_written_leaves_nothing_behind() -> None:
    """An answer to half of it is delivered; what the upstream has not taken must not stand before the next request."""
    size = 20_000_000

    async def hasty(it: Conversation) -> None:
        await it.head()
        it.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transport
        await it.send(response(b"enough"))
        await asyncio.Event().wait()

    async with scripted_upstream(hasty, answering(b"second")) as upstream, pool_to(upstream) as pool:
        first = await fetch(pool, a_request(b"POST", length=size), AsgiBrowser([b"x" * size]))
        assert (first.status, first.content) == (200, b"enough")
        assert usage(pool).idle == 0
        assert (await fetch(pool, a_request())).content == b"second"


async def test_a_closed_pool_keeps_no_connection() -> None:
    """A request that comes after the end is served, and its connection closed."""
    async with scripted_upstream(echo) as upstream, pool_to(upstream) as pool:
        await pool.aclose()
        assert (await fetch(pool, a_request())).status == 200
        assert usage(pool).idle == 0


async def test_closing_the_pool_breaks_what_is_under_way() -> None:
    """Whoever waits for an answer, or for a connection, hears of the end."""
    async with scripted_upstream(silent) as upstream, pool_to(upstream, max_connections=1) as pool:
        tasks = [asyncio.ensure_future(fetch(pool, a_request())) for _ in range(2)]
        await until(lambda: upstream.open == 1 and usage(pool).waiting == 1)
        await pool.aclose()
        assert all(isinstance(end, UpstreamUnreachable) for end in await asyncio.gather(*tasks, return_exceptions=True))
