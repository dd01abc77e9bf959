"""Where a request ends: whatever could be read in two ways is refused, and what hides in it never becomes a request (RFC 9112)."""

import pytest

from support.raw_browser import RawBrowser
from support.raw_world import CANARY, SMUGGLED, RawWorld

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def refused(browser: RawBrowser, *, status: int = 400) -> None:
    """The one reply refuses, and the connection is closed behind it."""
    reply = await browser.reply()
    assert reply.status == status
    assert reply.closes
    assert await browser.rest() == b""


LENGTH_AND_CODING = [
    [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
    [b"Content-Length: 0", b"Transfer-Encoding: chunked"],
    [b"content-length: 5", b"TRANSFER-ENCODING: Chunked"],
    [b"Transfer-Encoding: chunked", b"Content-Length: 5", b"Connection: content-length"],
    [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: transfer-encoding"],
]


@pytest.mark.requirement("R-235")
@pytest.mark.parametrize("fields", LENGTH_AND_CODING, ids=lambda lines: b",".join(lines).decode())
@pytest.mark.parametrize("path", ["/open/x", "/api/x", "/bff/backchannel-logout/corp"])
async def test_length_and_coding_together_are_refused(site: RawWorld, fields: list[bytes], path: str) -> None:
    """400 and close; neither the request nor what is hidden behind either end of it reaches the upstream."""
    async with site.connect() as browser:
        await browser.say(site.request(f"POST {path}", *fields) + b"0\r\n\r\n" + SMUGGLED)
        await refused(browser)
    assert site.seen == []


CODINGS = [
    (b"gzip", 400),
    (b"chunked, gzip", 400),
    (b"chunked, chunked", 400),
    (b"identity", 400),
    (b"xchunked", 400),
    (b"chunkedx", 400),
    (b"chunked;q=1", 400),
    (b'"chunked"', 400),
    (b"", 400),
    (b"gzip, chunked", 501),
    (b"identity, chunked", 501),
]


@pytest.mark.requirement("R-236")
@pytest.mark.parametrize(("coding", "status"), CODINGS)
async def test_a_coding_that_is_not_exactly_chunked_is_refused(site: RawWorld, coding: bytes, status: int) -> None:
    """400 where the end of the content is unknown, 501 where an unknown coding is below `chunked`; then the connection closes."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /open/x", b"Transfer-Encoding: " + coding) + b"0\r\n\r\n" + SMUGGLED)
        await refused(browser, status=status)
    assert site.seen == []


@pytest.mark.requirement("R-236")
@pytest.mark.parametrize(
    "fields",
    [
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding:\x0bchunked"],
        [b"Transfer-Encoding : chunked"],
        [b"X: y\nTransfer-Encoding: chunked"],
        [b" Transfer-Encoding: chunked"],
    ],
    ids=repr,
)
async def test_a_coding_said_in_a_strange_way_is_refused(site: RawWorld, fields: list[bytes]) -> None:
    """Twice, with control characters, behind a space or on a line of its own: 400, and nothing is forwarded."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /open/x", *fields) + b"0\r\n\r\n" + SMUGGLED)
        reply = await browser.reply()
        assert reply.status in {400, 501}
        assert await browser.rest() == b""
    assert site.seen == []


@pytest.mark.requirement("R-236", "R-260")
async def test_a_coding_with_an_underscore_is_not_the_coding(site: RawWorld) -> None:
    """`Transfer_Encoding` says nothing: the request has no content, and the name is not forwarded."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /open/x", b"Transfer_Encoding: chunked", b"Content_Length: 99"))
        assert (await browser.reply()).status == 200
    assert site.seen[0].content == b""
    assert not [name for name, _ in site.seen[0].fields if b"_" in name]


@pytest.mark.requirement("R-236")
@pytest.mark.parametrize("keep_alive", [(), (b"Connection: keep-alive",)])
async def test_a_coding_in_http_1_0_is_refused(site: RawWorld, keep_alive: tuple[bytes, ...]) -> None:
    """Whoever speaks HTTP/1.0 cannot have meant it: 400 and close, whatever Connection says."""
    async with site.connect() as browser:
        request = site.request("POST /open/x", b"Transfer-Encoding: chunked", *keep_alive, version="1.0")
        await browser.say(request + b"0\r\n\r\n" + SMUGGLED)
        await refused(browser)
    assert site.seen == []


LENGTHS = [
    b"+5", b"-5", b"5, 6", b"5, 5", b"5 5", b"0x5", b"5;", b"5.0", b"1e1", b"", b" ", b"'5'", b"\xb2", b"1" + b"0" * 30,
    b"18446744073709551616", b"5\x00",
]  # fmt: skip


@pytest.mark.requirement("R-237")
@pytest.mark.parametrize("length", LENGTHS)
async def test_a_length_that_is_no_number_is_refused(site: RawWorld, length: bytes) -> None:
    """400 and close; the upstream sees nothing."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /open/x", b"Content-Length: " + length) + b"hello" + SMUGGLED)
        await refused(browser)
    assert site.seen == []


