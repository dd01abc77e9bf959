"""Answers as bytes: which framing a browser gets, and what an application cannot make of it (RFC 9112 section 6.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.server.answer import LAST_CHUNK, Answer, AnswerError, closing_answer
from bff.server.chunked import ChunkedReader

TYPE = (b"content-type", b"text/plain")


def length(size: int) -> tuple[bytes, bytes]:
    """A Content-Length field."""
    return (b"content-length", b"%d" % size)


def whole(
    *contents: bytes,
    status: int = 200,
    fields: tuple[tuple[bytes, bytes], ...] = (TYPE,),
    version: bytes = b"1.1",
    method: bytes = b"GET",
    keep_alive: bool = True,
) -> tuple[list[bytes], bytes]:
    """The lines of the head, and all that follows it."""
    answer = Answer(version=version, method=method, keep_alive=keep_alive)
    data = answer.start(status, [*fields])
    for content in contents:
        data += b"".join(answer.content(content))
    data += b"".join(answer.end())
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), rest


def test_content_of_known_length_is_sent_as_it_is() -> None:
    """The application's own length is the framing, in either version."""
    lines, rest = whole(b"he", b"", b"llo", fields=(TYPE, length(5)))
    assert lines == [b"HTTP/1.1 200 OK", b"content-type: text/plain", b"content-length: 5"]
    assert rest == b"hello"
    lines, rest = whole(b"hello", fields=(length(5),), version=b"1.0")
    assert lines == [b"HTTP/1.1 200 OK", b"content-length: 5", b"connection: close"]
    assert rest == b"hello"


def test_content_of_unknown_length_is_chunked() -> None:
    """Each piece is a chunk; an empty piece is none, since it would end the content."""
    lines, rest = whole(b"he", b"", b"l" * 17)
    assert lines == [b"HTTP/1.1 200 OK", b"content-type: text/plain", b"transfer-encoding: chunked"]
    assert rest == b"2\r\nhe\r\n11\r\n" + b"l" * 17 + b"\r\n" + LAST_CHUNK


def test_content_of_unknown_length_ends_with_the_connection_in_http_1_0() -> None:
    """HTTP/1.0 knows no chunks; the answer says that the connection closes."""
    answer = Answer(version=b"1.0", method=b"GET", keep_alive=True)
    assert answer.start(200, [TYPE]) == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    assert not answer.keep_alive
    assert answer.content(b"hello") == [b"hello"]
    assert answer.end() == []


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"HEAD", 404), (b"GET", 204), (b"GET", 304)])
@pytest.mark.parametrize("fields", [(TYPE,), (TYPE, length(5))])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_answers_without_content_have_none(
    method: bytes, status: int, fields: tuple[tuple[bytes, bytes], ...], version: bytes
) -> None:
    """HEAD, 204 and 304: no content, no coding, no missing bytes; a length stays, since it describes the GET's content."""
    lines, rest = whole(b"hello", status=status, fields=fields, method=method, version=version)
    assert rest == b""
    assert not any(line.startswith(b"transfer-encoding") for line in lines)
    assert (b"content-length: 5" in lines) is (len(fields) == 2)
    assert whole(status=status, fields=fields, method=method, version=version)[1] == b""


@pytest.mark.parametrize(
    ("version", "keep_alive", "closes"),
    [(b"1.1", True, False), (b"1.1", False, True), (b"1.0", True, True), (b"1.0", False, True)],
)
def test_the_last_answer_of_a_connection_says_so(version: bytes, keep_alive: bool, closes: bool) -> None:
    """HTTP/1.0 connections end with each answer."""
    lines, _ = whole(fields=(length(0),), version=version, keep_alive=keep_alive)
    assert (b"connection: close" in lines) is closes


def test_more_than_announced_is_not_sent() -> None:
    """The surplus would be read as the next answer."""
    answer = Answer(version=b"1.1", method=b"GET", keep_alive=True)
    answer.start(200, [length(5)])
    assert answer.content(b"hel") == [b"hel"]
    with pytest.raises(AnswerError):
        answer.content(b"lo!")


@pytest.mark.parametrize("sent", [b"", b"hell"])
def test_less_than_announced_is_an_error(sent: bytes) -> None:
    """The browser would wait for the rest, or take the next answer for it."""
    answer = Answer(version=b"1.1", method=b"GET", keep_alive=True)
    answer.start(200, [length(5)])
    answer.content(sent)
    with pytest.raises(AnswerError):
        answer.end()


def test_it_is_known_whether_an_answer_has_begun() -> None:
    """Only an answer that has not begun can be replaced by another."""
    answer = Answer(version=b"1.1", method=b"GET", keep_alive=True)
    assert not answer.started
    answer.start(200, [])
    assert answer.started


@pytest.mark.parametrize(
    ("status", "line"),
    [(200, b"HTTP/1.1 200 OK"), (431, b"HTTP/1.1 431 Request Header Fields Too Large"), (299, b"HTTP/1.1 299 ")],
)
def test_status_line_has_the_registered_reason(status: int, line: bytes) -> None:
    """An unknown status has an empty one, behind its space (RFC 9112 section 4)."""
    assert whole(status=status, fields=(length(0),))[0][0] == line


@pytest.mark.requirement("R-362")
@pytest.mark.parametrize("head_only", [True, False])
def test_closing_answer_is_whole(head_only: bool) -> None:
    """Head, `connection: close`, and the content unless the request was a HEAD."""
    data = closing_answer(413, (TYPE, length(2)), b"no", head_only=head_only)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[1:] == [b"content-type: text/plain", b"content-length: 2", b"connection: close"]
    assert body == (b"" if head_only else b"no")


@given(st.lists(st.binary(max_size=70), max_size=6))
def test_chunks_are_read_back(contents: list[bytes]) -> None:
    """Our own reader of chunks reads what was sent."""
    reader = ChunkedReader()
    assert b"".join(reader.feed(whole(*contents)[1])) == b"".join(contents)
    assert (reader.complete, reader.rest) == (True, b"")
