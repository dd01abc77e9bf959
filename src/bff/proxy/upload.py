"""A request's content on its way to an upstream, sans-I/O: counted, held to what was announced, framed."""

from bff.errors import ContentTooLarge, MalformedRequest


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
            raise ContentTooLarge(f"The content is larger than {self._limit} bytes.")
        if self._length is None:
            return _chunk(content, last=last)
        if self.taken > self._length or (last and self.taken < self._length):
            raise MalformedRequest("The content is not as long as Content-Length says.")
        return [content]


def _chunk(content: bytes, *, last: bool) -> list[bytes]:
    """RFC 9112 section 7.1; an empty chunk would end the content."""
    pieces = [b"%x\r\n" % len(content), content, b"\r\n"] if content else []
    if last:
        pieces.append(b"0\r\n\r\n")
    return pieces
