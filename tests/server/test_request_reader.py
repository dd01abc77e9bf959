"""Requests out of bytes, from the outside: the same for every cut, one judgement for each smuggling input, bounded memory."""

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bff import request_head
from bff.config.model import LimitsConfig
from bff.errors import (
    BrowserError,
    ContentTooLarge,
    HeadTooLarge,
    MalformedRequest,
    NotImplementedHere,
    TargetTooLong,
    VersionNotSupported,
)
from bff.request_head import FieldSection, Peer
from bff.server.request_reader import RequestReader
from support.reader_events import PEER, SMALL, TRUSTED, Reading, bytewise, read, take, told_of

DOCUMENTED = (
    ContentTooLarge,
    HeadTooLarge,
    MalformedRequest,
    NotImplementedHere,
    TargetTooLong,
    VersionNotSupported,
)
CANARY = b"GET /canary HTTP/1.1\r\nHost: x\r\n\r\n"
WIDE = LimitsConfig()

# --- streams of requests ----------------------------------------------------------------------------------------------

METHODS = st.sampled_from(
    [b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"CONNECT", b"PRI", b"M-SEARCH", b"get", b"G T"]
)
TARGETS = st.sampled_from(
    [
        *(b"/", b"/a?b=c", b"/%2e%2E/", b"/a//b", b"*", b"", b"a", b"/a#b", b"?", b"/a?b?c=/", b"/\x80", b"x:443"),
        *(b"http://other/x", b"http://other", b"HTTP://o:80/?q", b"http://u@o/", b"https://o/", b"http:///x", b"//o/x"),
        *(b"/" + b"a" * size for size in (57, 58, 59, 60, 61, 90)),
    ]
)
VERSIONS = st.sampled_from(
    [*[b" HTTP/1.1"] * 8, b" HTTP/1.0", b" HTTP/1.0", b" HTTP/2.0", b" HTTP/1.2", b" HTTP/0.9", b" http/1.1", b""]
)
FIELDS = st.sampled_from(
    [
        *(
            b"Host: x",
            b"Host:x",
            b"hOST: y \t",
            b"X: ",
            b"Cookie: a=b",
            b"Connection: close",
            b"Connection: keep-alive",
        ),
        *(
            b"Content-Length: 5",
            b"Content-Length: 0",
            b"Content-Length: 05",
            b"content-length:5 ",
            b"Content-Length: 5, 5",
        ),
        *(b"Content-Length: +5", b"Content-Length: 99999999999999999999", b"Content-Length: 18446744073709551621"),
        *(b"Transfer-Encoding: chunked", b"transfer-encoding: CHUNKED", b"Transfer-Encoding: gzip, chunked"),
        *(b"Transfer-Encoding: identity", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\x0bchunked"),
        *(b"Expect: 100-continue", b"Expect: other", b"Upgrade: websocket", b"Connection: Upgrade", b"Upgrade: h2c"),
        *(b" folded", b"no colon", b": x", b"X: a\x00b", b"X: a\rb", b"X: \xff", b"X: " + b"v" * 100, b"TE: trailers"),
        *(b"X-Request-Id: 1", b"x-request-id:\t2 ", b"X-Request-Id: two words"),
    ]
)
BODIES = st.sampled_from(
    [
        *(b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        *(
            b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
            b"5\r\nhello\r\n",
            b"5\nhello\n0\n\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"hel",
        ),
        *(b"5 \r\nhello\r\n0\r\n\r\n", b"fffffffffffffff\r\n", b"fffffffffffffffff\r\n", b"5\r\nhelloX\r\n0\r\n\r\n"),
    ]
)
WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x85abcd"
)
GOOD = [
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\nX: y\r\n\r\n",
    b"GET http://y/d HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PUT /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    b"GET /f HTTP/1.0\r\nHost: x\r\n\r\n",
    b"\r\n\r\nHEAD /g HTTP/1.1\r\nHost: x\r\n\r\n",
    b"DELETE /h HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    WEBSOCKET,
]
SPLICES = st.sampled_from(
    [
        *(
            b"\r",
            b"\n",
            b"\r\n",
            b"\x00",
            b" ",
            b"\t",
            b":",
            b";",
            b"0",
            b"5",
            b"+",
            b"0x",
            b"\xff",
            b",",
            b"\r\n\r\n",
            b"#",
        ),
        b"",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One request made of parts, most of which fit together."""
    if draw(st.booleans()):
        return draw(st.sampled_from(GOOD))
    lines = [draw(METHODS) + b" " + draw(TARGETS) + draw(VERSIONS), *draw(st.lists(FIELDS, max_size=5))]
    return b"\r\n".join([*lines, b"", b""]) + draw(BODIES)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Some requests one behind the other, perhaps with a few bytes replaced."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(SPLICES) + data[at + draw(st.integers(0, 2)) :]
    return data


@pytest.mark.requirement("R-235", "R-246", "R-371")
@settings(max_examples=300)
@given(streams())
@example(b"".join(GOOD))
@example(b"GET / HTTP/1.1\r\nX: " + b"a" * 400)
@example(b"\r\n" * 400 + GOOD[0])
@example(b"GET /" + b"a" * 59 + b"\r\n\r\n")  # a target of the limit, cut between "\r" and "\n"
def test_no_cut_changes_what_is_read(data: bytes) -> None:
    """A stream at once, byte by byte, and cut in two anywhere: the same messages, content and kind of refusal."""
    whole = read([data])
    assert read(bytewise(data)).summary == whole.summary
    for at in range(1, len(data)):
        assert read([data[:at], data[at:]]).summary == whole.summary, at


@given(streams(), st.lists(st.integers(1, 60), max_size=20))
def test_no_cuts_change_what_is_read(data: bytes, sizes: list[int]) -> None:
    """The same for any number of pieces."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    assert read([*pieces, data[at:]]).summary == read([data]).summary


@settings(max_examples=400)
@given(st.one_of(streams(), st.binary(max_size=400)))
def test_nothing_is_raised_and_every_refusal_is_documented(data: bytes) -> None:
    """Any bytes give messages, or one of the documented refusals, after which nothing is reported."""
    reading = read([data, CANARY, b"\r\n\r\n"])
    assert reading.error is None or isinstance(reading.error, DOCUMENTED)


@given(streams())
def test_events_may_be_taken_late(data: bytes) -> None:
    """A caller that takes no event until all bytes have come reads the same."""
    reader = RequestReader(peer=PEER, limits=SMALL)
    for piece in bytewise(data):
        reader.feed(piece)
    late = Reading([])
    while late.tunnel is None and (event := reader.next_event()) is not None:
        take(event, late)
        if getattr(event, "is_websocket", False):
            late.tunnel = reader.rest()
    assert late.summary == read([data]).summary


@settings(max_examples=400)
@given(streams())
def test_what_is_reported_is_well_formed(data: bytes) -> None:
    """Names are lower case, no value holds a line end or a NUL, a path begins with a slash, and framing is one of two."""
    for one in read([data]).messages:
        head = one.message.head
        assert head.path.startswith(b"/") or head.path == b"*"
        assert b"#" not in head.target
        assert one.message.version in {b"1.1", b"1.0"}
        assert head.peer == PEER
        for name, value in head.fields:
            assert name
            assert name == name.lower()
            assert not {*name} & {*b"\r\n\x00 \t:"}
            assert not {*value} & {*b"\r\n\x00"}
            assert value == value.strip(b" \t")
        framing = [value for name, value in head.fields if name in {b"content-length", b"transfer-encoding"}]
        assert len(framing) <= 1
        assert (
            one.message.has_content == (bool(framing) and framing != [b"0"] * len(framing))
            or framing[0].strip(b"0") == b""
        )


# --- good requests ----------------------------------------------------------------------------------------------------


def test_good_requests_are_read() -> None:
    """Each with its content, in their order, and what follows a handshake is left to it."""
    reading = read([b"".join(GOOD)])
    assert reading.error is None
    assert [one.message.head.path for one in reading.messages] == [b"/a", b"/b", b"/c", b"/d", b"/e", b"/f"]
    assert [one.content for one in reading.messages] == [b"", b"hello", b"hello!", b"", b"ok", b""]


def test_http_1_0_ends_the_stream() -> None:
    """It has no persistent connections here: what follows is no request."""
    reading = read([GOOD[5] + CANARY])
    assert [(one.message.version, one.message.keep_alive) for one in reading.messages] == [(b"1.0", False)]


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: keep-alive\r\n", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: Close\r\n", False),
        (b"1.1", b"Connection: x, close\r\n", False),
        (b"1.1", b"Connection: close\r\nConnection: keep-alive\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: keep-alive\r\n", True),
        (b"1.0", b"", False),
    ],
)
def test_connection_says_whether_it_is_kept(version: bytes, connection: bytes, keep_alive: bool) -> None:
    """`close` in any spelling ends the connection with this message (RFC 9112 section 9.3)."""
    (one,) = read([b"GET / HTTP/" + version + b"\r\nHost: x\r\n" + connection + b"\r\n"]).messages
    assert one.message.keep_alive is keep_alive


