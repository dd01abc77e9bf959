"""From status line to last byte: what is passed untouched, what is told as a failure, and whose bytes are whose."""

import asyncio
import gzip
import json
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from support.gateway_world import SERVER
from support.raw_browser import Truncated
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import Conversation, Received, response, scripted_upstream
from support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPECT = b"Expect: 100-continue"
MIB = 1024 * 1024


@pytest.mark.requirement("R-248")
async def test_an_expectation_is_answered(site: RawWorld) -> None:
    """100 comes when somebody wants the content; the field itself stays with us, and the connection goes on."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /api/x", EXPECT, b"Content-Length: 5"))
        assert await browser.interim_reply() == 100
        await browser.say(b"hello")
        reply = await browser.reply()
        assert (reply.status, reply.closes) == (200, False)
        await browser.say(site.request("GET /open/y"))
        assert (await browser.reply()).status == 200
    assert (site.seen[0].content, site.seen[0].values(b"expect")) == (b"hello", [])


@pytest.mark.requirement("R-248")
@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("POST /api/x", (b"X-CSRF: 1",), 401),
        ("POST /api/x", (), 403),
        ("POST /open/../api", (), 400),
        ("POST /nowhere", (), 404),
        ("TRACE /open/x", (), 405),
        ("POST /bff/user", (), 405),
        ("POST /small/x", (), 413),
    ],
)
async def test_a_refusal_does_not_ask_for_the_content(
    site: RawWorld, line: str, fields: tuple[bytes, ...], status: int
) -> None:
    """The final status comes without a 100, and ends the connection: nobody knows whether the content follows."""
    async with site.connect() as browser:
        await browser.say(site.request(line, EXPECT, b"Content-Length: 5000", *fields, signed_in=False))
        reply = await browser.reply()
        assert (reply.status, reply.interim) == (status, ())
        if SERVER == "bff":  # hyper decides by itself whether the connection goes on
            assert reply.closes
            assert await browser.rest() == b""
    assert site.seen == []


@pytest.mark.requirement("R-248")
async def test_http_1_0_gets_no_interim_answer(site: RawWorld) -> None:
    """It knows none, whatever it expects."""
    reply = await site.ask(site.request("POST /open/x", EXPECT, body=b"hello", version="1.0"))
    assert (reply.status, reply.interim) == (200, ())
    assert site.seen[0].content == b"hello"


@pytest.mark.requirement("R-248")
async def test_interim_answers_of_the_upstream_are_tolerated(site: RawWorld) -> None:
    """103 and 100, one or many, come before the answer and are not taken for it; ASGI cannot pass them on."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: a=early\r\n\r\n"
    site.answer_next(early * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"final", "X-Final: 1"))
    async with site.connect() as browser:
        await browser.say(site.request("GET /open/x") + site.request("GET /open/y"))
        first, second = await browser.reply(), await browser.reply()
    assert (first.status, first.body, first.values("set-cookie"), first.values("link")) == (200, b"final", [], [])
    assert second.body == b"fine"


@pytest.mark.requirement("R-249")
@pytest.mark.parametrize(
    ("line", "body", "times"),
    [
        ("POST /open/x", b"pay 5", 1),
        ("POST /open/x", b"", 1),
        ("POST /open/x", None, 1),
        ("PATCH /open/x", b"1", 1),
        ("DELETE /open/x", b"1", 1),
        ("PUT /open/x", b"1", 1),
    ],
)
async def test_a_request_that_may_have_been_done_is_not_repeated(line: str, body: bytes | None, times: int) -> None:
    """On a connection that was good before: the upstream takes the request and closes. It got it once, the browser gets 502."""
    taken: list[Received] = []

    async def closing(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"first"))
        taken.append(await it.request())

    async with raw_world(closing, signed_in=False) as site:
        assert (await site.ask(site.request("GET /open/first"))).status == 200
        assert (await site.ask(site.request(line, body=body))).status == 502
        assert len(site.upstream.conversations) == 1
    assert len(taken) == times


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nX: y\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ],
)
async def test_a_reply_that_ends_early_looks_like_one(cut: bytes) -> None:
    """The browser's connection breaks in the middle: no length is met, no last chunk comes."""

    async def cutting(it: Conversation) -> None:
        await it.request()
        await it.send(cut)

    async with raw_world(cutting, signed_in=False) as site, site.connect() as browser:
        await browser.say(site.request("GET /open/x"))
        with pytest.raises(Truncated) as truncated:
            await browser.reply()
    assert truncated.value.status in {200, 0}  # 0: broken off before the head had left
    assert b"0\r\n" not in truncated.value.body


