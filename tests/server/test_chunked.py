"""The chunked coding, from the outside: the same for every cut, never more lenient than llhttp, bounded framing."""

from dataclasses import dataclass
from typing import Any

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bff.server.chunked import ChunkedError, ChunkedReader
from support.reader_events import bytewise

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Decoded:
    """Content, and what came after the message; `rest` is None while the message is not complete."""

    content: bytes
    rest: bytes | None


def decode(pieces: list[bytes]) -> Decoded | None:
    """What a reader makes of these pieces; None: refused."""
    reader, content = ChunkedReader(), b""
    for number, piece in enumerate(pieces):
        try:
            content += b"".join(reader.feed(piece))
        except ChunkedError:
            return None
        if reader.complete:
            return Decoded(content, reader.rest + b"".join(pieces[number + 1 :]))
    return Decoded(content, None)


class Llhttp:
    """What llhttp makes of the same content."""

    def __init__(self, data: bytes) -> None:
        self.content = b""
        self.complete = False
        self.refused = ""  # why
        try:
            httptools.HttpRequestParser(self).feed_data(HEAD + data)
        except httptools.HttpParserError as error:
            self.refused = str(error)

    def on_body(self, body: bytes) -> None:
        """Some content."""
        self.content += body

    def on_message_complete(self) -> None:
        """The end."""
        self.complete = True


# --- streams ----------------------------------------------------------------------------------------------------------

SIZES = st.sampled_from(
    [b"%x", b"%X", b"0%x", b"00%x", b"%x", b"%x", b"%x", b"0x%x", b"+%x", b" %x", b"%x ", b"-%x", b"%x\t"]
)
EXTENSIONS = st.sampled_from(
    [
        *[b""] * 6,
        b";a",
        b";a=b",
        b';a="b;c"',
        b";",
        b";;",
        b" ;a",
        b";a\n",
        b";a\r",
        b";\x00",
        b";\xff",
        b";a b",
        b";a=b;c=d",
    ]
)
ENDS = st.sampled_from([*[b"\r\n"] * 12, b"\n", b"\r", b"", b"\n\r", b"\r\r\n", b" \r\n", b"\r\n\r\n"])
TRAILERS = st.sampled_from(
    [
        *[b""] * 4,
        b"X: y\r\n",
        b"X:\r\n",
        b"X: a\r\nY: b\r\n",
        b"X y\r\n",
        b"X : y\r\n",
        b" X: y\r\n",
        b": y\r\n",
        b"X: a\x00\r\n",
        b"X: a\nY: b\r\n",
    ]
)