LINES_OF_OTHER_TIMES = [
    b"Proxy-Connection: close",
    b"Proxy-Connection: keep-alive, close",
    b"Proxy-Connection: upgrade\r\nUpgrade: websocket",
    b"Proxy-Connection: upgrade\r\nUpgrade: h2c",
    b"Upgrade: h2c\r\nConnection: Upgrade",
    b"Keep-Alive: timeout=0, max=0",
    b"Connection: closed",
    b"TE: chunked",
]


@pytest.mark.requirement("R-235")
@pytest.mark.parametrize("lines", LINES_OF_OTHER_TIMES)
def test_the_next_request_is_read_behind_these_lines(lines: bytes) -> None:
    """A proxy sends requests of several users on one connection: a line that does not end it changes nothing for the next."""
    reading = read(
        [b"GET / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n\r\n" + b"GET /next HTTP/1.1\r\nHost: other\r\n\r\n"]
    )
    assert reading.error is None
    assert [one.message.head.path for one in reading.messages] == [b"/", b"/next"]


@pytest.mark.requirement("R-235")
@settings(max_examples=300)
@given(requests(), requests(), st.one_of(st.none(), st.sampled_from(LINES_OF_OTHER_TIMES)))
def test_a_request_is_judged_alike_behind_another(first: bytes, second: bytes, lines: bytes | None) -> None:
    """What was read before on the connection changes neither a message nor a refusal."""
    if lines is not None:
        first = first.replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n\r\n", 1)
    before = read([first], limits=WIDE)
    assume(before.error is None and before.tunnel is None and before.messages and before.messages[-1].complete)
    assume(
        before.messages[-1].message.keep_alive
        and read([first + CANARY], limits=WIDE).summary[0][:-1] == before.summary[0]
    )
    alone = read([second], limits=WIDE)
    both = read([first + second], limits=WIDE)
    assert both.summary == (
        [*before.summary[0], *alone.summary[0]],
        [*before.summary[1], *alone.summary[1]],
        *alone.summary[2:],
    )


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    """It is excluded before the value is used (RFC 9110 section 5.5), and kept within."""
    for told in (b"a b", b" a b", b"a b ", b"\ta b\t", b"  \t a b \t "):
        (one,) = read([b"GET / HTTP/1.1\r\nX:" + told + b"\r\nHost: x \r\nY: \t\r\n\r\n"]).messages
        assert one.message.head.fields == [(b"x", b"a b"), (b"host", b"x"), (b"y", b"")]
        assert one.message.head.named[b"host"] == b"x"