async def test_a_file_that_becomes_shorter_looks_like_one_too(tmp_path: Path) -> None:
    """The connection breaks in the middle, and the log has one line for it, without a traceback."""
    (tmp_path / "index.html").write_text("the app")
    film = tmp_path / "film.mp4"
    film.touch()
    os.truncate(film, 64 * MIB)
    routes = [{"path": "/app", "files": str(tmp_path)}]
    async with raw_world(signed_in=False, routes=routes) as site, site.connect() as browser:
        with capture_logs() as logs:
            await browser.say(site.request("GET /app/film.mp4"))
            status, _ = await browser.head()
            assert browser.wire.transport is not None
            browser.wire.transport.pause_reading()
            os.truncate(film, MIB)
            browser.wire.transport.resume_reading()
            assert len(await browser.rest()) < 64 * MIB
            await until(lambda: bool(logs))
    assert status == 200
    assert [(entry["event"], entry["log_level"], entry["reason"]) for entry in logs] == [
        ("file.broke_off", "warning", "shorter")
    ]
    assert (logs[0]["route"], logs[0]["path"]) == ("/app", "/app/film.mp4")


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize(
    "cut", [b"", b"HTTP", b"HTTP/1.1 200 OK\r\nContent-Le", b"\x00\x01", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"]
)
async def test_a_reply_without_a_head_is_a_bad_gateway(cut: bytes) -> None:
    """Nothing had been told to the browser: it gets 502."""

    async def cutting(it: Conversation) -> None:
        await it.request()
        await it.send(cut)

    async with raw_world(cutting, signed_in=False) as site:
        assert (await site.ask(site.request("POST /open/x", body=b"1"))).status == 502


@pytest.mark.requirement("R-250", "R-235")
@pytest.mark.parametrize(
    "first",
    [
        response(b"mine") + response(b"CANARY"),
        response(b"mine") + b"CANARY",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nCANARY",
        b"HTTP/1.1 304 Not Modified\r\n\r\n" + response(b"CANARY"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmine\r\n0\r\n\r\n" + response(b"CANARY"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_what_an_upstream_says_too_much_reaches_nobody(first: bytes, late: bool) -> None:
    """Bytes after a reply, with it or later: neither this user nor the next one on the same pool ever gets one of them."""
    served: list[int] = []

    async def saying(it: Conversation) -> None:
        while True:
            await it.request()
            served.append(it.number)
            if it.number > 0 or len(served) > 1:
                await it.send(response(b"yours"))
            elif late:
                end = first.index(b"CANARY")
                await it.send(first[:end], first[end:])
            else:
                await it.send(first)

    async with raw_world(saying, signed_in=False) as site, site.connect() as one, site.connect() as other:
        await one.say(site.request("GET /open/x"))
        await one.reply()
        await other.say(site.request("GET /open/y") + site.request("GET /open/z"))
        replies = [await other.reply() for _ in range(2)]
        await one.say(site.request("GET /open/x", b"Connection: close"))
        rest = await one.rest()
    assert [reply.body for reply in replies] == [b"yours", b"yours"]
    assert b"CANARY" not in rest


@pytest.mark.requirement("R-250", "R-251")
async def test_an_answer_to_head_with_content_reaches_nobody(site: RawWorld) -> None:
    """An upstream that answers HEAD with content: the content is nobody's reply."""
    site.answer_next(response(b"CANARY"), response(b"yours"))
    async with site.connect() as browser:
        await browser.say(site.request("HEAD /open/x"))
        reply = await browser.reply(to="HEAD")
        assert (reply.status, reply.values("content-length")) == (200, ["6"])
        await browser.say(site.request("GET /open/y"))
        assert (await browser.reply()).body == b"yours"


@pytest.mark.requirement("R-251")
@pytest.mark.parametrize(
    ("method", "answer", "status", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: a\r\n\r\n", 200, ["10"]),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: a\r\n\r\n", 200, []),
        ("HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nETag: a\r\n\r\n", 404, ["0"]),
        ("GET", b"HTTP/1.1 204 No Content\r\nETag: a\r\n\r\n", 204, []),
        ("GET", b"HTTP/1.1 204 No Content\r\nETag: a\r\nContent-Length: 0\r\n\r\n", 204, []),
        ("DELETE", b"HTTP/1.1 204 No Content\r\nETag: a\r\n\r\n", 204, []),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n", 304, []),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: a\r\nContent-Length: 99\r\n\r\n", 304, []),
        ("GET", b"HTTP/1.1 200 OK\r\nETag: a\r\nContent-Length: 0\r\n\r\n", 200, ["0"]),
        ("GET", b"HTTP/1.1 299 Odd\r\nETag: a\r\nContent-Length: 0\r\n\r\n", 299, ["0"]),
        ("GET", b"HTTP/1.1 599 Odd\r\nETag: a\r\nContent-Length: 0\r\n\r\n", 599, ["0"]),
        ("GET", b"HTTP/1.0 200 OK\r\nETag: a\r\nContent-Length: 0\r\n\r\n", 200, ["0"]),
    ],
)
async def test_replies_without_content_are_framed_right(
    site: RawWorld, method: str, answer: bytes, status: int, length: list[str]
) -> None:
    """The fields pass, no content is invented, and the next reply on the connection is read from its first byte."""
    site.answer_next(answer)
    async with site.connect() as browser:
        await browser.say(site.request(f"{method} /open/x"))
        reply = await browser.reply(to=method)
        assert (reply.status, reply.values("content-length"), reply.body) == (status, length, b"")
        assert reply.values("etag") == ["a"]
        await browser.say(site.request("GET /open/y"))
        assert (await browser.reply()).body == b"fine"


@pytest.mark.requirement("R-251")
async def test_cookies_stay_lines_of_their_own(site: RawWorld) -> None:
    """Three Set-Cookie lines are three, in their order; commas in them part nothing."""
    lines = ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2, 3", "a=4"]
    site.answer_next(response(b"", *(f"Set-Cookie: {line}" for line in lines)))
    assert (await site.ask(site.request("GET /open/x"))).values("set-cookie") == lines


PACKED = gzip.compress(b"squeezed")


@pytest.mark.requirement("R-252")
@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (
            (b"Accept-Encoding: gzip",),
            response(PACKED, "Content-Encoding: gzip", 'ETag: "a-gzip"', "Vary: Accept-Encoding"),
        ),
        (
            (b"Accept-Encoding: br, *;q=0",),
            response(b"\x0b\x02\x80not-really-brotli", "Content-Encoding: br", 'ETag: W/"b"'),
        ),
        (
            (b"Range: bytes=2-4", b'If-Range: "a"'),
            response(b"cde", "Content-Range: bytes 2-4/26", 'ETag: "a"', status="206 Partial Content"),
        ),
        (
            (b"Range: bytes=99-",),
            response(b"", "Content-Range: bytes */26", "Accept-Ranges: bytes", status="416 Range Not Satisfiable"),
        ),
        (
            (b'If-None-Match: "a", W/"b"', b"If-Modified-Since: Wed, 21 Oct 2026 07:28:00 GMT"),
            response(
                b"x", "Cache-Control: no-transform, max-age=60", "Age: 7", "Warning: 214 - x", 'Digest: sha-256="y"'
            ),
        ),
    ],
    ids=["gzip", "br", "206", "416", "no-transform"],
)
async def test_representations_pass_untouched(site: RawWorld, asked: tuple[bytes, ...], answer: bytes) -> None:
    """Neither the content nor what describes it changes, nor what the browser asked for."""
    site.answer_next(answer)
    reply = await site.ask(site.request("GET /open/x", *asked))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert reply.body == content
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.decode().partition(": ")
        assert reply.values(name.lower()) == [value]
    for line in asked:
        name, _, value = line.partition(b": ")
        assert site.seen[0].values(name.lower()) == [value]