@pytest.mark.requirement("R-237")
@pytest.mark.parametrize("second", [b"6", b"5", b"0", b"05"])
async def test_two_lengths_are_refused(site: RawWorld, second: bytes) -> None:
    """Different or the same: 400 and close."""
    async with site.connect() as browser:
        request = site.request("POST /open/x", b"Content-Length: 5", b"Content-Length: " + second)
        await browser.say(request + b"hello" + SMUGGLED)
        await refused(browser)
    assert site.seen == []


@pytest.mark.requirement("R-237")
@pytest.mark.parametrize("length", [b"+5", b"5, 6", b"0x5", b"1" + b"0" * 30, b"-1"])
async def test_a_bad_length_from_the_upstream_is_a_bad_gateway(site: RawWorld, length: bytes) -> None:
    """502, and the connection to the upstream is not used again."""
    site.answer_next(b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\nhello")
    before = len(site.upstream.conversations)
    assert (await site.ask(site.request("GET /open/x"))).status == 502
    assert (await site.ask(site.request("GET /open/x"))).status == 200
    assert len(site.upstream.conversations) == max(before, 1) + 1


HEADS = [
    b"Host : a",
    b"X-Thing : a",
    b"X-Thing\t: a",
    b"X-Thing: a\r\n folded",
    b"X-Thing: a\r\n\tfolded",
    b"X-Thing: a\rb",
    b"X-Thing: a\r",
    b"X-Thing: a\nX-Other: b",
    b"X-Thing: a\x00b",
    b"X-Thing: a\x01b",
    b"X-Thing: a\x7fb",
    b"X\x00Thing: a",
    b": nameless",
    b"no colon",
    b"X Thing: a",
    b"X(Thing): a",
    b"X\xe9: a",
]


@pytest.mark.requirement("R-238")
@pytest.mark.parametrize("line", HEADS)
async def test_a_field_line_that_others_read_differently_is_refused(site: RawWorld, line: bytes) -> None:
    """White space before the colon, folding, bare CR or LF, NUL and controls, no name: 400 and close."""
    async with site.connect() as browser:
        await browser.say(site.request("GET /open/x", line) + SMUGGLED)
        await refused(browser)
    assert site.seen == []


@pytest.mark.requirement("R-238")
@pytest.mark.parametrize(
    "start",
    [
        b"GET /open/x HTTP/1.1\r\n Host: localhost\r\n",
        b"GET /open/x HTTP/1.1\r\n\tX: y\r\n",
        b"GET /open/x HTTP/1.1\r\n \r\n",
        b" GET /open/x HTTP/1.1\r\n",
        b"GET /open/x HTTP/1.1\n",
        b"GET /open/x HTTP/1.1\r",
        b"GET /open/x\x00 HTTP/1.1\r\n",
        b"GET\t/open/x HTTP/1.1\r\n",
        b"GET /open/x HTTP/1.1 \r\n",
        b"GET /open/x http/1.1\r\n",
        b"GET /open/x HTTP/1.2\r\n",
        b"GET /open/x HTTP/2.0\r\n",
        b"GET /open/x HTTP/0.9\r\n",
        b"GET /open/x HTTP/11.1\r\n",
        b"GET /open/x\r\n",
        b"GET /open/x y HTTP/1.1\r\n",
        b"GET HTTP/1.1\r\n",
        b"G\xc9T /open/x HTTP/1.1\r\n",
        b"NO(METHOD /open/x HTTP/1.1\r\n",
    ],
)
async def test_a_start_line_that_others_read_differently_is_refused(site: RawWorld, start: bytes) -> None:
    """A line of white space behind it, bare CR or LF, another version, spaces in the target: refused and closed."""
    async with site.connect() as browser:
        await browser.say(start + site.fields() + SMUGGLED)
        reply = await browser.reply()
        assert reply.status in {400, 505}
        assert await browser.rest() == b""
    assert site.seen == []


BAD_CHUNKS = [
    b"5\nhello\n0\n\n",
    b"5\r\nhelloX0\r\n\r\n",
    b"5\r\nhello\r\r\n0\r\n\r\n",
    b"5\r\nhello0\r\n\r\n",
    b"g\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-1\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b"5\rhello\r\n0\r\n\r\n",
    b"5_0\r\nhello\r\n0\r\n\r\n",
    b"FFFFFFFFFFFFFFFF0\r\nhello",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5;\x00\r\nhello\r\n0\r\n\r\n",
    b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
    b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\n\r\n",
]


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize("content", BAD_CHUNKS)
async def test_malformed_chunks_are_refused(site: RawWorld, content: bytes) -> None:
    """400 and close; no request is complete at the upstream, and what follows is no request."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /open/x", b"Transfer-Encoding: chunked") + content + SMUGGLED)
        await refused(browser)
    assert site.seen == []


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize("content", BAD_CHUNKS)
async def test_malformed_chunks_are_refused_byte_by_byte(site: RawWorld, content: bytes) -> None:
    """However the bytes come, the verdict is the same."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /open/x", b"Transfer-Encoding: chunked"))
        await browser.say_bytewise(content + b"\r\n" * 4)
        reply = await browser.reply()
        assert reply.status == 400
        assert await browser.rest() == b""
    assert site.seen == []