@pytest.mark.requirement("R-241")
def test_an_empty_query_is_not_the_same_as_none() -> None:
    """The target stays what it was, also where the fields are known from a request before."""
    stream = [
        b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target for target in (b"/a", b"/a?", b"/a?b", b"/a", b"/a?", b"/?")
    ]
    targets = [one.message.head.target for one in read(stream).messages]
    assert targets == [b"/a", b"/a?", b"/a?b", b"/a", b"/a?", b"/?"]


@pytest.mark.requirement("R-239")
@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"http://y/d?q", b"/d", b"q", b"y"),
        (b"http://y", b"/", b"", b"y"),
        (b"http://y?q", b"/", b"q", b"y"),
        (b"http://y:8080/", b"/", b"", b"y:8080"),
        (b"HTTP://Y/", b"/", b"", b"Y"),
        (b"https://y/", b"/", b"", b"y"),
    ],
)
def test_the_authority_of_an_absolute_form_beats_host(target: bytes, path: bytes, query: bytes, host: bytes) -> None:
    """The target becomes a path, and the Host field is replaced (RFC 9112 section 3.2.2)."""
    (one,) = read([b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"]).messages
    head = one.message.head
    assert (head.path, head.query) == (path, query)
    assert [value for name, value in head.fields if name == b"host"] == [host]
    assert head.named[b"host"] == host


@pytest.mark.parametrize(
    ("fields", "expects"),
    [
        (b"Expect: 100-continue\r\nContent-Length: 2\r\n", True),
        (b"Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", True),
        (b"Content-Length: 2\r\n", False),
    ],
)
def test_expectation_is_reported(fields: bytes, expects: bool) -> None:
    """Whether the browser may wait for `100 Continue` (RFC 9110 section 10.1.1)."""
    (one,) = read([b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n"]).messages
    assert one.message.expects_continue is expects


def test_handshake_leaves_what_follows() -> None:
    """The bytes behind it are the WebSocket's, however they come."""
    for pieces in ([WEBSOCKET], bytewise(WEBSOCKET)):
        reading = read(pieces)
        assert [one.message.is_websocket for one in reading.messages] == [True]
        assert reading.tunnel == b"\x81\x85abcd"


@pytest.mark.parametrize(
    ("version", "upgrade", "more"),
    [
        (b"1.1", b"h2c", b""),
        (b"1.0", b"websocket", b""),
        (b"1.1", b"websocket2", b""),
        (b"1.1", b"TLS/1.0, HTTP/1.1", b""),
    ],
)
def test_other_upgrades_are_ignored(version: bytes, upgrade: bytes, more: bytes) -> None:
    """The request is an ordinary one (RFC 9110 section 7.8)."""
    head = (
        b"GET / HTTP/"
        + version
        + b"\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
        + upgrade
        + b"\r\n"
        + more
        + b"\r\n"
    )
    (one,) = read([head]).messages
    assert not one.message.is_websocket


# --- smuggling --------------------------------------------------------------------------------------------------------


def post(*lines: bytes, body: bytes = b"") -> bytes:
    """A POST with these lines and this content, byte for byte."""
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: x", *lines, b"", b""]) + body


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
TE = b"Transfer-Encoding: chunked"


def coded(body: bytes) -> bytes:
    """A POST with this chunked content."""
    return post(TE, body=body)


# Section numbers are RFC 9112's.
REFUSED: dict[str, tuple[bytes, type[BrowserError]]] = {
    # 6.1: Content-Length beside Transfer-Encoding "ought to be handled as an error"
    "cl.te": (post(b"Content-Length: 6", TE, body=b"0\r\n\r\nG"), MalformedRequest),
    "te.cl": (post(TE, b"Content-Length: 4", body=b"5c\r\n"), MalformedRequest),
    "cl.te, length 0": (post(b"Content-Length: 0", TE, body=CHUNKS), MalformedRequest),
    # 6.3: "If ... the chunked transfer coding is not the final encoding ... the server MUST respond with the 400"
    "te identity": (post(b"Transfer-Encoding: identity"), MalformedRequest),
    "te chunked, identity": (post(b"Transfer-Encoding: chunked, identity", body=CHUNKS), MalformedRequest),
    "te xchunked": (post(b"Transfer-Encoding: xchunked", body=CHUNKS), MalformedRequest),
    "te chunked with parameter": (post(b"Transfer-Encoding: chunked;q=1", body=CHUNKS), MalformedRequest),
    "te vertical tab": (post(b"Transfer-Encoding:\x0bchunked", body=CHUNKS), MalformedRequest),
    "te quoted": (post(b'Transfer-Encoding: "chunked"', body=CHUNKS), MalformedRequest),
    "te empty": (post(b"Transfer-Encoding: ", body=CHUNKS), MalformedRequest),
    "te in the next line": (post(b"Transfer-Encoding:\r\n chunked", body=CHUNKS), MalformedRequest),
    "te nul": (post(b"Transfer-Encoding: chunked\x00", body=CHUNKS), MalformedRequest),
    "te bare lf before": (post(b"X: y\nTransfer-Encoding: chunked", body=CHUNKS), MalformedRequest),
    "te bare cr before": (post(b"X: y\rTransfer-Encoding: chunked", body=CHUNKS), MalformedRequest),
    # 7.1: "A sender MUST NOT apply the chunked transfer coding more than once"
    "te.te": (post(TE, TE, body=CHUNKS), MalformedRequest),
    "te chunked, chunked": (post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS), MalformedRequest),
    "te.te identity": (post(TE, b"Transfer-Encoding: identity", body=CHUNKS), MalformedRequest),
    "te.te other case": (post(TE, b"transfer-encoding: x", body=CHUNKS), MalformedRequest),
    # 6.1: an unknown transfer coding "SHOULD respond with 501"
    "te.te identity first": (post(b"Transfer-Encoding: identity", TE, body=CHUNKS), NotImplementedHere),
    "te gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS), NotImplementedHere),
    # 6.1: Transfer-Encoding in HTTP/1.0: "MUST treat the message as if the framing is faulty"
    "te in 1.0": (b"POST / HTTP/1.0\r\nHost: x\r\n" + TE + b"\r\n\r\n" + CHUNKS, MalformedRequest),
    # 6.3: an invalid Content-Length "MUST respond with a 400"
    **{
        f"length {value!r}": (post(b"Content-Length: " + value, body=b"hello"), MalformedRequest)
        for value in (
            *(
                b"5, 5",
                b"5,5",
                b"5, 6",
                b"+5",
                b"-5",
                b"5 5",
                b"0x5",
                b"5.0",
                b"",
                b"5;",
                b"1e1",
                b"five",
                b"5,",
                b"5\x0b",
            ),
            *("\uff15".encode(), b"5\x00", b"5_0", b'"5"'),
        )
    },
    "two lengths": (post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"), MalformedRequest),
    "two equal lengths": (post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), MalformedRequest),
    "two lengths, one empty": (post(b"Content-Length: 5", b"Content-Length: ", body=b"hello"), MalformedRequest),
    # 5.1: "MUST reject ... any received request message that contains whitespace between a header field name and colon"
    "space before colon": (post(b"Content-Length : 5", body=b"hello"), MalformedRequest),
    "tab before colon": (post(b"Transfer-Encoding\t: chunked", body=CHUNKS), MalformedRequest),
    # 5.2: obs-fold: "MUST either reject the message by sending a 400 ... or replace"
    "obs-fold": (post(b"X: a", b" b"), MalformedRequest),
    "obs-fold with tab": (post(b"X: a", b"\tContent-Length: 5", body=b"hello"), MalformedRequest),
    # 2.2: whitespace between the start line and the first field: "MUST either reject ..."
    "space before the first field": (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", MalformedRequest),
    "bare lf lines": (b"GET / HTTP/1.1\nHost: x\n\n", MalformedRequest),
    "bare lf after the request line": (b"GET / HTTP/1.1\nHost: x\r\n\r\n", MalformedRequest),
    "bare lf at the end": (b"GET / HTTP/1.1\r\nHost: x\r\n\n", MalformedRequest),
    "bare lf before the end": (b"GET / HTTP/1.1\r\nHost: x\n\r\n", MalformedRequest),
    "bare cr": (b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", MalformedRequest),
    "cr cr lf": (b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", MalformedRequest),
    # RFC 9110 5.5: "invalid and dangerous": CR, LF and NUL within a value
    "nul in a value": (post(b"X: a\x00b"), MalformedRequest),
    # RFC 9110 5.6.2: a name is a token
    **{
        f"name {name!r}": (post(name + b": y"), MalformedRequest)
        for name in (b"", b"X Y", b"X(", b"X\x80", b"X\x00", b"X\x7f", b'"X"', b"X/", b"X@")
    },
    "no colon": (post(b"X"), MalformedRequest),
    # 3: a request line is method SP target SP version
    **{
        f"line {line!r}": (line + b"\r\nHost: x\r\n\r\n", MalformedRequest)
        for line in (
            *(b"GET  / HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET /\tHTTP/1.1", b" GET / HTTP/1.1", b"GET / HTTP/1.1 "),
            *(b"GET /a b HTTP/1.1", b"GET / HTTP/1.1\x0b", b"GET / http/1.1", b"GET / HTTP/01.1", b"GET / HTTP/1.1.1"),
            *(b"GET / HTTP/1", b"GET /", b"GET", b"G@T / HTTP/1.1", b"G\x00T / HTTP/1.1", b"GET /\x00 HTTP/1.1"),
            *(b"GET / HTP/1.1", b"GET / HTTP/11", b"GET /\x7f HTTP/1.1", b"HTTP/1.1 200 OK", b"GET / HTTP /1.1"),
        )
    },
    **{
        f"target {target!r}": (b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", MalformedRequest)
        for target in (
            b"a",
            b"/a#b",
            b"#",
            b"http://",
            b"http:///x",
            b"ftp://o/",
            b"x:443",
            b"?a",
        )
    },
    "version 2": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", VersionNotSupported),
    "connect": (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", NotImplementedHere),
    # RFC 9110 9.1: 501 for a method that is not known; only where the head is one
    **{
        f"unknown {method!r}": (method + b" / HTTP/1.1\r\nHost: x\r\n\r\n", NotImplementedHere)
        for method in (b"get", b"GETS", b"G", b"SOURCE", b"FLUSH", b"1", b"~", b"M" * 1000)
    },
    "unknown in version 2": (b"FOO / HTTP/2.0\r\nHost: x\r\n\r\n", VersionNotSupported),
    "unknown and no target": (b"FOO HTTP/1.1\r\nHost: x\r\n\r\n", MalformedRequest),
    "unknown and a bare lf": (b"FOO / HTTP/1.1\nHost: x\r\n\r\n", MalformedRequest),
    "unknown and no field": (b"FOO / HTTP/1.1\r\nHost x\r\n\r\n", MalformedRequest),
    "unknown and no token": (b"F(O / HTTP/1.1\r\nHost: x\r\n\r\n", MalformedRequest),
}

BAD_CHUNKS = [
    *(
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
    ),
    *(
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\t;x\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\n",
        b"5g\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
    ),
    *(b";x\r\nhello\r\n0\r\n\r\n", b"5,5\r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\rhello\r\n0\r\n\r\n"),
    *(
        b"5;x\nhello\r\n0\r\n\r\n",
        b"5;\nxx\r\nhello\r\n0\r\n\r\n",
        b"5;x\r\rhello\r\n0\r\n\r\n",
        b"5;x\x00\r\nhello\r\n0\r\n\r\n",
    ),
    *(
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
    ),
    *(
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: a\r\n b\r\n\r\n",
    ),
    *(
        b"0\r\nX: a\x00\r\n\r\n",
        b"0\r\nX: a\n\r\n",
        b"0\r\nX: a\rb\r\n\r\n",
        b"0\r\n: y\r\n\r\n",
        b"0\r\nGARBAGE\r\n\r\n",
    ),
    *(
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"0000000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    *(b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"0;x\n\r\n", b"5\x0b\r\nhello\r\n0\r\n\r\n"),
]


@pytest.mark.requirement("R-235", "R-238", "R-246")
@pytest.mark.parametrize("name", REFUSED)
def test_a_head_with_two_readings_is_refused(name: str) -> None:
    """Nothing is reported but the refusal, and a request behind it is not read, however the bytes come."""
    data, expected = REFUSED[name]
    for pieces in ([data + CANARY], bytewise(data + CANARY), [data, CANARY]):
        reading = read(pieces, limits=WIDE)
        assert reading.messages == []
        assert type(reading.error) is expected


@pytest.mark.requirement("R-235", "R-246")
@pytest.mark.parametrize("chunks", BAD_CHUNKS)
def test_chunks_with_two_readings_are_refused(chunks: bytes) -> None:
    """The message never becomes complete, and a request behind it is not read, however the bytes come."""
    data = coded(chunks) + CANARY
    for pieces in ([data], bytewise(data)):
        reading = read(pieces, limits=WIDE)
        assert [one.complete for one in reading.messages] == [False]
        assert type(reading.error) is MalformedRequest


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize("value", [b"99999999999999999999", b"18446744073709551621", b"9" * 300])
def test_a_length_that_no_number_holds_is_refused(value: bytes) -> None:
    """It does not wrap round to a small one."""
    reading = read([post(b"Content-Length: " + value, body=b"hello") + CANARY], limits=WIDE)
    assert isinstance(reading.error, MalformedRequest | ContentTooLarge) or not reading.messages[0].complete
    assert len(reading.messages) <= 1


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize(
    ("data", "content"),
    [
        (post(b"Content-Length: 5", body=b"hello"), b"hello"),
        (post(b"Content-Length:\t 5 \t", body=b"hello"), b"hello"),
        (post(b"CONTENT-LENGTH: 5", body=b"hello"), b"hello"),
        (post(b"Content-Length: 005", body=b"hello"), b"hello"),
        (post(b"Content-Length: 0"), b""),
        (post(), b""),
        (coded(CHUNKS), b"hello"),
        (post(b"Transfer-Encoding: Chunked", body=CHUNKS), b"hello"),
        (post(b"Transfer-Encoding:\tchunked ", body=CHUNKS), b"hello"),
        (coded(b"5;a=b\r\nhello\r\n0;c\r\n\r\n"), b"hello"),
        (coded(b'5;a="b;c"\r\nhello\r\n0\r\n\r\n'), b"hello"),
        (coded(b"005\r\nhello\r\n000\r\n\r\n"), b"hello"),
        (coded(b"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\nX: y\r\nZ:\r\n\r\n"), b"01234567890123456789a"),
        (coded(b"0\r\n\r\n"), b""),
    ],
)
def test_content_with_one_reading_is_read(data: bytes, content: bytes) -> None:
    """Its end is found, and the request behind it is the next one."""
    for pieces in ([data + CANARY], bytewise(data + CANARY)):
        reading = read(pieces, limits=WIDE)
        assert reading.error is None
        assert [(one.message.head.path, one.content, one.complete) for one in reading.messages] == [
            (b"/", content, True),
            (b"/canary", b"", True),
        ]


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize("garbage", [b"GARBAGE\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"\x00\r\n\r\n", b"X: y\r\n\r\n"])
def test_garbage_after_the_last_chunk_is_no_request(garbage: bytes) -> None:
    """The message before it is complete; the garbage is judged as the next head."""
    reading = read([coded(CHUNKS) + garbage + CANARY], limits=WIDE)
    assert [one.content for one in reading.messages] == [b"hello"]
    assert type(reading.error) is MalformedRequest


# --- bounds -----------------------------------------------------------------------------------------------------------

LARGE = LimitsConfig(max_head=64 * 1024, max_target=16 * 1024)
START = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("size", [60, 61])
def test_target_is_bounded(size: int) -> None:
    """A target of `max_target` bytes passes, one more is 414, at once and byte by byte."""
    data = b"GET /" + b"a" * (size - 1) + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    for pieces in ([data], bytewise(data)):
        assert type(read(pieces).error) is (type(None) if size == 60 else TargetTooLong)


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("size", [300, 301])
def test_head_is_bounded(size: int) -> None:
    """A head of `max_head` bytes passes, one more is 431, at once and byte by byte."""
    rest = b"\r\n\r\n"
    data = START + b"X: " + b"a" * (size - len(START) - 3 - len(rest)) + rest
    assert len(data) == size
    for pieces in ([data], bytewise(data)):
        assert type(read(pieces).error) is (type(None) if size == 300 else HeadTooLarge)


def tiny_fields(size: int) -> Iterator[bytes]:
    """The beginning of a head of so many bytes, field by field."""
    yield START
    for _ in range((size - len(START)) // 5):
        yield b"a:b\r\n"


@pytest.mark.requirement("R-371")
@pytest.mark.parametrize("piece", [1, 5, 1460, 65536])
def test_fields_are_counted_as_they_come(piece: int) -> None:
    """Two fields behind the hundredth are refused though the head is not complete; a hundred are waited for."""
    assert read([START + b"a:b\r\n" * 99], limits=LARGE).error is None
    data = START + b"a:b\r\n" * 100
    pieces = [(data + b"a:b\r\n")[at : at + piece] for at in range(0, len(data) + 5, piece)]
    assert type(read(pieces, limits=LARGE).error) is HeadTooLarge


@pytest.mark.requirement("R-371")
def test_a_hundred_fields_are_served() -> None:
    """What is counted are fields, not the request line nor the empty line."""
    assert len(read([START + b"a:b\r\n" * 99 + b"\r\n"], limits=LARGE).messages[0].message.head.fields) == 100


def cost(pieces: list[bytes]) -> tuple[int, int]:
    """The memory that one reader holds after these pieces, and the most that it held meanwhile."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        reader = RequestReader(peer=PEER, limits=LARGE)
        for piece in pieces:
            reader.feed(piece)
            reader.next_event()
        held, most = tracemalloc.get_traced_memory()
        return held - before, most - before
    finally:
        tracemalloc.stop()


@pytest.mark.requirement("R-371")
@pytest.mark.parametrize("size", [16, 1460, 65536])
def test_an_unfinished_head_of_tiny_fields_costs_little(size: int) -> None:
    """63 KB of them cost at most 128 KiB at any time (they cost 1.7 MB where each becomes an object)."""
    data = b"".join(tiny_fields(63 * 1024))
    held, most = cost([data[at : at + size] for at in range(0, len(data), size)])
    assert held <= most <= 128 * 1024


@pytest.mark.requirement("R-371")
@pytest.mark.parametrize("size", [16, 1460, 65536])
def test_an_unfinished_head_costs_its_length(size: int) -> None:
    """63 KB in fields that are few enough cost at most 128 KiB at any time."""
    data = START + (b"a: " + b"b" * 645 + b"\r\n") * 98
    assert 62 * 1024 < len(data) < 64 * 1024
    held, most = cost([data[at : at + size] for at in range(0, len(data), size)])
    assert held <= most <= 128 * 1024


@pytest.mark.requirement("R-371")
def test_bytes_after_a_refusal_are_dropped() -> None:
    """A browser that goes on sending costs no memory."""
    junk = b"x" * 65536
    held, most = cost([b"hello\r\n\r\n", *[junk] * 100])
    assert held <= most <= 128 * 1024


# --- fields that were accepted before ---------------------------------------------------------------------------------


@pytest.fixture
def kept_sections() -> Iterator[dict[bytes, FieldSection]]:
    """The sections that are kept; none at the beginning and the end."""
    kept = request_head._kept_sections
    kept.clear()
    yield kept
    kept.clear()


def twice(stream: bytes) -> tuple[Reading, Reading]:
    """A stream read with no kept section, and again after its fields were accepted behind a plain request line."""
    request_head._kept_sections.clear()
    first = read([stream])
    request_head._kept_sections.clear()
    _, end, lines = stream.partition(b"\r\n")
    if end:
        read([b"GET / HTTP/1.1\r\n" + lines])
    return first, read([stream])


@pytest.mark.requirement("R-367")
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"get", b"CONNECT", b"PRI", b"M-SEARCH", b"", b"GET ", b"G\x00T"])
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b""])
@pytest.mark.usefixtures("kept_sections")
def test_each_byte_of_a_request_line_is_judged_alike(method: bytes, version: bytes) -> None:
    """Whether llhttp looks at the head, or its fields are known, at every byte that a target may hold."""
    for byte in range(256):
        for target in (b"/a%c" % byte, b"/a?b%cc" % byte, b"%ca" % byte):
            first, again = twice(b"%b %b %b\r\nHost: x\r\nConnection: keep-alive\r\n\r\n" % (method, target, version))
            assert again.summary == first.summary, target


@settings(max_examples=400)
@pytest.mark.requirement("R-367")
@given(METHODS, TARGETS, VERSIONS, st.lists(FIELDS, max_size=4), BODIES)
def test_known_fields_change_nothing(
    method: bytes, target: bytes, version: bytes, fields: list[bytes], body: bytes
) -> None:
    """What is read, and what is refused, does not depend on whether these fields have come before."""
    head = b"\r\n".join([method + b" " + target + version, *fields, b"", b""])
    first, again = twice(head + body)
    assert again.summary == first.summary


def test_fields_are_known_again(kept_sections: dict[bytes, FieldSection]) -> None:
    """The section of equal lines is the same value, also behind another request line."""
    first, second = read([b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", b"PUT /b?c HTTP/1.1\r\nHost: x\r\n\r\n"]).messages
    assert first.message.head.section is second.message.head.section
    assert len(kept_sections) == 1


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("line", [b"X-Request-Id: %d", b"x-request-id:\t%d ", b"X-REQUEST-ID:%d"])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("peer", [TRUSTED, PEER], ids=["trusted", "not trusted"])
def test_the_line_of_an_id_is_no_part_of_the_fields(
    kept_sections: dict[bytes, FieldSection], line: bytes, place: int, peer: Peer
) -> None:
    """A proxy writes another id into each request; the rest of the lines is known again, and each has its own id."""
    lines = [b"Host: x", b"Accept: */*"]
    heads = [b"\r\n".join([b"GET / HTTP/1.1", *_inserted(lines, line % number, place), b"", b""]) for number in (7, 8)]
    first, second = read(heads, peer=peer).messages
    assert first.message.head.section is second.message.head.section
    assert first.message.head.fields == [(b"host", b"x"), (b"accept", b"*/*")]
    ids = [first.message.head.request_id, second.message.head.request_id]
    assert ids == [b"7", b"8"] if peer.trusted else ids[0] != ids[1] and not {b"7", b"8"} & {*ids}
    assert len(kept_sections) == 1


def _inserted(lines: list[bytes], line: bytes, place: int) -> list[bytes]:
    return [*lines[:place], line, *lines[place:]]


@pytest.mark.requirement("R-364")
@pytest.mark.requirement("R-367")
@pytest.mark.parametrize(
    "lines",
    [
        [b"X-Request-Id: a", b"X-Request-Id: b"],
        [b"X-Request-Id: two words"],
        [b"X-Request-Id: a\x00"],
        [b"X-Request-Id: a", b" folded"],
        [b"X-Request-Id : a"],
        [b"X-Request-Id: " + b"a" * 129],
        [b"X-Request-Id:"],
    ],
)
@pytest.mark.usefixtures("kept_sections")
def test_what_is_no_one_id_is_judged_with_the_fields(lines: list[bytes]) -> None:
    """Also where the other fields are known: it is read, or refused, as it is behind fields that are not."""
    plain = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with_lines = b"\r\n".join([b"GET / HTTP/1.1", b"Host: x", *lines, b"", b""])
    fresh = read([with_lines], peer=TRUSTED)
    known = read([plain, with_lines], peer=TRUSTED)
    assert type(known.error) is type(fresh.error)
    assert [told_of(one.message) for one in known.messages[1:]] == [told_of(one.message) for one in fresh.messages]


def test_a_bearer_is_not_kept(kept_sections: dict[bytes, FieldSection]) -> None:
    """A token that a request brings itself opens something: it is not kept; nor is a long section."""
    read([b"GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n"], limits=WIDE)
    read([b"GET /a HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"v" * request_head.MAX_KEPT_SECTION)], limits=WIDE)
    assert not kept_sections


def test_the_kept_sections_are_bounded(kept_sections: dict[bytes, FieldSection]) -> None:
    """The oldest one makes room."""
    for number in range(request_head.MAX_KEPT_SECTIONS + 10):
        read([b"GET /a HTTP/1.1\r\nHost: %d\r\n\r\n" % number])
    assert len(kept_sections) == request_head.MAX_KEPT_SECTIONS
    assert b"Host: 9\r\n\r\n" not in kept_sections