@pytest.mark.requirement("R-253")
@pytest.mark.parametrize("path", ["/open/x", "/api/x", "/bff/user", "/"])
async def test_trace_is_refused(site: RawWorld, path: str) -> None:
    """405 with what is allowed, and nothing of the request is echoed."""
    reply = await site.ask(site.request(f"TRACE {path}", b"X-Secret: canary"))
    assert reply.status in {404, 405}
    assert b"canary" not in reply.body
    assert site.cookie not in reply.body
    assert site.seen == []


@pytest.mark.requirement("R-253")
@pytest.mark.parametrize(
    "method", ["get", "Get", "FOO", "M-SEARCH", "PURGE", "DESCRIBE", "!#$%&'*+-.^_`|~9", "A" * 100]
)
@pytest.mark.parametrize("path", ["/open/x", "/bff/user", "/elsewhere"])
async def test_a_method_that_is_not_known_is_not_implemented(site: RawWorld, method: str, path: str) -> None:
    """RFC 9110 section 9.1: 501. It is not forwarded, its connection is closed, and what follows is not read as anything."""
    async with site.connect() as browser:
        await browser.say(site.request(f"{method} {path}", body=b"content"), site.request("GET /open/canary"))
        reply = await browser.reply()
        assert (reply.status, reply.closes) == (501, True)
        assert b"urn:bff:problem:not-implemented" in reply.body
        assert await browser.rest() == b""
    assert site.seen == []