@pytest.mark.requirement("R-246")
async def test_chunk_extensions_are_ignored(site: RawWorld) -> None:
    """They belong to one hop: the upstream gets the content in chunks of our own."""
    request = site.request("POST /open/x", b"Transfer-Encoding: chunked")
    reply = await site.ask(request + b'5;a=b;c="d"\r\nhello\r\n001;x\r\n!\r\n0;last\r\n\r\n')
    assert reply.status == 200
    assert site.seen[0].content == b"hello!"


@pytest.mark.requirement("R-246", "R-261")
@pytest.mark.parametrize(
    "flood",
    [
        b"5;" + b"a" * 70_000,
        b"0" * 70_000,
        b"1;" + b"a" * 6_000 + b"\r\nx\r\n",
        b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 12_000,
    ],
    ids=["one extension", "zeros", "many extensions", "trailers"],
)
async def test_framing_without_content_is_bounded(site: RawWorld, flood: bytes) -> None:
    """Extensions, zeros or trailers without end are refused long before a megabyte of them was read."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /open/x", b"Transfer-Encoding: chunked"))
        for _ in range(100):
            await browser.say(flood)
            if browser.ended:
                break
        else:
            pytest.fail("it reads on and on")
    assert CANARY not in b"".join(site.targets)
    assert [request.content for request in site.seen] in ([], [b"hello"])


@pytest.mark.requirement("R-247")
@pytest.mark.parametrize("split", [False, True])
async def test_trailers_are_dropped(site: RawWorld, split: bool) -> None:
    """Authorization, X-User and whatever else comes after the content becomes no field of the request, in one segment or many."""
    head = site.request("POST /open/x", b"Transfer-Encoding: chunked", b"Trailer: X-Sum, X-User")
    tail = b"5\r\nhello\r\n0\r\nAuthorization: Bearer evil\r\nX-User: root\r\nX-Sum: 1\r\nHost: evil\r\nX-Forwarded-For: 6\r\n\r\n"
    reply = await site.ask(*((head, tail) if split else (head + tail,)))
    assert reply.status == 200
    (seen,) = site.seen
    assert seen.content == b"hello"
    for name in (b"authorization", b"x-user", b"x-sum", b"trailer", b"content-length"):
        assert seen.values(name) == []
    assert seen.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert seen.values(b"host") == [site.upstream.url.removeprefix("http://").encode()]


@pytest.mark.requirement("R-247")
async def test_trailers_prove_nothing_to_the_guards(site: RawWorld) -> None:
    """Neither a cookie nor X-CSRF may come after the content."""
    head = b"POST /api/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + site.fields(signed_in=False)
    trailers = b"Cookie: " + site.cookie + b"\r\nX-CSRF: 1\r\n\r\n"
    reply = await site.ask(head + b"0\r\n" + trailers)
    assert reply.status == 403
    assert site.seen == []


@pytest.mark.requirement("R-247")
async def test_trailers_of_the_upstream_are_dropped(site: RawWorld) -> None:
    """They are no fields of the response, and no bytes of it either."""
    site.answer_next(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\n"
        b"Set-Cookie: __Host-Http-bff=evil\r\nX-Sum: 1\r\n\r\n"
    )
    async with site.connect() as browser:
        await browser.say(site.request("GET /open/x", b"TE: trailers") + site.request("GET /open/y"))
        first, second = await browser.reply(), await browser.reply()
    assert (first.body, second.body) == (b"hello", b"fine")
    assert first.values("set-cookie") == first.values("x-sum") == first.values("trailer") == []
    assert site.seen[0].values(b"te") == []


@pytest.mark.requirement("R-235", "R-249")
async def test_what_a_body_holds_is_no_request(site: RawWorld) -> None:
    """Requests inside of content, by length or in chunks, arrive as content and as nothing else."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /open/a", body=SMUGGLED))
        assert (await browser.reply()).status == 200
        chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
        await browser.say(site.request("POST /open/b", b"Transfer-Encoding: chunked") + chunk)
        assert (await browser.reply()).status == 200
    assert site.targets == [b"/a", b"/b"]
    assert [request.content for request in site.seen] == [SMUGGLED, SMUGGLED]


