"""A request as it is written to an upstream, sans-I/O: its head, then its content, counted, held to what was announced, framed."""

from bff.errors import ContentTooLarge, MalformedRequest
from bff.proxy.rewrite import UpstreamRequest


def request_head(request: UpstreamRequest) -> bytes:
    """Request line and fields (RFC 9112 sections 3 and 5). The rewrite has refused blocks that split lines."""
    # Joined, because `%` costs three times as much: 0.4 us for this head.
    pieces = [request.method, b" ", request.target, b" HTTP/1.1\r\nhost: ", request.authority, b"\r\n"]
    pieces.append(request.passed.lines)
    for block in request.ours:
        pieces.append(block.lines)  # noqa: PERF401 - a comprehension is a call of its own before Python 3.12
    if request.request_id is not None:
        pieces += (b"x-request-id: ", request.request_id, b"\r\n")
    pieces.append(b"\r\n")
    return b"".join(pieces)


class Upload:
    """One request's content. `length` (bytes) is what Content-Length announced, None is chunked; `limit` is the most it may be."""

    __slots__ = ("_length", "_limit", "taken")

    def __init__(self, *, length: int | None, limit: int) -> None:
        self._length = length
        self._limit = limit
        self.taken = 0  # bytes of content so far

    def frame(self, content: bytes, *, last: bool) -> list[bytes]:
        """What to write for the next piece of content.

        Raises:
            ContentTooLarge: more than `limit`.
            MalformedRequest: more or less than Content-Length says. The server in front should not let that through; an upstream
                that took one request for two would be worse (RFC 9112 section 11.2).
        """
        self.taken += len(content)
        if self.taken > self._limit:
            raise ContentTooLarge(f"more than {self._limit} bytes")
        if self._length is None:
            return _chunk(content, last=last)
        if self.taken > self._length or (last and self.taken < self._length):
            raise MalformedRequest("not as much content as Content-Length says")
        return [content]


def _chunk(content: bytes, *, last: bool) -> list[bytes]:
    """RFC 9112 section 7.1; an empty chunk would end the content."""
    pieces = [b"%x\r\n" % len(content), content, b"\r\n"] if content else []
    if last:
        pieces.append(b"0\r\n\r\n")
    return pieces
