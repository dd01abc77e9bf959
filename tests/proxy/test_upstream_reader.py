"""The sans-I/O reader of one response: whatever an upstream sends, however it is cut, ends in the right verdict."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.proxy.reader import MAX_BARREN, ResponseReader
from support.scripted_upstream import chunked, response


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What came in, and what it means. `reusable` speaks of the connection afterwards."""

    wire: bytes
    status: int = 200
    content: bytes = b""
    reusable: bool = True
    head_only: bool = False
    eof: bool = False  # the upstream closes after it


OK = b"HTTP/1.1 200 OK\r\n"

GOOD: dict[str, Case] = {
    "length": Case(wire=response(b"hello"), content=b"hello"),
    "length zero": Case(wire=response()),
    "length after white space": Case(wire=OK + b"Content-Length: \t 5 \t\r\n\r\nhello", content=b"hello"),
    "chunks": Case(wire=chunked(b"hel", b"lo"), content=b"hello"),
    "chunk extensions": Case(
        wire=OK + b'Transfer-Encoding: chunked\r\n\r\n5;a=b;c="d"\r\nhello\r\n0;x\r\n\r\n', content=b"hello"
    ),
    "coding in capitals": Case(
        wire=OK + b"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", content=b"hello"
    ),
    "trailers": Case(wire=chunked(b"hello", trailers=b"Authorization: Bearer x\r\nX-User: root\r\n"), content=b"hello"),
    "until close": Case(wire=OK + b"\r\nhello", content=b"hello", reusable=False, eof=True),
    "until close, nothing": Case(wire=OK + b"\r\n", reusable=False, eof=True),
    "connection close": Case(wire=response(b"hello", "Connection: close"), content=b"hello", reusable=False),
    "1.0": Case(wire=b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", content=b"hello", reusable=False),
    "1.0 kept alive": Case(
        wire=b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", content=b"hello"
    ),
    "1.0 until close": Case(wire=b"HTTP/1.0 200 OK\r\n\r\nhello", content=b"hello", reusable=False, eof=True),
    "1.0 with chunks": Case(
        wire=b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        content=b"hello",
        reusable=False,
    ),
    "head": Case(wire=OK + b"Content-Length: 5\r\n\r\n", head_only=True, reusable=False),
    "head in chunks": Case(wire=OK + b"Transfer-Encoding: chunked\r\n\r\n", head_only=True, reusable=False),
    "head without length": Case(wire=OK + b"\r\n", head_only=True, reusable=False),
    "head with content nevertheless": Case(wire=response(b"hello"), head_only=True, reusable=False),
    "204": Case(wire=b"HTTP/1.1 204 No Content\r\n\r\n", status=204),
    "204 with a length": Case(wire=b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", status=204, reusable=False),
    "204 with length zero": Case(wire=b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", status=204),
    "204 in chunks": Case(
        wire=b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", status=204, reusable=False
    ),
    "304": Case(wire=b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', status=304),
    "304 with a length": Case(
        wire=b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", status=304, reusable=False
    ),
    "interim responses": Case(
        wire=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n" + response(b"hello"),
        content=b"hello",
    ),
    "upgrade offered": Case(
        wire=response(b"hello", "Upgrade: h2,h2c", "Connection: Upgrade, Keep-Alive"), content=b"hello"
    ),
    "redirect": Case(wire=response(b"", "Location: http://evil.example/", status="302 Found"), status=302),
    "gzip, range": Case(
        wire=response(b"\x1f\x8b\x00", "Content-Encoding: gzip", "Content-Range: bytes 0-2/9", status="206 Partial"),
        status=206,
        content=b"\x1f\x8b\x00",
    ),
    "no reason phrase": Case(wire=b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", content=b"hello"),
    "599": Case(wire=response(b"hello", status="599 Odd"), status=599, content=b"hello"),
    "a line end before it": Case(wire=b"\r\n" + response(b"hello"), content=b"hello"),
}

BROKEN: dict[str, bytes] = {
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "the same length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "signed length": OK + b"Content-Length: +5\r\n\r\nhello",
    "negative length": OK + b"Content-Length: -5\r\n\r\nhello",
    "list of lengths": OK + b"Content-Length: 5, 6\r\n\r\nhello",
    "hexadecimal length": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "empty length": OK + b"Content-Length:\r\n\r\nhello",
    "length beyond 64 bits": OK + b"Content-Length: 1000000000000000000000000000000\r\n\r\nhello",
    "length and chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "gzip coding": OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
    "gzip and chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "bad chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "huge chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk longer than it says": OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
    "chunk lines without CR": OK + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "switching protocols, bare": b"HTTP/1.1 101 Switching Protocols\r\n\r\nabc",
    "content in an interim response": b"HTTP/1.1 103 Early\r\nContent-Length: 3\r\n\r\nabc" + response(b"hello"),
    "status 600": response(b"hello", status="600 Odd"),
    "status 099": response(b"hello", status="099 Odd"),
    "status 99": response(b"hello", status="99 Odd"),
    "status 1000": response(b"hello", status="1000 Odd"),
    "folded field": OK + b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello",
    "space before colon": OK + b"X : a\r\nContent-Length: 5\r\n\r\nhello",
    "NUL in a field": OK + b"X: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "bare CR in a field": OK + b"X: a\rb\r\nContent-Length: 5\r\n\r\nhello",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    "empty field name": OK + b": a\r\nContent-Length: 5\r\n\r\nhello",
    "version 3": b"HTTP/3.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "not HTTP": b"220 mail.example.com ESMTP\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "an endless head": OK + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 100) for i in range(1000)),
    "endless interim responses": b"HTTP/1.1 102 Processing\r\n\r\n" * 3000,
}


def read(pieces: list[bytes], *, head_only: bool = False, eof: bool = False) -> tuple[ResponseReader, bytes]:
    """Feeds as a connection does: until there is a verdict, and never on."""
    reader = ResponseReader(head_only=head_only)
    content = b""
    for piece in pieces:
        if reader.complete or reader.broken is not None:
            break
        reader.feed(piece)
        content += reader.take()
    if eof and not reader.complete and reader.broken is None:
        reader.eof()
    return reader, content


def cuts(wire: bytes) -> list[list[bytes]]:
    """Whole, byte by byte, and in two at every place."""
    bytewise = [wire[i : i + 1] for i in range(len(wire))]
    return [[wire], bytewise, *([wire[:i], wire[i:]] for i in range(1, len(wire)))]


@pytest.mark.requirement("R-247", "R-248", "R-250", "R-251", "R-252")
@pytest.mark.parametrize("name", GOOD)
def test_good_responses_survive_every_cut(name: str) -> None:
    """A response means the same however its bytes arrive: whole, cut in two anywhere, or byte by byte."""
    case = GOOD[name]
    for pieces in cuts(case.wire):
        reader, content = read(pieces, head_only=case.head_only, eof=case.eof)
        assert (reader.status, content, reader.complete, reader.broken) == (case.status, case.content, True, None)
        assert reader.reusable == case.reusable
        assert b"x-user" not in [name.lower() for name, _ in reader.fields]


@pytest.mark.requirement("R-235", "R-236", "R-237", "R-238", "R-246", "R-254", "R-261")
@pytest.mark.parametrize("name", BROKEN)
def test_broken_responses_break_at_every_cut(name: str) -> None:
    """What breaks HTTP is never complete and never leaves a usable connection, however its bytes arrive."""
    wire = BROKEN[name]
    for pieces in cuts(wire) if len(wire) < 1000 else [[wire], [wire[i : i + 1000] for i in range(0, len(wire), 1000)]]:
        reader, _ = read(pieces)
        assert reader.broken
        assert not reader.complete
        assert not reader.reusable


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"H", b"garbage", b"\0"])
@pytest.mark.parametrize("name", [name for name, case in GOOD.items() if case.reusable])
def test_bytes_after_the_response_spoil_the_connection(name: str, extra: bytes) -> None:
    """The response stands as it is, its connection serves nobody any more, and the extra bytes are nowhere."""
    case = GOOD[name]
    for cut in range(len(case.wire)):
        reader, content = read([case.wire[:cut], case.wire[cut:] + extra] if cut else [case.wire + extra])
        assert (reader.status, content, reader.complete, reader.reusable) == (case.status, case.content, True, False)


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize("name", [name for name, case in GOOD.items() if not case.head_only])
def test_truncated_responses_are_broken(name: str) -> None:
    """A response that ends early, in order or not, is broken; only one that ends with the connection ends well, and in order only."""
    case = GOOD[name]
    for cut in range(len(case.wire)):
        lost, _ = read([case.wire[:cut]])
        if not lost.complete:
            lost.lost()
            assert lost.broken == "the connection was lost"
        ended, _ = read([case.wire[:cut]], eof=True)
        if case.eof and ended.status:
            assert ended.complete
        else:
            assert ended.broken


@pytest.mark.requirement("R-363")
def test_what_ends_a_connection_has_a_word() -> None:
    """TLS that fails is a lost connection with a reason of its own; the first thing that is wrong counts, and none after the end."""
    for wire, tls, expected in (
        (b"", None, ("lost", True)),
        (b"HTTP/1.1 200", "TLSV1_ALERT_UNKNOWN_CA", ("tls", True)),
        (b"nonsense\r\n\r\n", "TLSV1_ALERT_UNKNOWN_CA", ("http", False)),
        (OK + b"Content-Length: 0\r\n\r\n", "SSLV3_ALERT_BAD_RECORD_MAC", ("http", False)),
    ):
        reader, _ = read([wire] if wire else [])
        reader.lost(tls)
        reader.lost()
        assert (reader.broken_by, reader.was_lost) == expected
        assert (reader.broken == tls) == (expected[0] == "tls")


def test_chunk_extensions_and_trailers_are_bounded() -> None:
    """Framing without content is not read for ever."""
    start = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    for endless in (b"5;" + b"a" * (2 * MAX_BARREN), b"0\r\n" + b"X: y\r\n" * MAX_BARREN):
        reader, _ = read([start, *(endless[i : i + 4096] for i in range(0, len(endless), 4096))])
        assert reader.broken == "too many bytes without content"


@pytest.mark.requirement("R-279")
@pytest.mark.parametrize("piece", [4096, 65536, 262_144])
@pytest.mark.parametrize("size", [MAX_BARREN - 4096, MAX_BARREN + 4096])
@pytest.mark.parametrize("many", [True, False], ids=["many fields", "one field"])
def test_the_limit_for_fields_is_the_same_in_any_segments(piece: int, size: int, many: bool) -> None:
    """A head or trailers of the same size are read, or are not, whether they come at once or not."""
    fields = b"X-Some: yyyyyyyy\r\n" * (size // 18) if many else b"X: %b\r\n" % (b"y" * size)
    head = OK + fields + b"Content-Length: 2\r\n\r\nok"
    trailers = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + fields + b"\r\n"
    for wire in (head, trailers):
        reader, _ = read([wire[at : at + piece] for at in range(0, len(wire), piece)])
        assert reader.complete is (size < MAX_BARREN)
        assert reader.broken == (None if size < MAX_BARREN else "too many bytes without content")


@pytest.mark.requirement("R-251")
def test_fields_keep_order_and_multiplicity() -> None:
    """Several Set-Cookie fields stay several, in their order, each with its value as it came."""
    reader, _ = read([response(b"", "Set-Cookie: a=1; Path=/", "X-Empty:", "Set-Cookie: b=2, c", "X-Latin: \xe9")])
    assert reader.fields == [
        (b"set-cookie", b"a=1; Path=/"),
        (b"x-empty", b""),
        (b"set-cookie", b"b=2, c"),
        (b"x-latin", b"\xe9"),
        (b"content-length", b"0"),
    ]


def test_fields_of_interim_responses_are_not_those_of_the_final_one() -> None:
    """A 103's fields are gone when the final response comes."""
    reader, _ = read([b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nSet-Cookie: a=1\r\n\r\n" + response(b"")])
    assert reader.fields == [(b"content-length", b"0")]


@given(st.lists(st.binary(max_size=200), max_size=8), st.booleans())
def test_no_input_raises(pieces: list[bytes], head_only: bool) -> None:
    """Any bytes end in a verdict or in waiting for more, never in an exception."""
    read(pieces, head_only=head_only, eof=True)


@settings(max_examples=300)
@given(
    st.sampled_from([case.wire for case in GOOD.values()] + [wire for wire in BROKEN.values() if len(wire) < 1000]),
    st.data(),
)
def test_damaged_responses_raise_nothing_and_agree_with_themselves(wire: bytes, data: st.DataObject) -> None:
    """A damaged response is judged the same whole and byte by byte; content is never more than was sent."""
    at = data.draw(st.integers(0, len(wire) - 1))
    damaged = wire[:at] + data.draw(st.binary(max_size=3)) + wire[at + data.draw(st.integers(0, 2)) :]
    whole, content = read([damaged], eof=True)
    bytewise, same = read([damaged[i : i + 1] for i in range(len(damaged))], eof=True)
    assert (whole.complete, whole.status) == (bytewise.complete, bytewise.status)
    assert len(content) <= len(damaged)
    if whole.complete:
        assert content == same


@pytest.mark.requirement("R-250", "R-251")
@pytest.mark.parametrize("length", [b"", b"Content-Length: 0\r\n", b"Content-Length: 4\r\n"])
def test_an_answer_to_head_is_the_connections_last(length: bytes) -> None:
    """Some upstreams send its content nevertheless, and nothing says how much."""
    reader, content = read([OK + length + b"\r\n"], head_only=True)
    assert (reader.complete, reader.reusable, content) == (True, False, b"")


@pytest.mark.requirement("R-250", "R-248")
@pytest.mark.parametrize("framing", [b"Content-Length: 4", b"Transfer-Encoding: chunked"])
def test_an_interim_response_frames_nothing(framing: bytes) -> None:
    """A length or coding in a 1xx could only be taken for that of the answer (RFC 9110 section 8.6)."""
    reader, content = read([b"HTTP/1.1 103 Early Hints\r\n" + framing + b"\r\n\r\n", OK + b"\r\nfine"], eof=True)
    assert reader.broken == "content in an interim response"
    assert content == b""


@given(st.binary(max_size=3000), st.lists(st.integers(1, 400), min_size=1, max_size=20), st.booleans())
def test_content_arrives_exactly(content: bytes, sizes: list[int], in_chunks: bool) -> None:
    """Content comes out byte for byte, for any content and any segments."""
    wire = chunked(*([content] if content else [])) if in_chunks else response(content)
    pieces, at, turn = [], 0, 0
    while at < len(wire):
        size = sizes[turn % len(sizes)]
        pieces.append(wire[at : at + size])
        at, turn = at + size, turn + 1
    reader, out = read(pieces)
    assert out == content
    assert reader.reusable