@pytest.mark.requirement("R-235")
@pytest.mark.parametrize("path", ["/api/x", "/nowhere", "/bff/user", "/open/../x"])
async def test_the_body_of_a_refused_request_is_no_request(site: RawWorld, path: str) -> None:
    """Whoever is refused before its content was read: the content is thrown away as content, and the next request is the next."""
    async with site.connect() as browser:
        await browser.say(site.request(f"POST {path}", body=SMUGGLED, signed_in=False))
        assert (await browser.reply()).status in {400, 403, 404, 405}
        await browser.say(site.request("GET /open/next"))
        assert (await browser.reply()).status == 200
    assert site.targets == [b"/next"]


@pytest.mark.requirement("R-235")
async def test_pipelined_requests_are_answered_in_order(site: RawWorld) -> None:
    """Three in one segment, with and without content: three answers in order, three requests."""
    site.answer_next(*(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name for name in (b"1", b"2", b"3")))
    async with site.connect() as browser:
        one, three = site.request("GET /open/1"), site.request("GET /api/3")
        await browser.say(one + site.request("POST /open/2", body=b"two") + three)
        assert [(await browser.reply()).body for _ in range(3)] == [b"1", b"2", b"3"]
    assert site.targets == [b"/1", b"/2", b"/3"]


@pytest.mark.requirement("R-235", "R-238")
async def test_a_bad_pipelined_request_is_refused_in_its_turn(site: RawWorld) -> None:
    """The first request gets its own answer, then comes the refusal of the second, then the end."""
    async with site.connect() as browser:
        await browser.say(site.request("GET /open/1") + b"GET /open/2 HTTP/1.1\r\nHost : x\r\n\r\n" + SMUGGLED)
        first = await browser.reply()
        assert (first.status, first.body) == (200, b"fine")
        await refused(browser)
    assert site.targets == [b"/1"]


@pytest.mark.requirement("R-235")
async def test_nothing_follows_a_close(site: RawWorld) -> None:
    """What comes after `Connection: close` is not served."""
    async with site.connect() as browser:
        await browser.say(site.request("GET /open/1", b"Connection: close") + SMUGGLED)
        assert (await browser.reply()).closes
        assert await browser.rest() == b""
    assert site.targets == [b"/1"]


@pytest.mark.requirement("R-235")
async def test_the_upstream_sees_exactly_one_framing(site: RawWorld) -> None:
    """A length stays a length, chunks stay chunks, no content stays none."""
    for fields, body in (
        ((b"Content-Length: 5",), b"hello"),
        ((b"Transfer-Encoding: Chunked",), b"1\r\nh\r\n0\r\n\r\n"),
    ):
        assert (await site.ask(site.request("POST /open/x", *fields) + body)).status == 200
    assert (await site.ask(site.request("POST /open/x"))).status == 200
    with_length, chunked, without = site.seen
    assert (with_length.values(b"content-length"), with_length.values(b"transfer-encoding")) == ([b"5"], [])
    assert (chunked.values(b"content-length"), chunked.values(b"transfer-encoding")) == ([], [b"chunked"])
    assert (without.values(b"content-length"), without.values(b"transfer-encoding")) == ([], [])
