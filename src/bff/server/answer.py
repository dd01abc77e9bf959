"""One answer as bytes, sans-I/O: status line, fields, and content in the framing that the browser understands.

RFC 9112 section 6.3 (https://www.rfc-editor.org/rfc/rfc9112#section-6.3) in short: no content for HEAD, 204 and 304; else what
Content-Length says; else chunks in HTTP/1.1; else, in HTTP/1.0, all until the connection closes. Names and values are written as they
are: the proxy's come from `proxy/response_rewrite`, our own are built in this package and in `web/`.
"""

from collections.abc import Iterable
from http import HTTPStatus

from bff.request_head import Field

STATUS_LINE: dict[int, bytes] = {
    **{code: b"HTTP/1.1 %d \r\n" % code for code in range(100, 600)},
    **{int(code): f"HTTP/1.1 {int(code)} {code.phrase}\r\n".encode("ascii") for code in HTTPStatus},
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_NO_CONTENT = frozenset({204, 304})


class AnswerError(RuntimeError):
    """The application sends another amount of content than it has announced."""


class Answer:
    """The answer to one request. Call `start`, then `content` as often as wanted, then `end`; write what they return.

    `breaks_by_reset`: in HTTP/1.0 the end of a connection is the end of content; only RST shows that there is more (RFC 9112
    section 8).
    """

    __slots__ = ("_chunked", "_head_only", "_left", "_version", "breaks_by_reset", "keep_alive", "started")

    def __init__(self, *, version: bytes, method: bytes, keep_alive: bool) -> None:
        self._version = version
        self._head_only = method == b"HEAD"
        self._chunked = False
        self._left: int | None = None  # bytes that Content-Length still announces; None: there is no Content-Length
        self.keep_alive = keep_alive and version == b"1.1"
        self.started = False
        self.breaks_by_reset = version == b"1.0"

    def start(self, status: int, fields: Iterable[Field]) -> bytes:
        """The head, framing included."""
        self.started = True
        lines = [*map(b": ".join, fields)]
        length = dict(fields).get(b"content-length")
        if length is not None:
            self._left = int(length)
        if self._head_only or status in _NO_CONTENT:
            self._head_only = True
        elif self._left is None and self._version == b"1.1":
            self._chunked = True
            lines.append(b"transfer-encoding: chunked")
        if not self.keep_alive:
            lines.append(b"connection: close")
        return STATUS_LINE[status] + b"\r\n".join([*lines, b"", b""])

    def content(self, data: bytes) -> list[bytes]:
        """Some content, framed.

        Raises:
            AnswerError: more than announced.
        """
        if self._head_only or not data:
            return []
        if self._chunked:
            return [b"%x\r\n" % len(data), data, b"\r\n"]
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise AnswerError("more content than Content-Length says")
        return [data]

    def end(self) -> list[bytes]:
        """What ends the content.

        Raises:
            AnswerError: less than announced.
        """
        if self._chunked:
            return [LAST_CHUNK]
        if self._left and not self._head_only:
            raise AnswerError("less content than Content-Length says")
        return []


def whole_answer(status: int, lines: bytes, request_id: bytes, body: bytes) -> bytes:
    """The whole of an answer in HTTP/1.1 whose field lines name its content's length, on a connection that stays."""
    return b"".join((STATUS_LINE[status], lines, b"x-request-id: ", request_id, b"\r\n\r\n", body))


def closing_answer(status: int, fields: Iterable[Field], body: bytes, *, head_only: bool) -> bytes:
    """The whole of an answer after which the connection is closed; `fields` name the content's length."""
    lines = [*map(b": ".join, fields), b"connection: close", b"", b"" if head_only else body]
    return STATUS_LINE[status] + b"\r\n".join(lines)