@pytest.mark.requirement("R-253")
@pytest.mark.parametrize("method", ["PROPFIND", "REPORT", "TRACE"])
async def test_a_method_that_is_known_and_not_let_through_is_not_allowed(site: RawWorld, method: str) -> None:
    """405 with what is allowed (RFC 9110 section 15.5.6)."""
    reply = await site.ask(site.request(f"{method} /open/x"))
    assert (reply.status, "GET" in reply.values("allow")[0]) == (405, True)
    assert site.seen == []


@pytest.mark.requirement("R-253")
@pytest.mark.parametrize("target", [b"upstream:80", b"HOST", b"/open/x", b"http://HOST/open/x", b"169.254.169.254:80"])
async def test_connect_is_refused(site: RawWorld, target: bytes) -> None:
    """No tunnel, to nobody: refused, closed, and what follows is not read as anything."""
    async with site.connect() as browser:
        await browser.say(
            site.request(b"CONNECT " + target.replace(b"HOST", site.host)), site.request("GET /open/canary")
        )
        reply = await browser.reply()
        assert reply.status in {400, 501}
        assert reply.closes
        assert await browser.rest() == b""
    assert site.seen == []


@pytest.mark.requirement("R-253")
async def test_max_forwards_counts_for_options(site: RawWorld) -> None:
    """0 is answered here with what is allowed; more is counted down; another method passes it as it is; nonsense passes."""
    here = await site.ask(site.request("OPTIONS /open/x", b"Max-Forwards: 0"))
    assert here.status in {200, 204}
    assert "OPTIONS" in here.values("allow")[0]
    assert site.seen == []
    for line, sent, arrived in (
        ("OPTIONS /open/x", b"3", b"2"),
        ("OPTIONS /open/x", b"1", b"0"),
        ("GET /open/x", b"0", b"0"),
        ("OPTIONS /open/x", b"x", b"x"),
    ):
        site.forget()
        assert (await site.ask(site.request(line, b"Max-Forwards: " + sent))).status == 200
        assert site.seen[0].values(b"max-forwards") == [arrived]