@st.composite
def chunk_streams(draw: st.DrawFn) -> bytes:
    """Chunks, most of them right, a last chunk, trailers, an end, and a request behind it; perhaps a few bytes replaced."""
    data = b""
    for content in draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4)):
        data += draw(SIZES) % len(content) + draw(EXTENSIONS) + draw(ENDS) + content + draw(ENDS)
    data += draw(st.sampled_from([b"0", b"0", b"0", b"000", b"0x0", b""])) + draw(EXTENSIONS) + draw(ENDS)
    data += draw(TRAILERS) + draw(ENDS) + draw(st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n", b"0\r\n\r\n"]))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        splice = draw(st.sampled_from([b"\r", b"\n", b"\r\n", b"\x00", b" ", b";", b"0", b"f", b"x", b""]))
        data = data[:at] + splice + data[at + draw(st.integers(0, 2)) :]
    return data


STREAMS = st.one_of(
    chunk_streams(), st.lists(st.sampled_from([*bytewise(b"05af;:x \r\n\t"), b"\r\n"]), max_size=40).map(b"".join)
)


@pytest.mark.requirement("R-235", "R-246")
@settings(max_examples=400)
@given(STREAMS)
@example(b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n")
def test_no_cut_changes_what_is_read(data: bytes) -> None:
    """At once, byte by byte, and cut in two anywhere: the same content, end and refusal."""
    whole = decode([data])
    assert decode(bytewise(data)) == whole
    for at in range(1, len(data)):
        assert decode([data[:at], data[at:]]) == whole, at


@pytest.mark.requirement("R-235", "R-246")
@settings(max_examples=1000)
@given(STREAMS)
def test_what_is_accepted_llhttp_reads_as_well(data: bytes) -> None:
    """Complete content is the same content for llhttp, and ends at the same byte; llhttp only refuses more extensions."""
    decoded = decode([data])
    if decoded is None or decoded.rest is None:
        return
    ours = data[: len(data) - len(decoded.rest)]
    theirs = Llhttp(ours)
    if "chunk extensions" in theirs.refused:
        return
    assert (theirs.refused, theirs.complete, theirs.content) == ("", True, decoded.content)
    assert not Llhttp(ours[:-1]).complete


@given(st.one_of(STREAMS, st.binary(max_size=200)))
def test_nothing_else_is_raised(data: bytes) -> None:
    """Any bytes give content or `ChunkedError`, and content is never more than came."""
    decoded = decode([data])
    assert decoded is None or len(decoded.content) <= len(data)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.binary(max_size=10))
def test_chunks_are_put_together(contents: list[bytes], rest: bytes) -> None:
    """Every content comes back, whatever bytes it is made of, and so does what follows the message."""
    data = b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in contents) + b"0\r\n\r\n" + rest
    for pieces in ([data], bytewise(data)):
        assert decode(pieces) == Decoded(b"".join(contents), rest)


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize("digits", [1, 2, 14, 15])
def test_sizes_have_up_to_fifteen_digits(digits: int) -> None:
    """Leading zeros are digits as well."""
    data = b"0" * (digits - 1) + b"1\r\na\r\n0\r\n\r\n"
    assert decode([data]) == Decoded(b"a", b"")


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize(
    "size", [b"0" * 15 + b"1", b"1" + b"0" * 15, b"f" * 16, b"1" + b"0" * 16 + b"5", b"0" * 4000 + b"1"]
)
def test_longer_sizes_are_refused(size: bytes) -> None:
    """No number wraps round."""
    data = size + b"\r\na\r\n0\r\n\r\n"
    assert decode([data]) is None
    assert decode(bytewise(data)) is None


@pytest.mark.requirement("R-247", "R-261")
@pytest.mark.parametrize(
    "framing",
    [b"1;" + b"a" * 40_000, b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 8_000, b"1\r\na\r\n0\r\nX: " + b"y" * 40_000],
    ids=["an extension", "trailers", "a trailer"],
)
@pytest.mark.parametrize("piece", [1, 1000, 100_000])
def test_framing_without_content_is_refused(framing: bytes, piece: int) -> None:
    """More than 16 KiB of it beside little content is no message, though it has not ended."""
    assert decode([framing[at : at + piece] for at in range(0, len(framing), piece)]) is None


@pytest.mark.requirement("R-247", "R-261")
@pytest.mark.parametrize("extension", [b"", b";a=b"])
def test_small_chunks_are_content(extension: bytes) -> None:
    """A hundred thousand chunks of one byte pass."""
    data = (b"1" + extension + b"\r\na\r\n") * 100_000 + b"0\r\n\r\n"
    assert decode([data[at : at + 65536] for at in range(0, len(data), 65536)]) == Decoded(b"a" * 100_000, b"")


class Copied(bytes):
    """Bytes that count what is copied of them, copies of copies included."""

    count = 0

    def __getitem__(self, key: Any) -> Any:
        """A byte, or a copied part."""
        found = super().__getitem__(key)
        if isinstance(found, int):
            return found
        Copied.count += len(found)
        return Copied(found)


@pytest.mark.requirement("R-247", "R-261")
@pytest.mark.parametrize("unit", [b"1\r\na\r\n", b"1;x\r\na\r\n"], ids=["chunks", "extensions"])
def test_each_byte_is_copied_once(unit: bytes) -> None:
    """A segment of many chunks costs what its bytes cost: 256 KB of chunks of one byte held the worker for nine seconds."""
    data = Copied(unit * 1000)
    Copied.count = 0
    assert b"".join(ChunkedReader().feed(data)) == b"a" * 1000
    assert Copied.count <= len(data)
