"""The chunked transfer coding of a request, sans-I/O (RFC 9112 section 7.1, https://www.rfc-editor.org/rfc/rfc9112#section-7.1).

What the reader holds to:
    - A chunk begins with 1 to 15 hexadecimal digits and, after a `;`, extensions, which are dropped. No space around the size:
      "A recipient MUST ignore unrecognized chunk extensions"; servers that read a space or a sign differently can be split.
    - Every line ends with CRLF. A bare CR or LF is refused: proxies disagree about it (CVE-2024-1135 and its kind).
    - Trailers are checked and dropped: merging them into the head is how a field gets past a check (RFC 9110 section 6.5.1).
    - Sizes, extensions and trailers together are at most 16 KiB beside 16 bytes for each byte of content, so that a message cannot
      be all framing. One-byte chunks have five.
"""

import re

MAX_FRAMING = 16 * 1024
FRAMING_PER_BYTE = 16

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?\Z")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\Z")


class ChunkedError(ValueError):
    """Not the chunked coding, or more framing than content."""


class ChunkedReader:
    """One message's content. `feed` until `complete`; `rest` is then what came after the message."""

    __slots__ = ("_content", "_framing", "_in_trailers", "_left", "_line", "complete", "rest")

    def __init__(self) -> None:
        self._line = bytearray()  # of a size or trailer line that has not ended
        self._left = 0  # bytes of the chunk that are still to come, its CRLF included
        self._in_trailers = False
        self._content = 0
        self._framing = 0
        self.complete = False
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The content in `data`, in pieces.

        Raises:
            ChunkedError: this is no chunked coding; do not feed it again.
        """
        pieces: list[bytes] = []
        at = 0  # an index: cutting what was read off `data` copied the rest for each chunk, seconds for 256 KB of small ones
        while at < len(data) and not self.complete:
            at = self._chunk(data, at, pieces) if self._left else self._read_line(data, at)
        self.rest = data[at:]
        return pieces

    def _chunk(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Content while more than the chunk's own CRLF is missing, then that CRLF; returns where what follows begins."""
        if self._left > 2:
            piece = data[at : at + self._left - 2]
            pieces.append(piece)
            self._content += len(piece)
            self._left -= len(piece)
            return at + len(piece)
        end = data[at : at + self._left]
        if end != b"\r\n"[-self._left :][: len(end)]:
            raise ChunkedError("a chunk does not end where its size says")
        self._left -= len(end)
        return at + len(end)

    def _read_line(self, data: bytes, at: int) -> int:
        line_end = data.find(b"\n", at) + 1
        after = line_end or len(data)
        self._framing += after - at
        if self._framing > MAX_FRAMING + FRAMING_PER_BYTE * self._content:
            raise ChunkedError("more framing than content")
        self._line += data[at:after]
        if not line_end:
            return after
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(b"\r\n"):
            raise ChunkedError("a line does not end with CRLF")
        self._end_of_line(line[:-2])
        return after

    def _end_of_line(self, line: bytes) -> None:
        if self._in_trailers:
            if not line:
                self.complete = True
            elif _TRAILER.match(line) is None:
                raise ChunkedError("a trailer is no field")
            return
        size = _SIZE.match(line)
        if size is None:
            raise ChunkedError("a chunk's size is no number")
        length = int(size[1], 16)
        if length:
            self._left = length + 2
        else:
            self._in_trailers = True