@pytest.mark.requirement("R-254")
@pytest.mark.parametrize("protocol", [b"h2c", b"H2C", b"h2c, websocket", b"TLS/1.2", b"foo", b"websocket, h2c"])
@pytest.mark.parametrize("body", [None, b"GET /open/canary HTTP/1.1\r\nHost: x\r\n\r\n"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_an_upgrade_that_is_not_ours_is_ignored(
    site: RawWorld, protocol: bytes, body: bytes | None, chunked: bool
) -> None:
    """The request is an ordinary one: with its content, in one segment or more, and with the next request behind it."""
    upgrade = (b"Connection: Upgrade", b"Upgrade: " + protocol)
    if chunked and body:
        content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        request = site.request("POST /open/x", *upgrade, b"Transfer-Encoding: chunked") + content
    else:
        request = site.request("POST /open/x", *upgrade, body=body)
    cut = len(request) - len(body or b"")
    for pieces in (
        (request + site.request("GET /open/y"),),
        (request[:cut], request[cut:], site.request("GET /open/y")),
    ):
        site.forget()
        async with site.connect() as browser:
            await browser.say(*pieces)
            assert [(await browser.reply()).status for _ in range(2)] == [200, 200]
        assert site.targets == [b"/x", b"/y"]
        assert site.seen[0].content == (body or b"")
        assert site.seen[0].values(b"upgrade") == site.seen[0].values(b"connection") == []


@pytest.mark.requirement("R-254")
async def test_an_upstream_cannot_switch_protocols(site: RawWorld) -> None:
    """101 without our asking is a broken reply, not a tunnel."""
    site.answer_next(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nCANARY")
    reply = await site.ask(site.request("GET /open/x", b"Connection: Upgrade", b"Upgrade: h2c"))
    assert reply.status == 502
    assert b"CANARY" not in reply.body


@pytest.mark.requirement("R-262")
async def test_events_come_when_they_are_sent() -> None:
    """Each piece is passed before the next one is made."""

    async def ticking(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            await gate.acquire()
            await it.send(b"9\r\ndata: %d\n\n\r\n" % number)
        await it.gone()

    gate = asyncio.Semaphore(0)
    async with raw_world(ticking) as site, site.connect() as browser:
        await browser.say(site.request("GET /api/events"))
        status, _ = await browser.head()
        assert status == 200
        for number in range(3):
            gate.release()
            assert b"data: %d\n\n" % number in await browser.some()


@pytest.mark.requirement("R-262")
async def test_content_goes_up_as_it_comes() -> None:
    """The upstream reads the first piece before the second is sent."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def listening(it: Conversation) -> None:
        await it.head()
        for piece in (b"one", b"two"):
            assert await it.reader.readexactly(8) == b"3\r\n%b\r\n" % piece
            heard.put_nowait(piece)
        await it.reader.readexactly(5)
        await it.send(response(b"fine"))

    async with raw_world(listening) as site, site.connect() as browser:
        await browser.say(site.request("POST /api/x", b"Transfer-Encoding: chunked"))
        for piece in (b"one", b"two"):
            await browser.say(b"3\r\n%b\r\n" % piece)
            assert await heard.get() == piece
        await browser.say(b"0\r\n\r\n")
        assert (await browser.reply()).status == 200


@pytest.mark.requirement("R-262")
@pytest.mark.parametrize("moment", ["before the head", "in the content", "in the upload"])
async def test_a_browser_that_leaves_ends_the_upstreams_work(moment: str) -> None:
    """The upstream's connection closes, whatever was going on."""
    begun, left = asyncio.Event(), asyncio.Event()

    async def working(it: Conversation) -> None:
        await it.head()
        if moment == "in the content":
            await it.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        begun.set()
        await it.gone()
        left.set()

    async with raw_world(working) as site, site.connect() as browser:
        upload = moment == "in the upload"
        some = site.request("POST /api/x", b"Content-Length: 10") + b"some"
        await browser.say(some if upload else site.request("GET /api/x"))
        async with asyncio.timeout(15):
            await begun.wait()
        if moment == "in the content":
            await browser.head()
        browser.leave()
        async with asyncio.timeout(15):
            await left.wait()


@pytest.mark.requirement("R-262")
async def test_a_browser_that_leaves_pipelined_requests_behind_ends_the_upstreams_work() -> None:
    """The answer under way is given up too, not only the one that was asked for last."""
    left = asyncio.Event()

    async def ticking(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await it.send(b"4\r\ntick\r\n")
        finally:
            left.set()

    async with raw_world(ticking, signed_in=False) as site, site.connect() as browser:
        await browser.say(site.request("GET /open/x") + site.request("GET /open/y"))
        await browser.head()
        browser.leave()
        async with asyncio.timeout(15):
            await left.wait()


@pytest.mark.requirement("R-262")
async def test_a_browser_that_does_not_read_holds_the_upstream_back() -> None:
    """Of an endless reply only what buffers hold is taken, and the rest when the browser reads again."""
    sent = 0

    async def endless(it: Conversation) -> None:
        nonlocal sent
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            it.writer.write(b"x" * 65536)
            await it.writer.drain()
            sent += 65536

    async with raw_world(endless) as site, site.connect() as browser:
        browser.read_no_more()
        await browser.say(site.request("GET /api/x"))
        before, quiet = -1, 0
        while quiet < 20:  # turns of the loop in which nothing more was taken
            await asyncio.sleep(0.01)
            quiet = quiet + 1 if sent == before else 0
            before = sent
        assert 0 < sent < 100_000_000


@pytest.mark.requirement("R-265")
async def test_a_failing_upstream_is_not_described() -> None:
    """502 and 504 name no host, port, path, reason or class of error; the request id is all there is to ask about."""
    canaries = (
        b"canary-host",
        b"9\r",
        b":9/",
        b"canary-base",
        b"canary-query",
        b"gaierror",
        b"Errno",
        b"Traceback",
        b"refused",
    )
    async with scripted_upstream(never) as slow:
        routes = [
            {"path": "/dns", "upstream": "http://canary-host.invalid/canary-base", "token": "none"},
            {"path": "/tcp", "upstream": "http://127.0.0.1:9/canary-base", "token": "none"},
            {
                "path": "/slow",
                "upstream": slow.url + "/canary-base",
                "token": "none",
                "timeouts": {"first_byte": "50ms"},
            },
            {"path": "/junk", "upstream": "{raw}/canary-base", "token": "none"},
        ]
        async with raw_world(routes=routes, signed_in=False) as site:
            for path, status in (("dns", 502), ("tcp", 502), ("slow", 504), ("junk", 502)):
                site.answer_next(b"canary-host says: Errno 9\r\n\r\n")
                reply = await site.ask(site.request(f"GET /{path}/x?canary-query"))
                assert reply.status == status
                assert json.loads(reply.body)["request_id"]
                told = reply.body + b"".join(value for _, value in reply.fields)
                assert not [canary for canary in canaries if canary in told]
                assert str(slow.port).encode() not in told


async def never(it: Conversation) -> None:
    """Says nothing."""
    await it.gone()
