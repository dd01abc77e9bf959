"""A response's head that is read whole: which ones are, what they say, and which are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.proxy import response_head as module
from bff.proxy.response_head import MAX_KEPT, MAX_KEPT_HEAD, ResponseHead, kept_head, read_head
from bff.proxy.response_rewrite import response_fields, response_lines


def a_head(*lines: bytes, status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    """A head of these lines."""
    return b"\r\n".join([version + b" " + status, *lines, b"", b""])


def response_head(head: bytes) -> ResponseHead | None:
    """As the reader asks for it."""
    return kept_head(head) or read_head(head)


PLAIN = a_head(b"Content-Type: text/plain", b"Content-Length: 5", b"Keep-Alive: timeout=9", b"ETag:  a ")


def test_a_head_with_a_length_is_read_whole() -> None:
    """Status, fields with lower-case names, and what the reader looks at."""
    head = response_head(PLAIN)
    assert head is not None
    assert (head.status, head.length, head.keep_alive, head.media_type) == (200, 5, b"timeout=9", b"text/plain")
    assert head.fields[-1] == (b"etag", b"a")


@pytest.mark.parametrize(
    "head",
    [
        a_head(b"Content-Length: 0"),
        a_head(b"Content-Type: a/b"),
        a_head(b"Content-Length: 5", b"Content-Length: 5"),
        a_head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        a_head(b"Content-Length: 5", b"Connection: close"),
        a_head(b"Content-Length: 5", b"Connection: X-Secret"),
        a_head(b"Content-Length: 5x"),
        a_head(b"Content-Length: 5", b"Bad Name: 1"),
        a_head(b"Content-Length: 5", status=b"204 No Content"),
        a_head(b"Content-Length: 5", status=b"304 Not Modified"),
        a_head(b"Content-Length: 5", status=b"103 Early Hints"),
        a_head(b"Content-Length: 5", status=b"999 No"),
        a_head(b"Content-Length: 5", version=b"HTTP/1.0"),
        b"hello\r\n\r\n",
    ],
)
def test_everything_else_is_for_the_parser(head: bytes) -> None:
    """Framing that is not one length above zero, a connection that does not stay, other versions, and what is no head."""
    assert response_head(head) is None
    assert response_head(head) is None


def test_an_equal_head_is_the_same_value() -> None:
    """It is not read again."""
    assert response_head(bytes(bytearray(PLAIN))) is response_head(PLAIN)


@pytest.mark.parametrize(
    "line", [b"Set-Cookie: a=b", b"set-cookie: a=b", b"X-Long: " + b"x" * MAX_KEPT_HEAD], ids=["cookie", "case", "long"]
)
def test_some_heads_are_not_kept(line: bytes) -> None:
    """A cookie that an upstream sets is nothing to keep; nor is a long head."""
    head = a_head(b"Content-Length: 5", line)
    assert response_head(head) is not None
    assert response_head(head) is not response_head(head)


def test_the_kept_heads_are_bounded() -> None:
    """The oldest one makes room."""
    for number in range(2 * MAX_KEPT):
        response_head(a_head(b"Content-Length: 5", b"X-Number: %d" % number))
    assert len(module._kept) == MAX_KEPT
    assert a_head(b"Content-Length: 5", b"X-Number: 0") not in module._kept


NAMES = st.sampled_from([b"Cache-Control", b"Expires", b"ETag", b"Alt-Svc", b"Set-Cookie", b"Clear-Site-Data", b"X"])
VALUES = st.sampled_from([b"a", b"max-age=5", b"private", b'"*"', b"__Host-Http-bff=1", b"x=y"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from([b"200 OK", b"404 Not Found"]))
def test_lines_are_the_fields_as_they_are_written(fields: list[tuple[bytes, bytes]], status: bytes) -> None:
    """With a token and without, the first time and later."""
    head = response_head(a_head(*map(b": ".join, fields), b"Content-Length: 5", status=status))
    assert head is not None
    for private in (True, False, True, False):
        shown = response_fields(head.status, head.fields, private_default=private)
        assert response_lines(head, private_default=private) == b"".join(b"%b: %b\r\n" % field for field in shown)
